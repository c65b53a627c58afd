"""Appending on servers before 2.14: one message in flight for each container, many containers side by side.

A lane is a container: everything of a subject but its last token. Its next event is sent when the one before is
acknowledged, so neither a lost message nor a repeated one can overtake another; that is what pipelined publishing with
retries does not give. At the first doubt in any lane all of them stop. The same entries, appended again under the same message
ids, are skipped by the server as far as they are stored, lane by lane.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from bridge.jetstream.client import Link
from bridge.jetstream.errors import log_error
from bridge.jetstream.publisher import Append, Publisher, Reply, header
from bridge.ports import Entry

__all__ = ["Lanes"]

ABREAST: Final = 64
"""Lanes that have a message in flight at the same time; with the largest events that is 32 MiB."""

PATIENCE_S: Final = 5.0
"""Silence of all lanes after which nothing more is expected."""


class _Round(Append):
    """An append under way."""

    def __init__(self, entries: Sequence[Entry], link: Link, lane: Callable[[Entry], str]) -> None:
        super().__init__(entries, link)
        self.open = len(entries)
        """Entries that are not acknowledged."""
        lanes: dict[str, deque[int]] = {}
        for index, entry in enumerate(entries):
            lanes.setdefault(lane(entry), deque()).append(index)
        self.waiting = deque(lanes.values())
        """Lanes that have nothing in flight."""
        self.flying: dict[int, deque[int]] = {}
        """Index of the entry in flight -> what follows it in its lane."""
        self.acknowledged: deque[int] = deque()
        """Acknowledged and not seen to yet."""


class Lanes(Publisher):
    """Appends message by message."""

    in_one_order = False

    async def _store(self, entries: Sequence[Entry]) -> Append:
        round_ = _Round(entries, self._link(), self._lane)
        await self._publish(round_)
        return round_

    def _lane(self, entry: Entry) -> str:
        return entry.subject.rpartition(".")[0]

    def _header(self, entry: Entry) -> str:
        return header(entry.id, "" if self.fence is None else self.fence.others)

    async def _run(self, append: Append) -> None:
        round_ = append
        assert isinstance(round_, _Round)
        while True:
            while round_.acknowledged:
                lane = round_.flying.pop(round_.acknowledged.popleft())
                round_.open -= 1
                if lane:
                    round_.waiting.appendleft(lane)
            if not round_.open:
                return
            if round_.waiting and len(round_.flying) < ABREAST:
                self._send(round_, self._next(round_))
                await self.connection.client.drained()
            if not round_.acknowledged and not await round_.news(PATIENCE_S):
                raise self._silence(round_, PATIENCE_S)

    @staticmethod
    def _next(round_: _Round) -> Iterable[int]:
        while round_.waiting and len(round_.flying) < ABREAST:
            lane = round_.waiting.popleft()
            index = lane.popleft()
            round_.flying[index] = lane
            yield index

    def _send(self, round_: _Round, indices: Iterable[int]) -> None:
        frames = bytearray()
        for index in indices:
            entry = round_.entries[index]
            head = self._header(entry)
            reply = f"{self.inbox}.{round_.id}.{index}"
            frames += f"HPUB {entry.subject} {reply} {len(head)} {len(head) + len(entry.body)}\r\n{head}".encode()
            frames += entry.body
            frames += b"\r\n"
        round_.check()  # no await between this and the write: both are about the same link
        self.connection.client.send(bytes(frames))

    def _on_reply(self, append: Append, subject: str, reply: Reply) -> None:
        assert isinstance(append, _Round)
        if reply.stream != self.stream or (reply.error is None and reply.seq < 1):
            self._on_odd(append, f"{reply.stream} {reply.seq}")
        elif reply.error is not None:
            append.fail(log_error(reply.error, self.stream))
        elif self._acknowledge(append, int(subject.rpartition(".")[2])):
            if reply.duplicate:
                append.repeated += 1
            else:
                append.sequence = max(append.sequence, reply.seq)

    @staticmethod
    def _acknowledge(append: Append, index: int) -> bool:
        # Whether it was waited for: an answer may come twice.
        assert isinstance(append, _Round)
        if index not in append.flying or index in append.acknowledged:
            return False
        append.acknowledged.append(index)
        append.advance()
        return True
