"""The benchmarks measure what they say: the source tells everything in order, and no run with a wrong stream has figures.

Nothing here is about how fast anything is.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from msgspec.structs import replace

import benchmarks.__main__ as command
from benchmarks import (
    backlog,
    checkpoint,
    checkpoints,
    checkups,
    commands,
    cost,
    execs,
    fold,
    latency,
    lifecycles,
    memory,
    migration,
    sizing,
    stage,
    start,
    throughput,
)
from benchmarks.checkups import CHECK, MEETING, Checkups, Round
from benchmarks.footprint import busy_seconds, cpu_seconds, peak_rss
from benchmarks.inventory import SPEC
from benchmarks.lifecycles import LIFE, Lives
from benchmarks.obvious import document
from benchmarks.prepared import AT_ONCE, PreparedContainerd
from benchmarks.processes import RunFailed
from benchmarks.stage import Way
from benchmarks.stored import Comparison, stored_messages
from benchmarks.throughput import measure
from bridge._pb.containerd.events_pb2 import TaskExit
from bridge._pb.containerd.runc_pb2 import ProcessDetails
from bridge._pb.containerd.services.containers_pb2 import (
    Container,
    ContainersStub,
    GetContainerRequest,
    ListContainersRequest,
)
from bridge._pb.containerd.services.events_pb2 import EventsStub, PublishRequest, SubscribeRequest
from bridge._pb.containerd.services.namespaces_pb2 import ListNamespacesRequest, NamespacesStub
from bridge._pb.containerd.services.tasks_pb2 import (
    GetRequest,
    KillRequest,
    ListPidsRequest,
    ListTasksRequest,
    TasksStub,
)
from bridge._pb.containerd.services.version_pb2 import VersionStub
from bridge._pb.containerd.types_pb2 import Envelope
from bridge._pb.google.protobuf.any_pb2 import Any as AnyMessage
from bridge._pb.google.protobuf.empty_pb2 import Empty
from bridge.model.codec import encode
from bridge.model.envelope import Recorded, Sequence
from bridge.model.events import TaskOOM
from bridge.model.nanos import Nanos, parse_rfc3339
from bridge.model.state import ContainerState

CONTAINERS = 150
"""More than are alive at a time, so that lives end and others take their places."""

RUNNING = 50

IN_NAMESPACE = [("containerd-namespace", lifecycles.NAMESPACE)]

ROOT = Path(__file__).parent.parent.parent


# -- the whole of it


@pytest.mark.nats
@pytest.mark.slow
def test_a_small_run_measures_every_way_and_prints_json() -> None:
    arguments = ["--only", "throughput", "--events", "480", "--obvious-events", "240", "--repeat", "1", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    events = {name: way["events"] for name, way in figures["ways"].items()}
    assert events == {"containerd-bridge": 480, "awaited": 240, "flushed": 240, "kept": 240}
    assert all(way["events_per_second"] > 0 for way in [figures["source_alone"], *figures["ways"].values()])
    assert set(figures["ratios"]) == {"awaited", "flushed", "kept"}
    assert len(figures["findings"]) == 3


SMALL: dict[str, Any] = {
    "latency": latency.Size(events=60, warm_up=30, containers=3),
    "memory": memory.Size(known=20, events=90, step=9, busy=3, rate=1_000),
    "backlog": backlog.Size(events=300, containers=3),
    "start": start.Size(running=5, repeat=1),
    "fold": fold.Size(events=240),
    "execs": execs.Size(size=300_000, repeat=1),
    "checkpoint": checkpoint.Size(memory=4 << 20, repeat=1),
    "checkpoints": checkpoints.Size(size=3_000_000, repeat=1),
    "migration": migration.Size(memory=4 << 20, repeat=1),
    "sizing": sizing.Size(known=(5, 20), events=90, busy=3),
    "cost": cost.Size(known=(2, 12), rounds=2, events=20, rate=1_000),
    "commands": commands.Size(rounds=3, by_ctr=1, containers=3),
}

ON_CONTAINERD = {"commands", "checkpoint", "migration"}
"""Benchmarks that need a real containerd."""


@pytest.mark.nats
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "form"),
    [
        pytest.param(name, form, marks=[pytest.mark.containerd] if name in ON_CONTAINERD else [], id=name)
        for name, form in zip(command.BENCHMARKS, cycle([[], ["--json"]]), strict=False)
    ],
)
def test_a_small_run_of_each_prints_aim_and_figure(
    name: str, form: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(command.BENCHMARKS, name, command.BENCHMARKS[name]._replace(usual=SMALL[name]))
    assert command.main([*form, "--only", name]) == 0
    printed = capsys.readouterr().out
    if form:
        findings = json.loads(printed)["findings"]
        assert len(findings) == {"memory": 2, "cost": 2, "commands": 6, "checkpoint": 3, "sizing": 4}.get(name, 1)
        assert all(found["aim"] and found["figure"] and isinstance(found["met"], bool) for found in findings)
    else:
        assert "aim" in printed
        assert "met" in printed or "missed" in printed
        assert "others" in printed
        assert "cpus 2" in printed


@pytest.mark.nats
@pytest.mark.parametrize("name", ["latency", "memory", "backlog", "fold", "cost"])
def test_a_stream_that_is_not_what_was_streamed_has_no_figure(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def without_the_fifth(url: str, stream: str) -> AsyncIterator[Any]:
        number = 0
        async for message in stored_messages(url, stream):
            number += message.subject.startswith("containerd.events.")
            if number != 5:
                yield message

    monkeypatch.setattr(stage, "stored_messages", without_the_fifth)
    monkeypatch.setitem(command.BENCHMARKS, name, command.BENCHMARKS[name]._replace(usual=SMALL[name]))
    assert command.main(["--only", name]) == 1
    printed = capsys.readouterr()
    assert not printed.out
    assert "events missing" in printed.err


@pytest.mark.nats
def test_a_live_bridge_whose_stream_lacks_a_container_has_no_figure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def without_one(url: str, stream: str) -> AsyncIterator[Any]:
        async for message in stored_messages(url, stream):
            if lifecycles.container_id(3) not in message.subject:
                yield message

    monkeypatch.setattr(start, "stored_messages", without_one)
    monkeypatch.setitem(command.BENCHMARKS, "start", command.BENCHMARKS["start"]._replace(usual=SMALL["start"]))
    assert command.main(["--only", "start"]) == 1
    printed = capsys.readouterr()
    assert not printed.out
    assert f"nothing of container {lifecycles.container_id(3)}" in printed.err


@pytest.mark.nats
async def test_a_publisher_that_ends_before_the_events_do_has_no_figures() -> None:
    gone = Way(name="gone", does="", command=lambda *_: [sys.executable, "-c", "raise SystemExit('no such way')"])
    with pytest.raises(RunFailed, match="no such way"):
        await measure(gone, 1)


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["table", "json"])
def test_a_failed_run_prints_no_figures_and_ends_with_1(
    form: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail(*_: object) -> None:
        await asyncio.sleep(0)
        raise RunFailed("awaited left a stream that is not what was streamed: 1 of 240 events missing")

    monkeypatch.setattr(throughput, "measure_source", fail)
    assert command.main([*form, "--only", "throughput", "--way", "awaited"]) == 1
    printed = capsys.readouterr()
    assert not printed.out
    assert "1 of 240 events missing" in printed.err


@pytest.mark.parametrize(
    "arguments",
    [["--events", "0"], ["--repeat", "many"], ["--way", "psychic"], ["--only", "speed"], ["--only", ","]],
    ids=" ".join,
)
def test_a_wrong_option_is_named(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == 2
    assert f"argument {arguments[0]}" in capsys.readouterr().err


# -- what is streamed


def test_every_container_lives_its_whole_life_in_order() -> None:
    steps: dict[int, list[int]] = {}
    for happening in lifecycles.happenings(CONTAINERS):
        steps.setdefault(happening.container, []).append(happening.step)
    assert steps == {container: list(range(len(LIFE))) for container in range(CONTAINERS)}


def test_each_exec_of_a_life_has_an_id_of_its_own_from_its_beginning_to_its_end() -> None:
    execs: dict[str, list[str]] = {}
    for happening in lifecycles.happenings(1):
        end, told = document(Envelope.FromString(lifecycles.envelope(happening)))
        word = end.rpartition(".")[2]
        if word.startswith("exec-"):
            execs.setdefault(told["event"].get("exec_id") or told["event"]["id"], []).append(word)
    assert list(execs.values()) == [["exec-added", "exec-started", "exec-exit"]] * lifecycles.EXECS


def test_lives_are_mixed() -> None:
    containers = [happening.container for happening in lifecycles.happenings(CONTAINERS)]
    changes = sum(one != other for one, other in pairwise(containers))
    assert changes > len(containers) / 2


def test_the_number_of_an_event_stands_in_its_time() -> None:
    for number, happening in enumerate(lifecycles.happenings(CONTAINERS)):
        time = Envelope.FromString(lifecycles.envelope(happening)).timestamp
        assert lifecycles.number_of(time.seconds * 1_000_000_000 + time.nanos) == number


# -- the source


@pytest.fixture
def told() -> list[str]:
    """What the source has said."""
    return []


@pytest.fixture
async def source(tmp_path: Path, told: list[str]) -> AsyncIterator[PreparedContainerd]:
    prepared = PreparedContainerd(told.append, lives=CONTAINERS, running=RUNNING)
    server = await asyncio.get_running_loop().create_unix_server(prepared.connection, str(tmp_path / "sock"))
    async with server:
        yield prepared
        prepared.drop()
        await asyncio.sleep(0)  # the turn in which the loop closes them


@pytest.fixture
async def channel(source: PreparedContainerd, tmp_path: Path) -> AsyncIterator[Any]:
    options = [
        ("grpc.default_authority", "localhost"),
        ("grpc.use_local_subchannel_pool", 1),
        # Windows that stay as small as they begin: what the source sends has to fit them.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", 65_535),
    ]
    async with grpc.aio.insecure_channel(f"unix://{tmp_path}/sock", options=options) as channel:
        yield channel


async def test_a_subscriber_gets_every_event_in_order(source: PreparedContainerd, channel: Any) -> None:
    stream = await _subscribed(source, channel)
    await _all(source)
    told = [await stream.read() for _ in range(CONTAINERS * len(LIFE))]
    assert [event.SerializeToString() for event in told] == [
        lifecycles.envelope(happening) for happening in lifecycles.happenings(CONTAINERS)
    ]


async def test_no_more_is_sent_than_the_subscriber_has_room_for(
    source: PreparedContainerd, channel: Any, told: list[str]
) -> None:
    stream = await _subscribed(source, channel)
    await _all(source)
    for _ in range(10):
        await VersionStub(channel).Version(Empty(), timeout=90)
    assert told == ["subscribed", "prepared"]
    for _ in range(CONTAINERS * len(LIFE)):
        await stream.read()
    assert told == ["subscribed", "prepared", "sent"]


async def test_what_is_published_comes_back_to_the_subscriber(source: PreparedContainerd, channel: Any) -> None:
    stream = await _subscribed(source, channel)
    event = AnyMessage(type_url="a.B", value=b"\0\1")
    await EventsStub(channel).Publish(
        PublishRequest(topic="/probe", event=event), metadata=[("containerd-namespace", "k8s.io")]
    )
    back = await stream.read()
    assert (back.topic, back.namespace, back.event) == ("/probe", "k8s.io", event)


async def test_containers_that_start_are_there_and_are_told(source: PreparedContainerd, channel: Any) -> None:
    stream = await _subscribed(source, channel)
    await source.told(f"run {RUNNING + 2} 2000")
    told = [await stream.read() for _ in range(2 * len(MEETING))]
    assert [event.topic for event in told] == ["/containers/create", "/tasks/create", "/tasks/start"] * 2
    tasks = (await TasksStub(channel).List(ListTasksRequest(), metadata=IN_NAMESPACE)).tasks
    assert [task.id for task in tasks] == [lifecycles.container_id(number) for number in range(RUNNING + 2)]


async def test_checks_come_in_turns_each_with_the_time_at_which_it_was_sent(
    source: PreparedContainerd, channel: Any
) -> None:
    stream = await _subscribed(source, channel)
    before = time.time_ns()
    await source.told("check 2 6 2000")
    told = [await stream.read() for _ in range(6)]
    times = [event.timestamp.ToNanoseconds() for event in told]
    assert [event.topic.rpartition("/")[2] for event in told] == ["exec-added"] * 2 + ["exec-started"] * 2 + [
        "exit"
    ] * 2
    assert before <= times[0] <= times[-1] <= time.time_ns()
    assert times == sorted(times)


async def test_a_round_goes_on_where_it_stopped(source: PreparedContainerd, channel: Any) -> None:
    stream = await _subscribed(source, channel)
    for line in ("check 3 4 2000", "more 4 2000", "check 3 1 2000"):
        await source.told(line)
    told = [document(await stream.read())[1]["event"] for _ in range(9)]
    steps = [checkups.step_of(0, 3, number) for number in range(8)] + [checkups.step_of(1, 3, 0)]
    assert [event.get("exec_id") or event["id"] for event in told] == [step.exec_id for step in steps]


async def test_events_at_a_pace_are_no_faster(source: PreparedContainerd, channel: Any) -> None:
    stream = await _subscribed(source, channel)
    began = time.monotonic()
    await source.told("check 2 100 1000")
    assert time.monotonic() - began >= 0.1
    assert len({(await stream.read()).SerializeToString() for _ in range(100)}) == 100


async def test_the_source_says_how_often_it_was_asked_for_the_tasks(
    source: PreparedContainerd, channel: Any, told: list[str]
) -> None:
    for _ in range(2):
        await TasksStub(channel).List(ListTasksRequest(), metadata=IN_NAMESPACE)
    await source.told("asked")
    assert told == ["asked 2"]


async def test_execs_are_there_until_they_end(source: PreparedContainerd, channel: Any) -> None:
    counts = []
    for events in (2, 4, 6):
        await source.told(f"check 2 {events} 2000")
        asked = ListPidsRequest(container_id=lifecycles.container_id(1))
        processes = (await TasksStub(channel).ListPids(asked, metadata=IN_NAMESPACE)).processes
        details = [ProcessDetails.FromString(process.info.value).exec_id for process in processes[1:]]
        counts.append([checkups.step_of(place, 2, 1).exec_id in details for place in range(3)])
    assert counts == [[True, False, False], [True, True, False], [True, True, False]]


def test_a_round_ends_with_its_last_check() -> None:
    assert Round.of(3, 10) == Round(3, 18)
    assert Round.of(3, 9) == Round(3, 9)
    assert {checkups.step_of(0, 3, number).step for number in range(6, 9)} == {2}


async def test_a_task_is_told_by_its_container(source: PreparedContainerd, channel: Any) -> None:
    tasks, name = TasksStub(channel), lifecycles.container_id(3)
    got = await tasks.Get(GetRequest(container_id=name), metadata=IN_NAMESPACE)
    listed = await tasks.ListPids(ListPidsRequest(container_id=name), metadata=IN_NAMESPACE)
    assert (got.process.id, got.process.pid) == (name, lifecycles.pid_of(3))
    assert [process.pid for process in listed.processes] == [lifecycles.pid_of(3)]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await tasks.Get(GetRequest(container_id="x"), metadata=IN_NAMESPACE)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_others_have_their_turn_while_events_are_prepared(source: PreparedContainerd) -> None:
    turns: list[asyncio.Handle] = []

    def turn() -> None:
        turns.append(asyncio.get_running_loop().call_soon(turn))

    turn()
    await source.prepare(CONTAINERS * len(LIFE))
    turns[-1].cancel()
    assert len(turns) > CONTAINERS * len(LIFE) // AT_ONCE


async def test_a_probe_passes_while_events_are_streamed(source: PreparedContainerd, channel: Any) -> None:
    stream = await _subscribed(source, channel)
    await _all(source)
    await EventsStub(channel).Publish(PublishRequest(topic="/probe", event=AnyMessage(type_url="a.B")))
    topics = [(await stream.read()).topic for _ in range(CONTAINERS * len(LIFE) + 1)]
    assert topics.count("/probe") == 1


async def test_a_subscriber_that_left_is_forgotten(source: PreparedContainerd, channel: Any) -> None:
    (await _subscribed(source, channel)).cancel()
    async with asyncio.timeout(90):
        while source.subscribers:
            await VersionStub(channel).Version(Empty())  # answered after the cancellation, as it is sent after it


async def test_a_container_is_told_by_its_id(channel: Any, source: PreparedContainerd) -> None:
    name = lifecycles.container_id(CONTAINERS - 1)
    metadata = IN_NAMESPACE
    got = await ContainersStub(channel).Get(GetContainerRequest(id=name), metadata=metadata)
    listed = await ContainersStub(channel).List(ListContainersRequest(filters=[f"id=={name}"]), metadata=metadata)
    assert got.container == lifecycles.record(name)
    assert list(listed.containers) == [lifecycles.record(name)]


async def test_an_unknown_container_is_not_found(channel: Any, source: PreparedContainerd) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ContainersStub(channel).Get(GetContainerRequest(id="x"), metadata=[("containerd-namespace", "default")])
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_what_the_source_does_not_serve_is_unimplemented(channel: Any, source: PreparedContainerd) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await TasksStub(channel).Kill(KillRequest())
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_more_calls_than_a_window_of_requests_holds_are_answered(
    channel: Any, source: PreparedContainerd
) -> None:
    name = lifecycles.container_id(0)
    metadata = [("containerd-namespace", lifecycles.NAMESPACE)]
    request = GetContainerRequest(id=name)
    for _ in range(65_535 // request.ByteSize() + 100):
        await ContainersStub(channel).Get(request, metadata=metadata, timeout=90)


async def test_an_answer_that_fits_no_frame_and_no_window_comes_whole(channel: Any, source: PreparedContainerd) -> None:
    listed = await ContainersStub(channel).List(ListContainersRequest(), metadata=IN_NAMESPACE)
    assert list(listed.containers) == [_record(number) for number in range(RUNNING)]
    assert listed.ByteSize() > 65_535


async def test_lists_show_the_containers_that_run_and_their_tasks(channel: Any, source: PreparedContainerd) -> None:
    tasks = (await TasksStub(channel).List(ListTasksRequest(), metadata=IN_NAMESPACE)).tasks
    streamed = ContainersStub(channel).ListStream(ListContainersRequest(), metadata=IN_NAMESPACE)
    assert [(task.id, task.pid) for task in tasks] == [
        (lifecycles.container_id(number), lifecycles.pid_of(number)) for number in range(RUNNING)
    ]
    assert [message.container async for message in streamed] == [_record(number) for number in range(RUNNING)]
    namespaces = (await NamespacesStub(channel).List(ListNamespacesRequest())).namespaces
    assert [namespace.name for namespace in namespaces] == [lifecycles.NAMESPACE]


@pytest.mark.parametrize("method", ["List", "ListStream"])
async def test_another_namespace_is_empty(channel: Any, source: PreparedContainerd, method: str) -> None:
    elsewhere = [("containerd-namespace", "k8s.io")]
    if method == "List":
        assert not (await ContainersStub(channel).List(ListContainersRequest(), metadata=elsewhere)).containers
        assert not (await TasksStub(channel).List(ListTasksRequest(), metadata=elsewhere)).tasks
    else:
        stream = ContainersStub(channel).ListStream(ListContainersRequest(), metadata=elsewhere)
        assert [message async for message in stream] == []


def _record(number: int) -> Container:
    return lifecycles.record(lifecycles.container_id(number), spec=SPEC)


async def _all(source: PreparedContainerd) -> None:
    """Stream every event of the lives."""
    await source.prepare(CONTAINERS * len(LIFE))
    source.go()


async def _subscribed(source: PreparedContainerd, channel: Any) -> Any:
    stream = EventsStub(channel).Subscribe(SubscribeRequest())
    async with asyncio.timeout(90):
        while not source.subscribers:
            await VersionStub(channel).Version(Empty())  # answered after the subscription, as it is sent after it
    return stream


# -- what is compared


Message = tuple[str, bytes, str]
OLD = b'{"time": "2020-01-01T00:00:00Z"}'


def _stream(containers: int = 2) -> list[Message]:
    """What the bridge leaves behind, as subject, body and id."""
    messages = []
    for happening in lifecycles.happenings(containers):
        container = lifecycles.container_id(happening.container)
        body = encode(
            Recorded(
                specversion="1.0",
                datacontenttype="application/json",
                id=f"id-{happening.number}",
                type="any",
                source="/containerd/bench/default",
                time=Nanos(lifecycles.START_NS + happening.number * lifecycles.STEP_NS),
                recordedtime=Nanos(0),
                position=f"log:{happening.number + 1}",
                origin="live",
                data=TaskOOM(container_id=container),
                sequence=Sequence(happening.step + 1),
            )
        )
        messages.append(
            (f"containerd.events.bench.default.{container}.{happening.word}", body, f"id-{happening.number}")
        )
    return messages


def _complaints(messages: list[Message], *, cloudevents: bool = False) -> str:
    comparison = Comparison(Lives(2), cloudevents=cloudevents)
    for message in messages:
        comparison.take(*message)
    return "; ".join(comparison.complaints())


@pytest.mark.parametrize("cloudevents", [False, True])
def test_a_stream_that_is_as_it_should_be_gives_no_complaint(cloudevents: bool) -> None:
    assert not _complaints(_stream(), cloudevents=cloudevents)


def test_a_bridges_own_events_are_no_complaint() -> None:
    own = ("containerd.nodes.bench.stopped", b'{"id": "own", "position": "log:49"}', "own")
    assert not _complaints([*_stream(), own], cloudevents=True)


def test_the_event_that_has_no_position_is_no_complaint() -> None:
    lease = ("containerd.nodes.bench.lease", b'{"id": "lease"}', "lease")
    assert not _complaints([lease, *_stream()], cloudevents=True)


def test_the_events_of_a_bridge_are_a_complaint_where_there_is_none() -> None:
    own = ("containerd.nodes.bench.stopped", b'{"id": "own", "position": "log:49"}', "own")
    assert "under subjects that nothing was published on" in _complaints([*_stream(), own])


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda stream: stream[:20] + stream[21:], "1 of 48 events missing, such as number 20"),
        (lambda stream: [*stream, stream[20]], "1 of 48 events more than once, such as number 20"),
        (lambda stream: stream[::-1], "out of order"),
        (
            lambda stream: [*stream, (stream[0][0], b'{"time": "2020-01-01T00:00:00Z"}', "")],
            "1 of 48 events that were never streamed",
        ),
        (lambda stream: [(stream[0][0] + "d", *stream[0][1:]), *stream[1:]], "1 of 48 events under a wrong subject"),
        (lambda stream: [*stream, ("elsewhere", stream[0][1], "")], "under subjects that nothing was published on"),
        (lambda stream: stream[:0], "48 of 48 events missing"),
    ],
    ids=["missing", "twice", "order", "foreign", "subject", "elsewhere", "empty"],
)
def test_what_is_wrong_with_a_stream_is_said(spoil: Callable[[list[Message]], list[Message]], complaint: str) -> None:
    assert complaint in _complaints(spoil(_stream()))


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (b'"sequence":"00000000000000000002"', b'"sequence":"00000000000000000003"', "with a wrong sequence"),
        (b'"position":"log:9"', b'"position":"log:8"', "with a wrong position"),
        (b'"id":"id-9"', b'"id":"id-8"', "whose Nats-Msg-Id is not their id"),
    ],
    ids=["sequence", "position", "id"],
)
def test_what_is_wrong_with_a_bridges_numbers_is_said(old: bytes, new: bytes, complaint: str) -> None:
    spoiled = [(subject, body.replace(old, new), message_id) for subject, body, message_id in _stream()]
    assert complaint in _complaints(spoiled, cloudevents=True)


ROUNDS = [Round(2, 14), Round(3, 9), Round(1, 0)]
"""The first ends in the middle of a turn, the second has another container, and the last is empty."""


def _checkups() -> list[Message]:
    """What the bridge leaves behind of checkups, as subject, body and id."""
    streamed = Checkups(3, ROUNDS)
    told = [(container, word, "") for container in range(3) for word in (step.word for step in MEETING)]
    for place, (busy, events) in enumerate(ROUNDS):
        for number in range(events):
            step = checkups.step_of(place, busy, number)
            told.append((step.container, CHECK[step.step], step.exec_id))
    messages = []
    sequences = Counter[int]()
    for at, (container, word, exec_id) in enumerate(told, 1):
        sequences[container] += 1
        name = lifecycles.container_id(container)
        event = {
            "id": f"id-{at}",
            "time": "2027-01-01T00:00:00Z",
            "position": f"log:{at}",
            "sequence": f"{sequences[container]:020d}",
            "data": {"container_id": name, "id" if word == "exec-exit" else "exec_id": exec_id},
        }
        messages.append((f"containerd.events.bench.default.{name}.{word}", json.dumps(event).encode(), f"id-{at}"))
    assert len(messages) == len(streamed)
    return messages


def _checkup_complaints(messages: list[Message]) -> str:
    comparison = Comparison(Checkups(3, ROUNDS), cloudevents=True)
    for message in messages:
        comparison.take(*message)
    return "; ".join(comparison.complaints())


def test_checkups_that_are_as_they_should_be_give_no_complaint() -> None:
    assert not _checkup_complaints(_checkups())


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda stream: stream[:12] + stream[13:], "1 of 32 events missing"),
        (lambda stream: [*stream, stream[12]], "1 of 32 events more than once"),
        (lambda stream: stream[::-1], "out of order"),
        (
            lambda stream: [*stream, (stream[12][0], stream[12][1].replace(b'": "00000000', b'": "00000009'), "")],
            "1 of 32 events that were never streamed",
        ),
        (lambda stream: [(stream[12][0].replace(".default.", ".k8s."), *stream[12][1:])], "under a wrong subject"),
    ],
    ids=["missing", "twice", "order", "foreign", "subject"],
)
def test_what_is_wrong_with_checkups_is_said(spoil: Callable[[list[Message]], list[Message]], complaint: str) -> None:
    assert complaint in _checkup_complaints(spoil(_checkups()))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (f'"{6:020d}"', f'"{7:020d}"'),
        ('"position": "log:14"', '"position": "log:13"'),
        ('"id": "id-14"', '"id": "id-15"'),
    ],
)
def test_what_is_wrong_with_the_numbers_of_checkups_is_said(old: str, new: str) -> None:
    spoiled = [(subject, body.replace(old.encode(), new.encode()), name) for subject, body, name in _checkups()]
    assert spoiled != _checkups()
    assert _checkup_complaints(spoiled)


# -- what else has to be right


def _arrivals() -> list[latency.Arrival]:
    containers = [0, 0, 0, 1, 1, 1, 0, 1, 0]
    return [latency.Arrival(at, at + 1, at + 2, at + 3, str(container)) for at, container in enumerate(containers, 100)]


def test_arrivals_that_are_as_they_should_be_give_no_complaint() -> None:
    assert not latency.complaints(_arrivals(), Checkups(2, [Round(2, 3)]))


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda arrivals: arrivals[1:], "8 of 9 events"),
        (lambda arrivals: [*arrivals, arrivals[0]], "10 of 9 events"),
        (lambda arrivals: arrivals[::-1], "behind one that was sent later"),
        (lambda arrivals: [arrivals[0]._replace(here=0), *arrivals[1:]], "came before it was stored"),
        (lambda arrivals: [arrivals[0]._replace(sent=900), *arrivals[1:]], "before it was sent"),
    ],
    ids=["missing", "twice", "order", "early", "future"],
)
def test_what_is_wrong_with_arrivals_is_said(
    spoil: Callable[[list[latency.Arrival]], list[latency.Arrival]], complaint: str
) -> None:
    assert complaint in latency.complaints(spoil(_arrivals()), Checkups(2, [Round(2, 3)]))


def _running(number: int) -> ContainerState:
    return ContainerState(
        node="bench",
        namespace="default",
        container=lifecycles.container_id(number),
        status="running",
        pid=lifecycles.pid_of(number),
    )


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda states: states, ""),
        (lambda states: states[1:], "nothing of container"),
        (lambda states: [*states, _running(9)], "4 containers and not 3"),
        (lambda states: [*states[:2], replace(states[2], pid=1)], "with pid 1"),
        (lambda states: [*states[:2], replace(states[2], status="stopped")], "is stopped"),
    ],
    ids=["right", "missing", "foreign", "pid", "status"],
)
def test_what_is_wrong_with_a_start_is_said(
    spoil: Callable[[list[ContainerState]], list[ContainerState]], complaint: str
) -> None:
    states = {state.container: state for state in spoil([_running(number) for number in range(3)])}
    wrong = start.complaints(states, 3)
    assert complaint in wrong
    assert bool(complaint) == bool(wrong)


def _gone(number: int) -> ContainerState:
    return replace(
        _running(number), status="gone", sequence=Sequence(len(LIFE)), incarnations=1, exit_status=137, oom=True
    )


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda states: states, ""),
        (lambda states: states[1:], "1 of 3 containers have no state"),
        (lambda states: [*states, _gone(9)], "never streamed"),
        (lambda states: [*states, states[0]], "has two states"),
        (lambda states: [replace(states[0], sequence=Sequence(23)), *states[1:]], "23"),
        (lambda states: [replace(states[0], anomalies=1), *states[1:]], "1 anomalies"),
    ],
    ids=["right", "missing", "foreign", "twice", "sequence", "anomaly"],
)
def test_what_is_wrong_with_a_fold_is_said(
    spoil: Callable[[list[ContainerState]], list[ContainerState]], complaint: str
) -> None:
    wrong = fold.complaints(spoil([_gone(number) for number in range(3)]), 3)
    assert complaint in wrong
    assert bool(complaint) == bool(wrong)


def test_the_rise_of_a_line_is_that_of_its_ends() -> None:
    assert memory.rise([5.0, 7.0, 9.0, 11.0]) == pytest.approx(6.0)
    assert memory.rise([4.0, 4.0, 4.0]) == 0


# -- the obvious ways, and the kernel's books


def test_an_obvious_way_tells_an_exec_from_its_container() -> None:
    exit_ = TaskExit(container_id="web", id="check")
    event = AnyMessage(type_url=TaskExit.DESCRIPTOR.full_name, value=exit_.SerializeToString())
    end, told = document(Envelope(namespace="default", topic="/tasks/exit", event=event))
    assert (end, told["event"]) == ("default.web.exec-exit", {"container_id": "web", "id": "check"})


def test_an_obvious_way_keeps_the_nanoseconds() -> None:
    numbers = []
    for happening in lifecycles.happenings(1):
        _, told = document(Envelope.FromString(lifecycles.envelope(happening)))
        numbers.append(lifecycles.number_of(parse_rfc3339(told["time"])))
    assert numbers == list(range(len(LIFE)))


def test_the_cost_of_a_process_includes_its_children() -> None:
    work = "import sys; print(sum(i * i for i in range(3_000_000)), flush=True); sys.stdin.read()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {work!r}])"
    process = subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        assert cpu_seconds(process.pid) > 0.05
        assert peak_rss(process.pid) > 5_000_000
    finally:
        process.communicate()


def test_the_processors_are_as_busy_as_whoever_uses_them() -> None:
    before = busy_seconds()
    work = "import os; n = sum(i * i for i in range(3_000_000)); print(os.times().user)"
    used = float(subprocess.check_output([sys.executable, "-c", work]))
    assert busy_seconds() - before > used / 2  # the kernel counts in hundredths of a second


def test_the_cost_of_nobody_is_an_error() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    with pytest.raises(ProcessLookupError):
        cpu_seconds(process.pid)
