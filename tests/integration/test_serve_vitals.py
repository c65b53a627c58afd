"""Alive and ready on real servers: what hangs is found by what no longer moves; the watchdog barks where a restart helps.

Each trouble is asked about both ways: over HTTP, and by what a supervisor's socket is told.
"""

from __future__ import annotations

import json
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fix_bridge import WITHIN_S, Bridge, BridgeFactory
from tests.fix_containerd import ContainerdFactory
from tests.fix_nats import NatsServerFactory
from tests.stalled import ON, STILL
from tests.supervisor import Supervisor
from tests.testbed import Containerd, NatsServer


class Watched:
    """A bridge with a supervisor and its servers."""

    def __init__(self, bridge: Bridge, supervisor: Supervisor, containerd: Containerd, nats: NatsServer) -> None:
        self.bridge, self.supervisor, self.containerd, self.nats = bridge, supervisor, containerd, nats

    def ask(self, path: str, *, within: float = 90) -> tuple[int, dict[str, str]]:
        line = self.bridge.log[self.bridge.until_logged("health and metrics on") - 1]
        try:
            with urllib.request.urlopen(f"{line.rpartition(' ')[2]}{path}", timeout=within) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def until(self, path: str, text: str) -> None:
        """Wait until `path` answers with a reason that has `text` in it, or with ok where that is empty."""
        deadline = time.monotonic() + WITHIN_S
        while True:
            status, said = self.ask(path)
            if text in said.get("reason", "") if text else status == 200:
                return
            assert time.monotonic() < deadline, said
            time.sleep(0.05)


@pytest.fixture
def part() -> str:
    return "nothing"


@pytest.fixture
def watched(
    part: str,
    bridge_factory: BridgeFactory,
    containerd_factory: ContainerdFactory,
    nats_server_factory: NatsServerFactory,
    tmp_path: Path,
) -> Iterator[Watched]:
    host, server = containerd_factory(), nats_server_factory()
    with Supervisor(tmp_path / "notify") as supervisor:
        bridge = bridge_factory(
            *("--containerd", host.address, "--nats", server.url, "--node", "n1", "--http", "127.0.0.1:0"),
            *("--state-dir", tmp_path / "state", "--lease", "2"),
            environ=supervisor.environ,
            program=("-m", "tests.stalled", part),
        )
        supervisor.until("STATUS=events flow", after=supervisor.until("READY=1", after=0))
        yield Watched(bridge, supervisor, host, server)


def test_ready_is_told_once_events_flow_and_stopping_with_the_reason(watched: Watched) -> None:
    told = watched.supervisor.told
    assert watched.ask("/readyz") == (200, {"status": "ok"})
    assert "following containerd" in "\n".join(watched.bridge.log)
    assert told[0] == "STATUS=starting as node n1"
    watched.supervisor.until("WATCHDOG=1", times=3)
    assert watched.bridge.stop() == 0
    watched.supervisor.now()
    assert told.count("READY=1") == 1
    assert told[-2:] == ["STOPPING=1", "STATUS=asked to stop"]


def test_a_containerd_or_a_nats_that_hangs_makes_it_not_ready_and_leaves_it_alive(watched: Watched) -> None:
    """A restart would wait for the same: the watchdog is fed, `/livez` says ok, and `/readyz` names who is away."""
    supervisor = watched.supervisor
    for hanging, of in ((watched.containerd, "containerd"), (watched.nats, "the log|NATS|the node's lease")):
        before = supervisor.now()
        hanging.freeze()
        try:
            deadline = time.monotonic() + WITHIN_S
            while (answer := watched.ask("/readyz"))[0] == 200:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert any(word in answer[1]["reason"] for word in of.split("|")), answer
            said = supervisor.until("STATUS=", after=before, but="STATUS=events flow")
            supervisor.until("WATCHDOG=1", times=3, after=said)
            watched.until("/livez", "")
        finally:
            hanging.thaw()
        watched.until("/readyz", "")
        supervisor.until("STATUS=events flow", after=said)


@pytest.mark.parametrize("part", ["loop"])
def test_a_loop_that_hangs_answers_nobody_and_the_watchdog_hears_nothing(watched: Watched) -> None:
    bridge, supervisor = watched.bridge, watched.supervisor
    address = bridge.log[bridge.until_logged("health and metrics on") - 1].rpartition(" ")[2]
    bridge.process.send_signal(signal.SIGUSR1)
    bridge.until_logged(STILL)
    before = supervisor.now()
    with pytest.raises(TimeoutError):
        urllib.request.urlopen(f"{address}/livez", timeout=1)  # two signs of life would be due
    assert supervisor.now() == before
    bridge.process.send_signal(signal.SIGUSR2)
    supervisor.until("WATCHDOG=1", after=before)


@pytest.mark.parametrize("part", ["disk"])
def test_a_disk_that_does_not_answer_ends_the_signs_of_life(watched: Watched) -> None:
    bridge, supervisor = watched.bridge, watched.supervisor
    before = supervisor.now()
    bridge.process.send_signal(signal.SIGUSR1)
    watched.until("/readyz", "the outbox has not answered for")
    watched.until("/livez", "the recorder has hung for")
    hung = supervisor.until("STATUS=the recorder has hung", after=before)
    bridge.process.send_signal(signal.SIGUSR2)
    bridge.until_logged(ON)
    supervisor.until("STATUS=events flow", after=hung)
    told = supervisor.told[hung:]
    again = next(n for n, line in enumerate(told) if line.startswith("STATUS=") and "has hung" not in line)
    assert "WATCHDOG=1" not in told[: again - 1]  # the sign of life stands right before what else is new
    watched.until("/livez", "")


@pytest.mark.parametrize("part", ["log"])
def test_an_outbox_that_does_not_drain_is_said_although_nothing_has_failed(watched: Watched) -> None:
    bridge = watched.bridge
    bridge.process.send_signal(signal.SIGUSR1)
    bridge.until_logged(STILL)
    watched.until("/readyz", "no event has reached the log for")
    watched.until("/livez", "")
    bridge.process.send_signal(signal.SIGUSR2)
    watched.until("/readyz", "")
