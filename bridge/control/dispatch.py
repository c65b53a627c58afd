"""From a request to its outcome: read it, judge it, wait for its turn, carry it out, record it.

Commands that change a container go through its lane, one after another in the order of arrival. Those that only look do
not queue behind a slow `stop`: they share one lane of their own for the whole node, wide and bounded too. What they see is
the state of that moment, which may be the middle of another command. Those that only wait have another, wider one, so that
waiting for hours keeps nobody from looking.

Every command that would change a container leaves a `CommandRecorded` event of it, whatever its outcome, refused ones
included. Commands that only look leave none (a monitoring program would drown the log), and neither do those whose
subject names no container that could exist, since there is nowhere to record them; a warning in the log file says so.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from msgspec import Struct

from bridge.control import creation, execution, images, lifecycle, limits, observe, stats, waiting
from bridge.control.lanes import Lane, Lanes, LaneStatistics
from bridge.control.order import Order, read_order
from bridge.control.policy import Policy
from bridge.control.verb import Judge, Known, Place, Removing, Verb, hush, nobody_knows, permit
from bridge.errors import CommandFailed
from bridge.model.commands import Command, Group
from bridge.model.events import CommandRecorded, Failure
from bridge.model.nanos import Nanos, now
from bridge.model.outcomes import Outcome, OutcomeWord
from bridge.ports import CommandRequest, ContainerRuntime, ObjectSource, StdioSessions, Tell

__all__ = ["VERBS", "DispatchStatistics", "Dispatcher", "Record"]

log = logging.getLogger(__name__)

OBSERVING_WIDTH = 16
"""Looks at containerd at the same time: its database answers one after another anyway, in milliseconds."""

OBSERVING_WAITING = 1_000

IMAGES_WIDTH = 4
IMAGES_WAITING = 64
"""Images that come or go at the same time: each takes the network and the disk to itself."""

LASTING_WIDTH = 512
"""Commands that only wait, at the same time: each is a call to containerd that stays open, and a task here, 20 KiB together.
A quarter of what the inbox takes, so that there is always room for others."""

VERBS: Mapping[str, Verb] = MappingProxyType(
    {
        **observe.VERBS,
        **stats.VERBS,
        **waiting.VERBS,
        **lifecycle.VERBS,
        **limits.VERBS,
        **creation.VERBS,
        **images.VERBS,
        **execution.VERBS,
    }
)
"""Verb -> coroutine, of every family."""

Record: TypeAlias = Callable[[str, str, CommandRecorded, str], None]
"""Takes namespace, container, event and command id, for the container's log. Returns at once."""


class DispatchStatistics(NamedTuple):
    """What the dispatcher has done since the beginning, and what it is doing."""

    outcomes: Mapping[tuple[str, OutcomeWord], int]
    """By verb and outcome; a verb that does not exist counts as "?"."""
    changing: LaneStatistics
    observing: LaneStatistics


class _BrokenOff(Exception):
    """The bridge stops before the command has come to its end."""


class Dispatcher:
    """Takes commands for one node; `handle` is the `CommandHandler` of a `CommandInbox`.

    Call `stop` before leaving the inbox's context, else that waits for the longest command.
    """

    def __init__(
        self,
        node: str,
        runtime: ContainerRuntime,
        *,
        groups: Collection[Group],
        record: Record,
        foreign: bool = False,
        namespaces: Collection[str] = (),
        clock: Callable[[], Nanos] = now,
        lanes: Lanes | None = None,
        judge: Judge = permit,
        tell: Tell = hush,
        objects: ObjectSource | None = None,
        removing: Removing | None = None,
        known: Known = nobody_knows,
        sessions: StdioSessions | None = None,
    ) -> None:
        """Take what the node is and what it allows.

        Args:
            node: this node's name on the bus.
            runtime: its containerd.
            groups: the command groups that are switched on.
            record: where the events of commands go.
            foreign: whether containers of `moby` and `k8s.io` may be changed.
            namespaces: the only namespaces that may be commanded; none means every one.
            clock: wall clock, for the outcome's two times.
            lanes: lanes with other bounds than the default ones.
            judge: has the last word on the spec of a new container.
            tell: takes how far long commands have come.
            objects: the bus's object stores.
            removing: deletes containers that were run with `rm`.
            known: tells the states of containers as the log has them.
            sessions: the processes whose stdio is on the bus; none unless given.
        """
        self._node = node
        self._runtime = runtime
        self._policy = Policy(groups=frozenset(groups), foreign=foreign, namespaces=frozenset(namespaces))
        self._sessions = sessions
        self._record = record
        self._clock = clock
        self._lanes = lanes or Lanes()
        self._given: dict[str, Any] = {"judge": judge, "tell": tell, "objects": objects, "removing": removing}
        self._images = Lane("this node's images", width=IMAGES_WIDTH, waiting=IMAGES_WAITING)
        self._observing = Lane("this node's containerd", width=OBSERVING_WIDTH, waiting=OBSERVING_WAITING)
        self._lasting = Lane("what happens on this node", width=LASTING_WIDTH, waiting=0)
        self._known = known
        self._outcomes: Counter[tuple[str, OutcomeWord]] = Counter()
        self._scopes: dict[asyncio.Timeout, Order] = {}
        self._handling = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._stopping = False

    async def handle(self, request: CommandRequest) -> Outcome:
        """Carry out one command and return its outcome, whatever comes of it.

        Cancelled, the command still leaves its event; the outcome in it is `unknown` if the command had begun.
        """
        order = read_order(request, self._clock())
        self._handling += 1
        self._quiet.clear()
        try:
            return await self._outcome(order)
        finally:
            self._handling -= 1
            if not self._handling:
                self._quiet.set()

    async def stop(self, *, within: float) -> None:
        """Take no more commands, and return when every one under way has its outcome.

        Args:
            within: seconds that they may take; then the rest is interrupted. What had not begun is `unavailable`, what had
                is `unknown`: it may have taken effect.
        """
        self._stopping = True
        self._break(lambda order: order.lasting)  # what they wait for may be hours away, and they may be asked again
        try:
            async with asyncio.timeout(within):
                await self._quiet.wait()
        except TimeoutError:
            log.warning("%d commands are broken off: they took longer than %.1f s", self._handling, within)
            self._break(lambda _: True)
            await self._quiet.wait()

    def _break(self, chosen: Callable[[Order], bool]) -> None:
        for scope, order in self._scopes.items():
            if chosen(order):
                scope.reschedule(0)  # long past on the loop's clock: its body is cancelled now

    def statistics(self) -> DispatchStatistics:
        """Return the counts since the beginning and how full the lanes are now."""
        return DispatchStatistics(dict(self._outcomes), self._lanes.statistics(), self._observing.statistics())

    # -- the way of one command

    async def _outcome(self, order: Order) -> Outcome:
        try:
            result = await self._carry_out(order)
        except CommandFailed as error:
            failure = Failure(code=error.code, message=error.message, containerd=error.containerd)
            return self._finish(order, "refused" if error.code == "refused" else "error", failure=failure)
        except _BrokenOff:
            return self._break_off(order)
        except asyncio.CancelledError:
            self._break_off(order)
            raise
        except Exception:
            log.exception("command %s failed in a way that nobody thought of", order)
            sentence = f"{order.subject.verb} failed by a mistake of the bridge itself: its log file has the details"
            return self._finish(order, "error", failure=Failure(code="internal", message=sentence))
        return self._finish(order, "ok", result=result)

    async def _carry_out(self, order: Order) -> Struct:
        command = self._accepted(order)
        async with self._breakable(order), AsyncExitStack() as turn:
            place = Place(
                runtime=self._runtime,
                node=self._node,
                followed=self._policy.namespaces,
                namespace=order.subject.namespace,
                container=order.subject.container,
                command_id=order.id,
                sessions=self._sessions,
                leave=turn.aclose,
                **self._given,
                known=self._known,
            )
            await turn.enter_async_context(self._turn(order))
            order.began = True
            return await VERBS[command.verb](place, command)

    def _accepted(self, order: Order) -> Command:
        """Judge the order: who it is for first, then what is allowed, then whether it makes sense."""
        subject = order.subject
        if subject.node != self._node:
            raise CommandFailed("invalid_argument", f"this is node {self._node}: send the command to {subject.node!r}")
        if order.kind is None:
            raise CommandFailed(
                "unimplemented", f"there is no command {subject.verb!r}: choose from {', '.join(sorted(VERBS))}"
            )
        order.check_target(order.kind)
        self._policy.check(order.kind, subject.namespace)
        if order.flaw is not None:
            raise order.flaw
        if self._stopping:
            raise CommandFailed("unavailable", f"the bridge on node {self._node} is stopping: send it again later")
        assert order.command is not None
        return order.command

    @asynccontextmanager
    async def _breakable(self, order: Order) -> AsyncIterator[None]:
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
            raise _BrokenOff from error

    def _turn(self, order: Order) -> AbstractAsyncContextManager[None]:
        if not order.changes:
            return (self._lasting if order.lasting else self._observing).turn()
        return self._lanes.turn(*order.target) if order.target else self._images.turn()

    # -- its end

    def _break_off(self, order: Order) -> Outcome:
        verb, container = order.subject.verb, order.subject.container
        if order.undecided:
            look = f"inspect container {container}" if container else "look at the images"
            sentence = f"the bridge stopped in the middle of {verb}: {look} to see how far it came"
            return self._finish(order, "unknown", failure=Failure(code="unknown", message=sentence))
        sentence = f"the bridge stopped before {verb} was done: it had no effect, send it again"
        return self._finish(order, "error", failure=Failure(code="unavailable", message=sentence))

    def _finish(
        self, order: Order, word: OutcomeWord, *, result: Struct | None = None, failure: Failure | None = None
    ) -> Outcome:
        outcome = Outcome(
            id=order.id,
            verb=order.subject.verb,
            node=self._node,
            outcome=word,
            namespace=order.subject.namespace,
            container=order.subject.container,
            result=result,
            error=failure,
            received_at=order.received_at,
            finished_at=self._clock(),
        )
        self._outcomes[order.subject.verb if order.kind else "?", word] += 1
        if order.changes:
            log.info("command %s: %s%s", order, word, f", {failure.message!r}" if failure else "")
            self._leave_event(order, outcome)
        return outcome

    def _leave_event(self, order: Order, outcome: Outcome) -> None:
        if order.target is None:
            if order.kind is not None and order.kind.targets != "container":
                return  # images are in a namespace, and no container's log tells of them
            log.warning("command %s names no container that could exist: it is recorded here only", order)
            return
        namespace, container = order.target
        event = CommandRecorded(
            container_id=container,
            command_id=order.id,
            verb=outcome.verb,
            outcome=outcome.outcome,
            options=order.options,
            error=outcome.error,
            received_at=outcome.received_at,
            finished_at=outcome.finished_at,
        )
        try:
            self._record(namespace, container, event, order.id)
        except Exception:
            log.exception("command %s is not recorded", order)
