"""What containerd says of containers and tasks comes out as it is, and what nobody knows as None."""

from __future__ import annotations

from typing import Any

import pytest

from bridge._pb.containerd import task_pb2
from bridge._pb.containerd.runc_pb2 import ProcessDetails
from bridge._pb.containerd.services import containers_pb2, tasks_pb2
from bridge._pb.google.protobuf.any_pb2 import Any as ProtoAny
from bridge._pb.google.protobuf.timestamp_pb2 import Timestamp
from bridge.containerd.records import (
    Needs,
    container_info,
    exit_info,
    moment,
    needs,
    process_info,
    spec_of,
    task_info,
)
from bridge.model.nanos import Nanos
from bridge.model.outcomes import ContainerInfo, ExitInfo, ProcessInfo, TaskInfo

GO_ZERO = Timestamp(seconds=-62135596800)
SPEC_URL = "types.containerd.io/opencontainers/runtime-spec/1/Spec"


def record(spec: bytes = b"{}", **fields: Any) -> containers_pb2.Container:
    return containers_pb2.Container(id="web.1", spec=ProtoAny(type_url=SPEC_URL, value=spec), **fields)


@pytest.mark.parametrize("never", [Timestamp(), GO_ZERO])
def test_never_is_no_point_in_time(never: Timestamp) -> None:
    assert moment(never) is None


def test_a_time_keeps_its_last_nanosecond() -> None:
    assert moment(Timestamp(seconds=1_700_000_000, nanos=1)) == Nanos(1_700_000_000_000_000_001)


def test_a_container_is_its_record() -> None:
    told = container_info(
        "k8s.io",
        record(
            b'{"hostname": "h"}',
            labels={"nerdctl/name": "web"},
            image="nginx:1",
            runtime=containers_pb2.Container.Runtime(name="io.containerd.runc.v2"),
            snapshotter="overlayfs",
            snapshot_key="web.1",
            created_at=Timestamp(seconds=1, nanos=2),
            updated_at=GO_ZERO,
        ),
        with_spec=True,
    )
    assert told == ContainerInfo(
        namespace="k8s.io",
        id="web.1",
        image="nginx:1",
        name="web",
        labels={"nerdctl/name": "web"},
        runtime="io.containerd.runc.v2",
        snapshotter="overlayfs",
        snapshot_key="web.1",
        created_at=Nanos(1_000_000_002),
        updated_at=None,
        spec={"hostname": "h"},
    )


@pytest.mark.parametrize("spec", [b"", b"\x0a\x03abc", b"[]", b'{"a"'])
def test_a_spec_that_is_no_json_object_is_none(spec: bytes) -> None:
    assert spec_of(record(spec)) is None
    assert needs(record(spec)) == Needs()


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        (b"{}", Needs()),
        (b'{"process": null, "linux": null}', Needs()),
        (b'{"process": {"terminal": true}}', Needs(terminal=True)),
        (b'{"linux": {"mountLabel": "system_u:object_r:x:s0"}}', Needs(mount_label="system_u:object_r:x:s0")),
    ],
)
def test_a_spec_says_what_the_task_needs(spec: bytes, wanted: Needs) -> None:
    assert needs(record(spec)) == wanted


def test_a_running_task_has_no_exit() -> None:
    process = task_pb2.Process(
        id="web.1", pid=7, status=task_pb2.RUNNING, exited_at=GO_ZERO, stdout="/x", terminal=True
    )
    assert task_info(process) == TaskInfo(status="running", pid=7, stdout="/x", terminal=True)


def test_a_stopped_task_has_its_exit_also_when_that_is_nought() -> None:
    process = task_pb2.Process(pid=7, status=task_pb2.STOPPED, exited_at=Timestamp(nanos=5))
    assert task_info(process) == TaskInfo(status="stopped", pid=7, exit_status=0, exited_at=Nanos(5))


def test_a_status_that_nobody_has_heard_of_is_unknown() -> None:
    assert task_info(task_pb2.Process(status=99)).status == "unknown"


def test_an_exit_is_status_and_time() -> None:
    response = tasks_pb2.WaitResponse(exit_status=0, exited_at=Timestamp(nanos=5))
    assert exit_info(response) == ExitInfo(exit_status=0, exited_at=Nanos(5))


def test_what_was_deleted_before_it_ran_has_no_exit_status() -> None:
    assert exit_info(tasks_pb2.DeleteResponse(exit_status=0, exited_at=GO_ZERO)) == ExitInfo()


@pytest.mark.parametrize("host", ["", "type.googleapis.com/"])
def test_an_exec_is_told_by_its_id(host: str) -> None:
    details = ProtoAny(
        type_url=f"{host}containerd.runc.v1.ProcessDetails", value=ProcessDetails(exec_id="look.1").SerializeToString()
    )
    assert process_info(task_pb2.ProcessInfo(pid=8, info=details)) == ProcessInfo(pid=8, exec_id="look.1")


def test_details_of_another_runtime_are_left_alone() -> None:
    details = ProtoAny(type_url="example.org/Details", value=b"\xff\xff")
    assert process_info(task_pb2.ProcessInfo(pid=8, info=details)) == ProcessInfo(pid=8)
