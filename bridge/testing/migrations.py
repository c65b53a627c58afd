"""The register of migrations in memory. It can be down, and take a change whose answer is lost. Use it from one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from bridge.errors import LogRefused, LogUnavailable
from bridge.model.codec import decode_as, encode_any
from bridge.model.migrations import Migration, MigrationKey, check_step
from bridge.ports import Listed, MovedOn, Registered

__all__ = ["MemoryMigrations"]


class MemoryMigrations:
    """Implements `bridge.ports.MigrationRegister`."""

    def __init__(self) -> None:
        self.history: list[tuple[str, str]] = []
        """Every change, as the id of its migration and the state."""
        self._bodies: dict[MigrationKey, tuple[bytes, int]] = {}
        self._revision = 0
        self._changed: dict[MigrationKey, float] = {}
        self._clock = 0.0
        self._up = True
        self._mute = 0
        self._refused: frozenset[str] = frozenset()

    @contextmanager
    def down(self) -> Iterator[None]:
        """Be down for the length of the block: nothing is written or read."""
        self._up = False
        try:
            yield
        finally:
            self._up = True

    def mute(self, changes: int = 1) -> None:
        """Make as many of the next changes, and let their answers be lost."""
        self._mute += changes

    def refuse(self, *states: str) -> None:
        """Take no change to these states, and say so."""
        self._refused = frozenset(states)

    def lose(self, earlier: Migration) -> None:
        """Let an entry stand as it did earlier, as where a server that acknowledged what came since has lost it."""
        self._revision += 1
        self._bodies[earlier.key] = (encode_any(earlier), self._revision)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, by the register's own clock."""
        self._clock += seconds

    def overwrite(self, key: MigrationKey) -> None:
        """Store something under a key that nobody has written, as nats-server does for whoever has it answer there."""
        self._revision += 1
        self._bodies[key] = (self._bodies.get(key, (b"", 0))[0], self._revision)

    async def get(self, key: MigrationKey) -> Registered:
        """Return what stands there; see the port."""
        await self._answer()
        body, revision = self._bodies.get(key, (b"", 0))
        return Registered(decode_as(body, Migration) if body else None, revision)

    async def list(self, node: str) -> list[Listed]:
        """Return the entries of a node; see the port."""
        await self._answer()
        entries = [decode_as(body, Migration) for _, (body, _) in sorted(self._bodies.items()) if body]
        return [
            Listed(entry, self._clock - self._changed.get(entry.key, self._clock))
            for entry in entries
            if node in {entry.source, entry.target}
        ]

    async def change(self, standing: Registered, wanted: Migration) -> Registered:
        """Let `wanted` stand there if nothing has changed; see the port."""
        check_step(standing.migration, wanted)
        await self._answer()
        if self._bodies.get(wanted.key, (b"", 0))[1] != standing.revision:
            raise MovedOn(f"migration {wanted.id} has changed")
        if wanted.state in self._refused:
            raise LogRefused(f"the register takes no entry that is {wanted.state}")
        self._revision += 1
        self._bodies[wanted.key] = (encode_any(wanted), self._revision)
        self._changed[wanted.key] = self._clock
        self.history.append((wanted.id, wanted.state))
        if self._mute:
            self._mute -= 1
            raise LogUnavailable("the register does not answer: it is open whether it has taken the change")
        return Registered(wanted, self._revision)

    async def forget(self, key: MigrationKey) -> None:
        """Take an entry away; see the port."""
        await self._answer()
        self._bodies.pop(key, None)

    async def _answer(self) -> None:
        await asyncio.sleep(0)
        if not self._up:
            raise LogUnavailable("the register does not answer: it is down")
