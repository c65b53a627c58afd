"""Fast ingest on the wire: what is sent is what ADR-50 says, and every answer means what ADR-50 says it means."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import pytest
from nats.aio.msg import Msg

import bridge.jetstream.fast_ingest as fast_ingest_module
import bridge.jetstream.pace as pace_module
from bridge.errors import LogConflict, LogError, LogRefused, LogUnavailable
from bridge.jetstream.client import Link
from bridge.jetstream.connection import Connection
from bridge.jetstream.fast_ingest import FastIngest
from bridge.jetstream.fence import Fence
from bridge.jetstream.publisher import Receipt
from bridge.ports import Entry

INBOX = "_INBOX.x"


class Sent(NamedTuple):
    """One message as it went over the wire."""

    subject: str
    reply: list[str]
    headers: dict[str, str]
    body: bytes


def parsed(data: bytes) -> list[Sent]:
    """Read the client's protocol as a server does."""
    found = []
    while data:
        line, _, data = data.partition(b"\r\n")
        operation, subject, reply, *sizes = line.decode().split(" ")
        header_size, total = (0, int(sizes[0])) if operation == "PUB" else map(int, sizes)
        head, body, end = data[:header_size].decode(), data[header_size:total], data[total : total + 2]
        assert end == b"\r\n"
        data = data[total + 2 :]
        lines = head.split("\r\n")
        if operation == "HPUB":
            assert lines[0] == "NATS/1.0"
            assert lines[-2:] == ["", ""]
        headers = dict(line.split(": ") for line in lines[1:-2])
        found.append(Sent(subject, reply.removeprefix(INBOX + ".").split("."), headers, body))
    return found


class Server:
    """The other end: sees what is sent, and answers what the test has it answer."""

    def __init__(self, fence: Fence | None = None) -> None:
        self.data = b""
        self.link = Link()
        self.news = asyncio.Event()
        client = SimpleNamespace(
            new_inbox=lambda: INBOX,
            send=self._send,
            drained=self._drained,
            max_payload=1024 * 1024,
            stats={"out_msgs": 0},
        )
        self.publisher = FastIngest(
            cast("Connection", SimpleNamespace(client=client, link=self.link, denials=self._denials)), "EVENTS", fence
        )
        self.publisher._doubt = False

    def _send(self, frames: bytes) -> None:
        self.data += frames
        self.news.set()

    async def _drained(self) -> None:
        await asyncio.sleep(0)

    @asynccontextmanager
    async def _denials(self, _listener: object) -> AsyncIterator[None]:
        yield

    @property
    def sent(self) -> list[Sent]:
        return parsed(self.data)

    async def until(self, count: int) -> list[Sent]:
        """Wait until so many messages were sent, and let the publisher do what it does next."""
        async with asyncio.timeout(90):
            while len(self.sent) < count:
                self.news.clear()
                await self.news.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        return self.sent

    async def answer(self, fields: dict[str, Any], *, batch: str | None = None) -> None:
        """Answer the present batch, or another one."""
        identity = batch or self.sent[-1].reply[0]
        body = json.dumps({key: value if value != "<batch>" else identity for key, value in fields.items()}).encode()
        await self.publisher._on_message(Msg(cast("Any", None), subject=f"{INBOX}.{identity}.a.b", data=body))
        for _ in range(20):
            await asyncio.sleep(0)


def entries(count: int, size: int = 10) -> list[Entry]:
    return [Entry(n=n, id=f"id{n}", subject=f"e.c{n % 3}.start", body=b"x" * size) for n in range(1, count + 1)]


@asynccontextmanager
async def appending(
    count: int, size: int = 10, *, fence: Fence | None = None
) -> AsyncIterator[tuple[Server, asyncio.Task[Receipt]]]:
    server = Server(fence)
    task = asyncio.create_task(server.publisher.append(entries(count, size)))
    try:
        yield server, task
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_a_lone_entry_is_a_batch_of_one_with_commit() -> None:
    async with appending(1) as (server, task):
        (sent,) = await server.until(1)
        assert sent.subject == "e.c1.start"
        assert sent.reply[1:] == ["500", "fail", "1", "2", "$FI"]
        assert sent.headers == {"Nats-Msg-Id": "id1", "Content-Type": "application/cloudevents+json"}
        assert sent.body == b"x" * 10
        await server.answer({"stream": "EVENTS", "seq": 7, "batch": "<batch>", "count": 1})
        await task


async def test_a_batch_starts_appends_and_commits_in_order() -> None:
    async with appending(4) as (server, task):
        await server.until(1)
        await server.answer({"type": "ack", "seq": 0, "msgs": 500})
        sent = await server.until(4)
        assert [(s.reply[3], s.reply[4]) for s in sent] == [("1", "0"), ("2", "1"), ("3", "1"), ("4", "2")]
        assert {(s.reply[0], s.reply[2]) for s in sent} == {(sent[0].reply[0], "fail")}
        assert [s.headers["Nats-Msg-Id"] for s in sent] == ["id1", "id2", "id3", "id4"]
        await server.answer({"stream": "EVENTS", "seq": 4, "batch": "<batch>", "count": 4})
        await task


async def test_nothing_follows_the_first_message_before_the_server_has_greeted() -> None:
    async with appending(100) as (server, _):
        assert len(await server.until(1)) == 1


async def test_no_more_than_two_acknowledgements_are_outstanding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace_module, "FIRST", pace_module.MOST)
    async with appending(2000) as (server, _):
        await server.until(1)
        await server.answer({"type": "ack", "seq": 0, "msgs": 10})
        assert len(await server.until(20)) == 20
        await server.answer({"type": "ack", "seq": 10, "msgs": 10})
        assert len(await server.until(30)) == 30
        await server.answer({"type": "ack", "seq": 20, "msgs": 50})  # the server lets us go faster
        assert len(await server.until(120)) == 120
        await server.answer({"type": "ack", "seq": 70, "msgs": 1})  # and slower
        assert len(await server.until(120)) == 120
        await server.answer({"type": "ack", "seq": 120, "msgs": 1})
        assert len(await server.until(122)) == 122


async def test_a_lost_acknowledgement_is_made_up_for_by_the_next() -> None:
    async with appending(2000) as (server, _):
        await server.until(1)
        await server.answer({"type": "ack", "seq": 0, "msgs": 10})
        await server.until(20)
        await server.answer({"type": "ack", "seq": 20, "msgs": 10})
        assert len(await server.until(40)) == 40


async def test_large_events_are_acknowledged_more_often() -> None:
    async with appending(50, 400_000) as (server, _):
        (sent,) = await server.until(1)
        assert int(sent.reply[1]) * 2 * 400_000 <= fast_ingest_module.FLIGHT


async def test_after_silence_the_server_is_asked_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_ingest_module, "PATIENCE_S", 0.01)
    async with appending(2000) as (server, _):
        await server.until(1)
        await server.answer({"type": "ack", "seq": 0, "msgs": 5})
        ping = (await server.until(11))[10]
        assert ping.reply[1:] == ["500", "fail", "10", "4", "$FI"]  # the highest that was sent; it is none itself
        assert (ping.headers, ping.body) == ({}, b"")
        await server.answer({"type": "ack", "seq": 10, "msgs": 5})
        assert [s.reply[3] for s in await server.until(21) if s.reply[4] != "4"][-1] == "20"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"type": "gap", "last_seq": 2, "seq": 4}, LogUnavailable),
        ({"stream": "EVENTS", "seq": 9, "batch": "<batch>", "count": 3}, LogUnavailable),  # ended before its end
        ({"type": "err", "seq": 2, "error": {"code": 503, "err_code": 10077, "description": "full"}}, LogRefused),
        (
            {"type": "err", "seq": 2, "error": {"code": 400, "err_code": 10071, "description": "wrong last"}},
            LogConflict,
        ),
        ({"stream": "EVENTS", "seq": 0, "error": {"code": 400, "err_code": 10208, "description": "?"}}, LogUnavailable),
        ({"stream": "EVENTS", "seq": 0, "error": {"code": 400, "err_code": 10205, "description": "off"}}, LogRefused),
        (
            {"stream": "EVENTS", "seq": 0, "error": {"code": 429, "err_code": 10167, "description": "many"}},
            LogUnavailable,
        ),
    ],
)
async def test_whatever_stops_a_batch_ends_the_append(answer: dict[str, Any], expected: type[LogError]) -> None:
    async with appending(4) as (server, task):
        await server.until(1)
        await server.answer({"type": "ack", "seq": 0, "msgs": 500})
        await server.until(4)
        await server.answer(answer)
        with pytest.raises(LogError) as caught:
            await asyncio.wait_for(task, 90)
        assert type(caught.value) is expected
        assert "does not acknowledge" not in str(caught.value)  # it was not silence that ended it


@pytest.mark.parametrize(
    "answer",
    [
        {"stream": "OTHER", "seq": 9, "batch": "<batch>", "count": 4},
        {"stream": "EVENTS", "seq": 9, "batch": "another", "count": 4},
        {"stream": "EVENTS", "seq": 9},
        {"stream": "OTHER", "seq": 0, "error": {"code": 503, "err_code": 10077, "description": "full"}},
        {"error": {"code": 503, "err_code": 10077, "description": "full"}},
        {"type": "io.containerd.task.start.v1"},
        {},
    ],
)
async def test_an_answer_of_somebody_else_ends_nothing(answer: dict[str, Any]) -> None:
    async with appending(4) as (server, task):
        await server.until(1)
        await server.answer({"type": "ack", "seq": 0, "msgs": 500})
        await server.until(4)
        await server.answer(answer)
        assert not task.done()


async def test_what_comes_late_for_a_batch_before_is_not_taken_for_this_one() -> None:
    async with appending(2000) as (server, task):
        await server.until(1)
        await server.answer({"type": "ack", "seq": 500, "msgs": 500}, batch="before")
        assert len(await server.until(1)) == 1
        await server.answer({"type": "err", "seq": 2, "error": {"err_code": 10077}}, batch="before")
        assert not task.done()


async def test_nobody_listened_to_a_batch_before_is_not_about_this_one() -> None:
    async with appending(2000) as (server, task):
        await server.until(1)
        late = Msg(cast("Any", None), subject=f"{INBOX}.before.a", headers={"Status": "503"})
        await server.publisher._on_message(late)
        await asyncio.sleep(0)
        assert not task.done()


async def test_a_batch_ends_with_its_link_and_nothing_more_is_sent() -> None:
    async with appending(2000) as (server, task):
        await server.until(1)
        await server.answer({"type": "ack", "seq": 0, "msgs": 10})
        sent = len(await server.until(20))
        server.link.lose("cut")
        with pytest.raises(LogUnavailable, match="the connection to NATS was lost: cut"):
            await asyncio.wait_for(task, 90)
        assert len(server.sent) == sent


EXPECTATION = {
    "Nats-Expected-Last-Subject-Sequence": "7",
    "Nats-Expected-Last-Subject-Sequence-Subject": "n.lease",
}


class SmallFence:
    """A fence that says what it is told to say, and counts how often it was asked before a write."""

    def __init__(self, *, others: bool) -> None:
        self.first = "".join(f"{name}: {value}\r\n" for name, value in EXPECTATION.items())
        self.others = self.first if others else ""
        self.refusal: LogError | None = None
        self.mended = 0

    def check(self) -> None:
        if self.refusal is not None:
            raise self.refusal

    async def mend(self) -> None:
        self.mended += 1


@pytest.mark.parametrize("others", [True, False])
async def test_a_fence_stands_in_the_header_of_every_message_or_of_the_first(others: bool) -> None:
    fence = SmallFence(others=others)
    async with appending(4, fence=cast("Fence", fence)) as (server, task):
        await server.until(1)
        await server.answer({"type": "ack", "seq": 0, "msgs": 500})
        sent = await server.until(4)
        fenced = [EXPECTATION.items() <= message.headers.items() for message in sent]
        assert fenced == [True, others, others, others]
        assert {len(message.headers) for message in sent} == ({4} if others else {2, 4})
        await server.answer({"stream": "EVENTS", "seq": 4, "batch": "<batch>", "count": 4})
        await task


async def test_nothing_more_is_written_once_the_lease_does_not_cover_it() -> None:
    fence = SmallFence(others=True)
    async with appending(100, fence=cast("Fence", fence)) as (server, task):
        await server.until(1)
        fence.refusal = LogUnavailable("the lease has run out")
        await server.answer({"type": "ack", "seq": 0, "msgs": 500})
        with pytest.raises(LogUnavailable, match="run out"):
            await asyncio.wait_for(task, 90)
        assert len(server.sent) == 1


async def test_a_refused_expectation_is_looked_into_and_the_same_entries_are_sent_once_more() -> None:
    fence = SmallFence(others=True)
    wrong = {"code": 400, "err_code": 10071, "description": "wrong last sequence: 9"}
    async with appending(1, fence=cast("Fence", fence)) as (server, task):
        await server.until(1)
        await server.answer({"stream": "EVENTS", "seq": 0, "error": wrong})
        first, second = await server.until(2)
        assert (fence.mended, first.body) == (1, second.body)
        await server.answer({"stream": "EVENTS", "seq": 0, "error": wrong})
        with pytest.raises(LogUnavailable, match="wrong last sequence"):  # the node is ours: so it passes
            await asyncio.wait_for(task, 90)
        assert fence.mended == 1
