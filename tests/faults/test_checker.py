"""The checker has nothing to say of a legal history, finds what is wrong with the process, and tells it in few sentences."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.capture.outbox import Outbox as RealOutbox
from bridge.model.nanos import format_rfc3339, parse_rfc3339
from bridge.ports import Entry
from tests.faults.checker import Violation, check
from tests.faults.history import (
    Committed,
    Dark,
    History,
    Listed,
    Lists,
    Measure,
    Message,
    Outbox,
    Seen,
)
from tests.faults.story import LATER_LOG, LOG, NS, invariants, life, made, renumbered

# -- what is legal


def test_a_legal_history_has_no_violation() -> None:
    assert check(life().end()) == []


def test_nothing_at_all_is_legal() -> None:
    assert check(History()) == []


def test_a_gap_that_is_told_excuses_what_was_sent_in_it() -> None:
    story = life()
    story.seen.append(
        Seen(namespace=NS, container="d", word="start", time=story.clock + 5, seen=story.clock + 8, pid=9)
    )
    story.history.made.append(made("b", 5, story.clock + 6))
    story.history.darks.append(Dark(since=story.clock + 2, until=story.clock + 8, why="it did not run"))
    story.node("disconnected")
    story.gap(story.clock - 10, story.clock + 3)
    story.node("connected")
    assert check(story.end()) == []


def test_an_event_that_was_on_its_way_when_a_gap_began_is_excused_by_it() -> None:
    story = life()
    at = story.clock
    story.seen.append(Seen(namespace=NS, container="d", word="start", time=at - 50, seen=at + 30, pid=9))
    story.gap(at + 20, at + 40)
    assert check(story.end()) == []


def test_an_older_server_may_mix_the_containers_as_it_likes() -> None:
    history = life(in_one_order=False).end()
    stream = [message for message in history.stream if message.event.get("subject") != "b"]
    others = [message for message in history.stream if message.event.get("subject") == "b"]
    history.stream = renumbered(others + stream)
    assert check(history) == []


def test_the_log_of_another_outbox_may_go_on_counting_or_begin_again() -> None:
    for goes_on in (True, False):
        story = life()
        story.history.outboxes.append(Outbox(log=LOG, last_n=len(story.committed), entries=story.committed))
        story.log, story.committed = LATER_LOG, []
        if not goes_on:
            story.sequences.clear()
        story.node("started")
        story.gap(story.clock, story.clock + 5)
        story.exec_exit("b", 5)
        story.exec_exit("b", 6)
        assert check(story.end()) == []


def test_an_anomaly_is_the_event_that_it_holds() -> None:
    story = life()
    story.container("anomaly", pid=20, exit_status=7)
    assert check(story.end()) == []


def test_what_the_bridge_deduces_after_a_gap_was_never_sent_and_is_no_invention() -> None:
    story = life(repaired=True)
    story.gap(story.clock, story.clock + 5)
    message = story.container("exit", "c", unseen=True, pid=30, exit_status=3)
    event = {**message.event, "origin": "reconciled"}
    story.history.stream[-1] = message._replace(body=json.dumps(event).encode())
    story.committed[-1] = story.committed[-1]._replace(body=story.history.stream[-1].body)
    story.history.lists = [Lists(namespace=NS, containers={"c": Listed(status="stopped", pid=30)})]
    assert check(story.end()) == []


def test_a_container_without_record_is_nothing_that_lists_could_deny() -> None:
    assert "b" not in life().history.lists[0].containers


# -- I7, I8


def test_a_bound_that_is_passed_is_found() -> None:
    history = life().end()
    history.measures = [Measure(what="threads", value=24, limit=24), Measure(what="open files", value=49, limit=48)]
    assert check(history) == [Violation("I7", "open files: 49, the limit is 48")]


def test_litter_is_found() -> None:
    history = life().end()
    history.litter = ["lease x is left in containerd"]
    assert check(history) == [Violation("I8", "lease x is left in containerd")]


# -- how it tells


def test_of_many_violations_of_a_kind_a_few_are_told_and_the_rest_counted() -> None:
    story = life()
    for number in range(100, 120):
        story.history.made.append(made("b", number, story.clock))
    found = check(story.end())
    assert len(found) == 6
    assert found[-1] == Violation("I4", "... and 15 more of this kind")


@pytest.mark.parametrize("harm", [lambda stream: stream.reverse(), lambda stream: stream.clear()])
def test_however_bad_it_is_it_ends_with_sentences(harm: Callable[[list[Message]], None]) -> None:
    history = life().end()
    harm(history.stream)
    assert invariants(check(history)) >= {"I2"} or invariants(check(history)) >= {"I1", "I4"}


def test_the_outbox_is_read_as_the_bridge_wrote_it(tmp_path: Path) -> None:
    """Also while it is open, as it is when the bridge was killed, and without a trace."""
    path = tmp_path / "outbox.db"
    with RealOutbox(path) as outbox:
        outbox.commit([Entry(1, "i", "s", b"b"), Entry(2, "j", "t", b"c")], [], 0, None)
        before = sorted(tmp_path.iterdir())
        read = Outbox.read(path)
        assert sorted(tmp_path.iterdir()) == before
    assert (read.log, read.last_n) == (outbox.log, 2)
    assert read.entries == [Committed(1, "i", "s", b"b"), Committed(2, "j", "t", b"c")]


# -- the time that events wait


def recorded(message: Message, at: int) -> Message:
    return message._replace(body=json.dumps({**message.event, "recordedtime": format_rfc3339(at)}).encode())


def test_an_event_that_others_have_overtaken_for_half_a_minute() -> None:
    story = life()
    history = story.end()
    history.outboxes.clear()
    for seconds, expected in ((29, set()), (31, {"I7"})):
        for number, message in enumerate(history.stream):
            history.stream[number] = recorded(message, 40 * 10**9)
        history.stream[6] = recorded(history.stream[6], (40 - seconds) * 10**9)
        assert invariants(check(history)) == expected
    history.went_back = True
    assert check(history) == []


def test_an_event_that_has_waited_for_longer_than_it_may() -> None:
    story = life(most_wait_s=2.0)
    history = story.end()
    at = [parse_rfc3339(message.event["recordedtime"]) for message in history.stream]
    history.stream[:] = [message._replace(stored_at=at[number]) for number, message in enumerate(history.stream)]
    assert check(history) == []
    history.stream[5] = history.stream[5]._replace(stored_at=at[5] + 3 * 10**9)
    [violation] = check(history)
    assert violation.invariant == "I7"
    assert "has waited 3 s" in violation.sentence
