"""The log of events in memory: stores bytes, in order, each message id once, and reads them back.

    log = MemoryLog()
    log.fail(LogUnavailable("the server restarts"), after=3)   # the next append stores three entries, and then this

What a real stream does to its users can be done to it: acknowledgements get lost, the duplicate window passes, the server
goes down, the stream goes back to an earlier end. Use it from one event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

from msgspec import Struct

from bridge.errors import BadEnvelope, LogError, LogUnavailable, LogWentBack
from bridge.model.codec import decode
from bridge.model.envelope import Position
from bridge.model.nanos import Nanos, now
from bridge.model.subjects import Subjects
from bridge.ports import Entry, LogEnd, LogExtent, Start, StoredEvent

__all__ = ["MemoryLog", "Message"]

log = logging.getLogger(__name__)


class Message(Struct, frozen=True, kw_only=True):
    """A message as it stands in the log. Its stream sequence is its place, from 1."""

    id: str
    subject: str
    body: bytes
    stored_at: Nanos


class _Cursor:
    """Where a reader is: the sequence that it reads next."""

    def __init__(self, first: int) -> None:
        self.next = first


class MemoryLog:
    """Implements `bridge.ports.EventLog` and `bridge.ports.EventReader`."""

    def __init__(self, subjects: Subjects | None = None, *, in_one_order: bool = True) -> None:
        """Take how it is to be.

        Args:
            subjects: the subjects of the bus; those under `containerd` unless given.
            in_one_order: whether it keeps the order of all entries, as nats-server does from 2.14 on, or only each
                container's own, as the bridge does with older ones.
        """
        self.subjects = subjects or Subjects()
        self.in_one_order = in_one_order
        self.messages: list[Message] = []
        """Everything that is stored, in order."""
        self.appends = 0
        """How often `append` was called."""
        self._ids: set[str] = set()
        self._faults: list[tuple[LogError, int | None]] = []
        self._up = True
        self._looked = self._went_back = False
        self._news = asyncio.Event()
        self._cursors: list[_Cursor] = []

    # -- what can be done to it

    def fail(self, error: LogError, *, after: int | None = 0) -> None:
        """Let the next append store its first `after` entries, or with None all of them, and then raise `error`.

        Several calls are used up one by one.
        """
        self._faults.append((error, after))

    def forget_ids(self) -> None:
        """Let the duplicate window pass: what is stored already is stored again when it is appended again."""
        self._ids.clear()

    def go_back(self, count: int) -> None:
        """Lose the last `count` messages, as a stream can after a power failure; whoever has read its end is told so."""
        self._went_back = self._looked
        for message in self.messages[len(self.messages) - count :]:
            self._ids.discard(message.id)
        del self.messages[len(self.messages) - count :]
        for cursor in self._cursors:
            cursor.next = min(cursor.next, len(self.messages) + 1)

    def put(self, message: Message) -> None:
        """Let a message stand at the end, whether one of its id is there or not."""
        self._ids.add(message.id)
        self.messages.append(message)
        self._tell()

    @contextmanager
    def down(self) -> Iterator[None]:
        """Be down for the length of the block: nothing is stored or read, and readers that follow wait."""
        self._up = False
        try:
            yield
        finally:
            self._up = True
            self._tell()

    # -- EventLog

    async def append(self, entries: Sequence[Entry]) -> int:
        """Store `entries`; see the port."""
        self.appends += 1
        await asyncio.sleep(0)
        self.demand_up()
        if self._went_back:
            self._went_back = False
            raise LogWentBack(f"the log went back: it ends with message {len(self.messages)}")
        repeated = 0
        error, after = self._faults.pop(0) if self._faults else (None, None)
        ordered = entries if self.in_one_order else _by_container(entries)
        for entry in ordered if error is None else ordered[:after]:
            if entry.id not in self._ids:
                self._ids.add(entry.id)
                self.messages.append(Message(id=entry.id, subject=entry.subject, body=entry.body, stored_at=now()))
            else:
                repeated += 1
        self._tell()
        if error is not None:
            raise error
        return repeated

    async def end(self, node: str) -> LogEnd | None:
        """Return the node's own last event; see the port."""
        await asyncio.sleep(0)
        self.demand_up()
        self._looked, self._went_back = True, False
        newest, there = "", dict[int, int]()
        for sequence, message in enumerate(self.messages, 1):
            if not self._is_of(message.subject, node):
                continue
            try:
                placed = decode(message.body).position
                position = None if placed is None else Position.parse(placed)
            except (BadEnvelope, ValueError):
                log.debug("message %d is no event of ours", sequence)
                continue
            if position is None:
                continue
            if position.log != newest:
                newest, there = position.log, {}
            there[position.n] = sequence
        n = 0
        while n + 1 in there:
            n += 1
        return LogEnd(there[n], str(Position(newest, n))) if n else None

    async def keeps(self, moment: Nanos) -> bool:
        """Tell whether it ought to have what was stored at `moment`: always, since nothing expires here."""
        await asyncio.sleep(0)
        self.demand_up()
        return moment >= 0

    async def newest(self, node: str) -> AsyncIterator[StoredEvent]:
        """Iterate over the newest event on each of the node's subjects; see the port."""
        await asyncio.sleep(0)
        self.demand_up()
        newest = {message.subject: sequence for sequence, message in enumerate(self.messages, 1)}
        for subject, sequence in sorted(newest.items(), key=lambda item: item[1]):
            event = self._event(sequence, ()) if self._is_of(subject, node) else None
            if event is not None:
                yield event

    # -- EventReader

    async def read(self, filters: Sequence[str], start: Start, *, follow: bool) -> AsyncIterator[StoredEvent]:
        """Iterate over the events whose subjects match one of `filters`, over all without; see the port."""
        await asyncio.sleep(0)
        self.demand_up()
        last, cursor = len(self.messages), _Cursor(self.first(start))
        self._cursors.append(cursor)
        try:
            while True:
                while self._up and cursor.next <= (len(self.messages) if follow else min(last, len(self.messages))):
                    event = self._event(cursor.next, filters)
                    cursor.next += 1
                    if event is not None:
                        yield event
                if not follow:
                    self.demand_up()
                    return
                await self._news.wait()
        finally:
            self._cursors.remove(cursor)

    async def latest(self, filters: Sequence[str]) -> Sequence[StoredEvent]:
        """Return the last event of each subject that matches; see the port."""
        await asyncio.sleep(0)
        self.demand_up()
        last = {message.subject: sequence for sequence, message in enumerate(self.messages, 1)}
        found = [self._event(sequence, filters) for sequence in sorted(last.values())]
        return [event for event in found if event is not None]

    async def extent(self) -> LogExtent:
        """Return how far the log reaches; see the port. It keeps everything."""
        await asyncio.sleep(0)
        self.demand_up()
        return LogExtent(
            first_sequence=1,
            last_sequence=len(self.messages),
            first_at=self.messages[0].stored_at if self.messages else None,
            last_at=self.messages[-1].stored_at if self.messages else None,
            messages=len(self.messages),
            size=sum(len(message.body) for message in self.messages),
            max_age=0,
            max_bytes=0,
            max_messages=0,
            now=now(),
        )

    # -- inside

    def _is_of(self, subject: str, node: str) -> bool:
        try:
            return self.subjects.parse_event(subject).node == node
        except ValueError:
            return False

    def first(self, start: Start) -> int:
        """Return the sequence at which reading begins there."""
        if start.sequence is not None:
            return max(1, start.sequence)
        if start.time is None:
            return len(self.messages) + 1
        earlier = [message for message in self.messages if message.stored_at < start.time]
        return len(earlier) + 1

    def _event(self, sequence: int, filters: Sequence[str]) -> StoredEvent | None:
        message = self.messages[sequence - 1]
        if filters and not any(_matches(pattern, message.subject) for pattern in filters):
            return None
        try:
            recorded = decode(message.body)
        except BadEnvelope as error:
            log.warning("skipping message %d on %s: %s", sequence, message.subject, error)
            return None
        return StoredEvent(
            stream_sequence=sequence,
            stored_at=message.stored_at,
            subject=message.subject,
            body=message.body,
            recorded=recorded,
        )

    def demand_up(self) -> None:
        """Raise `LogUnavailable` while it is down."""
        if not self._up:
            raise LogUnavailable("the log does not answer: it is down")

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()


def _by_container(entries: Sequence[Entry]) -> Sequence[Entry]:
    containers = {entry.subject.rpartition(".")[0]: n for n, entry in enumerate(reversed(entries))}
    return sorted(entries, key=lambda entry: containers[entry.subject.rpartition(".")[0]])


def _matches(pattern: str, subject: str) -> bool:
    """Tell whether a subject matches a pattern, by the rules of NATS."""
    wanted, tokens = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted.pop()
        if len(tokens) <= len(wanted):
            return False
        tokens = tokens[: len(wanted)]
    return len(wanted) == len(tokens) and all(want in ("*", token) for want, token in zip(wanted, tokens, strict=True))
