"""Strategies for everything that crosses the bus, derived from the structs themselves, so that a new field is tested too."""

import functools
import types
import typing
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import strategies as st
from msgspec import Struct

from bridge.model.commands import CommandId, Seconds
from bridge.model.envelope import EVENT_TYPES, Event, Position, Recorded, Sequence, format_source
from bridge.model.nanos import Nanos

IDENTIFIERS = st.from_regex(r"[A-Za-z0-9]+([._-][A-Za-z0-9]+){0,3}", fullmatch=True).filter(
    lambda text: len(text) <= 76
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ULIDS = st.from_regex(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", fullmatch=True)
TIMES = st.integers(-(10**19), 7 * 10**18).map(Nanos)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)

_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXTS,
    int: st.integers(0, 2**32 - 1),
    bool: st.booleans(),
    bytes: st.binary(max_size=20),
    Nanos: TIMES,
    Sequence: st.integers(1, 10**20 - 1).map(Sequence),
    Any: JSON,
    Seconds: st.floats(0, 86400),
    CommandId: IDENTIFIERS.filter(lambda text: len(text) <= 64),
    type(None): st.none(),
}


def of(kind: Any) -> st.SearchStrategy[Any]:  # noqa: PLR0911 - one line per kind
    """Values of a type as it is written in the model."""
    if kind in _PLAIN:
        return _PLAIN[kind]
    if get_origin(kind) is Annotated:
        return _within(*get_args(kind))
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    if get_origin(kind) in (typing.Union, types.UnionType):
        return st.one_of([of(choice) for choice in get_args(kind)])
    if get_origin(kind) is list:
        return st.lists(of(get_args(kind)[0]), max_size=3)
    if get_origin(kind) is dict:
        return st.dictionaries(of(get_args(kind)[0]), of(get_args(kind)[1]), max_size=3)
    if isinstance(kind, type) and issubclass(kind, Struct):
        return structs(kind)
    raise NotImplementedError(f"no examples of {kind}")


def _within(kind: Any, bounds: msgspec.Meta) -> st.SearchStrategy[Any]:
    """Values that keep to the bounds that the model gives them."""
    if kind is int:
        most = bounds.le if bounds.le is not None else (bounds.lt or 2**32) - 1
        return st.integers(int(bounds.ge or 0), int(most))
    if kind is float:
        return st.floats(bounds.ge, bounds.le)
    if bounds.pattern is None:
        return TEXTS.filter(lambda text: len(text) >= (bounds.min_length or 0))
    anything = st.characters(exclude_categories=["Cs"])
    texts = st.from_regex(bounds.pattern, alphabet=anything)
    return texts.filter(lambda text: (bounds.min_length or 0) <= len(text) <= (bounds.max_length or 100))


@functools.cache
def structs(kind: type[Struct]) -> st.SearchStrategy[Any]:
    """Structs of this type, every field drawn, the optional ones with and without a value."""
    hints = get_type_hints(kind, include_extras=True)
    return st.builds(kind, **{field.name: of(hints[field.name]) for field in msgspec.structs.fields(kind)})


@st.composite
def recorded(draw: st.DrawFn, data: st.SearchStrategy[Event] | None = None) -> Recorded[Event]:
    """Whole envelopes, every optional attribute drawn both ways."""
    event = draw(data if data is not None else EVENTS)
    return Recorded(
        specversion="1.0",
        datacontenttype="application/json",
        id=draw(ULIDS),
        type=event.type,
        source=format_source(draw(IDENTIFIERS), draw(st.none() | IDENTIFIERS)),
        time=draw(TIMES),
        recordedtime=draw(TIMES),
        position=draw(st.none() | st.builds(Position, st.uuids().map(str), st.integers(1, 2**63)).map(str)),
        origin=draw(st.sampled_from(["live", "reconciled", "command"])),
        data=event,
        subject=draw(st.none() | TEXTS.filter(bool)),
        sequence=draw(st.none() | st.integers(1, 10**20 - 1).map(Sequence)),
        incarnation=draw(st.none() | ULIDS),
        correlationid=draw(st.none() | ULIDS),
        causationid=draw(st.none() | ULIDS),
        traceparent=draw(st.none() | st.just("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")),
        dataschema=draw(st.none() | TEXTS.filter(bool)),
    )


EVENTS: st.SearchStrategy[Event] = st.sampled_from(sorted(EVENT_TYPES)).flatmap(lambda name: structs(EVENT_TYPES[name]))
