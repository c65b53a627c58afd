"""How commands end: one outcome each, on disk before anybody hears of it, then in the log, the bucket and the counts."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from bridge.control.order import Order
from bridge.control.record import CommandRecord
from bridge.errors import BridgeError, CommandFailed
from bridge.failpoint import failpoint
from bridge.model.commands import scrubbed
from bridge.model.events import Failure
from bridge.model.nanos import Nanos
from bridge.model.outcomes import CommandState, ExecResult, Outcome, OutcomeWord, Stage
from bridge.ports import CommandJournal, JournalRow

__all__ = ["Ends", "JournalLost", "Standing", "failure_of", "mistake", "stopped_before"]

log = logging.getLogger(__name__)

Standing: TypeAlias = Callable[[CommandState], None]
"""Takes how a command stands, for whoever asks for it by its id. Returns at once."""


class JournalLost(BridgeError):
    """An outcome could not be written down, so it is none."""


def _without_credentials(order: Order, failure: Failure | None) -> Failure | None:
    """Return the failure without what containerd repeated of passwords, which not even its sender is told again."""
    secrets = order.credentials if failure is not None else []
    if failure is None or not secrets:
        return failure
    words = None if failure.containerd is None else scrubbed(failure.containerd, secrets)
    return replace(failure, message=scrubbed(failure.message, secrets), containerd=words)


def failure_of(error: CommandFailed) -> Failure:
    """Return what an outcome says of an error."""
    return Failure(code=error.code, message=error.message, containerd=error.containerd)


def stopped_before(order: Order) -> Failure:
    """Return why a command ends that had not begun when the bridge stopped."""
    sentence = f"the bridge stopped before {order.subject.verb} was done: it had no effect, send it again"
    return Failure(code="unavailable", message=sentence)


def mistake(order: Order) -> Failure:
    """Return what an exception that nobody thought of is to whoever sent the command; the log file has it."""
    sentence = f"{order.subject.verb} failed by a mistake of the bridge itself: its log file has the details"
    return Failure(code="internal", message=sentence)


class Ends:
    """Ends commands of one node."""

    def __init__(
        self, node: str, journal: CommandJournal, *, record: CommandRecord, tell: Standing, clock: Callable[[], Nanos]
    ) -> None:
        """Take where an end is written to."""
        self._node = node
        self._journal = journal
        self._record = record
        self._tell = tell
        self._clock = clock
        self.counts: Counter[tuple[str, OutcomeWord]] = Counter()
        """Outcomes since the start, by verb and word; a verb that does not exist counts as "?"."""
        self.seconds: dict[str, float] = {}
        """Time from their receipt to their ends, by verb."""

    def stage(self, order: Order, stage: Stage) -> None:
        """Tell that a command has come so far."""
        self._tell(self._state(order, stage, None))

    def outcome(
        self, order: Order, word: OutcomeWord, *, result: Struct | None = None, failure: Failure | None = None
    ) -> Outcome:
        """Make the outcome of a command, and do nothing with it."""
        return Outcome(
            id=order.id,
            verb=order.subject.verb,
            node=self._node,
            outcome=word,
            namespace=order.subject.namespace,
            container=order.subject.container,
            result=result,
            error=_without_credentials(order, failure),
            received_at=order.received_at,
            finished_at=self._clock(),
        )

    def publish(self, order: Order, outcome: Outcome, *, known: bool = False, foreign: bool = False) -> Outcome:
        """Let everybody know of an outcome that stands, and return it.

        Args:
            order: the command.
            outcome: what came of it.
            known: something stands under its id already, and stays.
            foreign: the journal does not have this command; its id may be that of another one.
        """
        verb = order.subject.verb if order.kind else "?"
        self.counts[verb, outcome.outcome] += 1
        took = max(0, (outcome.finished_at or order.received_at) - order.received_at)
        self.seconds[verb] = self.seconds.get(verb, 0.0) + took / 1e9
        if order.is_act:
            error = self._record.told(order, outcome.error)
            log.info("command %s: %s%s", order, outcome.outcome, f", {error.message!r}" if error else "")
        self._record.finished(order, outcome)
        if (order.once or order.request.via == "job") and not known:
            state = self._state(order, "finished", outcome)
            self._tell(replace(state, journal="") if foreign else state)
        return outcome

    async def finish(self, order: Order, row: JournalRow, outcome: Outcome) -> Outcome:
        """End a command that the journal has, on disk first; return the outcome that stands, which is the first one.

        Output that was captured is in what is returned only: it may be large, and may hold secrets.

        Raises:
            JournalLost: the journal has ended, and with it the bridge; nobody may be told of the outcome.
        """
        failpoint("before-result")
        kept = _kept(outcome)
        try:
            standing = await self._journal.finish(row, kept)
        except CommandFailed as error:
            raise JournalLost(f"its outcome cannot be written down: {error}") from error
        failpoint("result-on-disk")
        return standing if standing is not kept else self.publish(order, outcome)

    # -- inside

    def _state(self, order: Order, stage: Stage, outcome: Outcome | None) -> CommandState:
        return CommandState(
            id=order.id,
            verb=order.subject.verb,
            node=self._node,
            stage=stage,
            via=order.request.via,
            namespace=order.subject.namespace,
            container=order.subject.container,
            received_at=order.received_at,
            started_at=order.started_at,
            journal=self._journal.identity,
            digest=order.digest if order.once else "",
            outcome=None if outcome is None else replace(_kept(outcome), error=self._record.told(order, outcome.error)),
        )


def _kept(outcome: Outcome) -> Outcome:
    """Return what journal and bucket keep of an outcome."""
    return replace(outcome, result=outcome.result.bare) if isinstance(outcome.result, ExecResult) else outcome
