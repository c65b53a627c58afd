"""A handover: another bridge takes the node over without an event between the two.

containerd keeps no history, so whoever stops first and starts then loses what happens in between. Here the successor follows
containerd before its predecessor stops, and both cut the one order of events at the same place. That place is a probe of the
successor's: every subscriber sees it where it stands among the events (`bridge.ports.EventSource`).

The successor subscribes, keeps what it hears, and writes its name into the state directory. The predecessor hears a probe of that
name, takes nothing that comes behind it, commits what came before, writes down which probe it was, and stops like any other time.
The successor waits for the directory's lock, then records what it kept from behind that probe on. Only a probe that was written
down as a cut, behind a commit of everything before it, is believed; after a crash in between the start is an ordinary one, with
its gap. So it is where the successor could not keep everything, or loses its subscription before it has recorded what it kept.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Final

from bridge.capture.state_dir import holder
from bridge.errors import ConfigError, SourceLost
from bridge.ports import Deliver, EventSource, Observed, Subscription

__all__ = ["HANDED_OVER", "Handover", "Inherited"]

log = logging.getLogger(__name__)

ASKING, CUT = "successor", "handed-over"
"""Files in the state directory: who asks, and the probe at which the former bridge stopped."""

PATIENCE_S: Final = 60.0
"""How long a successor waits. A stop takes eight seconds at the most; a bridge that needs longer does not hand over."""

AGAIN_S: Final = 0.5
"""Between two probes while it waits: the former bridge may have been without a subscription when the first one came."""

ROOM: Final = 100_000
"""Events that a successor keeps in the meantime; with more of them it starts as usual, with a gap."""


HANDED_OVER: Final = "another bridge has taken the node over"


class _Guarded:
    """A subscription whose probes prove nothing once the order is cut: what came behind the cut was not taken."""

    def __init__(self, subscription: Subscription, handover: Handover) -> None:
        self._subscription = subscription
        self._handover = handover

    async def probe(self) -> int:
        """Prove it live; see the port."""
        round_trip = await self._subscription.probe()
        if self._handover.cut:
            raise SourceLost(HANDED_OVER)
        return round_trip

    async def ended(self) -> SourceLost:
        """Wait for its end; see the port."""
        return await self._subscription.ended()


class Inherited:
    """A subscription that was proven live before the former bridge stopped; `closing` ends it."""

    def __init__(
        self,
        subscription: Subscription,
        closing: AsyncExitStack,
        *,
        check: Callable[[], None],
        release: Callable[[], None],
    ) -> None:
        self.subscription = subscription
        self.closing = closing
        self.check = check
        """Return where everything was kept, and will be until `release`; raises SourceLost where there was no room for it."""
        self.release = release
        """Record what was kept from the cut on; what comes from now on goes the usual way."""


class Handover:
    """Stands between the subscription and the recorder, for a bridge that takes over and for one that is taken over."""

    def __init__(self, state_dir: Path, *, leave: Callable[[str], object]) -> None:
        """Take the state directory, and what stops this bridge; that is called from the subscription's thread."""
        self._state_dir = state_dir
        self._leave = leave
        self._lock = threading.Lock()
        self._sink: Deliver | None = None
        self._kept: list[Observed] | None = None
        self._full = self._sealed = False
        self._marks: dict[str, int] = {}
        self._name = ""
        self._cut: str | None = None

    @property
    def cut(self) -> bool:
        """Whether another bridge has what comes now."""
        return self._cut is not None

    def guarded(self, subscription: Subscription) -> Subscription:
        """Return a subscription that is not believed any more once the order is cut."""
        return _Guarded(subscription, self)

    def begin(self, sink: Deliver) -> None:
        """Have what is delivered go there; what a successor keeps waits for `Inherited.release`."""
        self._sink = sink

    # -- called from the subscription's thread

    def deliver(self, observed: Observed) -> None:
        """Take an event in its order."""
        with self._lock:
            if self._cut is not None:
                return  # the successor has it
            if self._kept is None:
                assert self._sink is not None
                self._sink(observed)
            elif not self._full and (self._sealed or len(self._kept) < ROOM):
                self._kept.append(observed)
            else:
                self._full = True
                self._kept.clear()
                self._marks.clear()  # no cut will be found

    def probed(self, name: str, *, mine: bool) -> None:
        """Take a probe in its place among the events, by its name: that of its subscription, and a number."""
        with self._lock:
            if self._kept is not None:
                if mine:
                    self._name = name.partition("/")[0]
                    if not self._full:
                        self._marks[name] = len(self._kept)
            elif not mine and self._cut is None and (successor := self._asked(name)) is not None:
                self._cut = name
                self._leave(f"handed over to pid {successor}")

    # -- the one that is taken over

    def committed(self) -> None:
        """Write down where the order was cut: everything before it is on disk. Does nothing where nobody asked."""
        if self._cut is not None:
            with suppress(OSError):  # then there will be a gap
                _write(self._state_dir / CUT, self._cut)

    # -- the one that takes over

    async def ask(self, source: EventSource) -> tuple[Subscription, AsyncExitStack] | None:
        """Follow containerd, have the bridge that works here stop, and return when it has; None where there is none.

        Raises:
            ConfigError: it does not, or containerd cannot be followed.
        """
        try:
            return await self._ask(source)
        except SourceLost as error:
            self._forget_files()
            raise ConfigError(f"containerd cannot be followed, so nothing is taken over: {error}") from error

    async def _ask(self, source: EventSource) -> tuple[Subscription, AsyncExitStack] | None:
        former = holder(self._state_dir)
        if former is None:
            return None
        self._kept = []
        async with AsyncExitStack() as stack:
            subscription = await stack.enter_async_context(source.subscribe(self.deliver))
            await subscription.probe()
            self._forget_files()
            _write(self._state_dir / ASKING, json.dumps({"name": self._name, "pid": os.getpid()}))
            log.info("asking the bridge with pid %s to hand over", former)
            deadline, due = time.monotonic() + PATIENCE_S, 0.0
            while holder(self._state_dir) is not None:
                if time.monotonic() > deadline:
                    self._forget_files()
                    raise ConfigError(
                        f"the bridge with pid {former} in {self._state_dir} does not hand over within {PATIENCE_S:.0f} s: "
                        "it is of an older version, or not live; stop it, and start this one without --take-over"
                    )
                if time.monotonic() > due:
                    await subscription.probe()
                    due = time.monotonic() + AGAIN_S
                await asyncio.sleep(0.02)
            return subscription, stack.pop_all()

    def inherit(self, subscription: Subscription, closing: AsyncExitStack) -> Inherited | None:
        """Return what goes on where the former bridge stopped; None where it did not say so. The directory is ours."""
        try:
            cut = (self._state_dir / CUT).read_text()
        except OSError:
            cut = ""
        self._forget_files()
        with self._lock:
            at = self._marks.get(cut)
        if at is None:
            log.warning("the former bridge ended without handing over: what happened meanwhile is a gap")
            return None

        return Inherited(subscription, closing, check=self._check, release=partial(self._release, at))

    def forget(self) -> None:
        """Keep nothing any more: the start is an ordinary one."""
        with self._lock:
            self._kept = None
            self._marks.clear()

    # -- inside

    def _check(self) -> None:
        with self._lock:
            if self._full:
                raise SourceLost(f"more than {ROOM} events came before they could be recorded")
            self._sealed = True  # released next, without a pause

    def _release(self, at: int) -> None:
        with self._lock:
            assert self._sink is not None
            for observed in (self._kept or [])[at:]:
                self._sink(observed)
            self._kept = None

    def _asked(self, name: str) -> int | None:
        """Return the process that asks under this name, None where nobody does."""
        try:
            asking = json.loads((self._state_dir / ASKING).read_text())
            return int(asking["pid"]) if asking["name"] == name.partition("/")[0] else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _forget_files(self) -> None:
        for file in (ASKING, CUT):
            with suppress(OSError):
                (self._state_dir / file).unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    """Put a file there whole: whoever reads it meanwhile reads the one before, or none."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(text)
    new.rename(path)
