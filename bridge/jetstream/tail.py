"""Where a node's log ends: the last event up to which nothing is missing.

That need not be the last message. A publisher that has a message in flight for each of many containers, and is killed, leaves
later events of one container behind earlier ones of another that never came. Who resumed behind the last message would
never send those. So the end of the stream is read, and the positions in it are counted up to the first that is missing.

How much has to be read: an append begins where everything before is stored, and has `BATCH` entries at the most; so the first
missing event is among the last `BATCH` positions. The last `2 * BATCH` messages hold all of those; lease events, which have no
position, are read past and not counted. Where they do not reach
back to the log's beginning, their first `BATCH` positions may be incomplete, since other events of those appends stand before
them; they are taken for stored.
"""

from __future__ import annotations

import logging
from contextlib import aclosing
from typing import Final, NamedTuple

from bridge.jetstream.api import api
from bridge.jetstream.connection import Connection
from bridge.jetstream.consumer import Consumer
from bridge.jetstream.errors import log_errors
from bridge.jetstream.pace import BATCH, LEAST, Pace
from bridge.jetstream.place import position_in
from bridge.jetstream.stored import each_of
from bridge.model.envelope import Position
from bridge.model.node_events import NodeLease
from bridge.model.subjects import Subjects, quote
from bridge.ports import LogEnd

__all__ = ["unbroken_end"]

log = logging.getLogger(__name__)

TAIL: Final = 2 * BATCH


class _Placed(NamedTuple):
    """A message of the stream that is an event of the node's."""

    stream_sequence: int
    position: Position


async def unbroken_end(connection: Connection, subjects: Subjects, stream: str, node: str) -> LogEnd | None:
    """Return the last event of the node's newest log up to which nothing is missing, None where there is none.

    Raises:
        LogUnavailable: the stream does not answer.
        LogRefused: there is no such stream, or it may not be read.
    """
    with log_errors(stream):
        state = (await api(connection, f"STREAM.INFO.{stream}"))["state"]
        first, last = int(state["first_seq"]), int(state["last_seq"])
        placed: list[_Placed] = []
        floors: list[_Placed] = []
        begun = first <= 1
        leases = subjects.node(node, NodeLease.word)
        for plane in ("events", "nodes"):
            pattern = f"{subjects.root}.{plane}.{quote(node)}.>"
            uncounted = await _count_of(connection, stream, leases) if plane == "nodes" else 0
            start = await _start(connection, stream, pattern, last, TAIL + uncounted)
            found = await _read(connection, stream, pattern, start, last)
            placed += found
            if start > 1:
                begun = False
                floors += found[:1]
    # Before the later one of the two beginnings only one of the planes is known: nothing can be counted there.
    floor = max((first.stream_sequence for first in floors), default=0)
    placed = [one for one in placed if one.stream_sequence >= floor]
    return _count(placed, begun=begun, incomplete=BATCH if floors else 0)


def _count(placed: list[_Placed], *, begun: bool, incomplete: int) -> LogEnd | None:
    """Count the positions up.

    Args:
        placed: the node's last messages.
        begun: whether they are all that there ever were.
        incomplete: how many of the first positions may lack some that are stored before these messages.
    """
    if not placed:
        return None
    newest = max(placed).position.log
    ours = {one.position.n: one.stream_sequence for one in placed if one.position.log == newest}
    # The log's first event must be among them if the stream, or an older log, begins before them.
    from_the_first = begun or len(ours) < len(placed)
    n = 0 if from_the_first else min(ours) + incomplete - 1
    while n + 1 in ours:
        n += 1
    return LogEnd(ours[n], str(Position(newest, n))) if n in ours else None


async def _count_of(connection: Connection, stream: str, subject: str) -> int:
    info = await api(connection, f"STREAM.INFO.{stream}", {"subjects_filter": subject})
    return int((info["state"].get("subjects") or {}).get(subject) or 0)


async def _start(connection: Connection, stream: str, pattern: str, last: int, wanted: int) -> int:
    # A consumer says how many messages wait for it: step back until there are enough.
    back = wanted
    while back < last:
        start = last + 1 - back
        consumer = Consumer(connection, stream, connection.link)
        try:
            if await consumer.open(_behind(pattern, start)) >= wanted:
                return start
        finally:
            await consumer.close()
        back *= 4
    return 1


async def _read(connection: Connection, stream: str, pattern: str, start: int, last: int) -> list[_Placed]:
    found: list[_Placed] = []
    async with aclosing(each_of(connection, stream, pattern, after=start - 1, pace=lambda: Pace(LEAST))) as messages:
        async for message, place in messages:
            if place.stream_sequence > last:
                break
            position = position_in(message.data)
            if position is not None:
                found.append(_Placed(place.stream_sequence, position))
            elif not message.subject.endswith(f".{NodeLease.word}"):
                log.warning("message %d on %s is no event of ours", place.stream_sequence, message.subject)
    return found


def _behind(pattern: str, sequence: int) -> dict[str, object]:
    return {"deliver_policy": "by_start_sequence", "opt_start_seq": sequence, "filter_subject": pattern}
