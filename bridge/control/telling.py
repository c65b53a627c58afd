"""Tells how commands stand: under their ids in the bucket of commands, soon, and never less than the journal knows.

What happens to a command within a moment is one write, so a short command costs one: its outcome. Without NATS the states wait
here, and what a crash takes with it the journal gives again at the next start. An outcome that stands there is never replaced
by what came before it.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import inf
from typing import Final, NoReturn, TypeAlias, TypeVar

from bridge.errors import LogError, LogUnavailable
from bridge.model.outcomes import CommandState
from bridge.model.subjects import CommandSubject
from bridge.ports import CommandStates

__all__ = ["OnceRecorded", "Teller"]

T = TypeVar("T")

_Key: TypeAlias = tuple[str, str | None, str | None]
"""Id, namespace and container: what a state of this node stands under."""

log = logging.getLogger(__name__)

MOMENT_S: Final = 0.1
"""What happens to a command that goes on within this time is one write. What somebody waits for is written at once."""

ENDED_S: Final = 0.05
"""The same for commands that have ended: whoever sent one has its reply already, and many end together."""

ABREAST: Final = 500
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0


class Teller:
    """Writes states of commands. `run` is a task of the event loop; everything else is called on the loop too."""

    def __init__(
        self,
        store: CommandStates,
        *,
        node: str,
        written: Callable[[str], None] = lambda _command_id: None,
        allowed: Callable[[], bool] = lambda: True,
        moment_s: float = MOMENT_S,
        ended_s: float = ENDED_S,
    ) -> None:
        """Take where to.

        Args:
            store: the bucket.
            node: this node's name.
            written: told the id of each command of a journal whose outcome stands there now.
            allowed: tells whether this bridge is the one of its node now; while it is not, nothing is told.
            moment_s: seconds within which what happens to a command that goes on is one write.
            ended_s: seconds within which all that end are one write.
        """
        self._store = store
        self._node = node
        self._written = written
        self._allowed = allowed
        self._moment_s = moment_s
        self._ended_s = ended_s
        self._pending: dict[_Key, CommandState] = {}
        self._writing: dict[_Key, CommandState] = {}
        self._due: Counter[str] = Counter()  # how many of them have this id
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._news = asyncio.Event()
        self._write_at = inf
        """When what is pending is written, by the loop's clock."""
        self.written = 0
        """States written since the start."""
        self.refused: str | None = None
        """Why the bucket takes nothing at present; None when it does."""

    def tell(self, state: CommandState) -> None:
        """Let this be how the command stands; of each command the last one counts."""
        key = _key(state)
        if key not in self._pending:
            self._due[state.id] += 1
        self._pending[key] = state
        self._write_within(self._moment_s if state.outcome is None else self._ended_s)

    async def told(self, command_id: str) -> None:
        """Wait until everything that was told of this command stands in the bucket."""
        if self._due[command_id]:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(command_id, []).append(future)
            self._write_within(0.0)
            await future

    async def seen(self, command_id: str, subject: CommandSubject) -> CommandState | None:
        """Return how a command of this node stands in the bucket, None where nothing does; wait for the bucket."""
        states = await self._insisted(
            lambda: self._store.get(
                command_id, node=subject.node, namespace=subject.namespace, container=subject.container
            ),
            command_id,
        )
        return next((state for state in states if _key(state) == (command_id, *subject[1:3])), None)

    async def taken_back(self, command_id: str, subject: CommandSubject) -> bool:
        """Tell whether somebody took the job back while no bridge of this node could be asked to; wait for the bucket."""
        return await self._insisted(lambda: self._store.taken_back(command_id, subject), command_id)

    async def ours(self) -> None:
        """Wait until this bridge is the one of its node, if it is not."""
        while True:
            if self._allowed():
                return
            await asyncio.sleep(FIRST_PAUSE_S)

    @property
    def behind(self) -> int:
        """Commands whose state is not written yet."""
        return len(self._pending) + len(self._writing)

    async def run(self) -> NoReturn:
        """Tell for ever."""
        while True:
            await self._news.wait()
            while (left := self._write_at - asyncio.get_running_loop().time()) > 0:
                self._news.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await self._news.wait()
            self._news.clear()
            self._write_at = inf
            due, self._pending = self._pending, {}
            self._writing = due
            states = list(due.values())
            for start in range(0, len(states), ABREAST):
                await self._insist(states[start : start + ABREAST])
            self._writing = {}
            self.written += len(states)
            for state in states:
                if state.outcome is not None and state.journal:
                    self._written(state.id)
                self._due[state.id] -= 1
                if not self._due[state.id]:
                    del self._due[state.id]
                    for future in self._waiting.pop(state.id, ()):
                        if not future.done():
                            future.set_result(None)

    async def settled(self) -> None:
        """Wait until everything that was told so far is written."""
        for command_id, *_ in [*self._writing, *self._pending]:
            await self.told(command_id)

    async def _insisted(self, ask: Callable[[], Awaitable[T]], command_id: str) -> T:
        pause = FIRST_PAUSE_S
        while True:
            try:
                return await ask()
            except LogError as error:
                log.debug("how command %s stands cannot be told yet: %s", command_id, error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)

    def _write_within(self, seconds: float) -> None:
        moment = asyncio.get_running_loop().time() + seconds
        if moment < self._write_at:
            self._write_at = moment
            self._news.set()

    async def _insist(self, states: list[CommandState]) -> None:
        pause = FIRST_PAUSE_S
        while True:
            try:
                if not self._allowed():
                    raise LogUnavailable("the node's lease has run out")
                await self._store.write(states)
            except LogError as error:
                if self.refused is None:
                    log.warning("how commands stand is not told: %s", error)
                self.refused = str(error)
                await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - jitter, no secret
                pause = min(pause * 2, LONGEST_PAUSE_S)
            else:
                break
        if self.refused is not None:
            self.refused = None
            log.warning("how commands stand is told again")


def _key(state: CommandState) -> _Key:
    return state.id, state.namespace, state.container


class OnceRecorded:
    """Notes that commands were told only when the events of their ends are on disk as well: until then a crash tells them again.

    Many at a time: asking the recorder costs a commit of its own.
    """

    def __init__(self, recorded: Callable[[Callable[[], None]], None], note: Callable[[str], None]) -> None:
        """Take how to wait and how to note.

        Args:
            recorded: calls back, from any thread, when all events that were submitted before are on disk.
            note: takes the id of a command; it is called on the event loop.
        """
        self._loop = asyncio.get_running_loop()
        self._recorded = recorded
        self._note = note
        self._asked: list[str] = []
        self._next: list[str] = []

    def __call__(self, command_id: str) -> None:
        """Take the id of a command that was told everywhere else. Returns at once."""
        self._next.append(command_id)
        if not self._asked:
            self._ask()

    def _ask(self) -> None:
        self._asked, self._next = self._next, []
        self._recorded(self._answered)

    def _answered(self) -> None:
        with suppress(RuntimeError):  # the loop has ended: the next start tells them again
            self._loop.call_soon_threadsafe(self._note_all)

    def _note_all(self) -> None:
        for command_id in self._asked:
            self._note(command_id)
        self._asked = []
        if self._next:
            self._ask()
