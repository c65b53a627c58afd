"""The event log on JetStream: the publisher that this server can take, and where the log of a node ends."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from bridge.errors import ConfigError, LogConflict, LogRefused
from bridge.jetstream.api import api
from bridge.jetstream.connection import Connection
from bridge.jetstream.errors import log_errors
from bridge.jetstream.fast_ingest import FastIngest
from bridge.jetstream.fence import Fence
from bridge.jetstream.lanes import Lanes
from bridge.jetstream.lease import JetStreamLease
from bridge.jetstream.publisher import Publisher
from bridge.jetstream.streams import stream_name
from bridge.jetstream.tail import unbroken_end
from bridge.model.subjects import Subjects
from bridge.ports import Entry, EventLog, LogEnd

__all__ = ["JetStreamLog", "open_log"]

log = logging.getLogger(__name__)


class JetStreamLog:
    """The stream of events as an `EventLog`. Made by `open_log`."""

    def __init__(self, connection: Connection, subjects: Subjects, publisher: Publisher) -> None:
        self._connection = connection
        self._subjects = subjects
        self._publisher: Final = publisher

    @property
    def in_one_order(self) -> bool:
        """Whether entries of different containers are stored in the order given too; see `EventLog`."""
        return self._publisher.in_one_order

    async def append(self, entries: Sequence[Entry]) -> None:
        """Store `entries` in their order; see `EventLog.append`.

        Raises:
            LogUnavailable: unknown whether stored; append the same entries again.
            LogRefused: the log answered and refuses; the sentence says why.
            LogConflict: the lease is somebody else's now.
        """
        await self._publisher.append(entries)

    async def end(self, node: str) -> LogEnd | None:
        """Return the node's own last event in the log up to which nothing is missing, None where there is none.

        Raises:
            LogUnavailable: the log does not answer.
            LogRefused: there is no such stream, or reading it is not permitted.
        """
        return await unbroken_end(self._connection, self._subjects, self._publisher.stream, node)


async def open_log(connection: Connection, subjects: Subjects, lease: JetStreamLease | None = None) -> EventLog:
    """Return the log on the stream of events, with the best publisher that server and stream can take.

    The stream must exist, see `ensure_events`. The log lasts as long as the connection. With a lease, which has to be held, it
    appends only as long as that is: else it is `LogUnavailable`, or `LogConflict` once somebody else has it. See
    `bridge.jetstream.fence` for what is left to chance.

    Raises:
        ConfigError: there is no such stream, it may not be used, or somebody else has taken the lease meanwhile.
        LogUnavailable: JetStream does not answer.
    """
    stream = stream_name(subjects)
    try:
        with log_errors(stream):
            config = (await api(connection, f"STREAM.INFO.{stream}"))["config"]
    except LogRefused as error:
        raise ConfigError(str(error)) from error
    version = ".".join(map(str, connection.server_version))
    fence = None if lease is None else Fence(connection, subjects, stream, lease)
    publisher: Publisher
    if config.get("allow_batched"):
        publisher = FastIngest(connection, stream, fence)
        log.info("appending to stream %s in fast batches (nats-server %s)", stream, version)
    else:
        publisher = Lanes(connection, stream, fence)
        log.info(
            "appending to stream %s with one message in flight per container: nats-server %s has no fast ingest, 2.14 has",
            stream,
            version,
        )
    try:
        await publisher.open()
        if fence is not None:
            await fence.open()
    except (LogRefused, LogConflict) as error:
        raise ConfigError(str(error)) from error
    return JetStreamLog(connection, subjects, publisher)
