"""Choosing containers: each option by itself, several together, and events and states alike."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bridge.model.events import (
    ContainerCreate,
    TaskDelete,
    TaskExecExit,
    TaskExit,
    TaskPaused,
    TaskStart,
)
from bridge.model.nanos import Nanos
from bridge.model.node_events import NodeHeartbeat
from bridge.model.outcomes import ContainerInfo, TaskInfo
from bridge.model.selection import Selection, familiar
from bridge.model.state import ContainerState
from tests.unit.model.small_log import ID, SmallLog, recorded


def admits(selection: Selection, **known: Any) -> bool:
    return selection.admits_state(ContainerState(node="n1", namespace="default", container="web.1", **known))


WEB = {"app": "web", "tier": "front", "empty": ""}


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["app"], True),
        (["owner"], False),
        (["app=web"], True),
        (["app=api"], False),
        (["app!=api"], True),
        (["app!=web"], False),
        (["owner!=me"], True),
        (["empty="], True),
        (["app="], False),
        (["app=web", "app=api"], True),
        (["app=web", "tier=front"], True),
        (["app=web", "tier=back"], False),
        (["app", "app!=web"], False),
        (["tier!=back", "tier!=front"], False),
        (["a=b=c"], False),
    ],
)
def test_labels_of_one_key_are_alternatives_and_different_keys_all_hold(labels: list[str], expected: bool) -> None:
    assert admits(Selection(label=labels), labels=WEB) is expected


@pytest.mark.parametrize("label", ["app", "app=web", "app!=web"])
def test_unknown_labels_match_nothing(label: str) -> None:
    assert not admits(Selection(label=label), labels=None)


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [(["shop"], True), (["sh*"], True), (["s?op"], True), (["[st]hop"], True), (["SHOP"], False), (["x", "s*"], True)],
)
def test_names_are_patterns(patterns: list[str], expected: bool) -> None:
    assert admits(Selection(name=patterns), name="shop") is expected


def test_a_container_without_name_goes_by_its_id() -> None:
    assert admits(Selection(name="web*"))
    assert not admits(Selection(name="web*"), name="shop")


@pytest.mark.parametrize(
    "pattern", ["nginx", "nginx:1.27", "nginx:1.*", "docker.io/library/nginx:1.27", "*/nginx:*", "ngin*"]
)
def test_an_image_goes_by_every_way_to_write_it(pattern: str) -> None:
    assert admits(Selection(image=pattern), image="docker.io/library/nginx:1.27")


def test_other_images_are_others() -> None:
    assert not admits(Selection(image="nginx"), image="docker.io/bitnami/nginx:1.27")
    assert not admits(Selection(image="nginx:1.2"), image="docker.io/library/nginx:1.27")
    assert not admits(Selection(image="*"), image=None)


@pytest.mark.parametrize(
    ("image", "ways"),
    [
        ("docker.io/library/nginx:1@sha256:ab", ("nginx:1@sha256:ab", "nginx:1", "nginx")),
        ("docker.io/grafana/loki", ("grafana/loki",)),
        ("registry:5000/team/app:2", ("registry:5000/team/app",)),
        ("registry:5000/team/app", ()),
        ("busybox", ()),
    ],
)
def test_the_ways_to_write_an_image(image: str, ways: tuple[str, ...]) -> None:
    assert familiar(image) == (image, *ways)


@pytest.mark.parametrize(
    ("wanted", "matching"),
    [
        (["0"], {0}),
        (["!=0"], {3, 137}),
        (["137", "0"], {0, 137}),
        (["unknown"], {None}),
        (["!=0", "unknown"], {3, 137, None}),
    ],
)
def test_exit_statuses(wanted: list[str], matching: set[int | None]) -> None:
    selection = Selection(exit_status=wanted)

    found = {
        status for status in (0, 3, 137, None) if admits(selection, exited=True, exit_status=status, status="stopped")
    }

    assert found == matching


def test_what_has_not_ended_has_no_exit_status() -> None:
    assert not admits(Selection(exit_status="unknown"), status="running")
    assert not admits(Selection(exit_status="!=0"), status="running")


@pytest.mark.parametrize(
    ("event", "status"),
    [
        (TaskExit(container_id=ID, id=ID, pid=7, exit_status=3), "3"),
        (TaskExit(container_id=ID, id=ID, exit_status=None), "unknown"),
        (TaskExit(container_id=ID, id=ID, pid=0, exit_status=255), "unknown"),
        (TaskExecExit(container_id=ID, id="probe", exit_status=1), "!=0"),
        (TaskDelete(container_id=ID, pid=7, exit_status=0, exited_at=Nanos(1)), "0"),
    ],
)
def test_events_that_are_ends(event: Any, status: str) -> None:
    assert Selection(exit_status=status).admits_event(recorded(event, 1))


@pytest.mark.parametrize(
    "event", [TaskStart(container_id=ID), TaskPaused(container_id=ID), TaskDelete(container_id=ID, exit_status=0)]
)
def test_events_that_are_no_ends(event: Any) -> None:
    assert not Selection(exit_status=["0", "unknown"]).admits_event(recorded(event, 1))


def test_an_event_of_a_container_without_name_goes_by_its_id() -> None:
    assert Selection(name="web*").admits_event(recorded(TaskStart(container_id=ID), 1))
    assert not Selection(name="web*").admits_event(recorded(TaskStart(container_id=ID, name="shop"), 1))


def test_an_event_of_a_node_is_no_container_s() -> None:
    assert Selection().admits_event(recorded(NodeHeartbeat(probe_ns=1), None))
    assert not Selection(label="app!=web").admits_event(recorded(NodeHeartbeat(probe_ns=1), None))


def test_all_options_have_to_hold() -> None:
    selection = Selection(label="app=web", name="shop", image="nginx", exit_status="3")
    event = TaskExit(container_id=ID, id=ID, pid=7, exit_status=3, labels=WEB, name="shop", image="nginx")

    assert selection.admits_event(recorded(event, 1))
    others: list[dict[str, Any]] = [{"labels": {}}, {"name": "x"}, {"image": "x"}, {"exit_status": 4}]
    for other in others:
        assert not selection.admits_event(recorded(replace(event, **other), 1))


def test_containerd_s_own_list_is_chosen_from_likewise() -> None:
    one = ContainerInfo(namespace="default", id="web.1", image="nginx", labels=WEB, created_at=Nanos(0))
    ended = replace(one, task=TaskInfo(status="stopped", pid=7, exit_status=3))

    assert Selection(label="app=web", name="web*", image="nginx").admits_container(one)
    assert not Selection(label="app=api").admits_container(one)
    assert not Selection(exit_status="3").admits_container(one)
    assert Selection(exit_status="3").admits_container(ended)


@pytest.mark.parametrize(
    ("option", "text", "sentence"),
    [
        ("label", "", "'' chooses by no label: give key, key=value or key!=value"),
        ("label", "=x", "'=x' chooses by no label"),
        ("label", "!=x", "'!=x' chooses by no label"),
        ("name", "", "an empty pattern chooses no name"),
        ("image", "", "an empty pattern chooses no image"),
        ("exit_status", "", "'' is no exit status: give a number such as 0 or 137, !=0, or unknown"),
        ("exit_status", "-1", "'-1' is no exit status"),
        ("exit_status", "=0", "'=0' is no exit status"),
        ("exit_status", "!=unknown", "'!=unknown' is no exit status"),
        ("exit_status", "4294967296", "'4294967296' is no exit status"),
        ("exit_status", "9" * 5000, "is no exit status"),
        ("exit_status", "٣", "is no exit status"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_forms(option: str, text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=r"choose|exit status") as refused:
        Selection(**{option: text})
    assert sentence in str(refused.value)


def test_nothing_chosen_is_nothing_to_look_for() -> None:
    assert not Selection()
    assert Selection(exit_status="0").by_ending
    assert not Selection(label="x").by_ending


# -- the event and the state after it

KEYS, VALUES = st.sampled_from(["app", "tier"]), st.sampled_from(["web", "api", ""])
LABELS = st.dictionaries(KEYS, VALUES)
IMAGES = st.sampled_from(["docker.io/library/nginx:1", "docker.io/library/nginx:2", "busybox"])
NAMES = st.sampled_from(["shop", "web-1", "web-2"])
LABEL_TESTS = st.one_of(KEYS, st.builds("{}={}".format, KEYS, VALUES), st.builds("{}!={}".format, KEYS, VALUES))
SELECTIONS = st.builds(
    Selection,
    label=st.lists(LABEL_TESTS, max_size=3),
    name=st.lists(st.sampled_from(["shop", "web*", "*1", "[sw]*"]), max_size=2),
    image=st.lists(st.sampled_from(["nginx", "nginx:1", "busy*", "docker.io/*"]), max_size=2),
)
KINDS = st.sampled_from(
    [
        ContainerCreate(id=ID),
        TaskStart(container_id=ID, pid=7),
        TaskExit(container_id=ID, id=ID, pid=7, exit_status=0),
        TaskPaused(container_id=ID),
    ]
)


@given(st.lists(st.tuples(KINDS, LABELS, NAMES, IMAGES), min_size=1, max_size=6), SELECTIONS)
def test_an_event_is_chosen_just_when_the_state_after_it_is(
    told: list[tuple[Any, dict[str, str], str, str]], selection: Selection
) -> None:
    log = SmallLog()
    for event, labels, name, image in told:
        state = log.tell(replace(event, labels=labels, name=name, image=image))
        if log.recorded[-1].type != event.type:
            continue  # it was told as an anomaly, which describes nothing

        assert selection.admits_event(log.recorded[-1]) == selection.admits_state(state)
