"""The live table: aligned from the first row on, a date where the day begins, nodes as soon as there are two."""

import time
from collections.abc import Callable

import pytest

from bridge.cli.table import EventTable
from bridge.cli.terminal import Terminal
from bridge.model.events import TaskExit, TaskPaused, TaskStart
from bridge.model.node_events import NodeStopped
from bridge.ports import StoredEvent
from tests.unit.cli.recorded import stored

Show = Callable[..., list[str]]
DAY = 86_400.0


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Show:
    table = EventTable(Terminal())
    table.begin()

    def show(*events: StoredEvent) -> list[str]:
        for event in events:
            table.show(event)
        return capsys.readouterr().out.splitlines()

    return show


def test_rows_stand_under_the_names_of_the_columns(shown: Show) -> None:
    assert shown(
        stored(TaskStart(container_id="web.1", pid=7), "web.1"),
        stored(TaskExit(container_id="web.1", id="web.1", exit_status=3), "web.1", after=1.5),
    ) == [
        "TIME          NAMESPACE   CONTAINER       EVENT             DETAILS",
        "2026-11-23",
        "12:00:00.000  default     web.1           start             pid 7",
        "12:00:01.500  default     web.1           exit              status 3",
    ]


def test_what_belongs_to_no_container_has_dashes(shown: Show) -> None:
    assert shown(stored(NodeStopped(reason="asked to stop")))[-1] == (
        "12:00:00.000  -           -               stopped           asked to stop"
    )


def test_a_new_day_is_said(shown: Show) -> None:
    lines = shown(
        stored(TaskPaused(container_id="x"), "x"),
        stored(TaskPaused(container_id="x"), "x", after=DAY),
        stored(TaskPaused(container_id="x"), "x", after=DAY + 1),
    )

    assert [line for line in lines if line.startswith("2026")] == ["2026-11-23", "2026-11-24"]


def test_the_second_node_brings_its_column(shown: Show) -> None:
    lines = shown(
        stored(TaskPaused(container_id="x"), "x"),
        stored(TaskPaused(container_id="x"), "x", node="n2"),
        stored(TaskPaused(container_id="x"), "x"),
    )

    assert lines[3:] == [
        "TIME          NODE        NAMESPACE   CONTAINER       EVENT             DETAILS",
        "12:00:00.000  n2          default     x               paused",
        "12:00:00.000  n1          default     x               paused",
    ]
