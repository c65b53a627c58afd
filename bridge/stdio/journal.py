"""The journal of sessions: which processes have their stdio with us, written down before anything is done for them.

Each session has a directory; its record is one file with a line for each stage, and the last whole line counts. The first one is
synced, so that a session is known whatever happens then; and so is the one before its process is started: without it, what is
gone has never run. The others are not: a killed bridge has lost nothing of what it wrote to files, and a host that loses its
power has lost the process too. A bridge that starts finds in it what it has to go on with. Records of what has ended stay for a
while, to answer those who ask again, and then go.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import shutil
from pathlib import Path
from typing import Final, Literal, TypeAlias

from msgspec import Struct, structs

from bridge.errors import BadEnvelope, CommandFailed
from bridge.model.codec import decode_as, encode_any
from bridge.model.identity import ulid_time
from bridge.model.nanos import Nanos, now
from bridge.model.outcomes import StreamReport

__all__ = ["Journal", "SessionRecord", "Stage", "kill_at", "outdated"]

log = logging.getLogger(__name__)

DISK_S: Final = 0.5
"""Pause before a record is written again that the disk did not take."""

KEPT_S: Final = 3_600.0
KEPT: Final = 1_000
"""Records of ended sessions: so old, and so many."""

_FILE: Final = "session.json"

Stage: TypeAlias = Literal["expected", "made", "starting", "started", "exited", "ended"]


class SessionRecord(Struct, frozen=True, kw_only=True):
    """What is known of a session.

    Attributes:
        stage: `expected` while nobody has asked for its process yet; `made` before anything was asked of containerd; `starting`
            right before it was asked to start the process; `started` when it said so; `exited` when it said that the process has
            ended; `ended` when all is stored.
        doubtful: whether nobody can say if its process has ever run: it was `starting`, and then gone.
        key: what input and credits have to carry; an older bridge made none, and then they need none.
        made_at: when the container was made whose own process it is; another one of its name is another container.
        starting_at: when containerd was about to be asked to start it.
        expected: whether somebody attached before its process was asked for: where that does not come to run, it waits on.
        boot: of the host, since no process outlives one.
        kill_at: when its time is up.
        capture: first bytes of each stream that its result has.
    """

    session: str
    namespace: str
    container: str
    exec_id: str | None
    command_id: str
    terminal: bool
    stdin: bool
    key: str = ""
    stage: Stage = "made"
    doubtful: bool = False
    made_at: Nanos | None = None
    starting_at: Nanos | None = None
    expected: bool = False
    boot: str | None = None
    after: int | None = None
    pid: int = 0
    kill_at: Nanos | None = None
    capture: int = 0
    timed_out: bool = False
    exit_status: int | None = None
    exited_at: Nanos | None = None
    ended_at: Nanos | None = None
    stdout: StreamReport = StreamReport()
    stderr: StreamReport | None = None


class Journal:
    """The records under one directory. Calls that are no coroutines block for as long as the disk takes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def open(self) -> list[SessionRecord]:
        """Return what is written down, oldest first; what cannot be read is left alone and told of.

        Raises:
            OSError: the directory cannot be used.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = []
        for name in sorted(os.listdir(self._directory)):
            try:
                found.append(_last(self._directory / name / _FILE))
            except FileNotFoundError:
                # It was killed before the record was there: nothing had been done.
                shutil.rmtree(self._directory / name, ignore_errors=True)
            except (OSError, BadEnvelope) as error:
                log.warning("the record of stdio session %s cannot be read: %s", name, error)
        return found

    def directory(self, session: str) -> Path:
        """Return the directory of a session."""
        return self._directory / session

    def begin(self, record: SessionRecord) -> None:
        """Write the first record of a session; it is on disk when this returns.

        Raises:
            OSError: the disk does not take it.
        """
        directory = self.directory(record.session)
        _append(directory / _FILE, record, sync=True)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def strip(self, session: str) -> None:
        """Leave nothing of a session but its record: it has ended, and a bridge died before it had tidied up."""
        for entry in os.scandir(self.directory(session)):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            elif entry.name != _FILE:
                Path(entry.path).unlink(missing_ok=True)

    def write(self, record: SessionRecord, *, sync: bool = False) -> None:
        """Write a later record; it outlives this process when this returns, and with `sync` the host's power too.

        Raises:
            OSError: the disk does not take it.
        """
        _append(self.directory(record.session) / _FILE, record, sync=sync)

    async def keep(self, record: SessionRecord) -> None:
        """Write a later record, again and again until the disk takes it; nothing blocks meanwhile."""
        while True:
            try:
                await asyncio.to_thread(self.write, record)
                return
            except OSError as error:
                log.warning("the record of stdio session %s cannot be written: %s", record.session, error.strerror)
                await asyncio.sleep(DISK_S)

    async def starting(self, record: SessionRecord, what: str) -> SessionRecord:
        """Write down that its process is about to be started; that is on disk when this returns.

        Raises:
            CommandFailed: the disk does not take it.
        """
        record = structs.replace(record, stage="starting", starting_at=now())
        try:
            await asyncio.to_thread(self.write, record, sync=True)
        except OSError as error:
            sentence = f"{what} is not started: its record cannot be written ({error.strerror})"
            raise CommandFailed("unavailable", sentence) from error
        return record

    def give_back(self, record: SessionRecord) -> SessionRecord:
        """Forget a session that has never run; one that is expected goes on being so. Returns its record."""
        if not record.expected:
            self.remove(record.session)
            return record
        record = structs.replace(record, stage="expected", after=None)
        try:
            self.write(record, sync=True)
        except OSError as error:
            log.warning("the record of stdio session %s cannot be written: %s", record.session, error.strerror)
        return record

    def remove(self, session: str) -> None:
        """Forget a session."""
        shutil.rmtree(self.directory(session), ignore_errors=True)


def _append(path: Path, record: SessionRecord, *, sync: bool) -> None:
    # What stands before may be half a line, of a write that the disk did not take.
    line = b"\n" + encode_any(record) + b"\n"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.write(descriptor, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _last(path: Path) -> SessionRecord:
    """Return the last record that stands there whole.

    Raises:
        FileNotFoundError: nothing was written yet.
        OSError: it cannot be read.
        BadEnvelope: none of it is a record.
    """
    lines = [line for line in path.read_bytes().split(b"\n") if line]
    for line in reversed(lines[1:]):
        with contextlib.suppress(BadEnvelope):
            return decode_as(line, SessionRecord)
    if not lines:
        raise FileNotFoundError(errno.ENOENT, "it is empty", str(path))
    return decode_as(lines[0], SessionRecord)


def outdated(ended: list[SessionRecord], now: float) -> list[str]:
    """Return the sessions whose records, of those that have ended, oldest first, are to go."""
    beyond = len(ended) - KEPT
    return [
        record.session
        for number, record in enumerate(ended)
        if number < beyond or now - (record.ended_at or ulid_time(record.session) * 1e9) / 1e9 > KEPT_S
    ]


def kill_at(timeout: float | None) -> Nanos | None:
    """Return when the time of a process that begins now is up."""
    return None if timeout is None else Nanos(now() + int(timeout * 1e9))
