"""The processes of a run: started, spoken to line by line, ended with the run."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

__all__ = ["PATIENCE_S", "Running", "RunFailed", "python", "started"]

PATIENCE_S: Final = 30.0
"""Who says nothing, or gets no further, for so long never will."""


T = TypeVar("T")


class RunFailed(Exception):
    """A run came to nothing that could be measured; the message says why."""


class Running:
    """A process of a run, with the lines that it writes; what it complains of goes to a file."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, errors: Path, began: float) -> None:
        self.name = name
        self.began = began
        """When it was started, by `time.perf_counter`."""
        self.pid = process.pid
        self.process = process
        self._errors = errors

    def say(self, word: str) -> None:
        """Write a line to its input."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n".encode())

    async def expect(self, word: str, *, patience: float = PATIENCE_S) -> str:
        """Wait until it writes a line that begins with this word, and return what else stands in it.

        Raises:
            RunFailed: it ends instead, writes something else, or takes longer than `patience` seconds.
        """
        assert self.process.stdout is not None
        try:
            async with asyncio.timeout(patience):
                line = (await self.process.stdout.readline()).decode().strip()
        except TimeoutError as error:
            raise RunFailed(f"the {self.name} did not say {word!r} in {patience:.0f} s{self.told()}") from error
        said, _, rest = line.partition(" ")
        if said != word:
            raise RunFailed(f"the {self.name} said {line!r} and not {word!r}{self.told()}")
        return rest

    async def while_running(self, work: Coroutine[Any, Any, T]) -> T:
        """Do some work that it has to be there for, and return its result.

        Raises:
            RunFailed: it ended before.
        """
        doing, ending = asyncio.ensure_future(work), asyncio.ensure_future(self.process.wait())
        try:
            await asyncio.wait({doing, ending}, return_when=asyncio.FIRST_COMPLETED)
            if doing.done():
                return doing.result()
            raise RunFailed(f"the {self.name} ended with status {ending.result()}{self.told()}")
        finally:
            doing.cancel()
            ending.cancel()
            await asyncio.gather(doing, ending, return_exceptions=True)

    def told(self) -> str:
        """Return the end of what it complained of, to be put behind a sentence."""
        text = self._errors.read_text(encoding="utf-8", errors="replace").strip()
        return f":\n{text[-2000:]}" if text else ""


def python(module: str, *arguments: str) -> list[str]:
    """Return the command line of a module of ours."""
    return [sys.executable, "-m", module, *arguments]


@asynccontextmanager
async def started(name: str, command: Sequence[str], directory: Path) -> AsyncIterator[Running]:
    """Run a program while the context lasts, from the project's root; its complaints go to a file in `directory`."""
    errors = directory / f"{name}.log"
    began = time.perf_counter()
    with errors.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=file,
            cwd=Path(__file__).parent.parent,
        )
    try:
        yield Running(name, process, errors, began)
        if process.returncode is None:
            process.terminate()
            async with asyncio.timeout(PATIENCE_S):
                await process.communicate()
    except TimeoutError as error:
        raise RunFailed(f"the {name} did not end in {PATIENCE_S:.0f} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
