"""A journal in memory: for a dispatcher that lasts no longer than what it commands, as in tests."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from bridge.model.identity import new_ulid
from bridge.model.nanos import Nanos
from bridge.model.outcomes import Outcome
from bridge.ports import JournalRow

__all__ = ["MemoryJournal"]


class MemoryJournal:
    """Implements `bridge.ports.CommandJournal`; forgets nothing, and survives nothing."""

    def __init__(self) -> None:
        self.rows: dict[str, JournalRow] = {}
        self._told: set[str] = set()
        self._attempts: dict[int, int] = {}
        self._stream = ""
        self.identity = new_ulid()
        """See the port."""

    async def look(self, command_id: str) -> JournalRow | None:
        """Return what stands there of a command; see the port."""
        return self.rows.get(command_id)

    async def accept(self, row: JournalRow) -> JournalRow | None:
        """Write down a command that waits; see the port."""
        self._attempts.pop(row.delivery, None)
        before = self.rows.get(row.id)
        if before is None:
            self.rows[row.id] = row
        return before

    async def start(self, row: JournalRow, at: Nanos) -> JournalRow | None:
        """Write down that a command is about to take effect; see the port."""
        before = await self.accept(row)
        there = self.rows[row.id]
        if there.started_at is None and there.outcome is None:
            self.rows[row.id] = replace(there, started_at=at, rule=row.rule)
        return before

    async def finish(self, row: JournalRow, outcome: Outcome) -> Outcome:
        """Write an outcome down; see the port."""
        await self.accept(row)
        there = self.rows[row.id]
        if there.outcome is None:
            self.rows[row.id] = there = replace(there, outcome=outcome)
        assert there.outcome is not None
        return there.outcome

    async def reopen(self, command_id: str, delivery: int) -> None:
        """Take out a command that never started; see the port."""
        row = self.rows.get(command_id)
        if row and row.started_at is None and row.outcome is not None and row.delivery != delivery:
            del self.rows[command_id]

    async def withdraw(self, command_id: str) -> None:
        """Take out a command that was turned away; see the port."""
        row = self.rows.get(command_id)
        if row and row.started_at is None and row.outcome is None:
            del self.rows[command_id]

    def told(self, command_id: str) -> None:
        """Note that an outcome was told; see the port."""
        self._told.add(command_id)
        if (row := self.rows.get(command_id)) is not None:
            self.rows[command_id] = replace(row, body=b"")

    async def unfinished(self) -> Sequence[JournalRow]:
        """Return the commands without an outcome; see the port."""
        return sorted((row for row in self.rows.values() if row.outcome is None), key=lambda row: row.received_at)

    async def untold(self) -> Sequence[JournalRow]:
        """Return the finished commands that were not told; see the port."""
        return [row for row in self.rows.values() if row.outcome is not None and row.id not in self._told]

    async def attempt(self, stream: str, delivery: int) -> int:
        """Count that a job was received; see the port."""
        if stream != self._stream:
            self._stream, self._attempts = stream, {}
        self._attempts[delivery] = self._attempts.get(delivery, 0) + 1
        return self._attempts[delivery]

    async def drop_attempt(self, delivery: int) -> None:
        """Forget that it was; see the port."""
        self._attempts.pop(delivery, None)
