"""Sessions over a containerd and a bus in memory; the FIFOs, the spools and the journal are real."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from bridge.model.stdio import Chunk, InputPiece, InputReply, OutputStream, StreamEnd
from bridge.model.subjects import StdioSubject
from bridge.ports import InputTold, SessionOrder
from bridge.stdio.session import Session
from bridge.stdio.sessions import Sessions
from bridge.testing import MemoryContainerd, MemoryStdio, Program

RESTART = {"args": ["x"]}


class House:
    """One node: what happens in it, and what stands on the bus."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.containerd = MemoryContainerd()
        self.bus = MemoryStdio()
        self.boot = "boot-1"
        self.told: list[InputTold] = []
        self.sessions = self._sessions()

    def _sessions(self) -> Sessions:
        return Sessions(
            "n1",
            directory=self.directory / "stdio",
            fifo_dir=self.directory / "fifo",
            boot=self.boot,
            tasks=self.containerd.runtime.tasks,
            bus=self.bus,
            lines=self.bus,
            told=self.told.append,
        )

    async def open(self) -> None:
        await self.containerd.run("default", "web")
        await self.sessions.__aenter__()

    async def close(self) -> None:
        await self.sessions.__aexit__(None, None, None)

    async def restart(self, *, boot: str | None = None, meanwhile: Callable[[], Any] = lambda: None) -> None:
        """End as `kill -9` does, as far as FIFOs and files can tell, and begin again."""
        await self.close()
        result = meanwhile()
        if asyncio.iscoroutine(result):
            await result
        self.boot = boot or self.boot
        self.sessions = self._sessions()
        await self.sessions.__aenter__()

    async def made(self, program: Program, exec_id: str | None = "e1", **options: Any) -> Session:
        """A session whose process is registered, and not started."""
        order = SessionOrder(namespace="default", container="web", exec_id=exec_id, command_id="c1", **options)
        session = await self.sessions.open(order)
        self.containerd.programs["x"] = program
        assert exec_id is not None
        await self.containerd.runtime.tasks.exec("default", "web", exec_id, RESTART, session.stdio)
        return session

    async def run(self, program: Program, exec_id: str = "e1", **options: Any) -> Session:
        session = await self.made(program, exec_id, **options)
        await session.start()
        return session

    def found(self, exec_id: str = "e1") -> Session:
        session = self.sessions.find("default", "web", exec_id)
        assert session is not None
        return session

    def subject(self, stream: str = "stdout", exec_id: str = "e1") -> StdioSubject:
        return StdioSubject("n1", "default", "web", exec_id, stream)

    async def stored(self, session: str, stream: OutputStream = "stdout") -> tuple[bytes, StreamEnd | None]:
        """What is stored of a stream, which must be without hole or repetition, and its end."""
        data, end = b"", None
        async for one in self.bus.read(self.subject(), session, after=0, follow=False):
            if one.stream != stream:
                continue
            assert end is None
            if isinstance(one.piece, Chunk):
                assert one.piece.offset == len(data)
                data += one.piece.data
            else:
                end = one.piece
        return data, end

    async def write(
        self, session: Session, offset: int, data: bytes, *, end: bool = False, exec_id: str = "e1"
    ) -> InputReply:
        piece = InputPiece(session=session.id, offset=offset, data=data, end=end, key=session.secret)
        return await self.bus.write(self.subject("stdin", exec_id), piece, timeout=90)

    def execs(self) -> list[str]:
        task = self.containerd.containers["default", "web"].task
        assert task is not None
        return [name for name in ("e1", "e2") if task.find(name) is not None]

    def leftovers(self) -> list[str]:
        """FIFOs and spools that are still there."""
        spools = [str(path) for path in (self.directory / "stdio").glob("*/std*")]
        fifos = [str(path) for path in (self.directory / "fifo").glob("*")]
        return spools + fifos


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    one = House(tmp_path)
    await one.open()
    try:
        yield one
    finally:
        await one.close()
        web = one.containerd.containers.get(("default", "web"))
        task = None if web is None else web.task
        if task is not None and task.info.status != "stopped":
            task.end(0)


async def until(true: Callable[[], object]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(90):
        while not true():
            await asyncio.sleep(0.005)
