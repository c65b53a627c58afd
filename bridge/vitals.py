"""Whether the bridge does its work: what `/livez`, `/readyz` and systemd's watchdog ask, answered from progress.

An open port proves nothing, and neither does a task that has not ended. So each answer looks at what has moved: when the last
probe came back from containerd, whether the recorder answers, when an event last reached the log. Two questions are kept apart.
`alive` is wrong only where a restart is the help: a part has ended, or a thread hangs. `ready` is wrong while events do not flow,
whoever is to blame; a containerd or a NATS that hangs makes the bridge not ready and leaves it alive, since the next bridge
would wait for the same. Nothing here waits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bridge.capture.delivery import Delivery
from bridge.capture.feed import Feed
from bridge.capture.recorder import Recorder
from bridge.capture.repair import Repair
from bridge.ports import NodeLease
from bridge.watch import Watch

__all__ = ["Vitals"]

SLOW_S: Final = 10.0
"""A commit that takes longer holds up events so that people should know."""

HANGS_S: Final = 120.0
"""A recorder that neither commits nor hears from its disk for so long hangs. A disk that fails ends the bridge sooner."""

STALLED_S: Final = 30.0
"""Events that wait while none reaches the log for so long are stuck, even if no append has failed."""

UNPROVEN_S: Final = 90.0
"""Longer than the heartbeat and the longest patience with a probe together: after that the heartbeat itself has stopped."""


@dataclass(frozen=True, kw_only=True)
class Vitals:
    """The signs of life of the event path."""

    watch: Watch
    recorder: Recorder
    delivery: Delivery
    feed: Feed
    repair: Repair
    lease: NodeLease
    connected: Callable[[], bool]
    """Tells whether NATS is connected."""

    def alive(self) -> str | None:
        """Return None while there is no point in a restart, else which part has ended or hangs."""
        if self.watch.failure is not None:
            return self.watch.failure
        if not self.recorder.alive:
            return "the recorder has ended"
        if self.recorder.silent_s > HANGS_S:
            return f"the recorder has hung for {self.recorder.silent_s:.0f} s: {self._waiting()}"
        return None

    def ready(self) -> str | None:
        """Return None when events flow, else why they do not: the first on their way that is wrong."""
        recorder, delivery, feed = self.recorder, self.delivery, self.feed
        refusal = recorder.failure or recorder.refusal
        wrong = {
            self.watch.failure: self.watch.failure is not None,
            f"no events are taken in: {refusal}": refusal is not None,
            f"the outbox has not answered for {recorder.silent_s:.0f} s: {self._waiting()}": recorder.silent_s > SLOW_S,
            "the subscription to containerd is not proven live": not feed.live.is_set(),
            f"no probe has come back from containerd for {feed.unproven_s:.0f} s": feed.unproven_s > UNPROVEN_S,
            self.repair.pending: self.repair.pending is not None,
            "NATS is not connected": not self.connected(),
            "the node's lease has run out and could not be renewed yet": not self.lease.held,
            f"the log takes no events: {delivery.refused}": delivery.refused is not None,
            f"no event has reached the log for {delivery.stalled_s:.0f} s, and {delivery.behind} wait in the outbox": (
                delivery.stalled_s > STALLED_S
            ),
        }
        return next((sentence for sentence, true in wrong.items() if true), None)

    def _waiting(self) -> str:
        return f"{self.recorder.waiting} events wait to be written down"
