"""Looking at what the command side keeps on the bus: jobs, output, how commands stand, and checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from bridge.errors import LogError
from bridge.jetstream.api import api
from bridge.jetstream.buckets import COMMANDS_KEPT, bucket_stream, weaknesses
from bridge.jetstream.checkpoint_buckets import archive_faults, object_stream, record_faults
from bridge.jetstream.connection import Connection
from bridge.jetstream.errors import ApiError, log_errors
from bridge.jetstream.job_streams import declared_jobs, declared_quarantine, jobs_stream, quarantine_stream, weak
from bridge.jetstream.output_stream import output_faults, output_stream_name
from bridge.jetstream.reader import extent_of
from bridge.jetstream.streams import NO_STREAM
from bridge.model.nanos import now
from bridge.model.subjects import Subjects
from bridge.ports import CommandStore
from bridge.ports.inspection import Holds

__all__ = ["command_needs", "command_stores"]

Faults = Callable[[dict[str, Any], Subjects], list[str]]

_FAULTS: Final[Mapping[Holds, Faults]] = {
    "jobs": lambda there, subjects: weak(there, declared_jobs(subjects, replicas=1)),
    "quarantined": lambda there, subjects: weak(there, declared_quarantine(subjects, replicas=1)),
    "output": output_faults,
    "commands": lambda there, subjects: weaknesses(there, subjects.command_bucket, replicas=1, max_age=COMMANDS_KEPT),
    "checkpoints": record_faults,
    "archives": archive_faults,
}
"""What each is held to: the same that a bridge holds it to when it starts, but for replicas."""


async def command_stores(connection: Connection, subjects: Subjects) -> list[CommandStore]:
    """Return what there is of each."""
    return [await _store(connection, subjects, name, holds) for holds, name in _names(subjects).items()]


def command_needs(subjects: Subjects, prefix: str) -> list[tuple[str, str, str]]:
    """Return what a client publishes for jobs and for the stdio of processes: what for, the direction, the subject.

    The API of JetStream is under `prefix`.
    """
    names = _names(subjects)
    needs = [
        ("send durable jobs", f"{subjects.root}.jobs.*.*.*.*"),
        ("see how commands stand", f"{prefix}STREAM.MSG.GET.{names['commands']}"),
        ("look after jobs", f"{prefix}STREAM.MSG.GET.{names['jobs']}"),
        ("look after jobs", f"{prefix}STREAM.MSG.GET.{names['quarantined']}"),
        ("look after jobs", f"{prefix}STREAM.MSG.DELETE.{names['quarantined']}"),
        ("read the output of processes", f"{prefix}STREAM.INFO.{names['output']}"),
        ("read the output of processes", f"{prefix}CONSUMER.CREATE.{names['output']}.>"),
        ("read the output of processes", f"{prefix}CONSUMER.MSG.NEXT.{names['output']}.*"),
        ("write to processes", f"{subjects.root}.stdio.*.*.*.*.stdin"),
        ("look at checkpoints", f"{prefix}CONSUMER.CREATE.{names['checkpoints']}.>"),
        ("export checkpoints", f"{prefix}CONSUMER.CREATE.{names['archives']}.>"),
        ("export checkpoints", f"{prefix}CONSUMER.MSG.NEXT.{names['archives']}.*"),
    ]
    return [(what, "publish", subject) for what, subject in needs]


def _names(subjects: Subjects) -> Mapping[Holds, str]:
    return {
        "jobs": jobs_stream(subjects),
        "quarantined": quarantine_stream(subjects),
        "output": output_stream_name(subjects),
        "commands": bucket_stream(subjects.command_bucket),
        "checkpoints": bucket_stream(subjects.checkpoint_bucket),
        "archives": object_stream(subjects.checkpoint_bucket),
    }


async def _store(connection: Connection, subjects: Subjects, name: str, holds: Holds) -> CommandStore:
    try:
        asked = now()
        with log_errors(name):
            try:
                info = await api(connection, f"STREAM.INFO.{name}")
            except ApiError as error:
                if error.err_code == NO_STREAM:
                    return CommandStore(name=name, holds=holds, absent=True)
                raise
    except LogError as error:
        return CommandStore(name=name, holds=holds, unknown=str(error))
    return CommandStore(
        name=name,
        holds=holds,
        faults=_FAULTS[holds](info["config"], subjects),
        discards_new=info["config"].get("discard") == "new",
        extent=extent_of(info, asked),
    )
