"""From a request to its outcome: read it, judge it, wait for its turn, carry it out, record it.

Commands that change a container go through its lane, one after another in the order of arrival. Those that only look do
not queue behind a slow `stop`: they share one lane of their own for the whole node, wide and bounded too. What they see is
the state of that moment, which may be the middle of another command. Those that only wait have another, wider one, so that
waiting for hours keeps nobody from looking.

What changes something takes effect at most once under its id (`bridge.control.once`). What a crash left open is looked for at
the next start (`recover`), and never done again.

Every command that would change something leaves its events, refused ones included: see `bridge.control.record`. A dry run is
judged in the turn that the command would have, and remembered by nobody.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, NamedTuple

from msgspec import Struct

from bridge import trace
from bridge.control import conditions
from bridge.control.aftermath import Aftermath, Answer, nobody_waits
from bridge.control.conditions import Stale
from bridge.control.desk import Bus
from bridge.control.ends import Ends, Standing, failure_of, mistake, stopped_before
from bridge.control.keys import with_key
from bridge.control.lanes import Lanes, LaneStatistics, Rest
from bridge.control.memory import MemoryJournal
from bridge.control.migration.harbour import Harbour
from bridge.control.once import Once
from bridge.control.order import Order, read_order
from bridge.control.policy import JudgedOnly, Permit, Policy
from bridge.control.record import CommandRecord
from bridge.control.running import BrokenOff, LeftOpen, Postponed
from bridge.control.turns import Turns
from bridge.control.verb import (
    Checkpointing,
    Known,
    Permission,
    Place,
    Removing,
    hush,
    nobody_judges,
    nobody_knows,
)
from bridge.control.verbs import VERBS
from bridge.errors import CommandFailed
from bridge.model.commands import Cancel, Command
from bridge.model.events import Failure
from bridge.model.identity import new_ulid
from bridge.model.nanos import Nanos, now
from bridge.model.outcomes import Outcome, OutcomeWord
from bridge.model.outcomes.redaction import concealed
from bridge.ports import (
    AnsweredLater,
    CommandJournal,
    CommandRequest,
    ContainerRuntime,
    JournalRow,
    ObjectSource,
    StdioSessions,
    Tell,
)
from bridge.ports.tracing import NoTraces, Traces

__all__ = ["DispatchStatistics", "Dispatcher"]

log = logging.getLogger(__name__)

NOT_AS_A_JOB = "a job lies in its stream with all its options, a password too: send the command as a request"


class DispatchStatistics(NamedTuple):
    """What the dispatcher has done since the beginning, and what it is doing."""

    outcomes: Mapping[tuple[str, OutcomeWord], int]
    """By verb and outcome; a verb that does not exist counts as "?"."""
    seconds: Mapping[str, float]
    """Time from their receipt to their ends, by verb."""
    changing: LaneStatistics
    observing: LaneStatistics
    under_way: int
    """Changing commands that were received and have no outcome yet."""


class Dispatcher:
    """Takes commands for one node; `handle` is the `CommandHandler` of a `CommandInbox`, `carry_out` that of jobs.

    Call `recover` before the first command, and `stop` before leaving the inbox's context, else that waits for the longest one.
    """

    def __init__(
        self,
        node: str,
        runtime: ContainerRuntime,
        *,
        policy: Policy,
        record: CommandRecord,
        clock: Callable[[], Nanos] = now,
        lanes: Lanes | None = None,
        journal: CommandJournal | None = None,
        standing: Standing = lambda _state: None,
        known: Known = nobody_knows,
        bus: Bus | None = None,
        allowed: Callable[[], bool] = lambda: True,
        tell: Tell = hush,
        objects: ObjectSource | None = None,
        removing: Removing | None = None,
        sessions: StdioSessions | None = None,
        checkpointing: Checkpointing | None = None,
        harbour: Harbour | None = None,
        traces: Traces | None = None,
    ) -> None:
        """Take what the node is and what it allows.

        Args:
            node: this node's name on the bus.
            runtime: its containerd.
            policy: what the node allows.
            record: where commands are recorded.
            clock: wall clock, for the outcome's two times.
            lanes: lanes with other bounds than the default ones.
            journal: what remembers commands; in memory unless given.
            standing: told how each changing command stands.
            known: tells the states of containers as the log has them.
            bus: what the bus knows of jobs; needed where another bridge of this node may have had them.
            allowed: tells whether this bridge is the one of its node now.
            tell: takes how far long commands have come.
            objects: the bus's object stores.
            removing: deletes containers that were run with `rm`.
            sessions: the processes whose stdio is on the bus; none unless given.
            checkpointing: what commands about checkpoints need; there are none of them unless given.
            harbour: where containers leave and arrive; they do not unless given.
            traces: told what commands go through.
        """
        self._node = node
        self._runtime = runtime
        self._policy = policy
        self._record = record
        self._clock = clock
        self._turns = Turns(lanes or Lanes())
        self._given: dict[str, Any] = {
            "tell": tell,
            "objects": objects,
            "removing": removing,
            "sessions": sessions,
            "checkpointing": checkpointing,
            "harbour": harbour,
        }
        self._journal: CommandJournal = MemoryJournal() if journal is None else journal
        self._known = known
        self._ends = Ends(node, self._journal, record=record, tell=standing, clock=clock)
        self._aftermath = Aftermath(node, self._journal, self._ends, self.place)
        self._changing = Once(
            self,
            verbs=VERBS,
            journal=self._journal,
            ends=self._ends,
            aftermath=self._aftermath,
            record=record,
            clock=clock,
            bus=bus,
            allowed=allowed,
        )
        self._traces: Traces = traces or NoTraces()
        self._scopes: dict[asyncio.Timeout, Order] = {}
        self._handling = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._stopping = False

    async def handle(self, request: CommandRequest) -> Outcome:
        """Carry out one command and return its outcome, whatever comes of it.

        Cancelled, the command still leaves its event; the outcome in it is `unknown` if the command had begun.

        Raises:
            AnsweredLater: the bridge stops while a process of the command's goes on.
        """
        with self._counted(), self._traces.command(request) as span:
            order = read_order(request, self._clock())
            try:
                outcome = await (self._changing.carry_out(order) if order.once else self._outcome(order))
                outcome = with_key(outcome, self._given["sessions"])
            except LeftOpen as error:
                raise AnsweredLater from error
            except Postponed:
                outcome = self._ends.outcome(order, "error", failure=stopped_before(order))
            span.ended(outcome)
            return outcome

    async def carry_out(self, request: CommandRequest) -> Outcome | None:
        """Carry out one job and return its outcome; None where the bridge stops before it has begun: leave it in its stream."""
        with self._counted(), self._traces.command(request) as span:
            order = read_order(request, self._clock())
            try:
                outcome = await (self._changing.carry_out(order) if order.once else self._outcome(order))
            except Postponed:
                return None
            span.ended(outcome)
            return outcome

    async def stop(self, *, within: float) -> None:
        """Take no more commands, and return when every one under way has its outcome, but for jobs that have not begun.

        Args:
            within: seconds that they may take; then the rest is interrupted. What had not begun is `unavailable`, what had
                is looked at, and `unknown` unless it shows what came of it.
        """
        self._stopping = True
        self._changing.stop_waiting()
        # What they wait for may be hours away, and they may be asked again, or go on in the next bridge.
        self._break(lambda order: order.lasting or order.parted)
        await self._aftermath.stop()
        try:
            async with asyncio.timeout(within):
                await self._quiet.wait()
        except TimeoutError:
            log.warning("%d commands are broken off: they took longer than %.1f s", self._handling, within)
            self._break(lambda _: True)
            self._changing.break_off()
            await self._quiet.wait()

    def _break(self, chosen: Callable[[Order], bool]) -> None:
        for scope, order in self._scopes.items():
            if chosen(order):
                scope.reschedule(0)  # long past on the loop's clock: its body is cancelled now

    def statistics(self) -> DispatchStatistics:
        """Return the counts since the beginning and how full the lanes are now."""
        return DispatchStatistics(
            dict(self._ends.counts),
            dict(self._ends.seconds),
            self._turns.changing,
            self._turns.observing,
            len(self._changing.running),
        )

    async def recover(self, answer: Answer = nobody_waits) -> list[tuple[JournalRow, Outcome]]:
        """End what an earlier run of the bridge left open, by looking; see `Aftermath.recover`."""

        async def keyed(reply: str, outcome: Outcome) -> None:
            await answer(reply, with_key(outcome, self._given["sessions"]))

        return await self._aftermath.recover(self._changing.running, keyed)

    # -- commands that do not

    async def _outcome(self, order: Order) -> Outcome:
        try:
            result = await self._carry_out(order)
        except JudgedOnly as judged:
            outcome = self._ends.outcome(order, "ok", result=judged.result)
        except CommandFailed as error:
            word: OutcomeWord = "refused" if error.code == "refused" else "error"
            outcome = self._ends.outcome(order, word, failure=failure_of(error))
        except Stale as error:
            failure = Failure(code="failed_precondition", message=str(error))
            outcome = self._ends.outcome(order, "stale", failure=failure)
        except BrokenOff:
            outcome = self._ends.outcome(order, "error", failure=stopped_before(order))
        except asyncio.CancelledError:
            self._ends.publish(order, self._ends.outcome(order, "error", failure=stopped_before(order)), known=True)
            raise
        except Exception:
            log.exception("command %s failed in a way that nobody thought of", order)
            outcome = self._ends.outcome(order, "error", failure=mistake(order))
        else:
            outcome = self._ends.outcome(order, "ok", result=result)
        known = order.request.via == "job" and await self._changing.has_another(order)
        return self._ends.publish(order, outcome, known=known, foreign=True)

    async def _carry_out(self, order: Order) -> Struct:
        command = self.accepted(order)

        async with self.breakable(order):
            try:
                async with self.turn(order):
                    return await self._now(order, command)
            except CommandFailed as error:
                if error.code != "not_found" or not self._turns.follows(order):
                    raise
            async with self._turns.behind(order):
                return await self._now(order, command)

    async def _now(self, order: Order, command: Command) -> Struct:
        async def begin() -> None:
            if not order.began:
                order.began = True
                self._record.started(order)

        permit = self.permit(order, begin)
        place = self.place(order, permit)
        await permit.admit()
        await conditions.check(place, command, self._clock())
        await permit.begin()
        if isinstance(command, Cancel):
            return await self._changing.cancel(command, order.subject)
        result = await VERBS[command.verb](place, command)
        return result if permit.shows_all else concealed(result)

    # -- inside

    def accepted(self, order: Order) -> Command:
        """Judge the order: who it is for first, then what is allowed, then whether it makes sense."""
        subject = order.subject
        if subject.node != self._node:
            raise CommandFailed("invalid_argument", f"this is node {self._node}: send the command to {subject.node!r}")
        if order.kind is None:
            raise CommandFailed(
                "unimplemented", f"there is no command {subject.verb!r}: choose from {', '.join(sorted(VERBS))}"
            )
        order.check_target(order.kind)
        self._policy.admit(order)
        if order.request.via == "job" and not order.once:
            what = f"a dry run of {subject.verb}" if order.dry_run else subject.verb
            raise CommandFailed(
                "invalid_argument", f"{what} is for now or not at all: send it as a request, not as a job"
            )
        if order.flaw is not None:
            raise order.flaw
        if order.request.via == "job" and order.credentials:
            raise CommandFailed("invalid_argument", NOT_AS_A_JOB)
        if self._stopping:
            if order.request.via == "job":
                raise Postponed
            raise CommandFailed("unavailable", f"the bridge on node {self._node} is stopping: send it again later")
        assert order.command is not None
        conditions.check_sense(order.command, order.received_at)
        return order.command

    def permit(self, order: Order, begin: Callable[[], Awaitable[None]]) -> Permit:
        """Return what asks the policy in the command's turn."""
        return Permit(self._policy, order, self._runtime.containers, begin=begin)

    def place(self, order: Order, permit: Permission = nobody_judges) -> Place:
        """Return where the command works. What a dry run makes and takes away again belongs to no command."""
        return Place(
            runtime=self._runtime,
            node=self._node,
            followed=self._policy.namespaces,
            namespace=order.subject.namespace,
            container=order.subject.container,
            command_id=new_ulid() if order.dry_run else order.id,
            permit=permit,
            anchor=self._policy.anchor,
            known=self._known,
            described=self._policy.described,
            **self._given,
        )

    @asynccontextmanager
    async def turn(self, order: Order, queued: Callable[[], None] = lambda: None) -> AsyncIterator[Rest]:
        """Wait for the command's turn; `queued` is called where it has to wait."""
        async with AsyncExitStack() as turn:
            with trace.step("queued"):
                rest = await turn.enter_async_context(self._turns.turn(order, queued))
            yield rest

    @asynccontextmanager
    async def breakable(self, order: Order) -> AsyncIterator[None]:
        """Let `stop` break off what is inside, and nothing else that times out be taken for that."""
        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._scopes[scope] = order
                try:
                    yield
                finally:
                    del self._scopes[scope]
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise BrokenOff from error

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._handling += 1
        self._quiet.clear()
        try:
            yield
        finally:
            self._handling -= 1
            if not self._handling:
                self._quiet.set()
