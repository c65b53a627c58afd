"""One event of every type, each of its fields with a value: enough for readers that know nothing of ours."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin, get_type_hints

from msgspec import Struct

from bridge.model.codec import encode
from bridge.model.envelope import EVENT_TYPES, Recorded, Sequence, format_source
from bridge.model.nanos import Nanos
from bridge.model.node_events import NodeEvent
from bridge.model.schema import dataschema_of

__all__ = ["events"]

AT = Nanos(1_795_470_228_000_000_001)


def events() -> Iterator[bytes]:
    """Every event as it stands in the log."""
    for number, kind in enumerate(EVENT_TYPES.values(), 1):
        of_node = issubclass(kind, NodeEvent)
        yield encode(
            Recorded(
                specversion="1.0",
                datacontenttype="application/json",
                id=f"01KAXW3V6J8Q2Y5T7R9N0M{number:04d}",
                type=kind.type,
                source=format_source("n1", None if of_node else "k8s.io"),
                time=AT,
                recordedtime=AT,
                position=f"9a3a54de-6b0c-4a3f-8c5e-0b7d1f2e3a4b:{number}",
                origin="live",
                data=_filled(kind),
                subject=None if of_node else "web.1",
                sequence=None if of_node else Sequence(number),
                incarnation=None if of_node else "01KAXW3V6J8Q2Y5T7R9N0M9999",
                correlationid="deploy-7",
                causationid="deploy-7",
                traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                dataschema=dataschema_of(kind),
            )
        )


def _filled(hint: Any) -> Any:
    """Return a value of this type; of one that may be null the other one."""
    parts = get_args(hint)
    match get_origin(hint):
        case None if isinstance(hint, type) and issubclass(hint, Struct):
            hints = get_type_hints(hint, include_extras=True)
            found: Any = hint(**{name: _filled(hints[name]) for name in hint.__struct_fields__})
        case None:
            values: dict[Any, Any] = {str: "name", int: 1, bool: True, bytes: b"bytes", Nanos: AT}
            found = values.get(hint, "anything")
        case types.UnionType:
            found = _filled(next(part for part in parts if part is not type(None)))
        case origin if origin is Literal:
            found = parts[0]
        case origin if origin is list:
            found = [_filled(parts[0])]
        case origin:
            assert origin is dict, hint
            found = {"app": _filled(parts[1])}
    return found
