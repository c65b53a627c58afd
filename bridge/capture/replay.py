"""A replay: what a log that went back needs again, and what of it the log has still.

What the log has is known from the newest event on each of its subjects. Events of a container were stored in their order, so
what it has of a container is everything up to the newest, and only what comes behind that is appended again: nothing comes
twice, and nothing before its time.

What is appended again has another message id than before (the event's own id stays what it is). A stream that was purged
remembers the ids of what it no longer has, and would skip the events for half an hour; also those that it had stored when its
acknowledgement was lost. Within one replay the new ids are the same, so a retry is recognised.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import msgspec

from bridge.errors import LogConflict
from bridge.model.envelope import Position
from bridge.model.identity import new_ulid
from bridge.model.nanos import Nanos
from bridge.ports import Entry, StoredEvent

__all__ = ["Replay"]


class Replay:
    """One replay, from what the log still has to what it had acknowledged."""

    def __init__(self, outbox_log: str, upto: int) -> None:
        """Take the outbox's UUID, and the position up to which the log had acknowledged everything."""
        self.upto = upto
        self.tried = upto
        """Position up to which entries were sent to the log, acknowledged or not."""
        self.since: Nanos | None = None
        """When the newest event that the log still has was recorded; None where it has none."""
        self.from_the_first = False
        """Whether the log lacks even the first event, and has the last: then it has stored since what it has."""
        self.displaced: list[int] = []
        """First and last position, and number, of events that stay away: the log had stored later ones of their containers
        before it was known that it went back."""
        self._outbox_log = outbox_log
        self._there: dict[str, int] = {}
        self._mark = new_ulid()

    async def learn(self, newest: AsyncIterator[StoredEvent], acknowledged_at: Nanos) -> None:
        """Learn what the log still has.

        Args:
            newest: the newest event on each subject of this node.
            acknowledged_at: when the log acknowledged the last of what it had.

        Raises:
            LogConflict: it has later events of another outbox: then it did not go back, this outbox did.
            LogUnavailable: it does not answer.
        """
        async for event in newest:
            if event.recorded.position is None:
                continue  # a lease has no place in any outbox
            position = Position.parse(event.recorded.position)
            if position.log == self._outbox_log:
                lane = _lane(event.subject)
                self._there[lane] = max(position.n, self._there.get(lane, 0))
                self.since = max(event.recorded.recordedtime, self.since or Nanos(0))
            elif event.recorded.recordedtime > acknowledged_at:
                raise LogConflict(
                    f"another outbox ({position.log}) has written as this node since this one ({self._outbox_log}) did: "
                    "two bridges have the same name, or an old state directory was put back; "
                    "give one of them another --node, or move the old outbox away"
                )

    @property
    def highest(self) -> int:
        """The highest position of this outbox that the log has."""
        return max(self._there.values(), default=0)

    @property
    def end(self) -> int:
        """Position behind which everything is new again."""
        return max(self.upto, self.highest, self.tried)

    def of(self, entries: Sequence[Entry]) -> list[Entry]:
        """Return what of `entries` the log needs, as it has to be appended."""
        needed = []
        for entry in entries:
            if entry.n <= self._there.get(_lane(entry.subject), 0):
                continue
            again = entry.n <= self.tried
            needed.append(msgspec.structs.replace(entry, id=f"{entry.id}.{self._mark}") if again else entry)
        return needed

    def displace(self, entries: Sequence[Entry]) -> None:
        """Note which of `entries`, which come in order, the log lacks and cannot get any more; rather more than fewer."""
        for entry in entries:
            there = self._there.get(_lane(entry.subject), 0)
            if entry.n <= self.upto and entry.n < there and (self.upto < there or self.from_the_first):
                first, _, count = self.displaced or (entry.n, entry.n, 0)
                self.displaced = [first, entry.n, count + 1]


def _lane(subject: str) -> str:
    return subject.rpartition(".")[0]
