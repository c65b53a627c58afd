"""What a crash left open: looked for at the next start and ended, each with the outcome that shows, and nothing done again."""

from __future__ import annotations

import logging
from collections.abc import Callable

from bridge.control.ends import Ends, failure_of
from bridge.control.order import Order, read_order
from bridge.control.recovery import Undecided, recover
from bridge.control.verb import Place
from bridge.errors import CommandFailed
from bridge.model.events import Failure
from bridge.model.nanos import Nanos
from bridge.model.outcomes import Outcome
from bridge.model.subjects import CommandSubject
from bridge.ports import CommandJournal, CommandRequest, JournalRow

__all__ = ["Aftermath"]

log = logging.getLogger(__name__)


class Aftermath:
    """Ends commands that were started and have no outcome."""

    def __init__(self, node: str, journal: CommandJournal, ends: Ends, place: Callable[[Order], Place]) -> None:
        """Take the journal, where ends go to, and what says where a command works."""
        self._node = node
        self._journal = journal
        self._ends = ends
        self._place = place

    async def recover(self) -> list[tuple[JournalRow, Outcome]]:
        """End what an earlier run left open; return these commands with their outcomes.

        A job that has not begun is left as it is: its stream has it still. What was finished and may not have been told of is
        told, so the event of its end may stand in the log twice after a crash.
        """
        for row in await self._journal.untold():
            if row.outcome is not None:
                self._ends.publish(self._order(row), row.outcome)
        left = [row for row in await self._journal.unfinished() if row.started_at is not None or row.via != "job"]
        return [(row, await self.end(row)) for row in left]

    async def end(self, row: JournalRow) -> Outcome:
        """End one command that an earlier run accepted; return its outcome."""
        order = self._order(row)
        if row.started_at is None:
            sentence = f"the bridge ended before {row.verb} had begun: it had no effect, send it again"
            outcome = self._ends.outcome(order, "error", failure=Failure(code="unavailable", message=sentence))
        else:
            outcome = await self.looked_for(order, row.started_at)
        return await self._ends.finish(order, row, outcome)

    async def looked_for(self, order: Order, started_at: Nanos) -> Outcome:
        """Return the outcome of a command that was started, as far as containerd shows it; nothing is written down."""
        try:
            if order.command is None:
                raise Undecided(f"nobody can read it any more: {order.flaw}")
            result = await recover(self._place(order), order.command, started_at)
        except CommandFailed as error:
            return self._ends.outcome(order, "error", failure=failure_of(error))
        except Undecided as error:
            reason = str(error)
        except Exception:
            log.exception("looking for what became of command %s failed in a way that nobody thought of", order)
            reason = "looking for it failed by a mistake of the bridge itself"
        else:
            return self._ends.outcome(order, "ok", result=result)
        return self.unknown(order, reason)

    def unknown(self, order: Order, reason: str) -> Outcome:
        """Make the outcome of a command of which nobody knows what came of it."""
        sentence = (
            f"the bridge stopped in the middle of {order.subject.verb}, and it is open whether it took effect: {reason}"
        )
        return self._ends.outcome(order, "unknown", failure=Failure(code="unknown", message=sentence))

    def _order(self, row: JournalRow) -> Order:
        subject = CommandSubject(self._node, row.namespace, row.container, row.verb)
        request = CommandRequest(
            subject=subject, body=row.body, who=row.who, reply=row.reply, via=row.via, delivery=row.delivery
        )
        order = read_order(request, row.received_at)
        order.id, order.started_at, order.rule, order.arrived_ns = row.id, row.started_at, row.rule, 0
        return order
