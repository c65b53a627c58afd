"""Every message that a test comes by is valid under its schema: what bridges store and answer, and what is encoded in-process.

`install` has each message looked at where a test comes by it anyway, so whatever the tests make happen is held to the schemas
without a word in them. Of messages of one shape, which are those with the same fields of the same types and with the same words,
only the first is judged: a log of thousands costs milliseconds.
"""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from typing import Any, Final

import msgspec
from jsonschema import Draft202012Validator

from bridge.jetstream import sender
from bridge.model import codec
from bridge.model.checkpoints import CheckpointRecord
from bridge.model.commands import COMMANDS
from bridge.model.envelope import EVENT_TYPES, Recorded, Unrecognized
from bridge.model.migrations import Migration
from bridge.model.nodes import NodeRecord
from bridge.model.outcomes import CommandState, Outcome, Progress
from bridge.model.schema import schemas
from bridge.model.state import ContainerState

__all__ = ["JUDGED", "event", "install", "message", "mistakes"]

RECORDS: Final[dict[type, str]] = {
    CheckpointRecord: "checkpoint",
    CommandState: "command-state",
    ContainerState: "state",
    Migration: "migration",
    NodeRecord: "node",
    Progress: "progress",
}
WORDS: Final = frozenset(
    {"cause", "code", "origin", "outcome", "phase", "reason", "stage", "state", "status", "type", "verb", "via"}
)
"""Fields whose values are ours, so that another value is another message."""

MOST: Final = 100
"""Messages of one name that are looked at where they are encoded: tests that make up examples make up thousands."""

JUDGED: Final[set[tuple[str, Any]]] = set()
"""Name and shape of what has been found valid in this process."""


def event(found: dict[str, Any]) -> None:
    """Hold a message of the log to the schema of the envelope, and its data to that of its type, where we know it."""
    if found.get("type") in EVENT_TYPES:
        message("envelope", found)


def message(name: str, found: Any) -> None:
    """Hold a message to a schema.

    Raises:
        AssertionError: it is not valid; all that is wrong stands in it.
    """
    judged = (name, _shape(found))
    if judged not in JUDGED:
        wrong = mistakes(name, found)
        assert not wrong, f"not valid under schemas/{name}.json: {'; '.join(wrong)}: {json.dumps(found)}"
        JUDGED.add(judged)


def mistakes(name: str, found: Any) -> list[str]:
    """Return what is wrong with a message under a schema, of an event under that of its data too."""
    wrong = [f"{error.json_path}: {error.message}" for error in _validator(name).iter_errors(found)]
    if name == "envelope" and isinstance(found, dict):
        wrong += [f"data: {said}" for said in mistakes(found["type"], found["data"])]
    return wrong


def install() -> None:
    """Have every message that is encoded in this process looked at, and every reply that a node on the bus gives."""
    codec._encoder = _Encoder(codec._encoder)  # type: ignore[assignment]
    decode_as = codec.decode_as

    def decoded(body: bytes, kind: Any) -> Any:
        found = decode_as(body, kind)
        if kind is Outcome:
            message(f"outcome.{found.verb}", json.loads(body))
        return found

    sender.decode_as = decoded  # type: ignore[attr-defined]


class _Encoder:
    """An encoder that looks at what it has written."""

    def __init__(self, encoder: msgspec.json.Encoder) -> None:
        self._encoder = encoder
        self._judged: Counter[str] = Counter()

    def encode(self, value: Any) -> bytes:
        body = self._encoder.encode(value)
        name = _name(value)
        if name is not None and self._judged[name] < MOST:
            self._judged[name] += 1
            if type(value) is Recorded:
                event(json.loads(body))
            else:
                message(name, json.loads(body))
        return body


def _name(value: Any) -> str | None:
    """Return the name of a struct's schema, None where there is none; of an event that of its data's."""
    kind = type(value)
    if kind is Recorded:
        return None if isinstance(value.data, Unrecognized) else str(value.type)
    if kind is Outcome:
        return f"outcome.{value.verb}" if value.verb in COMMANDS else None
    return RECORDS.get(kind)


def _shape(found: Any) -> Any:
    """Return what two messages have to have in common to be valid or not together, nearly."""
    match found:
        case dict():
            return frozenset((name, *_word(name, each), _shape(each)) for name, each in found.items())
        case list():
            return frozenset(map(_shape, found))
        case _:
            return type(found)


def _word(name: str, found: Any) -> tuple[str, ...]:
    return (found,) if name in WORDS and isinstance(found, str) else ()


@cache
def _schemas() -> dict[str, dict[str, Any]]:
    return schemas()


@cache
def _validator(name: str) -> Draft202012Validator:
    schema = _schemas()[f"{name}.json"]
    if name == "envelope":  # its data is judged by itself: one schema and not thirty
        schema = {keyword: value for keyword, value in schema.items() if keyword not in {"allOf", "$defs"}}
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
