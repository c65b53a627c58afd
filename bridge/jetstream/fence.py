"""The fence: the stream itself refuses what a bridge appends that is not the node's any more.

A lease alone is a matter of clocks: a bridge that is suspended in the middle of a write, or whose bytes wait in a network
that hangs, stores them when it is let go, however much later. So whoever takes the lease writes a `NodeLease` event on one
subject of the node, and every append says which sequence it expects to be the last on that subject
(`Nats-Expected-Last-Subject-Sequence-Subject`). Once another bridge has written there, the server takes nothing from the
one before. Seen on nats-server 2.11, 2.12 and 2.15:

- On a stream of one replica every message is fenced. Nothing of the former bridge is stored behind the new one's lease.
- On a replicated stream only one message with such an expectation may be under way; others are refused (error 10164). There a
  batch is fenced at its first message. One that was open when the lease changed hands can still go on, with bytes that were on
  their way or with what a bridge writes that was suspended just then; the server forgets it after ten seconds of silence, and the
  bridge looks at its lease before every write to the socket. One message at a time for each container (servers before
  2.14) is not fenced on a replicated stream.
- Servers before 2.11 do not know the header: the lease's time alone decides.

A refusal need not mean another bridge: the event has expired with the stream's `max_age`, or the stream went back. So a
refused append renews the lease, which tells whose it is, puts the fence up again, and is tried once more.
"""

from __future__ import annotations

import base64
import logging
from typing import Any, Final, NamedTuple

import msgspec

from bridge.errors import BadEnvelope, LogConflict, LogUnavailable
from bridge.jetstream.api import api
from bridge.jetstream.connection import Connection
from bridge.jetstream.errors import CONFLICT, ApiError, log_errors
from bridge.jetstream.keys import EXPECTED
from bridge.jetstream.lease import JetStreamLease
from bridge.jetstream.streams import NO_MESSAGE
from bridge.model.codec import decode, encode
from bridge.model.envelope import CONTENT_TYPE, Event, Recorded, format_source
from bridge.model.identity import new_ulid
from bridge.model.nanos import now
from bridge.model.node_events import NodeLease
from bridge.model.schema import dataschema_of
from bridge.model.subjects import Subjects

__all__ = ["Fence"]

log = logging.getLogger(__name__)

SINCE: Final = (2, 11, 0)
"""First server version that knows the header."""

_SUBJECT: Final = "Nats-Expected-Last-Subject-Sequence-Subject"


class _Last(NamedTuple):
    """The last message on the fence's subject; sequence 0 where there is none."""

    sequence: int
    lease: NodeLease | None


class Fence:
    """The fence of one holder of the lease. A publisher asks it before each write, for each header, and at each refusal."""

    def __init__(self, connection: Connection, subjects: Subjects, stream: str, lease: JetStreamLease) -> None:
        self._connection = connection
        self._stream = stream
        self._lease = lease
        self._node = lease.record.node
        self._subject = subjects.node(self._node, NodeLease.word)
        self._known = connection.server_version >= SINCE
        self._sequence = 0
        self.first = ""
        """Lines for the header of an append's first message."""
        self.others = ""
        """Lines for the header of the others; empty where only one fenced message may be under way."""

    async def open(self) -> None:
        """Put it up: from now on the stream takes nothing from whoever held the lease before.

        Raises:
            LogConflict: somebody else has the lease.
            LogUnavailable: the stream does not answer.
            LogRefused: it may not be written or read.
        """
        with log_errors(self._stream):
            info = await api(self._connection, f"STREAM.INFO.{self._stream}")
        for _ in range(3):
            last = await self._last()
            if last.lease is not None and last.lease.holder == self._lease.record.holder:
                self._sequence = last.sequence
                break
            if self._sequence and last.sequence > self._sequence:
                raise LogConflict(f"node {self._node} has had another bridge meanwhile{_named(last.lease)}")
            # In this order: if the lease passes on behind the check, what the next one wrote makes ours be refused.
            self.check()
            if await self._publish(last.sequence):
                break
        else:
            raise LogUnavailable(f"stream {self._stream}: others write to {self._subject} all the time")
        if self._known:
            self.first = f"{EXPECTED}: {self._sequence}\r\n{_SUBJECT}: {self._subject}\r\n"
            self.others = self.first if info["config"].get("num_replicas", 1) == 1 else ""

    def check(self) -> None:
        """Return if we may write to the stream now.

        Raises:
            LogConflict: never again.
            LogUnavailable: not until the lease is renewed.
        """
        self._lease.check()

    async def mend(self) -> None:
        """See to a refused append: return when the same entries may be appended again.

        Raises:
            LogConflict: the lease is somebody else's; the sentence names who.
            LogUnavailable: nobody answers.
            LogRefused: the stream may not be written or read.
        """
        await self._lease.renew()
        before = self._sequence
        await self.open()
        if self._sequence != before:
            log.warning("the lease event of node %s was gone from stream %s: written again", self._node, self._stream)

    # -- inside

    async def _last(self) -> _Last:
        with log_errors(self._stream):
            try:
                found = await api(self._connection, f"STREAM.MSG.GET.{self._stream}", {"last_by_subj": self._subject})
            except ApiError as error:
                if error.err_code == NO_MESSAGE:
                    return _Last(0, None)
                raise
        message = found["message"]
        try:
            event = decode(base64.b64decode(message.get("data") or "")).data
        except BadEnvelope:
            event = None
        return _Last(int(message["seq"]), event if isinstance(event, NodeLease) else None)

    async def _publish(self, expected: int) -> bool:
        # False if another message came between.
        event = self._event()
        headers = {"Nats-Msg-Id": event.id, "Content-Type": CONTENT_TYPE, EXPECTED: str(expected)}
        with log_errors(self._stream):
            answer = await self._connection.request(self._subject, encode(event), headers=headers)
            try:
                reply: dict[str, Any] = msgspec.json.decode(answer.data, type=dict[str, Any])
            except msgspec.DecodeError:
                reply = {}
            if reply.get("stream") != self._stream:
                raise LogUnavailable(f"stream {self._stream}: something else answers on {self._subject}")
            if reply.get("error"):
                if reply["error"].get("err_code") in CONFLICT:
                    return False
                raise ApiError(reply["error"])
        self._sequence = int(reply["seq"])
        return True

    def _event(self) -> Recorded[Event]:
        holder, moment = self._lease.record, now()
        before = self._lease.before
        return Recorded(
            specversion="1.0",
            datacontenttype="application/json",
            id=new_ulid(),
            type=NodeLease.type,
            source=format_source(self._node, None),
            time=holder.since,
            recordedtime=moment,
            origin="live",
            dataschema=dataschema_of(NodeLease),
            data=NodeLease(
                holder=holder.holder,
                log=holder.log,
                version=holder.version,
                pid=holder.pid,
                boot_id=holder.boot_id,
                before=None if before is None else before.holder,
            ),
        )


def _named(lease: NodeLease | None) -> str:
    return "" if lease is None else f", containerd-bridge {lease.version} (pid {lease.pid})"
