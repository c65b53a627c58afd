"""The states of containers in memory: one value for each, and followers of what changes.

    states = MemoryStates()
    await states.write([Change(key=ContainerKey("web1", "default", "db"), value=b"...")])

What a real bucket does to its users can be done to it: it goes down, it refuses, it forgets. Use it from one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

from bridge.errors import LogError, LogRefused, LogUnavailable
from bridge.model.nanos import now
from bridge.model.subjects import ContainerKey
from bridge.ports import Change, StateEntry

__all__ = ["MemoryStates"]


class MemoryStates:
    """Implements `bridge.ports.StateStore`."""

    def __init__(self) -> None:
        self.entries: dict[ContainerKey, StateEntry] = {}
        """What stands under each key; entries without value are the marks of those that were taken away."""
        self._revision = 0
        self._faults: list[tuple[LogError, int]] = []
        self._up = True
        self._gone = False
        self._session = object()
        self._news = asyncio.Event()

    # -- what can be done to it

    def fail(self, error: LogError, *, after: int = 0) -> None:
        """Let the next write make its first `after` changes and then raise `error`. Several are used up one by one."""
        self._faults.append((error, after))

    def forget(self, key: ContainerKey) -> None:
        """Lose a key without a mark, as a bucket does that is purged."""
        self.entries.pop(key, None)
        self._tell()

    def lose(self) -> None:
        """Be gone, with all that was in it, until somebody makes it anew (`ensure`)."""
        self._gone, self.entries = True, {}
        self._tell()

    @contextmanager
    def down(self) -> Iterator[None]:
        """Be down for the length of the block: nothing is written or read, and followers wait."""
        self._up = False
        try:
            yield
        finally:
            self._up, self._session = True, object()
            self._tell()

    # -- StateStore

    @property
    def session(self) -> object:
        """The connection; see the port. Each time that it has been down there is another one."""
        return self._session if self._up else None

    async def write(self, changes: Sequence[Change]) -> list[int | None]:
        """Make all these changes; see the port."""
        await asyncio.sleep(0)
        self._demand_up()
        error, after = self._faults.pop(0) if self._faults else (None, len(changes))
        made = [self._make(change) for change in changes[:after]]
        self._tell()
        if error is not None:
            raise error
        return made

    async def ensure(self) -> None:
        """Make it anew if it is gone, at once; see the port."""
        await asyncio.sleep(0)
        gone, self._gone = self._gone, False
        try:
            self._demand_up()
        except LogUnavailable:
            self._gone = gone
            raise

    async def read(self, *, node: str | None = None, namespace: str | None = None) -> list[StateEntry]:
        """Return everything that stands there now; see the port."""
        await asyncio.sleep(0)
        self._demand_up()
        return [entry for entry in self._matching(node, namespace) if entry.value is not None]

    async def follow(
        self, *, node: str | None = None, namespace: str | None = None
    ) -> AsyncIterator[StateEntry | None]:
        """Iterate over what stands there, None, and over what changes; see the port."""
        known = {entry.key: entry for entry in await self.read(node=node, namespace=namespace)}
        for entry in list(known.values()):
            yield entry
        yield None
        while True:
            news = self._news
            for entry in self._changes(known, self._matching(node, namespace)) if self._up and not self._gone else ():
                if entry.value is None:
                    known.pop(entry.key, None)
                else:
                    known[entry.key] = entry
                yield entry
            await news.wait()

    # -- inside

    @staticmethod
    def _changes(known: dict[ContainerKey, StateEntry], there: Sequence[StateEntry]) -> list[StateEntry]:
        present = {entry.key for entry in there}
        gone = [
            StateEntry(key=entry.key, value=None, revision=entry.revision, stored_at=now())
            for entry in known.values()
            if entry.key not in present
        ]
        return gone + [
            entry
            for entry in there
            if (entry.value is not None and known.get(entry.key) != entry)
            or (entry.value is None and entry.key in known)
        ]

    def _matching(self, node: str | None, namespace: str | None) -> list[StateEntry]:
        found = [
            entry
            for entry in self.entries.values()
            if node in {None, entry.key.node} and namespace in {None, entry.key.namespace}
        ]
        return sorted(found, key=lambda entry: entry.revision)

    def _make(self, change: Change) -> int | None:
        there = self.entries.get(change.key)
        stands_at = 0 if there is None or there.value is None else there.revision
        if change.revision not in {None, stands_at}:
            return None
        self._revision += 1
        self.entries[change.key] = StateEntry(
            key=change.key, value=change.value, revision=self._revision, stored_at=now()
        )
        return self._revision

    def _demand_up(self) -> None:
        if not self._up:
            raise LogUnavailable("the bucket does not answer: it is down")
        if self._gone:
            raise LogRefused("the bucket is gone", "no_stream")

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()
