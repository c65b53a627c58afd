# ruff: noqa: N802 - the methods of a service are named after the API's
"""What goes over the wire to a containerd that is asked, and what comes of answers that a real one seldom gives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from bridge._pb.containerd.services import containers_pb2, namespaces_pb2, snapshots_pb2, tasks_pb2
from bridge._pb.containerd.types_pb2 import Mount
from bridge._pb.google.protobuf.any_pb2 import Any as ProtoAny
from bridge._pb.google.protobuf.empty_pb2 import Empty
from bridge.containerd.runtime import ContainerdRuntime
from bridge.errors import CommandFailed
from bridge.ports import ContainerRuntime

NAMESPACE = "a.b"


class Server:
    """A containerd that keeps what it is asked, and in which a test puts the answers."""

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}
        self.metadata: dict[str, str | bytes] = {}
        self.deadline: float | None = None
        self.record = containers_pb2.Container(id="web.1", snapshotter="overlayfs", snapshot_key="key")
        self.refuse: dict[str, tuple[grpc.StatusCode, str]] = {}
        self.waiting = asyncio.Event()
        self.given_up = asyncio.Event()

    async def _take(self, method: str, request: Any, context: grpc.aio.ServicerContext) -> None:
        self.asked[method] = request
        self.metadata = dict(context.invocation_metadata() or ())
        self.deadline = context.time_remaining()
        if method in self.refuse:
            await context.abort(*self.refuse[method])


class Containers(Server):
    async def Get(self, request: Any, context: Any) -> Any:
        await self._take("Containers.Get", request, context)
        return containers_pb2.GetContainerResponse(container=self.record)

    async def List(self, request: Any, context: Any) -> Any:
        await self._take("Containers.List", request, context)
        return containers_pb2.ListContainersResponse(containers=[self.record])


class Namespaces(Server):
    async def List(self, request: Any, context: Any) -> Any:
        await self._take("Namespaces.List", request, context)
        return namespaces_pb2.ListNamespacesResponse(namespaces=[namespaces_pb2.Namespace(name=NAMESPACE)])


class Snapshots(Server):
    async def Mounts(self, request: Any, context: Any) -> Any:
        await self._take("Snapshots.Mounts", request, context)
        return snapshots_pb2.MountsResponse(mounts=[Mount(type="overlay", options=["index=off"])])


class Tasks(Server):
    pauses = 0
    busy = 0
    """How many attempts to freeze it runc gives up."""

    async def Create(self, request: Any, context: Any) -> Any:
        await self._take("Tasks.Create", request, context)
        return tasks_pb2.CreateTaskResponse(pid=7)

    async def Kill(self, request: Any, context: Any) -> Any:
        await self._take("Tasks.Kill", request, context)
        return Empty()

    async def List(self, request: Any, context: Any) -> Any:
        await self._take("Tasks.List", request, context)
        return tasks_pb2.ListTasksResponse()

    async def Pause(self, request: Any, context: Any) -> Any:
        self.pauses += 1
        if self.pauses <= self.busy:
            await context.abort(
                grpc.StatusCode.UNKNOWN, "runc did not terminate successfully: unable to freeze: unknown"
            )
        await self._take("Tasks.Pause", request, context)
        return Empty()

    async def Wait(self, request: Any, context: Any) -> Any:
        await self._take("Tasks.Wait", request, context)
        self.waiting.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.given_up.set()
            raise


class Services:
    """The services of one server, and the runtime that asks them."""

    def __init__(self) -> None:
        self.containers, self.namespaces, self.snapshots, self.tasks = Containers(), Namespaces(), Snapshots(), Tasks()

    def handlers(self) -> tuple[Any, ...]:
        return (
            containers_pb2.Containers.handler(self.containers),
            namespaces_pb2.Namespaces.handler(self.namespaces),
            snapshots_pb2.Snapshots.handler(self.snapshots),
            tasks_pb2.Tasks.handler(self.tasks),
        )


@pytest.fixture
def services() -> Services:
    return Services()


@pytest.fixture
async def runtime(services: Services, tmp_path: Path) -> AsyncIterator[ContainerRuntime]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(services.handlers())
    server.add_insecure_port(f"unix://{tmp_path}/c.sock")
    await server.start()
    async with ContainerdRuntime(tmp_path / "c.sock") as runtime:
        yield runtime
    await server.stop(None)


async def test_every_call_names_its_namespace_and_has_a_deadline(services: Services, runtime: ContainerRuntime) -> None:
    await runtime.tasks.kill(NAMESPACE, "web.1", 15)
    assert services.tasks.metadata["containerd-namespace"] == NAMESPACE
    assert services.tasks.deadline is not None
    assert services.tasks.deadline <= 61  # 60 s by the client's clock; grpc rounds up to where it can say it


async def test_a_cancelled_wait_is_cancelled_at_containerd_too(services: Services, runtime: ContainerRuntime) -> None:
    waiting = asyncio.create_task(runtime.tasks.wait(NAMESPACE, "web.1"))
    await asyncio.wait_for(services.tasks.waiting.wait(), 90)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.wait_for(services.tasks.given_up.wait(), 90)


async def test_what_is_too_busy_to_be_frozen_is_frozen_at_the_next_attempt(
    services: Services, runtime: ContainerRuntime
) -> None:
    services.tasks.busy = 3
    await runtime.tasks.pause(NAMESPACE, "web.1")
    assert "Tasks.Pause" in services.tasks.asked
    services.tasks.busy = 1000
    with pytest.raises(CommandFailed, match="unable to freeze"):
        await runtime.tasks.pause(NAMESPACE, "web.1")
    services.tasks.busy, services.tasks.pauses = 0, 0
    services.tasks.refuse["Tasks.Pause"] = (grpc.StatusCode.UNKNOWN, "something else")
    with pytest.raises(CommandFailed, match="something else"):
        await runtime.tasks.pause(NAMESPACE, "web.1")
    assert services.tasks.pauses == 1


async def test_the_end_of_a_task_may_be_awaited_for_ever(services: Services, runtime: ContainerRuntime) -> None:
    waiting = asyncio.create_task(runtime.tasks.wait(NAMESPACE, "web.1"))
    await asyncio.wait_for(services.tasks.waiting.wait(), 90)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert services.tasks.deadline is None


async def test_a_containerd_without_list_stream_is_asked_for_the_list(
    services: Services, runtime: ContainerRuntime
) -> None:
    listed = await runtime.containers.list(None, ["id==web.1"])
    assert [(one.namespace, one.id) for one in listed] == [(NAMESPACE, "web.1")]
    assert list(services.containers.asked["Containers.List"].filters) == ["id==web.1"]


async def test_the_mount_label_of_the_spec_goes_to_every_mount(services: Services, runtime: ContainerRuntime) -> None:
    services.containers.record.spec.CopyFrom(
        ProtoAny(value=b'{"linux": {"mountLabel": "system_u:object_r:container_file_t:s0:c1,c2"}}')
    )
    await runtime.tasks.create(NAMESPACE, "web.1")
    (mount,) = services.tasks.asked["Tasks.Create"].rootfs
    assert list(mount.options) == ["index=off", 'context="system_u:object_r:container_file_t:s0:c1,c2"']


async def test_a_container_without_a_snapshot_brings_its_own_root(
    services: Services, runtime: ContainerRuntime
) -> None:
    services.containers.record.ClearField("snapshot_key")
    await runtime.tasks.create(NAMESPACE, "web.1")
    assert list(services.tasks.asked["Tasks.Create"].rootfs) == []
    assert services.snapshots.asked == {}


@pytest.mark.parametrize(("terminal", "stdout"), [(b"false", ""), (b"true", "/dev/null")])
async def test_a_task_of_ours_has_no_stdio(
    services: Services, runtime: ContainerRuntime, terminal: bytes, stdout: str
) -> None:
    services.containers.record.spec.CopyFrom(ProtoAny(value=b'{"process": {"terminal": %s}}' % terminal))
    await runtime.tasks.create(NAMESPACE, "web.1")
    request = services.tasks.asked["Tasks.Create"]
    assert (request.terminal, request.stdin, request.stdout, request.stderr) == (bool(stdout), "", stdout, "")


async def test_runtime_and_options_are_left_to_the_record(services: Services, runtime: ContainerRuntime) -> None:
    services.containers.record.runtime.options.CopyFrom(ProtoAny(type_url="runtimeoptions.v1.Options", value=b"x"))
    await runtime.tasks.create(NAMESPACE, "web.1")
    request = services.tasks.asked["Tasks.Create"]
    assert not request.HasField("options")
    assert request.runtime_path == ""


@pytest.mark.parametrize("status", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED])
async def test_a_look_that_broke_off_may_be_repeated(
    services: Services, runtime: ContainerRuntime, status: grpc.StatusCode
) -> None:
    services.containers.refuse["Containers.Get"] = (status, "Socket closed")
    with pytest.raises(CommandFailed) as failed:
        await runtime.containers.get(NAMESPACE, "web.1")
    assert failed.value.code == "unavailable"


async def test_a_change_that_broke_off_is_open(services: Services, runtime: ContainerRuntime) -> None:
    services.tasks.refuse["Tasks.Kill"] = (grpc.StatusCode.UNAVAILABLE, "Socket closed")
    with pytest.raises(CommandFailed) as failed:
        await runtime.tasks.kill(NAMESPACE, "web.1", 15)
    assert failed.value.code == "unknown"


async def test_a_failure_names_what_was_tried(services: Services, runtime: ContainerRuntime) -> None:
    services.tasks.refuse["Tasks.Kill"] = (grpc.StatusCode.NOT_FOUND, "process already finished: not found")
    with pytest.raises(CommandFailed) as failed:
        await runtime.tasks.kill(NAMESPACE, "web.1", 15)
    assert failed.value.code == "not_found"
    assert failed.value.message == "cannot send signal 15 to web.1 in a.b: process already finished: not found"
    assert failed.value.containerd == "process already finished: not found"
