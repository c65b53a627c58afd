"""The projection: keeps the state of every container under its key, for whoever wants to know and not to fold.

It follows the log and never runs ahead of it: a state is written when the last event in it is in the log. It is conflated:
what happens to a container within a moment costs one write, the last state, however much that is. A container whose record is
deleted stays for a while as `gone`, so that whoever looks late still sees how it ended; one that came and went within a
moment is not written at all.

What stands there is compared with what is known: at the start, when the connection was lost, when a write was refused, when a key
stands elsewhere than it was left, and every few minutes. Only what differs is written, and what nobody knows any more is taken
away. So a store that was put back to an older copy, emptied or made anew is set right, and so is a single key.

Every write names the revision that its key has to stand at, and a comparison asks whether the node is still ours after it has
read: what the next bridge of the node writes is never overwritten with older truth. A store that does not answer, or refuses,
costs memory for one state of each container and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Final, NamedTuple, NoReturn

from msgspec.structs import replace

from bridge.capture.haste import Haste
from bridge.capture.outbox_file import OutboxError
from bridge.errors import PASSING, BadEnvelope, LogError, LogRefused, LogUnavailable
from bridge.model.codec import decode_as, encode_any
from bridge.model.limits import MAX_BODY
from bridge.model.nanos import now
from bridge.model.state import ContainerState
from bridge.model.subjects import ContainerKey
from bridge.ports import Change, StateEntry, StateStore

__all__ = ["GONE_S", "Projection"]

log = logging.getLogger(__name__)

MOMENT_S: Final = 0.25
"""What happens to one container within this time is one write."""

ABREAST: Final = 1_000
"""States that are written in one call."""

LOOK_S: Final = 5.0
"""How often it is looked whether the connection is another one, while nothing happens."""

GONE_S: Final = 600.0
"""How long a container stays after its record was deleted."""

AUDIT_S: Final = 300.0
"""Between two comparisons that nothing else makes necessary, give or take a tenth."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0

SHARE: Final = 20
"""Comparisons take no more than one part in so many of the time: they read every state, and a slow line is needed for events."""


class _Compared(NamedTuple):
    """What a comparison found: what stands there wrong, right, and without being known."""

    wrong: list[ContainerState]
    right: list[ContainerState]
    unknown: list[StateEntry]


class Projection:
    """Writes states. `run` is a task of the event loop; `changed` is called on the loop too."""

    def __init__(
        self,
        store: StateStore,
        *,
        node: str,
        log_id: str,
        reached: Callable[[int], Awaitable[None]],
        ours: Callable[[], Awaitable[None]],
        moment_s: float = MOMENT_S,
        gone_s: float = GONE_S,
        audit_s: float = AUDIT_S,
    ) -> None:
        """Take where to, and what tells how far the log is.

        Args:
            store: where to.
            node: this node's name.
            log_id: UUID of the outbox: positions of another one were reached long ago.
            reached: waits until everything up to a position is in the log.
            ours: returns if the node is still this bridge's; raises LogConflict if it is another one's.
            moment_s: seconds within which what happens to one container is one write.
            gone_s: seconds that a container stays after its record was deleted.
            audit_s: seconds between two comparisons while nothing is wrong.
        """
        self._store = store
        self._node = node
        self._reached = reached
        self._ours = ours
        self._log_id = log_id
        self._moment_s = moment_s
        self._gone_s = gone_s
        self._audit_s = audit_s
        self._pending: dict[ContainerKey, ContainerState] = {}
        self._there: dict[ContainerKey, int] = {}
        """Keys that have a value, each with the revision that it was left or found at."""
        self._going: dict[ContainerKey, float] = {}
        """Containers that are gone, and when (monotonic) their keys are taken away; the next one first."""
        self._under_way = 0
        self._session: object = None
        self._doubt = True
        """Whether what stands there may be something else than is believed."""
        self._audit_at = 0.0
        self._haste = Haste()
        self._news = asyncio.Event()
        self._settled = asyncio.Event()
        self.written = 0
        """Changes written since the start, keys taken away included."""
        self.refused: str | None = None
        """Why the store takes nothing at present; None when it does."""
        self._passing = True
        """Whether what `refused` says may pass by itself within seconds."""

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
            known: iterates over the states of all containers as they are when it is asked, but for those whose record was deleted
                longer ago than they stay. Asked in a thread.

        Raises:
            LogConflict: the node is another bridge's.
        """
        pause = FIRST_PAUSE_S
        while True:
            try:
                await self._turn(known)
            except (LogUnavailable, LogRefused, OutboxError) as error:
                await self._refuse(error)
                await self._haste.pause(pause, shortest=FIRST_PAUSE_S)
                pause = min(pause * 2, LONGEST_PAUSE_S)
            else:
                pause = FIRST_PAUSE_S
                if self.refused is not None:
                    self.refused = None
                    log.warning("the states of containers are written again")
                self._settled.set()

    async def settled(self, worth: Callable[[], bool] | None = None) -> None:
        """Wait until every state that was handed over so far is written.

        Args:
            worth: for whoever has little time: attempts follow one another quickly from now on, and the waiting ends early at a
                refusal that lasts, and where it is not worth it at one that may pass.
        """
        if worth is not None:
            self._haste.hurry()
        while self.behind:
            if self.refused is not None and worth is not None and not (self._passing and worth()):
                return
            self._settled.clear()
            await self._settled.wait()

    # -- inside

    async def _turn(self, known: Callable[[], Iterable[ContainerState]]) -> None:
        # Looked at before: what is lost during the comparison is compared once more.
        session = self._store.session
        audit = time.monotonic() >= self._audit_at
        if self._doubt or audit or session != self._session:
            began = time.monotonic()
            await self._compare(known, audit=audit and not self._doubt and session == self._session)
            self._session, self._doubt = session, False
            ended = time.monotonic()
            seconds = max(self._audit_s, (ended - began) * SHARE)
            self._audit_at = ended + seconds * random.uniform(0.9, 1.1)  # noqa: S311 - jitter, no secret
        else:
            await self._something_to_do()
        due, self._pending = self._pending, {}
        self._under_way = len(due)
        try:
            # Of a container to which something happens all the time the newest state is never in the log yet. This one will be.
            await self._reached(max((state.position_in(self._log_id) for state in due.values()), default=0))
            await self._write(due)
            if self._doubt:  # somebody else writes there too
                await asyncio.sleep(self._moment_s)
        except LogError:
            self._pending = due | self._pending
            raise
        finally:
            self._under_way = 0

    async def _refuse(self, error: LogError | OutboxError) -> None:
        """Say that the store takes nothing, once for as long as it lasts; make it anew where it is gone."""
        self._doubt = True
        if self.refused is None:
            log.warning("the states of containers are not up to date: %s", error)
        self.refused, self._passing = str(error), isinstance(error, LogError) and error.trouble in PASSING
        self._settled.set()  # whoever waits for the end has to know
        if isinstance(error, LogError) and error.trouble == "no_stream":
            with suppress(LogUnavailable, LogRefused):
                await self._store.ensure()

    async def _something_to_do(self) -> None:
        """Wait until something has changed and the moment is over, or there is something else to see to.

        That is a container that has been gone for long enough, or the connection, which is looked at now and then.
        """
        if not self._pending:
            self._news.clear()
            now_s = time.monotonic()
            seconds = min(LOOK_S, max(0.0, self._audit_at - now_s))
            if self._going:
                seconds = min(seconds, max(0.0, next(iter(self._going.values())) - now_s))
            try:
                async with asyncio.timeout(seconds):
                    await self._news.wait()
            except TimeoutError:
                return
        await asyncio.sleep(self._moment_s)

    async def _compare(self, known: Callable[[], Iterable[ContainerState]], *, audit: bool) -> None:
        """Learn what stands there, and have written what differs."""
        entries = {entry.key: entry for entry in await self._store.read(node=self._node)}
        await self._ours()  # behind the reading: whatever stands there then is not from the next bridge of the node
        pending = dict(self._pending)
        found = await asyncio.to_thread(lambda: _compared(entries, known(), pending))
        left = self._there
        self._there = {key: entry.revision for key, entry in entries.items()}
        if audit and (touched := left.items() ^ self._there.items()):
            log.warning("%d keys of containers were changed by somebody else", len({key for key, _ in touched}))
        for state in found.wrong:
            self._pending.setdefault(_key(state), state)
        for state in found.right:
            if self._pending.get(_key(state)) is state:
                del self._pending[_key(state)]
        going = [(self._left(state), _key(state)) for state in found.right if state.status == "gone"]
        going += [(self._left(_decoded(entry)), entry.key) for entry in found.unknown]
        at = time.monotonic()
        self._going = {key: at + seconds for seconds, key in sorted(going) if key not in self._pending}

    def _left(self, state: ContainerState | None) -> float:
        """Return for how many seconds a container stays that is not known any more: none, unless it was told to be gone.

        A clock that was ahead when it went does not make that longer.
        """
        if state is None or state.deleted_at is None:
            return 0.0
        return min(self._gone_s, max(0.0, self._gone_s - (now() - state.deleted_at) / 1e9))

    async def _write(self, due: dict[ContainerKey, ContainerState]) -> None:
        changes: list[Change] = []
        at = time.monotonic()
        for key, state in due.items():
            self._going.pop(key, None)
            if key not in self._there and (state.status == "gone" or not state.seen):
                continue  # it came and went within a moment, or nobody told more than that somebody commanded it
            if state.status == "gone":
                self._going[key] = at + self._gone_s
            changes.append(Change(key=key, value=_encoded(state), revision=self._there.get(key, 0)))
        for key in list(self._going):
            if self._going[key] > at:
                break
            del self._going[key]
            if key in self._there:
                changes.append(Change(key=key, value=None, revision=self._there[key]))
        for start in range(0, len(changes), ABREAST):
            await self._make(changes[start : start + ABREAST], due)

    async def _make(self, changes: list[Change], due: Mapping[ContainerKey, ContainerState]) -> None:
        for change, revision in zip(changes, await self._store.write(changes), strict=True):
            if (
                revision is None
            ):  # somebody else wrote there: who that was, and what stands there, the comparison will tell
                self._doubt = True
                if change.key in due:
                    self._pending.setdefault(change.key, due[change.key])
            elif change.value is None:
                del self._there[change.key]
                self.written += 1
            else:
                self._there[change.key] = revision
                self.written += 1


def _compared(
    entries: Mapping[ContainerKey, StateEntry],
    known: Iterable[ContainerState],
    pending: Mapping[ContainerKey, ContainerState],
) -> _Compared:
    wrong, right, unknown = [], [], dict(entries)
    states = {_key(state): state for state in known} | dict(pending)
    for key, state in states.items():
        entry = unknown.pop(key, None)
        if entry is not None and entry.value == _encoded(state):
            right.append(state)
        elif entry is not None or (state.seen and state.status != "gone"):
            wrong.append(state)
    return _Compared(wrong, right, list(unknown.values()))


def _key(state: ContainerState) -> ContainerKey:
    return ContainerKey(state.node, state.namespace, state.container)


def _decoded(entry: StateEntry) -> ContainerState | None:
    try:
        return decode_as(entry.value or b"", ContainerState)
    except BadEnvelope:
        return None


def _encoded(state: ContainerState) -> bytes:
    value = encode_any(state)
    # Labels may be megabytes; then they are left out, as in the events.
    return value if len(value) <= MAX_BODY else encode_any(replace(state, labels=None))
