"""Every command is in the record, however it ends: one event before it can have an effect, one with its outcome."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import NoReturn

import pytest

from bridge.errors import CommandFailed
from bridge.model.commands import COMMANDS
from bridge.model.events import CommandRecorded
from bridge.model.outcomes import Judged, Outcome
from bridge.policy import NO_RULES, RuleBook
from tests.unit.control.every_verb import EXAMPLES, MARK, PASSWORD, SECRETS, Side, side

DENY = RuleBook(source="p.toml")
VERBS = sorted(COMMANDS)
ACTS = sorted(verb for verb, kind in COMMANDS.items() if kind.group != "observe")
ONCE = sorted(verb for verb in ACTS if not COMMANDS[verb].repeatable)


ASKED_FIRST = {"exec", "create", "run", "start", "restart", "update", "receive"}
"""Verbs that begin with the policy's answer to what they find out first."""


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Side]:
    async with side(tmp_path, SECRETS) as one:
        yield one


def test_the_table_has_every_verb_of_the_contract() -> None:
    assert sorted(EXAMPLES) == VERBS


def phases(events: list[CommandRecorded]) -> list[tuple[str, str | None]]:
    return [(event.phase, event.outcome) for event in events]


def is_whole(event: CommandRecorded, outcome: Outcome, verb: str) -> None:
    """Who, what, why, what came of it, how long it took."""
    assert (event.verb, event.claimed, event.purpose) == (verb, "cron", "it is time")
    assert event.rule is not None
    assert event.sha256 is not None
    assert (event.outcome, event.finished_at) == (outcome.outcome, outcome.finished_at)
    assert event.duration_ns is not None
    assert (event.error is None) == (outcome.error is None)


REMARKS = {"sender": "cron", "purpose": "it is time"}


@pytest.mark.parametrize("verb", VERBS)
async def test_what_is_carried_out_is_recorded_before_and_after(here: Side, verb: str) -> None:
    outcome = await here.example(verb, id="a-1", **REMARKS)
    assert outcome.outcome in {"ok", "error"}, outcome
    *before, after = here.of("a-1")
    is_whole(after, outcome, verb)
    asked_first = outcome.error is not None and verb in ASKED_FIRST
    assert phases(before) == ([] if asked_first else [("started", None)])


@pytest.mark.parametrize("verb", VERBS)
async def test_what_is_refused_is_recorded_once(here: Side, verb: str) -> None:
    before = here.content()
    here.policy.book = DENY
    outcome = await here.example(verb, id="a-1", **REMARKS)
    [event] = here.of("a-1")
    assert phases([event]) == [("finished", "refused")]
    is_whole(event, outcome, verb)
    assert here.content() == before


@pytest.mark.parametrize("verb", VERBS)
async def test_a_dry_run_says_which_rule_decides_is_recorded_and_leaves_nothing(here: Side, verb: str) -> None:
    before = here.content()
    outcome = await here.example(verb, id="a-1", dry_run=True, **REMARKS)
    assert isinstance(outcome.result, Judged), outcome
    assert outcome.result.rule == "default"
    assert outcome.result.reason.startswith(f"default allows {verb}")
    [event] = here.of("a-1")
    assert event.dry_run
    is_whole(event, outcome, verb)
    assert here.content() == before
    here.policy.book = DENY
    assert (await here.example(verb, dry_run=True)).outcome == "refused"
    assert here.content() == before
    assert not here.told  # remembered by nobody


@pytest.mark.parametrize("verb", VERBS)
async def test_what_comes_too_late_is_recorded(here: Side, verb: str) -> None:
    before = here.content()
    outcome = await here.example(verb, id="a-1", not_after="2026-01-01T00:00:00Z", **REMARKS)
    assert outcome.outcome == "stale", outcome
    [event] = here.of("a-1")
    assert phases([event]) == [("finished", "stale")]
    is_whole(event, outcome, verb)
    assert here.content() == before


@pytest.mark.parametrize("verb", VERBS)
async def test_what_cannot_be_read_is_recorded(here: Side, verb: str) -> None:
    outcome = await here.ask(verb, EXAMPLES[verb][0], body=b'{"id": "a-1", "no such option": 1}')
    assert outcome.error is not None
    assert outcome.error.code == "invalid_argument"
    [event] = here.of("a-1")
    assert phases([event]) == [("finished", "error")]
    assert event.sha256 is not None


@pytest.mark.parametrize("verb", ONCE)
async def test_what_comes_twice_is_recorded_once_and_an_impostor_is_refused(here: Side, verb: str) -> None:
    first = await here.example(verb, id="a-1")
    known = len(here.of("a-1"))
    again = await here.example(verb, id="a-1", **REMARKS)
    assert (again.outcome, again.finished_at) == (first.outcome, first.finished_at)
    assert len(here.of("a-1")) == known
    other = "kill" if verb != "kill" else "pause"
    impostor = await here.example(other, id="a-1")
    assert impostor.outcome == "refused"
    assert phases(here.of("a-1"))[-1] == ("finished", "refused")


@pytest.mark.parametrize("verb", [verb for verb in ONCE if EXAMPLES[verb][0] == "web.1"])
async def test_what_is_cancelled_while_it_waits_is_recorded(here: Side, verb: str) -> None:
    async with here.dispatcher._turns._lanes.turn("default", "web.1"):
        waiting = asyncio.create_task(here.example(verb, id="a-1", **REMARKS))
        while "a-1" not in here.dispatcher._changing.running:
            await asyncio.sleep(0)
        cancelling = asyncio.create_task(here.ask("cancel", command="a-1"))
        outcome = await waiting
        assert (await cancelling).outcome == "ok"
    assert outcome.error is not None
    assert outcome.error.code == "cancelled"
    *_, event = here.of("a-1")
    assert phases([event]) == [("finished", "error")]
    assert event.duration_ns is not None


@pytest.mark.parametrize("verb", ACTS)
async def test_what_comes_while_the_bridge_stops_is_recorded(here: Side, verb: str) -> None:
    await here.dispatcher.stop(within=1)
    outcome = await here.example(verb, id="a-1", **REMARKS)
    assert outcome.error is not None
    assert outcome.error.code == "unavailable"
    [event] = here.of("a-1")
    assert event.outcome == "error"


@pytest.mark.parametrize("verb", ACTS)
async def test_without_being_told_to_what_changes_something_is_recorded_all_the_same(tmp_path: Path, verb: str) -> None:
    async with side(tmp_path, NO_RULES, observing=False) as here:
        await here.example(verb, id="a-1")
        assert here.of("a-1")
        assert phases(here.of("a-1"))[-1][0] == "finished"


# -- secrets


def failing(words: str) -> Callable[..., Awaitable[NoReturn]]:
    """A call that comes to nothing and repeats what it was given."""

    async def call(*_: object, **__: object) -> NoReturn:
        raise CommandFailed("internal", f"containerd says: {words}", containerd=words)

    return call


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("end", ["done", "refused", "broken", "job", "repeated by containerd"])
async def test_no_secret_is_kept_or_told_to_everybody(
    here: Side, verb: str, end: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Environment, arguments and annotations stay in the journal alone, and there until the end is told; passwords nowhere."""
    caplog.set_level("DEBUG")
    container, options = EXAMPLES[verb]
    match end:
        case "refused":
            here.policy.book = DENY
        case "broken":
            options = {**options, "no such option": MARK}
        case "repeated by containerd":
            # A restore was given nothing that could be repeated: what it makes stands in the checkpoint.
            given = {"pull": PASSWORD, "restore": "that"}.get(verb, MARK)
            words = f"what is {given} to me?"
            runtime = here.containerd.runtime
            for part, call in (
                (runtime.images, "pull"),
                (runtime.containers, "create"),
                (runtime.tasks, "update"),
                (runtime.tasks, "exec"),
            ):
                monkeypatch.setattr(part, call, failing(words))
    outcome = await here.ask(verb, container, via="job" if end == "job" else "request", **{"id": "a-1", **options})
    assert PASSWORD not in str(outcome)
    for place, told in [*here.places(), ("log", caplog.text.encode())]:
        assert PASSWORD.encode() not in told, (place, told)
        assert b"canary-of-ann" not in told, place
        if not place.startswith("file journal.db"):
            assert MARK.encode() not in told, (place, told)


async def test_a_pull_with_a_password_is_no_job(here: Side) -> None:
    container, options = EXAMPLES["pull"]
    outcome = await here.ask("pull", container, via="job", **options)
    assert outcome.error is not None
    assert (outcome.error.code, "as a request" in outcome.error.message) == ("invalid_argument", True)
