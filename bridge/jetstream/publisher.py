"""What both publishers share: one append at a time, entries as raw frames, and answers on an inbox of our own.

Neither nats-py's `publish` nor its `request` is used. Per message they cost several times what the frame costs, and a
request takes the first answer for the stream's, whoever sent it; here an answer counts only if it names our stream.
An append belongs to one TCP connection: when that is lost, the append has failed, whatever has become of it. With a fence
nothing is written that the node's lease does not cover, see `bridge.jetstream.fence`.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Final, NamedTuple, Protocol

import msgspec
import nats.errors
from msgspec import Struct
from nats.aio.msg import Msg

from bridge.errors import LogConflict, LogError, LogRefused, LogUnavailable
from bridge.jetstream.api import api
from bridge.jetstream.client import Link
from bridge.jetstream.connection import Connection
from bridge.jetstream.errors import NATS_ERRORS, ApiError, Denied, explain, log_error, log_errors
from bridge.jetstream.fence import Fence
from bridge.jetstream.filters import covers
from bridge.jetstream.pace import Pace
from bridge.jetstream.streams import HEADERS, NO_STREAM
from bridge.model.envelope import CONTENT_TYPE
from bridge.model.kinds import decoder
from bridge.ports import Entry

__all__ = ["Append", "Publisher", "Receipt", "Reply", "header"]

log = logging.getLogger(__name__)

_LINE: Final = re.compile(r"[!-~]{1,1024} [!-~]{1,128}")
"""A subject and a message id that can stand in the protocol's lines. A server takes 4,096 bytes of them; ours are short."""


class Reply(Struct):
    """Every form of answer that a publish gets: PubAck, and the three kinds of flow message (ADR-50)."""

    type: str | None = None
    stream: str | None = None
    seq: int = 0
    duplicate: bool = False
    batch: str | None = None
    count: int = 0
    msgs: int = 0
    error: dict[str, Any] | None = None


class Receipt(NamedTuple):
    """What the stream said of an append.

    Attributes:
        sequence: the highest stream sequence that it gave out for it; 0 where all of it was there.
        repeated: how many entries it said to have already. Fast ingest says so only of a batch as a whole.
    """

    sequence: int
    repeated: int


class Guard(Protocol):
    """Tells whether something may be written now."""

    def check(self) -> None:
        """Return if it may; raises a LogError that says why not."""
        ...


class Append:
    """One append under way: what it waits for, and why it failed."""

    def __init__(self, entries: Sequence[Entry], link: Link) -> None:
        self.id = secrets.token_hex(8)
        """Stands in the reply subjects, and so tells its answers from those to an append before."""
        self.entries = entries
        self.link = link
        self.guard: Guard | None = None
        self.sequence = 0
        self.repeated = 0
        """For its `Receipt`."""
        self.failure: LogError | None = None
        self.nobody = False
        """Whether the server said that nobody listens on a subject."""
        self.odd: str | None = None
        """What somebody else answered in the stream's place."""
        self._news = asyncio.Event()

    def fail(self, error: LogError) -> None:
        """End it, unless it has ended; the first failure is the one that tells."""
        if self.failure is None:
            self.failure = error
        self._news.set()

    def advance(self) -> None:
        """Wake up who waits in `news`."""
        self._news.set()

    def check(self) -> None:
        """Raise the failure, if there is one. Before each write: also what the guard has against it."""
        if self.failure is not None:
            raise self.failure
        if self.guard is not None:
            self.guard.check()

    async def news(self, seconds: float) -> bool:
        """Wait for an advance or a failure.

        Returns:
            False if there was neither in this time.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return False
        self._news.clear()
        self.check()
        return True


class Publisher(ABC):
    """Appends entries to a stream; `EventLog.append` is its contract."""

    in_one_order: ClassVar[bool]
    """See `EventLog.in_one_order`."""

    def __init__(
        self, connection: Connection, stream: str, fence: Fence | None = None, *, guard: Guard | None = None
    ) -> None:
        self.connection: Final = connection
        self.stream: Final = stream
        self.fence: Final = fence
        self.guard: Final = guard or fence
        self.inbox: Final = connection.client.new_inbox()
        self._pace = Pace()
        self._largest = 0
        """Bytes of the largest body in the append under way."""
        self._one_at_a_time = asyncio.Lock()
        self._append: Append | None = None

    async def open(self) -> None:
        """Begin to hear answers; nats-py renews that after each reconnect before anything else is sent.

        Raises:
            LogUnavailable: not connected.
        """
        with log_errors(self.stream):
            await self.connection.client.subscribe(f"{self.inbox}.>", cb=self._on_message)
            await self.connection.client.flush()

    async def append(self, entries: Sequence[Entry]) -> Receipt:
        """Store `entries` in their order; see `EventLog.append`."""
        sequence = repeated = 0
        async with self._one_at_a_time:
            self._largest = self._check(entries)
            start = 0
            while start < len(entries):
                portion = entries[start : self._pace.end(entries, start)]
                stored = await self._store_portion(portion)
                start += len(portion)
                sequence, repeated = max(sequence, stored.sequence), repeated + stored.repeated
        return Receipt(sequence, repeated)

    async def _store_portion(self, portion: Sequence[Entry]) -> Append:
        began = time.monotonic()
        try:
            stored = await self._store_fenced(portion)
        except LogError:
            self._pace = Pace()
            raise
        self._pace.carried(portion, time.monotonic() - began)
        return stored

    async def _store_fenced(self, entries: Sequence[Entry]) -> Append:
        try:
            return await self._store(entries)
        except LogConflict:
            if self.fence is None:
                raise
            await self.fence.mend()
            try:
                return await self._store(entries)
            except LogConflict as error:  # not another bridge: a message of an append before may still be under way
                raise LogUnavailable(str(error)) from error

    @abstractmethod
    async def _store(self, entries: Sequence[Entry]) -> Append: ...

    @abstractmethod
    async def _run(self, append: Append) -> None: ...

    @abstractmethod
    def _on_reply(self, append: Append, subject: str, reply: Reply) -> None: ...

    async def _publish(self, append: Append) -> None:
        # The frame around `_run`: sees to it that loss, denial and "no responders" end it.
        link = append.link

        def on_loss(reason: str) -> None:
            append.fail(LogUnavailable(f"stream {self.stream}: the connection to NATS was lost: {reason}"))

        link.watch(on_loss)
        self._append = append
        append.guard = self.guard
        try:
            async with self.connection.denials(lambda denied: self._on_denied(append, denied)):
                append.check()
                await self._run(append)
        except OSError as error:
            raise LogUnavailable(f"stream {self.stream}: {explain(error)}") from error
        except LogUnavailable:
            if append.nobody and link.alive:
                raise await self._who_listens(append) from None
            raise
        finally:
            self._append = None
            link.unwatch(on_loss)

    def _link(self) -> Link:
        try:
            return self.connection.link
        except nats.errors.Error as error:
            raise LogUnavailable(f"stream {self.stream}: {explain(error)}") from error

    def _named(self) -> str:
        return f"stream {self.stream}"

    def _check(self, entries: Sequence[Entry]) -> int:
        # The server hangs up on what is too large or would break a line, so that must not be sent. Returns the largest.
        limit = self.connection.client.max_payload - HEADERS
        largest = 0
        for entry in entries:
            if _LINE.fullmatch(f"{entry.subject} {entry.id}") is None:
                raise LogRefused(
                    f"event {entry.n} cannot be sent: subject {entry.subject[:200]!r} or id {entry.id[:200]!r}"
                )
            largest = max(largest, len(entry.body))
        if largest > limit:
            entry = max(entries, key=lambda entry: len(entry.body))
            raise LogRefused(
                f"event {entry.n} on {entry.subject} has {len(entry.body)} bytes, the server takes {limit}: "
                "raise max_payload in nats-server's configuration",
                "too_large",
            )
        return largest

    async def _on_message(self, message: Msg) -> None:
        append = self._append
        if append is None or not message.subject.startswith(f"{self.inbox}.{append.id}."):
            return
        if message.headers and message.headers.get("Status") == "503":
            append.nobody = True
            append.fail(LogUnavailable(f"stream {self.stream}: nobody listens on the subjects of events", "no_leader"))
            return
        try:
            reply = _decoder.decode(message.data)
        except (msgspec.DecodeError, ValueError):
            self._on_odd(append, message.data)
            return
        self._on_reply(append, message.subject, reply)

    def _on_odd(self, append: Append, answer: bytes | str) -> None:
        # Somebody who listens on the subjects of events, and answers. The stream's own answer still comes.
        if append.odd is None:
            append.odd = str(answer)[:100]
            log.warning("something else than stream %s answers to events: %s", self.stream, append.odd)

    def _on_denied(self, append: Append, denied: Denied) -> None:
        if any(entry.subject.lower() == denied.subject for entry in append.entries):
            append.fail(LogRefused(f"stream {self.stream}: {denied}: permit it in NATS for this login", "denied"))

    def _silence(self, append: Append, seconds: float) -> LogError:
        if append.odd is not None:
            return LogUnavailable(
                f"stream {self.stream} does not acknowledge, and something else answers in its place ({append.odd})",
                "wrong_stream",
            )
        return LogUnavailable(f"stream {self.stream} does not acknowledge within {seconds:g} s")

    async def _who_listens(self, append: Append) -> LogError:
        try:
            info = await api(self.connection, f"STREAM.INFO.{self.stream}")
        except ApiError as error:
            if error.err_code == NO_STREAM:
                return LogRefused(f"{self._named()} is gone: it is made anew unless it comes back", "no_stream")
            return log_error(error, self.stream)
        except NATS_ERRORS as error:
            return LogUnavailable(f"stream {self.stream}: {explain(error)}")
        taken = info["config"].get("subjects") or []
        for entry in append.entries:
            if not any(covers(subject, entry.subject) for subject in taken):
                return LogRefused(
                    f"stream {self.stream} does not take {entry.subject}: add it to the stream's subjects",
                    "wrong_stream",
                )
        return LogUnavailable(f"stream {self.stream} has no leader at present", "no_leader")


def header(message_id: str, fence: str = "") -> str:
    """Return the header block of an event's message, with the lines of the fence."""
    return f"NATS/1.0\r\nNats-Msg-Id: {message_id}\r\n{fence}Content-Type: {CONTENT_TYPE}\r\n\r\n"


_decoder = decoder(Reply)
