"""The contract of `OutputLog`, `StdioLines` and `StdioClient`, each held against the others."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import aclosing

import pytest

from bridge.errors import CommandFailed, LogConflict
from bridge.model.events import Failure
from bridge.model.stdio import Chunk, Credit, InputPiece, InputReply, StreamEnd
from bridge.model.subjects import StdioSubject
from bridge.ports import OutputEnd, OutputLog, StoredPiece
from tests.contract.lines import STDERR, STDOUT, StdioBus

OURS, OTHERS = "01M8D1CCT33KNKYP5QGT272D76", "01M8D1CD16F760CVCTK8D8HD95"


def chunk(offset: int, data: bytes, session: str = OURS) -> Chunk:
    return Chunk(session=session, offset=offset, data=data)


async def put(output: OutputLog, subject: StdioSubject, piece: Chunk | StreamEnd, *, after: int) -> int:
    """Store one piece; return its place."""
    [place] = await output.append(subject, piece, after=after)
    return place


# -- the output


async def test_pieces_are_read_as_they_were_stored(stdio_bus: StdioBus) -> None:
    one = await put(stdio_bus.output, STDOUT, chunk(0, b"\x00\xffout"), after=0)
    two = await put(stdio_bus.output, STDERR, chunk(0, b"err"), after=0)
    end = StreamEnd(session=OURS, size=5, sha256="ab" * 32, truncated="held", exit_status=3)
    three = await put(stdio_bus.output, STDOUT, end, after=one)
    assert await stdio_bus.stored(OURS) == [
        StoredPiece(one, "stdout", chunk(0, b"\x00\xffout")),
        StoredPiece(two, "stderr", chunk(0, b"err")),
        StoredPiece(three, "stdout", end),
    ]


async def test_what_nobody_knows_of_an_end_is_left_open(stdio_bus: StdioBus) -> None:
    end = StreamEnd(session=OURS, size=0)
    await put(stdio_bus.output, STDOUT, end, after=0)
    assert [stored.piece for stored in await stdio_bus.stored(OURS)] == [end]


async def test_the_end_says_how_far_a_session_is_stored(stdio_bus: StdioBus) -> None:
    output = stdio_bus.output
    assert await output.end(STDOUT, OURS) == OutputEnd(0, 0)
    place = await put(output, STDOUT, chunk(0, b"12345"), after=0)
    assert await output.end(STDOUT, OURS) == OutputEnd(place, 5)
    assert await output.end(STDERR, OURS) == OutputEnd(0, 0)
    assert await output.end(STDOUT, OTHERS) == OutputEnd(place, 0)
    place = await put(output, STDOUT, chunk(5, b"678"), after=place)
    end = StreamEnd(session=OURS, size=8, sha256="ab", truncated="away", exit_status=1)
    place = await put(output, STDOUT, end, after=place)
    assert await output.end(STDOUT, OURS) == OutputEnd(place, 8, end)


async def test_a_piece_is_stored_behind_the_named_one_and_nowhere_else(stdio_bus: StdioBus) -> None:
    output = stdio_bus.output
    first = await put(output, STDOUT, chunk(0, b"a"), after=0)
    second = await put(output, STDOUT, chunk(1, b"b"), after=first)
    for late in (0, first, second + 7):
        with pytest.raises(LogConflict):
            await put(output, STDOUT, chunk(2, b"c"), after=late)
    assert [stored.piece for stored in await stdio_bus.stored(OURS)] == [chunk(0, b"a"), chunk(1, b"b")]


async def test_pieces_that_are_given_at_once_stand_behind_each_other(stdio_bus: StdioBus) -> None:
    output = stdio_bus.output
    data = [bytes([n]) * output.largest for n in range(4)]
    pieces = [chunk(n * output.largest, one) for n, one in enumerate(data)]
    first = await put(output, STDERR, chunk(0, b"x"), after=0)
    places = await output.append(STDOUT, *pieces, after=0)
    assert places == [first + 1, first + 2, first + 3, first + 4]
    stored = await stdio_bus.stored(OURS)
    assert [one.piece for one in stored if one.stream == "stdout"] == pieces
    assert await output.end(STDOUT, OURS) == OutputEnd(places[-1], 4 * output.largest)
    assert output.portion >= output.largest


async def test_of_pieces_behind_a_wrong_place_none_is_stored(stdio_bus: StdioBus) -> None:
    output = stdio_bus.output
    place = await put(output, STDOUT, chunk(0, b"a"), after=0)
    with pytest.raises(LogConflict):
        await output.append(STDOUT, chunk(1, b"b"), chunk(2, b"c"), chunk(3, b"d"), after=place + 1)
    assert [stored.piece for stored in await stdio_bus.stored(OURS)] == [chunk(0, b"a")]
    assert await output.append(STDOUT, chunk(1, b"b"), chunk(2, b"c"), after=place) == [place + 1, place + 2]


async def test_many_streams_at_once_are_stored_each_in_its_order(stdio_bus: StdioBus) -> None:
    output, sessions = stdio_bus.output, [f"{OURS[:-1]}{n}" for n in range(6)]

    async def write(session: str) -> None:
        subject, after, offset = STDOUT._replace(process=session), 0, 0
        while offset < 60:
            pieces = [chunk(offset + n, b"%d" % (n % 10), session) for n in range(min(10, 60 - offset))]
            places = await output.append(subject, *pieces, after=after)
            after, offset = places[-1], offset + len(places)

    async with asyncio.timeout(90), asyncio.TaskGroup() as tasks:
        for session in sessions:
            tasks.create_task(write(session))
    for session in sessions:
        found = await output.digest(STDOUT._replace(process=session), session, size=60, after=0, head=60)
        assert found is not None
        assert found.head == b"0123456789" * 6


async def test_the_largest_chunk_is_taken(stdio_bus: StdioBus) -> None:
    data = bytes(stdio_bus.output.largest)
    assert len(data) >= 128 * 1024
    await put(stdio_bus.output, STDOUT, chunk(0, data), after=0)
    assert [stored.piece for stored in await stdio_bus.stored(OURS)] == [chunk(0, data)]


async def test_a_reader_gets_one_session_only_and_from_a_place_on(stdio_bus: StdioBus) -> None:
    one = await put(stdio_bus.output, STDOUT, chunk(0, b"x", OTHERS), after=0)
    two = await put(stdio_bus.output, STDOUT, chunk(0, b"y"), after=one)
    three = await put(stdio_bus.output, STDOUT, chunk(1, b"z"), after=two)
    assert [stored.place for stored in await stdio_bus.stored(OURS)] == [two, three]
    assert [stored.place for stored in await stdio_bus.stored(OURS, after=two)] == [three]


async def test_a_reader_that_follows_gets_what_comes(stdio_bus: StdioBus) -> None:
    place = await put(stdio_bus.output, STDOUT, chunk(0, b"0"), after=0)
    read: list[bytes] = []
    async with asyncio.timeout(90), aclosing(stdio_bus.client.read(STDOUT, OURS, after=0, follow=True)) as pieces:
        async for stored in pieces:
            assert isinstance(stored.piece, Chunk)
            read.append(stored.piece.data)
            if len(read) == 5:
                break
            place = await put(stdio_bus.output, STDOUT, chunk(len(read), b"%d" % len(read)), after=place)
    assert read == [b"0", b"1", b"2", b"3", b"4"]


async def test_that_output_can_be_read_is_seen_before_there_is_any(stdio_bus: StdioBus) -> None:
    await stdio_bus.client.check(STDOUT)
    await stdio_bus.output.append(STDOUT, chunk(0, b"123"), after=0)
    await stdio_bus.client.check(STDOUT)


async def test_the_digest_is_that_of_all_that_is_stored_or_there_is_none(stdio_bus: StdioBus) -> None:
    output = stdio_bus.output
    place = await put(output, STDOUT, chunk(0, b"x", OTHERS), after=0)
    before = place
    place = await put(output, STDOUT, chunk(0, b"abc"), after=place)
    place = await put(output, STDOUT, chunk(3, b"def"), after=place)
    found = await output.digest(STDOUT, OURS, size=6, after=before, head=4)
    assert found == (hashlib.sha256(b"abcdef").hexdigest(), b"abcd")
    assert await output.digest(STDOUT, OURS, size=7, after=before, head=4) is None
    assert await output.digest(STDOUT, OURS, size=6, after=before + 1, head=4) is None
    assert await output.digest(STDERR, OURS, size=6, after=0, head=4) is None


# -- the lines


class Desk:
    """Takes what comes."""

    def __init__(self, reply: InputReply) -> None:
        self.reply = reply
        self.pieces: list[tuple[StdioSubject, InputPiece]] = []
        self.credits: asyncio.Queue[tuple[StdioSubject, Credit]] = asyncio.Queue()

    async def on_input(self, subject: StdioSubject, piece: InputPiece, _who: object) -> InputReply:
        self.pieces.append((subject, piece))
        return self.reply

    def on_credit(self, subject: StdioSubject, credit: Credit) -> None:
        self.credits.put_nowait((subject, credit))


@pytest.mark.parametrize("process", ["exec.1", None])
async def test_input_arrives_whole_and_its_reply_comes_back(stdio_bus: StdioBus, process: str | None) -> None:
    desk = Desk(InputReply(accepted=9, closed=True, error=Failure(code="exhausted", message="too much")))
    where = STDOUT._replace(process=process)
    piece = InputPiece(session=OURS, offset=7, data=b"\x00\xff", end=True, key="k1")
    async with stdio_bus.lines.serve(desk.on_input, desk.on_credit):
        assert await stdio_bus.client.write(where, piece, timeout=90) == desk.reply
    assert [(subject.process, sent) for subject, sent in desk.pieces] == [(process, piece)]


async def test_input_without_end_and_without_bytes_is_both(stdio_bus: StdioBus) -> None:
    desk = Desk(InputReply())
    piece = InputPiece(session=OURS, offset=0, data=b"")
    async with stdio_bus.lines.serve(desk.on_input, desk.on_credit):
        await stdio_bus.client.write(STDOUT, piece, timeout=90)
    assert desk.pieces[0][1] == piece


async def test_a_credit_arrives(stdio_bus: StdioBus) -> None:
    desk = Desk(InputReply())
    credit = Credit(session=OURS, owner="me", stdout=5, stderr=6, window=7)
    async with asyncio.timeout(90), stdio_bus.lines.serve(desk.on_input, desk.on_credit):
        await stdio_bus.client.credit(STDOUT, credit)
        subject, arrived = await desk.credits.get()
    assert (subject.container, subject.process, arrived) == ("web.1", "exec.1", credit)


async def test_input_for_a_bridge_that_is_not_there_is_unavailable(stdio_bus: StdioBus) -> None:
    desk = Desk(InputReply())
    async with stdio_bus.lines.serve(desk.on_input, desk.on_credit):
        pass
    with pytest.raises(CommandFailed) as failed:
        await stdio_bus.client.write(STDOUT, InputPiece(session=OURS, offset=0, data=b"x"), timeout=90)
    assert failed.value.code == "unavailable"
