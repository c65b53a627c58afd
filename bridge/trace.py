"""The trace of the command that is carried out here: what its sender said of it, and the steps of its way.

A sender may say to which trace (W3C trace context) a command belongs, in the headers `traceparent` and `tracestate`. What a
command tells of itself in the log carries a `traceparent`, and so does what is sent while it is carried out: who reads goes on
with the same trace. Without anybody who makes spans that is what the sender said, unchanged, and a step is nothing.
`bridge.tracing` makes spans.

What is under way in a task is found by a context variable, as every tracing library does it: a command's way leads through
rooms that know nothing of one another.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Final

__all__ = ["STATE", "PARENT", "Trace", "carried", "current", "said", "step", "under"]

PARENT: Final = "traceparent"
STATE: Final = "tracestate"

LONGEST: Final = 512
"""Characters of a `tracestate`; who gets a longer one may leave it out (W3C Trace Context)."""

_PARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)
_STATE: Final = re.compile(rf"[ -~]{{1,{LONGEST}}}", re.ASCII)
_NOTHING: Final = nullcontext()


class Trace:
    """The trace of one command where nobody makes spans: what was said of it."""

    def __init__(self, parent: str | None = None, state: str | None = None) -> None:
        self.parent: Final = parent
        """What belongs to the command carries this as its `traceparent`; None where it belongs to no trace."""
        self.state: Final = state

    def step(self, name: str, **attributes: str) -> AbstractContextManager[None]:  # noqa: ARG002 - others look at them
        """Be on a step of its way while the block lasts."""
        return _NOTHING


NONE: Final = Trace()
_current: Final[ContextVar[Trace]] = ContextVar("trace", default=NONE)


def said(headers: Mapping[str, str]) -> Trace:
    """Return what headers say of a trace; what is not valid counts as not said."""
    parent = headers.get(PARENT) or headers.get("Traceparent")
    if parent is None or not _PARENT.fullmatch(parent):
        return NONE
    state = headers.get(STATE) or headers.get("Tracestate")
    return Trace(parent, state if state and _STATE.fullmatch(state) else None)


def current() -> Trace:
    """Return the trace of the command that this task carries out."""
    return _current.get()


def step(name: str, **attributes: str) -> AbstractContextManager[None]:
    """Be on a step of the way of the command that this task carries out, if it carries out any, while the block lasts."""
    return _current.get().step(name, **attributes)


@contextmanager
def under(trace: Trace) -> Iterator[None]:
    """Let what this task does in the block, and the tasks that it makes there, belong to a trace."""
    token = _current.set(trace)
    try:
        yield
    finally:
        _current.reset(token)


def carried() -> dict[str, str]:
    """Return the headers by which a message that is sent now says to which trace it belongs.

    That is the one of the command that is carried out, and in a program of somebody else's that of OpenTelemetry's current span.
    A program that has not imported OpenTelemetry has none, so it is never imported for that.
    """
    trace = _current.get()
    if trace.parent is not None:
        return {PARENT: trace.parent} if trace.state is None else {PARENT: trace.parent, STATE: trace.state}
    if "opentelemetry.trace" not in sys.modules:
        return {}
    from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415 - see above
        TraceContextTextMapPropagator,
    )

    headers: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(headers)
    return headers
