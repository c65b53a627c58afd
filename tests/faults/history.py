"""What a trial leaves behind, as plain values: the input of the checker.

Nothing here looks at a server or a process. Whoever runs a trial collects these, and a unit test writes them by hand. Times are
nanoseconds of the host's wall clock.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec


@dataclass(frozen=True, kw_only=True)
class Made:
    """An event that the harness made containerd send: of this container a process ended with this status.

    Of one container's events of a word each has a status of its own, and they were made in the order of their statuses. It
    was sent at some time from `began` to `ended`. What is `kept` can be read in containerd's lists as long as anybody wants.
    """

    namespace: str
    container: str
    word: str
    status: int
    began: int
    ended: int
    kept: bool = False


@dataclass(frozen=True, kw_only=True)
class Odd:
    """Something that no client should publish, which containerd took at some time from `began` to `ended`."""

    topic: str
    sha256: str
    began: int
    ended: int


@dataclass(frozen=True, kw_only=True)
class Seen:
    """An event that the witness saw: made at `time` by containerd or a shim, read by the witness at `seen`."""

    namespace: str
    container: str
    word: str
    time: int
    seen: int
    pid: int | None = None
    exit_status: int | None = None
    process: str | None = None


@dataclass(frozen=True, kw_only=True)
class Watch:
    """One subscription of the witness. `complete` when it ended because nothing more was to come."""

    since: int
    until: int
    complete: bool
    seen: Sequence[Seen]


@dataclass(frozen=True, kw_only=True)
class Dark:
    """A time in which the bridge cannot have had a subscription, because one end of it did not exist."""

    since: int
    until: int
    why: str


class Committed(NamedTuple):
    """An entry as the outbox holds it."""

    n: int
    id: str
    subject: str
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Outbox:
    """The outbox file at some moment when no process had it open: `last_n` is the last position whose commit returned."""

    log: str
    last_n: int
    entries: Sequence[Committed]

    @classmethod
    def read(cls, path: Path) -> Outbox:
        """Read the file as it stands, not through the bridge's own code."""
        with _copy(path) as db:
            meta = dict(db.execute("SELECT key, value FROM meta"))
            rows = db.execute("SELECT encoded FROM entries ORDER BY last_n").fetchall()
        entries = [Committed(*entry) for (encoded,) in rows for entry in msgspec.msgpack.decode(encoded)]
        return cls(log=meta["log"], last_n=int(meta["last_n"]), entries=entries)

    @staticmethod
    def judged(path: Path) -> tuple[int, str | None]:
        """Return the last position in the file, 0 where it cannot be read, and what SQLite finds wrong with it."""
        try:
            path.stat()
            with _copy(path) as db:
                [(said,)] = db.execute("PRAGMA integrity_check(1)").fetchall()
                [(last_n,)] = db.execute("SELECT value FROM meta WHERE key = 'last_n'").fetchall()
        except (OSError, sqlite3.Error, ValueError) as error:
            return 0, str(error)
        return int(last_n), None if said == "ok" else str(said)


@contextmanager
def _copy(path: Path) -> Iterator[sqlite3.Connection]:
    """A copy of it, since reading a WAL leaves traces."""
    with tempfile.TemporaryDirectory(prefix="cb-outbox-") as copy:
        for file in path.parent.glob(f"{path.name}*"):
            if not file.name.endswith("-shm"):
                shutil.copy(file, copy)
        with closing(sqlite3.connect(Path(copy) / path.name)) as db:
            yield db


@dataclass(frozen=True, kw_only=True)
class Cut:
    """The power was cut. The bridge had said that so many positions were committed, and the outbox has so many, or is damaged."""

    said: int
    kept: int
    damage: str | None = None


class Message(NamedTuple):
    """A message of the stream; `stored_at` is the server's time."""

    sequence: int
    subject: str
    body: bytes
    stored_at: int = 0

    @property
    def event(self) -> dict[str, Any]:
        """The CloudEvent in it."""
        told: dict[str, Any] = json.loads(self.body)
        return told

    @property
    def word(self) -> str:
        """The last token of its subject."""
        return self.subject.rpartition(".")[2]


@dataclass(frozen=True, kw_only=True)
class Listed:
    """What containerd's lists say of a container: `status` is the task's in lower case, "none" without a task."""

    status: str
    pid: int | None = None


@dataclass(frozen=True, kw_only=True)
class Lists:
    """The lists of one namespace when everything was quiet."""

    namespace: str
    containers: Mapping[str, Listed]


class Kept(NamedTuple):
    """What stands under a container's key in the bucket of states."""

    namespace: str
    container: str
    value: bytes


class Printed(NamedTuple):
    """What a process wrote, or is said to have written."""

    size: int
    sha256: str | None
    truncated: str | None = None


@dataclass(frozen=True, kw_only=True)
class Ordered:
    """A command and what came of it.

    Attributes:
        stored: whether the stream of jobs has said that it has it.
        words: the outcome, as often as it was told: to whoever asked, and in the bucket; `kept` is the last one.
        codes: of errors among them.
        effects: how often it was carried out, as the host can see; None where that leaves no trace.
        printed: what its process writes.
        reported: what was said of that.
    """

    id: str
    verb: str
    container: str
    job: bool = False
    stored: bool = False
    words: Sequence[str] = ()
    codes: Sequence[str] = ()
    kept: str | None = None
    effects: int | None = None
    printed: Printed | None = None
    reported: Sequence[Printed] = ()


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A resource of the bridge's and its limit."""

    what: str
    value: float
    limit: float


@dataclass(frozen=True, kw_only=True)
class Excuse:
    """Positions of a log that the stream may lack: it was taken away behind the bridge's back, and a gap has to say so."""

    log: str
    first: int
    last: int


@dataclass(kw_only=True)
class History:
    """Everything that is known of one trial after its end.

    `in_one_order` is what the event log promises about events of different containers. `repaired` tells whether the bridge
    deduces after a gap what it missed: then the fold has to be what the lists say in every case, and else only where there
    was no gap but the first. Without a `true_clock` the bridge's times cannot be held against the others'; then a gap excuses
    whatever is missing. An event may wait for the stream up to `most_wait_s`, where that is bounded at
    all, or thrice as long as nearly all of them.
    """

    made: list[Made] = field(default_factory=list)
    odd: list[Odd] = field(default_factory=list)
    watches: list[Watch] = field(default_factory=list)
    darks: list[Dark] = field(default_factory=list)
    outboxes: list[Outbox] = field(default_factory=list)
    stream: list[Message] = field(default_factory=list)
    lists: list[Lists] = field(default_factory=list)
    states: list[Kept] | None = None
    measures: list[Measure] = field(default_factory=list)
    litter: list[str] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)
    excuses: list[Excuse] = field(default_factory=list)
    orders: list[Ordered] = field(default_factory=list)
    in_one_order: bool = True
    repaired: bool = False
    true_clock: bool = True
    went_back: bool = False
    most_wait_s: float | None = None
