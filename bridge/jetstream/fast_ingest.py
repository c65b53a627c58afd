"""Appending on servers from 2.14 on: fast ingest, an ordered and flow-controlled batch (NATS ADR-50).

Every message of a batch carries its number in the reply subject, `<inbox>.<batch>.<flow>.fail.<number>.<operation>.$FI`. The
server stores messages in that order, says every few hundred how far it has come, and with gap mode `fail` stops at the
first one that is missing. So a batch is stored up to some point and not beyond, and appending the same entries again, as
a new batch under the same message ids, goes on exactly there: what is stored is skipped, and counted as if it were new.

One thing the server's last acknowledgement does not say in a cluster: a message that a batch of a moment ago has proposed,
and that is not replicated yet, is skipped as a duplicate too (nats-server 2.15, checkMsgHeadersPreClusteredProposal). After any
doubt the end of an append is therefore read back before it counts. So is one that was skipped as a whole: a stream remembers
the ids of messages that were purged.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Sequence
from typing import Final

from bridge.errors import LogUnavailable
from bridge.jetstream.api import api
from bridge.jetstream.client import Link
from bridge.jetstream.connection import Connection
from bridge.jetstream.errors import ApiError, log_error, log_errors
from bridge.jetstream.fence import Fence
from bridge.jetstream.place import position_in
from bridge.jetstream.publisher import Append, Publisher, Reply, header
from bridge.jetstream.streams import NO_MESSAGE
from bridge.ports import Entry

__all__ = ["FastIngest"]

FLOW: Final = 500
"""Messages between two acknowledgements, at the most; the server gives no more either."""

OUTSTANDING: Final = 2
"""Acknowledgements that may be awaited while we go on: the server works on one part while the next is on its way."""

FLIGHT: Final = 8 * 1024 * 1024
"""Bytes under way without acknowledgement. A stream drops what queues up beyond 128 MiB (nats-server, max_buffered_size)."""

WRITE: Final = 256 * 1024
"""Bytes handed to the socket at once."""

PATIENCE_S: Final = 2.0
"""Silence after which the server is asked where it is: an acknowledgement may have been lost on the way."""

STALL_S: Final = 5.0
"""Time without progress that ends a batch; a server that answers and stores nothing makes none."""

CONFIRM_S: Final = 5.0

START, APPEND, COMMIT, PING = 0, 1, 2, 4


class _Batch(Append):
    """A batch under way."""

    def __init__(self, entries: Sequence[Entry], link: Link, flow: int) -> None:
        super().__init__(entries, link)
        self.flow = flow
        self.sent = 0
        self.acknowledged = 0
        self.per_ack = 0
        """Messages between two acknowledgements now; 0 until the server has greeted."""
        self.stored = False
        self._moved_at = time.monotonic()

    @property
    def idle(self) -> float:
        """Seconds since the server last said that it had come further."""
        return time.monotonic() - self._moved_at

    def acknowledge(self, upto: int, per_ack: int) -> None:
        """Take note of how far the server has come."""
        if upto > self.acknowledged or not self.per_ack:
            self._moved_at = time.monotonic()
        self.acknowledged = max(self.acknowledged, upto)
        self.per_ack = max(1, per_ack)
        self.advance()

    @property
    def room(self) -> int:
        """How many messages may be sent now."""
        return self.acknowledged + self.per_ack * OUTSTANDING - self.sent


class FastIngest(Publisher):
    """Appends in fast batches."""

    in_one_order = True

    def __init__(self, connection: Connection, stream: str, fence: Fence | None = None) -> None:
        super().__init__(connection, stream, fence)
        self._doubt = True  # what a process before us left under way counts as doubt too

    async def _store(self, entries: Sequence[Entry]) -> Append:
        flow = max(1, min(FLOW, FLIGHT // OUTSTANDING // max(1, self._largest)))
        doubt, self._doubt = self._doubt, True
        batch = _Batch(entries, self._link(), flow)
        await self._publish(batch)
        if doubt or batch.repeated:
            await self._confirm(entries[-1])
        self._doubt = False
        return batch

    async def _run(self, append: Append) -> None:
        batch = append
        assert isinstance(batch, _Batch)
        total = len(batch.entries)
        await self._send(batch, 1)
        while not batch.stored:
            if batch.per_ack and batch.sent < total and batch.room > 0:
                await self._send(batch, min(total, batch.sent + batch.room))
            elif not await batch.news(PATIENCE_S):
                if batch.idle > STALL_S:
                    raise self._silence(batch, STALL_S)
                self._ping(batch)

    async def _send(self, batch: _Batch, upto: int) -> None:
        # The hot path: a microsecond or two for each message. One bytes object per write goes to the socket.
        client = self.connection.client
        entries, total = batch.entries, len(batch.entries)
        prefix = f"{self.inbox}.{batch.id}.{batch.flow}.fail."
        first, others = ("", "") if self.fence is None else (self.fence.first, self.fence.others)
        while batch.sent < upto:
            parts: list[bytes] = []
            size = 0
            number = batch.sent
            while number < upto and size < WRITE:
                entry = entries[number]
                number += 1
                operation = COMMIT if number == total else START if number == 1 else APPEND
                head, body = header(entry.id, first if number == 1 else others), entry.body
                length = len(head)
                parts += (
                    f"HPUB {entry.subject} {prefix}{number}.{operation}.$FI {length} {length + len(body)}\r\n{head}".encode(),
                    body,
                    b"\r\n",
                )
                size += length + len(body)
            batch.check()  # no await between this and the write: both are about the same link
            client.send(b"".join(parts))
            client.stats["out_msgs"] += number - batch.sent
            batch.sent = number
            await client.drained()

    def _ping(self, batch: _Batch) -> None:
        # Asks again for the last acknowledgement, which may have been lost on the way. Nothing is stored by it.
        reply = f"{self.inbox}.{batch.id}.{batch.flow}.fail.{batch.sent}.{PING}.$FI"
        batch.check()
        self.connection.client.send(f"PUB {batch.entries[batch.sent - 1].subject} {reply} 0\r\n\r\n".encode())

    def _on_reply(self, append: Append, _subject: str, reply: Reply) -> None:
        assert isinstance(append, _Batch)
        total = len(append.entries)
        match reply:
            case Reply(type="ack"):
                append.acknowledge(reply.seq, reply.msgs)
            case Reply(type="gap"):
                append.fail(LogUnavailable(f"stream {self.stream} missed a message of a batch"))
            case Reply(type="err", error=dict()) | Reply(type=None, stream=self.stream, error=dict()):
                append.fail(log_error(reply.error or {}, self.stream))
            case Reply(type=None, stream=self.stream, batch=append.id):
                if reply.count == total:
                    append.stored = True
                    # A batch that is skipped as a whole has no number; a lone message has that of the first time.
                    append.sequence = 0 if reply.duplicate else reply.seq
                    append.repeated = 0 if append.sequence else total
                    append.advance()
                else:
                    append.fail(LogUnavailable(f"stream {self.stream} ended a batch after {reply.count} of {total}"))
            case _:
                self._on_odd(append, f"{reply.stream or reply.type} {reply.seq}")

    async def _confirm(self, entry: Entry) -> None:
        deadline = asyncio.get_running_loop().time() + CONFIRM_S
        while not await self._has(entry):
            if asyncio.get_running_loop().time() > deadline:
                raise LogUnavailable(f"stream {self.stream} acknowledged event {entry.n}, and does not have it")
            await asyncio.sleep(0.05)

    async def _has(self, entry: Entry) -> bool:
        # The last message on its subject is this event, or a later one of the same log.
        with log_errors(self.stream):
            try:
                found = await api(self.connection, f"STREAM.MSG.GET.{self.stream}", {"last_by_subj": entry.subject})
            except ApiError as error:
                if error.err_code == NO_MESSAGE:
                    return False
                raise
        body = base64.b64decode(found["message"].get("data") or "")
        if body == entry.body:
            return True
        there, ours = position_in(body), position_in(entry.body)
        return there is not None and ours is not None and there.log == ours.log and there.n >= ours.n
