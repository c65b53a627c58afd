"""The checker finds where the log of a history that was made up for it does not tell what happened."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from bridge.model.codec import decode_as, encode_any
from bridge.model.state import ContainerState
from tests.faults.checker import Log, check, folded
from tests.faults.history import (
    Dark,
    History,
    Kept,
    Listed,
    Lists,
    Odd,
    Seen,
)
from tests.faults.story import NS, invariants, life, made

# -- I4


def test_an_event_that_containerd_sent_and_the_log_lacks_is_found() -> None:
    story = life()
    story.seen.append(Seen(namespace=NS, container="d", word="start", time=story.clock, seen=story.clock + 2, pid=9))
    [found] = check(story.end())
    assert found.invariant == "I4"
    assert "container d: containerd sent start" in found.sentence


def test_an_event_that_was_made_and_the_log_lacks_is_found() -> None:
    story = life()
    story.history.made.append(made("b", 5, story.clock))
    assert invariants(check(story.end())) == {"I4"}


def test_a_gap_at_another_time_is_no_excuse() -> None:
    story = life()
    story.history.made.append(made("b", 5, story.clock))
    story.gap(story.clock + 500, story.clock + 600)
    assert invariants(check(story.end())) == {"I4"}


def test_what_can_be_known_after_a_gap_is_not_excused_by_it() -> None:
    story = life(repaired=True)
    at = story.clock
    story.gap(at, at + 20)
    story.history.made.append(replace(made("c", 5, at + 5), word="exit", kept=True))
    assert invariants(check(story.end())) == {"I4"}


def test_an_event_that_says_something_else_than_containerd_did_is_found() -> None:
    story = life()
    story.seen[1] = replace(story.seen[1], pid=21)
    assert invariants(check(story.end())) == {"I4"}


def test_garbage_has_to_be_kept() -> None:
    story = life()
    story.history.odd.append(Odd(topic="/x", sha256="aa", began=story.clock, ended=story.clock + 1))
    assert invariants(check(story.end())) == {"I4"}
    story = life()
    data = {"topic": "/x", "type_url": "", "value": "", "reason": "unknown-topic", "size": 0, "sha256": "aa"}
    story.history.odd.append(Odd(topic="/x", sha256="aa", began=story.clock, ended=story.clock + 1))
    story.node("raw", **data)
    assert check(story.end()) == []


@pytest.mark.parametrize(("since", "until"), [(None, None), (-5, -2), (-5, 4), (4, 20)])
def test_a_dark_time_that_no_gap_covers_is_found(since: int | None, until: int | None) -> None:
    story = life()
    at = story.clock
    story.history.darks.append(Dark(since=at, until=at + 10, why="the bridge did not run"))
    if since is not None and until is not None:
        story.gap(at + since, at + until)
    assert invariants(check(story.end())) == {"I4"}


@pytest.mark.parametrize("word", ["started", "disconnected"])
def test_a_connection_without_a_gap_before_it_is_found(word: str) -> None:
    story = life()
    story.node(word)
    story.node("connected")
    assert invariants(check(story.end())) == {"I4"}


@pytest.mark.parametrize(
    "containers",
    [
        {},
        {"c": Listed(status="running", pid=30), "d": Listed(status="none")},
        {"c": Listed(status="stopped", pid=30)},
        {"c": Listed(status="running", pid=31)},
        {"c": Listed(status="none")},
        {"a": Listed(status="none"), "c": Listed(status="running", pid=30)},
    ],
)
def test_lists_that_say_something_else_than_the_fold_are_found(containers: dict[str, Listed]) -> None:
    story = life()
    story.history.lists = [Lists(namespace=NS, containers=containers)]
    assert invariants(check(story.end())) == {"I4"}


def test_after_a_gap_the_lists_count_only_where_it_was_repaired() -> None:
    for repaired in (False, True):
        story = life(repaired=repaired)
        story.gap(story.clock, story.clock + 5)
        story.history.lists = [Lists(namespace=NS, containers={})]
        assert invariants(check(story.end())) == ({"I4"} if repaired else set())


def kept(history: History) -> list[Kept]:
    """What the projection would have written."""
    states = folded(Log(history.stream))
    return [
        Kept(ns or "", name or "", encode_any(state)) for (ns, name), state in states.items() if state.status != "gone"
    ]


def test_states_that_are_the_fold_are_legal_and_the_gone_need_not_be_there() -> None:
    history = life().end()
    history.states = kept(history)
    assert {one.container for one in history.states} == {"b", "c"}
    assert check(history) == []


@pytest.mark.parametrize("harm", ["missing", "behind", "unheard of"])
def test_states_that_are_not_the_fold_are_found(harm: str) -> None:
    history = life().end()
    history.states = kept(history)
    one = history.states.pop()
    if harm == "behind":
        state = decode_as(one.value, ContainerState)
        history.states.append(one._replace(value=encode_any(structs.replace(state, status="created"))))
    elif harm == "unheard of":
        history.states += [one, one._replace(container="z")]
    assert invariants(check(history)) == {"I4"}


def test_two_gaps_that_tell_of_one_time() -> None:
    story = life()
    story.node("disconnected")
    story.gap(story.clock - 5, story.clock)
    story.gap(story.clock - 5, story.clock)
    story.node("connected")
    assert [violation.sentence.partition(", and ")[2] for violation in check(story.end())] == [
        "2 gaps say since when it was not"
    ]


def test_with_a_wrong_clock_a_gap_excuses_whatever_is_missing_and_without_one_nothing_is() -> None:
    for gaps, expected in ((0, {"I4"}), (1, set())):
        story = life(true_clock=False)
        story.history.made.append(made("b", 5, story.clock + 6))
        story.history.darks.append(Dark(since=story.clock + 2, until=story.clock + 8, why="it did not run"))
        for _ in range(gaps):
            story.node("disconnected")
            story.gap(1, 2)
            story.node("connected")
        assert invariants(check(story.end())) == expected
