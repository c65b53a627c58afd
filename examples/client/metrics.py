"""Prometheus metrics of all containers of all nodes, from the log and the states.

    python -m examples.client.metrics nats://127.0.0.1:4222 --port 9500
    curl -s http://127.0.0.1:9500/metrics | grep containerd_

It needs no name of its own and keeps nothing: what it has not seen while it was down it does not count, as is usual for
counters. How many containers there are in each status it takes from the states.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import Counter as Counts

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from bridge.client import Bus, ContainerState, StoredEvent, TaskExit, TaskOOM, TaskStart, connect


class Metrics:
    """The figures."""

    def __init__(self, registry: CollectorRegistry) -> None:
        place = ["node", "namespace"]
        self.starts = Counter("containerd_task_starts", "Tasks that began to run.", place, registry=registry)
        self.exits = Counter("containerd_task_exits", "Tasks that ended.", [*place, "status"], registry=registry)
        self.ooms = Counter("containerd_task_ooms", "Times out of memory.", place, registry=registry)
        self.containers = Gauge("containerd_containers", "Containers by status.", ["node", "status"], registry=registry)
        self._status: dict[tuple[str, str, str], str] = {}

    def count(self, event: StoredEvent) -> None:
        """Take in an event."""
        place = (event.node, event.namespace)
        match event.data:
            case TaskStart():
                self.starts.labels(*place).inc()
            case TaskExit(exit_status=status):
                self.exits.labels(*place, "unknown" if status is None else str(status)).inc()
            case TaskOOM():
                self.ooms.labels(*place).inc()
            case _:
                pass

    def show(self, state: ContainerState) -> None:
        """Take in what a container is now."""
        key = (state.node, state.namespace, state.container)
        self._status[key] = state.status
        if state.status == "gone":
            del self._status[key]
        self.containers.clear()
        for (node, status), number in Counts((node, status) for (node, _, _), status in self._status.items()).items():
            self.containers.labels(node, status).set(number)


async def follow(bus: Bus, metrics: Metrics) -> None:
    """Keep the figures up to date for ever."""

    async def events() -> None:
        async for event in bus.events(type=["start", "exit", "oom"]):
            metrics.count(event)

    async def states() -> None:
        async for state in bus.watch():
            metrics.show(state)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(events())
        tasks.create_task(states())


async def main() -> None:
    """Read the options, and run."""
    parser = argparse.ArgumentParser(description="Prometheus metrics of the containers of all nodes.")
    parser.add_argument("nats", help="URL of NATS")
    parser.add_argument("--port", type=int, default=9500, help="where they are served, on the loopback interface")
    options = parser.parse_args()
    registry = CollectorRegistry()
    start_http_server(options.port, addr="127.0.0.1", registry=registry)
    async with connect(options.nats, name="metrics") as bus:
        await follow(bus, Metrics(registry))


if __name__ == "__main__":
    asyncio.run(main())
