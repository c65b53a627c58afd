"""The page's addresses: its files, one stream of what happens, what was, and commands; an ASGI application behind its door."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from msgspec import Struct
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

import bridge
from bridge.client import BadEnvelope, Bus, CommandFailed, LogError
from bridge.model.codec import decode_as, encode_any
from bridge.page.actions import VERBS, Actions, Asked, Ending
from bridge.page.door import Door
from bridge.page.execution import Executions, Wanted
from bridge.page.feed import Feed
from bridge.page.files import files
from bridge.page.past import Past

__all__ = ["Page", "page"]

T = TypeVar("T", bound=Struct)

LARGEST: Final = 64 << 10
"""Bytes of a request's body: a command line has room in it."""

BROWSERS: Final = 64
"""Streams at a time. Each costs a connection and no queue; without a limit a loop in a script could take all descriptors."""

CONTAINER: Final = "/containers/{node:str}/{namespace:str}/{container:str}"


class Page:
    """The application. Call `end` before its server is stopped: streams would not end by themselves."""

    def __init__(self, bus: Bus, door: Door, *, nodes: Sequence[str] = (), namespaces: Sequence[str] = ()) -> None:
        """Take the bus, the door, and whose containers are shown: all unless some nodes or namespaces are named."""
        self.feed = Feed(bus, nodes=nodes, namespaces=namespaces)
        self._past = Past(bus, nodes=nodes, namespaces=namespaces)
        self._actions = Actions(bus)
        self._executions = Executions()
        self._door = door
        self._shown = {"nodes": list(nodes), "namespaces": list(namespaces)}
        self._application = door.guard(self._routes())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await self._application(scope, receive, send)

    def end(self) -> None:
        """Let the streams of all browsers come to their end."""
        self.feed.end()

    def _routes(self) -> ASGIApp:
        api = [
            Route("/session", self._enter, methods=["POST"]),
            Route("/session", self._leave, methods=["DELETE"]),
            Route("/about", self._about),
            Route("/stream", self._stream),
            Route("/extent", self._extent),
            Route("/states", self._states),
            Route(f"{CONTAINER}/history", self._history),
            Route(f"{CONTAINER}/state", self._state),
            Route(f"{CONTAINER}/actions", self._choices, methods=["POST"]),
            Route(f"{CONTAINER}/actions/{{verb:str}}", self._act, methods=["POST"]),
            Route(f"{CONTAINER}/exec", self._exec, methods=["POST"]),
            Route("/executions/{id:str}", self._cancel, methods=["DELETE"]),
        ]
        failures: dict[Any, Any] = {
            ValueError: _refused(400),
            BadEnvelope: _refused(400),
            LogError: _refused(503),
            CommandFailed: _failed,
        }
        return Starlette(routes=[Mount("/api", routes=api), *files()], exception_handlers=failures)

    def _place(self, request: Request) -> tuple[str, str, str]:
        node, namespace, container = (request.path_params[name] for name in ("node", "namespace", "container"))
        for name, chosen in ((node, self._shown["nodes"]), (namespace, self._shown["namespaces"])):
            if chosen and name not in chosen:
                raise ValueError(f"this page does not show {name!r}, only {', '.join(chosen)}")
        return node, namespace, container

    # -- being let in

    async def _enter(self, request: Request) -> Response:
        secure = request.url.scheme == "https"
        return Response(status_code=204, headers={"Set-Cookie": self._door.session_cookie(secure=secure)})

    async def _leave(self, _: Request) -> Response:
        return Response(status_code=204, headers={"Set-Cookie": self._door.farewell_cookie()})

    async def _about(self, _: Request) -> Response:
        return _json({"version": bridge.__version__, "verbs": list(VERBS), **self._shown})

    # -- looking

    async def _stream(self, request: Request) -> Response:
        if self.feed.viewers >= BROWSERS:
            return _json({"error": f"{BROWSERS} browsers look already: close one"}, status=503)
        frames = self.feed.read(request.headers.get("last-event-id"))
        return StreamingResponse(frames, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    async def _extent(self, _: Request) -> Response:
        return _json(await self._past.extent())

    async def _states(self, request: Request) -> Response:
        return _json({"rows": await self._past.states(_point(request))})

    async def _history(self, request: Request) -> Response:
        return _json(await self._past.history(*self._place(request)))

    async def _state(self, request: Request) -> Response:
        return _json({"row": await self._past.state(*self._place(request), _point(request))})

    # -- acting

    async def _choices(self, request: Request) -> Response:
        return _json({"choices": await self._actions.choices(await self._actions.container(*self._place(request)))})

    async def _act(self, request: Request) -> Response:
        asked = await _body(request, Asked)
        verb = request.path_params["verb"]
        if verb == "exec" or not asked.id:
            raise ValueError("an action has a verb, which is not exec, and an id")
        target = await self._actions.container(*self._place(request))
        return _json(await self._actions.carry_out(target, verb, asked))

    async def _exec(self, request: Request) -> Response:
        wanted = await _body(request, Wanted)
        wanted.words()
        target = await self._actions.container(*self._place(request))
        return StreamingResponse(self._executions.run(target, wanted), media_type="application/x-ndjson")

    async def _cancel(self, request: Request) -> Response:
        await self._executions.cancel(request.path_params["id"], force=request.query_params.get("force") == "true")
        return Response(status_code=204)


@asynccontextmanager
async def page(
    bus: Bus, door: Door, *, nodes: Sequence[str] = (), namespaces: Sequence[str] = ()
) -> AsyncIterator[Page]:
    """Have the page over a bus while the context lasts."""
    application = Page(bus, door, nodes=nodes, namespaces=namespaces)
    feeding = asyncio.create_task(application.feed.run(), name="page")
    try:
        yield application
    finally:
        application.end()
        feeding.cancel()
        await asyncio.wait((feeding,))


def _point(request: Request) -> str:
    point = request.query_params.get("at", "")
    if not point:
        raise ValueError("at is missing: give a time, how long ago, or a stream sequence number")
    return point


async def _body(request: Request, kind: type[T]) -> T:
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise ValueError("the body is no JSON: send Content-Type: application/json")
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > LARGEST:
            raise ValueError(f"the body has more than {LARGEST} bytes")
    return decode_as(body, kind)


def _json(value: Any, *, status: int = 200) -> Response:
    return Response(encode_any(value), status_code=status, media_type="application/json")


def _refused(status: int) -> Any:
    async def answer(_: Request, error: Exception) -> Response:
        return _json({"error": str(error)}, status=status)

    return answer


async def _failed(_: Request, error: Exception) -> Response:
    assert isinstance(error, CommandFailed)
    return _json(Ending(code=error.code, message=str(error)), status=409)
