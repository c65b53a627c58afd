"""The table: every event and every status has its cell, the fold and the anomalies keep to it, and the page shows it."""

import re
from pathlib import Path

import pytest

from bridge.model import lifecycle
from bridge.model.anomalies import anomaly
from bridge.model.envelope import EVENT_TYPES, Event
from bridge.model.events import CommandRecorded, ContainerEvent, RawEvent
from bridge.model.lifecycle import FOLLOWING, LIFECYCLE, REASONS, STATUSES, Status, contradiction, mermaid
from bridge.model.state import ContainerState
from tests.pages import blocks
from tests.unit.model import small_log as log

CLAIMED = blocks("docs/lifecycle.md")
PAGE = Path(__file__).parents[3] / "docs" / "lifecycle.md"
CELLS = [(word, status) for word in LIFECYCLE for status in STATUSES]
LEGAL: list[tuple[Status, Event]] = [
    ("none", log.record()),
    ("created", log.create()),
    ("running", log.start()),
    ("paused", log.paused()),
    ("stopped", log.exited()),
    ("none", log.deleted()),
    ("gone", log.removed()),
]


def state_in(status: Status) -> ContainerState | None:
    """The state of a container whose life was legal and, of the two ways to `none`, had a task."""
    if status == "unknown":
        return None
    last = max(n for n, (after, _) in enumerate(LEGAL) if after == status)
    return log.told(*[event for _, event in LEGAL[: last + 1]]).state


EVENTS: dict[str, Event] = {
    "create": log.create(pid=30),
    "restored": log.restored(),
    "start": log.start(),
    "paused": log.paused(),
    "resumed": log.resumed(),
    "exit": log.exited(pid=0),
    "delete": log.deleted(),
    "container-create": log.record(),
    "container-delete": log.removed(),
    "container-update": log.update(),
    "oom": log.oom(),
    "exec-added": log.exec_added(),
    "exec-started": log.exec_started(),
    "exec-exit": log.exec_exited(),
    "checkpointed": log.checkpointed(),
    "health": log.health(),
    "command": CommandRecorded(container_id=log.ID, command_id="1", verb="kill", outcome="ok"),
    "anomaly": log.flagged(log.exited(), "second-exit"),
    "raw": RawEvent(topic="/x/y", type_url="z", value=b"", reason="unknown-topic", size=0, sha256=""),
}
"""One event for each word, of the task that is known, or, where it creates one, of another."""


def test_every_event_of_a_container_has_a_row() -> None:
    words = {event.word for event in EVENT_TYPES.values() if issubclass(event, ContainerEvent)}
    assert set(LIFECYCLE) == words
    assert set(EVENTS) == words


def test_every_row_has_a_cell_for_every_status() -> None:
    for cells in LIFECYCLE.values():
        assert len(cells) == len(STATUSES)
        assert set(cells) <= {*STATUSES, *REASONS}


def test_no_word_is_a_status_and_a_reason() -> None:
    assert not set(STATUSES) & set(REASONS)


def test_every_status_is_reached_and_left() -> None:
    reached, waiting = {"unknown"}, ["unknown"]
    while waiting:
        status = waiting.pop()
        for following in FOLLOWING.values():
            after = following[status]  # type: ignore[index]
            if after not in reached:
                reached.add(after)
                waiting.append(after)
    assert reached == set(STATUSES)


@pytest.mark.parametrize(("word", "status"), CELLS)
def test_the_fold_keeps_to_the_table(word: str, status: Status) -> None:
    state = state_in(status)
    n = 1 if state is None else state.sequence + 1
    after = log.fold(state, [log.recorded(EVENTS[word], n)])
    assert after is not None
    assert after.status == FOLLOWING[word][status]


@pytest.mark.parametrize(("word", "status"), CELLS)
def test_the_anomalies_keep_to_the_table(word: str, status: Status) -> None:
    assert anomaly(state_in(status), EVENTS[word]) == contradiction(word, status)


def test_what_contradicts_leaves_the_status_as_it_is() -> None:
    for word, status in CELLS:
        if contradiction(word, status):
            assert FOLLOWING[word][status] == status


def test_the_diagram_says_what_the_table_says() -> None:
    drawn: dict[str, dict[str, str]] = {word: {status: status for status in STATUSES} for word in LIFECYCLE}
    for before, after, words in re.findall(r"^ +(\w+) --> (\w+) : (.+)$", mermaid(), re.MULTILINE):
        for word in words.split(", "):
            for status in STATUSES if before == "anywhere" else [before]:
                drawn[word][status] = after
    assert drawn == FOLLOWING


def test_the_page_is_up_to_date() -> None:
    assert lifecycle.main(["--check", "--page", str(PAGE)]) == 0


def test_a_page_that_is_not_up_to_date_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "lifecycle.md"
    page.write_text(PAGE.read_text("utf-8").replace("running --> paused", "running --> stopped"), "utf-8")
    assert lifecycle.main(["--check", "--page", str(page)]) == 1
    assert f"{page} is not up to date" in capsys.readouterr().err


def test_the_page_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert lifecycle.main([]) == 0
    printed = capsys.readouterr().out
    assert mermaid() in printed
    assert all(f"`{reason}`" in printed for reason in REASONS)
