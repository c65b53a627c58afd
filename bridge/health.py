"""Whether the bridge does its work, for probes and for Prometheus: `/livez`, `/readyz`, `/metrics`.

`/livez` fails when only a restart helps: when a part of the bridge has ended that should not. `/readyz` fails while events
do not flow: while the subscription to containerd is not proven live, or while the log takes nothing. What the two mean for a
bridge is said by its `Progress`; here it is asked anew for each request, and is never waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Final, Protocol

import uvicorn
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp

from bridge.errors import ConfigError

__all__ = ["Progress", "Serving", "bind", "serve"]

log = logging.getLogger(__name__)

GRACE_S: Final = 1
"""Seconds that a stop leaves to the answers that are on their way."""


class Progress(Protocol):
    """What the bridge can say of itself at any moment, without waiting."""

    def alive(self) -> str | None:
        """Return None while there is no point in a restart, else one sentence that says which part has ended."""
        ...

    def ready(self) -> str | None:
        """Return None when events flow, else one sentence that says why they do not."""
        ...

    def metrics(self) -> Iterable[Metric]:
        """Return what is counted, as it is now."""
        ...


def bind(address: tuple[str, int]) -> socket.socket:
    """Return a socket that listens there, so that a taken port is known before anything else has begun.

    Raises:
        ConfigError: it cannot be had.
    """
    host, port = address
    if not host.isprintable():
        raise ConfigError(f"cannot serve HTTP on {host!r}: this is no host name; give another --http")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigError(f"cannot serve HTTP on {host}:{port}: {error.strerror}; give another --http") from error
    except ValueError as error:  # UnicodeError too: nothing that could be looked up
        raise ConfigError(f"cannot serve HTTP on {host!r}: this is no host name; give another --http") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise ConfigError(f"cannot serve HTTP on {host}:{port}: {error.strerror}; give another --http") from error
    listener.settimeout(0)
    return listener


class Serving:
    """The HTTP server while it serves."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task

    async def ended(self) -> str:
        """Wait until the server has ended by itself, and return why; it does not as long as all is well.

        Giving up the wait leaves the server as it is.
        """
        await asyncio.wait((self._task,))
        if self._task.cancelled():
            return "the HTTP server was cancelled"
        error = self._task.exception()
        return "the HTTP server has ended" if error is None else f"the HTTP server failed: {error}"


@contextlib.asynccontextmanager
async def serve(
    listener: socket.socket,
    progress: Progress,
    *,
    page: ASGIApp | None = None,
    ending: Callable[[], None] = lambda: None,
) -> AsyncIterator[Serving]:
    """Serve HTTP on `listener` until the context is left, which takes no longer than two seconds, whatever clients do.

    Args:
        listener: where.
        progress: what the probes and `/metrics` tell.
        page: what answers every other path.
        ending: called before the server stops, so that answers of `page` that would never end come to their end.
    """
    server = _Server(
        uvicorn.Config(
            _application(progress, page),
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=GRACE_S,
        )
    )
    task = asyncio.create_task(server.serve(sockets=[listener]), name="http")
    task.add_done_callback(_log_failure)
    try:
        yield Serving(task)
    finally:
        ending()
        server.should_exit = True
        try:
            await asyncio.wait((task,))
        finally:
            server.abandon()
            listener.close()


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("the HTTP server failed", exc_info=error)


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the daemon decides when to stop."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.servers = []  # nothing to abandon until it has started

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def abandon(self) -> None:
        """Close what is open still: after a server that failed everything, else the clients that do not read."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()


def _application(progress: Progress, page: ASGIApp | None) -> Starlette:
    registry = CollectorRegistry()
    registry.register(_Collector(progress.metrics))
    ProcessCollector(registry=registry)

    async def livez(_: Request) -> Response:
        return probe(progress.alive(), "not alive")

    async def readyz(_: Request) -> Response:
        return probe(progress.ready(), "not ready")

    def probe(reason: str | None, status: str) -> Response:
        if reason is None:
            return JSONResponse({"status": "ok"})
        return JSONResponse({"status": status, "reason": reason}, status_code=503)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type="text/plain; version=0.0.4; charset=utf-8")

    routes: list[BaseRoute] = [Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)]
    if page is not None:
        routes.append(Mount("/", app=page))
    return Starlette(routes=routes)


class _Collector(Collector):
    """Reads the figures when they are asked for: counting costs the event path nothing."""

    def __init__(self, metrics: Callable[[], Iterable[Metric]]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics()
