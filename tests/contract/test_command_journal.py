"""The contract of `CommandJournal`: what it was told stands there, an outcome never changes, and order is kept."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from bridge.control.journal import Journal
from bridge.control.journal_file import PRUNED
from bridge.control.memory import MemoryJournal
from bridge.model.events import Who
from bridge.model.nanos import Nanos
from bridge.model.outcomes import Done, Outcome
from bridge.ports import CommandJournal, JournalRow

ROW = JournalRow(
    id="a-1",
    digest="d",
    verb="pause",
    received_at=Nanos(5),
    namespace="default",
    container="web.1",
    body=b'{"id":"a-1"}',
    reply="_INBOX.1",
)
OUTCOME = Outcome(id="a-1", verb="pause", node="n1", outcome="ok", result=Done(), finished_at=Nanos(9))
OTHER = replace(OUTCOME, outcome="unknown", result=None)


@pytest.fixture(params=["memory", "file"])
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CommandJournal]:  # type: ignore[misc]
    if request.param == "memory":
        yield MemoryJournal()
        return
    with Journal(tmp_path / "journal.db", clock=lambda: 100) as opened:
        yield opened


async def test_nothing_stands_there_of_what_never_came(journal: CommandJournal) -> None:
    assert await journal.look("a-1") is None
    assert await journal.unfinished() == []
    assert await journal.untold() == []


async def test_what_was_accepted_stands_there_as_it_came(journal: CommandJournal) -> None:
    assert await journal.accept(ROW) is None
    assert await journal.look("a-1") == ROW
    assert list(await journal.unfinished()) == [ROW]


async def test_the_first_one_of_an_id_stays(journal: CommandJournal) -> None:
    await journal.accept(ROW)
    assert await journal.accept(replace(ROW, digest="other")) == ROW
    assert await journal.look("a-1") == ROW


@pytest.mark.parametrize("accepted", [True, False])
async def test_a_start_is_the_first_one_only(journal: CommandJournal, accepted: bool) -> None:
    if accepted:
        await journal.accept(ROW)
    assert await journal.start(ROW, Nanos(6)) == (ROW if accepted else None)
    assert await journal.start(ROW, Nanos(7)) == replace(ROW, started_at=Nanos(6))
    assert await journal.look("a-1") == replace(ROW, started_at=Nanos(6))


async def test_who_asked_and_what_allowed_it_is_kept(journal: CommandJournal) -> None:
    row = replace(ROW, who=Who(account="OPS", user="alice", host="10.0.0.1"))
    await journal.accept(row)
    await journal.start(replace(row, rule="mine"), Nanos(6))
    found = await journal.look("a-1")
    assert found is not None
    assert (found.who, found.rule) == (row.who, "mine")


async def test_an_outcome_never_changes_and_the_options_are_let_go_when_it_is_told(journal: CommandJournal) -> None:
    await journal.start(ROW, Nanos(6))
    first = await journal.finish(ROW, OUTCOME)
    assert first is OUTCOME
    assert (await journal.finish(ROW, OTHER)).outcome == "ok"
    row = await journal.look("a-1")
    assert row is not None
    assert row.outcome is not None
    assert (row.outcome.outcome, row.body) == ("ok", ROW.body)
    assert await journal.unfinished() == []
    journal.told("a-1")
    row = await journal.look("a-1")
    assert row is not None
    assert row.body == b""


async def test_what_was_never_accepted_can_be_finished(journal: CommandJournal) -> None:
    await journal.finish(ROW, OUTCOME)
    before = await journal.start(ROW, Nanos(6))
    assert before is not None
    assert before.outcome is not None
    row = await journal.look("a-1")
    assert row is not None
    assert row.started_at is None


async def test_an_outcome_is_untold_until_it_is_told(journal: CommandJournal) -> None:
    await journal.finish(ROW, OUTCOME)
    assert [row.id for row in await journal.untold()] == ["a-1"]
    journal.told("a-1")
    assert await journal.untold() == []


@pytest.mark.parametrize(
    ("started", "finished", "gone"), [(False, False, True), (True, False, False), (False, True, False)]
)
async def test_only_what_was_accepted_and_no_more_is_withdrawn(
    journal: CommandJournal, started: bool, finished: bool, gone: bool
) -> None:
    await journal.accept(ROW)
    if started:
        await journal.start(ROW, Nanos(6))
    if finished:
        await journal.finish(ROW, OUTCOME)
    await journal.withdraw("a-1")
    await journal.withdraw("a-2")
    assert (await journal.look("a-1") is None) is gone


@pytest.mark.parametrize(
    ("started", "finished", "delivery", "gone"),
    [
        (False, True, 2, True),
        (False, True, 1, False),  # the very delivery that it was finished by
        (True, True, 2, False),
        (False, False, 2, False),
    ],
)
async def test_only_what_never_started_is_opened_again(
    journal: CommandJournal, started: bool, finished: bool, delivery: int, gone: bool
) -> None:
    job = replace(ROW, via="job", delivery=1)
    await journal.accept(job)
    if started:
        await journal.start(job, Nanos(6))
    if finished:
        await journal.finish(job, OUTCOME)
    await journal.reopen("a-1", delivery)
    assert (await journal.look("a-1") is None) is gone


async def test_attempts_are_counted_until_the_job_is_accepted(journal: CommandJournal) -> None:
    assert [await journal.attempt("s", 7), await journal.attempt("s", 7), await journal.attempt("s", 8)] == [1, 2, 1]
    await journal.accept(replace(ROW, delivery=7))
    assert await journal.attempt("s", 7) == 1
    await journal.drop_attempt(8)
    assert await journal.attempt("s", 8) == 1


async def test_another_stream_begins_anew(journal: CommandJournal) -> None:
    await journal.attempt("s", 7)
    assert await journal.attempt("other", 7) == 1


async def test_answers_come_in_the_order_of_the_questions(journal: CommandJournal) -> None:
    answered: list[int] = []

    async def ask(number: int) -> None:
        await (journal.look("a-1") if number % 3 else journal.accept(replace(ROW, id=f"a-{number}")))
        answered.append(number)

    await asyncio.gather(*[ask(number) for number in range(200)])
    assert answered == list(range(200))


# -- the file alone


async def test_what_was_written_is_there_after_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with Journal(path, clock=lambda: 100) as journal:
        await journal.start(ROW, Nanos(6))
        copy = tmp_path / "copy.db"  # as it is on disk at this moment, nothing closed
        for end in ("", "-wal"):
            copy.with_name(copy.name + end).write_bytes(path.with_name(path.name + end).read_bytes())
    with Journal(copy, clock=lambda: 100) as after:
        assert list(await after.unfinished()) == [replace(ROW, started_at=Nanos(6))]


async def test_old_rows_go_and_untold_ones_stay(tmp_path: Path) -> None:
    moment = 100 * 86_400 * 10**9
    path = tmp_path / "journal.db"
    with Journal(path, clock=lambda: moment) as journal:
        for name, finished, told in (("old", 1, True), ("untold", 1, False), ("new", moment, True)):
            row = replace(ROW, id=name)
            await journal.start(row, Nanos(1))
            await journal.finish(row, replace(OUTCOME, id=name, finished_at=Nanos(finished)))
            if told:
                journal.told(name)
        await journal.untold()
    with Journal(path, clock=lambda: moment) as journal:
        # The first thing that it does, before anything else is asked of it, is to tidy up behind its first transaction.
        await journal.untold()
        while await journal.look("old") is not None:
            await asyncio.sleep(0)
        assert await journal.look("untold") is not None
        assert await journal.look("new") is not None


async def test_a_journal_that_is_full_makes_room_as_fast_as_it_is_filled(tmp_path: Path) -> None:
    moment, hour = 100 * 86_400 * 10**9, 3_600 * 10**9
    most, old = 4 * PRUNED, 7 * PRUNED
    with Journal(tmp_path / "journal.db", clock=lambda: moment) as journal:

        async def end(name: str) -> None:
            await journal.finish(replace(ROW, id=name), replace(OUTCOME, id=name, finished_at=Nanos(moment - 2 * hour)))
            journal.told(name)

        await asyncio.gather(*(end(f"a-{number}") for number in range(old)))
        await journal.look("a-1")
        assert journal.statistics().rows == old
    with Journal(tmp_path / "journal.db", clock=lambda: moment, most=most) as journal:
        await journal.look("a-1")
        # It is tidied up behind every transaction: three times, before it has gone down to what it may hold.
        for _ in range(4):
            await journal.look("a-1")
        assert journal.statistics().rows <= most
        await journal.start(replace(ROW, id="new"), Nanos(moment))


async def test_what_another_version_wrote_is_an_end_that_nobody_knows(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "journal.db"
    with Journal(path, clock=lambda: 100) as journal:
        await journal.finish(ROW, OUTCOME)
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE commands SET outcome = ?", (b'{"id":"a-1","verb":"pause","node":"n","outcome":"later"}',))
    with Journal(path, clock=lambda: 100) as journal:
        found, other = await asyncio.gather(journal.look("a-1"), journal.start(replace(ROW, id="b"), Nanos(6)))
        assert found is not None
        assert found.outcome is not None
        assert (found.outcome.outcome, other) == ("unknown", None)
        assert [row.id for row in await journal.untold()] == ["a-1"]
    assert "cannot be read" in caplog.text


async def test_a_damaged_journal_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with Journal(path, clock=lambda: 100) as journal:
        await journal.accept(ROW)
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    with Journal(path, clock=lambda: 100) as journal:
        assert journal.damage is not None
        assert await journal.look("a-1") is None
    assert [each for each in os.listdir(tmp_path) if each.startswith("journal.db.damaged-")]


async def test_a_full_disk_refuses_what_is_to_come_and_waits_with_what_has_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bridge.control import journal_file
    from bridge.database import DatabaseFullError
    from bridge.errors import CommandFailed

    full = True
    transact = journal_file.JournalFile.transact

    def failing(self: journal_file.JournalFile, work: list[object]) -> list[object]:
        if full:
            raise DatabaseFullError("the journal cannot be written: the disk is full")
        return transact(self, work)

    with Journal(tmp_path / "journal.db", clock=lambda: 100) as journal:
        await journal.start(ROW, Nanos(6))
        monkeypatch.setattr(journal_file.JournalFile, "transact", failing)
        finishing = asyncio.create_task(journal.finish(ROW, OUTCOME))
        with pytest.raises(CommandFailed, match="the disk is full; nothing was done"):
            await journal.start(replace(ROW, id="a-2"), Nanos(6))
        assert not finishing.done()
        full = False
        assert await finishing is OUTCOME
        row = await journal.look("a-1")
        assert row is not None
        assert row.outcome is not None


def test_two_files_of_ours_are_not_taken_for_each_other(tmp_path: Path) -> None:
    from bridge.capture.outbox import Outbox
    from bridge.control.journal_file import JournalFile
    from bridge.errors import ConfigError

    with closing(JournalFile(tmp_path / "journal.db")), pytest.raises(ConfigError, match="another program's file"):
        Outbox(tmp_path / "journal.db").open()
