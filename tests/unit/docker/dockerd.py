"""A dockerd in memory: as much of the API as is asked for, over a Unix socket, with answers as the real one gives them."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit


class Dockerd:
    """Containers and events; a context manager that listens."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.containers: dict[str, dict[str, Any]] = {}
        self.requests: list[str] = []
        self.silent = False
        """Whether it takes requests and never answers."""
        self.garbage = b""
        """What it answers with instead."""
        self.listened = asyncio.Event()
        """Set while somebody listens to its events."""
        self._listeners: set[asyncio.StreamWriter] = set()
        self._open: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._serve, self.socket)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in [*self._open]:
            writer.close()
        await self._server.wait_closed()
        self.socket.unlink(missing_ok=True)

    def has(self, container: str, name: str, *, health: str = "", status: str = "running", **labels: str) -> None:
        self.containers[container] = {"name": name, "health": health, "status": status, "labels": labels}

    def tell(self, container: str, action: str, *, at: int = 7) -> None:
        """Send an event to whoever listens."""
        line = json.dumps({"Type": "container", "Action": action, "Actor": {"ID": container}, "timeNano": at}).encode()
        for writer in self._listeners:
            writer.write(b"%x\r\n%s\n\r\n" % (len(line) + 1, line))

    def hang_up(self) -> None:
        """End the streams of events, as at its end."""
        for writer in [*self._listeners]:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.requests.append(head.split("\r\n")[0])
            await self._answer(urlsplit(head.split(" ")[1]), reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open.discard(writer)
            self._listeners.discard(writer)
            if not self._listeners:
                self.listened.clear()
            writer.close()

    async def _answer(self, target: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        filters = json.loads(parse_qs(target.query).get("filters", ["{}"])[0])
        if self.silent:
            await reader.read()
        elif self.garbage:
            writer.write(self.garbage)
        elif target.path == "/events":
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            self._listeners.add(writer)
            self.listened.set()
            with suppress(ConnectionError):
                await reader.read()
        elif target.path == "/containers/json":
            body = json.dumps(
                [one for key in self.containers if (one := self._listed(key, filters)) is not None]
            ).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        else:
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    def _listed(self, key: str, filters: dict[str, list[str]]) -> dict[str, Any] | None:
        one = self.containers[key]
        wanted = (("id", key), ("health", one["health"] or "none"), ("status", one["status"]))
        if any(name in filters and value not in filters[name] for name, value in wanted):
            return None
        names = [f"/other/{one['name']}", f"/{one['name']}"]
        return {"Id": key, "Names": names, "Image": "nginx:1", "Labels": one["labels"] or None, "State": one["status"]}
