"""The directories in which commands have dumps: one for each command, named after it, and gone with it.

    <checkpoint_dir>/<node>/<command id>/images     what CRIU wrote, or is to read
                                        /work       its log and its figures
                                        /layer      what the container wrote to its file system
                                        /criu.conf  how CRIU is to restore
                                        /note       what whoever comes after a crash has to know

What lies there is the memory of processes, so nobody but root may look: directories are 0700, files 0600. The node's name is in
the path because a containerd may have more than one bridge; so a directory that no command of this node is about is nobody's,
and `sweep` takes it away.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from msgspec import Struct

from bridge.errors import BadEnvelope, CommandFailed
from bridge.model.checkpoints import CheckpointRecord
from bridge.model.codec import decode_as, encode_any
from bridge.model.outcomes import ContainerInfo
from bridge.model.subjects import quote

__all__ = ["Bench", "Note", "Workshop", "disk", "opened", "removed"]

log = logging.getLogger(__name__)

T = TypeVar("T")

NOTE: Final = "note"

FINISHED: Final = b"Dumping finished successfully"
LOG_END: Final = 4096
"""What CRIU's log ends with where it has dumped everything, and how near its end that stands."""


class Note(Struct, frozen=True, kw_only=True):
    """What a command has done that cannot be seen from elsewhere.

    Attributes:
        paused: whether it was the one that froze the task, so that it has to let it run on.
        ended: whether the dump ended the task, so that all there is of it lies in this directory.
        draft: the record that the checkpoint is to have, as far as it is known.
        before: the container that is there, as it was before a restore changed its record.
    """

    paused: bool = False
    ended: bool = False
    draft: CheckpointRecord | None = None
    before: ContainerInfo | None = None


class Bench(Struct, frozen=True, kw_only=True):
    """The directory of one command."""

    path: Path

    @property
    def images(self) -> Path:
        """CRIU's images."""
        return self.path / "images"

    @property
    def work(self) -> Path:
        """CRIU's log and figures."""
        return self.path / "work"

    @property
    def layer(self) -> Path:
        """What the container wrote to its file system, a layer."""
        return self.path / "layer"

    @property
    def config(self) -> Path:
        """CRIU's configuration."""
        return self.path / "criu.conf"

    async def note(self, note: Note) -> None:
        """Write it down; it is on disk when this returns."""
        await disk(lambda: _write(self.path / NOTE, encode_any(note)))

    async def noted(self) -> Note:
        """Return what was written down; the default where nothing was, or nothing that can be read."""
        return await asyncio.to_thread(_noted, self.path)

    async def is_whole(self) -> bool:
        """Tell whether CRIU's log says that the dump has come to its end."""

        def look() -> bool:
            try:
                with (self.work / "dump.log").open("rb") as file:
                    file.seek(0, os.SEEK_END)
                    file.seek(max(0, file.tell() - LOG_END))
                    return FINISHED in file.read() and (self.images / "inventory.img").is_file()
            except OSError:
                return False

        return await asyncio.to_thread(look)

    @property
    def there(self) -> bool:
        """Whether the directory is there."""
        return self.path.is_dir()

    async def write(self, file: Path, text: str) -> None:
        """Write a small file of ours."""
        await disk(lambda: _write(file, text.encode()))


class Workshop:
    """The directories of one node's commands."""

    def __init__(self, directory: Path, node: str) -> None:
        """Take where they are, and whose. Nothing is made before the first command needs it."""
        self._directory = directory / quote(node)

    @property
    def directory(self) -> Path:
        """Where they are."""
        return self._directory

    def bench(self, command_id: str) -> Bench:
        """Return the directory of a command, there or not."""
        return Bench(path=self._directory / quote(command_id))

    async def open(self, command_id: str) -> Bench:
        """Make the directory of a command, empty.

        Raises:
            CommandFailed: `failed_precondition` or `exhausted`: the disk does not let us.
        """
        bench = self.bench(command_id)

        def make() -> None:
            removed(bench.path)
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in (bench.path, bench.images, bench.work):
                path.mkdir(mode=0o700)

        await disk(make)
        return bench

    async def close(self, command_id: str) -> None:
        """Remove the directory of a command; that there is none is as good."""
        await disk(lambda: removed(self.bench(command_id).path))

    async def room(self) -> int:
        """Return how many bytes are free where directories are made."""

        def free() -> int:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = os.statvfs(self._directory)
            return found.f_bavail * found.f_frsize

        return await disk(free)

    async def frozen(self, keep: Collection[str] = ()) -> list[CheckpointRecord]:
        """Return whose tasks commands that are over had frozen, as far as their directories are there still."""
        kept = {quote(one) for one in keep}

        def look() -> list[CheckpointRecord]:
            found = self._directory.iterdir() if self._directory.is_dir() else ()
            notes = [_noted(path) for path in found if path.name not in kept]
            return [note.draft for note in notes if note.paused and note.draft is not None and not note.ended]

        return await disk(look)

    async def sweep(self, keep: Collection[str] = ()) -> None:
        """Remove the directories of commands that are none of `keep`, but for those that have all there is of a task.

        What cannot be removed is told in the log.
        """
        kept = {quote(one) for one in keep}

        def clear() -> None:
            for path in self._directory.iterdir() if self._directory.is_dir() else ():
                if path.name in kept:
                    continue
                if _noted(path).ended:
                    log.warning("%s has the only dump of a task that has ended: restore it, or remove it", path)
                    continue
                log.warning("%s is left of a command that is over: it is removed", path)
                removed(path)

        try:
            await disk(clear)
        except CommandFailed as error:
            log.warning("%s", error)


async def disk(work: Callable[[], T], *, at: Path | None = None) -> T:
    """Do what needs the disk, in a thread and to its end: `at` a path that somebody gave, else in our directory.

    Raises:
        CommandFailed: `exhausted` where there is no room, `failed_precondition` for all else.
    """
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        where = at or error.filename or "the directory of checkpoints"
        remedy = "give another path" if at is not None else "see checkpoint_dir"
        sentence = f"{where}: {error.strerror or error}: {'make room there, or ' if full else ''}{remedy}"
        raise CommandFailed("exhausted" if full else "failed_precondition", sentence) from error
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


def _write(path: Path, data: bytes) -> None:
    fresh = path.with_name(f"{path.name}.new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _noted(path: Path) -> Note:
    try:
        return decode_as((path / NOTE).read_bytes(), Note)
    except FileNotFoundError:
        return Note()
    except (OSError, BadEnvelope) as error:
        log.warning("%s cannot be read: %s", path / NOTE, error)
        return Note()


def removed(path: Path) -> None:
    """Remove a file or a directory with all that is in it; blocks."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """Have a directory of our own open, and not one that a link leads to."""
    found = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield found
    finally:
        os.close(found)
