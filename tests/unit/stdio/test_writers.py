"""Several who write to one process by turns: those who come later, and pieces whose answer was lost."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from msgspec import structs

from bridge.client import Process
from bridge.errors import CommandFailed
from bridge.model.stdio import InputPiece, InputReply
from bridge.model.subjects import StdioSubject
from bridge.stdio.session import Session
from bridge.testing import MemoryStdio, Program
from tests.unit.stdio.conftest import House


class Lossy(MemoryStdio):
    """Loses the answers that it is told to lose, after the piece has come."""

    lost = 0

    async def write(self, subject: StdioSubject, piece: InputPiece, *, timeout: float) -> InputReply:
        reply = await super().write(subject, piece, timeout=timeout)
        if self.lost:
            self.lost -= 1
            raise CommandFailed("deadline_exceeded", "no answer")
        return reply


async def nothing(*_: object) -> None:
    pass


def beside(house: House, session: Session, *, joined: bool) -> Process:
    """Somebody at the other end of the bus."""
    subject = house.subject("stdin")
    told = structs.replace(session.result(), key=session.secret)
    return Process(subject, told, house.bus, resize=nothing, signal=nothing, owned=False, joined=joined)


async def echoed(process: Process) -> bytes:
    async with aclosing(process.output()) as pieces:
        return b"".join([piece.data async for piece in pieces])


async def test_who_comes_later_writes_behind_what_was_written_before(house: House) -> None:
    session = await house.run(Program(echoes=True), stdin=True)
    first, second = beside(house, session, joined=False), beside(house, session, joined=True)
    await first.write(b"one ")
    await second.write(b"two ")
    await first.write(b"three ")
    await second.write(b"four")
    await first.close_stdin()
    assert await echoed(first) == b"one two three four"


async def test_a_piece_whose_answer_was_lost_is_written_once(house: House) -> None:
    house.bus = Lossy()
    await house.restart()
    session = await house.run(Program(echoes=True), stdin=True)
    process = beside(house, session, joined=True)
    await process.write(b"one ")
    house.bus.lost = 2
    await process.write(b"two")
    await process.close_stdin()
    assert await echoed(process) == b"one two"


async def test_where_another_one_wrote_after_the_lost_answer_nothing_is_written_twice(house: House) -> None:
    house.bus = Lossy()
    await house.restart()
    session = await house.run(Program(echoes=True), stdin=True)
    first, second = beside(house, session, joined=False), beside(house, session, joined=True)
    await first.write(b"zero ")
    house.bus.lost = 1
    writing = asyncio.create_task(first.write(b"one "))
    while house.bus.lost:
        await asyncio.sleep(0)
    await second.write(b"two")
    with pytest.raises(CommandFailed, match="whether all of ours has come is open"):
        await writing
    await second.close_stdin()
    assert await echoed(second) == b"zero one two"


async def test_a_bridge_that_comes_back_takes_who_goes_on_at_his_word(house: House) -> None:
    session = await house.run(Program(echoes=True), stdin=True)
    process = beside(house, session, joined=False)
    await process.write(b"one ")
    await house.restart()
    await process.write(b"two")
    await process.close_stdin()
    assert await echoed(process) == b"one two"
