"""A network that breaks when told to: a relay in front of a TCP port or a Unix socket.

It runs in the test's own event loop, so what a test does between two awaits happens to the network at one instant.
"""

import asyncio
import contextlib
import shutil
import socket
import struct
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from tests.testbed.ports import port_of, reserved

Direction = Literal["to_server", "to_client"]
BOTH: tuple[Direction, ...] = ("to_server", "to_client")

CHUNK = 64 * 1024
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER for no time: close() sends RST and forgets what is unsent


class Proxy:
    """A relay to `target`, "host:port" or the path of a Unix socket; it listens on the same kind of address.

    An async context manager. As long as nothing is said it passes every byte on. A server that refuses connections
    looks through it like one that accepts and resets; use `refuse` for the other.
    """

    def __init__(self, target: str | Path) -> None:
        self.target = str(target)
        self.accepted = 0  # connections so far
        self.relayed: dict[Direction, int] = dict.fromkeys(BOTH, 0)  # bytes so far
        self._gates: dict[Direction, asyncio.Event] = {direction: asyncio.Event() for direction in BOTH}
        self._cut_at: dict[Direction, int] = {}
        self._latency_s = 0.0
        self._bytes_per_s: float | None = None
        self._links: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._place: socket.socket | None = None
        self._directory: Path | None = None

    async def __aenter__(self) -> Self:
        if self._to_unix:
            self._directory = Path(tempfile.mkdtemp(prefix="cb-proxy-", dir="/tmp"))
        else:
            self._place = reserved()
        self.release()
        await self.accept()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.refuse()
        if self._place is not None:
            self._place.close()
        if self._directory is not None:
            shutil.rmtree(self._directory)

    @property
    def address(self) -> str:
        """Where it listens: "127.0.0.1:port", or the path of a socket; the same through `refuse` and `accept`."""
        return str(self._directory / "socket") if self._directory is not None else f"127.0.0.1:{self._port}"

    @property
    def _port(self) -> int:
        assert self._place is not None
        return port_of(self._place)

    @property
    def connections(self) -> int:
        """How many connections stand now."""
        return len(self._links)

    # -- what can happen to a network -------------------------------------------------------------------------------

    async def cut(self) -> None:
        """Reset every connection that stands; new ones are welcome."""
        links = list(self._links)
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    def cut_after(self, bytes_more: int, direction: Direction) -> None:
        """Cut, once, when `bytes_more` further bytes have passed in this direction: in the midst of a message, say."""
        self._cut_at[direction] = self.relayed[direction] + bytes_more

    async def refuse(self) -> None:
        """Cut, and refuse new connections until `accept`."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        await self.cut()
        if server is not None:
            await server.wait_closed()

    async def accept(self) -> None:
        """Listen again, at the same address."""
        if self._directory is not None:
            self._server = await asyncio.start_unix_server(self._serve, self._directory / "socket")
        else:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)

    @contextlib.asynccontextmanager
    async def refusing(self) -> AsyncIterator[None]:
        """`refuse` for the length of the block."""
        await self.refuse()
        try:
            yield
        finally:
            await self.accept()

    def hold(self, *directions: Direction) -> None:
        """Let nothing pass, not even the end of a connection, until `release`; both directions if none is named.

        Connections stay open and are accepted: a partition. With the server killed meanwhile: a half-open connection.
        """
        for direction in directions or BOTH:
            self._gates[direction].clear()

    def release(self) -> None:
        """Let pass what was held."""
        for gate in self._gates.values():
            gate.set()

    def slow(self, *, latency_s: float = 0.0, bytes_per_s: float | None = None) -> None:
        """From now on take so long, in each direction; without arguments: be quick again.

        A connection waits for the latency after every 64 KiB at the latest, as one does whose window is so small.
        """
        self._latency_s = latency_s
        self._bytes_per_s = bytes_per_s

    # -- relaying ---------------------------------------------------------------------------------------------------

    @property
    def _to_unix(self) -> bool:
        return "/" in self.target

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection. asyncio's server keeps no hold of its tasks and reports their cancellation: ours does not."""
        link = asyncio.create_task(self._relay(reader, writer))
        self.accepted += 1
        self._links.add(link)
        link.add_done_callback(self._links.discard)
        link.add_done_callback(
            lambda _: _reset(writer)
        )  # a task that is cancelled before its first step closes nothing

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.ExitStack() as closing:
            closing.callback(_reset, writer)
            try:
                server_reader, server_writer = await self._connect()
            except OSError:
                return
            closing.callback(_reset, server_writer)
            pumps = [
                asyncio.create_task(self._pump(reader, server_writer, "to_server")),
                asyncio.create_task(self._pump(server_reader, writer, "to_client")),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._to_unix:
            return await asyncio.open_unix_connection(self.target)
        host, _, port = self.target.rpartition(":")
        return await asyncio.open_connection(host, int(port))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction) -> None:
        """Pass bytes on until either end closes; what was read before the end still arrives."""
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                delay = self._latency_s + (len(data) / self._bytes_per_s if self._bytes_per_s else 0.0)
                if delay:
                    await asyncio.sleep(delay)
                await self._gates[direction].wait()
                cut_at = self._cut_at.get(direction)
                if cut_at is not None and self.relayed[direction] + len(data) >= cut_at:
                    del self._cut_at[direction]
                    await self._pass_on(data[: cut_at - self.relayed[direction]], writer, direction)
                    for link in self._links:
                        link.cancel()
                    return
                await self._pass_on(data, writer, direction)
            await self._gates[direction].wait()
            writer.close()
            await writer.wait_closed()

    async def _pass_on(self, data: bytes, writer: asyncio.StreamWriter, direction: Direction) -> None:
        self.relayed[direction] += len(data)
        writer.write(data)
        await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close at once; a peer that still had bytes to come sees a reset."""
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.family != socket.AF_UNIX and not writer.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    writer.transport.abort()
