"""An envelope that is put together from pieces says exactly what the encoded struct would say."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from bridge.capture.envelopes import Description, EnvelopeWriter, about, described
from bridge.model.codec import decode, encode
from bridge.model.envelope import EVENT_TYPES, Recorded, Sequence, format_source
from bridge.model.events import ContainerEvent
from bridge.model.schema import dataschema_of
from bridge.ports import Observed
from tests.unit.model.examples import IDENTIFIERS, TEXTS, TIMES, ULIDS, structs

CONTAINER_EVENTS = sorted(name for name, kind in EVENT_TYPES.items() if issubclass(kind, ContainerEvent))


@given(st.data())
def test_it_is_decoded_as_the_encoded_struct_would_be(data: st.DataObject) -> None:
    event = data.draw(st.sampled_from(CONTAINER_EVENTS).flatmap(lambda name: structs(EVENT_TYPES[name])))
    description = data.draw(structs(Description))
    own = {name: getattr(event, name) for name in Description.__struct_fields__}
    if any(value is not None for value in own.values()):  # it says itself what its container is
        expected = event
    else:
        expected = msgspec.structs.replace(event, **msgspec.structs.asdict(description))
    node, namespace, container = data.draw(IDENTIFIERS), data.draw(IDENTIFIERS), data.draw(IDENTIFIERS)
    source = format_source(node, namespace)
    observed = Observed(
        event=event,
        namespace=namespace,
        container=container,
        time=data.draw(TIMES),
        recorded=data.draw(TIMES),
        origin=data.draw(st.sampled_from(["live", "reconciled", "command"])),
        correlation_id=data.draw(st.none() | TEXTS),
        causation_id=data.draw(st.none() | TEXTS),
    )
    identity, incarnation = data.draw(ULIDS), data.draw(st.none() | ULIDS)
    n, sequence = data.draw(st.integers(1, 2**63)), data.draw(st.integers(1, 10**20 - 1))
    log = str(data.draw(st.uuids()))

    written = EnvelopeWriter(log).write(
        observed,
        event,
        identity=identity,
        n=n,
        sequence=sequence,
        about=about(source, container),
        incarnation=incarnation,
        description=described(description),
    )

    as_a_struct = Recorded(
        specversion="1.0",
        datacontenttype="application/json",
        id=identity,
        type=event.type,
        source=source,
        subject=container,
        time=observed.time,
        recordedtime=observed.recorded,
        position=f"{log}:{n}",
        sequence=Sequence(sequence),
        incarnation=incarnation,
        origin=observed.origin,
        correlationid=observed.correlation_id,
        causationid=observed.causation_id,
        dataschema=dataschema_of(event),
        data=expected,
    )
    assert decode(written) == decode(encode(as_a_struct))
    assert msgspec.json.decode(written) == msgspec.json.decode(encode(as_a_struct))


def test_the_description_has_the_fields_that_every_event_begins_with() -> None:
    for name in CONTAINER_EVENTS:
        assert (
            EVENT_TYPES[name].__struct_fields__[: len(Description.__struct_fields__)] == Description.__struct_fields__
        )
