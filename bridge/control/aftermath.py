"""What a crash left open: looked for at the next start and ended, each with the outcome that shows, and nothing done again.

What a process of the command's own decides, which outlives the bridge, is waited for on the side: the command is under way as
before, whoever asks for it under its id waits for it too, and when it has ended its sender is answered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any, TypeAlias

from msgspec import Struct

from bridge.control.ends import Ends, JournalLost, failure_of
from bridge.control.order import Order, read_order
from bridge.control.recovery import AWAY_S, GoesOn, NotDone, NotHere, Undecided, recover
from bridge.control.running import LeftOpen, Running
from bridge.control.verb import Place
from bridge.errors import CommandFailed
from bridge.model.events import Failure
from bridge.model.nanos import Nanos
from bridge.model.outcomes import Outcome
from bridge.model.subjects import CommandSubject
from bridge.ports import CommandJournal, CommandRequest, JournalRow

__all__ = ["Aftermath", "Answer", "nobody_waits"]

log = logging.getLogger(__name__)

Answer: TypeAlias = Callable[[str, Outcome], Awaitable[None]]
"""Sends an outcome to where its sender waits, or waited."""


async def nobody_waits(_reply: str, _outcome: Outcome) -> None:
    """Answer nobody."""


class Aftermath:
    """Ends commands that were started and have no outcome."""

    def __init__(self, node: str, journal: CommandJournal, ends: Ends, place: Callable[[Order], Place]) -> None:
        """Take the journal, where ends go to, and what says where a command works."""
        self._node = node
        self._journal = journal
        self._ends = ends
        self._place = place
        self._later: set[asyncio.Task[None]] = set()
        self._until: float | None = None  # how long a containerd that is away is waited for, by all at a start together

    async def recover(self, running: MutableMapping[str, Running], answer: Answer) -> list[tuple[JournalRow, Outcome]]:
        """End what an earlier run left open; return these commands with their outcomes.

        A job that has not begun is left as it is: its stream has it still. What was finished and may not have been told of is
        told, so the event of its end may stand in the log twice after a crash. What goes on is put among those that are
        `running`, and ends later. Every sender is answered.
        """
        for row in await self._journal.untold():
            if row.outcome is not None:
                self._ends.publish(self._order(row), row.outcome)
                await _answered(row, row.outcome, answer)
        found = []
        self._until = asyncio.get_running_loop().time() + AWAY_S
        for row in await self._journal.unfinished():
            if row.started_at is None and row.via == "job":
                continue
            try:
                outcome = await self.end(row)
            except GoesOn as error:
                log.info("command %s of an earlier run goes on", row.id)
                self._see_to(running, row, error, answer)
                continue
            found.append((row, outcome))
            await _answered(row, outcome, answer)
        self._until = None
        return found

    async def end(self, row: JournalRow) -> Outcome:
        """End one command that an earlier run accepted; return its outcome.

        Raises:
            GoesOn: it is not over.
        """
        order = self._order(row)
        if row.started_at is None:
            sentence = f"the bridge ended before {row.verb} had begun: it had no effect, send it again"
            outcome = self._ends.outcome(order, "error", failure=Failure(code="unavailable", message=sentence))
        else:
            outcome = await self.looked_for(order, row.started_at)
        return await self._ends.finish(order, row, outcome)

    async def looked_for(self, order: Order, started_at: Nanos, *, here: bool = True) -> Outcome:
        """Return the outcome of a command that was started, as far as it shows; nothing is written down.

        Args:
            order: the command.
            started_at: when it was.
            here: it was this bridge or one with its disk that did so.

        Raises:
            GoesOn: it is not over.
        """
        return await self._outcome(order, self._looked_for(order, started_at), here=here)

    async def waited_for(self, order: Order, found: GoesOn) -> Outcome:
        """Wait for the outcome of a command that goes on; nothing is written down."""
        return await self._outcome(order, _awaited(found), here=True)

    def unknown(self, order: Order, reason: str) -> Outcome:
        """Make the outcome of a command of which nobody knows what came of it."""
        sentence = (
            f"the bridge stopped in the middle of {order.subject.verb}, and it is open whether it took effect: {reason}"
        )
        return self._ends.outcome(order, "unknown", failure=Failure(code="unknown", message=sentence))

    async def stop(self) -> None:
        """Leave what goes on to the next bridge."""
        for task in self._later:
            task.cancel()
        await asyncio.gather(*self._later, return_exceptions=True)

    # -- what goes on

    def _see_to(self, running: MutableMapping[str, Running], row: JournalRow, found: GoesOn, answer: Answer) -> None:
        one = Running(self._order(row))
        one.order.began = one.accepted = True
        one.interruption = found.interruption
        running[row.id] = one
        task = asyncio.create_task(self._end_later(running, one, row, found, answer), name=f"command {row.id}")
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def _end_later(
        self, running: MutableMapping[str, Running], one: Running, row: JournalRow, found: GoesOn, answer: Answer
    ) -> None:
        try:
            outcome = await self._ends.finish(one.order, row, await self.waited_for(one.order, found))
        except JournalLost as error:
            one.settle(self.unknown(one.order, str(error)))  # the bridge ends, and the next one finds it started
        except BaseException as error:
            one.fail(LeftOpen() if isinstance(error, asyncio.CancelledError) else error)
            raise
        else:
            one.settle(outcome)
            log.warning("command %s of an earlier run: %s", row.id, outcome.outcome)
            await _answered(row, outcome, answer)
        finally:
            del running[row.id]

    # -- inside

    async def _looked_for(self, order: Order, started_at: Nanos) -> Struct:
        if order.command is None:
            raise Undecided(f"nobody can read it any more: {order.flaw}")
        return await recover(self._place(order), order.command, started_at, until=self._until)

    async def _outcome(self, order: Order, looking: Coroutine[Any, Any, Struct], *, here: bool) -> Outcome:
        try:
            result = await looking
        except GoesOn:
            raise
        except CommandFailed as error:
            return self._ends.outcome(order, "error", failure=failure_of(error))
        except NotDone as error:
            if here or not isinstance(error, NotHere):
                failure = Failure(code="unavailable", message=f"{error}; send it again under another id")
                return self._ends.outcome(order, "error", failure=failure)
            reason = "another bridge of this node began it, and what that one knows is not here"
        except Undecided as error:
            reason = str(error)
        except Exception:
            log.exception("looking for what became of command %s failed in a way that nobody thought of", order)
            reason = "looking for it failed by a mistake of the bridge itself"
        else:
            return self._ends.outcome(order, "ok", result=result)
        return self.unknown(order, reason)

    def _order(self, row: JournalRow) -> Order:
        subject = CommandSubject(self._node, row.namespace, row.container, row.verb)
        request = CommandRequest(
            subject=subject, body=row.body, who=row.who, reply=row.reply, via=row.via, delivery=row.delivery
        )
        order = read_order(request, row.received_at)
        order.id, order.started_at, order.rule, order.arrived_ns = row.id, row.started_at, row.rule, 0
        return order


async def _awaited(found: GoesOn) -> Struct:
    return await found.result()


async def _answered(row: JournalRow, outcome: Outcome, answer: Answer) -> None:
    if row.reply:
        await answer(row.reply, outcome)
