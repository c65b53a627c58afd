"""Both ends of a migration in every order of everything that can happen: never two run, and in the end exactly one does.

What is broken on purpose here is found, so that what is not found is not there.
"""

from collections.abc import Iterator
from typing import get_args

import pytest
from msgspec.structs import replace

from bridge.control.migration.source import AFTER_A_CRASH, SourceAct, SourceView, source_next
from bridge.control.migration.target import TargetAct, TargetView, target_next
from bridge.model.migrations import DECIDED, TRANSITIONS, MigrationState
from tests.unit.control import migration_model
from tests.unit.control.migration_model import Explored, Protocol, explore, over


@pytest.fixture(scope="module")
def explored() -> Explored:
    return explore()


def test_never_do_two_run_and_nothing_is_lost(explored: Explored) -> None:
    assert explored.violation == ""
    assert len(explored.worlds) > 20_000


def test_from_everywhere_there_is_a_way_to_exactly_one_that_runs(explored: Explored) -> None:
    assert [explored.story(world) for world in explored.lost[:1]] == []


def test_it_may_end_at_either_node_and_in_every_decided_state(explored: Explored) -> None:
    ends = {(world.register, world.task, world.copy) for world in explored.worlds if over(world)}
    assert ends == {
        ("released", "gone", "running"),
        ("failed", "running", "none"),
        ("withdrawn", "running", "none"),
        ("absent", "running", "none"),
    }


def test_everything_that_the_ends_can_do_is_done_somewhere(explored: Explored) -> None:
    done = {source_next(world.source) for world in explored.worlds if world.source is not None}
    assert done == set(get_args(SourceAct)) - {"stuck"}
    taken = {target_next(world.target) for world in explored.worlds if world.target is not None}
    assert taken == set(get_args(TargetAct)) - {"stuck"}


def test_where_the_register_itself_is_lost_nobody_runs_twice_and_nobody_is_removed() -> None:
    explored = explore(Protocol(loses_register=True, stored=0))
    assert explored.violation == ""
    # Whoever may not know stands still and waits for an operator.
    stuck = [world for world in explored.worlds if world.source and source_next(world.source) == "stuck"]
    assert stuck


def test_there_is_no_way_back_in_the_register() -> None:
    def later(state: MigrationState | None) -> Iterator[MigrationState]:
        for before, after in TRANSITIONS:
            if before == state:
                yield after
                yield from later(after)  # a circle would never come to its end

    assert set(later(None)) == set(get_args(MigrationState))
    assert all(set(later(state)) == set() for state in DECIDED)


# -- protocols with one mistake each


def resumes_what_it_offers(view: SourceView) -> SourceAct:
    if view.register == "offered" and view.back and view.task == "paused":
        return "resume"
    return source_next(view)


def believes_what_it_reads(view: SourceView) -> SourceAct:
    """Let it run on because the register still says `reserved`, though an offer may be on its way."""
    if view.register == "reserved" and view.back and view.task == "paused":
        return "resume"
    return source_next(view)


def decides_by_time(view: SourceView) -> SourceAct:
    """Let it run on because the target has not said for too long what came of it."""
    if view.register == "taken" and view.back and view.task == "paused":
        return "resume"
    return source_next(view)


def removes_too_early(view: SourceView) -> SourceAct:
    return "remove" if view.register == "taken" and view.task == "paused" else source_next(view)


def waits_for_ever(view: SourceView) -> SourceAct:
    return "wait" if view.register == "offered" and view.asked else source_next(view)


def begins_before_it_has_taken(view: TargetView) -> TargetAct:
    if view.register == "offered" and view.ready and not view.tried:
        return "restore"
    return target_next(view)


def confirms_what_does_not_run(view: TargetView) -> TargetAct:
    return "confirm" if view.register == "taken" and view.copy == "half" else target_next(view)


def fails_before_it_has_cleaned(view: TargetView) -> TargetAct:
    """Give it back because a crash came in between, without looking what runs."""
    return "fail" if view.register == "taken" and not view.ready else target_next(view)


def never_answers(view: TargetView) -> TargetAct:
    return "wait" if view.register == "taken" and view.tried and view.copy != "running" else target_next(view)


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        (Protocol(source=resumes_what_it_offers), "two run"),
        (Protocol(source=believes_what_it_reads), "two run"),
        (Protocol(source=decides_by_time), "two run"),
        (Protocol(source=removes_too_early), "the only one is removed"),
        (Protocol(target=begins_before_it_has_taken, looks_once_more=False), "two run"),
        (Protocol(target=confirms_what_does_not_run), "the only one is removed"),
        (Protocol(target=fails_before_it_has_cleaned), "two run"),
        (Protocol(after_a_crash=replace(AFTER_A_CRASH, may_have_offered=False)), "two run"),
        (Protocol(looks_once_more=False), "two run"),
    ],
)
def test_a_mistake_is_found(broken: Protocol, expected: str) -> None:
    assert explore(broken).violation.startswith(expected)


@pytest.mark.parametrize(
    "broken",
    [
        Protocol(source=waits_for_ever, stored=0),
        Protocol(target=never_answers, stored=0),
        Protocol(reads_what_is_last=True),
        Protocol(expects_the_entry=True),
    ],
)
def test_a_way_without_an_end_is_found(broken: Protocol) -> None:
    explored = explore(broken)
    assert explored.violation == ""
    assert explored.lost


def test_a_look_that_does_not_wait_for_containerd_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A restore that was begun before a crash may still come to its end: who cleans meanwhile has to stop it for good."""
    seen = migration_model.SEEN
    monkeypatch.setattr(migration_model, "SEEN", {**seen, "restoring": "none"})
    assert explore().violation.startswith("two run")


def test_a_dump_of_what_runs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migration_model, "DUMPABLE", {"running", "paused"})

    def never_freezes(view: SourceView) -> SourceAct:
        act = source_next(view)
        if view.register == "reserved" and view.step == "dumped" and not view.back:
            return "offer"
        return "dump" if act == "freeze" else act

    assert explore(Protocol(source=never_freezes)).violation
