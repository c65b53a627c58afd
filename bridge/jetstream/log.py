"""The event log on JetStream: the publisher that this server can take, where the log of a node ends, and whether it went back.

A stream can lose what it has acknowledged: its server is restored from an older copy or loses power, somebody purges or deletes
it. An append that follows would be stored as if nothing had happened. So after each new connection, and every now and then, the
stream is asked what it is before anything is appended, and every acknowledgement has to have a higher number than the last.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from bridge.errors import ConfigError, LogConflict, LogRefused, LogWentBack
from bridge.jetstream.api import api
from bridge.jetstream.client import Link
from bridge.jetstream.connection import Connection
from bridge.jetstream.errors import ApiError, log_errors
from bridge.jetstream.fast_ingest import FastIngest
from bridge.jetstream.fence import Fence
from bridge.jetstream.lanes import Lanes
from bridge.jetstream.lease import JetStreamLease
from bridge.jetstream.newest import newest
from bridge.jetstream.publisher import Publisher
from bridge.jetstream.streams import AS_USUAL, NO_STREAM, Making, ensure_events, stream_name
from bridge.jetstream.tail import unbroken_end
from bridge.model.nanos import Nanos, now, parse_rfc3339
from bridge.model.subjects import Subjects
from bridge.ports import Entry, EventLog, LogEnd, StoredEvent

__all__ = ["JetStreamLog", "open_log"]

log = logging.getLogger(__name__)

LOOK_S: Final = 20.0
"""How often the stream is asked what it is, on one connection: a purge shows in nothing else."""

GONE_S: Final = 2.0
"""A stream has to be missing for so long before it is made anew: a cluster that starts may not know of it yet."""


class _Seen(NamedTuple):
    """The stream when it was looked at last."""

    created: str
    link: Link
    at: float
    last: int = 0
    """Highest stream sequence of an event of ours then."""


class JetStreamLog:
    """The stream of events as an `EventLog`. Made by `open_log`."""

    def __init__(
        self, connection: Connection, subjects: Subjects, publisher: Publisher, making: Making, seen: _Seen
    ) -> None:
        self._connection = connection
        self._subjects = subjects
        self._publisher: Final = publisher
        self._making = making
        self._seen: _Seen | None = seen
        self._last = 0
        """Highest stream sequence of an event of ours that is known to be stored."""
        self._seen_at = now()
        self._gone_since: float | None = None
        self._purged = False
        """Whether events before the first one are known to be missing; until what is missing has been appended again."""

    @property
    def in_one_order(self) -> bool:
        """Whether entries of different containers are stored in the order given too; see `EventLog`."""
        return self._publisher.in_one_order

    async def append(self, entries: Sequence[Entry]) -> int:
        """Store `entries` in their order; see `EventLog.append`.

        Raises:
            LogUnavailable: unknown whether stored; append the same entries again.
            LogRefused: the log answered and refuses; the sentence says why.
            LogConflict: the lease is somebody else's now.
            LogWentBack: it lacks what it has acknowledged.
        """
        if not entries:
            return 0
        await self._look()
        receipt = await self._publisher.append(entries)
        if receipt.sequence:
            if receipt.sequence <= self._last:
                raise self._went_back(f"number {receipt.sequence} was given out after {self._last}")
            self._last = receipt.sequence
        self._purged = False
        return receipt.repeated

    async def end(self, node: str) -> LogEnd | None:
        """Return the node's own last event in the log up to which nothing is missing; see `EventLog.end`.

        Raises:
            LogUnavailable: the log does not answer.
            LogRefused: it may not be read, is gone and cannot be made, or is not strong enough any more.
        """
        with log_errors(self._publisher.stream):
            link = self._connection.link
        info = await self._there()
        found = await unbroken_end(self._connection, self._subjects, self._publisher.stream, node)
        self._last = 0 if found is None else found.stream_sequence
        self._seen, self._seen_at = _Seen(str(info.get("created")), link, time.monotonic(), self._last), now()
        return None if self._purged else found

    async def keeps(self, moment: Nanos) -> bool:
        """Tell whether the log ought to have what was stored at `moment`; see `EventLog.keeps`.

        Raises:
            LogUnavailable: the log does not answer.
            LogRefused: there is no such log, or it may not be read.
        """
        return _keeps(await self._info(), moment)

    def newest(self, node: str) -> AsyncIterator[StoredEvent]:
        """Iterate over the newest event on each of the node's subjects; see `EventLog.newest`."""
        return newest(self._connection, self._subjects, self._publisher.stream, node)

    # -- inside

    async def _look(self) -> None:
        """See whether the stream is the one that it was.

        Raises:
            LogWentBack: it is not.
        """
        seen = self._seen
        with log_errors(self._publisher.stream):
            link = self._connection.link
        if seen is not None and seen.link is link and time.monotonic() - seen.at < LOOK_S:
            return
        info = await self._info()
        created, first, last = str(info.get("created")), int(info["state"]["first_seq"]), int(info["state"]["last_seq"])
        if seen is not None and created != seen.created:
            raise self._went_back(f"it was made anew at {created}")
        if last < self._last:
            raise self._went_back(f"it ends with message {last}, and had acknowledged {self._last}")
        if seen is not None and first > seen.last > 0 and _keeps(info, self._seen_at):
            self._purged = True
            raise self._went_back(f"it begins with message {first}: what we had there was purged")
        self._seen, self._seen_at = _Seen(created, link, time.monotonic(), self._last), now()

    def _went_back(self, how: str) -> LogWentBack:
        self._seen, self._last = None, 0
        return LogWentBack(f"stream {self._publisher.stream} went back: {how}")

    async def _info(self) -> dict[str, Any]:
        with log_errors(self._publisher.stream):
            return await api(self._connection, f"STREAM.INFO.{self._publisher.stream}")

    async def _there(self) -> dict[str, Any]:
        """Make sure that the stream exists and is strong enough; return what it is."""
        stream = self._publisher.stream
        try:
            with log_errors(stream):
                await api(self._connection, f"STREAM.INFO.{stream}")
        except LogRefused as error:
            if not (isinstance(error.__cause__, ApiError) and error.__cause__.err_code == NO_STREAM):
                raise
            since = self._gone_since = self._gone_since or time.monotonic()
            if time.monotonic() - since < GONE_S:
                raise LogRefused(
                    f"stream {stream} is gone: it is made anew unless it comes back", "no_stream"
                ) from error
            log.warning("stream %s is gone, with all that was in it: making it anew", stream)
        try:
            await ensure_events(self._connection, self._subjects, self._making)
        except ConfigError as error:
            raise LogRefused(str(error)) from error
        self._gone_since = None
        return await self._info()


def _keeps(info: Mapping[str, Any], moment: Nanos) -> bool:
    config, state = info["config"], info["state"]
    max_age = int(config.get("max_age") or 0)
    if max_age and now() - moment >= max_age:
        return False
    limited = any(int(config.get(limit) or -1) > 0 for limit in ("max_bytes", "max_msgs"))
    if config.get("discard") == "new" or not limited or not state["messages"] or int(state["first_seq"]) <= 1:
        return True
    # The oldest go first: where something older than `moment` is, what came then is too.
    return parse_rfc3339(str(state["first_ts"])) <= moment


async def open_log(
    connection: Connection, subjects: Subjects, lease: JetStreamLease | None = None, making: Making = AS_USUAL
) -> EventLog:
    """Return the log on the stream of events, with the best publisher that server and stream can take.

    The stream must exist, see `ensure_events`. The log lasts as long as the connection. With a lease, which has to be held, it
    appends only as long as that is: else it is `LogUnavailable`, or `LogConflict` once somebody else has it. See
    `bridge.jetstream.fence` for what is left to chance.

    Args:
        connection: where.
        subjects: what the stream's name and subjects come from.
        lease: the node's lease, None to append without one.
        making: how the stream is made, should it have to be made anew.

    Raises:
        ConfigError: there is no such stream, it may not be used, or somebody else has taken the lease meanwhile.
        LogUnavailable: JetStream does not answer.
    """
    stream = stream_name(subjects)
    try:
        with log_errors(stream):
            link = connection.link
            info = await api(connection, f"STREAM.INFO.{stream}")
    except LogRefused as error:
        raise ConfigError(str(error)) from error
    version = ".".join(map(str, connection.server_version))
    fence = None if lease is None else Fence(connection, subjects, stream, lease)
    publisher: Publisher
    if info["config"].get("allow_batched"):
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
    seen = _Seen(str(info.get("created")), link, time.monotonic())
    return JetStreamLog(connection, subjects, publisher, making, seen)
