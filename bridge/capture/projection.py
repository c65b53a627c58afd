"""The projection: keeps the state of every container under its key, for whoever wants to know and not to fold.

It follows the log and never runs ahead of it: a state is written when the last event in it is in the log. It is conflated:
what happens to a container within a moment costs one write, the last state, however much that is. A container whose record is
deleted stays for a while as `gone`, so that whoever looks late still sees how it ended; one that came and went within a
moment is not written at all.

At the start, and whenever the connection was lost, what stands there is compared with what is known, and only what differs is
written; what nobody knows any more is taken away. So a store that was put back to an older copy is set right. A store that does
not answer, or refuses, costs memory for one state of each container and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Final, NoReturn

from msgspec.structs import replace

from bridge.capture.outbox_file import OutboxError
from bridge.errors import BadEnvelope, LogError
from bridge.model.codec import decode_as, encode_any
from bridge.model.limits import MAX_BODY
from bridge.model.nanos import now
from bridge.model.state import ContainerState
from bridge.model.subjects import ContainerKey
from bridge.ports import Change, StateStore

__all__ = ["Projection"]

log = logging.getLogger(__name__)

MOMENT_S: Final = 0.25
"""What happens to one container within this time is one write."""

ABREAST: Final = 1_000
"""States that are written in one call."""

LOOK_S: Final = 5.0
"""How often it is looked whether the connection is another one, while nothing happens."""

GONE_S: Final = 600.0
"""How long a container stays after its record was deleted."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0


class Projection:
    """Writes states. `run` is a task of the event loop; `changed` is called on the loop too."""

    def __init__(
        self,
        store: StateStore,
        *,
        node: str,
        log_id: str,
        reached: Callable[[int], Awaitable[None]],
        moment_s: float = MOMENT_S,
        gone_s: float = GONE_S,
    ) -> None:
        """Take where to, and what tells how far the log is.

        Args:
            store: where to.
            node: this node's name.
            log_id: UUID of the outbox: positions of another one were reached long ago.
            reached: waits until everything up to a position is in the log.
            moment_s: seconds within which what happens to one container is one write.
            gone_s: seconds that a container stays after its record was deleted.
        """
        self._store = store
        self._node = node
        self._reached = reached
        self._log_id = log_id
        self._moment_s = moment_s
        self._gone_s = gone_s
        self._pending: dict[ContainerKey, ContainerState] = {}
        self._there: set[ContainerKey] = set()
        self._going: dict[ContainerKey, float] = {}
        """Containers that are gone, and when (monotonic) their keys are taken away; the next one first."""
        self._under_way = 0
        self._news = asyncio.Event()
        self._settled = asyncio.Event()
        self.written = 0
        """Changes written since the start, keys taken away included."""
        self.refused: str | None = None
        """Why the store takes nothing at present; None when it does."""

    def changed(self, states: Iterable[ContainerState]) -> None:
        """Take states that have changed; of each container the last one counts."""
        for state in states:
            self._pending[_key(state)] = state
        self._news.set()

    @property
    def behind(self) -> int:
        """Containers whose last state is not written yet, as far as is known here."""
        return len(self._pending) + self._under_way

    async def run(self, known: Callable[[], Iterable[ContainerState]]) -> NoReturn:
        """Project for ever.

        Args:
            known: iterates over the states of all containers whose record was not deleted, as they are when it is asked.
        """
        session: object = None
        while True:
            # Looked at before: what is lost during the comparison is compared once more.
            now_through = self._store.session
            if session is None or now_through is not session:
                await self._insist(lambda: self._compare(known))
                session = now_through
            await self._something_to_do()
            due, self._pending = self._pending, {}
            self._under_way = len(due)
            # Of a container to which something happens all the time the newest state is never in the log yet. This one will be.
            upto = max((state.position_in(self._log_id) for state in due.values()), default=0)
            await self._reached(upto)
            await self._write(due)
            self._under_way = 0
            self._settled.set()

    async def settled(self) -> None:
        """Wait until every state that was handed over so far is written."""
        while self.behind:
            self._settled.clear()
            await self._settled.wait()

    # -- inside

    async def _something_to_do(self) -> None:
        """Wait until something has changed and the moment is over, or there is something else to see to.

        That is a container that has been gone for long enough, or the connection, which is looked at now and then.
        """
        if not self._pending:
            self._news.clear()
            seconds = LOOK_S
            if self._going:
                seconds = min(seconds, max(0.0, next(iter(self._going.values())) - time.monotonic()))
            try:
                async with asyncio.timeout(seconds):
                    await self._news.wait()
            except TimeoutError:
                return
        await asyncio.sleep(self._moment_s)

    async def _compare(self, known: Callable[[], Iterable[ContainerState]]) -> None:
        there = {entry.key: entry.value for entry in await self._store.read(node=self._node)}
        self._there = set(there)
        for state in known():
            if there.pop(_key(state), None) != _encoded(state):
                self._pending.setdefault(_key(state), state)
        for key in self._pending:  # what is about to be written is not taken away
            there.pop(key, None)
        going = [(time.monotonic() + self._left(value), key) for key, value in there.items()]
        self._going = {key: at for at, key in sorted(going)}

    def _left(self, value: bytes | None) -> float:
        """Return for how many seconds a container stays that is not known any more: none, unless it was told to be gone."""
        try:
            state = decode_as(value or b"", ContainerState)
        except BadEnvelope:
            return 0.0
        if state.deleted_at is None:
            return 0.0
        return max(0.0, self._gone_s - (now() - state.deleted_at) / 1e9)

    async def _write(self, due: dict[ContainerKey, ContainerState]) -> None:
        changes: list[Change] = []
        at = time.monotonic()
        for key, state in due.items():
            self._going.pop(key, None)
            if key not in self._there and (state.status == "gone" or not state.seen):
                continue  # it came and went within a moment, or nobody told more than that somebody commanded it
            self._there.add(key)
            if state.status == "gone":
                self._going[key] = at + self._gone_s
            changes.append(Change(key=key, value=_encoded(state)))
        for key in list(self._going):
            if self._going[key] > at:
                break
            del self._going[key]
            self._there.discard(key)
            changes.append(Change(key=key, value=None))
        for start in range(0, len(changes), ABREAST):
            await self._insist(partial(self._store.write, changes[start : start + ABREAST]))
        self.written += len(changes)

    async def _insist(self, attempt: Callable[[], Awaitable[None]]) -> None:
        """Try until it succeeds; say so when it begins to fail and when that is over."""
        pause = FIRST_PAUSE_S
        while True:
            try:
                await attempt()
            except (LogError, OutboxError) as error:
                if self.refused is None:
                    log.warning("the states of containers are not up to date: %s", error)
                self.refused = str(error)
                await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - jitter, no secret
                pause = min(pause * 2, LONGEST_PAUSE_S)
            else:
                break
        if self.refused is not None:
            self.refused = None
            log.warning("the states of containers are written again")


def _key(state: ContainerState) -> ContainerKey:
    return ContainerKey(state.node, state.namespace, state.container)


def _encoded(state: ContainerState) -> bytes:
    value = encode_any(state)
    # Labels may be megabytes; then they are left out, as in the events.
    return value if len(value) <= MAX_BODY else encode_any(replace(state, labels=None))
