"""A containerd to hold to its contract, real or in memory, with what the tests have to do behind the ports' backs."""

import asyncio
import contextlib
import functools
import subprocess
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar

import grpc
import grpc.aio
from msgspec import structs

from bridge._pb.containerd.services import containers_pb2
from bridge.containerd.channel import in_namespace
from bridge.containerd.inventory import ContainerdInventory
from bridge.containerd.lookup import ContainerdLookup
from bridge.containerd.runtime import ContainerdRuntime
from bridge.containerd.source import ContainerdSource
from bridge.errors import CommandFailed
from bridge.model.node_events import ImageCreate
from bridge.ports import ContainerLookup, ContainerRuntime, EventSource, InventorySource
from bridge.testing import MemoryContainerd, Program
from bridge.testing.images import memory_image
from tests.testbed import BUSYBOX, Ctr

ID = "web.1"


class Behaviour(Enum):
    """What a container's program does."""

    STUBBORN = "it runs, and only SIGKILL ends it"
    POLITE = "it runs until SIGTERM, and then ends with 7"
    EXITS = "it ends with 3 at once"
    BROKEN = "it cannot be run"
    ECHOES = "it writes what it reads, and ends with 0 when that ends"
    SPEAKS = "it writes `out` and `err`, and ends with 5"


class Host(ABC):
    """One containerd, and a namespace in it that only this test has."""

    namespace: str
    source: EventSource
    """Events of that namespace."""
    every_source: EventSource
    """Events of all namespaces."""
    lookup: ContainerLookup
    inventory: InventorySource
    runtime: ContainerRuntime
    fifo_dir: Path
    """Where its shims see FIFOs."""

    @abstractmethod
    def args(self, behaviour: Behaviour) -> list[str]:
        """What an exec has to run to behave like this."""

    @abstractmethod
    async def make(self, behaviour: Behaviour, container: str = ID, **labels: str) -> None:
        """Make a container's record and snapshot."""

    @abstractmethod
    async def put_image(self) -> None:
        """See that the image BUSYBOX is there."""

    @abstractmethod
    async def until_listening(self, container: str = ID) -> None:
        """Wait until a POLITE program would notice SIGTERM."""

    @abstractmethod
    async def exec(self, behaviour: Behaviour, exec_id: str, container: str = ID) -> None:
        """Run another process in the container; return when it runs, or has ended."""

    @abstractmethod
    async def share(self, container: str, other: str) -> None:
        """Make a record of a container that has another one's snapshot for its own."""

    @abstractmethod
    async def label(self, container: str = ID, **labels: str) -> None:
        """Add labels to a container."""

    @abstractmethod
    async def stir_elsewhere(self) -> None:
        """Let something happen in another namespace: an image comes."""

    @abstractmethod
    async def snapshots(self) -> set[str]:
        """Keys of the active snapshots."""

    @abstractmethod
    def down(self) -> contextlib.AbstractAsyncContextManager[None]:
        """containerd is down for the length of the block."""

    async def until_back(self) -> None:
        """Wait until calls get through again: a channel that was refused waits before it tries once more."""
        async with asyncio.timeout(90):
            while True:
                try:
                    await self.runtime.version()
                except CommandFailed:
                    await asyncio.sleep(0.05)
                else:
                    return

    async def run(self, behaviour: Behaviour, container: str = ID) -> int:
        """Make a container and run it; return its pid."""
        await self.make(behaviour, container)
        await self.runtime.tasks.create(self.namespace, container)
        pid = await self.runtime.tasks.start(self.namespace, container)
        if behaviour is Behaviour.POLITE:
            await self.until_listening(container)
        return pid

    async def stopped(self, container: str = ID) -> None:
        """Make a container whose task has ended with 3."""
        await self.run(Behaviour.EXITS, container)
        await self.runtime.tasks.wait(self.namespace, container)


class MemoryHost(Host):
    """The one of `bridge.testing`."""

    _PROGRAMS: ClassVar = {
        Behaviour.STUBBORN: Program(ends_on={}),
        Behaviour.POLITE: Program(ends_on={15: 7}),
        Behaviour.EXITS: Program(exits=3),
        Behaviour.BROKEN: Program(broken="exec: no such program"),
        Behaviour.ECHOES: Program(echoes=True),
        Behaviour.SPEAKS: Program(says=b"out\n", complains=b"err\n", exits=5),
    }

    def __init__(self, fifo_dir: Path) -> None:
        self.fifo_dir = fifo_dir
        self.containerd = MemoryContainerd()
        self.containerd.programs = {behaviour.name: program for behaviour, program in self._PROGRAMS.items()}
        self.namespace = "t-memory"
        self.source = self.containerd.source([self.namespace])
        self.every_source = self.containerd.source()
        self.lookup = self.containerd.lookup
        self.inventory = self.containerd.inventory
        self.runtime = self.containerd.runtime

    def args(self, behaviour: Behaviour) -> list[str]:
        return [behaviour.name]

    async def make(self, behaviour: Behaviour, container: str = ID, **labels: str) -> None:
        self.containerd.add(self.namespace, container, self._PROGRAMS[behaviour], labels=labels)

    async def put_image(self) -> None:
        self.containerd.put_image(self.namespace, memory_image(BUSYBOX, {"Cmd": ["sh"]}))

    async def until_listening(self, container: str = ID) -> None:
        pass  # it always does

    async def exec(self, behaviour: Behaviour, exec_id: str, container: str = ID) -> None:
        self.containerd.exec(self.namespace, container, exec_id, self._PROGRAMS[behaviour])

    async def share(self, container: str, other: str) -> None:
        await self.make(Behaviour.STUBBORN, container)
        del self.containerd.snapshots[self.namespace, container]
        made = self.containerd.containers[self.namespace, container]
        made.record = structs.replace(made.record, snapshot_key=other)

    async def label(self, container: str = ID, **labels: str) -> None:
        self.containerd.label(self.namespace, container, labels)

    async def stir_elsewhere(self) -> None:
        self.containerd.emit(ImageCreate(name=BUSYBOX), namespace="t-elsewhere")

    async def snapshots(self) -> set[str]:
        return {key for namespace, key in self.containerd.snapshots if namespace == self.namespace}

    @contextlib.asynccontextmanager
    async def down(self) -> AsyncIterator[None]:
        with self.containerd.down():
            yield


class RealHost(Host):
    """A containerd of the test host; `ctr` is the other client."""

    _COMMANDS: ClassVar = {
        Behaviour.STUBBORN: (
            "sleep",
            "1000",
        ),  # the first process of a PID namespace hears no signal it has no handler for
        Behaviour.POLITE: ("sh", "-c", "trap 'exit 7' TERM; echo ready > /ready; while :; do sleep 0.05; done"),
        Behaviour.EXITS: ("sh", "-c", "exit 3"),
        Behaviour.BROKEN: ("nosuchprogram",),
        Behaviour.ECHOES: ("cat",),
        Behaviour.SPEAKS: ("sh", "-c", "echo out; echo err >&2; exit 5"),
    }

    def __init__(
        self, ctr: Ctr, runtime: ContainerdRuntime, lookup: ContainerdLookup, inventory: ContainerdInventory
    ) -> None:
        self.ctr = ctr
        self.fifo_dir = ctr.host.fifo_dir
        self.namespace = ctr.namespace
        self.source = ContainerdSource(ctr.host.address, [ctr.namespace])
        self.every_source = ContainerdSource(ctr.host.address)
        self.lookup = lookup
        self.inventory = inventory
        self.runtime = runtime
        self._execs: list[subprocess.Popen[str]] = []

    def args(self, behaviour: Behaviour) -> list[str]:
        return list(self._COMMANDS[behaviour])

    async def make(self, behaviour: Behaviour, container: str = ID, **labels: str) -> None:
        options = [part for key, value in labels.items() for part in ("--label", f"{key}={value}")]
        await self._ctr("containers", "create", *options, BUSYBOX, container, *self._COMMANDS[behaviour])

    async def put_image(self) -> None:
        pass  # it came with the namespace

    async def until_listening(self, container: str = ID) -> None:
        task = await self.runtime.tasks.get(self.namespace, container)
        assert task is not None
        ready = f"/proc/{task.pid}/root/ready"
        async with asyncio.timeout(90):
            while (await asyncio.to_thread(self.ctr.host.run, "test", "-s", ready, check=False)).returncode:
                await asyncio.sleep(0.02)

    async def exec(self, behaviour: Behaviour, exec_id: str, container: str = ID) -> None:
        command = ("tasks", "exec", "--exec-id", exec_id, container, *self._COMMANDS[behaviour])
        if behaviour is Behaviour.EXITS:
            await asyncio.to_thread(functools.partial(self.ctr, *command, check=False))
            return
        self._execs.append(self.ctr.host.popen("ctr", "--namespace", self.namespace, *command))
        async with asyncio.timeout(90):
            while exec_id not in [one.exec_id for one in await self.runtime.tasks.pids(self.namespace, container)]:
                await asyncio.sleep(0.02)

    async def share(self, container: str, other: str) -> None:
        async with grpc.aio.insecure_channel(f"unix:{self.ctr.host.address}") as channel:
            containers, namespace = containers_pb2.ContainersStub(channel), in_namespace(self.namespace)
            answer = await containers.Get(containers_pb2.GetContainerRequest(id=other), metadata=namespace)
            answer.container.id = container
            await containers.Create(
                containers_pb2.CreateContainerRequest(container=answer.container), metadata=namespace
            )

    async def label(self, container: str = ID, **labels: str) -> None:
        await self._ctr("containers", "label", container, *(f"{key}={value}" for key, value in labels.items()))

    async def stir_elsewhere(self) -> None:
        def stir() -> None:
            with self.ctr.host.fresh_namespace():
                pass

        await asyncio.to_thread(stir)

    async def snapshots(self) -> set[str]:
        lines = (await self._ctr("snapshots", "ls")).splitlines()[1:]
        return {line.split()[0] for line in lines if line.rstrip().endswith("Active")}

    @contextlib.asynccontextmanager
    async def down(self) -> AsyncIterator[None]:
        await asyncio.to_thread(self.ctr.host.kill)
        try:
            yield
        finally:
            await asyncio.to_thread(self.ctr.host.start)

    async def _ctr(self, *args: str) -> str:
        return await asyncio.to_thread(self.ctr, *args)

    @contextlib.contextmanager
    def closing(self) -> Iterator[Any]:
        """See the `ctr` of every exec to its end, which comes with its container's."""
        try:
            yield self
        finally:
            for process in self._execs:
                process.kill()
                process.wait()
