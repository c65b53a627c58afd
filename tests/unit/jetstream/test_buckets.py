"""A bucket is compared with what we need of it: as good or better is fine, weaker is named."""

from typing import Any

import pytest

from bridge.jetstream.buckets import declared_bucket, weaknesses
from bridge.jetstream.keys import is_mark


def bucket(**changes: Any) -> dict[str, Any]:
    return {**declared_bucket("b", "for a test", replicas=1), **changes}


def test_what_we_declare_is_good_enough_for_us() -> None:
    assert weaknesses(bucket(), "b", replicas=1) == []


@pytest.mark.parametrize(
    "better",
    [
        {"num_replicas": 3},
        {"max_msgs_per_subject": 5},
        {"max_bytes": 10**9},
        {"discard": "old"},
        {"allow_direct": False, "deny_delete": False, "allow_rollup_hdrs": False},
        {"compression": "s2"},
        {"republish": {"src": ">", "dest": "copy.>"}},
    ],
)
def test_a_bucket_that_is_as_good_is_taken_as_it_is(better: dict[str, Any]) -> None:
    assert weaknesses(bucket(**better), "b", replicas=1) == []


@pytest.mark.parametrize(
    ("weaker", "said"),
    [
        ({"storage": "memory"}, "storage is memory, needed is file"),
        ({"retention": "workqueue"}, "retention is workqueue, needed is limits"),
        ({"num_replicas": 1}, "num_replicas is 1, needed is 3 or more"),
        ({"max_age": 60_000_000_000}, "max_age is 60 s, needed is unset"),
        ({"max_msgs_per_subject": -1}, "max_msgs_per_subject is -1, needed is 1"),
        ({"discard": "old", "max_bytes": 1000}, "discard is old, needed is new"),
        ({"discard": "old", "max_msgs": 1000}, "discard is old, needed is new"),
        ({"subjects": ["$KV.other.>"]}, "needed is $KV.b.> too"),
        ({"mirror": {"name": "OTHER"}, "subjects": None}, "mirror is set (OTHER), needed is unset"),
        ({"sealed": True}, "sealed is true, needed is unset"),
    ],
)
def test_a_weakness_is_named_with_what_is_there_and_what_is_needed(weaker: dict[str, Any], said: str) -> None:
    assert said in "; ".join(weaknesses(bucket(num_replicas=3) | weaker, "b", replicas=3))


@pytest.mark.parametrize(
    ("weaker", "said"),
    [
        ({"max_msgs_per_subject": 1}, "max_msgs_per_subject is 1, needed is 1000000 or more"),
        ({"discard_new_per_subject": False}, "discard_new_per_subject is false, needed is true"),
        ({"allow_rollup_hdrs": True}, "allow_rollup_hdrs is true, needed is unset"),
    ],
)
def test_a_bucket_from_which_something_could_be_pushed_out_is_not_good_enough(
    weaker: dict[str, Any], said: str
) -> None:
    kept = declared_bucket("b", "for a test", replicas=1, kept=True)
    assert weaknesses(kept, "b", replicas=1, kept=True) == []
    unlimited = {"max_msgs_per_subject": -1, "discard_new_per_subject": False}
    assert weaknesses(kept | unlimited, "b", replicas=1, kept=True) == []
    assert said in "; ".join(weaknesses(kept | weaker, "b", replicas=1, kept=True))


@pytest.mark.parametrize(
    ("header", "value", "mark"),
    [
        ("KV-Operation", "DEL", True),
        ("KV-Operation", "PURGE", True),
        ("KV-Operation", "PUT", False),
        ("Nats-Marker-Reason", "MaxAge", True),
        ("Nats-Msg-Id", "DEL", False),
    ],
)
def test_what_says_that_a_key_is_gone(header: str, value: str, mark: bool) -> None:
    assert is_mark(header, value) == mark
