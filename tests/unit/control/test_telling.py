"""When it is written how commands stand: together with others, and at once where somebody waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from bridge.control.telling import Teller
from bridge.model.nanos import Nanos
from bridge.model.outcomes import CommandState, Outcome
from bridge.testing import MemoryCommands

LONG_S = 3_600.0


class Counted(MemoryCommands):
    """A bucket that remembers what came in one write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[list[str]] = []

    async def write(self, states: Sequence[CommandState]) -> None:
        await super().write(states)
        self.writes.append([f"{state.id} {state.stage}" for state in states])


def state(command_id: str, *, ended: bool = True) -> CommandState:
    about: Any = {"id": command_id, "verb": "stop", "node": "n1", "received_at": Nanos(1)}
    outcome = Outcome(outcome="ok", **about) if ended else None
    return CommandState(stage="finished" if ended else "started", via="request", outcome=outcome, **about)


@asynccontextmanager
async def telling(bucket: MemoryCommands, **moments: Any) -> AsyncIterator[Teller]:
    teller = Teller(bucket, node="n1", **moments)
    task = asyncio.create_task(teller.run())
    try:
        async with asyncio.timeout(90):
            yield teller
    finally:
        task.cancel()


async def until(teller: Teller, count: int) -> None:
    while teller.written < count:
        await asyncio.sleep(0.005)


async def test_commands_that_end_together_are_one_write() -> None:
    bucket = Counted()
    async with telling(bucket, moment_s=LONG_S, ended_s=0.05) as teller:
        teller.tell(state("c1", ended=False))
        await asyncio.sleep(0)
        for name in ("c1", "c2", "c3"):
            teller.tell(state(name))
        await until(teller, 3)
    assert bucket.writes == [["c1 finished", "c2 finished", "c3 finished"]]


async def test_what_somebody_waits_for_is_written_at_once_with_all_that_waits() -> None:
    bucket = Counted()
    async with telling(bucket, moment_s=LONG_S, ended_s=LONG_S) as teller:
        teller.tell(state("c1", ended=False))
        teller.tell(state("c2"))
        await asyncio.sleep(0)
        await teller.told("c1")
        await teller.told("c3")  # nothing was told of it
        teller.tell(state("c1"))
        await teller.settled()
    assert bucket.writes == [["c1 started", "c2 finished"], ["c1 finished"]]


async def test_who_waits_while_the_bucket_is_down_waits_until_it_is_back() -> None:
    bucket = Counted()
    async with telling(bucket, moment_s=LONG_S, ended_s=LONG_S) as teller:
        with bucket.down():
            teller.tell(state("c1"))
            waiting = asyncio.create_task(teller.told("c1"))
            while teller.refused is None:
                await asyncio.sleep(0.005)
            assert not waiting.done()
        await waiting
    assert bucket.writes == [["c1 finished"]]
