"""The daemon on a disk that fails, is full, is lost or damaged, and with a stream that was lost: it says so and goes on."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import subprocess
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fix_bridge import Bridge, BridgeFactory, Stored, stored, until_stored
from tests.fix_nats import NatsServerFactory
from tests.guards import lacking
from tests.integration.test_serve import gapless, publish
from tests.testbed import Ctr, NatsServer

MIB = 1024 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MiB of its own, in memory."""
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=24m", "none") as path:
        yield path


@contextmanager
def mounted(path: Path, *options: str | Path) -> Iterator[Path]:
    """Mount something there, where the machine lets us."""
    path.mkdir(exist_ok=True)
    if os.geteuid() != 0:
        lacking("mounting a disk needs root")
    needs("mount", *options, path)
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def needs(*command: str | Path) -> None:
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        lacking(f"this machine has no {command[0]}")
    if done.returncode:
        lacking(f"{command[0]} does not work here: {done.stderr.strip()}")


class Start:
    """Starts daemons as node `n1` on one containerd and one server."""

    def __init__(self, factory: BridgeFactory, ctr: Ctr, server: NatsServer) -> None:
        self._factory = factory
        self._options = ("--containerd", ctr.host.address, "--nats", server.url, "--node", "n1")

    def __call__(self, state: Path, *options: str, environ: Mapping[str, str] | None = None) -> Bridge:
        where = ("--state-dir", state, "--http", "127.0.0.1:0")
        return self._factory(*self._options, *where, *options, environ=environ)


@pytest.fixture
def server(nats_server_factory: NatsServerFactory) -> NatsServer:
    return nats_server_factory()


@pytest.fixture
def start(bridge_factory: BridgeFactory, ctr: Ctr, server: NatsServer) -> Start:
    return Start(bridge_factory, ctr, server)


def readiness(bridge: Bridge) -> str:
    """What /readyz answers."""
    line = bridge.log[bridge.until_logged("health and metrics on") - 1]
    try:
        with urllib.request.urlopen(f"{line.rpartition(' ')[2]}/readyz", timeout=90) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return error.read().decode()


def exit_of(container: str) -> Callable[[Stored], bool]:
    return lambda message: message.word == "exit" and message.event["subject"] == container


def of_containers(messages: list[Stored]) -> dict[str, list[int]]:
    """The sequence numbers of each container, in the order of the stream."""
    found: dict[str, list[int]] = defaultdict(list)
    for message in messages:
        if "sequence" in message.event:
            found[message.event["subject"]].append(int(message.event["sequence"]))
    return found


def goes_on_after(bridge: Bridge, ctr: Ctr, server: NatsServer, mend: Callable[[], object], reason: str) -> None:
    """The disk fails in this way now: see that it is said, that nothing is lost, and that the daemon goes on."""
    ctr.run("during", "true")
    failed = bridge.until_logged(reason)
    lost = bridge.until_logged("lost containerd: the outbox", after=failed)
    assert reason in readiness(bridge)
    mend()
    again = bridge.until_logged("the outbox can be written again after", after=failed)
    bridge.live(after=max(lost, again - 1))
    ctr.run("after", "true")
    messages = until_stored(server.url, exit_of("after"))
    assert any(exit_of("during")(message) for message in messages), "it was read before"
    assert reason in [message for message in messages if message.word == "gap"][-1].data["reason"]
    gapless(messages)
    assert bridge.stop() == 0


def fill(path: Path) -> None:
    """Write until the disk takes no more."""
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_a_full_disk(start: Start, ctr: Ctr, server: NatsServer, small_disk: Path) -> None:
    bridge = start(small_disk, "--outbox-reserve-bytes", "0")
    bridge.live()
    ballast = small_disk / "ballast"
    with pytest.raises(OSError, match="No space left"):
        fill(ballast)
    goes_on_after(bridge, ctr, server, ballast.unlink, "the disk is full")


def test_a_disk_that_reports_errors(start: Start, ctr: Ctr, server: NatsServer, tmp_path: Path) -> None:
    """The kernel refuses each write to a file of this process, which SQLite takes for a broken disk."""
    bridge = start(tmp_path / "state")
    bridge.live()
    before = resource.prlimit(bridge.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    goes_on_after(
        *(bridge, ctr, server, lambda: resource.prlimit(bridge.process.pid, resource.RLIMIT_FSIZE, before)),
        reason="the disk reports an error",
    )


def test_a_file_that_another_program_has_locked(start: Start, ctr: Ctr, server: NatsServer, tmp_path: Path) -> None:
    bridge = start(tmp_path / "state")
    bridge.live()
    other = sqlite3.connect(tmp_path / "state" / "outbox.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    goes_on_after(bridge, ctr, server, other.close, "another program has held its lock")


def test_a_stop_while_the_disk_fails_says_what_is_lost(start: Start, ctr: Ctr, tmp_path: Path) -> None:
    bridge = start(tmp_path / "state")
    bridge.live()
    resource.prlimit(bridge.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    ctr.run("during", "true")
    bridge.until_logged("the disk reports an error")
    assert bridge.stop() == 1
    assert "the disk did not take" in bridge.log[-1]
    assert "the disk reports an error" in bridge.log[-1]


def test_a_disk_that_fails_for_too_long_ends_it_with_a_sentence(start: Start, ctr: Ctr, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import bridge.capture.recorder as recorder; recorder.LASTING_S = 1.0")
    bridge = start(tmp_path / "state", environ={**os.environ, "PYTHONPATH": str(tmp_path)})
    bridge.live()
    resource.prlimit(bridge.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    ctr.run("during", "true")
    assert bridge.process.wait(90) == 1
    bridge.until_ended()
    assert "the disk reports an error" in bridge.log[-1]
    assert bridge.log[-1].endswith("mend the disk")


def test_a_disk_that_the_kernel_has_made_read_only(start: Start, ctr: Ctr, server: NatsServer, tmp_path: Path) -> None:
    """As after errors of the device; nothing helps but a repair, and what was committed before is there after it."""
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(64 * MIB)
    needs("mkfs.ext4", "-q", image)
    with mounted(tmp_path / "disk", "-o", "loop", image) as disk:
        bridge = start(disk / "state", "--outbox-reserve-bytes", "0")
        live = bridge.live()
        ctr.run("before", "true")
        until_stored(server.url, exit_of("before"))
        needs("mount", "-o", "remount,abort", disk)
        ctr.run("during", "true")
        bridge.until_logged("cannot be written or read: the disk", after=live)
        assert "no events are taken in: the outbox" in readiness(bridge)
        assert bridge.stop() == 1
    subprocess.run(["e2fsck", "-p", image], check=False, capture_output=True)
    with mounted(tmp_path / "disk", "-o", "loop", image):
        bridge.start()
        bridge.live(after=live)
        ctr.run("after", "true")
        gapless(until_stored(server.url, exit_of("after")))
        assert bridge.stop() == 0


def test_a_disk_that_is_nearly_full_is_left_alone(start: Start, ctr: Ctr, server: NatsServer, small_disk: Path) -> None:
    bridge = start(small_disk, "--outbox-reserve-bytes", "25MiB")
    bridge.until_logged("the disk under")
    assert bridge.stop() == 0
    bridge = start(small_disk, "--outbox-reserve-bytes", "12MiB")
    live = bridge.live()
    (small_disk / "ballast").write_bytes(bytes(14 * MIB))
    lost = bridge.until_logged("lost containerd: the disk under", after=live)
    assert "nearly full" in readiness(bridge)
    (small_disk / "ballast").unlink()
    bridge.live(after=lost)
    ctr.run("after", "true")
    messages = until_stored(server.url, exit_of("after"))
    assert "outbox_reserve_bytes is 12.0 MiB" in [m for m in messages if m.word == "gap"][-1].data["reason"]
    gapless(messages)


def test_an_outbox_that_is_full_costs_a_gap_and_goes_on_when_nats_is_back(
    start: Start, ctr: Ctr, server: NatsServer, tmp_path: Path
) -> None:
    bridge = start(tmp_path / "state", "--outbox-max-bytes", "2MiB")
    live = bridge.live()
    server.kill()
    publish(ctr, "/tasks/big", "nobody.knows.This", bytes(4 * MIB))
    lost = bridge.until_logged("lost containerd: the outbox is full", after=live)
    assert "outbox_max_bytes is 2.0 MiB" in readiness(bridge)
    server.start()
    bridge.live(after=lost)
    ctr.run("after", "true")
    messages = until_stored(server.url, exit_of("after"))
    assert sum(message.word == "raw" and message.data["topic"] == "/tasks/big" for message in messages) > 10
    assert "outbox_max_bytes is 2.0 MiB" in [m for m in messages if m.word == "gap"][-1].data["reason"]
    gapless(messages)


def test_a_damaged_outbox_is_put_aside_and_the_numbers_of_containers_go_on(
    start: Start, ctr: Ctr, server: NatsServer, tmp_path: Path
) -> None:
    bridge = start(tmp_path / "state")
    bridge.live()
    ctr.run("web.1", "sh", "-c", "sleep 1000", options=("--label", "app=shop"))
    until_stored(server.url, lambda message: message.word == "start")
    assert bridge.stop() == 0
    with (tmp_path / "state" / "outbox.db").open("r+b") as file:
        file.write(bytes(8192))
    bridge.start()
    bridge.live(after=bridge.until_logged("is damaged (its beginning is empty): it is kept as"))
    ctr.kill("web.1")
    messages = until_stored(server.url, exit_of("web.1"))
    numbers = of_containers(messages)["web.1"]
    assert numbers == list(range(1, len(numbers) + 1))
    ended = next(message for message in messages if message.word == "exit")
    started = next(message for message in messages if message.word == "start")
    assert ended.event["incarnation"] == started.event["incarnation"]
    assert ended.data["labels"]["app"] == "shop"
    gap = [message for message in messages if message.word == "gap"][-1]
    assert "the outbox was damaged (its beginning is empty) and a new one began" in gap.data["reason"]
    assert gap.data["since"] < gap.data["until"]
    assert len(list((tmp_path / "state").glob("outbox.db.damaged-*Z"))) == 1


def test_a_state_directory_that_was_lost(start: Start, ctr: Ctr, server: NatsServer, tmp_path: Path) -> None:
    bridge = start(tmp_path / "state")
    bridge.live()
    ctr.run("web.1", "true")
    until_stored(server.url, exit_of("web.1"))
    bridge.kill()
    shutil.rmtree(tmp_path / "state")
    bridge.start()
    bridge.live(after=bridge.until_logged("a new outbox for a node that has a log"))
    ctr.delete("web.1")
    messages = until_stored(server.url, lambda message: message.word == "container-delete")
    numbers = of_containers(messages)["web.1"]
    assert numbers == list(range(1, len(numbers) + 1))


def test_yesterdays_outbox_is_refused_and_says_what_to_do(
    start: Start, ctr: Ctr, server: NatsServer, tmp_path: Path
) -> None:
    bridge = start(tmp_path / "state")
    live = bridge.live()
    assert bridge.stop() == 0
    shutil.copyfile(tmp_path / "state" / "outbox.db", tmp_path / "copy.db")
    bridge.start()
    bridge.live(after=live)
    ctr.run("web.1", "true")
    until_stored(server.url, exit_of("web.1"))
    assert bridge.stop() == 0
    shutil.copyfile(tmp_path / "copy.db", tmp_path / "state" / "outbox.db")
    bridge.start()
    assert bridge.process.wait(90) == 2
    bridge.until_ended()
    assert "it was restored from an older copy" in bridge.log[-1]
    assert "move it away and start again" in bridge.log[-1]


@pytest.mark.parametrize("down", [False, True], ids=["while it runs", "while it is down"])
def test_a_stream_that_was_deleted_is_made_anew_and_filled(
    start: Start, ctr: Ctr, server: NatsServer, tmp_path: Path, *, down: bool
) -> None:
    bridge = start(tmp_path / "state")
    live = bridge.live()
    ctr.run("before", "true")
    before = until_stored(server.url, exit_of("before"))
    if down:
        assert bridge.stop() == 0
    delete_stream(server)
    if down:
        bridge.start()
        live = bridge.live(after=live)
    ctr.run("after", "true")
    messages = until_stored(server.url, exit_of("after"))
    gapless(messages)
    # A lease has no place in the outbox: the bridge writes it anew.
    placed = [message.body for message in before if message.word != "lease"]
    assert [message.body for message in messages if message.word != "lease"][: len(placed)] == placed
    bridge.until_logged("the log went back: it had acknowledged")


def delete_stream(server: NatsServer) -> None:
    import asyncio

    import nats

    async def delete() -> None:
        client = await nats.connect(server.url)
        await client.jetstream(timeout=60).delete_stream("CONTAINERD_EVENTS")
        await client.close()

    asyncio.run(delete())


def test_a_server_that_is_restored_from_an_older_copy(
    start: Start, ctr: Ctr, server: NatsServer, tmp_path: Path
) -> None:
    bridge = start(tmp_path / "state")
    bridge.live()
    ctr.run("before", "true")
    until_stored(server.url, exit_of("before"))
    server.kill()
    shutil.copytree(server.directory / "jetstream", tmp_path / "copy")
    server.start()
    ctr.run("between", "true")
    until_stored(server.url, exit_of("between"))
    server.kill()
    shutil.rmtree(server.directory / "jetstream")
    shutil.copytree(tmp_path / "copy", server.directory / "jetstream")
    server.start()
    assert not any(exit_of("between")(message) for message in stored(server.url))
    ctr.run("after", "true")
    messages = until_stored(server.url, exit_of("after"))
    gapless(messages)
    assert any(exit_of("between")(message) for message in messages)
