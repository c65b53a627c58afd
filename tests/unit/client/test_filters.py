"""A choice of events becomes subject filters that say exactly it."""

from typing import Any

import pytest

from bridge.client.filters import EventFilter
from bridge.model.envelope import WORDS, Event, Recorded, Unrecognized
from bridge.model.events import TaskExit
from bridge.model.nanos import Nanos
from bridge.model.node_events import ImageCreate, NodeEvent, NodeGap, NodeHeartbeat
from bridge.model.selection import Selection
from bridge.model.subjects import Subjects
from bridge.ports import StoredEvent

SUBJECTS = Subjects()


def subjects(**choice: Any) -> list[str]:
    return EventFilter(**choice).subjects(SUBJECTS)


def stored(event: Event, namespace: str | None = None) -> StoredEvent:
    source = "/containerd/n1" + (f"/{namespace}" if namespace else "")
    recorded: Recorded[Event] | Recorded[Unrecognized] = Recorded(
        specversion="1.0",
        datacontenttype="application/json",
        id="1",
        type=event.type,
        source=source,
        time=Nanos(0),
        recordedtime=Nanos(0),
        position="a:1",
        origin="live",
        data=event,
    )
    return StoredEvent(stream_sequence=1, stored_at=Nanos(0), subject="", body=b"", recorded=recorded)


def test_no_choice_is_everything() -> None:
    assert subjects() == ["containerd.events.*.*.*.*", "containerd.nodes.*.*"]


def test_a_container_with_a_dot_is_one_token() -> None:
    assert subjects(containers="web.1") == ["containerd.events.*.*.web=2E1.*"]


def test_several_of_each_are_every_combination_once() -> None:
    assert subjects(namespaces=["a", "b", "a"], containers=["x"], words=["exit", "oom"]) == [
        "containerd.events.*.a.x.exit",
        "containerd.events.*.a.x.oom",
        "containerd.events.*.b.x.exit",
        "containerd.events.*.b.x.oom",
    ]


def test_all_types_of_node_events_are_one_filter() -> None:
    words = [word for word, event in WORDS.items() if issubclass(event, NodeEvent)]
    assert subjects(nodes=["n1"], namespaces=["a"], words=words) == ["containerd.nodes.n1.*"]
    assert len(subjects(words=words[1:])) == len(words) - 1


def test_nodes_choose_their_own_events_too() -> None:
    assert subjects(nodes=["n1"]) == ["containerd.events.n1.*.*.*", "containerd.nodes.n1.*"]


def test_a_type_of_node_events_brings_no_container_events() -> None:
    assert subjects(words=["gap"]) == ["containerd.nodes.*.gap"]


def test_a_type_of_container_events_brings_no_node_events() -> None:
    assert subjects(words=["exit"]) == ["containerd.events.*.*.*.exit"]


def test_a_named_type_of_node_events_comes_along_with_a_container() -> None:
    assert subjects(containers=["x"], words=["exit", "gap"]) == [
        "containerd.events.*.*.x.exit",
        "containerd.nodes.*.gap",
    ]


def test_node_events_come_along_with_a_container_when_asked_for() -> None:
    assert subjects(containers=["x"], node_events=True) == ["containerd.events.*.*.x.*", "containerd.nodes.*.*"]


def test_node_events_stay_away_when_asked_to() -> None:
    assert subjects(node_events=False) == ["containerd.events.*.*.*.*"]


def test_another_root_stands_in_front() -> None:
    assert EventFilter(words="exit").subjects(Subjects("prod")) == ["prod.events.*.*.*.exit"]


def test_an_unknown_type_is_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match=r"'bogus' is no type of event: choose from create, .*exit.*, gap"):
        EventFilter(words=["exit", "bogus"])


def test_a_choice_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"only events of nodes were chosen \(gap\), and node events are switched off"):
        EventFilter(words=["gap"], node_events=False)


@pytest.mark.parametrize("what", ["nodes", "namespaces", "containers"])
def test_an_empty_name_is_refused(what: str) -> None:
    with pytest.raises(ValueError, match=f"an empty name is no {what[:-1]}"):
        subjects(**{what: [""]})


def test_heartbeats_are_left_out_unless_asked_for() -> None:
    heartbeat = stored(NodeHeartbeat(probe_ns=1))

    assert not EventFilter().admits(heartbeat)
    assert EventFilter(words=["heartbeat"]).admits(heartbeat)


def test_images_of_other_namespaces_are_left_out() -> None:
    image = stored(ImageCreate(name="x"), "a")

    assert EventFilter(namespaces="a").admits(image)
    assert not EventFilter(namespaces="b").admits(image)


def test_a_gap_concerns_every_namespace() -> None:
    assert EventFilter(namespaces="a").admits(stored(NodeGap(since=None, until=Nanos(1), reason="")))


def test_a_container_event_that_came_is_wanted() -> None:
    assert EventFilter(namespaces="a").admits(stored(TaskExit(container_id="x", id="x"), "a"))


# -- by label, name, image and exit status


def test_a_selection_is_looked_for_in_the_events_that_come() -> None:
    choice = EventFilter(selection=Selection(label="app=web"))
    web = TaskExit(container_id="x", id="x", labels={"app": "web"})

    assert choice.subjects(SUBJECTS) == ["containerd.events.*.*.*.*"]
    assert choice.admits(stored(web, "a"))
    assert not choice.admits(stored(TaskExit(container_id="x", id="x", labels={}), "a"))


def test_an_exit_status_is_asked_of_ends_alone() -> None:
    failed = Selection(exit_status="!=0")

    assert subjects(selection=failed, nodes="n1") == [
        "containerd.events.n1.*.*.exit",
        "containerd.events.n1.*.*.exec-exit",
        "containerd.events.n1.*.*.delete",
    ]
    assert subjects(selection=failed, words=["start", "exit"]) == ["containerd.events.*.*.*.exit"]


@pytest.mark.parametrize("words", [["start"], ["gap"]])
def test_an_exit_status_of_what_is_no_end_is_refused(words: list[str]) -> None:
    with pytest.raises(
        ValueError, match=r"an exit status chooses ends, and none of .* is one: choose from exit, exec-exit"
    ):
        EventFilter(words=words, selection=Selection(exit_status="0"))


def test_chosen_containers_come_without_node_events_unless_those_are_asked_for() -> None:
    web = Selection(label="app=web")
    gap = stored(NodeGap(since=None, until=Nanos(1), reason=""))

    assert subjects(selection=web) == ["containerd.events.*.*.*.*"]
    assert subjects(selection=web, node_events=True) == ["containerd.events.*.*.*.*", "containerd.nodes.*.*"]
    assert subjects(selection=web, words=["exit", "gap"]) == ["containerd.events.*.*.*.exit", "containerd.nodes.*.gap"]
    assert EventFilter(selection=web, node_events=True).admits(gap)
