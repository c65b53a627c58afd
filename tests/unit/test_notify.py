"""What a supervisor is told, on a real socket: each line when it holds, and nothing to nobody."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bridge.notify import Notifier
from tests.supervisor import Supervisor


class Daemon:
    """What a test says of the daemon."""

    def __init__(self) -> None:
        self.dead: str | None = None
        self.unready: str | None = None
        self.asked = asyncio.Event()

    def alive(self) -> str | None:
        self.asked.set()
        return self.dead

    def ready(self) -> str | None:
        return self.unready

    async def until_asked(self) -> None:
        for _ in range(2):  # the first may have been under way
            self.asked.clear()
            await self.asked.wait()


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor(tmp_path / "notify", watchdog_s=0.04) as supervisor:
        yield supervisor


@contextlib.asynccontextmanager
async def running(notifier: Notifier, daemon: Daemon) -> AsyncIterator[None]:
    task = asyncio.create_task(notifier.run(alive=daemon.alive, ready=daemon.ready))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def test_ready_waits_for_events_to_flow_and_is_told_once(supervisor: Supervisor) -> None:
    daemon = Daemon()
    daemon.unready = "the subscription to containerd\nis not proven live"
    async with running(Notifier(supervisor.environ), daemon):
        await daemon.until_asked()
        supervisor.now()
        assert "READY=1" not in supervisor.told
        assert supervisor.told.count("STATUS=the subscription to containerd is not proven live") == 1
        daemon.unready = None
        await daemon.until_asked()
        daemon.unready = "NATS is not connected"
        await daemon.until_asked()
        daemon.unready = None
        await daemon.until_asked()
    supervisor.now()
    assert supervisor.told.count("READY=1") == 1
    assert [line for line in supervisor.told if line.startswith("STATUS=")][1:] == [
        *("STATUS=events flow", "STATUS=NATS is not connected", "STATUS=events flow")
    ]


async def test_signs_of_life_are_given_to_one_that_is_not_ready_and_not_to_one_that_hangs(
    supervisor: Supervisor,
) -> None:
    daemon = Daemon()
    daemon.unready = "NATS is not connected"
    async with running(Notifier(supervisor.environ), daemon):
        await daemon.until_asked()
        supervisor.now()
        assert "WATCHDOG=1" in supervisor.told
        daemon.dead = "the recorder has hung for 121 s"
        await daemon.until_asked()
        before = supervisor.now()
        await daemon.until_asked()
        assert supervisor.now() == before
    assert supervisor.told[-1] == "STATUS=the recorder has hung for 121 s"


async def test_a_dead_bridge_is_never_ready(supervisor: Supervisor) -> None:
    daemon = Daemon()
    daemon.dead = "the recorder has ended"
    async with running(Notifier(supervisor.environ), daemon):
        await daemon.until_asked()
    supervisor.now()
    assert supervisor.told == ["STATUS=the recorder has ended"]


@pytest.mark.parametrize(
    "watchdog", [{}, {"WATCHDOG_USEC": "40000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "0"}]
)
async def test_without_a_watchdog_of_ours_there_are_no_signs_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watchdog: dict[str, str]
) -> None:
    monkeypatch.setattr("bridge.notify.LOOK_S", 0.01)
    daemon = Daemon()
    with Supervisor(tmp_path / "notify") as supervisor:
        async with running(Notifier({"NOTIFY_SOCKET": str(supervisor.path)} | watchdog), daemon):
            await daemon.until_asked()
        supervisor.now()
    assert supervisor.told == ["READY=1", "STATUS=events flow"]


async def test_an_abstract_socket_is_one_too() -> None:
    name = f"containerd-bridge-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        Notifier({"NOTIFY_SOCKET": f"@{name}"}).stopping("asked to stop")
        assert listener.recv(100) == b"STOPPING=1\nSTATUS=asked to stop"


@pytest.mark.parametrize("address", ["", "tcp:127.0.0.1:1", "vsock:2:1"])
def test_where_nobody_listens_nothing_is_sent(address: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": address})
    assert not notifier.listens
    notifier.stopping("asked to stop")


def test_a_supervisor_that_is_gone_is_said_once_and_harms_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    with caplog.at_level(logging.WARNING):
        notifier.starting("starting")
        notifier.stopping("asked to stop")
    [record] = caplog.records
    assert "cannot be told how the bridge stands" in record.getMessage()


def test_a_supervisor_that_does_not_read_holds_nobody_up(supervisor: Supervisor) -> None:
    notifier = Notifier(supervisor.environ)
    for number in range(2_000):  # more than a socket's queue takes
        notifier.starting(f"{number} " + "x" * 1_000)


async def test_what_did_not_fit_is_told_when_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.notify.LOOK_S", 0.01)
    path, daemon = tmp_path / "notify", Daemon()
    notifier = Notifier({"NOTIFY_SOCKET": str(path)})
    async with running(notifier, daemon):
        await daemon.until_asked()  # nobody listens yet
        with Supervisor(path) as supervisor:
            await asyncio.to_thread(supervisor.until, "STATUS=events flow", after=0)
            assert supervisor.told == ["READY=1", "STATUS=events flow"]
