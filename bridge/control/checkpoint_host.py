"""Paths of the node's host that somebody named, to put a checkpoint there or to take one: as root, so no link is followed.

The policy judges a path as it stands and leads at that moment. Here every directory on the way is opened in the one before, and a
link anywhere is refused; so what is written or read lies where the policy was asked about, whatever somebody exchanges meanwhile.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from bridge.checkpoints import LAYER, Contents, PackedArchive, described
from bridge.control.leases import undo
from bridge.control.workshop import disk
from bridge.errors import CommandFailed

__all__ = [
    "bytes_of",
    "check_free",
    "directory_at",
    "is_directory",
    "taken",
    "taken_away",
    "write_directory",
    "write_file",
]

PIECE: Final = 1 << 20
_WALK: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def taken(what: str) -> CommandFailed:
    """Return the error for what is there already."""
    return CommandFailed("already_exists", f"{what} is there already, and is not replaced: give another name")


@contextmanager
def directory_at(path: Path) -> Iterator[int]:
    """Have a directory open, reached without following a link; blocks.

    Raises:
        CommandFailed: `not_found`; `invalid_argument` where there is a link on the way, or no directory.
    """
    parts = path.parts
    if not path.is_absolute() or ".." in parts:
        raise CommandFailed("invalid_argument", f"{str(path)!r} is no absolute path without '..'")
    found = os.open("/", _WALK)
    try:
        for part in parts[1:]:
            try:
                following = os.open(part, _WALK, dir_fd=found)
            except FileNotFoundError as error:
                raise CommandFailed("not_found", f"there is no directory {path} on this host") from error
            except OSError as error:
                why = f"{part!r} in {path} is a link, or no directory: give the path that it leads to"
                raise CommandFailed("invalid_argument", why) from error
            os.close(found)
            found = following
        yield found
    finally:
        os.close(found)


async def check_free(target: Path) -> None:
    """See that there is a directory for it, and nothing of that name in it.

    Raises:
        CommandFailed: `already_exists`, or as `directory_at`.
    """

    def look() -> None:
        with directory_at(target.parent) as parent:
            if _there(parent, target.name):
                raise taken(str(target))

    await disk(look)


async def is_directory(path: Path) -> bool:
    """Tell whether a directory is there; a link is none."""

    def look() -> bool:
        with directory_at(path.parent) as parent:
            found = _there(parent, path.name)
            return found is not None and stat.S_ISDIR(found.st_mode)

    return await disk(look)


async def bytes_of(path: Path) -> AsyncIterator[bytes]:
    """Return the bytes of a file; nothing else is opened.

    Raises:
        CommandFailed: `not_found`; `invalid_argument` where it is no file.
    """

    def start() -> int:
        with directory_at(path.parent) as parent:
            found = _there(parent, path.name)
            if found is None:
                raise CommandFailed("not_found", f"there is no file {path} on this host")
            if not stat.S_ISREG(found.st_mode):
                raise CommandFailed("invalid_argument", f"{path} is no file")
            file = os.open(path.name, _READ, dir_fd=parent)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise CommandFailed("invalid_argument", f"{path} is no file")
        return file

    file = await disk(start)
    try:
        while piece := await disk(partial(os.read, file, PIECE)):
            yield piece
    finally:
        os.close(file)


async def write_file(archive: PackedArchive, target: Path, command_id: str) -> None:
    """Write an archive to a new file, which is there whole or not at all.

    Raises:
        CommandFailed: `already_exists`, or what the disk says.
    """
    fresh = _beside(target, command_id)

    def start() -> int:
        with directory_at(target.parent) as parent:
            return os.open(fresh, _NEW, 0o600, dir_fd=parent)

    def put() -> None:
        with directory_at(target.parent) as parent:
            try:
                os.link(fresh, target.name, src_dir_fd=parent, dst_dir_fd=parent, follow_symlinks=False)
            except FileExistsError as error:
                raise taken(str(target)) from error
            os.unlink(fresh, dir_fd=parent)
            os.fsync(parent)

    file = await disk(start, at=target)
    try:
        try:
            async for piece in archive():
                await disk(partial(_all, file, piece), at=target)
            await disk(partial(os.fsync, file), at=target)
        finally:
            os.close(file)
        await disk(put, at=target)
    except BaseException:
        await undo(fresh, taken_away(target, command_id))
        raise


async def write_directory(contents: Contents, target: Path, command_id: str) -> None:
    """Write a dump and what it says of itself to a new directory, which is there whole or not at all.

    Raises:
        CommandFailed: `already_exists`, or what the disk says.
    """
    fresh = _beside(target, command_id)
    said = described(contents.record, contents.spec, contents.container_created_at)
    files: dict[str, bytes | Path] = {**said}

    def write() -> None:
        for source in sorted(contents.images.iterdir()):
            files[source.name] = source
        if contents.layer is not None:
            files[LAYER] = contents.layer
        with directory_at(target.parent) as parent:
            os.mkdir(fresh, 0o700, dir_fd=parent)
            made = os.open(fresh, _WALK, dir_fd=parent)
            try:
                for name, what in files.items():
                    _copied(made, name, what)
                os.fsync(made)
            finally:
                os.close(made)
            if _there(parent, target.name):
                raise taken(str(target))
            os.rename(fresh, target.name, src_dir_fd=parent, dst_dir_fd=parent)
            os.fsync(parent)

    try:
        await disk(write, at=target)
    except BaseException:
        await undo(fresh, taken_away(target, command_id))
        raise


async def taken_away(target: Path, command_id: str) -> None:
    """Remove what was to become `target`, if it is there."""
    fresh = _beside(target, command_id)

    def remove() -> None:
        with directory_at(target.parent) as parent:
            found = _there(parent, fresh)
            if found is None:
                return
            if stat.S_ISDIR(found.st_mode):
                shutil.rmtree(fresh, dir_fd=parent)
            else:
                os.unlink(fresh, dir_fd=parent)

    await disk(remove, at=target)


def _beside(target: Path, command_id: str) -> str:
    """Return the name under which it is written first, in the same directory."""
    return f".{target.name[:180]}.{command_id}"


def _there(directory: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _copied(directory: int, name: str, source: bytes | Path) -> None:
    with open(os.open(name, _NEW, 0o600, dir_fd=directory), "wb") as file:
        if isinstance(source, bytes):
            file.write(source)
        else:
            with source.open("rb") as read:
                shutil.copyfileobj(read, file, PIECE)
        file.flush()
        os.fsync(file.fileno())


def _all(file: int, piece: bytes) -> None:
    left = memoryview(piece)
    while left:
        left = left[os.write(file, left) :]
