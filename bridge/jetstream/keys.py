"""One key of a bucket, read and written with the revision that was read (ADR-8).

Reading asks the stream's leader and not a replica, so that what was written before is seen. nats-py's own KV does neither:
it takes an expired key's mark for a value and cannot create what was deleted.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct

from bridge.errors import LogRefused, LogUnavailable
from bridge.jetstream.api import api
from bridge.jetstream.buckets import bucket_stream, key_subject
from bridge.jetstream.connection import REQUEST_S, Connection
from bridge.jetstream.errors import CONFLICT, ApiError, log_error, log_errors
from bridge.jetstream.streams import NO_MESSAGE, NO_STREAM
from bridge.model.kinds import decoder
from bridge.model.nanos import Nanos, parse_rfc3339

__all__ = ["EXPECTED", "Key", "REMOVED", "Standing", "WrongRevision", "is_mark", "keys_in"]

OPERATION: Final = "KV-Operation"
REMOVED: Final = {OPERATION: "DEL"}
"""Headers of the mark that stands where a key was taken away."""

EXPECTED: Final = "Nats-Expected-Last-Subject-Sequence"

NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


class WrongRevision(Exception):
    """Something else stands there than was expected, or somebody is writing there right now."""


class Standing(NamedTuple):
    """What stands under a key. `value` is None for the mark of one that was taken away."""

    value: bytes | None
    revision: int
    stored_at: Nanos


class _Ack(Struct):
    """What a publish is answered with."""

    stream: str | None = None
    seq: int = 0
    error: dict[str, Any] | None = None


class Key:
    """One key of a bucket."""

    def __init__(self, connection: Connection, bucket: str, key: str) -> None:
        self._connection = connection
        self._stream = bucket_stream(bucket)
        self._bucket = bucket
        self._subject = key_subject(bucket, key)

    async def get(self) -> Standing | None:
        """Return what stands there, None where nothing ever did.

        Raises:
            LogUnavailable: the bucket does not answer.
            LogRefused: there is no such bucket, or it may not be read.
        """
        try:
            with log_errors(self._stream):
                found = await api(self._connection, f"STREAM.MSG.GET.{self._stream}", {"last_by_subj": self._subject})
        except LogRefused as error:
            if isinstance(error.__cause__, ApiError) and error.__cause__.err_code == NO_MESSAGE:
                return None
            raise self._missing(error) from error
        message = found["message"]
        headers = base64.b64decode(message.get("hdrs") or "").decode("utf-8", "replace")
        mark = any(is_mark(*map(str.strip, line.partition(":")[::2])) for line in headers.splitlines())
        value = None if mark else base64.b64decode(message.get("data") or "")
        return Standing(value, int(message["seq"]), parse_rfc3339(message["time"]))

    async def put(
        self, value: bytes, *, expected: int, timeout: float = REQUEST_S, headers: Mapping[str, str] = NO_HEADERS
    ) -> int:
        """Write a value if the key stands at revision `expected`, 0 for never written; return the new revision.

        Raises:
            WrongRevision: it does not.
            LogUnavailable: it is open whether it was written.
            LogRefused: there is no such bucket, or it may not be written.
        """
        return await self._publish(value, headers, expected, timeout)

    async def remove(self, *, expected: int, timeout: float = REQUEST_S) -> int:
        """Take the key away if it stands at revision `expected`; raises as `put` does."""
        return await self._publish(b"", REMOVED, expected, timeout)

    async def age(self, standing: Standing) -> float | None:
        """Return the seconds since it was written, by the server's clock; None where the server does not tell the time.

        Servers tell it from 2.10 on. A leader that follows another one may go by a clock of its own.
        """
        with log_errors(self._stream):
            info = await api(self._connection, f"STREAM.INFO.{self._stream}")
        return (parse_rfc3339(info["ts"]) - standing.stored_at) / 1e9 if info.get("ts") else None

    async def _publish(self, value: bytes, headers: Mapping[str, str], expected: int, timeout: float) -> int:
        # No message id: two writes with the same expectation cannot both be taken, whatever becomes of their answers.
        with log_errors(self._stream):
            answer = await self._connection.request(
                self._connection.written + self._subject,
                value,
                timeout=timeout,
                headers={**headers, EXPECTED: str(expected)},
            )
        try:
            reply = _acks.decode(answer.data)
        except (msgspec.DecodeError, ValueError):
            reply = _Ack()
        if reply.stream != self._stream:
            raise LogUnavailable(f"bucket {self._bucket}: something else answers on {self._subject}")
        if reply.error:
            if reply.error.get("err_code") in CONFLICT:
                raise WrongRevision
            raise log_error(reply.error, self._stream)
        return reply.seq

    def _missing(self, error: LogRefused) -> LogRefused:
        if isinstance(error.__cause__, ApiError) and error.__cause__.err_code == NO_STREAM:
            return LogRefused(f"bucket {self._bucket} is gone: start the bridge again, and it makes a new one")
        return error


async def keys_in(connection: Connection, bucket: str, pattern: str = ">") -> set[str]:
    """Return the keys that match, marks of those that were taken away included.

    The server reads them off at one moment. What a consumer lists while they are written again lacks now and then a key: its
    old message is gone when its turn comes, and what the server says of those that wait is wrong (2.9 to 2.15).

    Raises:
        ApiError: there is no such bucket.
        nats.errors.Error: no answer.
    """
    found: set[str] = set()
    request: dict[str, Any] = {"subjects_filter": key_subject(bucket, pattern)}
    prefix = len(key_subject(bucket, ""))
    while True:
        info = await api(connection, f"STREAM.INFO.{bucket_stream(bucket)}", {**request, "offset": len(found)})
        page = info["state"].get("subjects") or {}
        found.update(subject[prefix:] for subject in page)
        if not page or len(found) >= int(info.get("total") or 0):
            return found


def is_mark(header: str, value: str) -> bool:
    """Tell whether this header says that the key was taken away, or has expired."""
    return (header == OPERATION and value in {"DEL", "PURGE"}) or header == "Nats-Marker-Reason"


_acks = decoder(_Ack)
