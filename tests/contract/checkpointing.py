"""What the suite of `Checkpointer` needs beside a containerd: containers that know something that only their memory holds."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import struct
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.model.checkpoints import Listening
from bridge.model.outcomes import ContainerInfo
from bridge.ports import NewContainer
from bridge.ports.checkpoints import Checkpointer
from bridge.testing import Program
from bridge.testing.images import MemorySnapshot, memory_image
from bridge.testing.task import MemoryTask
from tests.contract.hosts import Host, MemoryHost, RealHost
from tests.testbed import BUSYBOX, Ctr

LEASE = "checkpoint-1"

# Programs that are dumped start no others while they wait: CRIU does not always get hold of one in the middle of a vfork, with
# control groups of the first version; and a `sleep` ends early when it is dumped.
WAITS = "busybox mkfifo /waits 2>/dev/null; exec 4<>/waits; waits() { read -t 0.02 nothing <&4; }"

# It writes down again and again what it was given at its start, and has one file open all along.
KNOWS = f"""
{WAITS}
read x </proc/sys/kernel/random/uuid; exec 3>/log; echo begun >&3
while :; do echo $x >/knows; waits; done
"""

# An open file without a name that has another name, which CRIU does not dump unless it is told to.
STUBBORN = f"""
{WAITS}
rm -f /b; echo x >/a; exec 3</a; busybox ln /a /b; rm /a; echo ready >/ready; while :; do waits; done
"""

# A program for x86-64 that is in the middle of a vfork until it is given a byte; then there is `/over`.
_CODE = bytes.fromhex(
    "b83a000000 0f05"  # vfork
    "85c0 7519"  # the parent, which waits for its child's end, goes on below
    "31ff 488d7424c0 ba01000000 31c0 0f05"  # the child: read one byte of standard input
    "31ff b83c000000 0f05"  # and exit
    "488d3d15000000 beed010000 b853000000 0f05"  # the parent: mkdir what stands at the end
    "b822000000 0f05 ebf7"  # and wait for signals
)
_HEAD = bytes.fromhex("7f454c4602010100") + bytes(8)


def _program() -> bytes:
    """It as a file: one segment, which has everything."""
    at, code = 0x400000, _CODE + b"/over\0"
    size = 64 + 56 + len(code)
    header = struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, at + 120, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return _HEAD + header + struct.pack("<IIQQQQQQ", 1, 5, 0, at, at, size, size, 4096) + code


STARTING = "busybox mkfifo /gate; exec 0<>/gate; exec /starting"


async def starting(ctr: Ctr, container: str) -> int:
    """Run a container that is in the middle of a vfork, and return its pid: nobody tells that while its shim waits for CRIU."""
    if platform.machine() != "x86_64":
        pytest.skip("the program that does nothing but this is one for x86-64")
    program = ctr.host.shared / f"starting-{ctr.namespace}-{container}"
    program.write_bytes(_program())
    program.chmod(0o755)
    mount = ("--mount", f"type=bind,src={program},dst=/starting,options=rbind:ro")
    await asyncio.to_thread(ctr.run, container, "sh", "-c", STARTING, options=mount)
    lines = [line.split() for line in (await asyncio.to_thread(ctr, "tasks", "ls")).splitlines()[1:]]
    pid = next(int(pid) for name, pid, _ in lines if name == container)
    async with asyncio.timeout(60):
        while "(starting) D" not in (await asyncio.to_thread(ctr.host.run, "cat", f"/proc/{pid}/stat")).stdout:
            await asyncio.sleep(0.02)
    return pid


async def until_met(work: Path) -> None:
    """Wait until a dump has met what it is about to dump."""
    log = work / "dump.log"
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(lambda: log.exists() and b"SEIZE" in log.read_bytes()):
            await asyncio.sleep(0.02)


async def started(ctr: Ctr, pid: int) -> None:
    """Let it come to the end of its vfork, once it runs."""
    await asyncio.to_thread(ctr.host.run, "sh", "-c", f"echo >/proc/{pid}/root/gate")


class Place(ABC):
    """A containerd with CRIU, and a directory that both its host and the test see."""

    def __init__(self, host: Host, directory: Path) -> None:
        self.host = host
        self.namespace = host.namespace
        self.runtime = host.runtime
        self.directory = directory

    @property
    def checkpoints(self) -> Checkpointer:
        return self.runtime.checkpoints

    @abstractmethod
    async def run(self, container: str) -> None:
        """Run a container that knows something."""

    @abstractmethod
    async def run_stubborn(self, container: str) -> str:
        """Run one that CRIU does not dump; return a word of why."""

    @abstractmethod
    async def run_listening(self, container: str, where: Listening) -> str:
        """Run one that listens in a network of its own; return the path of that."""

    @abstractmethod
    async def without(self, path: str) -> None:
        """See that its host has nothing at this path."""

    @abstractmethod
    async def run_starting(self, container: str) -> None:
        """Run one that is just starting a program, and goes on with that until `go_on`."""

    @abstractmethod
    async def go_on(self, container: str, work: Path) -> None:
        """Let it come to the end of that, once it runs; a dump has met it in the middle."""

    @abstractmethod
    async def until_over(self, container: str) -> None:
        """Wait until it has come to the end of that."""

    @abstractmethod
    async def knows(self, container: str) -> str:
        """What a running container knows, as it says now."""

    @abstractmethod
    async def damage(self, images: Path) -> None:
        """See that CRIU does not restore what is in this directory."""

    @abstractmethod
    async def dumping(self, work: Path) -> None:
        """Wait until a dump is under way, which `dump_slowly` began."""

    @abstractmethod
    def slowly(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Dumps in this block take until its end, where that can be had."""

    @abstractmethod
    async def snapshots(self) -> set[str]:
        """Keys of all snapshots, views and layers among them."""

    def images(self, name: str) -> Path:
        """An empty directory to dump into, in one of its own."""
        made = self.directory / name / "images"
        made.mkdir(mode=0o700, parents=True)
        return made

    async def copy(self, container: str, other: str) -> None:
        """Make another container of the same image, with what this one has written."""
        runtime, namespace = self.runtime, self.namespace
        record: ContainerInfo = await runtime.containers.get(namespace, container)
        image = await runtime.images.resolve(namespace, record.image)
        await runtime.snapshots.prepare(namespace, record.snapshotter, other, image, labels={}, lease=LEASE)
        layer = await self.checkpoints.changes(namespace, container, lease=LEASE)
        assert layer is not None
        await self.checkpoints.apply(namespace, record.snapshotter, other, layer, lease=LEASE)
        spec = dict(record.spec or {})
        spec["linux"] = {**spec["linux"], "cgroupsPath": f"/{namespace}/{other}"}
        wanted = NewContainer(
            id=other,
            spec=spec,
            runtime=record.runtime,
            image=record.image,
            snapshotter=record.snapshotter,
            snapshot_key=other,
        )
        await runtime.containers.create(namespace, wanted, lease=LEASE)

    async def end(self, container: str) -> None:
        """Kill a task and remove it."""
        tasks = self.runtime.tasks
        await tasks.kill(self.namespace, container, 9)
        await tasks.wait(self.namespace, container)
        await tasks.delete(self.namespace, container)


class MemoryPlace(Place):
    """The one of `bridge.testing`."""

    def __init__(self, host: MemoryHost, directory: Path) -> None:
        super().__init__(host, directory)
        self.containerd = host.containerd
        self.criu = host.containerd.criu
        self.containerd.put_image(self.namespace, memory_image(BUSYBOX, {"Cmd": ["sh"]}, {"/etc/passwd": b"root"}))

    async def run(self, container: str) -> None:
        await self.containerd.run(self.namespace, container, Program(ends_on={}), image=BUSYBOX)
        files = {"/etc/passwd": b"root", "/log": b"begun\n"}
        self.containerd.snapshots[self.namespace, container] = MemorySnapshot(files=files)
        self._task(container).memory = os.urandom(16).hex().encode()

    async def run_stubborn(self, container: str) -> str:
        await self.run(container)
        self.criu.fails = "dump"
        return "tcp-established"

    async def run_listening(self, container: str, where: Listening) -> str:
        await self.run(container)
        self.criu.listens[container] = [where]
        self.criu.listening[f"/{container}"] = [where]
        return f"/{container}"

    async def without(self, path: str) -> None:
        self.criu.missing.add(path)

    async def run_starting(self, container: str) -> None:
        await self.run(container)
        self.criu.bad_moments += 1

    async def go_on(self, container: str, work: Path) -> None:
        pass

    async def until_over(self, container: str) -> None:
        pass

    async def knows(self, container: str) -> str:
        task = self._task(container)
        assert task.info.status == "running"
        return task.memory.decode()

    async def damage(self, images: Path) -> None:
        self.criu.fails = "restore"

    async def dumping(self, work: Path) -> None:
        await self.criu.busy.wait()

    @contextlib.asynccontextmanager
    async def slowly(self) -> AsyncIterator[None]:
        held = self.criu.held = asyncio.Event()
        try:
            yield
        finally:
            held.set()

    async def snapshots(self) -> set[str]:
        return await self.host.snapshots()

    def _task(self, container: str) -> MemoryTask:
        task = self.containerd.containers[self.namespace, container].task
        assert task is not None
        return task


class RealPlace(Place):
    """A containerd of the test host; it sees its containers' files as root on that host does."""

    def __init__(self, host: RealHost) -> None:
        super().__init__(host, host.ctr.host.shared / "checkpoints" / host.namespace)
        self.ctr = host.ctr
        self._starting: dict[str, int] = {}

    async def run(self, container: str) -> None:
        await asyncio.to_thread(self.ctr.run, container, "sh", "-c", KNOWS)
        await self.knows(container)

    async def run_stubborn(self, container: str) -> str:
        await asyncio.to_thread(self.ctr.run, container, "sh", "-c", STUBBORN)
        await self.file(container, "ready")
        return "link remap for /a"

    async def run_listening(self, container: str, where: Listening) -> str:
        await asyncio.to_thread(self.ctr.run, container, "nc", "-l", "-p", str(where.port))
        async with asyncio.timeout(60):
            while not await self.checkpoints.listens(self.namespace, container):
                await asyncio.sleep(0.02)
        task = await self.runtime.tasks.get(self.namespace, container)
        assert task is not None
        return f"/proc/{task.pid}/ns/net"

    async def without(self, path: str) -> None:
        assert (await asyncio.to_thread(lambda: self.ctr.host.run("test", "-e", path, check=False))).returncode

    async def run_starting(self, container: str) -> None:
        self._starting[container] = await starting(self.ctr, container)

    async def go_on(self, container: str, work: Path) -> None:
        await until_met(work)
        await started(self.ctr, self._starting[container])

    async def until_over(self, container: str) -> None:
        async with asyncio.timeout(60):
            while not await self.inside(container, "ls", "-d", "over"):
                await asyncio.sleep(0.02)

    async def knows(self, container: str) -> str:
        await self.inside(container, "rm", "-f", "knows")
        return await self.file(container, "knows")

    async def damage(self, images: Path) -> None:
        await asyncio.to_thread(_cut_short, images)

    async def dumping(self, work: Path) -> None:
        async with asyncio.timeout(60):
            while not await asyncio.to_thread((work / "dump.log").exists):
                await asyncio.sleep(0.002)

    @contextlib.asynccontextmanager
    async def slowly(self) -> AsyncIterator[None]:
        yield  # CRIU takes its time by itself

    async def snapshots(self) -> set[str]:
        listed = await asyncio.to_thread(self.ctr, "snapshots", "ls")
        return {line.split()[0] for line in listed.splitlines()[1:]}

    async def file(self, container: str, name: str) -> str:
        """A file at a container's root, as soon as there is something in it."""
        async with asyncio.timeout(60):
            while not (text := await self.inside(container, "cat", name)):
                await asyncio.sleep(0.02)
        return text

    async def inside(self, container: str, program: str, *arguments: str) -> str:
        """Run a program of the host in the root directory of a container's process."""
        task = await self.runtime.tasks.get(self.namespace, container)
        assert task is not None
        command = ("sh", "-c", f'cd /proc/{task.pid}/root && "$0" "$@"', program, *arguments)
        return (await asyncio.to_thread(lambda: self.ctr.host.run(*command, check=False))).stdout.strip()


def _cut_short(images: Path) -> None:
    for core in images.glob("core-*.img"):
        core.write_bytes(core.read_bytes()[:-8])
