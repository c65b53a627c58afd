"""Whatever containerd sends becomes one observation: typed where it can be told, raw with its bytes where not."""

import hashlib
import json

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from bridge._pb.containerd import events_pb2 as pb
from bridge._pb.containerd.services import images_pb2
from bridge._pb.containerd.types_pb2 import Envelope, Mount
from bridge._pb.google.protobuf.any_pb2 import Any
from bridge._pb.google.protobuf.timestamp_pb2 import Timestamp
from bridge.containerd.normalize import observe
from bridge.containerd.payloads import PAYLOADS
from bridge.model import events, node_events
from bridge.model.codec import encode_any
from bridge.model.events import ContainerEvent, RawEvent
from bridge.model.identity import is_identifier
from bridge.model.nanos import Nanos
from bridge.model.subjects import Subjects
from bridge.ports import Observed

AT, READ = Nanos(1_700_000_000_123_456_789), Nanos(1_800_000_000_000_000_000)


def stamp(nanos: int) -> Timestamp:
    return Timestamp(seconds=nanos // 10**9, nanos=nanos % 10**9)


def envelope(
    topic: str, payload: Message, *, namespace: str = "k8s.io", type_url: str | None = None, at: Timestamp | None = None
) -> Envelope:
    event = Any(
        type_url=payload.DESCRIPTOR.full_name if type_url is None else type_url, value=payload.SerializeToString()
    )
    return Envelope(timestamp=stamp(AT) if at is None else at, namespace=namespace, topic=topic, event=event)


def seen(message: Envelope) -> Observed:
    return observe(message.SerializeToString(), READ)


def raw(observed: Observed) -> RawEvent:
    assert isinstance(observed.event, RawEvent)
    assert observed.container is None
    assert observed.event.size == len(observed.event.value)
    assert observed.event.sha256 == hashlib.sha256(observed.event.value).hexdigest()
    return observed.event


# -- events


def test_an_event_keeps_its_place_and_its_nanoseconds() -> None:
    observed = seen(envelope("/tasks/start", pb.TaskStart(container_id="web.1", pid=7), namespace="a.b"))
    assert observed == Observed(
        event=events.TaskStart(container_id="web.1", pid=7), namespace="a.b", container="web.1", time=AT, recorded=READ
    )


def test_a_create_keeps_its_mounts_and_its_stdio() -> None:
    payload = pb.TaskCreate(
        container_id="web",
        bundle="/run/b",
        rootfs=[Mount(type="overlay", source="overlay", options=["lowerdir=/a"])],
        io=pb.TaskIO(stdout="/run/fifo/out", terminal=True),
        pid=7,
    )
    assert seen(envelope("/tasks/create", payload)).event == events.TaskCreate(
        container_id="web",
        bundle="/run/b",
        rootfs=[events.Mount(type="overlay", source="overlay", options=["lowerdir=/a"])],
        io=events.TaskIO(stdout="/run/fifo/out", terminal=True),
        pid=7,
    )


def test_a_create_from_a_checkpoint_is_a_restore() -> None:
    payload = pb.TaskCreate(container_id="web", checkpoint="/tmp/checkpoint")
    assert seen(envelope("/tasks/create", payload)).event == events.TaskRestored(
        container_id="web", checkpoint="/tmp/checkpoint"
    )


@pytest.mark.parametrize("process", ["web", ""])
def test_an_exit_of_the_init_process_is_the_exit_of_the_task(process: str) -> None:
    payload = pb.TaskExit(container_id="web", id=process, pid=7, exit_status=137, exited_at=stamp(5))
    assert seen(envelope("/tasks/exit", payload)).event == events.TaskExit(
        container_id="web", id=process, pid=7, exit_status=137, exited_at=Nanos(5)
    )


def test_an_exit_of_another_process_is_the_exit_of_an_exec() -> None:
    payload = pb.TaskExit(container_id="web", id="probe.1", pid=8, exit_status=3)
    assert seen(envelope("/tasks/exit", payload)).event == events.TaskExecExit(
        container_id="web", id="probe.1", pid=8, exit_status=3
    )


def test_an_exit_status_may_be_as_big_as_containerd_can_make_it() -> None:
    event = seen(envelope("/tasks/exit", pb.TaskExit(container_id="web", id="web", exit_status=2**32 - 1))).event
    assert isinstance(event, events.TaskExit)
    assert event.exit_status == 2**32 - 1


@pytest.mark.parametrize("never", [None, Timestamp(), Timestamp(seconds=-62_135_596_800)], ids=["unset", "epoch", "go"])
def test_a_time_that_was_never_set_is_null(never: Timestamp | None) -> None:
    event = seen(envelope("/tasks/delete", pb.TaskDelete(container_id="web", exited_at=never))).event
    assert isinstance(event, events.TaskDelete)
    assert event.exited_at is None


def test_a_new_container_has_its_runtime_by_name_and_its_options_as_bytes() -> None:
    options = Any(type_url="containerd.runc.v1.Options", value=b"\x00\xff")
    payload = pb.ContainerCreate(
        id="web", image="nginx:1", runtime=pb.ContainerCreate.Runtime(name="io.containerd.runc.v2", options=options)
    )
    assert seen(envelope("/containers/create", payload)).event == events.ContainerCreate(
        id="web",
        image="nginx:1",
        runtime="io.containerd.runc.v2",
        runtime_options=events.RuntimeOptions(type_url="containerd.runc.v1.Options", value=b"\x00\xff"),
    )


def test_a_new_container_without_image_and_runtime_has_null_for_them() -> None:
    payload = pb.ContainerCreate(id="web", runtime=pb.ContainerCreate.Runtime(options=Any()))
    assert seen(envelope("/containers/create", payload)).event == events.ContainerCreate(id="web")


def test_a_changed_container_has_its_new_labels_and_the_name_in_them() -> None:
    payload = pb.ContainerUpdate(id="web", image="nginx:2", labels={"nerdctl/name": "front"}, snapshot_key="k")
    assert seen(envelope("/containers/update", payload)).event == events.ContainerUpdate(
        id="web", image="nginx:2", labels={"nerdctl/name": "front"}, name="front", snapshot_key="k"
    )


def test_a_changed_container_without_labels_has_none_left() -> None:
    event = seen(envelope("/containers/update", pb.ContainerUpdate(id="web"))).event
    assert isinstance(event, events.ContainerUpdate)
    assert event.labels == {}


def test_an_image_is_an_event_of_the_node_in_its_namespace() -> None:
    payload = images_pb2.ImageCreate(name="docker.io/library/nginx:1", labels={"a": "b"})
    observed = seen(envelope("/images/create", payload))
    assert observed.event == node_events.ImageCreate(name="docker.io/library/nginx:1", labels={"a": "b"})
    assert (observed.namespace, observed.container) == ("k8s.io", None)


@pytest.mark.parametrize("prefix", ["type.googleapis.com/", "/"])
def test_a_type_may_have_a_host_before_it(prefix: str) -> None:
    message = envelope("/tasks/oom", pb.TaskOOM(container_id="web"), type_url=f"{prefix}containerd.events.TaskOOM")
    assert seen(message).event == events.TaskOOM(container_id="web")


def test_of_a_field_that_comes_twice_the_last_one_holds() -> None:
    message = envelope("/tasks/oom", pb.TaskOOM(container_id="one"))
    message.event.value += pb.TaskOOM(container_id="two").SerializeToString()
    assert seen(message).event == events.TaskOOM(container_id="two")


def test_fields_that_this_version_does_not_know_are_passed_over() -> None:
    message = envelope("/tasks/oom", pb.TaskOOM(container_id="web"))
    message.event.value += b"\xfa\x3f\x05later"  # field 1023
    assert seen(message).event == events.TaskOOM(container_id="web")


@pytest.mark.parametrize(
    "at", [Timestamp(), Timestamp(seconds=2**62), Timestamp(seconds=-(2**62)), Timestamp(seconds=1, nanos=-1)]
)
def test_an_event_whose_time_is_none_has_the_time_at_which_it_was_read(at: Timestamp) -> None:
    assert seen(envelope("/tasks/oom", pb.TaskOOM(container_id="web"), at=at)).time == READ


# -- what cannot be told as an event


def test_an_unknown_topic_is_kept_raw() -> None:
    event = raw(seen(envelope("/tasks/levitated", pb.TaskOOM(container_id="web"))))
    assert (event.reason, event.topic, event.type_url) == (
        "unknown-topic",
        "/tasks/levitated",
        "containerd.events.TaskOOM",
    )


@pytest.mark.parametrize("type_url", ["containerd.events.TaskStart", "example.org/TaskExit", ""])
def test_a_payload_of_another_type_than_its_topic_says_is_kept_raw(type_url: str) -> None:
    payload = pb.TaskExit(container_id="web")
    event = raw(seen(envelope("/tasks/exit", payload, type_url=type_url)))
    assert (event.reason, event.type_url, event.value) == ("unknown-type", type_url, payload.SerializeToString())


def test_garbage_is_kept_raw() -> None:
    message = envelope("/tasks/exit", pb.TaskExit())
    message.event.value = b"\xff\xff\xff"
    event = raw(seen(message))
    assert (event.reason, event.value) == ("undecodable", b"\xff\xff\xff")


def test_text_that_is_no_utf8_is_kept_raw() -> None:
    message = envelope("/tasks/oom", pb.TaskOOM())
    message.event.value = b"\n\x02\xff\xfe"
    assert raw(seen(message)).reason == "undecodable"


@pytest.mark.parametrize("beyond", [Timestamp(seconds=253_402_300_800), Timestamp(seconds=-5), Timestamp(nanos=10**9)])
def test_a_time_beyond_the_calendar_is_kept_raw(beyond: Timestamp) -> None:
    payload = pb.TaskExit(container_id="web", id="web", exited_at=beyond)
    event = raw(seen(envelope("/tasks/exit", payload)))
    assert (event.reason, event.value) == ("undecodable", payload.SerializeToString())


@pytest.mark.parametrize("container", ["", "../x", "a b", "é", "x" * 77])
def test_an_id_that_is_none_is_kept_raw(container: str) -> None:
    event = raw(seen(envelope("/tasks/oom", pb.TaskOOM(container_id=container))))
    assert event.reason == "invalid-id"
    assert pb.TaskOOM.FromString(event.value).container_id == container


def test_an_envelope_without_event_is_kept_raw() -> None:
    observed = seen(Envelope(timestamp=stamp(AT), namespace="k8s.io", topic="/tasks/exit"))
    assert (raw(observed).reason, observed.namespace) == ("no-payload", "k8s.io")


@pytest.mark.parametrize("namespace", ["", "a/b", "a..b", "-", "é"])
def test_an_event_of_no_namespace_is_kept_with_its_whole_envelope(namespace: str) -> None:
    message = envelope("/tasks/oom", pb.TaskOOM(container_id="web"), namespace=namespace)
    observed = seen(message)
    event = raw(observed)
    assert (event.reason, event.topic, event.type_url) == (
        "invalid-namespace",
        "/tasks/oom",
        "containerd.types.Envelope",
    )
    assert Envelope.FromString(event.value) == message
    assert observed.namespace is None


@pytest.mark.parametrize("wire", [b"\xff", b"\x12\x02\xff\xfe", b'"\x05short'])
def test_a_message_that_is_no_envelope_is_kept_whole(wire: bytes) -> None:
    observed = observe(wire, READ)
    event = raw(observed)
    assert (event.reason, event.topic, event.type_url, event.value) == (
        "undecodable",
        "",
        "containerd.types.Envelope",
        wire,
    )
    assert (observed.namespace, observed.time) == (None, READ)


# -- whatever comes

ANY_TEXT = st.text(st.characters(codec="utf-8"), max_size=80)
NAMESPACES = st.one_of(st.sampled_from(["k8s.io", "moby", "a.b", "", "a/b"]), ANY_TEXT)
TOPICS = st.one_of(st.sampled_from(sorted(PAYLOADS)), ANY_TEXT)
TYPES = st.one_of(st.sampled_from(sorted(payload.type for payload in PAYLOADS.values())), ANY_TEXT)
TIMES = st.builds(Timestamp, seconds=st.integers(-(2**63), 2**63 - 1), nanos=st.integers(-(2**31), 2**31 - 1))
TEXT_FIELDS = st.lists(st.tuples(st.integers(1, 6), st.binary(max_size=90)), max_size=6)


def length_delimited(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(value)) + value


def _varint(number: int) -> bytes:
    return bytes([number]) if number < 0x80 else bytes([number & 0x7F | 0x80]) + _varint(number >> 7)


# Bytes of no meaning seldom get past the first field, so half of them are fields at least.
VALUES = st.one_of(
    st.binary(max_size=200), TEXT_FIELDS.map(lambda fields: b"".join(length_delimited(*field) for field in fields))
)


def check(observed: Observed, wire: bytes, value: bytes | None) -> None:
    """Raise nothing, lose nothing, and have a place on the bus."""
    json.loads(encode_any(observed))
    subjects = Subjects()
    assert is_identifier(observed.namespace) if observed.namespace is not None else isinstance(observed.event, RawEvent)
    assert observed.container is None or is_identifier(observed.container)
    if isinstance(observed.event, ContainerEvent):
        subject = subjects.event("node", observed.namespace, observed.container, observed.event.word)
        assert subjects.parse_event(subject)[1:3] == (observed.namespace, observed.container)
    if isinstance(observed.event, RawEvent):
        assert observed.event.value in {wire, value}
    else:
        assert observed.container is not None or isinstance(observed.event, node_events.NodeEvent)


@given(TIMES, NAMESPACES, TOPICS, TYPES, VALUES)
def test_any_envelope_becomes_one_observation(
    at: Timestamp, namespace: str, topic: str, type_url: str, value: bytes
) -> None:
    event = Any(type_url=type_url, value=value)
    wire = Envelope(timestamp=at, namespace=namespace, topic=topic, event=event).SerializeToString()
    check(observe(wire, READ), wire, value)


@given(TIMES, st.sampled_from(sorted(PAYLOADS)), VALUES)
def test_any_payload_of_the_right_type_becomes_one_observation(at: Timestamp, topic: str, value: bytes) -> None:
    event = Any(type_url=PAYLOADS[topic].type, value=value)
    wire = Envelope(timestamp=at, namespace="k8s.io", topic=topic, event=event).SerializeToString()
    check(observe(wire, READ), wire, value)


@given(VALUES)
def test_any_bytes_become_one_observation(wire: bytes) -> None:
    try:
        value = Envelope.FromString(wire).event.value
    except Exception:  # noqa: BLE001 - then the message itself is what has to be kept
        value = None
    check(observe(wire, READ), wire, value)
