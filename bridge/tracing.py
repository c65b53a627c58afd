"""Spans of commands, for an OpenTelemetry collector: the only module that knows OpenTelemetry's SDK.

Where the collector is, and what is sampled, its own environment variables say (`OTEL_EXPORTER_OTLP_ENDPOINT`,
`OTEL_TRACES_SAMPLER`, ...). A collector that is away costs spans and nothing else: they wait in a queue of the SDK's, and are
dropped when that is full; no command waits, and the log says it once. At the end what is left is sent, as long as there is time.

A command is one span, from its receipt to its outcome, a child of its sender's; beneath it are its steps (`bridge.trace.step`)
and how long its events take to the log. Names and attributes follow OpenTelemetry's semantic conventions where these have any.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from typing import Any, Final

import bridge
from bridge import trace
from bridge.errors import ConfigError
from bridge.model.outcomes import Outcome
from bridge.ports.commands import CommandRequest
from bridge.ports.tracing import CommandSpan

try:
    from opentelemetry import trace as otel
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError as missing:
    raise ConfigError(
        f"traces need OpenTelemetry ({missing}): pip install 'containerd-bridge[otel]', or leave --traces out"
    ) from missing

__all__ = ["CommandTraces", "tracing"]

log = logging.getLogger(__name__)

FLUSH_S: Final = 2.0
"""Part of the time for a stop that sending the last spans may take."""

MARGIN_S: Final = 1.0
"""What the rest of a stop is left."""

_KINDS: Final = {"request": otel.SpanKind.SERVER, "job": otel.SpanKind.CONSUMER}
_propagator: Final = TraceContextTextMapPropagator()


@asynccontextmanager
async def tracing(
    node: str, stored: Callable[[], Awaitable[None]], time_left: Callable[[], float]
) -> AsyncIterator[CommandTraces]:
    """Make spans while the context lasts.

    Args:
        node: this node's name.
        stored: waits until all events that were handed over so far are in the log.
        time_left: seconds that a stop has left.

    Raises:
        ConfigError: the environment asks for what is not here.
    """
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if protocol not in {None, "", "http/protobuf"}:
        raise ConfigError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}, which is not supported: unset it, or give http/protobuf"
        )
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # `_Sayer` says it, once
    try:
        processor = BatchSpanProcessor(_Sayer(OTLPSpanExporter()))
    except ValueError as error:
        raise ConfigError(f"an environment variable of OpenTelemetry's (OTEL_*) is wrong: {error}") from error
    provider = TracerProvider(resource=_resource(node), shutdown_on_exit=False)
    provider.add_span_processor(processor)
    traces = CommandTraces(provider, node, stored)
    try:
        yield traces
    finally:
        await traces.finish()
        await _in_time(provider.shutdown, min(FLUSH_S, max(0.0, time_left() - MARGIN_S)))


def _resource(node: str) -> Resource:
    # What the environment says stands, so ours go in front of it.
    own = {"service.name": "containerd-bridge", "service.instance.id": node}
    resource = Resource.create()
    named = {name: value for name, value in resource.attributes.items() if not str(value).startswith("unknown_service")}
    return Resource({**own, "service.version": bridge.__version__, **named})


async def _in_time(work: Callable[[], Any], seconds: float) -> None:
    """Do something that blocks, and go on without it after so long: its thread is no reason for Python to stay."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def run() -> None:
        with suppress(Exception):
            work()
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=run, name="traces", daemon=True).start()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await done.wait()


class _Sayer(SpanExporter):
    """An exporter that says once when nothing can be sent any more, and when it can again."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._fails = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans; called in a thread of the SDK's."""
        try:
            result = self._exporter.export(spans)
        except Exception as error:  # noqa: BLE001 - whatever it is, spans are not worth more than a line
            log.debug("traces: %s", error)
            result = SpanExportResult.FAILURE
        fails = result is not SpanExportResult.SUCCESS
        if fails and not self._fails:
            log.warning("traces are lost: the collector does not take them (OTEL_EXPORTER_OTLP_ENDPOINT)")
        elif self._fails and not fails:
            log.info("the collector takes traces again")
        self._fails = fails
        return result

    def shutdown(self) -> None:
        """Close it."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what it holds."""
        return self._exporter.force_flush(timeout_millis)


class CommandTraces:
    """Implements `bridge.ports.tracing.Traces`."""

    def __init__(self, provider: Any, node: str, stored: Callable[[], Awaitable[None]]) -> None:
        """Take what makes spans, whose commands these are, and what waits until their events are in the log."""
        self._tracer: otel.Tracer = provider.get_tracer("containerd-bridge", bridge.__version__)
        self._node = node
        self._stored = stored
        self._storing: set[asyncio.Task[None]] = set()

    @contextmanager
    def command(self, request: CommandRequest) -> Iterator[CommandSpan]:
        """Be with a command; see `Traces`."""
        headers = trace.said(request.headers)
        said = {name: value for name, value in ((trace.PARENT, headers.parent), (trace.STATE, headers.state)) if value}
        subject = request.subject
        attributes = {
            "messaging.system": "nats",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": subject.verb,
            "containerd.node": self._node,
            "containerd.namespace": subject.namespace or "",
            "container.id": subject.container or "",
        }
        span = self._tracer.start_span(
            f"process {subject.verb}",
            context=_propagator.extract(said),
            kind=_KINDS[request.via],
            attributes={name: value for name, value in attributes.items() if value},
        )
        made = _Command(self, span)
        try:
            with trace.under(made):
                yield made
        finally:
            span.end()

    def storing(self, span: otel.Span) -> None:
        """Have a span end when what was handed over until now is in the log."""
        task = asyncio.create_task(self._until_stored(span))
        self._storing.add(task)
        task.add_done_callback(self._storing.discard)

    async def _until_stored(self, span: otel.Span) -> None:
        try:
            await self._stored()
        except asyncio.CancelledError:
            span.set_attribute("error.type", "unavailable")  # it waits in the outbox, and comes with the next start
            raise
        finally:
            span.end()

    async def finish(self) -> None:
        """End what is still open."""
        for task in self._storing:
            task.cancel()
        await asyncio.gather(*self._storing, return_exceptions=True)

    def step(self, name: str, parent: otel.Span, kind: otel.SpanKind, attributes: dict[str, str]) -> otel.Span:
        """Begin a span beneath another one."""
        context = otel.set_span_in_context(parent)
        return self._tracer.start_span(name, context=context, kind=kind, attributes=attributes)


class _Command(trace.Trace):
    """One command's trace, and its span."""

    def __init__(self, traces: CommandTraces, span: otel.Span) -> None:
        headers: dict[str, str] = {}
        _propagator.inject(headers, otel.set_span_in_context(span))
        super().__init__(headers.get(trace.PARENT), headers.get(trace.STATE))
        self._traces = traces
        self._span = span

    def step(self, name: str, **attributes: str) -> AbstractContextManager[None]:
        """Be on a step; see `bridge.trace.step`."""
        return self._step(name, attributes)

    @contextmanager
    def _step(self, name: str, attributes: dict[str, str]) -> Iterator[None]:
        calls = name.startswith("containerd ")
        kind = otel.SpanKind.CLIENT if calls else otel.SpanKind.INTERNAL
        named = {f"containerd_bridge.{key}": value for key, value in attributes.items()}
        span = self._traces.step(name, self._span, kind, {"rpc.system": "grpc", **named} if calls else named)
        try:
            yield
        except BaseException as error:
            span.set_attribute("error.type", _kind_of(error))
            span.set_status(otel.StatusCode.ERROR)
            raise
        finally:
            span.end()

    def ended(self, outcome: Outcome) -> None:
        """Tell what came of it; see `CommandSpan`."""
        self._span.set_attribute("messaging.message.id", outcome.id)
        self._span.set_attribute("containerd_bridge.outcome", outcome.outcome)
        if outcome.error is not None:
            self._span.set_attribute("error.type", outcome.error.code)
            self._span.set_status(otel.StatusCode.ERROR, outcome.error.code)
        attributes = {
            "messaging.system": "nats",
            "messaging.operation.name": "publish",
            "messaging.operation.type": "send",
        }
        self._traces.storing(self._traces.step("publish events", self._span, otel.SpanKind.PRODUCER, attributes))


def _kind_of(error: BaseException) -> str:
    """Return the code of an error, ours or gRPC's, else its class."""
    code = getattr(error, "code", None)
    if isinstance(code, str):
        return code
    return str(code().name) if callable(code) else type(error).__name__
