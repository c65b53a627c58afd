"""A node has one bridge (guarantee 5): the second one is refused, or takes over, and what both wrote is never mixed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from tests.fix_bridge import Bridge, BridgeFactory, Stored, stored, until_stored
from tests.fix_nats import NatsServerFactory
from tests.integration.test_serve import gapless
from tests.testbed import Containerd, Ctr

LEASE_S = 3


class Pair:
    """Options for bridges of one node that share nothing else."""

    def __init__(self, make: BridgeFactory, containerd: Containerd, url: str, directory: Path) -> None:
        self._make = make
        self._common = ("--containerd", containerd.address, "--nats", url, "--node", "n1")
        self._directory = directory

    def options(self, state: str, *more: str) -> tuple[str | Path, ...]:
        return (*self._common, "--state-dir", self._directory / state, *more)

    def start(self, state: str, *more: str, lease_s: int = 600) -> Bridge:
        return self._make(*self.options(state, "--lease", str(lease_s), *more))


@pytest.fixture
def pair(bridge_factory: BridgeFactory, containerd: Containerd, nats_url: str, tmp_path: Path) -> Pair:
    return Pair(bridge_factory, containerd, nats_url, tmp_path)


def log_of(message: Stored) -> str:
    """UUID of the outbox that an event is from."""
    event = message.event
    return str(event["data"]["log"] if message.word == "lease" else event["position"].rpartition(":")[0])


def blocks(messages: Sequence[Stored]) -> list[str]:
    """The outboxes in the order of the stream, each as often as its events begin anew."""
    logs = [log_of(message) for message in messages]
    return [log for before, log in zip(["", *logs], logs, strict=False) if log != before]


def test_a_second_bridge_of_the_node_is_refused_with_a_sentence_that_names_the_first(pair: Pair, nats_url: str) -> None:
    first = pair.start("one", lease_s=LEASE_S)
    first.live()
    ran = subprocess.run(
        [sys.executable, "-m", "bridge", "serve", *map(str, pair.options("two"))],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert ran.returncode == 2
    [sentence] = [line for line in ran.stderr.splitlines() if not line.startswith("{")]
    for word in ("node n1", f"pid {first.process.pid}", "since 20", "last renewed 20", "stop that one", "--node"):
        assert word in sentence
    assert first.process.poll() is None
    assert len(blocks(stored(nats_url))) == 1


def test_two_nodes_on_one_bus_do_not_disturb_each_other(
    bridge_factory: BridgeFactory, containerd: Containerd, nats_url: str, tmp_path: Path
) -> None:
    common = ("--containerd", containerd.address, "--nats", nats_url)
    for node in ("n1", "n2"):
        bridge_factory(*common, "--node", node, "--state-dir", tmp_path / node).live()


def test_after_a_stop_the_next_bridge_starts_at_once(pair: Pair, nats_url: str) -> None:
    first = pair.start("one")
    first.live()
    assert first.stop() == 0
    pair.start("two").live()  # the lease is ten minutes
    messages = stored(nats_url)
    assert len(blocks(messages)) == 2
    assert [m.word for m in messages if log_of(m) == log_of(messages[0])][-1] == "stopped"


@pytest.mark.parametrize("state", ["one", "two"], ids=["in the same state directory", "in another one"])
def test_after_kill_9_the_next_bridge_on_the_host_starts_at_once(pair: Pair, nats_url: str, state: str) -> None:
    first = pair.start("one")
    first.live()
    first.kill()
    second = pair.start(state)
    second.live()  # the lease is ten minutes
    assert "took over node n1 from containerd-bridge" in "".join(second.log)
    messages = stored(nats_url)
    assert len(blocks(messages)) == (1 if state == "one" else 2)
    first_lease, second_lease = (m for m in messages if m.word == "lease")
    assert second_lease.data["before"] == first_lease.data["holder"]
    assert "position" not in second_lease.event


def test_one_that_was_suspended_is_followed_and_stops_when_it_wakes_up(pair: Pair, ctr: Ctr, nats_url: str) -> None:
    first = pair.start("one", lease_s=LEASE_S)
    first.live()
    ctr.run("before", "true")
    until_stored(nats_url, lambda m: m.word == "exit" and m.event["subject"] == "before")
    first.process.send_signal(signal.SIGSTOP)
    ctr.run("asleep", "true")  # waits in the first one's socket, to be read when it wakes up
    second = pair.start("two", lease_s=LEASE_S)
    second.live()
    ctr.run("after", "true")
    until_stored(nats_url, lambda m: m.word == "exit" and m.event["subject"] == "after")
    first.process.send_signal(signal.SIGCONT)
    assert first.process.wait(90) == 1
    first.until_ended()
    said = first.log[-1]
    assert "node n1 now has another bridge" in said
    assert f"pid {second.process.pid}" in said
    ctr.run("again", "true")
    messages = until_stored(nats_url, lambda m: m.word == "exit" and m.event["subject"] == "again")
    one, other = blocks(messages)
    for log in (one, other):
        gapless([m for m in messages if log_of(m) == log])
    assert next(m.word for m in messages if log_of(m) == other) == "lease"


def test_on_older_servers_the_suspended_one_stops_too(
    bridge_factory: BridgeFactory,
    containerd: Containerd,
    nats_server_factory: NatsServerFactory,
    tmp_path: Path,
) -> None:
    server = nats_server_factory(version="2.10")
    pair = Pair(bridge_factory, containerd, server.url, tmp_path)
    first = pair.start("one", lease_s=LEASE_S)
    first.live()
    first.process.send_signal(signal.SIGSTOP)
    pair.start("two", lease_s=LEASE_S).live()
    first.process.send_signal(signal.SIGCONT)
    assert first.process.wait(90) == 1
    assert len(blocks(stored(server.url))) == 2


def test_an_outage_of_nats_longer_than_the_lease_costs_nobody_the_node(
    bridge_factory: BridgeFactory, ctr: Ctr, nats_server_factory: NatsServerFactory, tmp_path: Path
) -> None:
    server = nats_server_factory()
    bridge = Pair(bridge_factory, ctr.host, server.url, tmp_path).start("one", "--http", "127.0.0.1:0", lease_s=2)
    live = bridge.live()
    bridge.until_logged("health and metrics on")
    health = next(line for line in bridge.log if line.startswith("health and metrics on")).rpartition(" ")[2]
    assert httpx.get(f"{health}/readyz").status_code == 200
    assert "containerd_bridge_lease_held 1.0" in httpx.get(f"{health}/metrics").text
    server.freeze()
    lapsed = bridge.until_logged("the lease of node n1 has run out", after=live)
    assert "lease" in httpx.get(f"{health}/readyz").json()["reason"]
    assert "containerd_bridge_lease_held 0.0" in httpx.get(f"{health}/metrics").text
    ctr.run("meanwhile", "true")
    server.thaw()
    bridge.until_logged("the lease of node n1 is renewed", after=lapsed)
    messages = until_stored(server.url, lambda m: m.word == "exit" and m.event["subject"] == "meanwhile")
    gapless(messages)
    assert bridge.stop() == 0


def test_a_node_without_commands_is_shown(pair: Pair, nats_url: str) -> None:
    first = pair.start("one")
    first.live()
    asked = [sys.executable, "-m", "bridge", "nodes", "--json", "--nats", nats_url]
    [one] = map(json.loads, subprocess.run(asked, check=True, capture_output=True, text=True).stdout.splitlines())
    assert (one["node"], one["answers"], one["groups"]) == ("n1", False, [])
    assert one["record"]["pid"] == first.process.pid
    assert one["record"]["containerd"]
    assert first.stop() == 0
    assert subprocess.run(asked, check=True, capture_output=True, text=True).stdout == ""
