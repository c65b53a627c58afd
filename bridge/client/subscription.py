"""Reading the log under a name of one's own, at least once, through restarts of whoever reads.

    async for event in bus.subscribe("mailer", type="oom"):
        await send_mail(event)

The server keeps how far the name has come. An event is acknowledged when the loop asks for the next one: when its own turn of the
loop has come to its end without an exception. What was not acknowledged comes again, first and in order, to whoever
subscribes under the name next. So after a crash an event may come twice, with the same `id`, and none is left out.

Whoever handles several events together acknowledges by hand:

    async with bus.subscribe("ledger", acknowledge="by-hand") as subscription:
        async for event in subscription:
            batch.append(event)
            if len(batch) == 100:
                await write(batch)
                await subscription.acknowledge(event)   # this one and all before it
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Literal, Self, TypeAlias

from bridge.client.reading import closing
from bridge.ports import DurableReading, StoredEvent

__all__ = ["Acknowledge", "Subscription"]

Acknowledge: TypeAlias = Literal["next", "by-hand"]
"""`next`: an event is acknowledged when the next one is asked for. `by-hand`: by `Subscription.acknowledge` alone."""

Resume: TypeAlias = Callable[[], AbstractAsyncContextManager[DurableReading]]


class Subscription:
    """A reading under a name. Made by `Bus.subscribe`; it opens when it is entered, or when its first event is asked for.

    Iterate over it in an `async with`, or leave the loop by its end: a `break` out of a loop without one lets go of the
    subscription some time later.
    """

    def __init__(self, name: str, resume: Resume, acknowledge: Acknowledge) -> None:
        self.name = name
        """The name under which the server keeps how far it has come."""
        self._by_hand = acknowledge == "by-hand"
        self._reading: DurableReading | None = None
        self._last: StoredEvent | None = None
        self._events = self._read(resume)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StoredEvent:
        return await anext(self._events)

    async def aclose(self) -> None:
        """Let go of it; what is not acknowledged comes again. A second time does nothing."""
        await self._events.aclose()

    async def acknowledge(self, event: StoredEvent | None = None) -> None:
        """Take note that this event, the last one that came unless given, and all before it are done with.

        Raises:
            ValueError: no event has come yet, or the subscription is closed.
            LogRefused: acknowledging is not allowed.
        """
        done = event or self._last
        if self._reading is None or done is None:
            raise ValueError(
                f"subscription {self.name} has no event to acknowledge: it is closed, or none has come yet"
            )
        await self._reading.acknowledge(done)

    async def _read(self, resume: Resume) -> AsyncGenerator[StoredEvent, None]:
        async with resume() as reading, closing(reading.events()) as events:
            self._reading = reading
            try:
                async for event in events:
                    self._last = event
                    yield event
                    if not self._by_hand:
                        await reading.acknowledge(event)
            finally:
                self._reading = None
