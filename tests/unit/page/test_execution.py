"""What becomes of the processes that browsers start and leave."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any, Self, cast

import pytest

from bridge.client import BridgeError, CommandFailed, Container, LogUnavailable, Process
from bridge.page.execution import Executions, Wanted
from bridge.rehearsal import rehearse
from bridge.testing import Program

LONG = Wanted(id="run-1", command="sleep 1000")


class Slow:
    """A container of which the answer to an exec is on the way until it is let through."""

    def __init__(self, web: Container) -> None:
        self._web = web
        self.ran, self.answers = asyncio.Event(), asyncio.Event()

    def sending(self, _: Any) -> Self:
        return self

    async def exec(self, *args: Any, **options: Any) -> Process:
        process = await self._web.exec(*args, **options)
        self.ran.set()
        await self.answers.wait()
        return process


class Silent:
    """A container and its process, which says nothing and runs until `ends`; a signal is only noted, or fails."""

    def __init__(self, failure: BridgeError | None = None) -> None:
        self.failure = failure
        self.ends = asyncio.Event()
        self.kills: list[str] = []
        self.exec_id, self.started = "exec-1", SimpleNamespace(pid=7)

    def sending(self, _: Any) -> Self:
        return self

    async def exec(self, *_: Any, **__: Any) -> Self:
        return self

    async def output(self) -> AsyncGenerator[Any, None]:
        await self.ends.wait()
        for piece in list[Any]():
            yield piece

    async def wait(self) -> Any:
        return SimpleNamespace(exit_status=0, truncated=False)

    async def kill(self, signal: str) -> None:
        self.kills.append(signal)
        if self.failure is not None:
            raise self.failure


class Looking:
    """A browser that is with a process: what it has been told, until it leaves."""

    def __init__(self, executions: Executions, target: Any) -> None:
        self.told: list[Any] = []
        self.task = asyncio.create_task(self._look(executions.run(cast("Container", target), LONG)))

    async def _look(self, lines: AsyncGenerator[bytes, None]) -> None:
        async for line in lines:
            self.told.append(json.loads(line))

    async def leave(self) -> None:
        self.task.cancel()
        await asyncio.wait((self.task,))
        assert self.task.cancelled()


async def until(true: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(60):
        while not await true():
            await asyncio.sleep(0.01)


async def test_who_leaves_before_it_is_answered_leaves_no_process() -> None:
    async with rehearse("n1") as stage:
        host = stage.containerd("n1")
        host.programs["sleep"] = Program()
        await host.run("default", "web")
        await stage.settled()
        web = await stage.bus.container("web")

        async def execs() -> int:
            return len((await web.state()).execs)

        async def none() -> bool:
            return not await execs()

        slow = Slow(web)
        looking = Looking(Executions(), slow)
        await slow.ran.wait()
        await until(execs)
        await looking.leave()
        slow.answers.set()
        await until(none)


async def test_an_id_that_is_used_twice_has_one_process_here_the_later_one() -> None:
    executions, first, second = Executions(), Silent(), Silent()
    looking = [Looking(executions, first), Looking(executions, second)]

    async def both_started() -> bool:
        return all(one.told for one in looking)

    await until(both_started)
    first.ends.set()
    await looking[0].task
    assert looking[0].told[-1] == {"ended": 0, "truncated": False}
    await executions.cancel(LONG.id, force=False)
    assert (first.kills, second.kills) == ([], ["SIGTERM"])
    second.ends.set()
    await looking[1].task
    with pytest.raises(CommandFailed):
        await executions.cancel(LONG.id, force=False)


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (None, []),
        (CommandFailed("not_found", "it has ended"), []),
        (CommandFailed("unavailable", "node n1 does not answer"), ["n1 does not answer"]),
        (LogUnavailable("NATS is gone"), ["NATS is gone"]),
    ],
)
async def test_what_cannot_be_ended_is_told_in_the_log(
    failure: BridgeError | None, said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    silent = Silent(failure)
    looking = Looking(Executions(), silent)

    async def started() -> bool:
        return bool(looking.told)

    async def killed() -> bool:
        return bool(silent.kills)

    await until(started)
    with caplog.at_level(logging.WARNING):
        await looking.leave()
        await until(killed)
    assert silent.kills == ["SIGKILL"]
    assert len(caplog.records) == len(said)
    for record, part in zip(caplog.records, said, strict=True):
        assert "exec-1" in record.getMessage()
        assert part in record.getMessage()
