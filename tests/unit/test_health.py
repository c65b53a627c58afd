"""Probes and figures over HTTP, from a real socket: each says what the bridge says of itself at that moment."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Iterable

import httpx
import pytest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families

from bridge import health
from bridge.errors import ConfigError

STOPS_S = 60.0
"""Seconds that a stop may take whatever the clients do."""


class Told:
    """What a test says of the bridge."""

    def __init__(self) -> None:
        self.dead: str | None = None
        self.stuck: str | None = None
        self.text = "Events read and not committed yet."

    def alive(self) -> str | None:
        return self.dead

    def ready(self) -> str | None:
        return self.stuck

    def metrics(self) -> Iterable[Metric]:
        yield GaugeMetricFamily("containerd_bridge_inbox_waiting", self.text, value=3)
        yield GaugeMetricFamily("containerd_bridge_probe_round_trip_seconds", "The last probe's way.", value=0.25)
        yield CounterMetricFamily("containerd_bridge_gaps", "Times without a proven subscription.", value=2)


@pytest.fixture
def told() -> Told:
    return Told()


@contextlib.asynccontextmanager
async def served(told: Told) -> AsyncIterator[httpx.AsyncClient]:
    listener = health.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    async with (
        health.serve(listener, told),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        yield client


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_while_all_is_well_both_probes_pass(told: Told, path: str) -> None:
    async with served(told) as client:
        answer = await client.get(path)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_while_events_do_not_flow_readyz_says_why(told: Told) -> None:
    told.stuck = "NATS is not connected"
    async with served(told) as client:
        answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"status": "not ready", "reason": "NATS is not connected"})


async def test_a_bridge_that_is_not_ready_is_alive(told: Told) -> None:
    told.stuck = "NATS is not connected"
    async with served(told) as client:
        assert (await client.get("/livez")).status_code == 200


async def test_a_bridge_that_has_to_be_restarted_fails_livez_and_says_why(told: Told) -> None:
    told.dead = "the recorder's thread has ended"
    async with served(told) as client:
        answer = await client.get("/livez")
    assert (answer.status_code, answer.json()) == (
        503,
        {"status": "not alive", "reason": "the recorder's thread has ended"},
    )


async def test_a_probe_tells_of_the_moment_at_which_it_is_asked(told: Told) -> None:
    async with served(told) as client:
        before = (await client.get("/readyz")).status_code
        told.stuck = "the subscription to containerd is not proven live"
        after = (await client.get("/readyz")).status_code
    assert (before, after) == (200, 503)


async def test_the_figures_are_what_prometheus_reads(told: Told) -> None:
    async with served(told) as client:
        answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {
        family.name: family
        for family in text_string_to_metric_families(answer.text)
        if family.name.startswith("containerd_bridge_")
    }
    assert {name: (family.type, family.samples[0].value) for name, family in families.items()} == {
        "containerd_bridge_inbox_waiting": ("gauge", 3.0),
        "containerd_bridge_probe_round_trip_seconds": ("gauge", 0.25),
        "containerd_bridge_gaps": ("counter", 2.0),
    }
    assert families["containerd_bridge_inbox_waiting"].documentation == "Events read and not committed yet."


async def test_there_is_nothing_else(told: Told) -> None:
    async with served(told) as client:
        assert (await client.get("/")).status_code == 404


# -- the end


@pytest.mark.parametrize(
    "request_",
    [b"", b"GET /livez HTTP/1.1\r\nHost: x\r\n", b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"],
    ids=["says nothing", "does not finish its request", "does not read its answer"],
)
async def test_a_client_that_stays_does_not_hold_up_the_stop(told: Told, request_: bytes) -> None:
    told.text = "x" * 20_000_000  # more than the sockets' buffers take
    listener = health.bind(("127.0.0.1", 0))
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setblocking(False)
        async with health.serve(listener, told):
            await loop.sock_connect(client, listener.getsockname())
            await loop.sock_sendall(client, request_)
            if request_.endswith(b"\r\n\r\n"):
                assert await loop.sock_recv(client, 1) == b"H"  # the answer is on its way
            leaving = time.monotonic()
        assert time.monotonic() - leaving < STOPS_S


async def test_after_the_stop_nobody_listens(told: Told) -> None:
    async with served(told) as client:
        await client.get("/livez")
        address = client.base_url
    async with httpx.AsyncClient(trust_env=False) as late:
        with pytest.raises(httpx.ConnectError):
            await late.get(f"{address}/livez")


def server_task() -> asyncio.Task[object]:
    return next(task for task in asyncio.all_tasks() if task.get_name() == "http")


async def test_a_server_that_ends_by_itself_says_so(told: Told) -> None:
    async with health.serve(health.bind(("127.0.0.1", 0)), told) as serving:
        server_task().cancel()
        async with asyncio.timeout(90):
            assert await serving.ended() == "the HTTP server was cancelled"


async def test_a_server_that_fails_says_how_and_logs_it(
    told: Told, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def failing(*_: object) -> bool:
        raise OSError("out of descriptors")

    monkeypatch.setattr("uvicorn.Server.on_tick", failing)
    async with health.serve(health.bind(("127.0.0.1", 0)), told) as serving:
        async with asyncio.timeout(90):
            assert await serving.ended() == "the HTTP server failed: out of descriptors"
    assert "the HTTP server failed" in caplog.text


async def test_giving_up_the_watch_does_not_end_the_server(told: Told) -> None:
    listener = health.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/livez"
    async with health.serve(listener, told) as serving, httpx.AsyncClient(trust_env=False) as client:
        watch = asyncio.create_task(serving.ended())
        await client.get(url)
        watch.cancel()
        await asyncio.wait((watch,))
        assert (await client.get(url)).status_code == 200


# -- the address


@pytest.mark.parametrize(
    "host",
    ["a" * 70, "a..b", "a\0b", "fe80::1%nowhere", "192.0.2.1", "é" * 300],
    ids=["label too long", "empty label", "a NUL", "no such interface", "not this host's", "no ASCII"],
)
def test_a_host_that_cannot_be_served_is_one_sentence(host: str) -> None:
    with pytest.raises(ConfigError) as caught:
        health.bind((host, 9464))
    sentence = str(caught.value)
    assert "--http" in sentence
    assert sentence.isprintable()


def test_a_port_that_is_taken_is_named() -> None:
    with health.bind(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port}"):
            health.bind(("127.0.0.1", port))
