"""Whatever is sent has an outcome with a code of ours, and what is not a command that may be carried out changes nothing.

Seeded, and bounded in number; `tests/integration/test_fuzz.py` sends less of the same through the bus to a real containerd.
"""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from bridge.control.order import read_order
from bridge.errors import CODES
from bridge.model.commands import COMMANDS
from bridge.model.identity import is_identifier
from bridge.model.nanos import Nanos
from bridge.model.subjects import CommandSubject, Subjects
from bridge.ports import CommandRequest
from tests.fuzz import BODIES, IDS, SPECS
from tests.unit.control.every_verb import EXAMPLES, IMAGE, side

BOUNDED = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
FEWER = settings(BOUNDED, max_examples=50)
ROUNDS = range(8)
OBSERVED = sorted(verb for verb, kind in COMMANDS.items() if kind.group == "observe")


def is_clean(records: list[logging.LogRecord]) -> None:
    """No traceback, and nothing that nobody thought of."""
    for record in records:
        assert record.exc_info is None, record.getMessage()
        assert "nobody thought of" not in record.getMessage()


def has_a_code(outcome: Any) -> None:
    assert outcome.error is not None, outcome
    assert outcome.error.code in CODES
    assert outcome.error.code != "internal", outcome
    assert "Traceback" not in outcome.error.message
    assert 'File "' not in outcome.error.message
    assert len(outcome.error.message) < 4_000


@pytest.mark.parametrize("round_", ROUNDS)
async def test_a_body_of_anything_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, round_: int
) -> None:
    async with side(tmp_path) as here:
        before = here.content()

        @seed(round_)
        @BOUNDED
        @given(verb=st.sampled_from(sorted(COMMANDS)), body=BODIES)
        def sent(verb: str, body: bytes) -> None:
            bodies.append((verb, body))

        bodies: list[tuple[str, bytes]] = []
        sent()
        for verb, body in bodies:
            request = CommandRequest(subject=CommandSubject("n1", "default", EXAMPLES[verb][0], verb), body=body)
            if read_order(request, Nanos(0)).flaw is None:
                continue  # it is a command after all; those are what the next test is about
            has_a_code(await here.ask(verb, EXAMPLES[verb][0], body=body))
        assert here.content() == before
        is_clean(caplog.records)


@pytest.mark.parametrize("round_", ROUNDS)
async def test_a_name_of_anything_reaches_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, round_: int
) -> None:
    """As namespace, container, exec id, command id, image, lease of a snapshot: also where it goes into a path or a subject."""
    async with side(tmp_path) as here:
        before, files = here.content(), sorted(tmp_path.parent.rglob("*"))
        names: list[tuple[str, str, str]] = []

        @seed(round_)
        @BOUNDED
        @given(
            verb=st.sampled_from(sorted(EXAMPLES)),
            name=IDS,
            where=st.sampled_from(["container", "namespace", "exec_id"]),
        )
        def made(verb: str, name: str, where: str) -> None:
            names.append((verb, name, where))

        made()
        for verb, name, where in names:
            container, options = EXAMPLES[verb]
            if is_identifier(name) or container is None:
                continue
            namespace = "default"
            if where == "container":
                container = name
            elif where == "namespace":
                namespace = name
            elif "exec_id" in COMMANDS[verb].__struct_fields__:
                options = {**options, "exec_id": name}
            else:
                continue
            subject = CommandSubject("n1", namespace, container, verb)
            body = msgspec.json.encode(options)
            has_a_code(await here.dispatcher.handle(CommandRequest(subject=subject, body=body)))
        assert here.content() == before
        assert [path for path in sorted(tmp_path.parent.rglob("*")) if path not in files] == []
        is_clean(caplog.records)


@pytest.mark.parametrize("round_", ROUNDS)
async def test_a_spec_of_anything_makes_nothing_that_asks_for_something(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, round_: int
) -> None:
    async with side(tmp_path) as here:
        specs: list[Any] = []

        @seed(round_)
        @FEWER
        @given(spec=SPECS)
        def mutated(spec: Any) -> None:
            specs.append(copy.deepcopy(spec))

        mutated()
        for number, spec in enumerate(specs):
            before = here.content()
            outcome = await here.ask("create", f"fuzz-{number}", image=IMAGE, spec=spec)
            if outcome.outcome == "ok":
                await here.ask("delete", f"fuzz-{number}")
            else:
                has_a_code(outcome)
            assert here.content() == before
        is_clean(caplog.records)


@seed(1)
@BOUNDED
@given(tokens=st.lists(IDS, min_size=4, max_size=4), verb=st.sampled_from(sorted(COMMANDS)))
def test_names_go_into_subjects_and_keys_and_come_back_whatever_they_are(tokens: list[str], verb: str) -> None:
    subjects = Subjects()
    node, namespace, container, command = (token or "x" for token in tokens)
    subject = subjects.command(node, namespace, container, verb)
    assert subjects.parse_command(subject) == CommandSubject(node, namespace, container, verb)
    for text in (subject, subjects.command_key(node, namespace, container, command)):
        assert not set(text) & set(" *>\t\r\n\0/\\")
        assert "" not in text.split(".")


@pytest.mark.parametrize("verb", OBSERVED)
async def test_what_only_looks_is_not_led_outside(tmp_path: Path, verb: str) -> None:
    async with side(tmp_path) as here:
        for name in ("../../etc/passwd", "..", "*", ">", "a.b.>", "web.1/../..", "web 1", "web.1\n", "=2E=2E"):
            outcome = await here.ask(verb, name)
            assert outcome.error is not None
            assert outcome.error.code == "invalid_argument", (name, outcome)
