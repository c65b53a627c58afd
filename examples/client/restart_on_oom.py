"""Restarts containers that run out of memory, but not for ever.

    python -m examples.client.restart_on_oom nats://127.0.0.1:4222 --label restart=on-oom

A container that runs out of memory more than a few times within ten minutes is left alone. Each command carries the event's id,
so an event that comes twice after a crash restarts once; and it is for that life of the container only, so nothing is done to
one that somebody has restarted meanwhile. It needs a login that may read the log and send `restart`.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import defaultdict, deque

from bridge.client import Bus, CommandFailed, Sending, StoredEvent, connect

WITHIN_NS = 600 * 10**9


class Restarter:
    """What it is to do, and what it has done."""

    def __init__(self, bus: Bus, *, most: int = 3) -> None:
        self._bus = bus
        self._most = most
        self._times: defaultdict[tuple[str, str | None, str | None], deque[int]] = defaultdict(deque)

    async def run(self, *, label: str | None = None, name: str = "restart-on-oom") -> None:
        """Follow the log for ever; where it stops it goes on."""
        async with self._bus.subscribe(name, type="oom", label=label or ()) as events:
            async for event in events:
                print(await self.handle(event), flush=True)

    async def handle(self, event: StoredEvent) -> str:
        """Do what there is to be done about one event, and say what it was."""
        assert event.container is not None
        times = self._times[event.node, event.namespace, event.container]
        while times and times[0] < event.time - WITHIN_NS:
            times.popleft()
        times.append(event.time)
        if len(times) > self._most:
            return f"{event.container}: {len(times)} times within ten minutes, it is left alone"
        container = await self._bus.container(event.container, node=event.node, namespace=event.namespace)
        sending = Sending(id=event.id, if_incarnation=event.incarnation)
        try:
            restarted = await container.sending(sending).restart(grace=3)
        except CommandFailed as error:
            if error.code in {"unavailable", "deadline_exceeded"}:
                raise  # and the event comes again
            return f"{event.container}: not restarted, {error.message}"
        return f"{event.container}: restarted as process {restarted.pid}"


async def main() -> None:
    """Read the options, and run."""
    parser = argparse.ArgumentParser(description="Restart containers that run out of memory.")
    parser.add_argument("nats", help="URL of NATS")
    parser.add_argument("--label", help="only containers with this label, key or key=value")
    parser.add_argument("--most", type=int, default=3, help="restarts within ten minutes")
    options = parser.parse_args()
    async with connect(options.nats, name="restart-on-oom") as bus:
        await Restarter(bus, most=options.most).run(label=options.label)


if __name__ == "__main__":
    asyncio.run(main())
