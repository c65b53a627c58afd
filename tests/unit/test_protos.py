"""The generated containerd API: up to date, right on the wire, and alone in the process with its names."""

import asyncio
import importlib
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2 as foreign_any_pb2
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

import bridge._pb
from bridge._pb.containerd import (
    cgroups_v1_pb2,
    cgroups_v2_pb2,
    events_pb2,
    runc_pb2,
    task_pb2,
    transfer_pb2,
    types_pb2,
)
from bridge._pb.containerd.services import (
    containers_pb2,
    content_pb2,
    diff_pb2,
    health_pb2,
    images_pb2,
    leases_pb2,
    streaming_pb2,
    tasks_pb2,
)
from bridge._pb.containerd.services.events_pb2 import Events, EventsBlockingStub, EventsStub, SubscribeRequest
from bridge._pb.google.protobuf.any_pb2 import Any as AnyMessage
from bridge._pb.google.protobuf.empty_pb2 import Empty
from bridge._pb.google.protobuf.timestamp_pb2 import Timestamp
from bridge._pb.rpc import Service

ROOT = Path(__file__).resolve().parents[2]

# Method names by service; < and > mark what the client and the server send a stream of.
SERVICES = {
    "containerd.services.containers.v1.Containers": "Get List ListStream> Create Update Delete",
    "containerd.services.content.v1.Content": "Info Update List> Delete Read> Status ListStatuses Write<> Abort",
    "containerd.services.diff.v1.Diff": "Apply Diff",
    "containerd.services.events.v1.Events": "Publish Forward Subscribe>",
    "containerd.services.images.v1.Images": "Get List Create Update Delete",
    "containerd.services.introspection.v1.Introspection": "Plugins Server PluginInfo",
    "containerd.services.leases.v1.Leases": "Create Delete List AddResource DeleteResource ListResources",
    "containerd.services.namespaces.v1.Namespaces": "Get List Create Update Delete",
    "containerd.services.snapshots.v1.Snapshots": ("Prepare View Mounts Commit Remove Stat Update List> Usage Cleanup"),
    "containerd.services.streaming.v1.Streaming": "Stream<>",
    "containerd.services.tasks.v1.Tasks": (
        "Create Start Delete DeleteProcess Get List Kill Exec ResizePty CloseIO Pause Resume ListPids Checkpoint Update "
        "Metrics Wait"
    ),
    "containerd.services.transfer.v1.Transfer": "Transfer",
    "containerd.services.version.v1.Version": "Version",
    "grpc.health.v1.Health": "Check Watch>",
}

# What travels inside an Any, where the full name is the type URL: events first, then everything else.
NAMED_ON_THE_WIRE = {
    "containerd.events": (
        "TaskCreate TaskStart TaskDelete TaskExit TaskOOM TaskExecAdded TaskExecStarted TaskPaused TaskResumed "
        "TaskCheckpointed ContainerCreate ContainerUpdate ContainerDelete NamespaceCreate NamespaceUpdate "
        "NamespaceDelete SnapshotPrepare SnapshotCommit SnapshotRemove ContentCreate ContentDelete SandboxCreate "
        "SandboxStart SandboxExit"
    ),
    "containerd.services.images.v1": "ImageCreate ImageUpdate ImageDelete",
    "containerd.runc.v1": "Options CheckpointOptions ProcessDetails",
    "containerd.services.streaming.v1": "StreamInit",
    "containerd.types": "RuntimeRequest RuntimeInfo",
    "containerd.types.transfer": (
        "OCIRegistry ImageStore ImageImportStream ImageExportStream AuthRequest AuthResponse Progress Data WindowUpdate "
        "ReadStream WriteStream ContainerPath"
    ),
    "google.protobuf": "Empty",
    "io.containerd.cgroups.v1": "Metrics",
    "io.containerd.cgroups.v2": "Metrics",
    "runtimeoptions.v1": "Options",
}

# The only messages whose numbers are not 1, 2, 3, ...: what is left out.
GAPS = {
    "containerd.events.SnapshotCommit": {3, 4},
    "containerd.events.SnapshotPrepare": {3, 4},
    "containerd.events.SnapshotRemove": {2, 3, 4},
    "containerd.runc.v1.Options": {8},
    "containerd.services.diff.v1.DiffResponse": {1, 2},
    "containerd.services.images.v1.Image": {4, 5, 6},
    "containerd.services.leases.v1.CreateRequest": {2},
    "containerd.services.tasks.v1.CreateTaskRequest": {2},
    "containerd.types.Descriptor": {4},
    "containerd.types.transfer.ImageStore": {7, 8, 9},
    "io.containerd.cgroups.v2.Metrics": {3},
}

# Bytes as containerd sends them, put together by hand: (number << 3 | wire type), then a length or a varint.
WIRE = [
    (events_pb2.TaskExit(container_id="web", id="sh", pid=300, exit_status=137, exited_at=Timestamp(seconds=1, nanos=2)),
     (b"\x0a\x03web" b"\x12\x02sh" b"\x18\xac\x02" b"\x20\x89\x01" b"\x2a\x04\x08\x01\x10\x02")),
    (events_pb2.TaskDelete(container_id="web", exit_status=1, id="x"),
     (b"\x0a\x03web" b"\x18\x01" b"\x2a\x01x")),
    (events_pb2.SnapshotRemove(key="k", snapshotter="o"),
     (b"\x0a\x01k" b"\x2a\x01o")),
    (events_pb2.ContainerCreate(id="c", runtime=events_pb2.ContainerCreate.Runtime(name="r")),
     (b"\x0a\x01c" b"\x1a\x03\x0a\x01r")),
    (types_pb2.Envelope(namespace="n", topic="/t", event=AnyMessage(type_url="u", value=b"v")),
     (b"\x12\x01n" b"\x1a\x02/t" b"\x22\x06\x0a\x01u\x12\x01v")),
    (types_pb2.Descriptor(size=5, annotations={"a": "b"}),
     (b"\x18\x05" b"\x2a\x06\x0a\x01a\x12\x01b")),
    (task_pb2.Process(id="p", status=task_pb2.PAUSED, terminal=True, exit_status=3),
     (b"\x12\x01p" b"\x20\x04" b"\x40\x01" b"\x48\x03")),
    (tasks_pb2.CreateTaskRequest(container_id="c", checkpoint=types_pb2.Descriptor(digest="d"), runtime_path="r"),
     (b"\x0a\x01c" b"\x42\x03\x12\x01d" b"\x52\x01r")),
    (tasks_pb2.KillRequest(container_id="c", signal=15, all=True),
     (b"\x0a\x01c" b"\x18\x0f" b"\x20\x01")),
    (containers_pb2.Container(id="c", extensions={"k": AnyMessage(type_url="u")}, sandbox="s"),
     (b"\x0a\x01c" b"\x52\x08\x0a\x01k\x12\x03\x0a\x01u" b"\x5a\x01s")),
    (images_pb2.DeleteImageRequest(name="i", target=types_pb2.Descriptor()),
     (b"\x0a\x01i" b"\x1a\x00")),
    (images_pb2.Image(name="i", updated_at=Timestamp(seconds=1)),
     (b"\x0a\x01i" b"\x42\x02\x08\x01")),
    (content_pb2.WriteContentRequest(action=content_pb2.COMMIT, offset=128, data=b"\x00"),
     (b"\x08\x02" b"\x28\x80\x01" b"\x32\x01\x00")),
    (diff_pb2.DiffResponse(diff=types_pb2.Descriptor(digest="d")), b"\x1a\x03\x12\x01d"),
    (leases_pb2.CreateRequest(id="l", labels={"a": "b"}),
     (b"\x0a\x01l" b"\x1a\x06\x0a\x01a\x12\x01b")),
    (transfer_pb2.ImageStore(unpacks=[transfer_pb2.UnpackConfiguration(snapshotter="o")]), b"\x52\x03\x12\x01o"),
    (runc_pb2.Options(systemd_cgroup=True, criu_work_path="w"),
     (b"\x48\x01" b"\x5a\x01w")),
    (runc_pb2.CheckpointOptions(exit=True, empty_namespaces=["network"]),
     (b"\x08\x01" b"\x32\x07network")),
    (cgroups_v1_pb2.Metrics(memory=cgroups_v1_pb2.MemoryStat(usage=cgroups_v1_pb2.MemoryEntry(limit=1, usage=2))),
     b"\x22\x07\x8a\x02\x04\x08\x01\x10\x02"),
    (cgroups_v2_pb2.Metrics(memory=cgroups_v2_pb2.MemoryStat(usage=2**64 - 1)), b"\x22\x0c\x80\x02" + b"\xff" * 9 + b"\x01"),
    (cgroups_v2_pb2.CPUStat(psi=cgroups_v2_pb2.PSIStats(some=cgroups_v2_pb2.PSIData(avg10=1.0))),
     b"\x3a\x0b\x0a\x09\x09\x00\x00\x00\x00\x00\x00\xf0\x3f"),
    (Timestamp(seconds=-62135596800), b"\x08\x80\x92\xb8\xc3\x98\xfe\xff\xff\xff\x01"),
]  # fmt: skip


def modules() -> list[ModuleType]:
    """Every module of the package, imported."""
    return [importlib.import_module(found.name) for found in pkgutil.walk_packages(bridge._pb.__path__, "bridge._pb.")]


def messages() -> Iterator[Descriptor]:
    """Every message defined by us, nested ones included, map entries not."""

    def below(descriptors: Iterable[Descriptor]) -> Iterator[Descriptor]:
        for descriptor in descriptors:
            if not descriptor.GetOptions().map_entry:
                yield descriptor
                yield from below(descriptor.nested_types)

    for module in modules():
        if module.__name__.endswith("_pb2"):
            yield from below(module.DESCRIPTOR.message_types_by_name.values())


def services() -> dict[str, Service]:
    """Every service by its full name."""
    found = [value for module in modules() for value in vars(module).values() if isinstance(value, Service)]
    return {service.name: service for service in found}


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a Python of its own, with nothing imported but what it imports itself."""
    return subprocess.run(
        [sys.executable, "-W", "error", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
        timeout=90,
        check=False,
    )


def run_code(code: str, **environment: str) -> str:
    """Run a piece of code in a Python of its own and return what it printed."""
    done = run("-c", dedent(code), **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# What is generated


def test_generated_modules_are_what_the_definitions_give() -> None:
    done = run("protos/generate.py", "--check")

    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the definitions and of what is generated from them, to be spoilt."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "protos", tmp_path / "protos", ignore=ignored)
    shutil.copytree(ROOT / "bridge" / "_pb", tmp_path / "bridge" / "_pb", ignore=ignored)
    return tmp_path


def test_check_names_the_modules_of_a_changed_definition(copy: Path) -> None:
    definition = copy / "protos" / "containerd" / "runc.proto"
    definition.write_text(
        definition.read_text().replace("string root = 7;", "string root = 8;").replace("reserved 8;", "")
    )

    done = run(copy / "protos" / "generate.py", "--check")

    assert done.returncode == 1
    assert re.findall(r"^bridge/_pb/(\S+) differs", done.stderr, re.MULTILINE) == ["containerd/runc_pb2.py"]


def test_check_names_a_module_that_no_definition_gives_any_more(copy: Path) -> None:
    (copy / "bridge" / "_pb" / "containerd" / "old_pb2.py").write_text("")

    done = run(copy / "protos" / "generate.py", "--check")

    assert done.returncode == 1
    assert "bridge/_pb/containerd/old_pb2.py differs" in done.stderr


def test_generating_mends_what_check_found(copy: Path) -> None:
    generated = copy / "bridge" / "_pb" / "containerd"
    (generated / "old_pb2.py").write_text("")
    (generated / "runc_pb2.pyi").unlink()
    (generated / "runc_pb2.py").write_text("spoilt")

    run(copy / "protos" / "generate.py")

    assert run(copy / "protos" / "generate.py", "--check").returncode == 0
    assert not (generated / "old_pb2.py").exists()


def record_version(copy: Path, version: str) -> None:
    package = copy / "bridge" / "_pb" / "__init__.py"
    package.write_text(re.sub(r"grpcio-tools [\w.]+;", f"grpcio-tools {version};", package.read_text()))


def test_another_version_of_grpcio_tools_alone_is_no_difference(copy: Path) -> None:
    record_version(copy, "1.0.0")

    assert run(copy / "protos" / "generate.py", "--check").returncode == 0


def test_a_difference_under_another_version_of_grpcio_tools_is_reported_with_both(copy: Path) -> None:
    record_version(copy, "1.0.0")
    (copy / "bridge" / "_pb" / "containerd" / "runc_pb2.py").write_text("spoilt")

    done = run(copy / "protos" / "generate.py", "--check")

    assert re.search(r"made with grpcio-tools 1\.0\.0; this is \d+\.\d+", done.stderr)


def test_a_definition_that_protoc_refuses_stops_the_generator_with_protocs_words(copy: Path) -> None:
    (copy / "protos" / "containerd" / "runc.proto").write_text("nonsense")

    done = run(copy / "protos" / "generate.py", "--check")

    assert done.returncode == 1
    assert "containerd/runc.proto" in done.stderr
    assert "protoc refused" in done.stderr


# On the wire


@pytest.mark.parametrize(("message", "wire"), WIRE, ids=lambda value: getattr(type(value), "__name__", ""))
def test_a_message_is_these_bytes_on_the_wire(message: Message, wire: bytes) -> None:
    assert wire == message.SerializeToString(deterministic=True)
    assert message == type(message).FromString(wire)


def test_numbers_run_without_gaps_but_for_those_that_containerd_left() -> None:
    gaps = {}
    for message in messages():
        numbers = {field.number for field in message.fields}
        missing = set(range(1, max(numbers, default=0))) - numbers
        if missing:
            gaps[message.full_name] = missing

    assert gaps == GAPS


@pytest.mark.parametrize("package", NAMED_ON_THE_WIRE)
def test_what_travels_inside_an_any_has_the_full_name_that_containerd_knows(package: str) -> None:
    defined = {message.full_name for message in messages()}

    assert {f"{package}.{name}" for name in NAMED_ON_THE_WIRE[package].split()} <= defined


def test_every_service_has_its_methods_in_order_with_their_directions() -> None:
    def written(service: Service) -> str:
        return " ".join(
            name + "<" * method.client_streaming + ">" * method.server_streaming
            for name, method in service.methods.items()
        )

    assert {name: written(service) for name, service in services().items()} == SERVICES


def test_a_path_is_made_of_package_service_and_method() -> None:
    assert Events.Subscribe.path == "/containerd.services.events.v1.Events/Subscribe"
    assert tasks_pb2.Tasks.Kill.path == "/containerd.services.tasks.v1.Tasks/Kill"
    assert health_pb2.Health.Check.path == "/grpc.health.v1.Health/Check"


def test_a_method_knows_the_classes_it_carries() -> None:
    assert Events.Subscribe.request is SubscribeRequest
    assert Events.Subscribe.response is types_pb2.Envelope


def test_gos_zero_time_has_nanoseconds() -> None:
    assert Timestamp(seconds=-62135596800).ToNanoseconds() == -62135596800 * 10**9


def test_an_optional_message_tells_empty_from_absent() -> None:
    assert images_pb2.DeleteImageRequest.FromString(b"\x1a\x00").HasField("target")
    assert not images_pb2.DeleteImageRequest.FromString(b"").HasField("target")


def test_an_enum_number_without_a_name_is_kept() -> None:
    process = task_pb2.Process.FromString(b"\x20\x63")

    assert process.status == 99
    assert process.SerializeToString() == b"\x20\x63"


def test_a_field_from_a_newer_server_survives() -> None:
    newer = b"\x0a\x01c" + b"\xa2\x06\x03new"

    assert newer == events_pb2.TaskOOM.FromString(newer).SerializeToString()


def test_nested_messages_and_enums_are_found_in_their_class() -> None:
    assert (
        containers_pb2.Container.Runtime.DESCRIPTOR.full_name == "containerd.services.containers.v1.Container.Runtime"
    )
    assert health_pb2.HealthCheckResponse.ServingStatus.Name(health_pb2.HealthCheckResponse.SERVING) == "SERVING"


def test_a_class_says_where_it_is_found() -> None:
    runtime = containers_pb2.Container.Runtime

    assert f"{runtime.__module__}.{runtime.__qualname__}" == (
        "bridge._pb.containerd.services.containers_pb2.Container.Runtime"
    )


# Alone with its names

CONFLICTING = """
    from google.protobuf import descriptor_pb2, descriptor_pool
    def other(file, package, message):
        definition = descriptor_pb2.FileDescriptorProto(name=file, package=package)
        definition.message_type.add(name=message).field.add(name="other", number=1, type=1, label=1)
        descriptor_pool.Default().AddSerializedFile(definition.SerializeToString())
    def define_others():
        other("containerd/events.proto", "containerd.events", "TaskExit")
        other("google/rpc/status.proto", "google.rpc", "Status")
        other("grpc/health/v1/health.proto", "grpc.health.v1", "HealthCheckRequest")
    def import_ours():
        import importlib, pkgutil, bridge._pb
        for module in pkgutil.walk_packages(bridge._pb.__path__, "bridge._pb."):
            importlib.import_module(module.name)
        from bridge._pb.containerd import events_pb2
        return events_pb2.TaskExit(pid=1).SerializeToString()
"""


@pytest.mark.parametrize("implementation", ["upb", "python"])
@pytest.mark.parametrize("order", [("define_others()", "import_ours()"), ("import_ours()", "define_others()")])
def test_other_definitions_of_the_same_names_may_be_in_the_process(order: tuple[str, str], implementation: str) -> None:
    code = dedent(CONFLICTING) + "\n".join([*order, "print(import_ours())"])

    assert run_code(code, PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=implementation) == str(b"\x18\x01")


def test_importing_leaves_the_default_pool_and_top_level_names_alone() -> None:
    code = """
        import_ours()
        import sys
        from google.protobuf import any_pb2, descriptor_pool
        pool = descriptor_pool.Default()
        for name in ("containerd.events.TaskExit", "google.rpc.Status", "grpc.health.v1.HealthCheckRequest"):
            try:
                print("taken:", pool.FindMessageTypeByName(name).full_name)
            except KeyError:
                pass
        import types
        print(types.ModuleType.__name__, sorted({"containerd", "events_pb2", "types_pb2"} & sys.modules.keys()))
    """

    assert run_code(dedent(CONFLICTING) + dedent(code)) == "module []"


def test_the_pure_python_protobuf_reads_and_nests_alike() -> None:
    code = """
        from google.protobuf.internal import api_implementation
        from bridge._pb.containerd import events_pb2
        from bridge._pb.containerd.services import health_pb2
        event = events_pb2.ContainerCreate(id="c", runtime=events_pb2.ContainerCreate.Runtime(name="r"))
        print(api_implementation.Type(), event.SerializeToString(), health_pb2.HealthCheckResponse.SERVING)
    """

    assert run_code(code, PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION="python") == r"python b'\n\x01c\x1a\x03\n\x01r' 1"


def test_protobufs_own_any_is_refused_where_ours_is_expected() -> None:
    foreign: Any = foreign_any_pb2.Any(type_url="u")

    with pytest.raises(TypeError):
        types_pb2.Envelope(event=foreign)


# Stubs and the server side


class Containerd:
    """A few methods of containerd; what is asked for comes back in the answer."""

    async def Kill(self, request: tasks_pb2.KillRequest, context: Any) -> Empty:  # noqa: N802
        if request.signal == 0:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"signal 0 for {request.container_id}")
        return Empty()

    async def Subscribe(  # noqa: N802
        self, request: SubscribeRequest, context: Any
    ) -> AsyncIterator[types_pb2.Envelope | bytes]:
        yield types_pb2.Envelope(topic=request.filters[0])
        yield types_pb2.Envelope(topic=request.filters[0]).SerializeToString()

    async def Stream(  # noqa: N802
        self, requests: AsyncIterator[AnyMessage], context: Any
    ) -> AsyncIterator[AnyMessage]:
        async for request in requests:
            yield AnyMessage(type_url=request.type_url * 2)


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[str]:
    """Where `Containerd` is served."""
    implementation = Containerd()
    server = grpc.aio.server()
    served: list[Service] = [Events, tasks_pb2.Tasks, streaming_pb2.Streaming]
    server.add_generic_rpc_handlers(tuple(service.handler(implementation) for service in served))
    target = f"unix://{tmp_path}/containerd.sock"
    server.add_insecure_port(target)
    await server.start()
    yield target
    await server.stop(None)


@pytest.fixture
async def channel(address: str) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(address) as opened:
        yield opened


async def test_a_unary_method_is_awaited(channel: Any) -> None:
    assert await tasks_pb2.TasksStub(channel).Kill(tasks_pb2.KillRequest(signal=9), timeout=90) == Empty()


async def test_an_error_of_the_server_arrives_as_grpcs_own(channel: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="signal 0 for web"):
        await tasks_pb2.TasksStub(channel).Kill(tasks_pb2.KillRequest(container_id="web"), timeout=90)


async def test_a_method_that_the_server_lacks_is_unimplemented(channel: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await tasks_pb2.TasksStub(channel).Start(tasks_pb2.StartRequest(), timeout=90)

    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_stream_of_responses_is_iterated_over_whether_the_server_sends_messages_or_bytes(channel: Any) -> None:
    call = EventsStub(channel).Subscribe(SubscribeRequest(filters=["/t"]), timeout=90)

    assert [types_pb2.Envelope(topic="/t")] * 2 == [envelope async for envelope in call]


async def test_a_stream_in_both_directions_is_written_and_read(channel: Any) -> None:
    call = streaming_pb2.StreamingStub(channel).Stream(timeout=90)

    await call.write(AnyMessage(type_url="a"))
    assert await call.read() == AnyMessage(type_url="aa")
    await call.write(AnyMessage(type_url="b"))
    await call.done_writing()
    assert await call.read() == AnyMessage(type_url="bb")
    assert await call.read() is grpc.aio.EOF


async def test_a_blocking_stub_does_the_same_in_a_thread(address: str) -> None:
    def subscribe() -> list[str]:
        with grpc.insecure_channel(address) as channel:
            call = EventsBlockingStub(channel).Subscribe(SubscribeRequest(filters=["/t"]), timeout=90)
            return [envelope.topic for envelope in call]

    assert await asyncio.to_thread(subscribe) == ["/t", "/t"]


async def test_a_raw_method_leaves_the_responses_as_bytes(channel: Any) -> None:
    call = Events.Subscribe.bind(channel, raw=True)(SubscribeRequest(filters=["/t"]), timeout=90)

    assert [response async for response in call] == [b"\x1a\x02/t"] * 2


def test_an_object_without_any_of_the_methods_cannot_serve() -> None:
    with pytest.raises(TypeError, match=r"object cannot serve grpc\.health\.v1\.Health: .* Check, Watch"):
        health_pb2.Health.handler(object())


# For a type checker


def test_a_type_checker_knows_fields_and_calls(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        dedent("""
        from google.protobuf.any_pb2 import Any
        from bridge._pb.containerd import task_pb2, types_pb2
        from bridge._pb.containerd.services.events_pb2 import EventsBlockingStub, SubscribeRequest
        from bridge._pb.containerd.services.tasks_pb2 import GetRequest, KillRequest, Tasks, TasksStub

        async def calls(tasks: TasksStub, events: EventsBlockingStub) -> None:
            reveal_type((await tasks.Get(GetRequest(container_id="c"), timeout=1)).process.exited_at.ToNanoseconds())
            reveal_type([envelope.topic for envelope in events.Subscribe(SubscribeRequest())])
            reveal_type(Tasks.Kill.request)
            await tasks.Get(KillRequest())
            KillRequest(container="c")
            types_pb2.Envelope(event=Any())
            task_pb2.Process().HasField("pid")
    """)
    )

    done = run("-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache", program)

    found = re.findall(
        r'program\.py:\d+: (?:note: Revealed type is "(.*)"|error: .*\[(.*)\])$', done.stdout, re.MULTILINE
    )
    assert [revealed.replace("bridge._pb.containerd.services.", "") or error for revealed, error in found] == [
        "int",
        "list[str]",
        "type[tasks_pb2.KillRequest]",
        "arg-type",
        "call-arg",
        "arg-type",
        "arg-type",
    ], done.stdout
