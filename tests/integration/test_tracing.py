"""Traces from command to event: a real bridge tells an OTLP receiver, and the program that commands it has spans of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from os import environ
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from bridge.client import CommandFailed, NatsConfig, Sending, connect, sync
from tests.fix_bridge import UNHURRIED, WITHIN_S, Bridge, BridgeFactory, Stored, stored
from tests.pages import blocks
from tests.testbed import Ctr
from tests.testbed.ports import port_of, reserved

CLAIMED = blocks("docs/tracing.md", "python")
ENDLESS = ("sh", "-c", "trap 'exit 0' TERM; while true; do sleep 0.1; done")
SERVER, CONSUMER, CLIENT, PRODUCER = 2, 5, 3, 4
"""Kinds of spans, as OTLP numbers them."""


class Span(NamedTuple):
    """A span as a collector gets it."""

    name: str
    kind: int
    trace: str
    id: str
    parent: str
    attributes: dict[str, str]
    failed: bool


class Collector:
    """An OTLP receiver over HTTP, of which `spans` are what it got."""

    def __init__(self, port: int = 0) -> None:
        self.spans: list[Span] = []
        self.services: set[str] = set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/traces"
                outer._take(ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def open(self) -> Iterator[Collector]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def _take(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            self.services |= {
                one.value.string_value for one in resource.resource.attributes if one.key == "service.name"
            }
            for scope in resource.scope_spans:
                self.spans += [
                    Span(
                        span.name,
                        span.kind,
                        span.trace_id.hex(),
                        span.span_id.hex(),
                        span.parent_span_id.hex(),
                        {one.key: one.value.string_value for one in span.attributes},
                        span.status.code == span.status.STATUS_CODE_ERROR,
                    )
                    for span in scope.spans
                ]

    def until(self, wanted: Callable[[Span], bool]) -> Span:
        """Wait for a span; return it."""
        deadline = time.monotonic() + WITHIN_S
        while True:
            for span in list(self.spans):
                if wanted(span):
                    return span
            assert time.monotonic() < deadline, [span.name for span in self.spans]
            time.sleep(0.02)

    def of(self, trace: str, name: str) -> Span:
        """Wait for the span of this name in a trace."""
        return self.until(lambda span: (span.trace, span.name) == (trace, name))


class Program:
    """A program with OpenTelemetry of its own, whose spans stay in memory."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("program")

    @contextmanager
    def span(self, name: str) -> Iterator[tuple[str, str]]:
        """Be in a span; of which trace, and its id."""
        with self.tracer.start_as_current_span(name) as span:
            context = span.get_span_context()
            yield f"{context.trace_id:032x}", f"{context.span_id:016x}"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector().open() as receiver:
        yield receiver


Start = Callable[..., Bridge]


@pytest.fixture
def start(bridge_factory: BridgeFactory, ctr: Ctr, nats_url: str, tmp_path: Path) -> Start:
    """`start(url, OTEL_...="...")`: a live bridge that tells a collector."""

    def begin(url: str, **variables: str) -> Bridge:
        bridge = bridge_factory(
            *("--containerd", ctr.host.address, "--nats", nats_url, "--node", "n1", "--state-dir", tmp_path / "state"),
            *("--commands", "all", "--fifo-dir", ctr.host.fifo_dir, "--traces"),
            environ={**environ, "OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "50", **variables},
            program=UNHURRIED,
        )
        bridge.live()
        return bridge

    return begin


def told(url: str, ctr: Ctr, verb: str) -> list[Stored]:
    """The events of a verb's command."""
    found = stored(url, f"containerd.events.n1.{ctr.namespace}.*.command")
    return [one for one in found if one.data["verb"] == verb]


async def test_one_trace_leads_from_a_program_to_the_events_of_its_commands(
    start: Start, collector: Collector, ctr: Ctr, nats_url: str
) -> None:
    start(collector.url)
    ctr.run("web.1", *ENDLESS, detach=True)
    at, program = {"namespace": ctr.namespace}, Program()
    async with connect(nats_url) as bus:
        node = await bus.node("n1")
        with program.span("pause") as (trace, parent):
            await node.pause("web.1", **at)
        paused = collector.of(trace, "process pause")
        assert (paused.parent, paused.kind, paused.failed) == (parent, SERVER, False)
        assert paused.attributes["container.id"] == "web.1"
        for name, kind in (("queued", 1), ("policy", 1), ("containerd pause", CLIENT), ("publish events", PRODUCER)):
            step = collector.of(trace, name)
            assert (step.parent, step.kind) == (paused.id, kind)
        events = await asyncio.to_thread(told, nats_url, ctr, "pause")
        assert [one.event["traceparent"][3:52] for one in events] == [f"{trace}-{paused.id}"] * 2

        with program.span("resume as a job") as (trace, parent):
            await node.sending(Sending(durable=True, wait=True)).resume("web.1", **at)
        job = collector.of(trace, "process resume")
        assert (job.parent, job.kind) == (parent, CONSUMER)
        assert collector.of(trace, "containerd resume").parent == job.id

        with program.span("exec") as (trace, parent):
            await (await node.exec("web.1", ["true"], namespace=ctr.namespace)).wait()
        run = collector.of(trace, "process exec")
        assert run.parent == parent
        assert collector.of(trace, "publish events").parent == run.id

        with program.span("refused") as (trace, parent), pytest.raises(CommandFailed) as refused:
            await node.kill("web.1", namespace="moby")
        assert refused.value.code == "refused"
        kill = collector.of(trace, "process kill")
        assert (kill.parent, kill.failed, kill.attributes["error.type"]) == (parent, True, "refused")
    assert collector.services == {"containerd-bridge"}

    def script() -> tuple[str, str]:
        with sync.connect(nats_url) as bus, program.span("script") as place:
            bus.node("n1").pause("web.1", **at)
            bus.node("n1").resume("web.1", **at)
        return place

    trace, parent = await asyncio.to_thread(script)
    assert collector.of(trace, "process pause").parent == parent


async def test_a_reader_goes_on_with_the_trace_and_a_stop_sends_what_is_left(
    start: Start, collector: Collector, ctr: Ctr, nats_url: str
) -> None:
    bridge = start(collector.url, OTEL_BSP_SCHEDULE_DELAY="3600000")
    ctr.run("web.1", *ENDLESS, detach=True)
    [block] = CLAIMED
    program = Program()
    text = block.text.replace("nats://127.0.0.1:4222", nats_url).replace("trace.get_tracer", "provider.get_tracer")
    await asyncio.to_thread(exec, compile(text, str(block), "exec"), {"provider": program.provider})
    spans = {span.name: span for span in program.exporter.get_finished_spans()}
    trace = f"{spans['close the shop'].context.trace_id:032x}"
    assert await asyncio.to_thread(bridge.stop) == 0
    stop = collector.of(trace, "process stop")
    assert collector.of(trace, "publish events").parent == stop.id
    noted = spans["note it"]
    assert noted.parent is not None
    assert (f"{noted.context.trace_id:032x}", f"{noted.parent.span_id:016x}") == (trace, stop.id)


async def test_a_collector_that_takes_all_and_answers_nothing_holds_up_nobody(
    start: Start, ctr: Ctr, nats_url: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        await hold_up(start(f"http://127.0.0.1:{port_of(silent)}", OTEL_EXPORTER_OTLP_TIMEOUT="600"), ctr, nats_url)


async def hold_up(bridge: Bridge, ctr: Ctr, nats_url: str) -> None:
    """Have commands carried out, and the bridge stopped."""
    ctr.run("web.1", *ENDLESS, detach=True)
    async with connect(NatsConfig(url=nats_url)) as bus:
        node = await bus.node("n1")
        for _ in range(3):
            await node.pause("web.1", namespace=ctr.namespace)
            await node.resume("web.1", namespace=ctr.namespace)
    assert len(await asyncio.to_thread(told, nats_url, ctr, "pause")) == 6
    assert await asyncio.to_thread(bridge.stop) == 0
    assert not [line for line in bridge.log if "Traceback" in line]


async def test_of_a_collector_that_is_away_the_log_says_so_once(start: Start, ctr: Ctr, nats_url: str) -> None:
    with reserved() as nobody:
        bridge = start(f"http://127.0.0.1:{port_of(nobody)}", OTEL_EXPORTER_OTLP_TIMEOUT="1")
        async with connect(nats_url) as bus:
            ctr.run("web.1", *ENDLESS, detach=True)
            node = await bus.node("n1")
            await node.pause("web.1", namespace=ctr.namespace)
            await asyncio.to_thread(bridge.until_logged, "traces are lost: the collector does not take them")
            await node.resume("web.1", namespace=ctr.namespace)
        assert await asyncio.to_thread(bridge.stop) == 0
    assert len([line for line in bridge.log if line.startswith("traces are lost")]) == 1


def test_a_protocol_that_is_not_here_is_said_at_the_start(ctr: Ctr, nats_url: str, tmp_path: Path) -> None:
    options = ("--containerd", ctr.host.address, "--nats", nats_url, "--state-dir", tmp_path / "state", "--node", "n1")
    fifos = ("--fifo-dir", ctr.host.fifo_dir)
    grpc = {**environ, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    with Bridge(*options, *fifos, "--commands", "observe", "--traces", environ=grpc) as bridge:
        assert bridge.process.wait(WITHIN_S) != 0
        bridge.until_ended()
        assert "OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc', which is not supported" in bridge.log[-1]
