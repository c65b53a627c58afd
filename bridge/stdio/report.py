"""What a session says of its process: what its record knows, and how much of its output is stored by now."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.model.outcomes import ExecResult
from bridge.model.stdio import OutputStream
from bridge.stdio.journal import SessionRecord
from bridge.stdio.output import Output

__all__ = ["result_of"]


def result_of(record: SessionRecord, outputs: Mapping[OutputStream, Output]) -> ExecResult:
    """Return how it stands now; without outputs as the record has it."""
    reports = {stream: output.report() for stream, output in outputs.items()}
    return ExecResult(
        exec_id=record.exec_id,
        session=record.session,
        after=record.after or 0,
        pid=record.pid,
        terminal=record.terminal,
        stdin=record.stdin,
        running=record.stage != "ended",
        exit_status=record.exit_status,
        exited_at=record.exited_at,
        timed_out=record.timed_out,
        stdout=reports.get("stdout", record.stdout),
        stderr=reports.get("stderr", record.stderr),
    )
