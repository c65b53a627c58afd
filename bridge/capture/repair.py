"""The repair: what containerd did not tell is found in its lists, and told.

After every gap, and every few minutes besides (the audit), the log is compared with what containerd lists. The two move while
that goes on, so a look goes like this:

    note how far the log is; list; probe; compare, behind everything that was delivered before the probe came back

Every event that was published before the list is in the log by then. A container without a newer event than the one noted
has not moved: where it differs, something was never told. One that has moved may be told right by the stream while the list
is older, or the other way round; it is looked at again, a few times, and then left to the next audit.

While the subscription is live nothing should ever differ. Some of what does is under way: a shim has changed and has not told
yet. So an audit believes a difference only when it sees it twice, and no event of that container has come in between.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future
from typing import Final, NamedTuple, NoReturn, Protocol, TypeVar

from msgspec import Struct

from bridge.capture.ledger import Ledger
from bridge.capture.reconcile import Difference, differences
from bridge.errors import InventoryFailed
from bridge.model.events import UNSEEN
from bridge.model.nanos import Nanos, now
from bridge.model.node_events import NodeReconciled
from bridge.ports import ContainerId, Inventory, InventorySource, Observed, Subscription

__all__ = ["Gap", "Recording", "Repair", "RepairStatistics"]

log = logging.getLogger(__name__)

AUDIT_S: Final = 300.0
"""Between two audits, give or take a tenth, so that the hosts of a cluster do not all list at the same time."""

LOOKS: Final = 5
"""At containers that move, before they are left to the next audit."""

AGAIN_S: Final = 0.1
"""Before the next look after a gap."""

TWICE_S: Final = 1.0
"""Between the two looks of an audit: what is under way for longer is held up."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 10.0
"""Between two attempts while containerd does not list."""

NAMED: Final = 5
"""Containers that are named in the log file, of those that differ."""

T = TypeVar("T")


class Recording(Protocol):
    """What the repair needs of the recorder."""

    def submit(self, observed: Observed) -> None:
        """Hand over an event."""
        ...

    def consult(self, question: Callable[[Ledger], Iterable[Observed]]) -> None:
        """Have the recorder's thread ask a question of the ledger, and record what it answers."""
        ...


class Gap(Struct, frozen=True, kw_only=True):
    """What a gap means for the tasks that are not there any more after it.

    Attributes:
        unseen: why nobody knows how they ended, a reason of `TaskExit`.
        ended_before: position in the log up to which every task has ended, since the host was rebooted; None where it was not.
    """

    unseen: str = UNSEEN
    ended_before: int | None = None


class RepairStatistics(Struct, frozen=True, kw_only=True):
    """The repair in numbers, since the start."""

    told: int
    """Reconciled events."""
    lost: int
    """Ends of tasks of which nobody knows how."""
    divergences: int
    """Containers that differed while the subscription was live; this should stay 0."""
    unsettled: int
    """Containers that never stood still in the last repair."""
    unanswered: int
    """Tasks whose shim did not answer in the last look."""
    failures: int
    """Times that containerd did not list."""
    audited_at: Nanos | None
    """When the last audit ended."""


class _Look(Struct, frozen=True, kw_only=True):
    """One look: the log's position before it, and the inventory."""

    since: int
    inventory: Inventory


class _Compared(NamedTuple):
    """What differed and was told, and the containers that differ and have moved."""

    still: list[Difference]
    moving: frozenset[ContainerId]


class Repair:
    """Repairs the log. `run` is a task of the event loop for the length of one subscription."""

    def __init__(
        self,
        inventory: InventorySource,
        recorder: Recording,
        *,
        namespaces: Sequence[str] = (),
        audit_s: float = AUDIT_S,
    ) -> None:
        """Take both sides.

        Args:
            inventory: says what there is.
            recorder: knows what was told.
            namespaces: what is followed; empty for all.
            audit_s: seconds between two audits.
        """
        self._inventory = inventory
        self._recorder = recorder
        self._namespaces = frozenset(namespaces) or None
        self._audit_s = audit_s
        self.pending: str | None = "containerd has not been asked yet what there is"
        """Why the log does not say what containerd lists; None while it does."""
        self.settled = asyncio.Event()
        """Set while nothing is pending."""
        self._open: Gap | None = None
        self._told = self._lost = self._divergences = self._unanswered = self._failures = 0
        self._unsettled: frozenset[ContainerId] = frozenset()
        self._audited_at: Nanos | None = None

    async def run(self, subscription: Subscription, gap: Gap, repaired: Callable[[], None]) -> NoReturn:
        """Repair what the gap before this subscription left out, then audit for ever.

        Args:
            subscription: proven live.
            gap: the one before it.
            repaired: called when all of the repair is committed, that of earlier gaps included.

        Raises:
            SourceLost: the subscription has ended.
        """
        self.pending = "what happened in the gap is not in the log yet"
        self.settled.clear()
        if self._open is not None:  # the subscription did not last until the last gap was repaired
            gap = Gap(
                unseen=gap.unseen if gap.unseen == self._open.unseen else UNSEEN,
                ended_before=self._open.ended_before if gap.ended_before is None else gap.ended_before,
            )
        self._open = gap
        await self._insist(subscription, gap)
        await self._ask(lambda _ledger: (None, ()))  # answered when what was told is committed
        self._open = self.pending = None
        repaired()
        self.settled.set()
        while True:
            await asyncio.sleep(self._audit_s * random.uniform(0.9, 1.1))  # noqa: S311 - jitter, no secret
            try:
                await self._audit(subscription)
            except InventoryFailed as error:
                self._failures += 1
                log.warning("the log was not compared with containerd's lists: %s", error)
            else:
                self._audited_at = now()

    def statistics(self) -> RepairStatistics:
        """Return it in numbers."""
        return RepairStatistics(
            told=self._told,
            lost=self._lost,
            divergences=self._divergences,
            unsettled=len(self._unsettled),
            unanswered=self._unanswered,
            failures=self._failures,
            audited_at=self._audited_at,
        )

    # -- after a gap

    async def _insist(self, subscription: Subscription, gap: Gap) -> None:
        pause = FIRST_PAUSE_S
        while True:
            try:
                await self._repair(subscription, gap)
            except InventoryFailed as error:
                self._failures += 1
                if str(error) != self.pending:
                    log.warning("the gap cannot be repaired yet, and stays open: %s", error)
                    self.pending = str(error)
            else:
                return
            await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - jitter, no secret
            pause = min(pause * 2, LONGEST_PAUSE_S)

    async def _repair(self, subscription: Subscription, gap: Gap) -> None:
        first = look = await self._look(subscription, None)
        compared = await self._compare(look, None, gap, since=look.since)
        told = compared.still
        for _ in range(LOOKS - 1):
            if not compared.moving:
                break
            await asyncio.sleep(AGAIN_S)
            look = await self._look(subscription, compared.moving)
            compared = await self._compare(look, compared.moving, gap, since=look.since)
            told += compared.still
        self._unsettled = compared.moving
        if self._unsettled:
            log.warning("%d containers never stood still and are left to the next audit", len(self._unsettled))
        self._reconciled(first.inventory, told, audit=False)
        log.info(
            "the log says what containerd lists: %d containers, %d events told, %d ends of which nobody knows how",
            len(first.inventory.containers),
            _events(told),
            _lost(told),
        )

    # -- while nothing should differ

    async def _audit(self, subscription: Subscription) -> None:
        first = await self._look(subscription, None)
        suspects = await self._ask(lambda ledger: (frozenset(_keys(differences(ledger, first.inventory))), ()))
        told: list[Difference] = []
        if suspects:
            await asyncio.sleep(TWICE_S)
            second = await self._look(subscription, suspects)
            compared = await self._compare(second, suspects, Gap(), since=first.since)
            told, left = compared.still, self._unsettled
            self._unsettled = compared.moving
            silent = [one for one in told if one.container not in left and not one.described_only]
            self._divergences += len(silent)
            _warn(silent)
        else:
            self._unsettled = frozenset()
        if told:
            self._reconciled(first.inventory, told, audit=True)

    def _reconciled(self, inventory: Inventory, told: Sequence[Difference], *, audit: bool) -> None:
        event = NodeReconciled(
            listed_at=inventory.before,
            containers=len(inventory.containers),
            told=_events(told),
            lost=_lost(told),
            unanswered=self._unanswered,
            unsettled=len(self._unsettled),
            audit=audit,
        )
        moment = now()
        self._recorder.submit(Observed(event, None, None, moment, moment))

    # -- one look

    async def _look(self, subscription: Subscription, only: Collection[ContainerId] | None) -> _Look:
        def begin(ledger: Ledger) -> tuple[tuple[int, list[ContainerId]], Iterable[Observed]]:
            execs_of = [(state.namespace, state.container) for state in ledger.states() if state.execs]
            return (ledger.last_n, execs_of if only is None else [key for key in execs_of if key in only]), ()

        since, execs_of = await self._ask(begin)
        namespaces = self._namespaces if only is None else frozenset(namespace for namespace, _ in only)
        inventory = await self._inventory.take(namespaces, execs_of=execs_of)
        await subscription.probe()
        if only is None:
            infos = inventory.containers.values()
            self._unanswered = sum(info.task is not None and info.task.status == "unknown" for info in infos)
        return _Look(since=since, inventory=inventory)

    async def _compare(self, look: _Look, only: Collection[ContainerId] | None, gap: Gap, *, since: int) -> _Compared:
        """Tell what differs and has not moved since this position; return it, and what has."""

        def compare(ledger: Ledger) -> tuple[_Compared, Iterable[Observed]]:
            found = list(
                differences(ledger, look.inventory, only=only, unseen=gap.unseen, ended_before=gap.ended_before)
            )
            still = [difference for difference in found if difference.place <= since]
            moving = frozenset(_keys(found)) - frozenset(_keys(still))
            return _Compared(still, moving), [one for difference in still for one in difference.events]

        compared = await self._ask(compare)
        self._told += _events(compared.still)
        self._lost += _lost(compared.still)
        return compared

    async def _ask(self, question: Callable[[Ledger], tuple[T, Iterable[Observed]]]) -> T:
        """Have the recorder's thread ask; return the first part of the answer, the second is recorded.

        What goes wrong there must not end the recorder: events are worth more than their repair.
        """
        answer: Future[T] = Future()

        def ask(ledger: Ledger) -> Iterable[Observed]:
            if not answer.set_running_or_notify_cancel():
                return ()
            try:
                found, events = question(ledger)
            except Exception as error:
                log.exception("the log could not be compared with what containerd lists")
                answer.set_exception(InventoryFailed(f"it could not be compared with the log: {error!r}"))
                return ()
            answer.set_result(found)
            return events

        self._recorder.consult(ask)
        return await asyncio.wrap_future(answer)


def _keys(found: Iterable[Difference]) -> Iterable[ContainerId]:
    return (difference.container for difference in found)


def _events(found: Iterable[Difference]) -> int:
    return sum(len(difference.events) for difference in found)


def _lost(found: Iterable[Difference]) -> int:
    return sum(difference.lost for difference in found)


def _warn(silent: Sequence[Difference]) -> None:
    for difference in silent[:NAMED]:
        log.warning(
            "containerd never told what became of %s in %s: the log said %s, containerd lists %s; told now: %s",
            *reversed(difference.container),
            difference.known,
            difference.listed,
            ", ".join(one.event.word for one in difference.events),
        )
    if len(silent) > NAMED:
        log.warning("and of %d other containers", len(silent) - NAMED)
