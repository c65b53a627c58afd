"""Files made in a directory that is ours: all of them, or in the end none.

Whatever is written here has a name that was checked before, is made anew (never opened, never followed), belongs to nobody
else (0600, directories 0700), and is taken away again when what it is part of turns out to be refused.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from bridge.checkpoints.layout import refusal, shown, trouble

__all__ = ["Landing"]

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_INTO = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Landing:
    """`with Landing(directory) as landing`: what was made in the block is gone again when the block fails."""

    def __init__(self, directory: int, *, what: str) -> None:
        """Take the descriptor of an existing directory, and what to call what arrives, in sentences."""
        self._root = directory
        self._what = what
        self._folders: dict[str, int] = {}
        self._made: list[tuple[str, str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is not None:
            self._undo()
        for folder in self._folders.values():
            os.close(folder)

    def folder(self, name: str) -> None:
        """Make a directory."""
        if name in self._folders:
            raise refusal(f"{self._what} has {shown(name)} twice")
        try:
            os.mkdir(name, 0o700, dir_fd=self._root)
            self._folders[name] = os.open(name, _INTO, dir_fd=self._root)
        except FileExistsError as error:
            raise refusal(f"{shown(name)} is there already, and would be written over") from error
        except OSError as error:
            raise trouble(error, f"the directory {shown(name)} cannot be made") from error

    def write(self, folder: str, name: str, pieces: Iterable[bytes]) -> int:
        """Make a file in a folder, or in the directory itself, and return its size."""
        path = f"{folder}/{name}" if folder else name
        if folder and folder not in self._folders:
            self.folder(folder)
        try:
            file = os.open(name, _NEW, 0o600, dir_fd=self._folders[folder] if folder else self._root)
        except FileExistsError as error:
            twice = (folder, name) in self._made
            why = f"{self._what} has {shown(path)} twice" if twice else f"{shown(path)} is there already"
            raise refusal(why) from error
        except OSError as error:
            raise trouble(error, f"the file {shown(path)} cannot be made") from error
        self._made.append((folder, name))
        size = 0
        with open(file, "wb", buffering=0) as out:
            for piece in pieces:
                size += len(piece)
                rest = memoryview(piece)
                try:
                    while rest:
                        rest = rest[out.write(rest) :]
                except OSError as error:
                    raise trouble(error, f"the file {shown(path)} cannot be written") from error
        return size

    def _undo(self) -> None:
        for folder, name in self._made:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=self._folders[folder] if folder else self._root)
        for folder in self._folders:
            with contextlib.suppress(OSError):
                os.rmdir(folder, dir_fd=self._root)
