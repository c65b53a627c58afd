"""An archive of the catalogue written to a file: beside its place until it is whole, on the disk before it gets its name.

Only its owner can read it, from the first byte on: it is the memory of processes.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from bridge.checkpoints import Packing, recoded
from bridge.errors import CommandFailed
from bridge.model.identity import new_ulid
from bridge.ports import Archive

__all__ = ["export"]


async def export(archive: Archive, file: Path | None, packing: Packing | None, tell: Callable[[int], None]) -> int:
    """Write an archive; see `Checkpoints.export`."""
    counted = _counted(archive, tell)
    async with aclosing(counted if packing is None else recoded(counted, packing)) as data:
        if file is None:
            return await _write(data, sys.stdout.buffer)
        with _failures(file):
            return await _to_file(data, file)


async def _to_file(data: AsyncGenerator[bytes, None], file: Path) -> int:
    with _beside(file) as opened:
        size = await _write(data, opened)
        await asyncio.to_thread(_put_in_place, opened, file)
    return size


@contextmanager
def _beside(file: Path) -> Iterator[BinaryIO]:
    """Yield a new file beside this one; it is gone at the end, unless it was put in its place."""
    if file.exists() and not file.is_file():
        raise CommandFailed("invalid_argument", f"{file} is no file: give another name, or - for standard output")
    beside = file.with_name(f".{file.name}.{new_ulid()}")
    try:
        with open(beside, "xb", opener=partial(os.open, mode=0o600)) as opened:
            yield opened
    finally:
        beside.unlink(missing_ok=True)


def _put_in_place(opened: BinaryIO, file: Path) -> None:
    os.fsync(opened.fileno())
    Path(opened.name).replace(file)
    directory = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


async def _write(data: AsyncGenerator[bytes, None], file: BinaryIO) -> int:
    size = 0
    async for piece in data:
        await asyncio.to_thread(file.write, piece)
        size += len(piece)
    await asyncio.to_thread(file.flush)
    return size


async def _counted(archive: Archive, tell: Callable[[int], None]) -> AsyncGenerator[bytes, None]:
    size = 0
    async for piece in archive:
        size += len(piece)
        tell(size)
        yield piece


@contextmanager
def _failures(file: Path) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CommandFailed("failed_precondition", f"{file} cannot be written: {error.strerror}") from error
