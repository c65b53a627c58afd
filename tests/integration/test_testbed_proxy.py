"""The breakable network breaks in exactly the ways it says."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.testbed import Proxy

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo:
    """A server that sends back what it receives, and remembers it."""

    def __init__(self) -> None:
        self.received = bytearray()
        self._news = asyncio.Event()
        self.ended = asyncio.Event()  # a connection to it ended

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1000):
                self.received += data
                self._news.set()
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            self.ended.set()
            writer.close()

    async def hears(self, data: bytes) -> None:
        while bytes(self.received) != data:
            await self._news.wait()
            self._news.clear()


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[Proxy]:
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    async with Proxy(f"127.0.0.1:{server.sockets[0].getsockname()[1]}") as between:
        yield between
    server.close()


async def dial(proxy: Proxy) -> Streams:
    host, _, port = proxy.address.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def say(streams: Streams, data: bytes) -> bytes:
    """Send, and return as many bytes of answer."""
    reader, writer = streams
    writer.write(data)
    return await reader.readexactly(len(data))


async def test_it_passes_on_what_is_said_in_both_directions(proxy: Proxy) -> None:
    streams = await dial(proxy)
    assert await say(streams, b"hello") == b"hello"
    assert proxy.relayed == {"to_server": 5, "to_client": 5}
    streams[1].close()


async def test_a_cut_resets_the_connection_and_welcomes_the_next(proxy: Proxy) -> None:
    streams = await dial(proxy)
    await say(streams, b"hello")
    await proxy.cut()
    with pytest.raises(ConnectionResetError):
        await streams[0].read(1)
    again = await dial(proxy)
    assert await say(again, b"again") == b"again"
    again[1].close()


async def test_what_is_held_on_the_way_back_has_still_reached_the_server(proxy: Proxy, echo: Echo) -> None:
    reader, writer = await dial(proxy)
    proxy.hold("to_client")
    writer.write(b"held")
    await echo.hears(b"held")
    assert proxy.relayed["to_client"] == 0
    proxy.release()
    assert await reader.readexactly(4) == b"held"
    writer.close()


async def test_what_is_held_on_the_way_there_is_lost_by_a_cut(proxy: Proxy, echo: Echo) -> None:
    streams = await dial(proxy)
    await say(streams, b"heard")
    proxy.hold("to_server")
    streams[1].write(b"unheard")
    await streams[1].drain()
    await proxy.cut()
    proxy.release()
    await echo.ended.wait()
    assert bytes(echo.received) == b"heard"


async def test_a_cut_after_three_bytes_lets_three_bytes_through(proxy: Proxy, echo: Echo) -> None:
    _, writer = await dial(proxy)
    proxy.cut_after(3, "to_server")
    writer.write(b"abcdef")
    await echo.ended.wait()
    assert bytes(echo.received) == b"abc"


async def test_it_refuses_connections_for_the_length_of_a_block(proxy: Proxy) -> None:
    before = proxy.address
    async with proxy.refusing():
        with pytest.raises(ConnectionRefusedError):
            await dial(proxy)
    assert proxy.address == before
    streams = await dial(proxy)
    assert await say(streams, b"back") == b"back"
    streams[1].close()


async def test_a_server_that_is_not_there_looks_like_one_that_resets(proxy: Proxy) -> None:
    async with Proxy("127.0.0.1:1") as to_nobody:
        reader, _ = await dial(to_nobody)
        with pytest.raises(ConnectionResetError):
            await reader.read(1)


async def test_it_relays_a_unix_socket_as_well(echo: Echo, tmp_path: Path) -> None:
    path = tmp_path / "echo"
    server = await asyncio.start_unix_server(echo.serve, path)
    async with Proxy(path) as proxy:
        streams = await asyncio.open_unix_connection(proxy.address)
        assert await say(streams, b"hello") == b"hello"
        await proxy.cut()
        assert await streams[0].read(1) == b""
        streams[1].close()
    server.close()


async def test_a_slow_network_takes_its_time_in_each_direction(proxy: Proxy) -> None:
    streams = await dial(proxy)
    proxy.slow(latency_s=0.05, bytes_per_s=100_000)
    began = time.monotonic()
    assert await say(streams, b"x" * 10_000) == b"x" * 10_000
    assert time.monotonic() - began >= 2 * (0.05 + 0.1)
    proxy.slow()
    assert await say(streams, b"quick") == b"quick"
    streams[1].close()
