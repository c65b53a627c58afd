"""What is found of the command side of a bus, and what to do about it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bridge.client.checkup_of_commands import of_commands
from bridge.client.finding import Finding
from bridge.ports import CommandStore, LogExtent
from tests.unit.client.test_checkup import DAY, EXTENT

HOLDS = ("jobs", "quarantined", "output", "commands")
EMPTY = msgspec.structs.replace(EXTENT, messages=0, size=0, max_age=7 * DAY)


def store(holds: Any, reach: dict[str, Any] | None = None, **changes: Any) -> CommandStore:
    extent: LogExtent = msgspec.structs.replace(EMPTY, **(reach or {}))
    return msgspec.structs.replace(CommandStore(name=holds.upper(), holds=holds, extent=extent), **changes)


def found(**changed: CommandStore) -> list[Finding]:
    """What is found where all stores are there and in order but these."""
    return list(of_commands([changed.get(holds, store(holds)) for holds in HOLDS]))


def wrong(**changed: CommandStore) -> list[tuple[str, str]]:
    assert all(one.area == "commands" for one in found(**changed))
    assert all(bool(one.remedy) == (one.level != "ok") for one in found(**changed))
    return [(one.level, one.message) for one in found(**changed) if one.level != "ok"]


def absent(holds: Any) -> CommandStore:
    return CommandStore(name=holds.upper(), holds=holds, absent=True)


def test_where_all_is_in_order_each_has_its_sentence() -> None:
    limited = store("output", {"messages": 10, "size": 250, "max_bytes": 1_000})
    assert [(one.level, one.message) for one in found(output=limited)] == [
        ("ok", "JOBS has 0 jobs that wait or are carried out, 0 bytes, each for 7 d at the most, without another limit"),
        ("ok", "QUARANTINED has 0 jobs that were put aside, 0 bytes, each for 7 d at the most, without another limit"),
        ("ok", "OUTPUT has 10 pieces of output, 250 bytes, each for 7 d at the most; it is 25% full, and then the oldest goes"),
        ("ok", "COMMANDS has 0 commands that are told of, 0 bytes, each for 7 d at the most, without another limit"),
    ]  # fmt: skip
    assert wrong() == []


def test_where_nobody_takes_commands_that_is_all_there_is_to_say() -> None:
    nobody = list(of_commands([absent(holds) for holds in HOLDS]))
    assert [(one.level, one.message) for one in nobody] == [("ok", "no bridge on this bus takes commands yet")]
    there = [*(absent(holds) for holds in HOLDS[:3]), store("commands")]
    assert [(one.level, one.message.partition(",")[0]) for one in of_commands(there)] == [
        ("ok", "no bridge on this bus takes commands yet"),
        ("ok", "COMMANDS has 0 commands that are told of"),
    ]
    assert list(of_commands([])) == []


@pytest.mark.parametrize("holds", ["jobs", "quarantined", "commands"])
def test_one_that_is_missing_is_told_of(holds: str) -> None:
    assert wrong(**{holds: absent(holds)}) == [("warn", f"{holds.upper()} is not there")]


def test_a_bus_on_which_nobody_runs_processes_needs_no_stream_of_output() -> None:
    assert wrong(output=absent("output")) == []
    assert "OUTPUT is not there: no bridge on this bus runs processes yet" in [
        one.message for one in found(output=absent("output"))
    ]


def test_one_that_cannot_be_looked_at_is_told_of_with_the_reason() -> None:
    denied = CommandStore(name="JOBS", holds="jobs", unknown="NATS does not permit it")
    assert wrong(jobs=denied) == [("warn", "JOBS cannot be looked at: NATS does not permit it")]


def test_one_that_is_too_weak_fails_and_is_not_said_to_be_good_too() -> None:
    weak = store("jobs", faults=["retention is limits, needed is workqueue"])
    assert wrong(jobs=weak) == [("fail", "JOBS: retention is limits, needed is workqueue")]
    assert len([one for one in found(jobs=weak) if "JOBS" in one.message]) == 1


@pytest.mark.parametrize(("size", "level"), [(89, "ok"), (90, "warn"), (100, "fail")])
def test_a_stream_that_refuses_when_it_is_full_is_told_of_before(size: int, level: str) -> None:
    full = store("jobs", {"messages": 3, "size": size, "max_bytes": 100}, discards_new=True)
    [said] = [one for one in found(jobs=full) if "JOBS" in one.message]
    assert said.level == level
    assert said.message.endswith(f"it is {size}% full, and then jobs are refused")


def test_jobs_that_were_put_aside_are_told_of() -> None:
    [(level, message)] = wrong(quarantined=store("quarantined", {"messages": 2, "size": 300}))
    assert (level, message.partition(",")[0]) == ("warn", "QUARANTINED has 2 jobs that were put aside")
