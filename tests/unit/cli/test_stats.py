"""What `stats` prints, of which nodes, and how it ends where one of them does not answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.cli import stats
from bridge.cli.sizes import size
from bridge.model.events import Failure
from bridge.model.nanos import Nanos
from bridge.model.outcomes import (
    CpuStats,
    IoStats,
    MemoryStats,
    NetworkStats,
    Outcome,
    PidsStats,
    StatsList,
    TaskStats,
)
from bridge.model.subjects import CommandSubject
from tests.unit.cli.conftest import Cli
from tests.unit.client.small_bus import SmallSender, containers_at, info

SECOND = 10**9
KNOWN = containers_at({"n1": [info("web.1"), info("db", "a.b")], "n2": []})


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "BETWEEN_S", 0)


class Fleet:
    """Two nodes; each look comes a second after the one before, in which one processor was half busy."""

    def __init__(self, *, broken: str = "") -> None:
        self.looks = 0
        self.broken = broken

    def __call__(self, at: CommandSubject, options: dict[str, Any]) -> Any:
        if at.verb == "list":
            return KNOWN(at, options)
        if at.node == self.broken:
            error = Failure(code="unavailable", message="containerd cannot be reached")
            return Outcome(id="1", verb=at.verb, node=at.node, outcome="error", error=error)
        self.looks += 1
        wanted = [at.container] if at.container else options.get("containers") or ["web.1", "db"]
        return StatsList(stats=[self.told(name) for name in wanted if at.node == "n1"])

    def told(self, container: str) -> TaskStats:
        if container == "db":
            return TaskStats(namespace="a.b", container="db", read_at=Nanos(self.looks * SECOND))
        return TaskStats(
            namespace="default",
            container="web.1",
            read_at=Nanos(self.looks * SECOND),
            cpu=CpuStats(usage_ns=self.looks * SECOND // 2, user_ns=0, system_ns=0),
            memory=MemoryStats(usage=9 << 20, working_set=5 << 20, limit=20 << 20),
            pids=PidsStats(current=3),
            io=IoStats(read_bytes=1 << 20, write_bytes=0, reads=1, writes=0),
            network=[
                NetworkStats(
                    name="eth0",
                    rx_bytes=2048,
                    tx_bytes=1024,
                    rx_packets=0,
                    rx_errors=0,
                    rx_dropped=0,
                    tx_packets=0,
                    tx_errors=0,
                    tx_dropped=0,
                )
            ],
        )


def test_the_table_shows_what_is_known(cli: Cli) -> None:
    header, db, web = cli("stats", "--no-stream", answer=Fleet()).lines
    assert header.split("  ")[0] == "NAMESPACE"
    assert " ".join(web.split()) == "default web.1 50.0 5.0 MiB 20.0 MiB 25.0 2.0 KiB / 1.0 KiB 1.0 MiB / 0 B 3"
    assert db.split() == ["a.b", "db", "-", "-", "-", "-", "-", "-", "-"]


def test_json_is_a_line_for_each_container_with_what_follows_from_two_looks(cli: Cli) -> None:
    db, web = cli("stats", "--no-stream", "--json", answer=Fleet()).objects
    assert (web["container"], web["node"], web["usage"]["cpu_percent"]) == ("web.1", "n1", 50.0)
    assert (db["memory"], db["usage"]["cpu_percent"]) == (None, None)


def test_each_node_is_asked_once_for_a_look_however_many_containers_there_are(cli: Cli) -> None:
    sender = SmallSender(Fleet(), ("n1", "n2"))
    assert cli("stats", "--no-stream", sender=sender).status == 0
    asked = [(one.subject.node, one.subject.namespace) for one in sender.asked]
    assert sorted(asked) == [("n1", None), ("n1", None), ("n2", None), ("n2", None)]


def test_one_container_is_found_first_and_then_asked_for_alone_since_that_may_be_all_that_one_may(cli: Cli) -> None:
    sender = SmallSender(Fleet())
    said = cli("stats", "web.1", "--no-stream", "--json", sender=sender)
    assert [one["container"] for one in said.objects] == ["web.1"]
    asked = [one for one in sender.asked if one.subject.verb == "stats"]
    assert [(one.subject.namespace, one.subject.container, one.options) for one in asked] == [
        ("default", "web.1", {})
    ] * 2


def test_some_containers_are_found_first_and_then_asked_for_together(cli: Cli) -> None:
    known = containers_at({"n1": [info("web.1"), info("web.2")], "n2": []})
    fleet = Fleet()
    sender = SmallSender(lambda at, options: known(at, options) if at.verb == "list" else fleet(at, options))
    assert cli("stats", "web.1", "web.2", "--no-stream", "--json", sender=sender).status == 0
    asked = [one for one in sender.asked if one.subject.verb == "stats"]
    both = {"containers": ["web.1", "web.2"]}
    assert [(one.subject.namespace, one.subject.container, one.options) for one in asked] == [
        ("default", None, both)
    ] * 2


def test_a_node_that_fails_does_not_hide_the_others(cli: Cli) -> None:
    said = cli("stats", "--no-stream", "--json", answer=Fleet(broken="n2"), nodes=("n1", "n2"))
    assert said.status == 1
    assert [one["container"] for one in said.objects] == ["db", "web.1"]
    assert json.loads(said.err) == {
        "error": "unavailable",
        "message": "containerd cannot be reached",
        "suggestion": None,
    }


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KiB"),
        (1024, "1.0 KiB"),
        (102_350, "100 KiB"),
        (1 << 20, "1.0 MiB"),
        (15.6 * 2**20, "15.6 MiB"),
        (512 << 30, "512 GiB"),
        (2**70, "1024 EiB"),
    ],
)
def test_amounts_have_three_digits(count: float, shown: str) -> None:
    assert size(count) == shown
