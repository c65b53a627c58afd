"""The daemon's log: each form, its fields as docs/operations.md has them, and a flood that costs few lines and no first one."""

from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.cli.log_lines import SparingHandler, formatter

OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Log:
    """A logger with our handler on a text in memory."""

    def __init__(self, clock: Clock, *, burst: int = 3, interval_s: float = 60, form: str = "json") -> None:
        self.stream = io.StringIO()
        self.handler = SparingHandler(self.stream, burst=burst, interval_s=interval_s, clock=clock)
        self.handler.setFormatter(formatter(form, node="n1", terminal=False))
        self.logger = logging.Logger("bridge.capture.feed", logging.DEBUG)  # noqa: LOG001 - one that nobody else has
        self.logger.addHandler(self.handler)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]

    @property
    def said(self) -> list[str]:
        return [line["message"] for line in self.lines]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(clock: Clock) -> Iterator[Log]:
    log = Log(clock)
    yield log
    log.handler.close()


# -- forms


def record(level: int = logging.WARNING, error: BaseException | None = None) -> logging.LogRecord:
    info = None if error is None else (type(error), error, None)
    found = logging.LogRecord("bridge.capture.feed", level, __file__, 1, "lost %s", ("containerd",), info)
    found.created = 1_795_000_000.25
    return found


def test_json_is_one_object_on_a_line_with_the_fields_that_are_documented() -> None:
    line = formatter("json", node="n1", terminal=True).format(record(error=OSError("no\nroom")))
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "2026-11-18T11:06:40.250Z",
        "level": "warning",
        "logger": "bridge.capture.feed",
        "node": "n1",
        "message": "lost containerd",
        "exception": "OSError: no\nroom",
    }


def test_the_fields_are_those_of_the_table(clock: Clock) -> None:
    log = Log(clock, burst=1)
    for _ in range(3):
        log.logger.error("it fails", exc_info=OSError("no room"))
    log.handler.close()
    table = OPERATIONS.read_text().split("\n## Logs\n")[1].split("\n## ")[0]
    documented = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    there = [field for line in log.lines for field in line]
    assert set(documented) == set(there)


def test_text_is_for_people_and_journal_for_journald() -> None:
    failed = record(logging.ERROR, OSError("no\nroom"))
    assert formatter("text", node="n1", terminal=False).format(record()) == (
        "2026-11-18T11:06:40.250Z warning lost containerd"
    )
    assert formatter("journal", node="n1", terminal=False).format(failed) == (
        "<3>lost containerd\n<3>OSError: no\n<3>room"
    )
    priorities = {
        level: formatter("journal", node="n1", terminal=False).format(record(level))[:3]
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)
    }
    assert list(priorities.values()) == ["<7>", "<6>", "<4>", "<3>"]


def test_auto_is_text_on_a_terminal_and_json_elsewhere() -> None:
    assert formatter("auto", node="n1", terminal=True).format(record()).endswith("warning lost containerd")
    assert json.loads(formatter("auto", node="n1", terminal=False).format(record()))["level"] == "warning"


# -- floods


def test_a_flood_costs_a_few_lines_and_its_number_is_said(log: Log, clock: Clock) -> None:
    for number in range(1_000):
        log.logger.warning("host %d gets none", number)
    assert log.said == ["host 0 gets none", "host 1 gets none", "host 2 gets none"]
    clock.now = 60
    log.logger.warning("host %d gets none", 1_000)
    assert log.said[3:] == [
        "host 999 gets none (and 996 more like it, within 60 s, that are not logged)",
        "host 1000 gets none",
    ]
    assert log.lines[3]["suppressed"] == 996
    assert log.lines[3]["level"] == "warning"


def test_nothing_is_lost_that_is_said_for_the_first_time(log: Log) -> None:
    for number in range(5_000):
        log.logger.warning("the same")
        log.logger.warning("%s", f"sentence {number}")  # it is the sentence that counts
    found = [sentence for sentence in log.said if sentence.startswith("sentence")]
    assert found == [f"sentence {number}" for number in range(5_000)]


def test_each_message_and_each_level_has_a_count_of_its_own(log: Log) -> None:
    for _ in range(5):
        log.logger.info("it comes")
        log.logger.error("it comes")
        log.logger.info("it goes")
    assert [(line["level"], line["message"]) for line in log.lines].count(("info", "it comes")) == 3
    assert [(line["level"], line["message"]) for line in log.lines].count(("error", "it comes")) == 3
    assert log.said.count("it goes") == 3


def test_debug_is_never_held_back(log: Log) -> None:
    for _ in range(100):
        log.logger.debug("every message")
    assert len(log.lines) == 100


def test_what_is_held_back_is_said_at_the_end(log: Log) -> None:
    for number in range(10):
        log.logger.warning("host %d gets none", number)
    log.handler.close()
    assert log.said[-1] == "host 9 gets none (and 6 more like it, within 60 s, that are not logged)"


def test_what_is_held_back_is_said_after_the_interval_though_nothing_more_comes(clock: Clock) -> None:
    said = threading.Event()

    class Told(io.StringIO):
        def write(self, text: str) -> int:
            if "more like it" in text:
                said.set()
            return super().write(text)

    log = Log(clock, interval_s=0.05)
    log.handler.setStream(Told())
    for _ in range(10):
        log.logger.warning("it fails")
    clock.now = 1
    assert said.wait(90)
    log.handler.close()


def test_threads_flood_together_and_every_line_is_counted(clock: Clock) -> None:
    log = Log(clock, burst=100)

    def flood() -> None:
        for _ in range(1_000):
            log.logger.warning("it fails")

    threads = [threading.Thread(target=flood) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.handler.close()
    assert len(log.lines) == 101
    assert log.lines[-1]["suppressed"] == 3_899


# -- the daemon's own


def test_the_daemon_logs_as_it_is_told(tmp_path: Path) -> None:
    """In a process of its own, since there is one root logger: a form, a level, a flood, and an end."""
    program = (
        "import logging\n"
        "from bridge.cli.log_lines import configure_logging\n"
        "from bridge.config import Config\n"
        "configure_logging(Config(node='n1', log_format='journal', log_level='warning'))\n"
        "for n in range(500): logging.getLogger('bridge.x').warning('full %d', n); logging.getLogger('bridge.x').info('no')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=90)
    lines = done.stderr.splitlines()
    assert lines[:2] == ["<4>full 0", "<4>full 1"]
    assert len(lines) == 101
    assert lines[-1] == "<4>full 499 (and 399 more like it, within 60 s, that are not logged)"
