"""The envelope: one type and one word per event, sources and positions there and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.envelope import EVENT_TYPES, WORDS, Event, Position, Recorded, Sequence, format_source, parse_source
from bridge.model.events import ContainerEvent
from bridge.model.node_events import NodeEvent
from tests.unit.model import examples


def every_event(base: type) -> set[type]:
    children: set[type] = set(base.__subclasses__())
    return children.union(*map(every_event, children))


def test_every_event_of_the_model_has_its_own_type_and_word() -> None:
    events = every_event(ContainerEvent) | every_event(NodeEvent)
    assert set(EVENT_TYPES.values()) == events
    assert set(WORDS.values()) == events
    assert len(EVENT_TYPES) == len(WORDS) == len(events)


def test_the_words_are_those_of_the_contract() -> None:
    task = "create start exit oom exec-added exec-started paused resumed delete exec-exit checkpointed restored"
    container = "container-create container-update container-delete health command anomaly raw"
    node = (
        "started stopped connected disconnected gap reconciled heartbeat lease image-create image-update image-delete"
    )
    assert set(WORDS) == set(f"{task} {container} {node}".split())


def test_types_are_versioned() -> None:
    assert all(name.startswith("io.containerd.") and name.endswith(".v1") for name in EVENT_TYPES)


@given(st.integers(1, 10**20 - 1), st.integers(1, 10**20 - 1))
def test_the_text_order_of_sequences_is_their_order(one: int, other: int) -> None:
    assert (f"{Sequence(one):020d}" < f"{Sequence(other):020d}") == (one < other)


@given(st.uuids().map(str), st.integers(0, 2**63))
def test_a_position_survives_as_text(log: str, n: int) -> None:
    assert Position.parse(str(Position(log, n))) == Position(log, n)


@pytest.mark.parametrize("text", ["", ":", "a:", ":1", "a:-1", "a:x", "a", "a:\u0661", "a: 1"])
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a position"):
        Position.parse(text)


@given(examples.IDENTIFIERS, st.none() | examples.IDENTIFIERS)
def test_a_source_says_node_and_namespace(node: str, namespace: str | None) -> None:
    assert parse_source(format_source(node, namespace)) == (node, namespace)


@pytest.mark.parametrize("source", ["", "/", "/containerd", "containerd/n", "/docker/n", "/containerd/n/ns/c"])
def test_what_is_no_source_of_ours_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match="is not a source"):
        parse_source(source)


@given(examples.recorded())
def test_an_envelope_knows_where_it_came_from(recorded: Recorded[Event]) -> None:
    assert format_source(recorded.node, recorded.namespace) == recorded.source


@given(examples.recorded())
def test_only_a_numbered_event_belongs_to_a_container(recorded: Recorded[Event]) -> None:
    assert recorded.container == (recorded.subject if recorded.sequence is not None else None)
