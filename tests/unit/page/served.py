"""The page over a bus in memory, behind a real HTTP server, and a client that may come in."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

import httpx

from bridge import health
from bridge.client import Bus
from bridge.page import Alone, Door, Page, page

TOKEN = "a-token-that-nobody-guesses"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class Served(NamedTuple):
    """The page, where it is, and a client without a token."""

    page: Page
    url: str
    client: httpx.AsyncClient

    async def get(self, path: str, **params: Any) -> Any:
        """What stands there, with the token."""
        answer = await self.client.get(f"/api/{path}", params=params, headers=BEARER)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """What comes back, with the token."""
        answer = await self.client.post(f"/api/{path}", json=body, headers=BEARER)
        return answer.json()


@contextlib.asynccontextmanager
async def served(bus: Bus, **options: Any) -> AsyncIterator[Served]:
    """Serve it, behind a door that knows `TOKEN`."""
    listener = health.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with (
        page(bus, Door(TOKEN), **options) as shown,
        health.serve(listener, Alone(shown), page=shown, ending=shown.end),
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client,
    ):
        yield Served(shown, url, client)


class Stream:
    """What a browser's EventSource would get: messages one after the other, and the id of the last one."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.aiter_lines()
        self.last: str | None = None

    async def next(self) -> tuple[str, Any]:
        """Wait for the next message."""
        kind, data = "", ""
        async for line in self._lines:
            name, _, value = line.partition(": ")
            match name:
                case "id":
                    self.last = value
                case "event":
                    kind = value
                case "data":
                    data = value
                case "" if kind:
                    return kind, json.loads(data)
                case _:
                    pass
        raise EOFError("the stream has ended")

    async def until(self, part: str, wanted: Any) -> Any:
        """Wait for a message one of whose entries under `part` is wanted; return that entry."""
        while True:
            _, message = await self.next()
            for entry in message.get(part, ()):
                if wanted(entry):
                    return entry


@contextlib.asynccontextmanager
async def stream(there: Served, last: str | None = None) -> AsyncIterator[Stream]:
    """Open the stream, as a browser that had `last` as its last message."""
    headers = BEARER | ({"Last-Event-ID": last} if last else {})
    async with there.client.stream("GET", "/api/stream", headers=headers) as answer:
        assert answer.status_code == 200
        yield Stream(answer)
