"""A consumer notices when something is missing, and what is said of an earlier pull changes nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
from nats.aio.msg import Msg

import bridge.jetstream.consumer as consumer_module
from bridge.jetstream.api import PREFIX
from bridge.jetstream.client import Link
from bridge.jetstream.connection import Connection
from bridge.jetstream.consumer import Consumer, Doubt, Place, Silent, _place
from bridge.jetstream.errors import Denied
from bridge.jetstream.parser import Delivered, Listener

INBOX = "_INBOX.x"
HEADERS = b"NATS/1.0\r\nA: b\r\n\r\n"
SIZE = len("e.x$JS.ACK.S.c.1.1.1.1700000000000000000.9") + len(HEADERS) + len(b"body")
"""What the server takes off a portion's bytes for a message."""


class Server:
    """The other end of a consumer on the stream S."""

    def __init__(self) -> None:
        self.link = Link()
        self.pulls: list[dict[str, Any]] = []
        self.denied: Callable[[Denied], None] = lambda _: None
        self._deliver: Listener | None = None
        client = SimpleNamespace(new_inbox=lambda: INBOX, listen=self._listen, publish=self._publish)
        connection = SimpleNamespace(
            client=client, request=self._request, denials=self._denials, connected=True, api=PREFIX
        )
        self.consumer = Consumer(cast("Connection", connection), "S", self.link)

    async def _listen(self, subject: str, listener: Listener) -> object:
        assert subject == f"{INBOX}.*"
        self._deliver = listener
        return SimpleNamespace(unsubscribe=self._unsubscribe)

    async def _unsubscribe(self) -> None:
        pass

    async def _publish(self, subject: str, payload: bytes, reply: str) -> None:
        assert subject.startswith("$JS.API.CONSUMER.MSG.NEXT.S.")
        self.pulls.append(json.loads(payload))
        assert reply == f"{INBOX}.{len(self.pulls)}"

    async def _request(self, subject: str, payload: bytes = b"", *, timeout: float = 0) -> Msg:
        return Msg(cast("Any", None), data=b'{"num_pending": 3}')

    @asynccontextmanager
    async def _denials(self, listener: Callable[[Denied], None]) -> AsyncIterator[None]:
        self.denied = listener
        yield

    async def message(self, number: int, *, sequence: int | None = None, pending: int = 9) -> None:
        assert self._deliver is not None
        reply = f"$JS.ACK.S.c.1.{sequence or number}.{number}.1700000000000000000.{pending}"
        self._deliver(Delivered("e.x", reply, b"body", HEADERS))

    async def status(
        self, code: str, description: str = "", *, pull: int | None = None, last: str | None = None
    ) -> None:
        assert self._deliver is not None
        subject = f"{INBOX}.{pull or len(self.pulls)}"
        line = "" if last is None else f"Nats-Last-Consumer: {last}\r\n"
        self._deliver(Delivered(subject, "", b"", f"NATS/1.0 {code} {description}\r\n{line}\r\n".encode()))


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    assert await made.consumer.open({}) == 3
    yield made
    await made.consumer.close()


async def numbers(server: Server, *, wait: bool, count: int) -> list[int]:
    """Read so many messages, or to the end."""
    found: list[int] = []
    async with aclosing(server.consumer.messages(wait=wait)) as messages:
        async for _, place in messages:
            found.append(place.consumer_sequence)
            if len(found) == count:
                break
    return found


def reading(server: Server, *, wait: bool = True, count: int = 99) -> asyncio.Task[list[int]]:
    return asyncio.create_task(numbers(server, wait=wait, count=count))


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_messages_come_in_their_order(server: Server) -> None:
    task = reading(server, count=3)
    for number in (1, 2, 3):
        await server.message(number)
    assert await task == [1, 2, 3]


async def test_a_number_that_is_missing_is_noticed(server: Server) -> None:
    task = reading(server)
    await server.message(1)
    await server.message(3)
    with pytest.raises(Doubt, match="number 2 is missing"):
        await task


async def test_a_heartbeat_tells_of_a_message_that_never_came(server: Server) -> None:
    task = reading(server)
    await settle()
    await server.message(1)
    await server.status("100", "Idle Heartbeat", last="2")
    with pytest.raises(Doubt, match="delivered up to number 2, here came 1"):
        await task


async def test_a_heartbeat_that_knows_no_more_than_we_do_changes_nothing(server: Server) -> None:
    task = reading(server, count=2)
    await settle()
    await server.message(1)
    await server.status("100", "Idle Heartbeat", last="1")
    await server.message(2)
    assert await task == [1, 2]


async def test_a_portion_that_has_ended_is_followed_by_the_next(server: Server) -> None:
    task = reading(server, count=2)
    await settle()
    await server.message(1)
    await server.status("408", "Request Timeout")
    await settle()
    assert len(server.pulls) == 2
    await server.message(2)
    assert await task == [1, 2]


async def test_what_is_said_of_a_pull_before_is_not_about_this_one(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "PORTION", 1)
    task = reading(server, count=2)
    await settle()
    await server.message(1)
    await settle()
    await server.status("409", "Batch Completed", pull=1)
    await server.message(2)
    assert await task == [1, 2]


@pytest.mark.parametrize(
    ("code", "description"),
    [
        ("409", "Consumer Deleted"),
        ("409", "Leadership Change"),
        ("409", "Server Shutdown"),
        ("503", ""),
        ("400", "Bad"),
    ],
)
async def test_a_consumer_that_is_no_more_is_noticed(server: Server, code: str, description: str) -> None:
    task = reading(server)
    await settle()
    await server.status(code, description)
    with pytest.raises(Doubt, match=code):
        await task


async def test_without_waiting_it_ends_when_there_is_nothing_more(server: Server) -> None:
    task = reading(server, wait=False)
    await settle()
    await server.message(1)
    await server.status("404", "No Messages")
    await settle()
    await server.status("404", "No Messages")
    assert await task == [1]
    assert all(pull["no_wait"] for pull in server.pulls)


@pytest.mark.parametrize("wait", [True, False])
async def test_silence_is_noticed(server: Server, monkeypatch: pytest.MonkeyPatch, wait: bool) -> None:
    monkeypatch.setattr(consumer_module, "SILENCE_S", 0.01)
    with pytest.raises(Silent, match=r"a consumer has said nothing for 0\.01 s and counts 3 messages as waiting"):
        await reading(server, wait=wait)


@pytest.mark.parametrize("wait", [True, False])
async def test_a_portion_whose_bytes_have_all_come_is_over_without_a_word(
    server: Server, monkeypatch: pytest.MonkeyPatch, wait: bool
) -> None:
    monkeypatch.setattr(consumer_module, "PORTION_BYTES", 2 * SIZE)
    task = reading(server, wait=wait, count=3)
    await settle()
    await server.message(1)
    await settle()
    assert [pull["max_bytes"] for pull in server.pulls] == [2 * SIZE]
    await server.message(2)
    await settle()
    assert len(server.pulls) == 2
    await server.message(3)
    assert await task == [1, 2, 3]


async def test_the_loss_of_the_connection_is_noticed_behind_what_had_come(server: Server) -> None:
    task = reading(server)
    await settle()
    await server.message(1)
    server.link.lose("cut")
    with pytest.raises(Doubt, match="the connection was lost"):
        await task


async def test_a_pull_that_is_not_permitted_ends_it(server: Server) -> None:
    task = reading(server)
    await settle()
    server.denied(Denied("$js.api.consumer.msg.next.s.bridge_1", "publish to"))
    with pytest.raises(Denied):
        await task


async def test_the_denial_of_something_else_does_not(server: Server) -> None:
    task = reading(server, count=1)
    await settle()
    server.denied(Denied("somewhere.else", "publish to"))
    await server.message(1)
    assert await task == [1]


@pytest.mark.parametrize(
    ("reply", "place"),
    [
        ("$JS.ACK.S.c.1.20.10.1700000000000000001.5", (20, 10, 1700000000000000001, 5)),
        ("$JS.ACK.hub.acchash.S.c.1.20.10.1700000000000000001.5", (20, 10, 1700000000000000001, 5)),
        ("$JS.ACK._.acchash.S.c.1.20.10.1700000000000000001.5.token", (20, 10, 1700000000000000001, 5)),
    ],
)
def test_a_place_is_read_from_both_forms_of_the_reply_subject(reply: str, place: tuple[int, int, int, int]) -> None:
    assert _place(reply) == Place(*place)


@pytest.mark.parametrize("reply", ["", "a.b", "$JS.ACK.S.c.1.x.10.17.5"])
def test_a_message_without_a_place_is_a_doubt(reply: str) -> None:
    with pytest.raises(Doubt, match="without a place"):
        _place(reply)
