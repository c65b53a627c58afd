"""A process that nobody is with: when it has ended its output is shown, and its exit status is ours.

What an outcome has of the output are the first 256 KiB of each stream. That there is more is said, with the command that shows
all of it.
"""

from __future__ import annotations

import sys
from typing import Final

from bridge.cli.attached import UNKNOWN_STATUS
from bridge.cli.exits import PROGRAM, complain
from bridge.model.outcomes import ExecResult
from bridge.model.stdio import TRUNCATIONS

__all__ = ["show_captured", "status_of"]

OUT: Final = "stdout"
ERR: Final = "stderr"


def show_captured(result: ExecResult, container: str) -> None:
    """Write what was captured of both outputs to ours."""
    for name, report, ours in ((OUT, result.stdout, sys.stdout), (ERR, result.stderr, sys.stderr)):
        if report is None:
            continue
        captured = report.captured or b""
        ours.buffer.write(captured)
        ours.flush()
        if len(captured) < report.size:
            more = f"{PROGRAM} attach {container} --exec {result.exec_id} --from-start"
            complain(f"{name} has {report.size - len(captured)} bytes more: '{more}' shows all")


def status_of(result: ExecResult) -> int:
    """Return the status to end with; say what makes it, or the output, less than certain."""
    for name, report in ((OUT, result.stdout), (ERR, result.stderr)):
        if report is not None and report.truncated is not None:
            complain(f"{name} may not be complete: {TRUNCATIONS[report.truncated]}")
    if result.timed_out:
        complain(f"exec {result.exec_id} was killed: its time was up")
    if result.exit_status is None:
        complain("how the process ended is not known")
        return UNKNOWN_STATUS
    return result.exit_status
