"""A disk that loses its power: of a file it has for certain what was synced, and of the rest any part.

SQLite in the bridge's own process is asked (`record_changes`) to note whatever it gives to the operating system and what it asks
it to sync, in the order in which that happens; the notes outlive `kill -9`, as what the kernel has does. `Disk.cut` then makes
the files what a disk would hold: everything up to the last sync of a file, and of what was written after it nothing, or some
blocks and not others. That needs no kernel module, no FUSE and no compiler. It relies on SQLite's writing by no other way.

A file that was synced once is there. What was deleted before something else was synced stays deleted, as it does where a file
system keeps a journal of its own.
"""

from __future__ import annotations

import ctypes
import os
import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

__all__ = ["DISK", "Change", "Disk", "Image", "changes", "record_changes"]

DISK: Final = "FAULTS_DISK"
"""Environment variable of a recorded bridge: the directory whose files are followed, and the file for the notes."""

BLOCK: Final = 4096
"""What a disk writes as a whole, or not at all."""

_HEAD: Final = struct.Struct("<cBqq")
"""Kind, length of the file's name, offset, length of the data. Where there are no data: a size."""


class Change(NamedTuple):
    """What was done to a file: `write`, `truncate` to `offset`, `sync`, `delete`; or a deletion that is synced, `gone`."""

    kind: str
    file: str
    offset: int = 0
    data: bytes = b""

    def encoded(self) -> bytes:
        """Return it as a note."""
        name = self.file.encode()
        return _HEAD.pack(self.kind[:1].encode(), len(name), self.offset, len(self.data)) + name + self.data


_KINDS: Final = {kind[:1].encode(): kind for kind in ("write", "truncate", "sync", "delete", "gone")}


def changes(notes: bytes) -> Iterator[Change]:
    """Iterate over the changes in notes, up to one that was cut off."""
    at = 0
    while at + _HEAD.size <= len(notes):
        kind, name, offset, length = _HEAD.unpack_from(notes, at)
        begin = at + _HEAD.size + name
        at = begin + length
        if at > len(notes):
            return
        yield Change(_KINDS[kind], notes[begin - name : begin].decode(), offset, notes[begin:at])


class Image:
    """What a disk has: `kept` for certain, and in `loose` what it has not been told to keep."""

    def __init__(self) -> None:
        self.kept: dict[str, bytearray] = {}
        self.loose: list[Change] = []

    def apply(self, change: Change) -> None:
        """Take one change more."""
        if change.kind not in {"sync", "gone"}:
            self.loose.append(change)
            return
        loose, self.loose = self.loose, []
        if change.kind == "gone":
            loose.append(change._replace(kind="delete"))
        else:
            self.kept.setdefault(change.file, bytearray())
        for one in loose:
            if one.kind == "delete":
                self.loose = [other for other in self.loose if other.file != one.file]
                self.kept.pop(one.file, None)
            elif change.kind == "sync" and one.file == change.file:
                _change(self.kept, one)
            else:
                self.loose.append(one)

    def cut(self, lot: random.Random, share: float) -> dict[str, bytes]:
        """Return the files as they are after the power was cut: `share` of the blocks that were not synced are there."""
        files = {name: bytearray(content) for name, content in self.kept.items()}
        for one in self.loose:
            if one.kind != "write":
                if lot.random() < share:
                    _change(files, one)
                continue
            for begin, end in _blocks(one.offset, len(one.data)):
                if lot.random() < share:
                    data = one.data[begin - one.offset : end - one.offset]
                    _change(files, Change("write", one.file, begin, data))
        return {name: bytes(content) for name, content in files.items()}


def _blocks(offset: int, length: int) -> Iterator[tuple[int, int]]:
    end = offset + length
    while offset < end:
        edge = min(end, (offset // BLOCK + 1) * BLOCK)
        yield offset, edge
        offset = edge


def _change(files: dict[str, bytearray], change: Change) -> None:
    if change.kind == "delete":
        files.pop(change.file, None)
        return
    content = files.setdefault(change.file, bytearray())
    end = change.offset + len(change.data)
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    if change.kind == "write":
        content[change.offset : end] = change.data
    else:
        del content[change.offset :]


class Disk:
    """The disk under the files of one directory, while the bridge that writes them runs with `environ`."""

    def __init__(self, directory: Path, notes: Path) -> None:
        self._directory = directory
        self._notes = notes
        self._image = Image()

    @property
    def environ(self) -> dict[str, str]:
        """What a bridge has to be told that is patched with `recorded`."""
        return {DISK: f"{self._directory}:{self._notes}"}

    def catch_up(self) -> Image:
        """Read what has been noted, while nobody notes anything, and return what the disk has."""
        if self._notes.exists():
            for change in changes(self._notes.read_bytes()):
                self._image.apply(change)
            self._notes.unlink()
        return self._image

    def cut(self, lot: random.Random, share: float | None = None) -> None:
        """Cut the power under a bridge that has been killed: its files are what the disk has.

        Args:
            lot: decides what is there that was not synced.
            share: how much of that; None for nothing, or some or most of it.
        """
        image = self.catch_up()
        files = image.cut(lot, lot.choice([0.0, 0.0, 0.3, 0.7]) if share is None else share)
        for there in self._directory.glob("outbox.db*"):
            there.unlink()
        self._image = Image()
        for name, content in files.items():
            (self._directory / name).write_bytes(content)
            self._image.kept[name] = bytearray(content)

    def forget(self) -> None:
        """Begin anew, with an empty directory."""
        self._notes.unlink(missing_ok=True)
        self._image = Image()


# -- in the bridge's process

_int, _long, _at = ctypes.c_int, ctypes.c_int64, ctypes.c_void_p
_OPEN = ctypes.CFUNCTYPE(_int, _at, _at, _at, _int, _at)
_DELETE = ctypes.CFUNCTYPE(_int, _at, _at, _int)
_WRITE = ctypes.CFUNCTYPE(_int, _at, _at, _int, _long)
_TRUNCATE = ctypes.CFUNCTYPE(_int, _at, _long)
_SYNC = ctypes.CFUNCTYPE(_int, _at, _int)

_OK, _REFUSED = 0, 10 | 3 << 8
"""SQLite's answers; the second is that of a write that the disk refuses."""


class _Vfs(ctypes.Structure):
    """The beginning of SQLite's way to the operating system."""

    _fields_ = (
        *(("version", _int), ("file_size", _int), ("longest_path", _int), ("next", _at), ("name", ctypes.c_char_p)),
        *(("data", _at), ("open", _at), ("delete", _at)),
    )


class _Methods(ctypes.Structure):
    """What can be done to an open file, as its first word points to."""

    _fields_ = (
        *(("version", _int), ("close", _at), ("read", _at), ("write", _at), ("truncate", _at), ("sync", _at)),
        ("others", _at * 13),
    )


def record_changes() -> None:
    """Have SQLite's own operating system interface note what is done to the files that `DISK` names."""
    import _sqlite3  # the library that this process uses, wherever it is linked to

    place, _, notes = os.environ[DISK].rpartition(":")
    directory = os.path.realpath(place).encode()
    library = ctypes.CDLL(_sqlite3.__file__)
    library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
    vfs = library.sqlite3_vfs_find(None).contents
    _KEPT.append(_Recording(vfs, directory, notes))


_KEPT: Final[list[Any]] = []
"""What SQLite has pointers to."""


class _Recording:
    """Stands between SQLite and the functions that it calls."""

    def __init__(self, vfs: _Vfs, directory: bytes, notes: str) -> None:
        self._directory = directory
        self._notes = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._names: dict[int, str] = {}
        self._methods: dict[int, _Methods] = {}
        self._theirs: dict[int, tuple[Any, Any, Any]] = {}
        self._open, self._delete = _OPEN(vfs.open), _DELETE(vfs.delete)
        self._ours = (
            *(_OPEN(self.open), _DELETE(self.delete)),
            *(_WRITE(self.write), _TRUNCATE(self.truncate), _SYNC(self.sync)),
        )
        vfs.open, vfs.delete = (ctypes.cast(function, _at).value for function in self._ours[:2])

    def open(self, vfs: int, name: int | None, file: int, flags: int, told: int | None) -> int:
        result = int(self._open(vfs, name, file, flags, told))  # the name itself: behind it stand its parameters
        if result == _OK and (ours := self._ours_of(name)) is not None:
            self._names[file] = ours
            pointer = ctypes.cast(file, ctypes.POINTER(_at))
            assert pointer[0] is not None
            pointer[0] = ctypes.addressof(self._patched(pointer[0]))
        return result

    def _ours_of(self, name: int | None) -> str | None:
        """Return a file's name in the directory that is followed; None for all others."""
        directory, _, file = (b"" if name is None else ctypes.string_at(name)).rpartition(b"/")
        return file.decode() if directory == self._directory else None

    def _patched(self, address: int) -> _Methods:
        if address not in self._methods:
            theirs = _Methods.from_address(address)
            ours = _Methods.from_buffer_copy(theirs)
            self._methods[address] = ours
            self._theirs[ctypes.addressof(ours)] = (
                _WRITE(theirs.write),
                _TRUNCATE(theirs.truncate),
                _SYNC(theirs.sync),
            )
            ours.write, ours.truncate, ours.sync = (ctypes.cast(function, _at).value for function in self._ours[2:])
        return self._methods[address]

    def _of(self, file: int) -> tuple[Any, Any, Any]:
        return self._theirs[ctypes.cast(file, ctypes.POINTER(_at))[0] or 0]

    def write(self, file: int, data: int, length: int, offset: int) -> int:
        result = int(self._of(file)[0](file, data, length, offset))
        if result == _OK:
            return self._note(Change("write", self._names[file], offset, ctypes.string_at(data, length)))
        return result

    def truncate(self, file: int, size: int) -> int:
        result = int(self._of(file)[1](file, size))
        return self._note(Change("truncate", self._names[file], size)) if result == _OK else result

    def sync(self, file: int, flags: int) -> int:
        result = int(self._of(file)[2](file, flags))
        return self._note(Change("sync", self._names[file])) if result == _OK else result

    def delete(self, vfs: int, name: int, synced: int) -> int:
        result = int(self._delete(vfs, name, synced))
        if result == _OK and (ours := self._ours_of(name)) is not None:
            return self._note(Change("gone" if synced else "delete", ours))
        return result

    def _note(self, change: Change) -> int:
        note = change.encoded()
        before = os.fstat(self._notes).st_size
        try:
            if os.write(self._notes, note) == len(note):
                return _OK
        except OSError:
            pass
        os.ftruncate(self._notes, before)  # the same trouble that the bridge's own files have
        return _REFUSED
