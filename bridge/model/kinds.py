"""What msgspec has to know of a type before it reads one, found out by one thread at a time.

msgspec 0.22 looks at a struct when it first reads one, keeps what it has found so far with the class, and lets other threads run
in between. One of them that reads the same struct then goes by half of it, and the process dies of SIGSEGV: so did bridges that
started, where the recorder and the projection read their first states in the same millisecond. Whoever reads a struct therefore
gets his decoder here, and nobody calls `msgspec.json.Decoder`, `msgspec.json.decode(..., type=)` or `msgspec.convert` himself
(tests/test_architecture.py; docs/decisions/0047).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import msgspec

__all__ = ["convert", "decoder", "schema_of"]

T = TypeVar("T")

Hook: TypeAlias = Callable[[type, Any], Any]
"""Makes a type that msgspec does not know of what stands in the JSON."""

_one_at_a_time = threading.RLock()
_decoders: dict[tuple[Any, Hook | None], msgspec.json.Decoder[Any]] = {}


def decoder(kind: type[T], dec_hook: Hook | None = None) -> msgspec.json.Decoder[T]:
    """Return what reads JSON as this type, the same one each time; from any thread.

    Args:
        kind: a struct, or whatever else msgspec reads.
        dec_hook: for the types in it that msgspec does not know.
    """
    found = _decoders.get((kind, dec_hook))
    if found is None:
        with _one_at_a_time:
            found = _decoders.get((kind, dec_hook))
            if found is None:
                found = _decoders[kind, dec_hook] = msgspec.json.Decoder(kind, dec_hook=dec_hook)
    return found


def convert(value: Any, kind: type[T]) -> T:
    """Return builtins as this type; from any thread.

    Raises:
        msgspec.ValidationError: they are none; the sentence names the field.
    """
    decoder(kind)
    return msgspec.convert(value, kind)


def schema_of(
    kinds: Sequence[Any], form_of: Callable[[type], dict[str, Any]], reference: str
) -> tuple[tuple[dict[str, Any], ...], dict[str, dict[str, Any]]]:
    """Return the JSON Schema of each of these types, and those of the structs in them by name; from any thread.

    Args:
        kinds: the types.
        form_of: makes the schema of a type that msgspec does not know.
        reference: what one schema calls another one by; `{name}` stands in it.
    """
    with _one_at_a_time:
        return msgspec.json.schema_components(kinds, schema_hook=form_of, ref_template=reference)
