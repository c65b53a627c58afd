"""The checker finds what is wrong with commands in histories that were made up, and has nothing against those that are right."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.faults.checker import check
from tests.faults.effects import COMMANDED
from tests.faults.history import History, Message, Ordered, Printed
from tests.faults.log import Log

WHOLE = Printed(size=5, sha256="abc")
DONE = Ordered(
    id="o-1",
    verb="exec",
    container="web",
    job=True,
    stored=True,
    words=("ok", "ok"),
    kept="ok",
    effects=1,
    printed=WHOLE,
    reported=(WHOLE,),
)


def harmed(**fields: Any) -> Ordered:
    return Ordered(**{name: getattr(DONE, name) for name in DONE.__dataclass_fields__} | fields)


def found(*sent: Ordered) -> list[str]:
    history = History(orders=list(sent))
    return [violation.invariant for judge in COMMANDED for violation in judge(history, Log(history.stream))]


def test_a_command_that_was_done_once_and_told_as_that_is_right() -> None:
    assert check(History(orders=[DONE])) == []


@pytest.mark.parametrize(
    ("sent", "invariant"),
    [
        (harmed(effects=2), "I5"),
        (harmed(effects=0), "I5"),
        (harmed(words=("stale",), kept="stale", reported=()), "I5"),
        (harmed(words=("error",), kept="error", codes=("unavailable",), reported=()), "I5"),
        (harmed(words=("error",), kept="error", codes=("exhausted",), reported=()), "I5"),
        (harmed(words=("ok", "unknown")), "I6"),
        (harmed(kept=None, words=()), "I6"),
        (harmed(reported=(Printed(size=4, sha256="abd"),)), "I9"),
        (harmed(reported=(Printed(size=6, sha256=None, truncated="away"),)), "I9"),
    ],
)
def test_what_is_wrong_is_found(sent: Ordered, invariant: str) -> None:
    assert found(sent) == [invariant]


@pytest.mark.parametrize(
    "sent",
    [
        harmed(words=("unknown",), kept="unknown", effects=1, reported=()),
        harmed(words=("error",), kept="error", codes=("unavailable",), effects=0, reported=()),
        harmed(reported=(Printed(size=3, sha256="x", truncated="away"),)),
        harmed(job=False, stored=False, words=(), kept=None, effects=0, reported=()),
        harmed(stored=False, words=(), kept=None, effects=0, reported=()),
    ],
)
def test_what_is_said_honestly_is_right(sent: Ordered) -> None:
    assert found(sent) == []


def told(data: dict[str, Any]) -> list[str]:
    """What is found where the log has this event of the command."""
    message = Message(
        1, "containerd.events.n1.ns.web.command", json.dumps({"data": data, "origin": "command"}).encode()
    )

    class Told:
        word, container, event = "command", "web", message.event

    class Few:
        firsts = (Told,)

    history = History(orders=[DONE])
    return [each.invariant for judge in COMMANDED for each in judge(history, Few)]  # type: ignore[arg-type]


def test_a_command_that_the_log_leaves_open_is_found() -> None:
    assert told({"command_id": "o-1", "phase": "started"}) == ["I6"]


def test_a_command_that_the_log_ends_otherwise_is_found_but_not_where_it_was_not_accepted_at_first() -> None:
    end = {"command_id": "o-1", "phase": "finished", "outcome": "error"}
    assert told({**end, "error": {"code": "internal", "message": "x"}}) == ["I6"]
    assert told({**end, "error": {"code": "exhausted", "message": "x"}}) == []
