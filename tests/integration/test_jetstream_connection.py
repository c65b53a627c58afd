"""The connection to a real nats-server: the first one succeeds or says why not, and then it is held whatever happens."""

import asyncio
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import nats.aio.client
import nats.errors
import pytest

import bridge.jetstream.connection as connection_module
from bridge.config import NatsConfig
from bridge.errors import ConfigError
from bridge.jetstream.connection import Connection, connect
from bridge.jetstream.errors import Denied, LinkLost
from bridge.jetstream.parser import Delivered
from tests.fix_nats import NatsServerFactory
from tests.testbed import NatsServer, Proxy

Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

INFO = {"server_id": "X", "version": "2.15.1", "headers": True, "max_payload": 1048576, "proto": 1}


@asynccontextmanager
async def connected(url: str, **settings: Any) -> AsyncIterator[Connection]:
    async with connect(NatsConfig(url=url, **settings), name="test") as connection:
        yield connection


async def refusal(url: str, **settings: Any) -> str:
    """The sentence with which connecting fails."""
    with pytest.raises(ConfigError) as caught:
        async with connected(url, **settings):
            pass
    return str(caught.value)


@asynccontextmanager
async def listening(peer: Peer, port: int = 0) -> AsyncIterator[int]:
    """Something that is no nats-server listens; yields its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await peer(reader, writer)
            await reader.read()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def saying(data: bytes, *, hang_up: bool = False, after: bytes = b"") -> Peer:
    """A peer that says something and then is silent, or hangs up, perhaps after it has heard something."""

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        if after:
            await reader.readuntil(after)
        if hang_up:
            raise ConnectionError

    return peer


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(90):
        while not condition():
            await asyncio.sleep(0.005)


async def works(connection: Connection) -> None:
    """The connection carries messages in both directions."""
    subscription = await connection.client.subscribe("ping.it")
    await connection.client.publish("ping.it", b"x")
    assert (await subscription.next_msg(timeout=90)).data == b"x"
    await subscription.unsubscribe()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience is short, so that tests of it are."""
    monkeypatch.setattr(connection_module, "CONNECT_S", 1.0)
    monkeypatch.setattr(connection_module, "PING_S", 0.4)


# -- the first connection


async def test_it_knows_the_server_it_is_connected_to(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        await works(connection)
        assert connection.server == nats_url.removeprefix("nats://")
        assert connection.server_version[:2] == (2, 15)


async def test_where_nobody_listens_the_sentence_names_the_url() -> None:
    with socket.socket() as taken:  # bound, and not listening
        taken.bind(("127.0.0.1", 0))
        url = f"nats://127.0.0.1:{taken.getsockname()[1]}"
        assert await refusal(url) == (
            f"cannot connect to NATS at {url}: nobody listens there: start nats-server, or correct nats.url"
        )


async def test_a_name_that_has_no_address_is_told_apart() -> None:
    assert "nats://nowhere.invalid:4222: its host name cannot be resolved" in await refusal("nats://nowhere.invalid")


async def test_of_several_servers_one_that_answers_is_enough(nats_url: str) -> None:
    async with connected(f"nats://127.0.0.1:1,{nats_url}") as connection:
        await works(connection)


async def test_of_several_servers_that_fail_each_has_its_reason() -> None:
    sentence = await refusal("nats://127.0.0.1:1,nats://nowhere.invalid")
    assert "nats://127.0.0.1:1: nobody listens" in sentence
    assert "nats://nowhere.invalid:4222: its host name" in sentence


async def test_after_a_loss_every_one_of_several_servers_is_tried(nats_server_factory: NatsServerFactory) -> None:
    first, second = nats_server_factory(), nats_server_factory()
    async with connected(f"{first.url},{second.url}") as connection:
        first.kill()
        await until(lambda: connection.connected and connection.server == second.address)
        await works(connection)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("peer", "said"),
    [
        pytest.param(saying(b""), "does not answer within 1 s", id="accepts and is silent"),
        pytest.param(saying(b'INFO {"server_id": "X"'), "does not answer within 1 s", id="half an INFO"),
        pytest.param(saying(b"INFO " + json.dumps(INFO).encode() + b"\r\n"), "does not answer within", id="INFO only"),
        pytest.param(saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "is not a NATS server", id="a web server"),
        pytest.param(saying(b"SSH-2.0-OpenSSH_9.2p1\r\n"), "is not a NATS server", id="an ssh server"),
        pytest.param(saying(b"\r\n"), "is not a NATS server", id="an empty line"),
        pytest.param(saying(b"INFO\r\n"), "is not a NATS server", id="INFO without anything"),
        pytest.param(saying(b"INFO {]\r\n"), "is not a NATS server", id="INFO that is no JSON"),
        pytest.param(saying(b"INFO 17\r\n"), "is not a NATS server", id="INFO that is no object"),
        pytest.param(saying(b"INFO \xff\xfe\r\n"), "is not a NATS server", id="INFO that is no text"),
        pytest.param(saying(b"INFO " + b"x" * 200_000 + b"\r\n"), "is not a NATS server", id="INFO without end"),
        pytest.param(saying(b"", hang_up=True), "is not a NATS server", id="hangs up at once"),
        pytest.param(
            saying(b"INFO " + json.dumps(INFO).encode() + b"\r\n", hang_up=True),
            "hung up during the handshake",
            id="hangs up later",
        ),
        pytest.param(
            saying(b"INFO " + json.dumps(INFO).encode() + b"\r\n", hang_up=True, after=b"PING\r\n"),
            "hung up during the handshake",
            id="hangs up instead of an answer",
        ),
    ],
)
async def test_what_is_no_nats_server_is_named_in_one_sentence(peer: Peer, said: str) -> None:
    async with listening(peer) as port:
        sentence = await refusal(f"nats://127.0.0.1:{port}")
    assert sentence.startswith(f"cannot connect to NATS at nats://127.0.0.1:{port}: ")
    assert said in sentence


async def test_the_embedded_server_is_not_a_url() -> None:
    assert "no embedded server runs here" in await refusal("embedded")


async def test_no_password_is_in_any_message_or_log(
    nats_server_factory: NatsServerFactory, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = nats_server_factory(config="authorization { user: bob, password: hunter2 }")
    assert "hunter3" not in await refusal(f"nats://bob:hunter3@{server.address}")
    async with connected(f"nats://bob:hunter2@{server.address}") as connection:
        server.restart()
        await until(lambda: "connected to NATS again" in caplog.text)
        await works(connection)
    assert "hunter" not in caplog.text


# -- held for ever


async def test_after_a_restart_of_the_server_it_goes_on(nats_server_factory: NatsServerFactory) -> None:
    server = nats_server_factory()
    async with connected(server.url) as connection:
        link = connection.link
        server.restart()
        await link.lost()
        await connection.linked()
        await works(connection)


async def test_subscriptions_live_through_a_restart(nats_server_factory: NatsServerFactory) -> None:
    server = nats_server_factory()
    async with connected(server.url) as connection:
        subscription = await connection.client.subscribe("a.b")
        link = connection.link
        server.restart()
        await link.lost()
        await connection.linked()
        await connection.client.publish("a.b", b"x")
        assert (await subscription.next_msg(timeout=90)).data == b"x"


async def test_a_listener_gets_what_comes_in_its_order_and_through_a_restart(
    nats_server_factory: NatsServerFactory,
) -> None:
    server = nats_server_factory()
    came: list[Delivered] = []
    async with connected(server.url) as connection:
        subscription = await connection.client.listen("news.*", came.append)
        for number in range(3):
            await connection.client.publish(f"news.{number}", b"x", reply="back", headers={"a": str(number)})
        await connection.client.flush()
        assert [(one.subject, one.reply, one.data, one.headers) for one in came] == [
            (f"news.{number}", "back", b"x", {"a": str(number)}) for number in range(3)
        ]
        link = connection.link
        server.restart()
        await link.lost()
        await connection.linked()
        await connection.client.publish("news.3", b"")
        await connection.client.flush()
        assert came[3:] == [Delivered("news.3", "", b"")]
        await subscription.unsubscribe()
        await connection.client.publish("news.4", b"")
        await connection.client.flush()
        assert len(came) == 4
        assert connection.client._listeners == {}


async def test_a_loss_and_a_return_are_one_line_each(
    nats_server_factory: NatsServerFactory, caplog: pytest.LogCaptureFixture
) -> None:
    server = nats_server_factory()
    async with connected(server.url) as connection:
        with server.down():
            await until(lambda: not connection.connected)
            await until(lambda: "nobody listens" in caplog.text)
            before = connection.client._attempts
            await until(lambda: connection.client._attempts >= before + 3)
        await until(lambda: "connected to NATS again" in caplog.text)
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) == 3, lines
    assert "lost (the server closed the connection); connecting again" in lines[0]
    assert "nobody listens there" in lines[1]
    assert "connected to NATS again" in lines[2]


async def test_publishing_without_a_connection_fails_at_once(nats_server_factory: NatsServerFactory) -> None:
    server = nats_server_factory()
    async with connected(server.url) as connection:
        with server.down():
            await until(lambda: not connection.connected)
            with pytest.raises(nats.errors.OutboundBufferLimitError):
                await connection.client.publish("a.b", b"stale")
            with pytest.raises(nats.errors.OutboundBufferLimitError):
                await connection.request("a.b", b"stale")


async def test_what_was_not_sent_before_a_loss_is_not_sent_after_it(nats_url: str) -> None:
    async with connected(nats_url) as witness, Proxy(nats_url.removeprefix("nats://")) as proxy:
        heard = await witness.client.subscribe("a.b")
        await witness.client.flush()
        async with connected(f"nats://{proxy.address}") as connection:
            link = connection.link
            proxy.hold()
            for _ in range(32):  # more than the buffers in between take, so that something has to wait
                await connection.client.publish("fill", bytes(500_000))
                await asyncio.sleep(0)
            await connection.client.publish("a.b", b"stale")
            assert connection.client.pending_data_size > 0
            await proxy.cut()
            proxy.release()
            await link.lost()
            await connection.linked()
            await connection.client.publish("a.b", b"fresh")
            assert (await heard.next_msg(timeout=90)).data == b"fresh"


@pytest.mark.usefixtures("impatient")
async def test_a_peer_that_falls_silent_is_noticed(nats_url: str) -> None:
    async with Proxy(nats_url.removeprefix("nats://")) as proxy, connected(f"nats://{proxy.address}") as connection:
        link = connection.link
        proxy.hold()
        async with asyncio.timeout(90):
            assert await link.lost() == "the server did not answer pings"
        proxy.release()
        await connection.linked()
        await works(connection)


@pytest.mark.usefixtures("impatient")
async def test_a_silent_peer_with_a_full_buffer_holds_up_nothing(nats_url: str) -> None:
    async with Proxy(nats_url.removeprefix("nats://")) as proxy, connected(f"nats://{proxy.address}") as connection:
        link = connection.link
        proxy.hold()
        for _ in range(32):
            connection.client.send(b"PUB a.b 500000\r\n" + bytes(500_000) + b"\r\n")
        async with asyncio.timeout(90):
            await link.lost()
            before = proxy.accepted
            await until(lambda: proxy.accepted > before)  # it tries again, and does not wait for the old socket
            proxy.release()
            await connection.linked()
        await works(connection)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        pytest.param(b"PUB " + b"a" * 5000 + b" 1\r\nx\r\n", "maximum control line exceeded", id="long control line"),
        pytest.param(b"PUB a 2000000\r\n", "maximum payload violation", id="large payload"),
        pytest.param(b"NONSENSE\r\n", "unknown protocol operation", id="no protocol"),
    ],
)
async def test_a_fault_for_which_the_server_hangs_up_is_survived(nats_url: str, frame: bytes, said: str) -> None:
    async with connected(nats_url) as connection:
        link = connection.link
        connection.client.send(frame)
        async with asyncio.timeout(90):
            assert said in (await link.lost()).lower()
            await connection.linked()
        await works(connection)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "garbage",
    [b"INFO\r\n", b"INFO 17\r\n", b"INFO {]\r\n", b"INFO " + b"x" * 100_000, b"HTTP/1.1 400\r\n", b"\x15\x03\x01"],
)
async def test_garbage_in_the_servers_place_is_survived(nats_url: str, garbage: bytes) -> None:
    async with Proxy(nats_url.removeprefix("nats://")) as proxy, connected(f"nats://{proxy.address}") as connection:
        came = asyncio.Event()

        async def peer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(garbage)
            came.set()
            raise ConnectionError

        async with proxy.refusing(), listening(peer, int(proxy.address.rpartition(":")[2])):
            async with asyncio.timeout(90):
                await came.wait()
                came.clear()
                await came.wait()  # and tried again
        async with asyncio.timeout(90):
            await connection.linked()
        await works(connection)


async def test_a_parser_that_breaks_costs_no_more_than_the_link(nats_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with connected(nats_url) as connection:
        link = connection.link

        async def broken(_data: bytes = b"") -> None:
            monkeypatch.undo()
            raise KeyError("nobody thought of this")

        monkeypatch.setattr(connection.client._ps, "parse", broken)
        await connection.client.publish("a.b", b"x")
        connection.client.send(b"PING\r\n")
        async with asyncio.timeout(90):
            await link.lost()
            await connection.linked()
        await works(connection)


async def test_a_flush_that_gave_up_does_no_harm(nats_url: str) -> None:
    async with Proxy(nats_url.removeprefix("nats://")) as proxy, connected(f"nats://{proxy.address}") as connection:
        link = connection.link
        proxy.hold()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connection.client.flush(), 0.05)
        proxy.release()
        await connection.client.flush()
        await works(connection)
        assert link.alive


async def test_if_reconnecting_itself_breaks_it_says_so(
    nats_server_factory: NatsServerFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_client: nats.aio.client.Client) -> None:
        raise KeyError("nobody thought of this")

    monkeypatch.setattr(nats.aio.client.Client, "_attempt_reconnect", broken)
    server = nats_server_factory()
    async with connected(server.url) as connection:
        server.kill()
        async with asyncio.timeout(90):
            assert "reconnecting to NATS broke: KeyError" in await connection.closed()
        with pytest.raises(nats.errors.ConnectionClosedError):
            await connection.linked()


async def test_closing_ends_who_waits_for_the_end(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        waiting = asyncio.ensure_future(connection.closed())
        await asyncio.sleep(0)
        assert not waiting.done()
    assert await waiting == "closed by us"


async def test_closing_takes_no_longer_for_a_silent_peer(nats_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "CLOSE_S", 0.2)
    async with (
        Proxy(nats_url.removeprefix("nats://")) as proxy,
        asyncio.timeout(90),
        connected(f"nats://{proxy.address}") as connection,
    ):
        proxy.hold()
        for _ in range(32):
            connection.client.send(b"PUB a.b 500000\r\n" + bytes(500_000) + b"\r\n")


async def test_connections_leave_no_descriptors_behind(nats_url: str) -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    async with connected(nats_url):
        pass
    before = open_files()
    for _ in range(5):
        async with connected(nats_url):
            pass
        await refusal("nats://127.0.0.1:1")
    await until(lambda: open_files() <= before)


# -- requests


async def test_a_request_is_answered(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        answer = await connection.request("$JS.API.INFO")
        assert b"account_info_response" in answer.data


async def test_a_request_that_nobody_takes_ends_at_once(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        with pytest.raises(nats.errors.NoRespondersError):
            await connection.request("a.b", timeout=90)


async def test_a_request_ends_with_the_connection(nats_url: str) -> None:
    async with connected(nats_url) as witness, Proxy(nats_url.removeprefix("nats://")) as proxy:
        heard = await witness.client.subscribe("a.b")
        await witness.client.flush()
        async with connected(f"nats://{proxy.address}") as connection:
            request = asyncio.ensure_future(connection.request("a.b", timeout=90))
            await heard.next_msg(timeout=90)
            await proxy.cut()
            with pytest.raises(LinkLost):
                await asyncio.wait_for(request, 90)


async def test_a_request_that_is_not_permitted_ends_at_once(nats_server_factory: NatsServerFactory) -> None:
    server = nats_server_factory(
        config='authorization { users: [{ user: u, password: p, permissions: { publish: { deny: "A.>" } } }] }'
    )
    async with connected(server.url, user="u", password="p") as connection:
        with pytest.raises(Denied, match=r"NATS does not permit this login to publish to A\.Bc"):
            await connection.request("A.Bc", timeout=90)


async def test_a_login_that_may_hear_no_answers_is_told_so(nats_server_factory: NatsServerFactory) -> None:
    server = nats_server_factory(
        config='authorization { users: [{ user: u, password: p, permissions: { subscribe: { deny: "_INBOX.>" } } }] }'
    )
    async with connected(server.url, user="u", password="p") as connection:
        with pytest.raises(Denied, match="subscribe to _INBOX"):
            await connection.request("$JS.API.INFO", timeout=90)


async def test_older_servers_are_talked_to_just_so(older_nats_server: NatsServer) -> None:
    async with connected(older_nats_server.url) as connection:
        link = connection.link
        older_nats_server.restart()
        await link.lost()
        await connection.linked()
        await works(connection)
