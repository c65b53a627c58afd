"""A stream is compared with what the guarantees rest on: as good or better is fine, weaker is named."""

from typing import Any

import pytest

from bridge.jetstream.streams import AS_USUAL, declared, faults, stream_name
from bridge.model.subjects import Subjects

SUBJECTS = Subjects()


def stream(**changes: Any) -> dict[str, Any]:
    return {**declared(SUBJECTS, AS_USUAL, batched=True), **changes}


def test_what_we_declare_is_good_enough_for_us() -> None:
    assert faults(stream(), SUBJECTS, replicas=1) == []


@pytest.mark.parametrize(
    "better",
    [
        {"num_replicas": 3},
        {"max_age": 0},
        {"duplicate_window": 3_600_000_000_000, "max_age": 0},
        {"discard": "new", "max_bytes": 10**9},
        {"subjects": ["containerd.>"]},
        {"subjects": ["containerd.events.>", "containerd.nodes.*.*", "containerd.nodes.>", "else"]},
        {"deny_delete": False, "deny_purge": False, "allow_direct": False},
        {"compression": "s2"},
        {"max_msg_size": 1024 * 1024},
        {"republish": {"src": ">", "dest": "copy.>"}},
    ],
)
def test_a_stream_that_is_as_good_is_taken_as_it_is(better: dict[str, Any]) -> None:
    assert faults(stream(**better), SUBJECTS, replicas=1) == []


@pytest.mark.parametrize(
    ("weaker", "said"),
    [
        ({"storage": "memory"}, "storage is memory, needed is file"),
        ({"retention": "interest"}, "retention is interest, needed is limits"),
        ({"retention": "workqueue"}, "retention is workqueue, needed is limits"),
        ({"num_replicas": 1}, "num_replicas is 1, needed is 3 or more"),
        ({"duplicate_window": 120_000_000_000}, "duplicate_window is 120 s, needed is 1800 s or more"),
        ({"max_msgs_per_subject": 5}, "max_msgs_per_subject is 5, needed is -1"),
        ({"max_msg_size": 1000}, "max_msg_size is 1000, needed is -1"),
        ({"subjects": ["containerd.events.>"]}, "needed is containerd.nodes.> too"),
        ({"subjects": ["containerd.events.*.moby.>", "containerd.nodes.>"]}, "needed is containerd.events.> too"),
        ({"sealed": True}, "sealed is true, needed is unset"),
        ({"no_ack": True}, "no_ack is true, needed is unset"),
        ({"mirror": {"name": "OTHER"}, "subjects": None}, "mirror is set (OTHER), needed is unset"),
        ({"subject_transform": {"src": ">", "dest": "x.>"}}, "subject_transform is set (x.>), needed is unset"),
        ({"allow_msg_counter": True}, "allow_msg_counter is true, needed is unset"),
    ],
)
def test_a_weakness_is_named_with_what_is_there_and_what_is_needed(weaker: dict[str, Any], said: str) -> None:
    there = stream(num_replicas=3) | weaker
    assert said in "; ".join(faults(there, SUBJECTS, replicas=3))


def test_every_weakness_is_named_at_once() -> None:
    assert len(faults(stream(storage="memory", sealed=True, no_ack=True), SUBJECTS, replicas=1)) == 3


def test_another_root_has_another_stream() -> None:
    assert (stream_name(Subjects()), stream_name(Subjects("staging"))) == ("CONTAINERD_EVENTS", "STAGING_EVENTS")
