"""What is said of the register of migrations: who has to do something, and what nobody has written."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bridge.client.checkup_of_migrations import of_migrations
from bridge.model.migrations import MigrationState
from bridge.ports.inspection import MigrationFacts, RegisterFacts
from tests.contract.test_migration_register import ENTRY

KEY = ENTRY.key.token
GOOD = RegisterFacts(name="KV_containerd-migrations")


def said(register: RegisterFacts | None) -> list[tuple[str, str, str]]:
    return [(one.level, one.message, one.remedy) for one in of_migrations(register)]


@pytest.mark.parametrize(
    ("state", "message", "remedy"),
    [
        ("offered", "stands still on node n.1, and node n2 has not taken it, for 5 min", "start the bridge of n.1"),
        ("taken", "stands still on node n.1; node n2 has taken it", "start the bridge of n2"),
        ("running", "runs on node n2, and what is left of it on node n.1", "start the bridge of n.1"),
    ],
)
def test_what_waits_for_an_end_is_said(state: MigrationState, message: str, remedy: str) -> None:
    found = MigrationFacts(key=KEY, entry=replace(ENTRY, state=state), age_s=300)
    waiting, counted = said(replace(GOOD, found=[found]))
    assert waiting[0] == "warn"
    assert waiting[1].startswith(f"container web.1 of namespace k8s.io {message}")
    assert waiting[2].startswith(remedy)
    assert counted == ("ok", "KV_containerd-migrations has 1 migrations under way", "")
    assert [level for level, *_ in said(replace(GOOD, found=[replace(found, age_s=60)]))] == ["ok"]


def test_what_nobody_has_written_is_said() -> None:
    warned, _ = said(replace(GOOD, found=[MigrationFacts(key=KEY, foreign=3)]))
    assert warned[:2] == (
        "warn",
        f"KV_containerd-migrations: under {KEY} stand messages (3) that no bridge has written; they are passed over",
    )


def test_what_is_decided_or_begins_waits_for_nobody() -> None:
    found = [
        MigrationFacts(key=KEY, entry=replace(ENTRY, state=state), age_s=9999) for state in ("released", "reserved")
    ]
    assert [level for level, *_ in said(replace(GOOD, found=found))] == ["ok"]


def test_a_register_that_is_not_strong_enough_fails() -> None:
    [(level, message, _)] = said(replace(GOOD, faults=["max_msgs_per_subject is 1, needed is 1000000 or more"]))
    assert (level, message.partition(": ")[2]) == ("fail", "max_msgs_per_subject is 1, needed is 1000000 or more")


def test_where_there_is_none_or_it_may_not_be_read_nothing_is_wrong() -> None:
    assert said(None) == said(replace(GOOD, absent=True)) == []
    assert [level for level, *_ in said(replace(GOOD, unknown="may not"))] == ["ok"]
