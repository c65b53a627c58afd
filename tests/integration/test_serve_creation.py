"""Containers and images through the bus: the real daemon, the command line, and what is left when the daemon is killed.

The default run has containerd 2.1; `-m older` repeats it with 1.6 and 1.7.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bridge.cli import main
from bridge.client import connect
from bridge.model.commands import Create, Pull, Run
from bridge.model.identity import new_ulid
from bridge.model.outcomes import Progress
from tests.fix_bridge import Bridge, BridgeFactory, is_end, until_stored
from tests.integration.test_containerd_runtime import GENERATIONS
from tests.integration.test_creation import NOTHING, left
from tests.integration.test_images import busybox
from tests.testbed import BUSYBOX, Containerd, Ctr, Proxy, Registry
from tests.testbed.image import content

SLEEP = ["sleep", "1000"]


class Said(NamedTuple):
    """What a command came to."""

    status: int
    out: str
    err: str


Cli = Callable[..., Said]


@pytest.fixture(params=GENERATIONS)
def host(request: pytest.FixtureRequest, _containerds: Callable[[str], Containerd]) -> Containerd:
    """containerd 2.1, and with `-m older` 1.7 and 1.6."""
    return _containerds(request.param)


@pytest.fixture
def ours(host: Containerd) -> Iterator[Ctr]:
    with host.fresh_namespace() as ctr:
        yield ctr


@pytest.fixture
def daemon(bridge_factory: BridgeFactory, ours: Ctr, nats_url: str, tmp_path: Path) -> Bridge:
    """A live daemon with every command group on, for the namespace of this test."""
    started = bridge_factory(
        *("--containerd", ours.host.address, "--nats", nats_url, "--node", "n1", "--namespace", ours.namespace),
        *("--state-dir", tmp_path / "state", "--commands", "all", "--fifo-dir", ours.host.fifo_dir),
    )
    started.live()
    return started


@pytest.fixture
def cli(daemon: Bridge, nats_url: str, ours: Ctr, capsys: pytest.CaptureFixture[str]) -> Cli:
    def run(command: str, *arguments: str) -> Said:
        capsys.readouterr()
        status = main([command, "--nats", nats_url, "--namespace", ours.namespace, *arguments])
        return Said(status, *capsys.readouterr())

    return run


def until(condition: Callable[[], bool], *, within: float = 90) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.05)


# -- run


@pytest.mark.parametrize("status", [0, 3])
def test_a_run_ends_as_its_container_does(cli: Cli, ours: Ctr, status: int) -> None:
    said = cli("run", "--rm", "--id", "job.1", "--log-uri", "null", "busybox:local", "sh", "-c", f"exit {status}")
    assert said == (status, "job.1\n", "")
    until(lambda: left(ours) == NOTHING)


def test_a_program_that_is_not_there_is_127_and_leaves_nothing(cli: Cli, ours: Ctr) -> None:
    said = cli("run", "busybox:local", "nonesuch")
    assert (said.status, said.out) == (127, "")
    assert "executable file not found" in said.err
    assert left(ours) == NOTHING


def test_a_container_is_in_the_log_with_its_name_and_the_command_that_made_it(
    cli: Cli, ours: Ctr, nats_url: str
) -> None:
    said = cli("run", "-d", "--id", "web.1", "--name", "shop", "busybox:local", *SLEEP)
    assert said == (0, "web.1\n", "")
    log = until_stored(nats_url, is_end, "containerd.events.*.*.web=2E1.*")
    words = [one.word for one in log]
    assert {"container-create", "create", "start", "command"} <= set(words)
    told = next(one for one in log if is_end(one))
    assert (told.data["verb"], told.data["outcome"], told.data["options"]["image"]) == ("run", "ok", BUSYBOX)
    made = next(one for one in log if one.word == "container-create")
    assert (made.data["name"], made.data["labels"]["containerd-bridge/command"]) == ("shop", told.data["command_id"])


def test_a_created_container_is_started_stopped_and_deleted(cli: Cli, ours: Ctr, nats_url: str) -> None:
    assert cli("create", "--id", "web.1", "busybox:local", *SLEEP) == (0, "web.1\n", "")
    for verb in ("start", "stop", "delete"):
        more = ("--time", "0") if verb == "stop" else ()
        said = cli(verb, "web.1", *more)
        assert said == (0, "web.1\n", ""), said
    assert left(ours) == NOTHING


def test_what_makes_a_container_is_sent_as_other_commands_are(cli: Cli, ours: Ctr) -> None:
    judged = cli("run", "-d", "--dry-run", "--id", "web.1", "busybox:local", *SLEEP)
    assert (judged.status, judged.out.startswith("web.1: default allows run on container web.1")) == (0, True)
    assert left(ours) == NOTHING
    first = cli("create", "--durable", "--wait", "--command-id", "c-1", "--id", "web.1", "busybox:local", *SLEEP)
    again = cli("create", "--command-id", "c-1", "--id", "web.1", "busybox:local", *SLEEP)
    assert (first, again) == ((0, "web.1\n", ""), (0, "web.1\n", ""))
    stored = cli("run", "-d", "--durable", "--command-id", "c-2", "--id", "web.2", "busybox:local", *SLEEP)
    assert stored == (0, "web.2 c-2\n", "")
    until(lambda: "web.2" in left(ours)["tasks"])
    an_hour_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    late = cli("run", "-d", "--not-after", an_hour_ago, "busybox:local", *SLEEP)
    assert (late.status, "was not to be carried out after" in late.err) == (125, True)


def test_images_are_commanded_as_containers_are(cli: Cli, ours: Ctr) -> None:
    for command in (("pull", "nothing"), ("import", "no.tar"), ("rmi", "busybox:local")):
        said = cli(command[0], "--dry-run", *command[1:])
        assert (said.status, "default allows" in said.out, said.err) == (0, True, ""), said
    assert cli("rmi", "--durable", "--wait", "--id", "c-1", "--sync", "busybox:local") == (0, f"{BUSYBOX}\n", "")
    assert cli("rmi", "--id", "c-1", "--sync", "busybox:local").status == 0  # the same command, and its outcome


# -- the daemon is killed


def test_rm_outlives_the_daemon(daemon: Bridge, cli: Cli, ours: Ctr) -> None:
    for name in ("ends", "stays"):
        assert cli("run", "-d", "--rm", "--id", name, "busybox:local", *SLEEP).status == 0
    daemon.kill()
    ours.kill("ends")
    until(lambda: ours.status("ends") == "STOPPED")
    daemon.start()
    until(lambda: left(ours)["containers"] == ["stays"])
    ours.kill("stays")
    until(lambda: left(ours) == NOTHING)


REACHED: list[tuple[str, Callable[[dict[str, list[str]]], bool]]] = [
    ("the lease", lambda found: bool(found["leases"])),
    ("the snapshot", lambda found: bool(found["snapshots"])),
    ("the record", lambda found: bool(found["containers"])),
]


@pytest.mark.parametrize(("moment", "reached"), REACHED, ids=[name for name, _ in REACHED])
async def test_a_daemon_that_is_killed_in_the_middle_leaves_a_whole_container_or_nothing(
    bridge_factory: BridgeFactory,
    ours: Ctr,
    nats_url: str,
    tmp_path: Path,
    moment: str,
    reached: Callable[[dict[str, list[str]]], bool],
) -> None:
    async def send(*, timeout: float) -> Any:
        async with connect(nats_url) as bus:
            node = await bus.node("n1")
            command = Create(id="c1", image=BUSYBOX, command=SLEEP)
            return await node.send(command, namespace=ours.namespace, container="web.1", timeout=timeout)

    async def come_true(condition: Callable[[dict[str, list[str]]], bool]) -> None:
        async with asyncio.timeout(90):
            while not condition(await asyncio.to_thread(left, ours)):
                pass

    async with Proxy(ours.host.address) as proxy:
        daemon = bridge_factory(
            *("--containerd", proxy.address, "--nats", nats_url, "--node", "n1", "--namespace", ours.namespace),
            *("--state-dir", tmp_path / "state", "--commands", "all"),
        )
        await asyncio.to_thread(daemon.live)
        proxy.slow(latency_s=0.3)  # so that there is a middle
        sending = asyncio.create_task(send(timeout=90))
        await come_true(reached)
        daemon.kill()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        proxy.slow()

        after = len(daemon.lines)
        daemon.start()
        await asyncio.to_thread(lambda: daemon.live(after=after))
        whole = ["web.1"] if moment == "the record" else []
        await come_true(lambda found: found == NOTHING | {"containers": whole, "snapshots": whole})

        outcome = await send(timeout=90)
        assert outcome.outcome == "ok", outcome.error
        assert left(ours) == NOTHING | {"containers": ["web.1"], "snapshots": ["web.1"]}


# -- images


def test_an_archive_goes_to_a_node_and_comes_out_as_an_image(cli: Cli, ours: Ctr) -> None:
    assert cli("rmi", "--sync", "busybox:local") == (0, f"{BUSYBOX}\n", "")
    assert cli("images", "-q").out == ""
    said = cli("import", str(ours.host.busybox_archive()))
    assert (said.status, said.out, said.err.splitlines()[0]) == (0, f"{BUSYBOX}\n", "archive: uploading")
    assert cli("images", "-q").out == f"{BUSYBOX}\n"
    image = json.loads(cli("images", "--json").out)
    assert image["size"] > 1_000_000
    assert cli("run", "-d", "--id", "web.1", "busybox:local", *SLEEP).status == 0
    said = cli("rmi", "busybox:local")
    assert said.status == 1
    assert "is used by web.1" in said.err
    assert cli("rmi", "-f", "busybox:local").status == 0


def test_an_archive_leaves_no_object_behind(cli: Cli, ours: Ctr, nats_url: str, tmp_path: Path) -> None:
    file = tmp_path / "broken.tar"
    file.write_bytes(b"no archive" * 1000)
    assert cli("import", str(ours.host.busybox_archive())).status == 0
    said = cli("import", str(file))
    assert (said.status, "no tar archive" in said.err) == (1, True)

    async def objects() -> list[str]:
        import nats

        client = await nats.connect(nats_url)
        try:
            store = await client.jetstream(timeout=60).object_store("containerd-archives")
            return [str(each.name) for each in await store.list(ignore_deletes=True)]
        except nats.js.errors.NotFoundError:
            return []
        finally:
            await client.close()

    assert asyncio.run(objects()) == []


def test_a_pull_tells_how_far_it_is(daemon: Bridge, ours: Ctr, nats_url: str) -> None:
    async def pull(image: str, told: list[Progress]) -> Any:
        command = Pull(id=new_ulid(), image=image, plain_http=True)
        async with connect(nats_url) as bus:
            node = await bus.node("n1")
            async with bus.transport.progress("n1", command.id or "", told.append):
                outcome = await node.send(command, namespace=ours.namespace)
            if outcome.outcome == "ok":
                ran = await node.run("web.1", Run(image=image, command=SLEEP), namespace=ours.namespace)
                assert ran.pid > 0
            return outcome

    told: list[Progress] = []
    with Registry(content(busybox(ours.host))) as registry:
        outcome = asyncio.run(pull(registry.image, told))
    if ours.host.version == "2.1":
        assert outcome.outcome == "ok", outcome.error
        assert any(one.total and one.done == one.total for one in told)
    else:
        assert outcome.error.code == "unimplemented"


def test_a_pull_on_the_command_line_prints_the_name(ours: Ctr, daemon: Bridge, nats_url: str) -> None:
    if ours.host.version != "2.1":
        return
    with Registry(content(busybox(ours.host))) as registry:
        said = subprocess.run(
            [sys.executable, "-m", "bridge", "pull", "--nats", nats_url, "-n", ours.namespace, "--plain-http",
             registry.image],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (said.returncode, said.stdout) == (0, f"{registry.image}\n")
        assert re.search(r"^config [0-9a-f]{12}: [a-z ]+ [0-9]+ B$", said.stderr, re.MULTILINE), said.stderr
