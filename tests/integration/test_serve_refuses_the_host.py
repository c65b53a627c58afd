"""What leads to root on the host beside a spec, tried through the whole daemon: nothing of it happens unless a rule says so.

The default run has containerd 2.1; `-m older` repeats it with 1.6 and 1.7.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import nats
import pytest
from nats.aio.client import Client

from bridge.model import labels
from bridge.model.subjects import quote
from tests.fix_bridge import Bridge, BridgeFactory
from tests.integration.test_containerd_runtime import GENERATIONS, eventually
from tests.testbed import BUSYBOX, Containerd, Ctr
from tests.testbed.image import archive

PACKED = "docker.io/library/packed:local"
SLEEP = ["sleep", "1000"]
ONCE = ["sh", "-c", "echo said"]
RESTARTED = 25.0
"""containerd's restart plugin looks every ten seconds."""

pytestmark = [pytest.mark.containerd, pytest.mark.nats]


class Asking:
    """The whole way of a command, as whoever may send it would use it."""

    def __init__(self, ctr: Ctr, bus: Client, start: Callable[..., Bridge], directory: Path) -> None:
        self.ctr = ctr
        self._bus = bus
        self._start = start
        self._directory = directory
        self.marker = ctr.host.shared / f"{ctr.namespace}.marker"
        self.program = f"binary:///bin/sh?-c=id%20%3E{self.marker}"

    async def serve(self, policy: str | None = None) -> None:
        more: tuple[str | Path, ...] = ()
        if policy is not None:
            path = self._directory / "policy.toml"
            path.write_text(policy)
            more = ("--policy", path)
        daemon = await asyncio.to_thread(self._start, *more)
        await asyncio.to_thread(daemon.live)

    async def __call__(self, verb: str, container: str | None = "web.1", **options: Any) -> dict[str, Any]:
        namespace = quote(self.ctr.namespace)
        subject = f"containerd.commands.n1.{namespace}.{quote(container) if container else '-'}.{verb}"
        answer = await self._bus.request(subject, msgspec.json.encode(options), timeout=90)
        said: dict[str, Any] = msgspec.json.decode(answer.data)
        return said

    async def ok(self, verb: str, container: str | None = "web.1", **options: Any) -> Any:
        said = await self(verb, container, **options)
        assert said["outcome"] == "ok", said["error"]
        return said["result"]

    async def refused(self, verb: str, container: str | None = "web.1", **options: Any) -> str:
        said = await self(verb, container, **options)
        assert said["outcome"] == "refused", said
        return str(said["error"]["message"])

    async def seen(self) -> list[str]:
        """Everything that there is in the namespace, and its labels, and that is no garbage."""
        await asyncio.to_thread(self.ctr.collect_garbage)
        found = []
        for what in ("snapshots", "containers", "leases", "content"):
            lines = (await asyncio.to_thread(self.ctr, what, "ls")).splitlines()[1:]
            words = [line.split() for line in lines]
            found += [f"{what} {first} {sorted(last.split(','))}" for first, *_, last in words]  # labels, in any order
        return sorted(found)

    async def written(self) -> bool:
        return await asyncio.to_thread(lambda: self.marker.exists() and self.marker.stat().st_size > 0)


@pytest.fixture(params=GENERATIONS)
def host(request: pytest.FixtureRequest, _containerds: Callable[[str], Containerd]) -> Containerd:
    """containerd 2.1, and with `-m older` 1.7 and 1.6."""
    return _containerds(request.param)


@pytest.fixture
async def ask(host: Containerd, bridge_factory: BridgeFactory, nats_url: str, tmp_path: Path) -> AsyncIterator[Asking]:
    with host.fresh_namespace() as ctr:
        options = (
            *("--containerd", host.address, "--nats", nats_url, "--node", "n1", "--namespace", ctr.namespace),
            *("--state-dir", tmp_path / "state", "--commands", "all", "--fifo-dir", host.fifo_dir),
        )
        bus = await nats.connect(nats_url)
        try:
            yield Asking(ctr, bus, lambda *more: bridge_factory(*options, *more), tmp_path)
        finally:
            await bus.close()


@pytest.mark.parametrize("verb", ["create", "run"])
async def test_a_program_or_a_file_of_the_host_takes_no_output_unless_a_rule_says_so(ask: Asking, verb: str) -> None:
    await ask.serve()
    for uri in (ask.program, f"file://{ask.marker}"):
        sentence = await ask.refused(verb, image=BUSYBOX, command=ONCE, stdio=uri)
        assert "serve --policy" in sentence
    assert not await ask.written()
    assert await asyncio.to_thread(ask.ctr, "containers", "ls", "-q") == ""


async def test_output_on_the_bus_needs_no_rule(ask: Asking) -> None:
    await ask.serve()
    await ask.ok("run", image=BUSYBOX, command=SLEEP, stdio="bus")
    await ask.ok("restart", grace=0)


async def test_what_another_client_made_with_such_output_is_not_started(ask: Asking) -> None:
    await ask.serve()
    await asyncio.to_thread(
        ask.ctr, "containers", "create", "--label", f"{labels.STDIO}={ask.program}", "--", BUSYBOX, "web.1", *ONCE
    )
    for verb in ("start", "restart"):
        assert "runs the program '/bin/sh' on the host, as root" in await ask.refused(verb)
    assert not await ask.written()


async def test_a_rule_lets_output_into_its_directory_and_no_further(ask: Asking) -> None:
    logs = ask.ctr.host.shared / f"{ask.ctr.namespace}-logs"
    logs.mkdir()
    (logs / "away").symlink_to(ask.marker.parent)
    await ask.serve(f"default = 'allow'\n[spec]\nlog_files = ['{logs}']\n")
    await ask.ok("run", image=BUSYBOX, command=ONCE, stdio=f"file://{logs}/out")
    await eventually(lambda: asyncio.to_thread(lambda: (logs / "out").read_text() == "said\n"))
    for path in (ask.marker, f"{logs}/away/{ask.marker.name}", f"{logs}/../{ask.marker.name}"):
        await ask.refused("run", "other", image=BUSYBOX, command=ONCE, stdio=f"file://{path}")
    await ask.refused("run", "other", image=BUSYBOX, command=ONCE, stdio=ask.program)
    assert not await ask.written()
    # What is put in its place later is judged when it is started.
    (logs / "out").unlink()
    (logs / "out").symlink_to(ask.marker)
    assert f"writes to '{logs}/out' of the host" in await ask.refused("start")
    assert not await ask.written()


async def test_containerd_is_told_to_restart_nothing_unless_a_rule_says_so(ask: Asking) -> None:
    """Its restart plugin starts what carries its labels, by itself and as root."""
    await ask.serve()
    restarted = {"containerd.io/restart.status": "running", "containerd.io/restart.loguri": ask.program}
    sentence = await ask.refused("create", image=BUSYBOX, command=ONCE, labels=restarted)
    assert "sets the label 'containerd.io/restart.status'" in sentence
    # As sure as can be: one that has the labels, made by another client, is started meanwhile.
    witness = ask.ctr.host.shared / f"{ask.ctr.namespace}.witness"
    theirs = [f"--label={key}={value.replace(str(ask.marker), str(witness))}" for key, value in restarted.items()]
    await asyncio.to_thread(ask.ctr, "containers", "create", *theirs, "--", BUSYBOX, "theirs", *ONCE)
    deadline = time.monotonic() + RESTARTED
    while not await asyncio.to_thread(witness.exists):
        assert time.monotonic() < deadline, "the restart plugin does not look"
        await asyncio.sleep(0.2)
    assert not await ask.written()
    await asyncio.to_thread(ask.ctr, "containers", "label", "theirs", *(f"{key}=" for key in restarted))


async def test_what_is_refused_or_only_judged_changes_nothing(ask: Asking) -> None:
    """An image that is not unpacked stays so: whoever is refused could fill the disk else."""
    await ask.serve()
    file = ask.ctr.host.shared / f"{ask.ctr.namespace}.tar"
    file.write_bytes(archive(b"no program", name=PACKED, layers=[{"etc/passwd": b"ann:x:7:8::/:\n"}]))
    await asyncio.to_thread(ask.ctr, "images", "import", "--no-unpack", str(file))
    file.unlink()
    before = await ask.seen()

    wanted: dict[str, Any] = {"image": PACKED, "command": ONCE, "user": "ann"}
    for verb in ("create", "run"):
        await ask.refused(verb, **wanted, privileged=True)
        await ask.refused(verb, **wanted, privileged=True, dry_run=True)
        assert (await ask.ok(verb, **wanted, dry_run=True))["rule"] == "default"
    assert await ask.seen() == before

    await ask.ok("create", **wanted)
    assert await ask.seen() != before


async def test_an_exec_asks_for_what_its_container_has_not_and_for_its_might(ask: Asking) -> None:
    await ask.serve("default = 'allow'\n[spec]\nexisting = true\n")
    await asyncio.to_thread(ask.ctr.run, "theirs", *SLEEP, options=("--privileged", "--allow-new-privs"))
    await ask.ok("exec", "theirs", args=["sh", "-c", "true"], capabilities=["CAP_SYS_ADMIN"])
    await ask.ok("run", image=BUSYBOX, command=SLEEP)
    sentence = await ask.refused("exec", args=["sh", "-c", "true"], capabilities=["CAP_SYS_ADMIN"])
    assert "has the capability 'CAP_SYS_ADMIN'" in sentence
