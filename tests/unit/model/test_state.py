"""The state of a container crosses the bus: every state there and back, and old and new readers survive each other."""

import json

from bridge.model.codec import decode_as, encode_any
from bridge.model.nanos import Nanos
from bridge.model.state import ContainerState, ExecState
from tests.unit.model.small_log import create, exec_added, exec_started, paused, record, start, told, update

UNKNOWN = ContainerState(node="host1", namespace="k8s.io", container="web.1")


def test_a_state_stands_on_the_wire_with_all_that_is_known_and_null_for_the_rest() -> None:
    log = told(record(), update(name="web"), create(), start(), exec_added("a"), exec_started("a", 33), paused())
    assert json.loads(encode_any(log.state)) == {
        "node": "host1",
        "namespace": "k8s.io",
        "container": "web.1",
        "status": "paused",
        "incarnation": "incarnation-3",
        "pid": 20,
        "exited": False,
        "exit_status": None,
        "exited_at": None,
        "lost": False,
        "oom": False,
        "ooms": 0,
        "execs": {
            "a": {
                "status": "running",
                "pid": 33,
                "added_at": "1970-01-01T00:00:00.000000005Z",
                "started_at": "1970-01-01T00:00:00.000000006Z",
            }
        },
        "restored_from": None,
        "parent": None,
        "health": None,
        "last_checkpoint": None,
        "checkpoints": 0,
        "created_at": "1970-01-01T00:00:00.000000001Z",
        "deleted_at": None,
        "task_created_at": "1970-01-01T00:00:00.000000003Z",
        "started_at": "1970-01-01T00:00:00.000000004Z",
        "paused_at": "1970-01-01T00:00:00.000000007Z",
        "updated": "1970-01-01T00:00:00.000000007Z",
        "image": "busybox",
        "labels": {"name": "web"},
        "name": "web",
        "runtime": "runc",
        "sequence": "00000000000000000007",
        "position": "log:7",
        "incarnations": 1,
        "anomalies": 0,
    }


def test_a_reader_passes_over_fields_that_it_does_not_know() -> None:
    newer = json.loads(encode_any(UNKNOWN)) | {"cgroup": "/x"}
    newer["execs"] = {"a": {"status": "added", "terminal": True}}
    assert decode_as(json.dumps(newer).encode(), ContainerState).execs == {"a": ExecState(status="added")}


def test_a_state_of_an_older_bridge_takes_the_defaults() -> None:
    older = b'{"node": "host1", "namespace": "k8s.io", "container": "web.1"}'
    assert decode_as(older, ContainerState) == UNKNOWN


def test_a_decoded_state_has_the_model_s_own_types() -> None:
    state = told(record()).state
    decoded = decode_as(encode_any(state), ContainerState)
    assert decoded == state
    assert type(decoded.created_at) is Nanos
    assert type(decoded.sequence) is type(UNKNOWN.sequence)


def test_before_any_task_was_seen_the_column_of_the_unknown_holds() -> None:
    assert UNKNOWN.row == "unknown"
    seen = told(record()).state
    assert seen is not None
    assert (seen.status, seen.row) == ("none", "unknown")
