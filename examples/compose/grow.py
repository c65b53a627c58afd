"""Gives containers that run out of memory more of it, up to a limit: `python -m examples.compose.grow`.

After an OOM dockerd starts the container again, with the limit that it was created with. When that start comes, the limit of
the new task is raised to twice what was not enough. dockerd does not hear of it: the next task begins with the old limit, and is
raised again. It is for containers with the label `grow=yes`; `grow.limit` says in bytes what they begin with.
"""

from __future__ import annotations

import asyncio

from bridge.client import Bus, CommandFailed, Sending, StoredEvent, TaskOOM, TaskStart, connect
from examples.compose.login import login

MOST = 512 << 20


class Grower:
    """What it is to do, and how much each container needs as far as is known."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._wanted: dict[str, int] = {}

    async def run(self) -> None:
        """Follow the log for ever: that of the one namespace which the operator's login may read, and with one filter only."""
        async for event in self._bus.events(namespace="moby", label="grow=yes", node_events=False):
            if (said := await self.handle(event)) is not None:
                print(said, flush=True)

    async def handle(self, event: StoredEvent) -> str | None:
        """Do what there is to be done about one event, and say what it was."""
        assert event.container is not None
        match event.data:
            case TaskOOM(labels=labels, name=name):
                had = self._wanted.get(event.container) or int((labels or {}).get("grow.limit", 16 << 20))
                self._wanted[event.container] = min(2 * had, MOST)
                return f"{name}: {had} bytes are not enough"
            case TaskStart(name=name) if event.container in self._wanted:
                wanted = self._wanted[event.container]
                container = await self._bus.container(event.container, node=event.node, namespace=event.namespace)
                sending = Sending(id=event.id, if_incarnation=event.incarnation)
                try:
                    await container.sending(sending).update(memory=wanted, memory_swap=wanted, task_only=True)
                except CommandFailed as error:
                    return f"{name}: not raised, {error.message}"
                return f"{name}: raised to {wanted} bytes"
            case _:
                return None


async def main() -> None:
    """Connect, and run."""
    async with connect(login(), name="grow") as bus:
        await Grower(bus).run()


if __name__ == "__main__":
    asyncio.run(main())
