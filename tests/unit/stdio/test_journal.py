"""The journal of sessions: the last whole line counts, and what was never written is nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from bridge.model.outcomes import StreamReport
from bridge.stdio.journal import Journal, SessionRecord

MADE = SessionRecord(
    session="01M8D1CCT33KNKYP5QGT272D76",
    namespace="default",
    container="web",
    exec_id="e1",
    command_id="c1",
    terminal=False,
    stdin=True,
)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    journal = Journal(tmp_path)
    assert journal.open() == []
    journal.begin(MADE)
    return journal


def file_of(journal: Journal) -> Path:
    return journal.directory(MADE.session) / "session.json"


def test_the_last_record_counts(journal: Journal) -> None:
    assert journal.open() == [MADE]
    ended = structs.replace(MADE, stage="ended", exit_status=3, stdout=StreamReport(size=5, ended=True))
    for record in (structs.replace(MADE, stage="started", pid=7), ended):
        journal.write(record)
    assert journal.open() == [ended]


@pytest.mark.parametrize("half", [1, 30])
def test_half_a_line_counts_for_nothing_and_the_next_one_stands_by_itself(journal: Journal, half: int) -> None:
    started = structs.replace(MADE, stage="started", pid=7)
    journal.write(started)
    whole = file_of(journal).read_bytes()
    journal.write(structs.replace(MADE, stage="exited"))
    file_of(journal).write_bytes(file_of(journal).read_bytes()[: len(whole) + half])
    assert journal.open() == [started]
    ended = structs.replace(MADE, stage="ended")
    journal.write(ended)
    assert journal.open() == [ended]


def test_a_record_of_the_format_before_is_read_and_gone_on_with(journal: Journal) -> None:
    file_of(journal).write_bytes(file_of(journal).read_bytes().strip())  # one record, and no end of the line
    assert journal.open() == [MADE]
    ended = structs.replace(MADE, stage="ended")
    journal.write(ended)
    assert journal.open() == [ended]


def test_a_session_of_which_nothing_was_written_is_none(journal: Journal) -> None:
    file_of(journal).write_bytes(b"")
    assert journal.open() == []
    assert not journal.directory(MADE.session).exists()


def test_what_is_no_record_is_left_alone_and_told_of(journal: Journal, caplog: pytest.LogCaptureFixture) -> None:
    file_of(journal).write_bytes(b"{}\n")
    assert journal.open() == []
    assert "cannot be read" in caplog.text
    assert file_of(journal).exists()
