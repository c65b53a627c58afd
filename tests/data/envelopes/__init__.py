"""Messages of `Events.Subscribe` as containerd 1.6, 1.7 and 2.1 sent them, with two readings of each to compare with.

For each version there are
    containerd-X.Y.envelopes       the messages, each after its length as four bytes, big-endian
    containerd-X.Y.expected.jsonl  what they mean to us: the events as they stood when somebody last read them through
    containerd-X.Y.ctr.jsonl       what that containerd's own `ctr events` made of the same messages

`python -m tests.data.envelopes.capture` makes them again.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from bridge.model.codec import encode_any
from bridge.ports import Observed

__all__ = ["HERE", "VERSIONS", "Captured", "captured", "meaning", "write"]

HERE = Path(__file__).parent
VERSIONS = ("1.6", "1.7", "2.1")


class Captured(NamedTuple):
    """One message: as it came, as we read it then, and as `ctr events` printed it."""

    wire: bytes
    expected: dict[str, Any]
    ctr: dict[str, Any]


def captured(version: str) -> list[Captured]:
    """Return what a containerd sent, in its order."""
    return [
        Captured(*row)
        for row in zip(
            _frames(_path(version, "envelopes").read_bytes()),
            map(json.loads, _path(version, "expected.jsonl").read_text().splitlines()),
            map(json.loads, _path(version, "ctr.jsonl").read_text().splitlines()),
            strict=True,
        )
    ]


def write(version: str, rows: Iterable[Captured]) -> None:
    """Keep what a containerd sent."""
    rows = list(rows)
    frames = [len(row.wire).to_bytes(4, "big") + row.wire for row in rows]
    _path(version, "envelopes").write_bytes(b"".join(frames))
    _path(version, "expected.jsonl").write_text("".join(json.dumps(row.expected) + "\n" for row in rows))
    _path(version, "ctr.jsonl").write_text("".join(json.dumps(row.ctr) + "\n" for row in rows))


def meaning(observed: Observed) -> dict[str, Any]:
    """Return an observation as JSON values, without the time at which it was read."""
    values: dict[str, Any] = msgspec.json.decode(encode_any(observed))
    del values["recorded"]
    return {"word": observed.event.word, **values}


def _path(version: str, kind: str) -> Path:
    return HERE / f"containerd-{version}.{kind}"


def _frames(data: bytes) -> Iterator[bytes]:
    position = 0
    while position < len(data):
        start = position + 4
        position = start + int.from_bytes(data[position:start], "big")
        yield data[start:position]
