"""A session whose process is not there yet: whoever attaches to a container before its start has its input and its output.

It has an id, a key and an input, and neither FIFOs nor a spool: the container's next process takes it over as it is. It outlives
the bridge and the host, as the container does, and goes with that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

from bridge.errors import CommandFailed, LogError
from bridge.model.nanos import Nanos
from bridge.model.outcomes import ExecResult
from bridge.model.stdio import OUTPUTS, OutputStream, StreamEnd
from bridge.model.subjects import StdioSubject
from bridge.ports import OutputLog
from bridge.stdio.input import Input
from bridge.stdio.journal import SessionRecord
from bridge.stdio.report import result_of

__all__ = ["Expected", "mark_deleted", "streams_of"]

log = logging.getLogger(__name__)


class Expected:
    """One of them; `bridge.ports.ExpectedSession`."""

    def __init__(self, record: SessionRecord, stdin: Input | None) -> None:
        self.record = record
        self.stdin = stdin

    @property
    def id(self) -> str:
        """Tells it from every other one."""
        return self.record.session

    @property
    def secret(self) -> str:
        """What input has to carry."""
        return self.record.key

    @property
    def made_at(self) -> Nanos | None:
        """When its container was made."""
        return self.record.made_at

    @property
    def key(self) -> tuple[str, str, str | None]:
        """Namespace and container."""
        return self.record.namespace, self.record.container, None

    def result(self) -> ExecResult:
        """Return how it stands now."""
        return result_of(self.record, {})

    async def close_stdin(self) -> bool:
        """End its input; return whether that was new."""
        if self.stdin is None:
            sentence = f"container {self.record.container} takes no input: create it with stdin"
            raise CommandFailed("failed_precondition", sentence)
        return await self.stdin.end_kept()


def streams_of(record: SessionRecord) -> Collection[OutputStream]:
    """Return the outputs that a process of this record has."""
    return OUTPUTS[:1] if record.terminal else OUTPUTS


async def mark_deleted(node: str, bus: OutputLog, expected: Expected, busy: Callable[[], bool]) -> None:
    """Tell whoever reads what has not come that nothing will; nobody is told where the bus does not answer now.

    Args:
        node: this node's name.
        bus: where output is stored.
        expected: whose container is gone.
        busy: tells whether another session writes to these subjects: then it is left alone.
    """
    record = expected.record
    for stream in streams_of(record):
        subject = StdioSubject(node, record.namespace, record.container, None, stream)
        try:
            there = await bus.end(subject, record.session)
            if busy():
                return
            await bus.append(subject, StreamEnd(session=record.session, size=0, truncated="deleted"), after=there.place)
        except LogError as error:
            log.info("container %s: its readers are not told that it is gone: %s", record.container, error)
            return
