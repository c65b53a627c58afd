"""Being attached to a process of ours: what becomes of it when it cannot be followed."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from signal import SIGKILL

import pytest

from bridge.cli.attached import Manner, attached
from bridge.client import Process
from bridge.errors import CommandFailed, LogRefused
from bridge.model.outcomes import ExecResult
from bridge.model.subjects import StdioSubject
from bridge.ports import StoredPiece
from bridge.testing import MemoryStdio


class Refusing(MemoryStdio):
    """A stream that cannot be read any more by the time the process runs."""

    async def read(
        self, subject: StdioSubject, session: str, *, after: int, follow: bool
    ) -> AsyncGenerator[StoredPiece, None]:
        async for stored in super().read(subject, session, after=after, follow=False):
            yield stored
        raise LogRefused("reading it is not allowed")


@pytest.mark.parametrize("owner", [True, False])
async def test_what_its_owner_cannot_see_is_killed_and_what_others_look_at_is_not(
    owner: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    signals: list[object] = []

    async def signal(number: object) -> None:
        signals.append(number)

    async def process() -> Process:
        subject = StdioSubject("n1", "default", "web", "e1", "stdout")
        return Process(
            subject, ExecResult(session="s"), Refusing(), resize=lambda *_: signal("size"), signal=signal, owned=owner
        )

    with pytest.raises(LogRefused):
        await attached(process(), Manner(name="exec e1 of web", stdin=False, rule="interrupt", owner=owner))
    assert signals == ([SIGKILL] if owner else [])
    assert ("exec e1 of web is killed: we cannot be with it" in capfd.readouterr().err) is owner


async def test_that_it_cannot_be_killed_either_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    async def nothing(*_: object) -> None:
        raise CommandFailed("refused", "kill is not allowed")

    async def process() -> Process:
        subject = StdioSubject("n1", "default", "web", None, "stdout")
        return Process(subject, ExecResult(session="s"), Refusing(), resize=nothing, signal=nothing, owned=True)

    with pytest.raises(LogRefused):
        await attached(process(), Manner(name="web", stdin=False, rule="forward", owner=True))
    assert "web goes on without us: it cannot be killed: kill is not allowed" in capfd.readouterr().err
