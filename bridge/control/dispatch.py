"""From a request to its outcome: read it, judge it, wait for its turn, carry it out, record it.

Commands that change a container go through its lane, one after another in the order of arrival. Those that only look do
not queue behind a slow `stop`: they share one lane of their own for the whole node, wide and bounded too. What they see is
the state of that moment, which may be the middle of another command.

Every command that would change something leaves its events, refused ones included: see `bridge.control.record`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import MappingProxyType
from typing import Any, NamedTuple

from msgspec import Struct

from bridge.control import creation, images, lifecycle, observe
from bridge.control.lanes import Lane, Lanes, LaneStatistics
from bridge.control.order import Order, read_order
from bridge.control.policy import ASKING, JudgedOnly, Permit, Policy
from bridge.control.record import CommandRecord
from bridge.control.verb import Place, Removing, Verb, hush
from bridge.errors import CommandFailed
from bridge.model.commands import Command
from bridge.model.events import Failure
from bridge.model.nanos import Nanos, now
from bridge.model.outcomes import Outcome, OutcomeWord
from bridge.ports import CommandRequest, ContainerRuntime, ObjectSource, Tell

__all__ = ["VERBS", "DispatchStatistics", "Dispatcher"]

log = logging.getLogger(__name__)

OBSERVING_WIDTH = 16
"""Looks at containerd at the same time: its database answers one after another anyway, in milliseconds."""

OBSERVING_WAITING = 1_000

IMAGES_WIDTH = 4
IMAGES_WAITING = 64
"""Images that come or go at the same time: each takes the network and the disk to itself."""

VERBS: Mapping[str, Verb] = MappingProxyType({**observe.VERBS, **lifecycle.VERBS, **creation.VERBS, **images.VERBS})
"""Verb -> coroutine, of every family."""


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
        policy: Policy,
        record: CommandRecord,
        clock: Callable[[], Nanos] = now,
        lanes: Lanes | None = None,
        tell: Tell = hush,
        objects: ObjectSource | None = None,
        removing: Removing | None = None,
    ) -> None:
        """Take what the node is and what it allows.

        Args:
            node: this node's name on the bus.
            runtime: its containerd.
            policy: what the node allows.
            record: where commands are recorded.
            clock: wall clock, for the outcome's two times.
            lanes: lanes with other bounds than the default ones.
            tell: takes how far long commands have come.
            objects: the bus's object stores.
            removing: deletes containers that were run with `rm`.
        """
        self._node = node
        self._runtime = runtime
        self._policy = policy
        self._record = record
        self._clock = clock
        self._lanes = lanes or Lanes()
        self._given: dict[str, Any] = {"tell": tell, "objects": objects, "removing": removing}
        self._images = Lane("this node's images", width=IMAGES_WIDTH, waiting=IMAGES_WAITING)
        self._observing = Lane("this node's containerd", width=OBSERVING_WIDTH, waiting=OBSERVING_WAITING)
        self._outcomes: Counter[tuple[str, OutcomeWord]] = Counter()
        self._scopes: set[asyncio.Timeout] = set()
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
        try:
            async with asyncio.timeout(within):
                await self._quiet.wait()
        except TimeoutError:
            log.warning("%d commands are broken off: they took longer than %.1f s", self._handling, within)
            for scope in self._scopes:
                scope.reschedule(0)  # long past on the loop's clock: its body is cancelled now
            await self._quiet.wait()

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
        permit = self._permit(order)
        place = Place(
            runtime=self._runtime,
            node=self._node,
            followed=self._policy.namespaces,
            namespace=order.subject.namespace,
            container=order.subject.container,
            permit=permit,
            command_id=order.id,
            **self._given,
        )
        async with self._breakable(), self._turn(order):
            try:
                await permit.admit()
                order.began = True
                return await VERBS[command.verb](place, command)
            except JudgedOnly as judged:
                return judged.result

    def _permit(self, order: Order) -> Permit:
        return Permit(
            self._policy,
            order,
            self._runtime.containers,
            allowed=lambda: self._record.started(order),
            last=order.subject.verb not in ASKING,
        )

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
        self._policy.admit(order)
        if order.flaw is not None:
            raise order.flaw
        if self._stopping:
            raise CommandFailed("unavailable", f"the bridge on node {self._node} is stopping: send it again later")
        assert order.command is not None
        return order.command

    @asynccontextmanager
    async def _breakable(self) -> AsyncIterator[None]:
        """Let `stop` break off what is inside, and nothing else that times out be taken for that."""
        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._scopes.add(scope)
                try:
                    yield
                finally:
                    self._scopes.discard(scope)
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise _BrokenOff from error

    def _turn(self, order: Order) -> AbstractAsyncContextManager[None]:
        if not order.changes:
            return self._observing.turn()
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
        if order.is_act:
            log.info("command %s: %s%s", order, word, f", {failure.message!r}" if failure else "")
        self._record.finished(order, outcome)
        return outcome
