"""The shim of a process in memory, as far as stdio goes: it opens real FIFOs and copies what the program writes and reads."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable

from bridge.errors import CommandFailed
from bridge.ports import Stdio
from bridge.testing.program import Program

__all__ = ["MemoryShim"]

PIECE = 32 * 1024


class MemoryShim:
    """One process's.

    As containerd's, it holds ends of its own of every FIFO: of stdin until it is told to close it, of the outputs so that a
    reader may go and come back. What its process has left behind it passes on after that one's end, until it is closed itself.
    """

    def __init__(self, stdio: Stdio, program: Program) -> None:
        self._stdio = stdio
        self._program = program
        self._open: dict[str, int] = {}
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Open the FIFOs that are named.

        Raises:
            CommandFailed: `deadline_exceeded`: nobody has an output open to read.
        """
        try:
            for name, path in (("stdout", self._stdio.stdout), ("stderr", self._stdio.stderr)):
                if path:
                    self._open[name] = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
                    self._open[f"{name} kept"] = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            if self._stdio.stdin:
                self._open["stdin"] = os.open(self._stdio.stdin, os.O_RDONLY | os.O_NONBLOCK)
                self._open["keeper"] = os.open(self._stdio.stdin, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            self.close()
            raise CommandFailed("deadline_exceeded", f"the shim waits for whoever opens {error.filename}") from error

    def run(self, ended: Callable[[int], None]) -> None:
        """Let the program do what it does; `ended` is told the status with which it ends by itself."""
        self._task = asyncio.create_task(self._run(ended))

    def close_stdin(self) -> None:
        """Close the shim's own end of stdin."""
        keeper = self._open.pop("keeper", None)
        if keeper is not None:
            os.close(keeper)

    def end(self) -> None:
        """Pass on what the process has left, now that it has ended, and close everything."""
        if not self._program.leaves or not self._open:
            self.close()
            return
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        self._task = asyncio.create_task(self._leave())

    def close(self) -> None:
        """Close everything; what was not passed on is lost."""
        loop = asyncio.get_running_loop()
        for descriptor in self._open.values():
            loop.remove_reader(descriptor)
            loop.remove_writer(descriptor)
            os.close(descriptor)
        self._open = {}
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    async def _run(self, ended: Callable[[int], None]) -> None:
        program = self._program
        await self._write("stdout", program.says)
        await self._write("stderr" if "stderr" in self._open else "stdout", program.complains)
        if program.echoes:
            while data := await self._read():
                await self._write("stdout", data)
        if program.exits is not None or program.echoes:
            ended(program.exits or 0)

    async def _leave(self) -> None:
        await self._write("stdout", self._program.leaves)
        self.close()

    async def _write(self, name: str, data: bytes) -> None:
        view = memoryview(data if name in self._open else b"")
        while view:
            try:
                view = view[os.write(self._open[name], view[:PIECE]) :]
            except BlockingIOError:
                await self._ready(asyncio.get_running_loop().add_writer, self._open[name])

    async def _read(self) -> bytes:
        while "stdin" in self._open:
            try:
                return os.read(self._open["stdin"], PIECE)
            except BlockingIOError:
                await self._ready(asyncio.get_running_loop().add_reader, self._open["stdin"])
        return b""

    @staticmethod
    async def _ready(watch: Callable[[int, Callable[[], None]], None], descriptor: int) -> None:
        ready = asyncio.Event()
        watch(descriptor, ready.set)
        try:
            await ready.wait()
        finally:
            loop = asyncio.get_running_loop()
            with contextlib.suppress(OSError, ValueError):
                loop.remove_reader(descriptor)
                loop.remove_writer(descriptor)
