"""Whether the bridge does its work, for probes and for Prometheus: `/livez`, `/readyz`, `/metrics`.

`/livez` fails when the process should be restarted, `/readyz` while events do not flow: while the subscription to
containerd is not proven live, or while the log takes nothing. Both look at progress, not at the port.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Protocol

import uvicorn
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bridge.errors import ConfigError

__all__ = ["Progress", "bind", "serve"]


class Progress(Protocol):
    """What the bridge can say of itself at any moment, without waiting."""

    def ready(self) -> str | None:
        """Return None when events flow, else one sentence that says why they do not."""
        ...

    def gauges(self) -> Mapping[str, tuple[str, float]]:
        """Return name -> (what it is, value now)."""
        ...

    def counters(self) -> Mapping[str, tuple[str, float]]:
        """Return name -> (what it is, count since the start)."""
        ...


def bind(address: tuple[str, int]) -> socket.socket:
    """Return a socket that listens there, so that a taken port is known before anything else has begun.

    Raises:
        ConfigError: it cannot be had.
    """
    host, port = address
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigError(f"cannot serve HTTP on {host}:{port}: {error.strerror}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise ConfigError(f"cannot serve HTTP on {host}:{port}: {error.strerror}; give another --http") from error
    listener.settimeout(0)
    return listener


@contextlib.asynccontextmanager
async def serve(listener: socket.socket, progress: Progress) -> AsyncIterator[None]:
    """Serve HTTP on `listener` until the context is left."""
    server = _Server(
        uvicorn.Config(
            _application(progress), lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=2
        )
    )
    task = asyncio.create_task(server.serve(sockets=[listener]), name="http")
    try:
        yield
    finally:
        server.should_exit = True
        await task
        listener.close()


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the daemon decides when to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _application(progress: Progress) -> Starlette:
    registry = CollectorRegistry()
    registry.register(_Collector(progress.gauges, progress.counters))

    async def livez(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        reason = progress.ready()
        if reason is None:
            return JSONResponse({"status": "ok"})
        return JSONResponse({"status": "not ready", "reason": reason}, status_code=503)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type="text/plain; version=0.0.4; charset=utf-8")

    return Starlette(routes=[Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)])


class _Collector(Collector):
    """Reads the figures when they are asked for: counting costs the event path nothing."""

    def __init__(
        self,
        gauges: Callable[[], Mapping[str, tuple[str, float]]],
        counters: Callable[[], Mapping[str, tuple[str, float]]],
    ) -> None:
        self._gauges = gauges
        self._counters = counters

    def collect(self) -> Iterator[Metric]:
        for name, (text, value) in self._gauges().items():
            yield GaugeMetricFamily(f"containerd_bridge_{name}", text, value=value)
        for name, (text, value) in self._counters().items():
            yield CounterMetricFamily(f"containerd_bridge_{name}", text, value=value)
