"""The disk that loses its power keeps what SQLite has synced, and nothing else for certain."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.disk import BLOCK, Change, Disk, Image, changes
from tests.faults.history import Outbox

COMMITS = """
import os, signal, sys
from pathlib import Path
from tests.faults.disk import record_changes
record_changes()
from bridge.capture.outbox import Outbox
from bridge.ports import Entry
outbox = Outbox(Path(sys.argv[1]))
outbox.open()
outbox._connected.execute(f"PRAGMA synchronous = {sys.argv[2]}")
for n in range(1, 301):
    outbox.commit([Entry(n=n, id=str(n), subject="a", body=bytes(1000))], [], 0, None)
os.kill(os.getpid(), signal.SIGKILL)
"""


def image(*done: Change) -> Image:
    there = Image()
    for change in done:
        there.apply(change)
    return there


def test_what_was_synced_is_there_and_the_rest_need_not_be() -> None:
    there = image(Change("write", "a", 0, b"one"), Change("sync", "a"), Change("write", "a", 3, b"two"))
    assert there.cut(random.Random(1), 0.0) == {"a": b"one"}
    assert there.cut(random.Random(1), 1.0) == {"a": b"onetwo"}


def test_a_block_is_there_or_not_whatever_stands_in_front_of_it() -> None:
    there = image(Change("sync", "a"), Change("write", "a", 0, b"x" * 3 * BLOCK))
    seen = {there.cut(random.Random(seed), 0.5)["a"][:BLOCK].strip(b"\0")[:1] for seed in range(20)}
    assert seen == {b"x", b""}


def test_what_was_deleted_before_anything_was_synced_stays_deleted() -> None:
    journal = (Change("write", "j", 0, b"j"), Change("sync", "j"), Change("delete", "j"))
    assert image(*journal).cut(random.Random(1), 0.0) == {"j": b"j"}
    assert image(*journal, Change("sync", "a")).cut(random.Random(1), 0.0) == {"a": b""}
    assert image(*journal[:2], Change("gone", "j")).cut(random.Random(1), 0.0) == {}


def test_notes_are_read_up_to_the_one_that_was_cut_off() -> None:
    notes = [Change("write", "a", 7, b"abc"), Change("truncate", "a", 8), Change("sync", "a")]
    encoded = b"".join(note.encoded() for note in notes)
    assert list(changes(encoded)) == notes
    assert list(changes(encoded[:-1])) == notes[:2]


@pytest.mark.parametrize(("synchronous", "kept"), [("FULL", 300), ("NORMAL", 0)])
def test_an_outbox_loses_nothing_that_it_has_committed_and_would_with_less_syncing(
    tmp_path: Path, synchronous: str, kept: int
) -> None:
    """The outbox itself in a process that kills itself after 300 commits; 0 of them are left where the log was never synced."""
    state = tmp_path / "state"
    state.mkdir()
    disk = Disk(state, tmp_path / "notes")
    ended = subprocess.run(
        [sys.executable, "-c", COMMITS, str(state / "outbox.db"), synchronous],
        env={**os.environ, **disk.environ},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert ended.returncode == -9, ended.stderr
    disk.cut(random.Random(0), share=0.0)
    last_n, damage = Outbox.judged(state / "outbox.db")
    assert (last_n, damage) == (kept, None)
    with sqlite3.connect(state / "outbox.db") as db:
        assert db.execute("PRAGMA quick_check").fetchall() == [("ok",)]
    db.close()
