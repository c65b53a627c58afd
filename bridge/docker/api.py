"""Docker Engine's API on its Unix socket: one GET, or one GET whose answer is a stream.

There is no way here to send anything else, so what is done with the socket can be seen in one file. Messages are read by h11,
which uvicorn brings along; each request has a connection of its own, as they are few.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import h11
import msgspec

from bridge.errors import EngineLost

__all__ = ["DockerApi"]

ANSWER_S: Final = 10.0
"""An answer that takes longer will not come: a list of a thousand containers takes 0.1 s."""

PIECE: Final = 1 << 16

MAX_LINE: Final = 1 << 20
"""The longest event: labels may be many."""


class DockerApi:
    """dockerd, by the path of its socket."""

    def __init__(self, socket: Path) -> None:
        """Take the socket. It need not be there."""
        self._socket = socket

    async def get(self, path: str, parameters: Mapping[str, str]) -> Any:
        """Return the answer to one request, decoded.

        Raises:
            EngineLost: there is none, or it is a refusal.
        """
        try:
            async with asyncio.timeout(ANSWER_S), self._answer(path, parameters) as pieces:
                return msgspec.json.decode(b"".join([piece async for piece in pieces]))
        except TimeoutError as error:
            raise EngineLost(f"dockerd at {self._socket} does not answer within {ANSWER_S:.0f} s") from error
        except msgspec.DecodeError as error:
            raise EngineLost(f"dockerd at {self._socket} answers with something else than JSON: {error}") from error

    @asynccontextmanager
    async def lines(self, path: str, parameters: Mapping[str, str]) -> AsyncIterator[AsyncGenerator[bytes, None]]:
        """Open a stream of lines. When the block begins, dockerd has answered: what happens from then on is in it.

        Raises:
            EngineLost: on entering, or while reading, which never ends otherwise.
        """
        async with self._answer(path, parameters) as pieces, aclosing(self._split(pieces)) as lines:
            yield lines

    # -- inside

    async def _split(self, pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        rest = b""
        async for piece in pieces:
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                if line.strip():
                    yield line
            if len(rest) > MAX_LINE:
                raise EngineLost(f"dockerd at {self._socket} sends an event of more than {MAX_LINE} bytes")
        raise EngineLost(f"the events of dockerd at {self._socket} have ended")

    @asynccontextmanager
    async def _answer(self, path: str, parameters: Mapping[str, str]) -> AsyncIterator[AsyncGenerator[bytes, None]]:
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(ANSWER_S):
                reader, writer = await asyncio.open_unix_connection(self._socket)
                connection = h11.Connection(h11.CLIENT)
                target = f"{path}?{urlencode(parameters)}"
                head = h11.Request(method="GET", target=target, headers=[("Host", "docker"), ("Connection", "close")])
                writer.write(connection.send(head) + connection.send(h11.EndOfMessage()))
                answer = await _next(connection, reader)
            if not isinstance(answer, h11.Response) or answer.status_code != 200:
                status = getattr(answer, "status_code", "nothing")
                raise EngineLost(f"dockerd at {self._socket} answers {status} to GET {path}")
            async with aclosing(self._body(connection, reader)) as body:
                yield body
        except TimeoutError as error:
            raise EngineLost(f"dockerd at {self._socket} does not answer within {ANSWER_S:.0f} s") from error
        except OSError as error:
            raise EngineLost(f"dockerd at {self._socket} cannot be reached: {error.strerror or error}") from error
        except h11.ProtocolError as error:
            raise EngineLost(f"what answers at {self._socket} is no dockerd: {error}") from error
        finally:
            if writer is not None:
                writer.close()

    async def _body(self, connection: h11.Connection, reader: asyncio.StreamReader) -> AsyncGenerator[bytes, None]:
        while True:
            try:
                event = await _next(connection, reader)
            except h11.RemoteProtocolError as error:
                raise EngineLost(f"dockerd at {self._socket} has hung up: {error}") from error
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return
            else:
                raise EngineLost(f"dockerd at {self._socket} has hung up")


async def _next(connection: h11.Connection, reader: asyncio.StreamReader) -> Any:
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(await reader.read(PIECE))
    return event
