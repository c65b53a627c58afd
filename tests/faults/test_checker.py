"""The checker finds each violation in a history that was made up for it, and has nothing to say of a legal one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from bridge.capture.outbox import Outbox as RealOutbox
from bridge.model.codec import decode_as, encode_any
from bridge.model.nanos import format_rfc3339, parse_rfc3339
from bridge.model.state import ContainerState
from bridge.ports import Entry
from tests.faults.checker import Log, Violation, check, folded
from tests.faults.history import (
    Committed,
    Cut,
    Dark,
    Excuse,
    History,
    Kept,
    Listed,
    Lists,
    Made,
    Measure,
    Message,
    Odd,
    Outbox,
    Seen,
    Watch,
)

LOG, LATER_LOG = "11111111-2222-3333-4444-555555555555", "66666666-2222-3333-4444-555555555555"
NS = "demo"
KINDS = {
    "container-create": "io.containerd.container.create.v1",
    "container-delete": "io.containerd.container.delete.v1",
    "create": "io.containerd.task.create.v1",
    "start": "io.containerd.task.start.v1",
    "exit": "io.containerd.task.exit.v1",
    "exec-exit": "io.containerd.task.exec-exit.v1",
    "delete": "io.containerd.task.delete.v1",
    "anomaly": "io.containerd.bridge.anomaly.v1",
    "raw": "io.containerd.bridge.raw.v1",
    "started": "io.containerd.node.started.v1",
    "gap": "io.containerd.node.gap.v1",
    "connected": "io.containerd.node.connected.v1",
    "disconnected": "io.containerd.node.disconnected.v1",
}
NODE_DATA: dict[str, dict[str, Any]] = {
    "started": {"version": "1", "pid": 1},
    "connected": {"containerd_version": "2.1.9", "containerd_revision": "x"},
    "disconnected": {"reason": "it ended"},
}


class Story:
    """A legal history, told event by event: containerd sends it, the witness sees it, the bridge commits and stores it."""

    def __init__(self, **settings: Any) -> None:
        self.history = History(**settings)
        self.seen: list[Seen] = []
        self.committed: list[Committed] = []
        self.log = LOG
        self.clock = 1000
        self.sequences: dict[str, int] = {}
        self.node("started")
        self.gap(None, self.clock)
        self.node("connected")

    def container(self, word: str, container: str = "a", *, unseen: bool = False, **data: Any) -> Message:
        self.clock += 10
        name = {"id": container} if word.startswith("container-") else {"container_id": container}
        if word == "exit":
            name["id"] = container
        if word == "anomaly":
            data |= {"reason": "second-exit", "event_type": KINDS["exit"], "event": {**name, **data}}
        if not unseen:
            self.seen.append(
                Seen(
                    namespace=NS,
                    container=container,
                    word="exit" if word == "anomaly" else word,
                    time=self.clock,
                    seen=self.clock + 3,
                    pid=data.get("pid"),
                    exit_status=data.get("exit_status"),
                )
            )
        sequence = self.sequences[container] = self.sequences.get(container, 0) + 1
        return self._store(word, {**name, **data}, f"/containerd/n1/{NS}", container, sequence=f"{sequence:020d}")

    def exec_exit(self, container: str, number: int) -> Message:
        message = self.container("exec-exit", container, id=f"e{number}", pid=number, exit_status=number)
        self.history.made.append(made(container, number, self.clock))
        return message

    def node(self, word: str, **data: Any) -> Message:
        self.clock += 10
        return self._store(word, {**NODE_DATA.get(word, {}), **data}, "/containerd/n1", None)

    def gap(self, since: int | None, until: int) -> Message:
        told = None if since is None else format_rfc3339(since)
        return self.node("gap", since=told, until=format_rfc3339(until), reason="it ended", cause="stream-ended")

    def _store(self, word: str, data: dict[str, Any], source: str, container: str | None, **more: Any) -> Message:
        n = len(self.committed) + 1
        event = {
            "specversion": "1.0",
            "datacontenttype": "application/json",
            "id": f"id-{self.log[0]}-{n}",
            "type": KINDS[word],
            "source": source,
            "time": format_rfc3339(self.clock),
            "recordedtime": format_rfc3339(self.clock + 1),
            "position": f"{self.log}:{n}",
            "origin": "live",
            "data": data,
            **more,
        }
        if container is not None:
            event |= {"subject": container, "incarnation": "first"}
        where = f"events.n1.{NS}.{container}" if container else "nodes.n1"
        at = len(self.history.stream) + 1
        message = Message(at, f"containerd.{where}.{word}", json.dumps(event).encode())
        self.history.stream.append(message)
        self.committed.append(Committed(n, event["id"], message.subject, message.body))
        return message

    def end(self) -> History:
        history = self.history
        history.watches.append(Watch(since=500, until=self.clock + 1000, complete=True, seen=self.seen))
        history.outboxes.append(Outbox(log=self.log, last_n=len(self.committed), entries=self.committed))
        return history


def made(container: str, number: int, at: int, **more: Any) -> Made:
    return Made(namespace=NS, container=container, word="exec-exit", status=number, began=at - 1, ended=at + 1, **more)


def life(**settings: Any) -> Story:
    """Two containers: one that lives and dies, and one that goes on; then everything is quiet."""
    story = Story(**settings)
    story.container("container-create")
    story.container("create", pid=20)
    story.exec_exit("b", 1)
    story.container("start", pid=20)
    story.exec_exit("b", 2)
    story.container("container-create", "c")
    story.container("create", "c", pid=30)
    story.container("start", "c", pid=30)
    story.exec_exit("b", 3)
    story.container("exit", pid=20, exit_status=7)
    story.container("delete", pid=20, exit_status=7)
    story.exec_exit("b", 4)
    story.container("container-delete")
    story.history.lists.append(Lists(namespace=NS, containers={"c": Listed(status="running", pid=30)}))
    return story


def renumbered(stream: list[Message]) -> list[Message]:
    return [message._replace(sequence=at) for at, message in enumerate(stream, 1)]


def index_of(history: History, word: str, container: str | None = None, nth: int = 0) -> int:
    found = [
        at
        for at, message in enumerate(history.stream)
        if message.word == word and container in {None, message.event.get("subject")}
    ]
    return found[nth]


def invariants(violations: list[Violation]) -> set[str]:
    return {violation.invariant for violation in violations}


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


# -- power cuts, clocks, and the time that events wait


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
