"""The outbox keeps what it committed, all of it or nothing, and says so when it cannot."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.capture.outbox import ContainerRow, Outbox, OutboxError, OutboxReader
from bridge.errors import ConfigError
from bridge.model.nanos import Nanos
from bridge.ports import Entry


def entries(first: int, last: int) -> list[Entry]:
    return [Entry(n=n, id=f"id{n}", subject=f"s.{n}", body=b"body %d" % n) for n in range(first, last + 1)]


def row(sequence: int = 1, deleted_at: int | None = None, container: str = "web.1") -> ContainerRow:
    return ContainerRow(
        namespace="default",
        container=container,
        sequence=sequence,
        incarnation="01J",
        description=b"{}",
        deleted_at=deleted_at,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


def test_what_was_committed_is_there_after_it_is_opened_again(path: Path) -> None:
    with Outbox(path) as outbox:
        outbox.commit(entries(1, 3), [row(3)], 0, Nanos(7))
        log = outbox.log
    with Outbox(path) as outbox:
        assert (outbox.log, outbox.last_n, outbox.acknowledged, outbox.proven) == (log, 3, 0, 7)
        assert outbox.container("default", "web.1") == row(3)
        assert OutboxReader(path).after(0, 10) == entries(1, 3)


def test_a_process_that_is_killed_leaves_what_it_committed_and_nothing_else(path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from bridge.capture.outbox import Outbox;"
        "from bridge.ports import Entry; box = Outbox(Path(sys.argv[1])); box.open();"
        "box.commit([Entry(n=1, id='a', subject='s', body=b'x')], [], 0, None);"
        "box._db.execute('BEGIN'); box._db.execute(\"INSERT INTO entries VALUES (2, x'90')\");"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", program, str(path)], check=False).returncode == -9
    with Outbox(path) as outbox:
        assert outbox.last_n == 1
        assert [entry.n for entry in OutboxReader(path).after(0, 10)] == [1]


def test_acknowledged_entries_are_let_go_and_their_number_is_kept(path: Path) -> None:
    with Outbox(path) as outbox:
        outbox.commit(entries(1, 5), [], 0, None)
        outbox.commit(entries(6, 7), [], 5, None)
        assert [entry.n for entry in OutboxReader(path).after(0, 10)] == [6, 7]
    with Outbox(path) as outbox:
        assert (outbox.last_n, outbox.acknowledged) == (7, 5)


def test_entries_are_kept_while_one_of_their_row_is_not_acknowledged(path: Path) -> None:
    with Outbox(path) as outbox:
        outbox.commit(entries(1, 5), [], 0, None)
        outbox.commit([], [], 4, None)
        assert [entry.n for entry in OutboxReader(path).after(4, 10)] == [5]


def test_a_large_commit_is_read_back_whole_and_from_any_position(path: Path) -> None:
    with Outbox(path) as outbox:
        outbox.commit(entries(1, 1000), [], 0, None)
        reader = OutboxReader(path)
        for position in (0, 255, 256, 257, 999):
            assert reader.after(position, 2000) == entries(position + 1, 1000)


def test_one_read_is_bounded_where_entries_are_large(path: Path) -> None:
    large = [Entry(n=n, id=f"id{n}", subject="s", body=b"b" * 500_000) for n in range(1, 1001)]
    with Outbox(path) as outbox:
        for start in range(0, 1000, 10):
            outbox.commit(large[start : start + 10], [], 0, None)
        found = OutboxReader(path).after(0, 1000)
        assert sum(len(entry.body) for entry in found) < 16 * 1024 * 1024
        assert found == large[: len(found)] != []


def test_a_commit_that_fails_half_way_leaves_nothing_of_it(path: Path) -> None:
    with Outbox(path) as outbox:
        outbox.commit(entries(1, 1), [], 0, None)
        assert outbox._db is not None
        outbox._db.execute("CREATE TRIGGER full BEFORE UPDATE ON meta BEGIN SELECT RAISE(ABORT, 'disk full'); END")
        with pytest.raises(OutboxError, match="disk full"):
            outbox.commit(entries(2, 3), [row()], 0, None)
        outbox._db.execute("DROP TRIGGER full")
        assert (outbox.last_n, outbox.container("default", "web.1")) == (1, None)
        outbox.commit(entries(2, 2), [], 0, None)
        assert [entry.n for entry in OutboxReader(path).after(0, 10)] == [1, 2]


def test_only_containers_deleted_before_the_time_are_forgotten(path: Path) -> None:
    with Outbox(path) as outbox:
        outbox.commit([], [row(container="old", deleted_at=5), row(container="new", deleted_at=9), row()], 0, None)
        assert outbox.forget_deleted(9) == 1
        assert outbox.container("default", "old") is None
        assert outbox.container("default", "new") is not None
        assert outbox.container("default", "web.1") is not None


def test_nobody_else_may_read_the_file(path: Path) -> None:
    with Outbox(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_is_no_outbox_is_refused_with_its_name(path: Path) -> None:
    path.write_bytes(b"this is not a database, and long enough to be looked at" * 20)
    with pytest.raises(ConfigError, match=f"cannot use the outbox {path}"):
        Outbox(path).open()


def test_a_file_whose_making_was_interrupted_is_made_anew(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA journal_mode = WAL")
    db.close()
    with Outbox(path) as outbox:
        assert outbox.log


def test_a_file_that_lacks_something_is_refused(path: Path) -> None:
    with Outbox(path) as outbox:
        assert outbox._db is not None
        outbox._db.execute("DELETE FROM meta WHERE key = 'last_n'")
    with pytest.raises(ConfigError, match="damaged, it lacks last_n: move it away"):
        Outbox(path).open()


def test_a_database_of_another_program_is_refused(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE entries (a, b)")
        db.execute("PRAGMA user_version = 1")
    db.close()
    with pytest.raises(ConfigError, match="cannot use the outbox"):
        Outbox(path).open()


def test_a_full_disk_is_freed_by_what_is_acknowledged(path: Path) -> None:
    with Outbox(path) as outbox:
        outbox.commit([Entry(n=1, id="a", subject="s", body=b"b" * 500_000)], [], 0, None)
        assert outbox._db is not None
        outbox._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        pages = outbox._db.execute("PRAGMA page_count").fetchone()[0]
        outbox._db.execute(f"PRAGMA max_page_count = {pages}")
        second = [Entry(n=2, id="b", subject="s", body=b"c" * 500_000)]
        with pytest.raises(OutboxError, match="full"):
            outbox.commit(second, [], 0, None)
        outbox.commit(second, [], 1, None)
        assert OutboxReader(path).after(0, 10) == second


def test_a_file_of_a_newer_version_is_refused(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(ConfigError, match="newer version"):
        Outbox(path).open()


def test_the_reader_gives_entries_in_order_and_no_more_than_asked(path: Path) -> None:
    with Outbox(path) as outbox:
        outbox.commit(entries(1, 50), [], 0, None)
        reader = OutboxReader(path)
        assert [entry.n for entry in reader.after(10, 5)] == [11, 12, 13, 14, 15]
        reader.close()
