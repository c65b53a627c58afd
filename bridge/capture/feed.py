"""The feed: keeps one proven subscription to containerd, for ever, and says in the log when there was none.

containerd keeps no history and its subscriptions cannot be resumed, so every end of one, for whatever reason, is a gap.
The feed marks it: `disconnected` when the stream ends, and at the next proven one `gap`, with both bounds and the reason,
and `connected`. What the gap left out is for `bridge.capture.repair` to tell, behind them. A heartbeat probe finds a stream
that looks alive and is not.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from typing import Final, Literal, NoReturn, Protocol, TypeAlias

from msgspec import Struct

from bridge.capture.boot import Boot
from bridge.capture.handover import HANDED_OVER, Handover, Inherited
from bridge.capture.recorder import Recorder
from bridge.capture.repair import Gap
from bridge.errors import SourceLost
from bridge.model.envelope import Event
from bridge.model.events import SHIM_LOST, UNSEEN
from bridge.model.nanos import Nanos, now
from bridge.model.node_events import NodeConnected, NodeDisconnected, NodeGap, NodeHeartbeat
from bridge.ports import EventSource, Observed, RuntimeVersion, Subscription

__all__ = ["Cause", "Feed", "FeedStatistics", "Mending", "node_observation"]

log = logging.getLogger(__name__)

HEARTBEAT_S = 10.0
"""Between two probes. A quiet host is told from a dead stream within this and the probe's own time-out."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0
"""Between two attempts to connect. Short: what happens meanwhile is lost to the stream."""

CHECK_S = 0.25
"""How often the recorder's inbox is looked at: a tenth of the time in which a fast stream could fill it."""


Cause: TypeAlias = Literal["first-start", "not-running", "rebooted", "outbox-lost", "stream-ended", "no-room"]
"""Why there was no subscription; it stands in `NodeGap.cause`."""

_FIRST: Final[dict[Cause, str]] = {
    "first-start": "first start",
    "not-running": "the bridge was not running",
    "rebooted": "the host was rebooted, and the bridge was not running",
}


class Mending(Protocol):
    """Tells what the gap before a subscription left out, and goes on looking for what is missing while that lasts."""

    async def run(self, subscription: Subscription, gap: Gap, repaired: Callable[[], None]) -> NoReturn:
        """Do so until cancelled; raises SourceLost where the subscription has ended.

        `repaired` is called when what the gap left out is committed, and what gaps before it left out that were not repaired.
        """
        ...


class FeedStatistics(Struct, frozen=True, kw_only=True):
    """The feed in numbers, since the start."""

    gaps: dict[Cause, int]
    """Gaps that were marked, by their causes."""
    probe_ns: int | None
    """Round trip of the last probe."""


class _NoRoomError(SourceLost):
    """What is read cannot be written down, so reading has to stop."""


def node_observation(event: Event, *, time: Nanos | None = None) -> Observed:
    """Return an event of the node itself as an observation."""
    moment = now()
    return Observed(event=event, namespace=None, container=None, time=time or moment, recorded=moment)


class Feed:
    """Subscribes, proves, watches, and subscribes again. `run` is a task of the event loop."""

    def __init__(
        self,
        source: EventSource,
        recorder: Recorder,
        mending: Mending,
        *,
        namespaces: Sequence[str] = (),
        proven: Nanos | None = None,
        boot: Boot | None = None,
        heartbeat_s: float = HEARTBEAT_S,
        damage: str | None = None,
        handover: Handover | None = None,
        inherited: Inherited | None = None,
    ) -> None:
        """Take both ends.

        Args:
            source: where events come from.
            recorder: where they go.
            mending: tells what gaps left out.
            namespaces: what is followed, for the record; empty for all.
            proven: when the subscription was last known to be live, in an earlier run.
            boot: tells whether the host was rebooted since then.
            heartbeat_s: seconds between two probes.
            damage: why the outbox is another one than in the earlier run.
            handover: takes what is subscribed to on its way to the recorder, and may cut it off for another bridge.
            inherited: a live subscription that goes on where the bridge before this one stopped.
        """
        self._handover = handover
        self._deliver = recorder.submit if handover is None else handover.deliver
        self._inherited = inherited
        self._source = source
        self._recorder = recorder
        self._namespaces = list(namespaces)
        self._heartbeat_s = heartbeat_s
        self._proven = proven
        self._mending = mending
        self._boot = boot
        self._instance: str | None = None
        """The containerd of the last proven subscription."""
        rebooted = boot is not None and boot.ended_before is not None
        self._cause: Cause = "first-start" if proven is None else "rebooted" if rebooted else "not-running"
        self._lost = _FIRST[self._cause]
        if damage is not None:
            # Of the two this is what costs more; that the host was rebooted also stands with every task that ended by it.
            also = "; the host was rebooted before that" if rebooted else ""
            self._cause, self._lost = "outbox-lost", f"the outbox was damaged ({damage}) and a new one began{also}"
        self.live = asyncio.Event()
        """Set while the subscription is proven live."""
        self.probe_ns: int | None = None
        """Round trip of the last probe, in nanoseconds."""
        self._proved_at = 0.0
        self._gaps: dict[Cause, int] = {}
        self._subscription: Subscription | None = None

    async def caught_up(self) -> None:
        """Return when everything that containerd had published when this was called is submitted to the recorder.

        Raises:
            SourceLost: the subscription is not live.
        """
        subscription = self._subscription
        if subscription is None or not self.live.is_set():
            raise SourceLost("the subscription to containerd is not live")
        await subscription.probe()

    async def run(self) -> None:
        """Feed for ever."""
        pause = FIRST_PAUSE_S
        if self._inherited is not None:
            try:
                raise await self._go_on(self._inherited)
            except SourceLost as error:
                # Else what the next subscription delivers is kept for a handover that never comes.
                assert self._handover is not None
                self._handover.forget()
                if not self.live.is_set() and self._cause != "outbox-lost":
                    self._lost += f", and what it had taken over was lost: {error}"
                    log.warning("what was taken over is lost, so what happened meanwhile is a gap: %s", error)
                await self._end(error)
        while True:
            try:
                self._check_room()
                version, instance = await self._source.version(), await self._source.instance()
                async with self._source.subscribe(self._deliver) as opened:
                    subscription = opened if self._handover is None else self._handover.guarded(opened)
                    sent = now()
                    self.probe_ns = await subscription.probe()
                    self._subscription = subscription
                    gap = self._went_live(sent, now(), version, instance)
                    pause = FIRST_PAUSE_S
                    raise await self._watch(subscription, gap)
            except SourceLost as error:
                await self._end(error)
            await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - jitter, no secret
            pause = min(pause * 2, LONGEST_PAUSE_S)

    async def _go_on(self, inherited: Inherited) -> SourceLost:
        """Follow where the bridge before this one stopped, without a gap; return why that has ended or has to.

        Raises:
            SourceLost: it has ended before anything was recorded, or there is a gap all the same.
        """
        async with inherited.closing:
            if self._cause == "outbox-lost":
                raise SourceLost("what the former bridge had committed is lost")
            version, instance = await self._source.version(), await self._source.instance()
            assert self._handover is not None
            subscription = self._handover.guarded(inherited.subscription)
            sent = now()
            self.probe_ns = await subscription.probe()
            inherited.check()
            self._subscription = subscription
            gap = self._went_live(sent, now(), version, instance, seamless=True)
            inherited.release()
            return await self._watch(subscription, gap)

    async def _end(self, error: SourceLost) -> None:
        """Take the end of a subscription; never return where another bridge goes on with the events."""
        if self._handover is not None and self._handover.cut:
            self.live.clear()
            await asyncio.get_running_loop().create_future()
        self._went_dark(error)

    def _check_room(self) -> None:
        # Better a marked gap than containerd's memory or ours growing without end.
        if (refusal := self._recorder.refusal) is not None:
            raise _NoRoomError(refusal)
        if self._handover is not None and self._handover.cut:
            raise SourceLost(HANDED_OVER)

    async def _watch(self, subscription: Subscription, gap: Gap) -> SourceLost:
        """Return why the subscription has ended or has to."""
        ended = asyncio.ensure_future(subscription.ended())
        beat = asyncio.ensure_future(self._beat(subscription))
        mending = asyncio.ensure_future(self._mending.run(subscription, gap, self._repaired))
        room = asyncio.ensure_future(self._watch_room())
        tasks = (ended, beat, mending, room)
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return ended.result() if ended in done else done.pop().result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch_room(self) -> NoReturn:
        # On its own: a probe may wait behind the very events that there is no room for.
        while True:
            await asyncio.sleep(CHECK_S)
            self._check_room()

    async def _beat(self, subscription: Subscription) -> NoReturn:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._heartbeat_s
        while True:
            await asyncio.sleep(max(0.0, due - loop.time()))
            sent = now()
            self.probe_ns = await subscription.probe()
            self._recorder.submit(node_observation(NodeHeartbeat(probe_ns=self.probe_ns)))
            self._prove(sent)
            due = loop.time() + self._heartbeat_s

    @property
    def unproven_s(self) -> float:
        """Seconds since the last probe came back, while the subscription is taken for live; else 0."""
        return time.monotonic() - self._proved_at if self.live.is_set() else 0.0

    def statistics(self) -> FeedStatistics:
        """Return it in numbers."""
        return FeedStatistics(gaps=dict(self._gaps), probe_ns=self.probe_ns)

    def _went_live(
        self, sent: Nanos, answered: Nanos, version: RuntimeVersion, instance: str | None, *, seamless: bool = False
    ) -> Gap:
        # Only what was published after the first probe came back has been delivered for sure: the subscription may have begun
        # just before that, and long after it was asked for. The clock may have stepped back in between; a gap never ends
        # before it begins.
        until = max(sent, answered)
        since = min(self._proven, sent) if self._proven is not None else None
        cause = self._cause
        if not seamless:
            self._gaps[cause] = self._gaps.get(cause, 0) + 1
            self._recorder.submit(node_observation(NodeGap(since=since, until=until, reason=self._lost, cause=cause)))
        self._recorder.submit(
            node_observation(
                NodeConnected(
                    containerd_version=version.version,
                    containerd_revision=version.revision,
                    namespaces=self._namespaces,
                )
            )
        )
        # Behind the gap: a crash in between must not leave the proof without it. What was kept for a handover is not submitted
        # yet, and proven by the next probe only.
        if seamless:
            self._proved_at = time.monotonic()
        else:
            self._prove(sent)
        dark = f" after {(until - since) / 1e9:.1f} s without proof ({self._lost})" if since is not None else ""
        dark = " where the bridge before this one stopped" if seamless else dark
        log.info("following containerd %s%s", version.version, dark)
        self.live.set()
        before, self._instance = self._instance, instance
        restarted = cause == "stream-ended" and None not in {before, self._instance} and before != self._instance
        return Gap(
            unseen=SHIM_LOST if restarted else UNSEEN,
            ended_before=None if self._boot is None else self._boot.ended_before,
        )

    def _repaired(self) -> None:
        # No earlier: a run that ends before has to leave to the next one what the reboot means.
        if self._boot is not None:
            self._boot.keep()

    def _prove(self, sent: Nanos) -> None:
        """Note what an answered probe proves: that everything published before it was sent has been delivered."""
        self._proven = sent
        self._proved_at = time.monotonic()
        self._recorder.prove(sent)

    def _went_dark(self, error: SourceLost) -> None:
        reason = str(error)
        if self.live.is_set():
            self.live.clear()
            self._lost = reason
            self._cause = "no-room" if isinstance(error, _NoRoomError) else "stream-ended"
            self._recorder.submit(node_observation(NodeDisconnected(reason=reason)))
            log.warning("lost containerd: %s; connecting again until it answers", reason)
        else:
            log.debug("containerd still does not answer: %s", reason)
