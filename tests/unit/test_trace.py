"""The trace of a command: what a sender says of it, and what of that goes on; spans are told to an exporter in memory."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Mapping

import pytest
from opentelemetry import trace as otel
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from bridge import trace
from bridge.control.dispatch import Dispatcher
from bridge.control.policy import Policy
from bridge.control.record import CommandRecord, observed
from bridge.model.commands import GROUPS
from bridge.model.outcomes import Outcome
from bridge.model.subjects import CommandSubject
from bridge.policy import NO_RULES
from bridge.policy.permissions import as_it_stands
from bridge.ports import CommandRequest, Observed
from bridge.ports.tracing import Traces
from bridge.tracing import CommandTraces
from tests.unit.control.small_runtime import SmallRuntime, SmallTask

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("headers", "parent", "state"),
    [
        ({}, None, None),
        ({"traceparent": PARENT}, PARENT, None),
        ({"Traceparent": PARENT, "tracestate": "a=1"}, PARENT, "a=1"),
        ({"traceparent": PARENT, "tracestate": "a=\x01"}, PARENT, None),
        ({"traceparent": PARENT, "tracestate": "a" * 600}, PARENT, None),
        ({"traceparent": PARENT.upper()}, None, None),
        ({"traceparent": f"{PARENT}\n"}, None, None),
        ({"traceparent": f"{PARENT}-more"}, None, None),
        ({"traceparent": PARENT.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32)}, None, None),
        ({"traceparent": PARENT.replace("b7ad6b7169203331", "0" * 16)}, None, None),
        ({"traceparent": f"ff{PARENT[2:]}"}, None, None),
        ({"tracestate": "a=1"}, None, None),
    ],
)
def test_what_headers_say(headers: Mapping[str, str], parent: str | None, state: str | None) -> None:
    found = trace.said(headers)
    assert (found.parent, found.state) == (parent, state)


def test_what_is_sent_belongs_to_the_command_that_is_carried_out() -> None:
    assert trace.carried() == {}
    with trace.under(trace.Trace(PARENT, "a=1")):
        assert trace.carried() == {"traceparent": PARENT, "tracestate": "a=1"}
    assert trace.carried() == {}


def test_what_is_sent_belongs_to_the_programs_own_span() -> None:
    with TracerProvider().get_tracer("program").start_as_current_span("work") as span:
        context = span.get_span_context()
        carried = trace.carried()
    assert list(carried) == ["traceparent"]
    assert carried["traceparent"].startswith(f"00-{context.trace_id:032x}-{context.span_id:016x}-")


@pytest.mark.parametrize("module", ["bridge.client", "bridge.commanding"])
def test_who_makes_no_spans_does_not_load_opentelemetry(module: str) -> None:
    script = f"import sys, {module}, bridge.trace; assert bridge.trace.carried() == {{}}; print([*sys.modules])"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "opentelemetry" not in ran.stdout


def test_without_the_extra_it_is_said_what_to_install() -> None:
    script = "import sys; sys.modules['opentelemetry'] = None; import bridge.tracing"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "ConfigError: traces need OpenTelemetry" in ran.stderr
    assert "pip install 'containerd-bridge[otel]'" in ran.stderr


class Told:
    """A dispatcher over a small runtime, and what it makes known."""

    def __init__(self, traces: Traces | None = None) -> None:
        self.events: list[Observed] = []
        runtime = SmallRuntime()
        runtime.add(task=SmallTask("running"))
        self.dispatcher = Dispatcher(
            "node",
            runtime,
            policy=Policy(groups=GROUPS, foreign=False, namespaces=(), book=NO_RULES, resolve=as_it_stands),
            record=CommandRecord(lambda *told: self.events.append(observed(*told))),
            traces=traces,
        )

    async def ask(self, verb: str, namespace: str = "default", *, said: str | None = PARENT) -> Outcome:
        subject = CommandSubject("node", namespace, "web.1", verb)
        headers = {} if said is None else {"traceparent": said}
        return await self.dispatcher.handle(CommandRequest(subject=subject, body=b"", headers=headers))


async def test_without_spans_events_carry_what_the_sender_said() -> None:
    told = Told()
    assert (await told.ask("kill")).outcome == "ok"
    assert [event.traceparent for event in told.events] == [PARENT, PARENT]
    await told.ask("pause", said="nonsense")
    assert [event.traceparent for event in told.events[2:]] == [None, None]
    assert trace.current() is trace.NONE


class Spans:
    """What makes spans, and those that have ended; `stored` lets the events of commands be in the log."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.stored = asyncio.Event()
        self.traces = CommandTraces(provider, "node", self._until_stored)

    async def _until_stored(self) -> None:
        await self.stored.wait()

    def named(self, name: str) -> ReadableSpan:
        [found] = [span for span in self.exporter.get_finished_spans() if span.name == name]
        return found


def parent_of(span: ReadableSpan) -> str:
    assert span.parent is not None
    return f"{span.parent.trace_id:032x}-{span.parent.span_id:016x}"


def context_of(span: ReadableSpan) -> str:
    return f"{span.context.trace_id:032x}-{span.context.span_id:016x}"


def contexts_of(events: list[Observed]) -> set[str]:
    return {(event.traceparent or "")[3:-3] for event in events}


async def test_a_command_is_a_span_of_its_senders_with_its_steps_beneath() -> None:
    spans = Spans()
    told = Told(spans.traces)
    assert (await told.ask("kill")).outcome == "ok"
    command = spans.named("process kill")
    assert parent_of(command) == PARENT[3:-3]
    assert command.kind is otel.SpanKind.SERVER
    assert command.attributes is not None
    assert dict(command.attributes) == {
        "messaging.system": "nats",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "kill",
        "messaging.message.id": command.attributes["messaging.message.id"],
        "containerd.node": "node",
        "containerd.namespace": "default",
        "container.id": "web.1",
        "containerd_bridge.outcome": "ok",
    }
    for step in ("queued", "policy"):
        assert parent_of(spans.named(step)) == context_of(command)
    assert contexts_of(told.events) == {context_of(command)}
    assert "publish events" not in {span.name for span in spans.exporter.get_finished_spans()}
    spans.stored.set()
    await spans.traces.finish()


async def test_the_way_of_its_events_into_the_log_is_a_span_too() -> None:
    spans = Spans()
    await Told(spans.traces).ask("kill")
    spans.stored.set()
    async with asyncio.timeout(90):
        while "publish events" not in {span.name for span in spans.exporter.get_finished_spans()}:
            await asyncio.sleep(0)
    stored = spans.named("publish events")
    assert parent_of(stored) == context_of(spans.named("process kill"))
    assert (stored.kind, stored.attributes and stored.attributes.get("error.type")) == (otel.SpanKind.PRODUCER, None)


async def test_what_is_not_in_the_log_at_the_end_is_told_as_that() -> None:
    spans = Spans()
    await Told(spans.traces).ask("kill")
    await asyncio.sleep(0)  # it waits by now
    await spans.traces.finish()
    attributes = spans.named("publish events").attributes
    assert attributes is not None
    assert attributes["error.type"] == "unavailable"


async def test_what_is_refused_is_a_failed_span() -> None:
    spans = Spans()
    assert (await Told(spans.traces).ask("kill", "moby")).outcome == "refused"
    command = spans.named("process kill")
    assert command.attributes is not None
    assert (command.attributes["containerd_bridge.outcome"], command.attributes["error.type"]) == ("refused", "refused")
    assert command.status.status_code is otel.StatusCode.ERROR
    await spans.traces.finish()


async def test_a_command_of_no_trace_begins_one() -> None:
    spans = Spans()
    told = Told(spans.traces)
    await told.ask("kill", said=None)
    command = spans.named("process kill")
    assert command.parent is None
    assert contexts_of(told.events) == {context_of(command)}
    await spans.traces.finish()
