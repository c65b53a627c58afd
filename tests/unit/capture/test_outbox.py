"""The outbox keeps what it committed, all of it or nothing, and says so when it cannot."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bridge.capture.outbox import LATE_NS, ContainerRow, Outbox, OutboxDamagedError, OutboxError
from bridge.capture.outbox_file import check_file
from bridge.capture.outbox_reader import OutboxReader
from bridge.capture.room import Limits
from bridge.errors import ConfigError
from bridge.model.nanos import Nanos
from bridge.ports import Entry


def entries(first: int, last: int) -> list[Entry]:
    return [Entry(n=n, id=f"id{n}", subject=f"s.{n}", body=b"body %d" % n) for n in range(first, last + 1)]


def row(sequence: int = 1, deleted_at: int | None = None, container: str = "web.1") -> ContainerRow:
    return ContainerRow(
        namespace="default",
        container=container,
        state=b"%d" % sequence,
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


def test_a_container_is_what_was_said_of_it_last(path: Path) -> None:
    with Outbox(path) as outbox:
        for newest in (row(3), row(20, deleted_at=9), row(21)):
            outbox.commit([], [newest, row(container="other")], 0, None)
            assert outbox.container("default", "web.1") == newest
            assert outbox.container("default", "other") == row(container="other")
            assert (newest in list(outbox.containers())) is (newest.deleted_at is None)


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


class Clock:
    """Stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_what_a_power_failure_leaves_is_what_was_committed_by_then(path: Path, tmp_path: Path) -> None:
    """The write-ahead log ends anywhere behind what was synced: each commit is there with all that belongs to it, or is not."""
    wal = path.with_name("outbox.db-wal")
    sizes: list[int] = []
    with Outbox(path) as outbox:
        for n in range(1, 13):
            outbox.commit(entries(3 * n - 2, 3 * n), [row(3 * n)], 3 * n - 3, Nanos(n))
            sizes.append(wal.stat().st_size)
        main, log = path.read_bytes(), wal.read_bytes()
    for cut in [*range(sizes[0], sizes[-1], 1_777), *sizes]:
        left = tmp_path / f"cut-{cut}.db"
        left.write_bytes(main)
        left.with_name(f"{left.name}-wal").write_bytes(log[:cut] + bytes(len(log) - cut))
        commits = sum(size <= cut for size in sizes)
        with Outbox(left) as outbox:
            assert outbox.damage is None
            assert (outbox.last_n, outbox.proven) == (3 * commits, commits)
            assert outbox.container("default", "web.1") == row(3 * commits)
            assert OutboxReader(left).after(0, 100) == entries(1, 3 * commits)


def test_acknowledged_entries_are_kept_for_their_time_and_their_number_for_ever(path: Path) -> None:
    clock = Clock()
    with Outbox(path, Limits(retention_s=600), clock=clock) as outbox:
        outbox.commit(entries(1, 5), [], 0, None)
        outbox.commit(entries(6, 7), [], 5, None)
        clock.now += 599
        outbox.commit([], [], 7, None)
        assert [entry.n for entry in OutboxReader(path).after(0, 10)] == [1, 2, 3, 4, 5, 6, 7]
        clock.now += 3
        outbox.commit(entries(8, 8), [], 7, None)
        assert [entry.n for entry in OutboxReader(path).after(0, 10)] == [6, 7, 8]
    with Outbox(path) as outbox:
        assert (outbox.last_n, outbox.acknowledged) == (8, 7)


def test_what_went_into_the_log_again_is_kept_for_its_whole_time_again(path: Path) -> None:
    clock = Clock()
    with Outbox(path, Limits(retention_s=600), clock=clock) as outbox:
        outbox.commit(entries(1, 3), [], 0, None)
        outbox.commit(entries(4, 6), [], 0, None)
        outbox.commit([], [], 6, None)
        first = outbox.acknowledged_at
        clock.now += 500
        outbox.went_back(3)
        outbox.commit([], [], 3, None)
        clock.now += 200
        outbox.commit([], [], 6, None)  # the replay is done
        assert outbox.acknowledged_at > first
        outbox.commit([], [], 6, None)
        assert [entry.n for entry in OutboxReader(path).after(0, 10)] == [4, 5, 6]
        clock.now += 598
        outbox.commit([], [], 6, None)
        assert [entry.n for entry in OutboxReader(path).after(0, 10)] == [4, 5, 6]
        clock.now += 4
        outbox.commit([], [], 6, None)
        assert [entry.n for entry in OutboxReader(path).after(0, 10)] == []


def test_after_a_restart_the_time_of_what_is_kept_begins_anew(path: Path) -> None:
    clock = Clock()
    with Outbox(path, Limits(retention_s=600), clock=clock) as outbox:
        outbox.commit(entries(1, 5), [], 0, None)
        outbox.commit([], [], 5, None)
    clock.now = 0  # as after a boot
    with Outbox(path, Limits(retention_s=600), clock=clock) as outbox:
        clock.now = 599
        outbox.tidy(5)
        assert len(OutboxReader(path).after(0, 10)) == 5
        clock.now = 602
        outbox.tidy(5)
        assert OutboxReader(path).after(0, 10) == []


def test_what_is_kept_takes_no_more_than_its_share(path: Path) -> None:
    limits = Limits(max_bytes=4_000_000, retention_s=600)
    with Outbox(path, limits) as outbox:
        for n in range(1, 101):
            outbox.commit([Entry(n=n, id="i", subject="s", body=b"b" * 50_000)], [], n - 1, None)
            assert outbox.statistics().kept_bytes <= limits.kept_bytes + 51_000
        assert outbox.statistics().kept_bytes > limits.kept_bytes - 51_000
        assert OutboxReader(path).after(0, 1)[0].n > 75


def test_nothing_is_let_go_that_the_log_lacks_again(path: Path) -> None:
    clock = Clock()
    with Outbox(path, Limits(retention_s=0), clock=clock) as outbox:
        for n in range(1, 6):
            outbox.commit(entries(n, n), [], 0, None)
        outbox.commit([], [], 5, None)
        clock.now += 100
        outbox.commit([], [], 2, None)
        assert outbox.acknowledged == 5
        outbox.tidy(2)
        assert [entry.n for entry in OutboxReader(path).after(0, 10)] == [3, 4, 5]


def test_letting_go_is_spread_over_many_commits(path: Path) -> None:
    clock = Clock()
    with Outbox(path, Limits(retention_s=0), clock=clock) as outbox:
        for n in range(1, 201):
            outbox.commit(entries(n, n), [], 0, None)
        outbox.commit([], [], 200, None)
        clock.now += 10
        outbox.commit(entries(201, 201), [], 200, None)
        left = OutboxReader(path).after(0, 1_000)
        assert 150 < len(left) < 201


def test_after_an_outage_the_file_becomes_small_again_and_nothing_is_lost_for_it(path: Path) -> None:
    clock = Clock()
    with Outbox(path, Limits(retention_s=0), clock=clock) as outbox:
        for start in range(0, 600, 10):
            large = [Entry(n=n, id=f"{n}", subject="s", body=b"b" * 50_000) for n in range(start + 1, start + 11)]
            outbox.commit(large, [row(start)], 0, None)
        outbox.commit(entries(601, 602), [], 600, None)
        full = outbox.statistics().file_bytes
        assert full > 30_000_000
        for _ in range(100):
            clock.now += 1
            outbox.tidy(600)
        outbox.close()
        assert path.stat().st_size < full / 2.5
        assert [entry.n for entry in OutboxReader(path).after(0, 10)] == [601, 602]


def test_what_waits_is_counted_also_after_a_restart(path: Path) -> None:
    with Outbox(path) as outbox:
        outbox.commit(entries(1, 300), [], 0, None)
        outbox.commit(entries(301, 310), [], 256, None)
        before = outbox.statistics()
    with Outbox(path) as outbox:
        after = outbox.statistics()
    assert (before.waiting_rows, before.kept_rows) == (2, 1)
    assert (before.waiting_bytes, before.kept_bytes) == (after.waiting_bytes, after.kept_bytes)


def test_a_commit_whose_success_was_not_told_is_not_written_twice(path: Path) -> None:
    class Forgetful(sqlite3.Connection):
        """Commits, and says that it could not."""

        told = True

        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            done = super().execute(sql, *parameters)
            if sql == "COMMIT" and not Forgetful.told:
                Forgetful.told = True
                raise sqlite3.OperationalError("disk I/O error")
            return done

    with Outbox(path) as outbox:
        outbox.commit(entries(1, 2), [], 0, None)
        assert outbox._db is not None
        outbox._db.close()
        outbox._db = sqlite3.connect(path, isolation_level=None, factory=Forgetful)
        Forgetful.told = False
        with pytest.raises(OutboxError):
            outbox.commit(entries(3, 4), [row()], 0, None)
        outbox.commit(entries(3, 4), [row()], 0, None)
        outbox.commit(entries(5, 5), [], 0, None)
        assert [entry.n for entry in OutboxReader(path).after(0, 10)] == [1, 2, 3, 4, 5]


def test_a_new_outbox_begins_with_what_it_takes_over(path: Path) -> None:
    with Outbox(path) as outbox:
        outbox.seed([row(7)], Nanos(5))
    with Outbox(path) as outbox:
        assert (outbox.container("default", "web.1"), outbox.proven, outbox.last_n) == (row(7), 5, 0)


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
        expired = time.time_ns() - 9 - LATE_NS
        rows = [row(container="old", deleted_at=expired), row(container="new", deleted_at=expired + 10**11), row()]
        outbox.commit([], rows, 0, None)
        assert outbox.forget_deleted(0) == 0
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


def damaged(path: Path, harm: Callable[[Path], None]) -> Outbox:
    """An outbox with some megabytes in it, closed and harmed."""
    with Outbox(path) as outbox:
        for n in range(1, 41):
            outbox.commit([Entry(n=n, id=f"{n}", subject="s", body=b"b" * 50_000)], [row(n)], 0, None)
    harm(path)
    return Outbox(path)


def lacking_meta(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM meta WHERE key = 'last_n'")
    db.close()


def garbage_in_the_tree(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(3 * 8192)  # a page of the tree of entries
        file.write(b"\xa5" * 8192)


def empty_beginning(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(8192))


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def marked(path: Path) -> None:
    path.with_name("outbox.db.is-damaged").write_text("a row could not be read")


@pytest.mark.parametrize("harm", [lacking_meta, garbage_in_the_tree, empty_beginning, cut_short, marked])
def test_a_damaged_file_is_put_aside_loudly_and_a_new_one_begins(
    path: Path, harm: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    outbox = damaged(path, harm)
    with outbox:
        assert outbox.damage
        assert outbox.last_n == 0
        outbox.commit(entries(1, 1), [], 0, None)
    [aside] = path.parent.glob("outbox.db.damaged-*Z")
    assert aside.stat().st_size > 500_000
    [said] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert str(aside) in said.getMessage()
    assert outbox.damage in said.getMessage()
    with Outbox(path) as again:
        assert (again.damage, again.last_n) == (None, 1)


def test_the_write_ahead_log_of_a_damaged_file_goes_with_it(path: Path) -> None:
    with damaged(path, marked_with_a_write_ahead_log):
        pass
    [aside] = path.parent.glob("outbox.db.damaged-*Z")
    assert aside.with_name(f"{aside.name}-wal").read_bytes() == b"wal"


def marked_with_a_write_ahead_log(path: Path) -> None:
    marked(path)
    path.with_name("outbox.db-wal").write_bytes(b"wal")


def test_two_files_that_are_damaged_in_one_second_are_both_kept(path: Path) -> None:
    for _ in range(2):
        with damaged(path, marked):
            pass
    assert len(list(path.parent.glob("outbox.db.damaged-*"))) == 2


def test_damage_that_is_found_while_it_is_read_is_remembered_for_the_next_start(path: Path) -> None:
    with Outbox(path) as outbox:
        outbox.commit(entries(1, 3), [], 0, None)
        assert outbox._db is not None
        outbox._db.execute("UPDATE entries SET encoded = x'c1c1'")
        with pytest.raises(OutboxDamagedError, match="is damaged"):
            OutboxReader(path).after(0, 10)
    with Outbox(path) as outbox:
        assert outbox.damage
        assert outbox.last_n == 0


def test_a_file_whose_application_is_another_is_never_touched(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA application_id = 1234")
        db.execute("CREATE TABLE precious (a)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="another program's file"):
        Outbox(path).open()
    assert path.read_bytes() == before


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
        check_file(path)
    with pytest.raises(ConfigError, match="newer version"):
        Outbox(path).open()


def test_a_file_in_use_is_checked_and_left_as_it_is(path: Path) -> None:
    check_file(path)
    assert not path.exists()
    with Outbox(path) as outbox:
        check_file(path)
        outbox.commit([Entry(n=1, id="a", subject="s", body=b"b")], [], 0, None)
        # What a newer bridge has written is in the write-ahead log first.
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA user_version = 99")
        db.close()
        with pytest.raises(ConfigError, match="newer version"):
            check_file(path)
        outbox.commit([Entry(n=2, id="b", subject="s", body=b"b")], [], 0, None)


def test_a_damaged_file_passes_the_check_since_it_would_be_put_aside(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)
    check_file(path)


def test_the_reader_gives_entries_in_order_and_no_more_than_asked(path: Path) -> None:
    with Outbox(path) as outbox:
        outbox.commit(entries(1, 50), [], 0, None)
        reader = OutboxReader(path)
        assert [entry.n for entry in reader.after(10, 5)] == [11, 12, 13, 14, 15]
        reader.close()


def test_a_file_that_an_earlier_version_left_is_gone_on_with(path: Path) -> None:
    """`data/outbox/format-2.db` was written by the version that began that format, and is never written anew."""
    shutil.copyfile(Path(__file__).parents[2] / "data" / "outbox" / "format-2.db", path)
    with Outbox(path) as outbox:
        assert outbox.log == "3e87bc7b-575c-420d-a6d3-88303619609a"
        assert (outbox.last_n, outbox.acknowledged, outbox.proven) == (4, 2, Nanos(1_795_000_000_000_000_000))
        known = outbox.container("default", "web")
        assert known is not None
        assert known.state == b'{"a":1}'
        outbox.commit([Entry(n=5, id="5", subject="s", body=b"x")], [], 2, None)
        entries = OutboxReader(path).after(0, 10)
    assert [entry.n for entry in entries] == [1, 2, 3, 4, 5]
    assert entries[3].subject == "containerd.events.n1.default.web.exit"
    assert entries[3].body == b'{"n":4}'
