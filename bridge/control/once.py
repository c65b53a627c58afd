"""Commands that take effect at most once under their id.

An id is looked up before anything else. The same command under way: its outcome is awaited; finished: the outcome is given again;
another command under that id is refused. Otherwise the command waits for its turn, the policy is asked and its conditions are
looked at, it is on disk as started, it is carried out, and its outcome is on disk before the turn ends and before anybody hears
of it. What the policy refuses is not written down: the same id may be tried again once it is allowed.

A verb that asks the policy itself (`bridge.control.policy.ASKING`) begins with the answer, so what it prepares before that is not
an effect: it undoes it, and what a crash leaves of it is cleared away at the next start.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from functools import partial

from msgspec import structs

from bridge.control import conditions
from bridge.control.aftermath import Aftermath
from bridge.control.conditions import Stale
from bridge.control.desk import Bus, Desk
from bridge.control.ends import Ends, JournalLost, failure_of, mistake, stopped_before
from bridge.control.lanes import Rest
from bridge.control.order import Order
from bridge.control.policy import Permit
from bridge.control.record import CommandRecord
from bridge.control.recovery import GoesOn
from bridge.control.running import (
    BrokenOff,
    CannotBegin,
    EndedBefore,
    LeftOpen,
    NotCarriedOut,
    Postponed,
    Running,
    TakenBack,
)
from bridge.control.verb import Leave, Place, Verb
from bridge.errors import CommandFailed
from bridge.failpoint import failpoint
from bridge.model.commands import Cancel, Command
from bridge.model.events import Failure
from bridge.model.nanos import Nanos
from bridge.model.outcomes import Cancelled, Outcome, OutcomeWord
from bridge.model.subjects import CommandSubject
from bridge.ports import CommandJournal, JournalRow

__all__ = ["Once"]

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""Patience with containerd when a command that was interrupted is looked at; then the next bridge has to look."""


class Once:
    """Carries out changing commands of one node."""

    def __init__(
        self,
        desk: Desk,
        *,
        verbs: Mapping[str, Verb],
        journal: CommandJournal,
        ends: Ends,
        aftermath: Aftermath,
        record: CommandRecord,
        clock: Callable[[], Nanos],
        bus: Bus | None,
        allowed: Callable[[], bool],
    ) -> None:
        """Take what it works with; see the dispatcher."""
        self._bus = bus
        self._allowed = allowed
        self._desk = desk
        self._verbs = verbs
        self._journal = journal
        self._ends = ends
        self._aftermath = aftermath
        self._record = record
        self._clock = clock
        self.running: dict[str, Running] = {}
        """Commands that were received and have no outcome yet, by their ids."""

    async def carry_out(self, order: Order) -> Outcome:
        """Carry it out unless its id is known; return the outcome.

        Raises:
            Postponed: it is a job that has not begun, and the bridge stops.
        """
        running = self.running.get(order.id)
        if running is not None:
            if running.order.digest != order.digest:
                return self._impostor(order, running.order.subject)
            return await asyncio.shield(running.outcome)
        running = self.running[order.id] = Running(order)
        try:
            return running.settle(await self._unless_known(running))
        except JournalLost as error:
            # What stands on disk is that it was started; the next start looks for it. Nobody else is told of this outcome.
            return running.settle(self._aftermath.unknown(order, str(error)))
        except BaseException as error:
            running.fail(error)
            raise
        finally:
            del self.running[order.id]

    async def has_another(self, order: Order) -> bool:
        """Tell whether the id of an order that is not carried out here belongs to a command for the same container.

        Raises:
            Postponed: the journal cannot be read.
        """
        running = self.running.get(order.id)
        if running is not None and running.order.subject[:3] == order.subject[:3]:
            return True
        try:
            row = await self._journal.look(order.id)
        except CommandFailed as error:
            raise Postponed from error
        return row is not None and (row.namespace, row.container) == order.subject[1:3]

    async def cancel(self, command: Cancel, subject: CommandSubject) -> Cancelled:
        """Take a command back and wait until it has ended.

        Raises:
            CommandFailed: there is none, or it cannot be interrupted.
        """
        running = self.running.get(command.command)
        if running is None or not subject.includes(running.order.subject):
            where = "" if subject.namespace is None else f" for {subject.container or f'namespace {subject.namespace}'}"
            sentence = f"no command {command.command!r}{where} waits or is under way on node {subject.node}"
            raise CommandFailed("not_found", sentence)
        began = running.take_back()
        await asyncio.wait({running.outcome})
        return Cancelled(began=began)

    def stop_waiting(self) -> None:
        """Let the jobs that have not begun be left for the next start."""
        for running in list(self.running.values()):
            if running.order.request.via == "job":
                running.postpone()

    def break_off(self) -> None:
        """Let everything that has not begun end."""
        for running in list(self.running.values()):
            running.break_off()

    # -- the way of one command

    async def _unless_known(self, running: Running) -> Outcome:
        order = running.order
        failpoint("received")
        try:
            # Everything that changes something passes here, and the journal answers in the order in which it is asked: the
            # order of arrival is the order in which lanes are entered.
            if order.request.again:
                await self._journal.reopen(order.id, order.request.delivery)
            row = await self._journal.look(order.id)
        except CommandFailed as error:
            if order.request.via == "job":
                raise Postponed from error
            return self._ends.publish(order, self._failed(order, error), known=True)
        if row is not None:
            running.accepted = True
            if row.digest != order.digest:
                return self._impostor(order, CommandSubject(order.subject.node, row.namespace, row.container, row.verb))
            if row.outcome is not None:
                return row.outcome
            if row.started_at is not None:
                order.began, order.started_at = True, row.started_at
                return await self._ended(running, row)
        try:
            return await self._in_turn(running, self._desk.accepted(order))
        except CommandFailed as error:  # it was not accepted, or nothing could be written down of it
            if order.request.via == "job" and error.code == "unavailable":
                raise Postponed from error
            if running.accepted:
                with suppress(CommandFailed):  # then the next start ends it
                    await self._journal.withdraw(order.id)
            return self._ends.publish(order, self._failed(order, error))

    async def _in_turn(self, running: Running, command: Command) -> Outcome:
        """Wait for the turn, and in it do everything up to the outcome on disk: the next one finds what this one left."""
        order = running.order
        accepting: list[asyncio.Task[None]] = []

        def queued() -> None:
            accepting.append(asyncio.create_task(self._accept(running)))

        try:
            async with running.waiting(), AsyncExitStack() as turn:
                try:
                    rest = await turn.enter_async_context(self._desk.turn(order, queued))
                except CommandFailed as error:  # too many wait: that stands under its id too, so it has one end
                    return await self._ends.finish(order, order.row, self._failed(order, error))
                running.entered()
                await asyncio.gather(*accepting)

                async def leave() -> None:
                    order.parted = True
                    await turn.aclose()

                return await self._now(running, command, leave=leave, rest=rest)
        except TakenBack:
            sentence = f"{order.subject.verb} was cancelled before it had begun"
            outcome = self._ends.outcome(order, "error", failure=Failure(code="cancelled", message=sentence))
            return await self._ends.finish(order, order.row, outcome)
        except (BrokenOff, asyncio.CancelledError) as error:
            if order.began or order.request.via == "job":
                if isinstance(error, BrokenOff):
                    raise Postponed from error
                raise
            outcome = self._ends.outcome(order, "error", failure=stopped_before(order))
            outcome = await self._ends.finish(order, order.row, outcome)
            if isinstance(error, asyncio.CancelledError):
                raise
            return outcome
        finally:
            await asyncio.gather(*accepting, return_exceptions=True)

    async def _accept(self, running: Running) -> None:
        order = running.order
        await self._journal.accept(order.row)
        running.accepted = True
        failpoint("accepted")
        if not order.began:
            self._ends.stage(order, "accepted")

    async def _now(self, running: Running, command: Command, *, leave: Leave, rest: Rest) -> Outcome:
        order, row = running.order, running.order.row
        permit = self._desk.permit(order, partial(self._begin, running))
        place = structs.replace(self._desk.place(order, permit), leave=leave, rest=rest)
        running.interruption = place.interruption
        if self._bus is not None and order.request.via == "job":
            found = await self._by_another(self._bus, running)
            if found is not None:
                return found
        await permit.admit()
        unmet = await self._unmet(place, order, command)
        if unmet is not None:
            return await self._ends.finish(order, row, unmet)
        cancelled: asyncio.CancelledError | None = None
        try:
            async with self._desk.breakable(order):
                outcome = await self._carried_out(order, permit, place, command)
        except EndedBefore as ended:
            return ended.outcome
        except CannotBegin as found_out:
            raise found_out.error from found_out
        except BrokenOff:
            if not order.began:
                raise
            outcome = await self._broken_off(order)
        except asyncio.CancelledError as error:
            if not order.began:
                raise
            cancelled = error
            outcome = await self._broken_off(order)
        outcome = await self._ends.finish(order, row, outcome)
        if cancelled is not None:
            running.settle(outcome)  # whoever waits for it too was not cancelled
            raise cancelled
        return outcome

    async def _ended(self, running: Running, row: JournalRow) -> Outcome:
        """End a command that was started under this id and has no outcome; wait for what goes on."""
        order = running.order
        try:
            return await self._aftermath.end(row)
        except GoesOn as found:
            running.interruption = found.interruption
            try:
                async with self._desk.breakable(order):
                    outcome = await self._aftermath.waited_for(order, found)
            except BrokenOff as error:
                raise LeftOpen from error
            return await self._ends.finish(order, row, outcome)

    async def _begin(self, running: Running) -> None:
        """Write down that it starts, everywhere, right before it may have an effect.

        Raises:
            NotCarriedOut: it may not begin.
        """
        order = running.order
        order.started_at = self._clock()
        try:
            await self._announce(running)
            running.seal()
            before = await self._journal.start(order.row, order.started_at)
            if before is not None and (before.started_at is not None or before.outcome is not None):
                raise EndedBefore(before.outcome or await self._ended(running, before))
        except CommandFailed as error:
            raise CannotBegin(error) from error
        running.accepted = True
        failpoint("journaled")
        if self._bus is None or order.request.via != "job":
            self._ends.stage(order, "started")
        self._record.started(order)

    async def _by_another(self, bus: Bus, running: Running) -> Outcome | None:
        """Return the outcome of a job that another bridge of this node began, None where none did.

        What that one has on its disk is not here; what it told before it began is in the bucket.
        """
        order = running.order
        async with running.waiting():
            await bus.ours()
            state = None if order.request.again else await bus.seen(order.id, order.subject)
        if state is None or state.stage == "accepted" or state.journal in {"", self._journal.identity}:
            return None
        if state.digest not in {"", order.digest}:
            return self._impostor(order, order.subject._replace(verb=state.verb))
        outcome = state.outcome
        if outcome is not None and outcome.outcome == "refused":
            return None  # it did nothing, and may be allowed now
        if outcome is None:
            try:
                outcome = await self._aftermath.looked_for(order, state.started_at or order.received_at, here=False)
            except GoesOn:
                outcome = self._aftermath.unknown(
                    order, "its process runs, and another bridge of this node looks after it"
                )
        return await self._ends.finish(order, order.row, outcome)

    async def _announce(self, running: Running) -> None:
        """Let the bus know of a job before it begins, so that no other bridge of this node begins it too."""
        order = running.order
        if self._bus is not None and order.request.via == "job":
            self._ends.stage(order, "started")
            async with running.waiting():
                await self._bus.told(order.id)
                if await self._bus.taken_back(order.id, order.subject):
                    raise TakenBack
                await self._bus.ours()
        elif not self._allowed():
            raise CommandFailed(
                "unavailable", "the lease of this node has run out: send it again later; nothing was done"
            )

    async def _unmet(self, place: Place, order: Order, command: Command) -> Outcome | None:
        """Return the outcome of a command whose conditions do not hold, None where they do."""
        try:
            await conditions.check(place, command, self._clock())
        except Stale as error:
            failure = Failure(code="failed_precondition", message=str(error))
            return self._ends.outcome(order, "stale", failure=failure)
        except CommandFailed as error:
            return self._failed(order, error)
        return None

    async def _carried_out(self, order: Order, permit: Permit, place: Place, command: Command) -> Outcome:
        """Carry it out and return the outcome; nothing of that is written down here.

        Raises:
            NotCarriedOut: it did not begin.
            CommandFailed: `refused`, before it began.
        """
        try:
            await permit.begin()
            failpoint("before-effect")
            result = await self._verbs[command.verb](place, command)
            failpoint("after-effect")
        except NotCarriedOut:
            raise
        except CommandFailed as error:
            if error.code == "refused" and not order.began:
                raise
            return self._failed(order, error)
        except Exception:
            log.exception("command %s failed in a way that nobody thought of", order)
            return self._ends.outcome(order, "error", failure=mistake(order))
        return self._ends.outcome(order, "ok", result=result)

    async def _broken_off(self, order: Order) -> Outcome:
        assert order.started_at is not None
        try:
            async with asyncio.timeout(LOOK_S):
                return await self._aftermath.looked_for(order, order.started_at)
        except (GoesOn, TimeoutError) as error:
            raise LeftOpen from error  # the next bridge looks

    def _failed(self, order: Order, error: CommandFailed) -> Outcome:
        word: OutcomeWord = "refused" if error.code == "refused" else "error"
        return self._ends.outcome(order, word, failure=failure_of(error))

    def _impostor(self, order: Order, owner: CommandSubject) -> Outcome:
        sentence = f"the id {order.id} belongs to another command, {owner.verb}: give this one an id of its own"
        outcome = self._ends.outcome(order, "refused", failure=Failure(code="already_exists", message=sentence))
        # Of another container's command nothing stands where this one's outcome is looked for.
        known = order.request.via != "job" or owner[:3] == order.subject[:3]
        return self._ends.publish(order, outcome, known=known, foreign=True)
