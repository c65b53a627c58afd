"""A command that was received and has no outcome yet: whoever else asks for it waits for that, and it can be taken back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bridge.control.order import Order
from bridge.control.verb import Interruption
from bridge.errors import CommandFailed
from bridge.model.outcomes import Outcome

__all__ = [
    "BrokenOff",
    "CannotBegin",
    "EndedBefore",
    "LeftOpen",
    "NotCarriedOut",
    "Postponed",
    "Running",
    "TakenBack",
]


class NotCarriedOut(Exception):
    """Why a command is not carried out, or not to its end. It passes through the verb: nobody there may take it for a failure."""


class BrokenOff(NotCarriedOut):
    """The bridge stops before the command has come to its end."""


class Postponed(NotCarriedOut):
    """The bridge stops before the job has begun: it is carried out after the next start."""


class LeftOpen(Postponed):
    """The bridge stops while a process of the command's goes on: the next one ends the command, and answers."""


class TakenBack(NotCarriedOut):
    """Somebody took the command back before it had begun."""


class EndedBefore(NotCarriedOut):
    """The journal knows an outcome of it already."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.outcome)
        self.outcome = outcome


class CannotBegin(NotCarriedOut):
    """What has to come before its effect failed, so it has none."""

    def __init__(self, error: CommandFailed) -> None:
        super().__init__(str(error))
        self.error = error


class Running:
    """One command on its way."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.interruption: Interruption | None = None
        self.accepted = False
        """Whether it stands in the journal."""
        self._scope: asyncio.Timeout | None = None
        self._why: Exception | None = None

    def settle(self, outcome: Outcome) -> Outcome:
        """Let those who wait have the outcome."""
        self.outcome.set_result(outcome)
        return outcome

    def fail(self, error: BaseException) -> None:
        """Let those who wait hear that there will be none now."""
        if not self.outcome.done():
            gone = LeftOpen() if self.order.began else Postponed()
            self.outcome.set_exception(gone if isinstance(error, asyncio.CancelledError) else error)
            self.outcome.exception()  # nobody need be waiting

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[None]:
        """Let what is inside be broken off by the methods below, until `entered` is called; at once where it has been already.

        Raises:
            Postponed: the bridge stops.
            TakenBack: somebody took the command back.
        """
        self._still_wanted()  # it may have been broken off while the journal was asked for it
        scope = self._scope = asyncio.timeout(None)
        try:
            async with scope:
                if self._why is not None:  # it was broken off before it came to wait
                    scope.reschedule(0)
                yield
        except TimeoutError as error:
            if self._why is None or not scope.expired():
                raise
            raise self._why from error
        finally:
            self._scope = None

    def entered(self) -> None:
        """Its turn has come: from here on nothing is cancelled, and `seal` tells whether it was broken off."""
        self._scope = None

    def seal(self) -> None:
        """Begin: from here on it may have an effect, and is taken back only where its verb lets it.

        Raises:
            Postponed, TakenBack, BrokenOff: it was broken off before.
        """
        self._still_wanted()
        self.order.began = True

    def _still_wanted(self) -> None:
        if self._why is not None:
            raise self._why

    def postpone(self) -> None:
        """Break it off if it waits for its turn."""
        self._break_off(Postponed())

    def break_off(self) -> None:
        """End it if it has not begun."""
        self._break_off(BrokenOff())

    def take_back(self) -> bool:
        """Take it back; return whether it had begun.

        Raises:
            CommandFailed: `failed_precondition`: it is being carried out, and its verb cannot be interrupted there.
        """
        interruptible = self.interruption is not None and self.interruption.possible
        if not self.order.began:
            self._break_off(TakenBack())
            if self.interruption is not None and interruptible:  # what a verb prepares before it begins may take long
                self.interruption.interrupt()
            return False
        if self.interruption is None or not interruptible:
            verb = self.order.subject.verb
            raise CommandFailed(
                "failed_precondition", f"{verb} {self.order.id} is being carried out and cannot be interrupted there"
            )
        self.interruption.interrupt()
        return True

    def _break_off(self, why: Exception) -> None:
        if self._why is None and not self.order.began:
            self._why = why
            if self._scope is not None:
                self._scope.reschedule(0)  # long past on the loop's clock: its body is cancelled now
