"""The ledger gives every event one place, and keeps what is known of its container."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bridge.capture.ledger import REMEMBERED, Ledger
from bridge.capture.outbox import ContainerRow
from bridge.model import events, labels
from bridge.model.codec import decode
from bridge.model.envelope import Event
from bridge.model.fold import evolve
from bridge.model.limits import MAX_BODY
from bridge.model.nanos import Nanos
from bridge.model.node_events import (
    ImageCreate,
    NodeDisconnected,
    NodeEvent,
    NodeHeartbeat,
    NodeReconciled,
    NodeStarted,
)
from bridge.model.outcomes import ContainerInfo
from bridge.model.state import ContainerState
from bridge.model.subjects import Subjects
from bridge.ports import Observed


class Book:
    """A ledger with rows behind it, as the outbox would keep them."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], ContainerRow] = {}
        self.last_n = 0
        self.ledger = self.reopened()

    def reopened(self) -> Ledger:
        self.ledger = Ledger("node", Subjects(), "log", self.last_n, self)
        return self.ledger

    def container(self, namespace: str, container: str) -> ContainerRow | None:
        return self.rows.get((namespace, container))

    def containers(self) -> Iterator[ContainerRow]:
        return iter([row for row in self.rows.values() if row.deleted_at is None])

    def place(self, *observations: Observed, known: dict[tuple[str, str], ContainerInfo] | None = None) -> list[Any]:
        self.asked: list[tuple[str, str]] = []

        def describe(containers: Collection[tuple[str, str]]) -> dict[tuple[str, str], ContainerInfo]:
            self.asked += containers
            return known or {}

        entries = self.ledger.place(observations, self.ledger.open(observations), describe)
        for row in self.ledger.settle():
            self.rows[row.namespace, row.container] = row
        self.last_n = entries[-1].n
        assert [entry.id for entry in entries] == [decode(entry.body).id for entry in entries]
        self.subjects = [entry.subject for entry in entries]
        return [decode(entry.body) for entry in entries]


def observed(
    event: Event, container: str | None = "web.1", namespace: str | None = "k8s.io", time: int = 5
) -> Observed:
    return Observed(event=event, namespace=namespace, container=container, time=Nanos(time), recorded=Nanos(6))


CREATE = events.ContainerCreate(id="web.1", image="nginx:1", runtime="io.containerd.runc.v2")
START = events.TaskStart(container_id="web.1", pid=7)


def task_create(container: str = "web.1") -> events.TaskCreate:
    return events.TaskCreate(container_id=container, pid=7)


def test_an_event_stands_on_its_containers_subject_with_its_source_and_times() -> None:
    book = Book()
    [recorded] = book.place(observed(START))
    assert book.subjects == ["containerd.events.node.k8s=2Eio.web=2E1.start"]
    assert recorded.source == "/containerd/node/k8s.io"
    assert (recorded.subject, recorded.time, recorded.recordedtime) == ("web.1", 5, 6)
    assert recorded.type == "io.containerd.task.start.v1"
    assert recorded.origin == "live"
    assert recorded.data == START


def test_positions_count_over_all_and_sequences_per_container() -> None:
    book = Book()
    recorded = book.place(
        observed(START), observed(START, "b"), observed(START), observed(NodeHeartbeat(probe_ns=1), None, None)
    )
    assert [event.position for event in recorded] == ["log:1", "log:2", "log:3", "log:4"]
    assert [event.sequence for event in recorded] == [1, 1, 2, None]


def test_counting_goes_on_where_it_was_after_a_restart() -> None:
    book = Book()
    book.place(observed(task_create()), observed(START))
    first = book.place(observed(START))[0]
    book.reopened()
    again = book.place(observed(START))[0]
    assert (again.position, again.sequence, again.incarnation) == ("log:4", 4, first.incarnation)


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=40), st.integers(1, 5))
def test_sequences_have_no_holes_however_often_it_is_restarted(containers: list[str], every: int) -> None:
    book, seen = Book(), {"a": 0, "b": 0, "c": 0}
    for number, container in enumerate(containers):
        if number % every == 0:
            book.reopened()
        [recorded] = book.place(observed(START, container))
        seen[container] += 1
        assert recorded.sequence == seen[container]


def test_counting_goes_on_when_a_container_was_put_out_of_memory() -> None:
    book = Book()
    book.place(observed(START))
    book.place(*(observed(START, f"c{number}") for number in range(REMEMBERED)))
    [recorded] = book.place(observed(START))
    assert recorded.sequence == 2


def test_every_task_create_begins_an_incarnation_and_a_restore_too() -> None:
    book = Book()
    before, create, start, again, restored = book.place(
        observed(CREATE),
        observed(task_create()),
        observed(START),
        observed(events.TaskCreate(container_id="web.1", pid=8)),
        observed(events.TaskRestored(container_id="web.1", checkpoint="sha256:1"), time=7),
    )
    assert before.incarnation is None
    assert create.incarnation == create.id == start.incarnation
    assert len({create.incarnation, again.incarnation, restored.incarnation}) == 3


def test_image_labels_name_and_runtime_are_in_every_event_until_after_the_container_is_gone() -> None:
    book = Book()
    info = ContainerInfo(namespace="k8s.io", id="web.1", image="nginx:1", labels={"nerdctl/name": "shop"}, runtime="r")
    recorded = book.place(
        observed(CREATE),
        observed(START),
        observed(events.ContainerDelete(id="web.1")),
        observed(START),
        known={("k8s.io", "web.1"): info},
    )
    assert book.asked == [("k8s.io", "web.1")]
    for event in recorded:
        assert (event.data.image, event.data.labels, event.data.name, event.data.runtime) == (
            "nginx:1",
            {"nerdctl/name": "shop"},
            "shop",
            "io.containerd.runc.v2",
        )


def test_a_container_that_was_there_before_is_asked_about_once() -> None:
    book = Book()
    info = ContainerInfo(namespace="k8s.io", id="web.1", image="nginx:1", labels={"a": "b"}, runtime="r")
    [recorded] = book.place(observed(START), known={("k8s.io", "web.1"): info})
    assert (recorded.data.image, recorded.data.labels) == ("nginx:1", {"a": "b"})
    book.place(observed(START))
    assert book.asked == []


def test_who_could_not_be_told_of_is_asked_about_a_few_times_and_no_more() -> None:
    book = Book()
    asked = []
    for _ in range(5):
        book.place(observed(START))
        asked.append(len(book.asked))
    assert asked == [1, 1, 1, 0, 0]


def test_a_new_container_whose_labels_were_not_told_in_time_gets_them_with_a_later_event() -> None:
    book = Book()
    info = ContainerInfo(namespace="k8s.io", id="web.1", image="nginx:1", labels={"a": "b"}, runtime="r")
    [created] = book.place(observed(CREATE))
    assert (created.data.image, created.data.labels) == ("nginx:1", None)
    [started] = book.place(observed(START), known={("k8s.io", "web.1"): info})
    assert (started.data.image, started.data.labels) == ("nginx:1", {"a": "b"})


def test_labels_that_fill_a_message_are_left_out_before_the_event_becomes_unreadable() -> None:
    book = Book()
    labels = {f"key{number}": "v" * 4_000 for number in range(150)}
    info = ContainerInfo(namespace="k8s.io", id="web.1", image="nginx:1", labels=labels, runtime="r")
    [recorded] = book.place(observed(START), known={("k8s.io", "web.1"): info})
    assert recorded.type == "io.containerd.task.start.v1"
    assert (recorded.data.pid, recorded.data.image, recorded.data.labels) == (7, "nginx:1", None)


def test_a_new_container_under_a_known_id_inherits_nothing_but_the_counting() -> None:
    book = Book()
    info = ContainerInfo(namespace="k8s.io", id="web.1", image="nginx:1", labels={"a": "b"}, runtime="r")
    book.place(observed(CREATE), known={("k8s.io", "web.1"): info})
    book.place(observed(events.ContainerDelete(id="web.1")))
    [recorded] = book.place(observed(events.ContainerCreate(id="web.1", image="other:2", runtime="r2")))
    assert (recorded.data.image, recorded.data.labels, recorded.sequence) == ("other:2", None, 3)


def test_an_update_changes_what_later_events_say() -> None:
    book = Book()
    book.place(observed(CREATE))
    _, start = book.place(
        observed(events.ContainerUpdate(id="web.1", image="nginx:2", labels={"c": "d"})), observed(START)
    )
    assert (start.data.image, start.data.labels) == ("nginx:2", {"c": "d"})


def test_deleting_and_making_a_container_is_noted_for_later_clearing() -> None:
    book = Book()
    book.place(observed(CREATE), observed(events.ContainerDelete(id="web.1")))
    assert book.rows["k8s.io", "web.1"].deleted_at == 6
    book.place(observed(CREATE))
    assert book.rows["k8s.io", "web.1"].deleted_at is None


def test_a_task_that_is_told_after_its_record_s_end_is_found_again_until_it_has_ended_too() -> None:
    book = Book()
    book.place(observed(CREATE), observed(events.ContainerDelete(id="web.1")), observed(task_create()))
    for ledger in (book.ledger, book.reopened()):
        assert [state.status for state in ledger.states()] == ["created"]
    book.place(observed(EXIT), observed(events.TaskDelete(container_id="web.1", pid=7)))
    assert list(book.ledger.states()) == []
    assert book.rows["k8s.io", "web.1"].deleted_at is not None


def test_a_record_that_says_its_labels_itself_is_not_asked_about() -> None:
    book = Book()
    labels = {"nerdctl/name": "shop"}
    create, start = book.place(observed(msgspec.structs.replace(CREATE, labels=labels)), observed(START))
    assert book.asked == []
    for one in (create, start):
        assert (one.data.labels, one.data.name, one.data.image) == (labels, "shop", "nginx:1")


def test_node_and_image_events_stand_on_the_nodes_subject() -> None:
    book = Book()
    beat, image = book.place(
        observed(NodeHeartbeat(probe_ns=1), None, None), observed(ImageCreate(name="nginx:1"), None, "default")
    )
    assert book.subjects == ["containerd.nodes.node.heartbeat", "containerd.nodes.node.image-create"]
    assert (beat.source, beat.subject) == ("/containerd/node", None)
    assert (image.source, image.subject) == ("/containerd/node/default", "nginx:1")


def raw(value: bytes) -> events.RawEvent:
    return events.RawEvent(
        topic="/tasks/x",
        type_url="x",
        value=value,
        reason="unknown-topic",
        size=len(value),
        sha256=hashlib.sha256(value).hexdigest(),
    )


@pytest.mark.parametrize("namespace", ["default", None])
def test_a_raw_event_without_container_keeps_its_namespace_where_it_has_one(namespace: str | None) -> None:
    book = Book()
    book.place(observed(raw(b"x"), None, namespace))
    assert book.subjects == [f"containerd.events.node.{namespace or '-'}.-.raw"]


@pytest.mark.parametrize(("container", "namespace"), [("web.1", "default"), (None, "default"), (None, None)])
def test_five_megabytes_become_parts_that_give_the_whole_again(container: str | None, namespace: str | None) -> None:
    book = Book()
    value = bytes(range(256)) * (5 * 1024 * 4)
    parts = book.place(observed(raw(value), container, namespace))
    assert b"".join(part.data.value for part in parts) == value
    assert {(part.data.size, part.data.sha256) for part in parts} == {(len(value), hashlib.sha256(value).hexdigest())}
    assert [part.data.part for part in parts] == list(range(1, len(parts) + 1))
    assert {part.data.parts for part in parts} == {len(parts)}
    assert [part.position for part in parts] == [f"log:{n}" for n in range(1, len(parts) + 1)]


def test_a_typed_event_that_is_too_big_becomes_raw_with_all_of_its_data() -> None:
    book = Book()
    event = events.TaskCreate(container_id="web.1", bundle="b" * (MAX_BODY + 1))
    parts = book.place(observed(event))
    whole = b"".join(part.data.value for part in parts)
    assert {part.data.reason for part in parts} == {"oversize"}
    assert {part.data.type_url for part in parts} == {"io.containerd.task.create.v1"}
    assert msgspec.json.decode(whole, type=events.TaskCreate) == event
    assert [part.sequence for part in parts] == list(range(1, len(parts) + 1))


def test_no_body_is_larger_than_what_both_ends_agreed_on() -> None:
    book = Book()
    ledger = book.ledger
    for size in (MAX_BODY // 4 * 3 - 2000, MAX_BODY // 4 * 3, MAX_BODY * 3):
        batch = [observed(raw(b"v" * size))]
        for entry in ledger.place(batch, ledger.open(batch), lambda _: {}):
            assert len(entry.body) <= MAX_BODY


# -- the fold


EXIT = events.TaskExit(container_id="web.1", id="web.1", pid=7, exit_status=3, exited_at=Nanos(9))


def test_what_cannot_be_true_is_kept_as_an_anomaly_and_not_told_twice() -> None:
    book = Book()
    *_, first, second = book.place(observed(task_create()), observed(START), observed(EXIT), observed(EXIT))
    assert first.data == EXIT
    assert second.type == "io.containerd.bridge.anomaly.v1"
    assert (second.data.reason, second.data.event_type) == ("second-exit", EXIT.type)
    assert second.data.event["exit_status"] == 3
    assert second.incarnation == first.incarnation
    assert book.subjects[-1] == "containerd.events.node.k8s=2Eio.web=2E1.anomaly"
    assert book.ledger.anomalies == 1


def test_a_state_survives_a_restart() -> None:
    book = Book()
    book.place(observed(CREATE), observed(task_create()), observed(START))
    before = book.ledger.state("k8s.io", "web.1")
    assert (before.status, before.pid, before.image) == ("running", 7, "nginx:1")
    assert book.reopened().state("k8s.io", "web.1") == before
    [again] = book.place(observed(EXIT), observed(EXIT))[1:]
    assert again.data.reason == "second-exit"


def test_a_container_that_was_never_seen_is_unknown() -> None:
    state = Book().ledger.state("k8s.io", "web.1")
    assert (state.status, state.sequence, state.namespace, state.container) == ("unknown", 0, "k8s.io", "web.1")


def test_states_are_those_of_every_container_that_is_not_gone_in_memory_or_not() -> None:
    book = Book()
    book.place(observed(START, "a"), observed(START, "b"))
    book.reopened()
    gone = events.ContainerDelete(id="c")
    book.place(observed(START, "b"), observed(START, "c"), observed(gone, "c"), observed(START, "d"))
    assert sorted(state.container for state in book.ledger.states()) == ["a", "b", "d"]
    assert {state.container: state.sequence for state in book.ledger.states()}["b"] == 2


def test_who_commands_a_container_that_is_not_there_makes_none() -> None:
    book = Book()
    refused = events.CommandRecorded(container_id="made-up", command_id="c", verb="stop", outcome="error")
    book.place(observed(refused, "made-up"))
    assert book.rows["k8s.io", "made-up"].deleted_at == 6
    book.place(observed(task_create("made-up"), "made-up"))
    assert book.rows["k8s.io", "made-up"].deleted_at is None


def test_a_container_that_is_gone_is_remembered_from_its_newest_event_on() -> None:
    book = Book()
    book.place(observed(CREATE), observed(events.ContainerDelete(id="web.1")))
    late = events.CommandRecorded(container_id="web.1", command_id="c", verb="stop", outcome="error")
    book.place(replace(observed(late), recorded=Nanos(99)))
    assert book.rows["k8s.io", "web.1"].deleted_at == 99


def test_an_update_that_says_the_runtime_is_believed() -> None:
    book = Book()
    book.place(observed(START), observed(events.ContainerUpdate(id="web.1", runtime="r", labels={})))
    assert book.ledger.state("k8s.io", "web.1").runtime == "r"


# -- what nobody told in a gap

STARTED = NodeStarted(version="1", pid=1)
DISCONNECTED = NodeDisconnected(reason="the stream ended")
RECONCILED = NodeReconciled(listed_at=Nanos(1), containers=1, told=0)
NEXT = events.TaskCreate(container_id="web.1", pid=8)


def of_node(event: Event) -> Observed:
    return observed(event, None, None)


def told(book: Book, *observations: Observed) -> list[tuple[str, str]]:
    """What is recorded of containers, each with its origin."""
    return [(one.data.word, one.origin) for one in book.place(*observations) if one.container is not None]


@pytest.mark.parametrize("gap", [STARTED, DISCONNECTED], ids=["of this bridge", "of the subscription"])
def test_the_end_of_a_task_that_nobody_saw_is_told_before_the_next_one(gap: Event) -> None:
    book = Book()
    book.place(observed(CREATE), observed(task_create()), observed(START))
    before = book.ledger.state("k8s.io", "web.1").incarnation
    book.place(of_node(gap))
    exit_, delete, create = book.place(observed(NEXT, time=9))
    assert [one.data.word for one in (exit_, delete, create)] == ["exit", "delete", "create"]
    assert [one.origin for one in (exit_, delete, create)] == ["reconciled", "reconciled", "live"]
    assert (exit_.data.pid, exit_.data.exit_status, exit_.data.reason) == (7, None, "unseen")
    assert exit_.incarnation == delete.incarnation == before != create.incarnation
    assert [one.sequence for one in (exit_, delete, create)] == [4, 5, 6]
    assert told(book, observed(events.TaskStart(container_id="web.1", pid=8), time=10)) == [("start", "live")]


def test_the_end_of_a_record_that_nobody_saw_is_told_before_the_next_one() -> None:
    book = Book()
    book.place(observed(replace(CREATE, labels={"app": "old"})), observed(task_create()), observed(START))
    book.place(of_node(STARTED))
    again = replace(CREATE, image="nginx:2", labels={"app": "new"})
    placed = book.place(observed(again, time=9), observed(NEXT, time=10))
    assert [one.data.word for one in placed] == ["exit", "delete", "container-delete", "container-create", "create"]
    assert [one.data.labels["app"] for one in placed] == ["old"] * 3 + ["new"] * 2


def test_nothing_is_told_where_nothing_is_missing() -> None:
    book = Book()
    book.place(observed(CREATE), observed(task_create()), observed(START), observed(EXIT))
    deleted = events.TaskDelete(container_id="web.1", pid=7, exit_status=3, exited_at=Nanos(9))
    book.place(observed(deleted), of_node(STARTED))
    assert told(book, observed(NEXT, time=9)) == [("create", "live")]


def test_while_no_gap_is_open_a_create_ends_nothing() -> None:
    """Its predecessor's end may be on its way: shims try again for most of a minute."""
    task = (observed(CREATE), observed(task_create()), observed(START))
    for before in [task, (of_node(STARTED), *task), (*task, of_node(STARTED), of_node(RECONCILED))]:
        book = Book()
        book.place(*before)
        assert told(book, observed(NEXT, time=9)) == [("create", "live")]


def test_an_audit_closes_no_gap() -> None:
    book = Book()
    book.place(observed(task_create()), observed(START), of_node(STARTED), of_node(replace(RECONCILED, audit=True)))
    assert told(book, observed(NEXT, time=9))[0] == ("exit", "reconciled")


def test_a_create_that_is_older_than_what_is_known_ends_nothing() -> None:
    book = Book()
    book.place(observed(task_create(), time=50), observed(START, time=60), of_node(STARTED))
    assert told(book, observed(replace(NEXT, pid=6), time=40)) == [("create", "live")]


HISTORY = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.sampled_from(
            [
                CREATE,
                task_create(),
                events.TaskCreate(container_id="web.1", pid=8),
                START,
                EXIT,
                events.TaskExit(container_id="web.1", id="web.1", pid=0, exit_status=255),
                events.TaskDelete(container_id="web.1", pid=7, exit_status=3, exited_at=Nanos(9)),
                events.TaskPaused(container_id="web.1"),
                events.TaskExecAdded(container_id="web.1", exec_id="e"),
                events.ContainerUpdate(id="web.1", image="nginx:2", labels={"a": "b"}),
                events.ContainerDelete(id="web.1"),
                None,  # one that is too big for a message
                DISCONNECTED,
                RECONCILED,
            ]
        ),
    ),
    max_size=30,
)


@given(HISTORY, st.integers(1, 5), st.booleans())
def test_whoever_folds_the_log_comes_to_the_same_states(
    history: list[tuple[str, Event | None]], every: int, described: bool
) -> None:
    info = ContainerInfo(namespace="k8s.io", id="a", image="nginx:1", labels={"x": "y"}, runtime="r")
    known = {("k8s.io", "a"): info} if described else {}
    book, folded = Book(), dict[str, ContainerState]()
    # Raw parts do not say what their container is; the next event does.
    ends: list[tuple[str, Event | None]] = [(container, events.TaskOOM(container_id="web.1")) for container in "ab"]
    for number, (container, event) in enumerate(history + ends):
        if number % every == 0:
            book.reopened()
        of_node = isinstance(event, NodeEvent)
        seen = observed(event or raw(b"x" * MAX_BODY), None if of_node else container, time=number)
        for recorded in book.place(seen, known=known):
            if not of_node:
                folded[container] = evolve(folded.get(container), recorded)
    for container, state in folded.items():
        assert book.ledger.state("k8s.io", container) == state


def test_a_restore_of_a_bridge_is_told_with_its_checkpoint_and_its_parent() -> None:
    """containerd names the directory of the dump; the record says what lay there, and the path whether it speaks of this one."""
    marks = {labels.CHECKPOINT: "n1.k8s=2Eio.web=2E1.kept", labels.PARENT: "01PARENT", labels.RESTORE: "c-1"}
    made = observed(events.ContainerCreate(id="web.1", labels=marks), container="web.1")
    told = []
    for path in ("/dumps/n1/c-1/archive/checkpoint", "/dumps/n1/c-2/archive/checkpoint"):
        book = Book()
        restored = events.TaskRestored(container_id="web.1", checkpoint=path)
        [*_, one] = book.place(made, observed(restored, container="web.1"))
        told.append((one.data.checkpoint, one.data.parent, one.correlationid))
        state = book.ledger.state("k8s.io", "web.1")
        assert (state.restored_from, state.parent) == (told[-1][0], told[-1][1])
    assert told == [
        ("n1.k8s=2Eio.web=2E1.kept", "01PARENT", "c-1"),
        ("/dumps/n1/c-2/archive/checkpoint", None, None),
    ]


@pytest.mark.parametrize(("status", "expected"), [(137, ("checkpoint", "c-1")), (1, (None, None))])
def test_the_exit_that_a_checkpoint_caused_is_told_from_a_crash(
    status: int, expected: tuple[str | None, str | None]
) -> None:
    book = Book()
    start = observed(events.TaskStart(container_id="web.1", pid=7), container="web.1")
    end = observed(events.TaskExit(container_id="web.1", id="web.1", pid=7, exit_status=status), container="web.1")
    book.place(start)
    book.ledger.expect_end("k8s.io", "web.1", "c-1")
    [told] = book.place(end)
    assert (told.data.cause, told.correlationid) == expected
    book.ledger.expect_end("k8s.io", "web.1", None)
