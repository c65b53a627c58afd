"""A bus with as many containers as one likes and no bridge: states and events are written as a bridge would write them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from bridge.client import Bus, ContainerState, TaskExit, now
from bridge.client.folding import key_of
from bridge.model.codec import encode_any
from bridge.model.envelope import Sequence
from bridge.ports import Change
from bridge.testing import MemoryBus, MemoryLog, MemoryNodes, MemoryStates, Scribe

NODES: Final = ("edge-1", "rack-1", "rack-2", "rack-3")


class Crowd:
    """The containers, and the bus that tells of them."""

    def __init__(self) -> None:
        self.log, self.states = MemoryLog(), MemoryStates()
        self.bus = Bus(self.log, MemoryBus(self.log.subjects), self.log.subjects, MemoryNodes(), states=self.states)
        self.there: dict[str, ContainerState] = {}
        self._scribes = {node: Scribe(self.log, node) for node in NODES}

    async def come(self, states: Iterable[ContainerState]) -> None:
        """Let containers be there, or be as these states say."""
        found = list(states)
        self.there |= {state.container: state for state in found}
        await self.states.write([Change(key=key_of(state), value=encode_any(state)) for state in found])

    async def fill(self, count: int) -> None:
        """Let so many run."""
        await self.come(
            ContainerState(
                node=NODES[n % len(NODES)],
                namespace="default",
                container=f"c{n:04}",
                status="running",
                name=f"service-{n:04}",
                image=f"docker.io/library/image-{n % 17}:1",
                labels={"app": f"app-{n % 9}"},
                started_at=now(),
                updated=now(),
                sequence=Sequence(1),
            )
            for n in range(count)
        )

    async def end(self, containers: Iterable[str], status: int) -> None:
        """Let these end, in the log and in the states."""
        ended = []
        for container in containers:
            state = self.there[container]
            event = TaskExit(container_id=container, id=container, exit_status=status, name=state.name)
            await self._scribes[state.node].record(event, namespace=state.namespace, container=container)
            ended.append(
                replace(
                    state,
                    status="stopped",
                    exited=True,
                    exit_status=status,
                    exited_at=now(),
                    sequence=Sequence(state.sequence + 1),
                )
            )
        await self.come(ended)
