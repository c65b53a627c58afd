"""The codec: every event there and back unchanged, old readers survive new events, and bytes only ever raise BadEnvelope."""

import base64
import functools
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import BadEnvelope
from bridge.model import codec
from bridge.model.commands import COMMANDS, Command
from bridge.model.envelope import EVENT_TYPES, Event, Recorded, Sequence, Unrecognized
from bridge.model.events import RawEvent, TaskExit
from bridge.model.nanos import Nanos
from bridge.model.outcomes import Outcome
from tests.unit.model import examples

REQUIRED_BY_CLOUDEVENTS = {"specversion", "id", "source", "type"}
ALWAYS = REQUIRED_BY_CLOUDEVENTS | {"datacontenttype", "time", "recordedtime", "origin", "data"}
OPTIONAL = {
    "position",
    "subject",
    "sequence",
    "incarnation",
    "correlationid",
    "causationid",
    "traceparent",
    "dataschema",
}


def exit_event(**attributes: Any) -> Recorded[Event]:
    recorded: Recorded[Event] = Recorded(
        specversion="1.0",
        datacontenttype="application/json",
        id="01K9ZQ0000000000000000000A",
        type=TaskExit.type,
        source="/containerd/host1/k8s.io",
        time=Nanos(1),
        recordedtime=Nanos(2),
        position="7b0f63a4-2c0a-4e2b-b1fd-0f5c66f1ac3a:12",
        origin="live",
        data=TaskExit(container_id="web.1", id="web.1", pid=42, exit_status=137),
        subject="web.1",
        sequence=Sequence(3),
    )
    return msgspec.structs.replace(recorded, **attributes)


def refusal(body: bytes, read: Callable[[bytes], object] = codec.decode) -> BadEnvelope | None:
    """What is raised for `body`, None where it is taken."""
    try:
        read(body)
    except BadEnvelope as error:
        return error
    return None


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
def test_every_event_survives_the_bus(name: str) -> None:
    @given(examples.recorded(examples.structs(EVENT_TYPES[name])))
    def survives(recorded: Recorded[Event]) -> None:
        assert codec.decode(codec.encode(recorded)) == recorded

    survives()


@given(examples.recorded())
def test_a_decoded_event_has_the_model_s_own_types(recorded: Recorded[Event]) -> None:
    decoded = codec.decode(codec.encode(recorded))
    assert type(decoded.time) is Nanos
    assert decoded.sequence is None or type(decoded.sequence) is Sequence
    assert type(decoded.data) is EVENT_TYPES[recorded.type]


@given(examples.recorded())
def test_an_attribute_without_value_is_absent_and_the_others_are_there(recorded: Recorded[Event]) -> None:
    attributes = json.loads(codec.encode(recorded))
    given_ = {name for name in OPTIONAL if getattr(recorded, name) is not None}
    assert set(attributes) == ALWAYS | given_
    assert all(attributes[name] is not None for name in attributes)


@given(examples.recorded())
def test_every_attribute_is_a_string_as_cloudevents_wants_it(recorded: Recorded[Event]) -> None:
    attributes = json.loads(codec.encode(recorded))
    assert all(isinstance(value, str) for name, value in attributes.items() if name != "data")
    assert all(name.isalnum() and name == name.lower() for name in attributes)


@given(examples.recorded())
def test_data_keeps_every_field_also_the_unknown_as_null(recorded: Recorded[Event]) -> None:
    data = json.loads(codec.encode(recorded))["data"]
    assert set(data) == set(recorded.data.__struct_fields__)
    assert {name for name in data if data[name] is None} == {
        name for name in data if getattr(recorded.data, name) is None
    }


def test_an_event_stands_on_the_wire_as_the_contract_says() -> None:
    assert json.loads(codec.encode(exit_event())) == {
        "specversion": "1.0",
        "datacontenttype": "application/json",
        "id": "01K9ZQ0000000000000000000A",
        "type": "io.containerd.task.exit.v1",
        "source": "/containerd/host1/k8s.io",
        "subject": "web.1",
        "time": "1970-01-01T00:00:00.000000001Z",
        "recordedtime": "1970-01-01T00:00:00.000000002Z",
        "position": "7b0f63a4-2c0a-4e2b-b1fd-0f5c66f1ac3a:12",
        "sequence": "00000000000000000003",
        "origin": "live",
        "data": {
            "image": None,
            "labels": None,
            "name": None,
            "runtime": None,
            "container_id": "web.1",
            "id": "web.1",
            "pid": 42,
            "exit_status": 137,
            "exited_at": None,
            "reason": None,
            "cause": None,
        },
    }


@given(st.binary(max_size=200))
def test_bytes_of_every_kind_are_kept_in_a_raw_event(value: bytes) -> None:
    raw = RawEvent(topic="/x/y", type_url="a.B", value=value, reason="unknown-type", size=len(value), sha256="")
    body = codec.encode(exit_event(type=RawEvent.type, data=raw))
    assert base64.b64decode(json.loads(body)["data"]["value"]) == value
    assert codec.decode(body).data == raw


@given(st.text(min_size=1).filter(lambda name: name not in EVENT_TYPES), examples.JSON)
def test_an_event_of_a_type_to_come_is_kept_as_it_is(name: str, data: Any) -> None:
    body = json.dumps(codec.to_builtins(exit_event()) | {"type": name, "data": data}).encode(errors="surrogatepass")
    try:
        decoded = codec.decode(body)
    except BadEnvelope:  # only where the name itself is no text
        assert not name.isprintable()
        return
    assert isinstance(decoded.data, Unrecognized)
    assert decoded.type == name
    assert json.loads(decoded.data.json) == json.loads(json.dumps(data))


def test_attributes_and_fields_to_come_are_passed_over() -> None:
    builtins = codec.to_builtins(exit_event())
    newer = builtins | {"shardid": "7", "data": builtins["data"] | {"core_dumped": True}}
    assert codec.decode(json.dumps(newer).encode()) == exit_event()


def test_fields_that_an_older_bridge_left_out_take_their_defaults() -> None:
    builtins = codec.to_builtins(exit_event())
    older = builtins | {"data": {"container_id": "web.1", "id": "web.1"}}
    assert codec.decode(json.dumps(older).encode()).data == TaskExit(container_id="web.1", id="web.1")


@pytest.mark.parametrize("name", sorted(ALWAYS))
def test_without_one_of_its_required_attributes_it_is_no_event(name: str) -> None:
    builtins = codec.to_builtins(exit_event())
    del builtins[name]
    with pytest.raises(BadEnvelope, match=name):
        codec.decode(json.dumps(builtins).encode())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("specversion", "0.3"),
        ("datacontenttype", "text/plain"),
        ("time", "yesterday"),
        ("time", 5),
        ("sequence", 3),
        ("sequence", "-3"),
        ("sequence", "٣"),
        ("sequence", "9" * 5000),
        ("sequence", ""),
        ("origin", "guessed"),
        ("id", None),
        ("data", []),
        ("data", {"container_id": 5, "id": "x"}),
        ("data", {"id": "x"}),
    ],
)
def test_a_wrong_attribute_is_named(name: str, value: Any) -> None:
    body = json.dumps(codec.to_builtins(exit_event()) | {name: value}).encode()
    with pytest.raises(BadEnvelope, match=name):
        codec.decode(body)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_nothing_but_bad_envelope(body: bytes) -> None:
    error = refusal(body)
    assert error is not None
    assert error.data == body


@given(examples.JSON | st.dictionaries(st.sampled_from(sorted(ALWAYS | OPTIONAL)), examples.JSON))
def test_arbitrary_json_raises_nothing_but_bad_envelope(value: Any) -> None:
    with pytest.raises(BadEnvelope):
        codec.decode(json.dumps(value).encode())


@given(examples.recorded(), st.data())
def test_a_damaged_byte_raises_nothing_but_bad_envelope(recorded: Recorded[Event], data: st.DataObject) -> None:
    body = bytearray(codec.encode(recorded))
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    error = refusal(bytes(body))
    assert error is None or error.data == body


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"type":' + b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"type":"io.containerd.task.exit.v1","data":' + b"[" * 100_000,
        b'{"type":"x.y","data":' + b"[" * 100_000,
        b'"\\ud800"',
        b"\xff\xfe",
        b"",
    ],
    ids=["deep lists", "deep type", "deep objects", "deep data", "deep unknown data", "surrogate", "UTF-16", "nothing"],
)
def test_hostile_bytes_raise_bad_envelope(body: bytes) -> None:
    with pytest.raises(BadEnvelope):
        codec.decode(body)


@pytest.mark.parametrize("verb", sorted(COMMANDS))
def test_every_command_survives_the_bus(verb: str) -> None:
    @given(examples.structs(COMMANDS[verb]))
    def survives(command: Command) -> None:
        assert codec.decode_as(codec.encode_any(command), COMMANDS[verb]) == command

    survives()


@pytest.mark.parametrize("verb", sorted(COMMANDS))
def test_the_result_of_every_verb_survives_inside_its_outcome(verb: str) -> None:
    result = COMMANDS[verb].result

    @given(examples.structs(Outcome), examples.structs(result))
    def survives(outcome: Outcome, value: msgspec.Struct) -> None:
        sent = msgspec.structs.replace(outcome, verb=verb, result=value)
        got = codec.decode_as(codec.encode_any(sent), Outcome)
        assert msgspec.structs.replace(got, result=None) == msgspec.structs.replace(sent, result=None)
        assert codec.decode_as(codec.encode_any(got.result), result) == value

    survives()


@given(st.binary(max_size=200))
def test_arbitrary_bytes_as_a_command_raise_nothing_but_bad_envelope(body: bytes) -> None:
    for command in COMMANDS.values():
        error = refusal(body, functools.partial(codec.decode_as, kind=command))
        assert error is None or error.data == body


@given(examples.recorded())
def test_builtins_are_exactly_what_stands_in_the_json(recorded: Recorded[Event]) -> None:
    assert codec.to_builtins(recorded) == json.loads(codec.encode(recorded))


@given(examples.structs(Outcome))
def test_an_outcome_s_builtins_are_exactly_what_stands_in_its_json(outcome: Outcome) -> None:
    assert codec.to_builtins(outcome) == json.loads(codec.encode_any(outcome))


def test_what_has_no_place_on_the_bus_is_not_encoded() -> None:
    with pytest.raises(NotImplementedError, match="object is nothing that crosses the bus"):
        codec.encode_any({"x": object()})
