"""What processes write and read over the bus: pieces of their output, the mark at its end, and the words about both.

A session is one run of one process with its stdio on the bus. Ids of containers and of execs are used again, a session's
is not. The output of a session is a sequence of bytes for each of its streams; a message carries a piece of it as it is,
and where it begins stands in the headers:

    Stdio-Session   id of the session (a ULID)
    Stdio-Offset    where in the stream the piece begins
    Nats-Msg-Id     <session>.<stream>.<offset behind it>

The last message of a stream is empty and says how it ended:

    Stdio-End           1
    Stdio-Bytes         how many bytes the process wrote, as far as they came to us
    Stdio-Sha256        of all of them; absent where nobody can say
    Stdio-Truncated     why there may have been more; absent where there was no more
    Stdio-Exit-Status   of the process; absent where nobody knows
    Stdio-Timed-Out     1 where it was killed because its time was up; else absent

Input is sent as requests with the same session and offset headers, and `Stdio-End: 1` on the last one, which may be empty. The
reply says how far the input has come; so does the one to an empty piece that is not the last one, for who comes later. Where
several write, each gives itself a name, `Stdio-Writer`, so that a piece which comes again is known from another one of the
same place. `Stdio-Key` is the key that the reply to the command told which started the process, or attached to it: the session's
id is for everybody who may read, the key is for those who may write.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, get_args

from msgspec import Struct

from bridge.errors import BadEnvelope
from bridge.model.events import Failure

__all__ = [
    "Chunk",
    "Credit",
    "InputPiece",
    "InputReply",
    "OUTPUTS",
    "OutputStream",
    "StreamEnd",
    "TRUNCATIONS",
    "Truncation",
    "WINDOW",
    "headers_of",
    "input_from",
    "input_headers",
    "message_id",
    "piece_from",
]

OutputStream: TypeAlias = Literal["stdout", "stderr"]
OUTPUTS: Final[tuple[OutputStream, ...]] = ("stdout", "stderr")

Truncation: TypeAlias = Literal["held", "away", "restarted", "lost", "deleted"]
TRUNCATIONS: Final[Mapping[str, str]] = {
    "held": "another process still held the stream when this one had ended, and was not waited for any longer",
    "away": "the process ended while the bridge was not there: what it wrote last may be missing",
    "restarted": "the host was restarted: what was under way then is missing",
    "lost": "what the bridge or the bus had kept of it is gone: a part is missing",
    "deleted": "its container was deleted or started again before all of it could be taken",
}
"""Why a stream may have had more than what was stored, and the sentence for it."""

WINDOW: Final = 16 << 20
"""Bytes of output that a session's owner leaves unread, before the process has to wait."""

SESSION, OFFSET, WRITER, KEY = "Stdio-Session", "Stdio-Offset", "Stdio-Writer", "Stdio-Key"
END, BYTES, SHA256, TRUNCATED, STATUS, TIMED_OUT = (
    "Stdio-End",
    "Stdio-Bytes",
    "Stdio-Sha256",
    "Stdio-Truncated",
    "Stdio-Exit-Status",
    "Stdio-Timed-Out",
)


class Chunk(Struct, frozen=True, kw_only=True):
    """A piece of a stream: `data` begins at `offset` of the session's bytes."""

    session: str
    offset: int
    data: bytes


class StreamEnd(Struct, frozen=True, kw_only=True):
    """The end of a stream; null is what nobody knows, but `truncated` is null where nothing is missing.

    `timed_out` says that the process was killed because its time was up.
    """

    session: str
    size: int
    sha256: str | None = None
    truncated: Truncation | None = None
    exit_status: int | None = None
    timed_out: bool = False


class Credit(Struct, frozen=True, kw_only=True):
    """What an owner of a session has read of it; said every few seconds, and whenever a part of the window is used up.

    Attributes:
        session: which one.
        key: the session's.
        owner: who reads, unique.
        stdout: bytes read of it.
        stderr: bytes read of it.
        window: bytes that may be stored beyond what is read; 0 for an owner who leaves.
    """

    session: str
    key: str = ""
    owner: str
    stdout: int = 0
    stderr: int = 0
    window: int = WINDOW


class InputPiece(Struct, frozen=True, kw_only=True):
    """A piece of a process's input, from `offset` on; with `end` nothing comes behind it.

    `writer` is who sends it, unique; `key` the session's.
    """

    session: str
    offset: int
    data: bytes
    end: bool = False
    writer: str = ""
    key: str = ""


class InputReply(Struct, frozen=True, kw_only=True):
    """What became of a piece.

    Attributes:
        accepted: where the next piece has to begin; what lies before it has reached the process's pipe.
        closed: whether the end has been told.
        moved: somebody else has written meanwhile; nothing of this piece was taken, and it goes on at `accepted`.
        error: why this piece, and those behind it, are not taken.
    """

    accepted: int = 0
    closed: bool = False
    moved: bool = False
    error: Failure | None = None


def message_id(stream: OutputStream, piece: Chunk | StreamEnd) -> str:
    """Return the id by which the stream on the bus knows a piece that it has already.

    It says where the piece ends, so that what begins there can be stored behind it and behind no other one.
    """
    return f"{piece.session}.{stream}.{piece.offset + len(piece.data) if isinstance(piece, Chunk) else 'end'}"


def headers_of(piece: Chunk | StreamEnd) -> dict[str, str]:
    """Return what stands in a message's headers, but for its id."""
    if isinstance(piece, Chunk):
        return {SESSION: piece.session, OFFSET: str(piece.offset)}
    headers = {SESSION: piece.session, END: "1", BYTES: str(piece.size)}
    for name, value in ((SHA256, piece.sha256), (TRUNCATED, piece.truncated), (STATUS, piece.exit_status)):
        if value is not None:
            headers[name] = str(value)
    return headers | {TIMED_OUT: "1"} if piece.timed_out else headers


def piece_from(headers: Mapping[str, str], data: bytes) -> Chunk | StreamEnd:
    """Return what a message says.

    Raises:
        BadEnvelope: it is none of ours.
    """
    try:
        session = headers[SESSION]
        if END not in headers:
            return Chunk(session=session, offset=_count(headers[OFFSET]), data=data)
        truncated = next((word for word in get_args(Truncation) if word == headers.get(TRUNCATED)), None)
        if truncated is None and TRUNCATED in headers:
            truncated = "lost"  # a later version's word: what counts is that something is missing
        status = headers.get(STATUS)
        return StreamEnd(
            session=session,
            size=_count(headers[BYTES]),
            sha256=headers.get(SHA256),
            truncated=truncated,
            exit_status=None if status is None else _count(status),
            timed_out=TIMED_OUT in headers,
        )
    except (KeyError, ValueError) as error:
        raise BadEnvelope(f"not a piece of output: {error} is missing or wrong", data=data) from error


def input_headers(piece: InputPiece) -> dict[str, str]:
    """Return what stands in the headers of a piece of input."""
    headers = {SESSION: piece.session, OFFSET: str(piece.offset)}
    if piece.writer:
        headers[WRITER] = piece.writer
    if piece.key:
        headers[KEY] = piece.key
    return headers | {END: "1"} if piece.end else headers


def input_from(headers: Mapping[str, str], data: bytes) -> InputPiece:
    """Return what a request with input says.

    Raises:
        BadEnvelope: it is none of ours.
    """
    try:
        return InputPiece(
            session=headers[SESSION],
            offset=_count(headers[OFFSET]),
            data=data,
            end=END in headers,
            writer=headers.get(WRITER, ""),
            key=headers.get(KEY, ""),
        )
    except (KeyError, ValueError) as error:
        raise BadEnvelope(f"not a piece of input: {error} is missing or wrong", data=data) from error


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise ValueError(repr(text))
    return int(text)
