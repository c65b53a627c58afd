"""Every trouble that `doctor` knows, made on purpose on real servers: it finds that one and no other, and says what to do."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bridge import host_checkup
from bridge.cli import main
from bridge.client import Finding
from bridge.client.troubles import TROUBLES
from bridge.client.troubles_page import main as write_table
from bridge.config import Config
from bridge.jetstream.api import api
from bridge.jetstream.buckets import ensure_buckets
from bridge.jetstream.checkpoint_buckets import CheckpointMaking
from bridge.jetstream.checkpoint_cipher import CheckpointSecret
from bridge.jetstream.checkpoints import JetStreamCheckpoints
from bridge.jetstream.connection import Connection
from bridge.jetstream.job_store import JetStreamJobStore
from bridge.jetstream.job_streams import ensure_jobs
from bridge.jetstream.keys import Key
from bridge.jetstream.log import open_log
from bridge.jetstream.output_stream import ensure_output
from bridge.jetstream.stored import sent_to
from bridge.jetstream.streams import ensure_events
from bridge.model.codec import encode, encode_any
from bridge.model.envelope import Recorded, format_source
from bridge.model.identity import new_ulid
from bridge.model.nanos import Nanos, now
from bridge.model.node_events import NodeDisconnected, NodeEvent, NodeGap, NodeHeartbeat, NodeLease, NodeStopped
from bridge.model.nodes import NodeRecord
from bridge.model.subjects import quote
from bridge.ports import Entry
from tests.contract.catalogues import archive, unheard
from tests.contract.catalogues import key as checkpoint_key
from tests.contract.catalogues import record as checkpoint_record
from tests.contract.test_migration_register import ENTRY
from tests.fix_containerd import ContainerdFactory
from tests.fix_nats import NatsServerFactory
from tests.integration.jetstream_entries import STREAM, SUBJECTS, connected, entries
from tests.testbed import Containerd

SECOND = 1_000_000_000
BEAT = NodeHeartbeat(probe_ns=1)
MIGRATIONS = f"KV_{SUBJECTS.migration_bucket}"
LOGIN = "authorization {{ users: [{{ user: bridge, password: x }}, {{ user: reader, password: x, {} }}] }}"


class House:
    """What a case has to make its trouble with. Whatever is wrong beside it, it names in `besides`."""

    def __init__(
        self,
        servers: NatsServerFactory,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        path: Path,
    ) -> None:
        self.servers, self.monkeypatch, self.path = servers, monkeypatch, path
        self.besides: set[str] = set()
        self._capsys = capsys

    def ask(self, url: str, *options: str) -> list[Finding]:
        """What the command says."""
        self._capsys.readouterr()
        status = main(["doctor", "--no-host", "--json", "--nats", url, *options])
        found = [Finding(**json.loads(line)) for line in self._capsys.readouterr().out.splitlines()]
        assert status == (1 if any(one.level == "fail" for one in found) else 0)
        return found

    def prepared(self, *events: tuple[str, NodeEvent], config: str = "", user: str | None = None) -> str:
        """A server with stream and buckets, and these events of nodes as of now."""
        url = str(self.servers(config=config).url)
        login = {"user": user, "password": "x"} if user else {}
        asyncio.run(_prepare(url, login, [_entry(n, *event) for n, event in enumerate(events or [("n1", BEAT)], 1)]))
        return url


async def _prepare(url: str, login: dict[str, str], made: list[Entry]) -> None:
    async with connected(url, **login) as connection:
        await ensure_events(connection, SUBJECTS)
        await ensure_buckets(connection, SUBJECTS)
        await (await open_log(connection, SUBJECTS)).append(made)


def _entry(n: int, node: str, event: Any, read_at: Nanos | None = None) -> Entry:
    read = now() if read_at is None else read_at
    recorded: Recorded[Any] = Recorded(
        specversion="1.0", datacontenttype="application/json", id=new_ulid(), type=event.type,
        source=format_source(node, None), time=read, recordedtime=read,
        position=f"11111111-2222-3333-4444-555555555555:{n}", origin="live", data=event,
    )  # fmt: skip
    return Entry(n=n, id=recorded.id, subject=SUBJECTS.node(node, event.word), body=encode(recorded))


def on(url: str, do: Callable[[Connection], Awaitable[Any]], **login: str) -> None:
    """Do something on a server."""

    async def done() -> None:
        async with connected(url, **login) as connection:
            await do(connection)

    asyncio.run(done())


def changed(url: str, stream: str, **settings: Any) -> None:
    """Change a stream, as somebody with `nats stream edit` would."""

    async def change(connection: Connection) -> None:
        there = (await api(connection, f"STREAM.INFO.{stream}"))["config"]
        await api(connection, f"STREAM.UPDATE.{stream}", there | settings)

    on(url, change)


def lease(log: str) -> NodeLease:
    return NodeLease(holder=new_ulid(), log=log, version="0.1", pid=7)


def node_record(**fields: Any) -> NodeRecord:
    moment = now()
    usual = NodeRecord(
        node="n1", holder=new_ulid(), log="x", version="0.0.1", pid=7, since=moment, renewed=moment, lease_s=10.0
    )  # fmt: skip
    return replace(usual, **{"groups": ["observe"]} | fields)


Case = Callable[[House], list[Finding]]
ON_BUS: dict[str, Case] = {}


def provokes(trouble: str) -> Callable[[Case], Case]:
    def noted(case: Case) -> Case:
        ON_BUS[trouble] = case
        return case

    return noted


# -- the server


@provokes("nats-unreachable")
def nobody_listens(house: House) -> list[Finding]:
    return house.ask("nats://127.0.0.1:1")


@provokes("nats-login")
def a_wrong_password(house: House) -> list[Finding]:
    url = house.servers(config='authorization { user: bridge, password: "right" }').url
    return house.ask(url, "--nats-user", "bridge", "--nats-password", "wrong")


@provokes("jetstream-off")
def no_jetstream(house: House) -> list[Finding]:
    return house.ask(house.servers(jetstream=None).url)


@provokes("payload-small")
def small_messages(house: House) -> list[Finding]:
    house.besides = {"stream-missing", "bucket-unusable"}
    return house.ask(house.servers(config="max_payload: 64KB").url)


@provokes("account-full")
def an_account_of_three_streams(house: House) -> list[Finding]:
    users = "jetstream { max_streams: 5 }, users: [{ user: a, password: x }]"
    url = house.servers(config=f"accounts {{ A: {{ {users} }} }}").url
    asyncio.run(_prepare(url, {"user": "a", "password": "x"}, [_entry(1, "n1", BEAT)]))
    return house.ask(url, "--nats-user", "a", "--nats-password", "x")


@provokes("not-permitted")
def a_reader(house: House) -> list[Finding]:
    allowed = [
        "$JS.API.STREAM.INFO.>",
        "$JS.API.CONSUMER.>",
        "$JS.API.STREAM.MSG.GET.>",
        "$SYS.REQ.USER.INFO",
        "$SRV.INFO.>",
    ]
    permitted = f'permissions: {{ publish: {json.dumps(allowed)}, subscribe: ["_INBOX.>"] }}'
    url = house.prepared(config=LOGIN.format(permitted), user="bridge")
    return house.ask(url, "--nats-user", "reader", "--nats-password", "x")


@provokes("clock-here")
def a_clock_that_is_slow(house: House) -> list[Finding]:
    url = house.prepared()
    house.monkeypatch.setattr("bridge.jetstream.inspection.now", lambda: Nanos(now() - 60 * SECOND))
    return house.ask(url)


# -- the log


@provokes("stream-missing")
def no_bridge_ever(house: House) -> list[Finding]:
    house.besides = {"bucket-unusable"}
    return house.ask(house.servers().url)


@provokes("stream-weak")
def a_stream_changed_by_hand(house: House) -> list[Finding]:
    url = house.prepared()
    changed(url, STREAM, duplicate_window=60 * SECOND)
    return house.ask(url)


@provokes("stream-full")
def a_stream_that_refuses(house: House) -> list[Finding]:
    url = house.prepared(("n1", BEAT), ("n1", BEAT))
    changed(url, STREAM, max_msgs=2, discard="new")
    return house.ask(url)


@provokes("kept-for-ever")
def a_stream_without_end(house: House) -> list[Finding]:
    url = house.prepared()
    changed(url, STREAM, max_age=0)
    return house.ask(url)


@provokes("log-silent")
def nothing_is_written(house: House) -> list[Finding]:
    url = house.prepared()
    house.monkeypatch.setattr("bridge.client.checkup.LATE_NS", -1)
    return house.ask(url)


@provokes("log-unreadable")
def a_login_that_may_look_and_not_read(house: House) -> list[Finding]:
    house.besides = {"not-permitted"}
    permitted = 'permissions: { publish: ["$JS.API.STREAM.INFO.>", "$SYS.REQ.USER.INFO"] }'
    url = house.prepared(config=LOGIN.format(permitted), user="bridge")
    return house.ask(url, "--nats-user", "reader", "--nats-password", "x")


@provokes("reader-behind")
def a_reader_that_is_gone(house: House) -> list[Finding]:
    url = house.prepared()

    async def left(connection: Connection) -> None:
        await connection.jetstream.add_consumer(
            STREAM, durable_name="audit", deliver_policy="all", ack_policy="explicit"
        )
        await (await open_log(connection, SUBJECTS)).append(entries(1_000, first=2))

    on(url, left)
    found = house.ask(url)
    [one] = [one for one in found if one.trouble == "reader-behind"]
    assert one.message == "1001 events wait for the reader audit"
    return found


# -- nodes


@provokes("node-silent")
def a_node_that_is_not_heard(house: House) -> list[Finding]:
    url = house.prepared()
    house.monkeypatch.setattr("bridge.client.standing.LATE_NS", -1)
    return house.ask(url)


@provokes("node-behind")
def a_node_that_writes_late(house: House) -> list[Finding]:
    url = house.prepared()

    async def late(connection: Connection) -> None:
        await (await open_log(connection, SUBJECTS)).append([_entry(2, "n1", BEAT, Nanos(now() - 3_600 * SECOND))])

    on(url, late)
    return house.ask(url)


@provokes("node-disconnected")
def a_node_without_containerd(house: House) -> list[Finding]:
    return house.ask(house.prepared(("n1", BEAT), ("n1", NodeDisconnected(reason="socket closed"))))


@provokes("node-stopped")
def a_node_that_was_stopped(house: House) -> list[Finding]:
    return house.ask(house.prepared(("n1", BEAT), ("n1", NodeStopped(reason="SIGTERM"))))


@provokes("gap-recent")
def a_gap_of_a_minute(house: House) -> list[Finding]:
    gap = NodeGap(
        since=Nanos(now() - 60 * SECOND), until=now(), reason="containerd closed the stream", cause="stream-ended"
    )
    first = NodeGap(since=None, until=now(), reason="first start", cause="first-start")
    return house.ask(house.prepared(("n2", first), ("n2", BEAT), ("n1", gap), ("n1", BEAT)))


@provokes("clock-ahead")
def a_node_whose_clock_is_ahead(house: House) -> list[Finding]:
    url = house.prepared()

    async def ahead(connection: Connection) -> None:
        await (await open_log(connection, SUBJECTS)).append([_entry(2, "n1", BEAT, Nanos(now() + 3_600 * SECOND))])

    on(url, ahead)
    return house.ask(url)


@provokes("two-bridges")
def two_bridges_of_one_name(house: House) -> list[Finding]:
    moved = [("n2", lease("a")), ("n2", lease("b")), ("n2", BEAT)]  # a host that was made anew
    return house.ask(house.prepared(("n1", lease("a")), ("n1", lease("b")), ("n1", lease("a")), ("n1", BEAT), *moved))


def with_record(house: House, record: NodeRecord) -> list[Finding]:
    url = house.prepared()

    async def write(connection: Connection) -> None:
        await Key(connection, SUBJECTS.node_bucket, quote("n1")).put(encode_any(record), expected=0)

    on(url, write)
    return house.ask(url)


@provokes("version-newer")
def a_newer_bridge(house: House) -> list[Finding]:
    return with_record(house, node_record(version="99.1.0"))


@provokes("commands-off")
def a_node_that_takes_no_commands(house: House) -> list[Finding]:
    return with_record(house, node_record(groups=[]))


# -- what else is kept


@provokes("bucket-unusable")
def a_bucket_that_was_removed(house: House) -> list[Finding]:
    url = house.prepared()
    on(url, lambda connection: api(connection, f"STREAM.DELETE.KV_{SUBJECTS.root}-state"))
    return house.ask(url)


def with_jobs(house: House) -> str:
    url = house.prepared()

    async def take_commands(connection: Connection) -> None:
        await ensure_jobs(connection, SUBJECTS)
        await ensure_output(connection, SUBJECTS)
        command = SUBJECTS.job(SUBJECTS.command("n1", "default", "web", "stop"))
        await JetStreamJobStore(connection, SUBJECTS).submit(command, b"{}", command_id="a-1", name="n1.a-1")

    on(url, take_commands)
    return url


@provokes("store-missing")
def a_store_that_was_removed(house: House) -> list[Finding]:
    url = with_jobs(house)
    on(url, lambda connection: api(connection, "STREAM.DELETE.CONTAINERD_QUARANTINE"))
    return house.ask(url)


@provokes("store-weak")
def a_store_changed_by_hand(house: House) -> list[Finding]:
    url = with_jobs(house)
    changed(url, "CONTAINERD_STDIO", discard="new")
    return house.ask(url)


@provokes("store-full")
def a_store_that_is_full(house: House) -> list[Finding]:
    url = with_jobs(house)
    changed(url, "CONTAINERD_JOBS", max_msgs=1, discard="new")
    return house.ask(url)


@provokes("jobs-quarantined")
def a_job_that_was_put_aside(house: House) -> list[Finding]:
    url = with_jobs(house)
    on(url, lambda connection: connection.jetstream.publish(SUBJECTS.quarantine("n1"), b"{}"))
    return house.ask(url)


@provokes("register-weak")
def a_register_changed_by_hand(house: House) -> list[Finding]:
    url = house.prepared()
    changed(url, MIGRATIONS, max_age=86_400 * SECOND)
    return house.ask(url)


@provokes("register-foreign")
def somebody_else_in_the_register(house: House) -> list[Finding]:
    url = house.prepared()
    place = f"$KV.{SUBJECTS.migration_bucket}.{ENTRY.key.token}"
    on(url, lambda connection: connection.jetstream.publish(place, b"{}"))
    return house.ask(url)


@provokes("migration-stuck")
def a_container_between_two_nodes(house: House) -> list[Finding]:
    url = house.prepared()

    async def write(connection: Connection) -> None:
        key = Key(connection, SUBJECTS.migration_bucket, ENTRY.key.token)
        await key.put(encode_any(replace(ENTRY, state="taken")), expected=0, headers=sent_to(MIGRATIONS))

    on(url, write)
    house.monkeypatch.setattr("bridge.client.checkup_of_migrations.LONG_S", -1.0)
    return house.ask(url)


@provokes("key-missing")
def a_checkpoint_whose_key_is_elsewhere(house: House) -> list[Finding]:
    url = house.prepared()

    async def write(connection: Connection) -> None:
        theirs = CheckpointSecret.of(b"k" * 32)
        catalogue = JetStreamCheckpoints(connection, SUBJECTS, node="n1", secrets=[theirs], making=CheckpointMaking())
        facts = await catalogue.store(checkpoint_key(), archive(b"x"), upload="a-1", tell=unheard)
        await catalogue.put(checkpoint_record(checkpoint_key(), facts))

    on(url, write)
    # The other stores of the command side were never made; that they lack is another trouble.
    house.besides = {"store-missing"}
    ours = house.path / "key"
    assert main(["checkpoint", "keygen", str(ours)]) == 0
    house.monkeypatch.setenv("CONTAINERD_BRIDGE_CHECKPOINT_KEY", str(ours))
    return house.ask(url)


@pytest.mark.nats
@pytest.mark.parametrize("trouble", [name for name, one in TROUBLES.items() if one.where == "bus"])
def test_on_the_bus_it_is_found_and_nothing_else(
    trouble: str,
    nats_server_factory: NatsServerFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    house = House(nats_server_factory, monkeypatch, capsys, tmp_path)

    found = ON_BUS[trouble](house)

    assert {one.trouble for one in found if one.trouble} == {trouble} | house.besides
    [one, *_] = [one for one in found if one.trouble == trouble]
    assert one.why == TROUBLES[trouble].why
    assert one.remedy or trouble.startswith("nats-")  # whose sentence ends with it
    assert all(one.level == "ok" or one.trouble for one in found), "whatever is wrong has a name"


# -- the host of a bridge


class Host:
    """The settings of a bridge where all is in order, and what a case changes of them."""

    def __init__(
        self, containerd: Containerd, path: Path, monkeypatch: pytest.MonkeyPatch, make: ContainerdFactory
    ) -> None:
        self.containerd, self.path, self.monkeypatch, self.make = containerd, path, monkeypatch, make
        self.places = host_checkup.Places(cgroups=path / "cgroups")
        (path / "cgroups/memory").mkdir(parents=True)
        self.settings: dict[str, Any] = {
            "containerd": containerd.address,
            "state_dir": path / "state",
            "fifo_dir": path / "fifo",
            "node": "n1",
        }
        self.within_s = 60.0
        self.records: list[NodeRecord] = []

    def look(self, **changes: Any) -> list[Finding]:
        config = Config(**self.settings | changes)
        looking = host_checkup.checkup(config, records=self.records, within_s=self.within_s, places=self.places)
        return asyncio.run(looking)


def nothing_there(host: Host) -> list[Finding]:
    refused = host.look(containerd=_abandoned(host.path / "abandoned.sock"))
    assert [one.message for one in refused if one.trouble] == [f"nobody listens on {host.path / 'abandoned.sock'}"]
    return host.look(containerd=host.path / "no.sock")


def _abandoned(path: Path) -> Path:
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(str(path))
    return path


def not_for_us(host: Host) -> list[Finding]:
    # Not below the test's own directory: what is above that is root's alone.
    with tempfile.TemporaryDirectory() as directory, closing(socket.socket(socket.AF_UNIX)) as server:
        open_to_all, locked = Path(directory), Path(directory) / "locked"
        open_to_all.chmod(0o755)
        locked.mkdir()
        path = locked / "containerd.sock"
        server.bind(str(path))
        server.listen()
        locked.chmod(0o700)
        for one in (open_to_all / "state", open_to_all / "fifo"):
            one.mkdir()
            one.chmod(0o777)
        (open_to_all / "memory").mkdir()
        host.places = host_checkup.Places(cgroups=open_to_all)
        with _as_nobody():
            return host.look(containerd=path, state_dir=open_to_all / "state", fifo_dir=open_to_all / "fifo")


@contextmanager
def _as_nobody() -> Iterator[None]:
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


def deaf(host: Host) -> list[Finding]:
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(str(host.path / "deaf.sock"))
        server.listen()
        host.within_s = 0.2
        return host.look(containerd=host.path / "deaf.sock")


def old(host: Host) -> list[Finding]:
    host.monkeypatch.setattr(host_checkup, "LEAST_VERSION", (99, 0))
    return host.look()


def a_file(path: Path, text: str = "", mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def in_memory(host: Host) -> list[Finding]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        return host.look(state_dir=Path(directory), outbox_reserve_bytes=0)


def much_waits(host: Host) -> list[Finding]:
    (host.path / "state").mkdir()
    a_file(host.path / "state/outbox.db", "x" * 1_000)
    return host.look(outbox_max_bytes=1_500)


def without_criu(host: Host) -> list[Finding]:
    return host.look(containerd=host.make("1.6").address, commands="checkpoint")


def few_files(host: Host) -> list[Finding]:
    (host.path / "state").mkdir()
    waits = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()", "serve"]
    command = ["sh", "-c", 'ulimit -n 256; exec "$@"', "sh", *waits]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as bridge:
        assert bridge.stdout is not None
        bridge.stdout.readline()
        a_file(host.path / "state/lock", str(bridge.pid))
        found = host.look()
        bridge.communicate()
    [one] = [one for one in found if one.trouble]
    assert one.message == f"the bridge (pid {bridge.pid}) may open 256 files"
    return found


def no_memory_controller(host: Host) -> list[Finding]:
    (host.path / "cgroups/memory").rmdir()
    (host.path / "cgroups/cgroup.controllers").write_text("cpuset cpu pids\n")
    return host.look()


def held_elsewhere(host: Host) -> list[Finding]:
    host.records = [node_record(boot_id="another"), node_record(node="n2", boot_id="another")]
    return host.look()


ON_HOST: dict[str, Callable[[Host], list[Finding]]] = {
    "containerd-missing": nothing_there,
    "containerd-denied": not_for_us,
    "containerd-hung": deaf,
    "containerd-old": old,
    "state-dir-unusable": lambda host: host.look(state_dir=a_file(host.path / "file") / "below"),
    "state-dir-volatile": in_memory,
    "disk-low": lambda host: host.look(outbox_reserve_bytes=1 << 60),
    "outbox-growing": much_waits,
    "fifo-dir-unusable": lambda host: host.look(commands="exec", fifo_dir=a_file(host.path / "file")),
    "criu-unusable": without_criu,
    "policy-unusable": lambda host: host.look(commands="exec", policy=a_file(host.path / "policy.toml", "default = 7")),
    "policy-denies-all": lambda host: host.look(
        commands="exec", policy=a_file(host.path / "policy.toml", "rules = []")
    ),
    "descriptors-few": few_files,
    "cgroups-missing": no_memory_controller,
    "key-unusable": lambda host: host.look(
        commands="checkpoint", checkpoint_key=a_file(host.path / "key", "0" * 64, 0o644)
    ),
    "name-taken": held_elsewhere,
}


@pytest.fixture
def host(
    containerd: Containerd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, containerd_factory: ContainerdFactory
) -> Host:
    return Host(containerd, tmp_path, monkeypatch, containerd_factory)


@pytest.mark.containerd
def test_where_a_host_is_in_order_nothing_is_wrong(host: Host) -> None:
    policy = a_file(host.path / "policy.toml", '[[rules]]\neffect = "allow"\nverbs = ["list"]\n')
    found = host.look(commands="all", policy=policy)

    assert [(one.area, one.message) for one in found if one.level != "ok"] == []
    assert {one.area for one in found} == {"containerd", "state-dir", "cgroups", "policy", "fifo-dir", "criu"}


@pytest.mark.containerd
@pytest.mark.parametrize("trouble", [name for name, one in TROUBLES.items() if one.where == "host"])
def test_on_the_host_it_is_found_and_nothing_else(trouble: str, host: Host) -> None:
    found = ON_HOST[trouble](host)

    assert [one.trouble for one in found if one.trouble] == [trouble]
    [one] = [one for one in found if one.trouble == trouble]
    assert (one.why, one.level != "ok", bool(one.remedy)) == (TROUBLES[trouble].why, True, True)


@pytest.mark.containerd
@pytest.mark.nats
def test_the_command_looks_at_the_host_where_it_is_asked_to(
    host: Host, nats_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(_prepare(nats_url, {}, [_entry(1, "n1", BEAT)]))
    for name, value in {
        "CONTAINERD": host.path / "no.sock",
        "STATE_DIR": host.path / "state",
        "NATS": nats_url,
    }.items():
        monkeypatch.setenv(f"CONTAINERD_BRIDGE_{name}", str(value))

    assert main(["doctor"]) == 0  # no bridge has run there
    assert "containerd  " not in capsys.readouterr().out
    assert main(["doctor", "--host"]) == 1
    lines = capsys.readouterr().out.splitlines()
    [place] = [number for number, line in enumerate(lines) if line.startswith("fail")]
    assert f"containerd socket {host.path / 'no.sock'} does not exist; start containerd" in lines[place]
    assert lines[place + 1].strip() == "the bridge has nothing to follow (containerd-missing)"


def test_each_trouble_has_a_test_and_stands_on_its_page() -> None:
    assert ON_BUS.keys() | ON_HOST.keys() == TROUBLES.keys()
    assert len(TROUBLES) >= 20
    assert write_table(["--check"]) == 0
