"""The event log on JetStream: the publisher that this server can take, and where the log of a node ends."""

from __future__ import annotations

import base64
import logging
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from bridge.errors import ConfigError, LogRefused
from bridge.jetstream.api import api
from bridge.jetstream.connection import Connection
from bridge.jetstream.errors import ApiError, log_errors
from bridge.jetstream.fast_ingest import FastIngest
from bridge.jetstream.lanes import Lanes
from bridge.jetstream.publisher import Publisher
from bridge.jetstream.streams import NO_MESSAGE, stream_name
from bridge.model.envelope import Position
from bridge.model.subjects import Subjects, quote
from bridge.ports import Entry, EventLog, LogEnd

__all__ = ["JetStreamLog", "open_log"]

log = logging.getLogger(__name__)


class _Envelope(Struct):
    """The part of an event that says where it stands in its node's log."""

    position: str


class JetStreamLog:
    """The stream of events as an `EventLog`. Made by `open_log`."""

    def __init__(self, connection: Connection, subjects: Subjects, publisher: Publisher) -> None:
        self._connection = connection
        self._subjects = subjects
        self._publisher: Final = publisher

    async def append(self, entries: Sequence[Entry]) -> None:
        """Store `entries` in their order; see `EventLog.append`.

        Raises:
            LogUnavailable: unknown whether stored; append the same entries again.
            LogRefused: the log answered and refuses; the sentence says why.
        """
        await self._publisher.append(entries)

    async def end(self, node: str) -> LogEnd | None:
        """Return the node's own last event in the log, None where there is none.

        Raises:
            LogUnavailable: the log does not answer.
            LogRefused: there is no such stream, or reading it is not permitted.
        """
        root, name = self._subjects.root, quote(node)
        ends = [await self._last(f"{root}.{plane}.{name}.>") for plane in ("events", "nodes")]
        return max((end for end in ends if end is not None), default=None)

    async def _last(self, pattern: str) -> LogEnd | None:
        stream = self._publisher.stream
        with log_errors(stream):
            try:
                found = await api(self._connection, f"STREAM.MSG.GET.{stream}", {"last_by_subj": pattern})
            except ApiError as error:
                if error.err_code == NO_MESSAGE:
                    return None
                raise
        message: dict[str, Any] = found["message"]
        sequence = int(message["seq"])
        try:
            position = _envelope.decode(base64.b64decode(message.get("data") or "")).position
            Position.parse(position)
        except (msgspec.DecodeError, ValueError) as error:
            # Not by us. Events repeated from before it are still recognised by their ids, inside the duplicate window.
            log.warning("message %d on %s is no event of ours: %s", sequence, message.get("subject"), error)
            return None
        return LogEnd(sequence, position)


async def open_log(connection: Connection, subjects: Subjects) -> EventLog:
    """Return the log on the stream of events, with the best publisher that server and stream can take.

    The stream must exist, see `ensure_events`. The log lasts as long as the connection.

    Raises:
        ConfigError: there is no such stream, or it may not be used.
        LogUnavailable: JetStream does not answer.
    """
    stream = stream_name(subjects)
    try:
        with log_errors(stream):
            config = (await api(connection, f"STREAM.INFO.{stream}"))["config"]
    except LogRefused as error:
        raise ConfigError(str(error)) from error
    version = ".".join(map(str, connection.server_version))
    publisher: Publisher
    if config.get("allow_batched"):
        publisher = FastIngest(connection, stream)
        log.info("appending to stream %s in fast batches (nats-server %s)", stream, version)
    else:
        publisher = Lanes(connection, stream)
        log.info(
            "appending to stream %s with one message in flight per container: nats-server %s has no fast ingest, 2.14 has",
            stream,
            version,
        )
    try:
        await publisher.open()
    except LogRefused as error:
        raise ConfigError(str(error)) from error
    return JetStreamLog(connection, subjects, publisher)


_envelope = msgspec.json.Decoder(_Envelope)
