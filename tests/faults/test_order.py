"""The checker finds what is wrong with the stream of a history that was made up for it: lost, out of order, twice."""

from __future__ import annotations

import json
from dataclasses import replace

from bridge.model.nanos import format_rfc3339
from tests.faults.checker import Violation, check
from tests.faults.history import (
    Cut,
    Excuse,
    History,
    Message,
)
from tests.faults.story import LATER_LOG, LOG, index_of, invariants, life, renumbered

# -- I1


def test_what_is_committed_and_not_stored_is_found() -> None:
    history = life().end()
    del history.stream[5:7]
    found = check(history)
    assert Violation("I1", f"positions 6 to 7 are committed in outbox {LOG} (last 16) and not in the stream") in found


def test_what_was_committed_and_let_go_is_missed_all_the_same() -> None:
    """The outbox deletes what it believes to be stored: only the number of its last entry still tells."""
    history = life().end()
    del history.stream[-2:]
    history.outboxes = [replace(history.outboxes[0], entries=[])]
    assert "I1" in invariants(check(history))


def test_an_event_that_is_stored_otherwise_than_it_was_committed_is_found() -> None:
    history = life().end()
    message = history.stream[4]
    history.stream[4] = message._replace(subject=message.subject.replace(".a.", ".z."))
    assert "I1" in invariants(check(history))


def test_a_foreign_message_is_found() -> None:
    history = life().end()
    history.stream.append(Message(99, "containerd.events.n1.demo.a.start", b"{}"))
    assert "I1" in invariants(check(history))


def test_what_was_taken_away_behind_the_bridges_back_is_excused() -> None:
    history = life().end()
    history.stream = renumbered(history.stream[:5] + history.stream[6:])
    history.watches, history.made, history.lists = [], [], []
    assert "I1" in invariants(check(history))
    history.excuses = [Excuse(log=LOG, first=6, last=6)]
    assert check(history) == []


# -- I2


def swap(history: History, one: int, other: int) -> History:
    stream = history.stream
    stream[one], stream[other] = stream[other], stream[one]
    history.stream = renumbered(stream)
    return history


def test_an_inversion_in_a_container_is_found_though_nothing_is_missing_and_nothing_twice() -> None:
    history = life().end()
    swap(history, index_of(history, "create", "a"), index_of(history, "start", "a"))
    found = check(history)
    assert invariants(found) == {"I2"}
    assert any("container a: position 5 (stream sequence 7) stands behind" in one.sentence for one in found)


def test_an_inversion_between_containers_is_one_where_the_log_has_one_order() -> None:
    history = life().end()
    swap(history, index_of(history, "exec-exit", "b", 1), index_of(history, "container-create", "c"))
    assert invariants(check(history)) == {"I2"}
    history.in_one_order = False
    assert check(history) == []


def test_events_that_were_numbered_in_another_order_than_they_were_sent_are_found() -> None:
    """Positions and sequences are perfect, and still it is wrong: the bridge mixed them up before it numbered them."""
    story = life()
    seen = story.seen
    one, other = (number for number, event in enumerate(seen) if event.container == "c" and event.word != "create")
    seen[one], seen[other] = seen[other], seen[one]
    assert invariants(check(story.end())) == {"I2"}


def test_made_events_that_stand_in_another_order_are_found() -> None:
    story = life()
    story.exec_exit("b", 6)
    story.exec_exit("b", 5)
    assert invariants(check(story.end())) == {"I2"}


def lease(history: History, log: str) -> None:
    event = {"id": f"lease-{len(history.stream)}", "source": "/containerd/n1", "data": {"log": log}}
    at = len(history.stream) + 1
    history.stream.append(Message(at, "containerd.nodes.n1.lease", json.dumps(event).encode()))


def test_a_lease_has_no_position_and_nothing_is_wrong_with_that() -> None:
    story = life()
    lease(story.history, LOG)
    story.exec_exit("b", 5)
    assert check(story.end()) == []


def test_an_event_behind_the_lease_of_another_log_is_found() -> None:
    story = life()
    lease(story.history, LATER_LOG)
    story.exec_exit("b", 5)
    [found] = check(story.end())
    assert found.invariant == "I2"
    assert f"behind the lease of log {LATER_LOG} at stream sequence 17" in found.sentence


# -- I3


def test_a_message_that_is_stored_twice_is_found() -> None:
    history = life().end()
    history.stream.append(history.stream[6]._replace(sequence=len(history.stream) + 1))
    [found] = check(history)
    assert found.invariant == "I3"
    assert "event id-1-7 is stored twice" in found.sentence


def test_a_position_that_is_given_twice_is_found() -> None:
    history = life().end()
    message = history.stream[6]
    event = {**message.event, "id": "another"}
    history.stream.append(Message(len(history.stream) + 1, message.subject, json.dumps(event).encode()))
    assert "I3" in invariants(check(history))


def test_an_event_that_was_taken_in_twice_is_found_though_it_has_two_ids_and_two_positions() -> None:
    story = life()
    message = story.container("start", "c", unseen=True, pid=30)
    event = {**message.event, "time": format_rfc3339(next(seen.time for seen in story.seen if seen.word == "start"))}
    event["time"] = format_rfc3339([seen.time for seen in story.seen if seen.word == "start"][1])
    story.history.stream[-1] = message._replace(body=json.dumps(event).encode())
    story.committed[-1] = story.committed[-1]._replace(body=story.history.stream[-1].body)
    assert "I3" in invariants(check(story.end()))


def test_a_made_event_that_is_there_twice_is_found() -> None:
    story = life()
    story.seen.clear()
    story.container("exec-exit", "b", unseen=True, id="e4", pid=4, exit_status=4)
    assert "I3" in invariants(check(story.end()))


def test_a_hole_in_a_containers_sequence_is_found() -> None:
    story = life()
    story.sequences["b"] += 1
    story.exec_exit("b", 5)
    [found] = check(story.end())
    assert found == Violation("I3", f"container b: its events go from 4 to 6 in log {LOG}")


def test_an_event_that_nobody_sent_is_found() -> None:
    story = life()
    story.container("start", "c", unseen=True, pid=31)
    assert "I3" in invariants(check(story.end()))


def test_a_second_end_of_the_same_task_is_found() -> None:
    story = life()
    story.container("exit", pid=20, exit_status=7)
    [found] = check(story.end())
    assert found.invariant == "I3"
    assert "its task first ends at" in found.sentence


# -- power cuts


def test_fewer_positions_after_a_power_cut_than_the_metrics_had_told() -> None:
    story = life()
    story.history.cuts += [Cut(said=3, kept=3), Cut(said=3, kept=5)]
    assert check(story.end()) == []
    story.history.cuts.append(Cut(said=9, kept=8))
    [violation] = check(story.history)
    assert violation.invariant == "I1"
    assert "9 committed positions" in violation.sentence


def test_a_file_that_a_power_cut_has_damaged() -> None:
    story = life()
    story.history.cuts.append(Cut(said=0, kept=0, damage="page 7"))
    assert [str(violation) for violation in check(story.end())] == [
        "I1: after a power cut the outbox is damaged: page 7"
    ]
