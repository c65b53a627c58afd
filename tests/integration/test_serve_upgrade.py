"""One bridge after the other, under load: `--take-over` leaves no gap, misses no event, and has none twice.

The independent witness is `ctr events`, which ran all along.
"""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from tests.fix_bridge import UNHURRIED, WITHIN_S, Bridge, BridgeFactory, stored, until_stored
from tests.fix_nats import NatsServerFactory
from tests.integration.test_serve import gapless, told_by_ctr, told_by_us
from tests.integration.test_serve_disk import exit_of
from tests.testbed import Ctr, NatsServer

UPGRADES = 10

LOAD = (
    "export CONTAINERD_NAMESPACE=$1; n=0; while [ -e $2 ]; do n=$((n+1)); "
    "ctr run --rm --null-io docker.io/library/busybox:local load-$n sh -c 'exit 3' || true; sleep 0.3; done"
)


class Place:
    """A node: its servers, and what every bridge of it is started with."""

    def __init__(self, factory: BridgeFactory, ctr: Ctr, server: NatsServer, state: Path) -> None:
        self.ctr, self.server, self._factory = ctr, server, factory
        self.options = (
            *("--containerd", ctr.host.address, "--nats", server.url, "--node", "n1", "--state-dir", state),
            *("--namespace", ctr.namespace, "--http", "127.0.0.1:0"),
        )

    def start(self, *more: str, environ: Mapping[str, str] | None = None) -> Bridge:
        # A stop that takes long is no failure here.
        return self._factory(*self.options, *more, environ=environ, program=UNHURRIED)

    def words(self) -> list[str]:
        """What the log tells of the node, without heartbeats and leases."""
        found = [message for message in stored(self.server.url) if message.subject.startswith("containerd.nodes.")]
        return [each.word for each in found if each.word not in {"heartbeat", "lease"} and "image" not in each.word]


@pytest.fixture
def place(bridge_factory: BridgeFactory, ctr: Ctr, nats_server_factory: NatsServerFactory, tmp_path: Path) -> Place:
    return Place(bridge_factory, ctr, nats_server_factory(), tmp_path / "state")


class Load:
    """Containers that come and go in the host, until `stop`: when it returns nothing more happens."""

    def __init__(self, ctr: Ctr) -> None:
        self._on = ctr.host.shared / f"load-{ctr.namespace}"
        self._on.touch()
        words = ("load", ctr.namespace, str(self._on))
        self._busy = ctr.host.popen("sh", "-c", LOAD, *words, stdout=subprocess.DEVNULL)

    def stop(self) -> None:
        self._on.unlink(missing_ok=True)
        self._busy.wait(200)


@pytest.fixture
def load(ctr: Ctr) -> Iterator[Load]:
    load = Load(ctr)
    yield load
    load.stop()


def test_ten_upgrades_under_load_miss_nothing_and_repeat_nothing(place: Place, load: Load) -> None:
    bridge = place.start()
    bridge.live()
    with place.ctr.events() as seen:
        for number in range(UPGRADES):
            successor = place.start("--take-over")
            successor.until_logged("following containerd")
            assert bridge.process.wait(90) == 0
            bridge.until_ended()
            assert f"stopping: handed over to pid {successor.process.pid}" in bridge.log
            bridge = successor
            seen.until_topic("/tasks/exit")  # there is load
            assert number or bridge.runs
        load.stop()
        place.ctr.run("last", "true")
        seen.until_topic("/tasks/exit", "last")
    messages = until_stored(place.server.url, exit_of("last"))
    told, expected = told_by_us(messages), told_by_ctr(seen.seen)
    assert len(expected) > UPGRADES
    # The witness began in the middle of the first containers.
    whole = {name: events for name, events in expected.items() if events[0][0] == "container-create"}
    assert {name: told[name] for name in whole} == whole
    gapless(messages)
    words = place.words()
    assert words.count("gap") == 1  # the first start
    assert words.count("started") == words.count("connected") == UPGRADES + 1
    assert words.count("stopped") == UPGRADES
    # What the first start found in containerd's lists is told before its end; nothing had to be told after that.
    begun = next(at for at, message in enumerate(messages) if message.word == "reconciled")
    assert not [message for message in messages[begun + 1 :] if message.event["origin"] == "reconciled"]
    assert bridge.stop() == 0


def test_where_nobody_works_it_is_a_start_like_any_other(place: Place) -> None:
    bridge = place.start("--take-over")
    bridge.live()
    until_stored(place.server.url, lambda message: message.word == "gap")
    assert place.words()[:2] == ["started", "gap"]


def test_a_bridge_that_dies_in_the_middle_leaves_a_gap_and_no_more(place: Place) -> None:
    """The predecessor is killed at the moment when the successor asks: nothing was written down as a cut."""
    bridge = place.start()
    bridge.live()
    until_stored(place.server.url, lambda message: message.word == "gap")
    bridge.process.send_signal(signal.SIGSTOP)  # it does not hear of it
    successor = place.start("--take-over")
    successor.until_logged("asking the bridge with pid")
    bridge.kill()
    successor.until_logged("the former bridge ended without handing over")
    successor.live()
    place.ctr.run("last", "true")
    messages = until_stored(place.server.url, exit_of("last"))
    assert [message.data["cause"] for message in messages if message.word == "gap"] == ["first-start", "not-running"]
    gapless(messages)


def address(port: int) -> str:
    return f"127.0.0.1:{port}"


def test_a_successor_that_could_not_start_leaves_its_predecessor_as_it_is(place: Place, tmp_path: Path) -> None:
    bridge = place.start()
    bridge.live()
    until_stored(place.server.url, lambda message: message.word == "gap")
    served = next(line for line in bridge.log if "health and metrics on" in line)
    port = int(served.rpartition(":")[2])
    outbox, journal = (tmp_path / "state" / name for name in ("outbox.db", "journal.db"))
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        nats = f"nats://{address(nobody.getsockname()[1])}"
        grpc = {**os.environ, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
        refused(place.start("--take-over", "--nats", nats), bridge, "cannot connect to NATS at")
        refused(place.start("--take-over", "--http", "192.0.2.1:9465"), bridge, "cannot serve HTTP on 192.0.2.1")
        refused(
            place.start("--take-over", "--commands", "all", "--traces", environ=grpc),
            bridge,
            "OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc'",
        )
    known = of_format(outbox, 99)
    refused(place.start("--take-over"), bridge, "was made by a newer version (format 99)")
    of_format(outbox, known)
    of_format(journal, 98)  # the one that works takes no commands, and has none
    refused(place.start("--take-over", "--commands", "all"), bridge, "was made by a newer version (format 98)")
    journal.unlink()
    place.ctr.run("last", "true")
    messages = until_stored(place.server.url, exit_of("last"))
    gapless(messages)
    assert (place.words().count("started"), place.words().count("stopped")) == (1, 0)
    # Its port is the one thing that can only be tried when it has stopped.
    successor = place.start("--take-over", "--http", address(port))
    successor.live()
    assert bridge.process.wait(90) == 0
    until_stored(place.server.url, lambda message: message.word == "stopped")
    successor.until_logged(f"health and metrics on http://{address(port)}")
    assert place.words().count("gap") == 1


def refused(successor: Bridge, bridge: Bridge, why: str) -> None:
    """It ends before it has asked for anything, with a sentence that says why."""
    assert successor.process.wait(WITHIN_S) == 2
    successor.until_ended()
    said = f"nothing is taken over, the bridge with pid {bridge.process.pid} works on: "
    assert [line for line in successor.log if said in line and why in line]
    assert not [line for line in successor.log if "hand over" in line]
    assert bridge.runs


def of_format(outbox: Path, version: int) -> int:
    """Have the file say that it is of this format, and return of which it was."""
    with closing(sqlite3.connect(outbox, timeout=WITHIN_S)) as db:
        before = int(db.execute("PRAGMA user_version").fetchone()[0])
        db.execute(f"PRAGMA user_version = {version}")
        db.commit()
    return before
