"""The journal of sessions: which processes have their stdio with us, written down before anything is done for them.

Each session has a directory; its record is one file, replaced as a whole and synced, so that it is there or not, and never
half. A bridge that starts finds in it what it has to go on with. Records of what has ended stay for a while, to answer those
who ask again, and then go.
"""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from bridge.errors import BadEnvelope
from bridge.model.codec import decode_as, encode_any
from bridge.model.identity import ulid_time
from bridge.model.nanos import Nanos
from bridge.model.outcomes import StreamReport

__all__ = ["Journal", "SessionRecord", "Stage", "outdated"]

log = logging.getLogger(__name__)

KEPT_S: Final = 3_600.0
KEPT: Final = 1_000
"""Records of ended sessions: so old, and so many."""

_FILE: Final = "session.json"

Stage: TypeAlias = Literal["made", "started", "exited", "ended"]


class SessionRecord(Struct, frozen=True, kw_only=True):
    """What is known of a session.

    Attributes:
        stage: `made` before anything was asked of containerd; `started` when it said so; `exited` when it said that the
            process has ended; `ended` when all is stored.
        key: what input and credits have to carry; an older bridge made none, and then they need none.
        boot: of the host, since no process outlives one.
        kill_at: when its time is up.
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
    boot: str | None = None
    after: int | None = None
    pid: int = 0
    kill_at: Nanos | None = None
    timed_out: bool = False
    exit_status: int | None = None
    exited_at: Nanos | None = None
    ended_at: Nanos | None = None
    stdout: StreamReport = StreamReport()
    stderr: StreamReport | None = None


class Journal:
    """The records under one directory. Calls block for as long as the disk takes."""

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
                found.append(decode_as((self._directory / name / _FILE).read_bytes(), SessionRecord))
            except FileNotFoundError:
                # It was killed before the record was there: nothing had been done.
                shutil.rmtree(self._directory / name, ignore_errors=True)
            except (OSError, BadEnvelope) as error:
                log.warning("the record of stdio session %s cannot be read: %s", name, error)
        return found

    def directory(self, session: str) -> Path:
        """Return the directory of a session."""
        return self._directory / session

    def write(self, record: SessionRecord) -> None:
        """Write a record; it is on disk when this returns.

        Raises:
            OSError: the disk does not take it.
        """
        directory = self.directory(record.session)
        directory.mkdir(mode=0o700, exist_ok=True)
        partial = directory / f"{_FILE}.new"
        with open(partial, "wb") as file:
            file.write(encode_any(record))
            file.flush()
            os.fsync(file.fileno())
        partial.rename(directory / _FILE)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, session: str) -> None:
        """Forget a session."""
        shutil.rmtree(self.directory(session), ignore_errors=True)


def outdated(ended: list[SessionRecord], now: float) -> list[str]:
    """Return the sessions whose records, of those that have ended, oldest first, are to go."""
    beyond = len(ended) - KEPT
    return [
        record.session
        for number, record in enumerate(ended)
        if number < beyond or now - (record.ended_at or ulid_time(record.session) * 1e9) / 1e9 > KEPT_S
    ]
