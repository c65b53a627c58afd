"""The streams of durable jobs and of those that were put aside: what they must be, and making sure that they are.

A job waits in `CONTAINERD_JOBS` until its node has carried it out, seven days at the most; the work queue lets it go with its
acknowledgement. What nobody can carry out is copied to `CONTAINERD_QUARANTINE` and stays there for thirty days.
"""

from __future__ import annotations

from typing import Any, Final

from bridge.errors import ConfigError
from bridge.jetstream.api import api
from bridge.jetstream.connection import Connection
from bridge.jetstream.stream_config import SECOND, Needs, create, existing, settings, shown, stream_errors
from bridge.model.subjects import Subjects

__all__ = ["declared_jobs", "declared_quarantine", "ensure_jobs", "jobs_stream", "quarantine_stream", "weak"]

JOBS_KEPT: Final = 7 * 86_400 * SECOND
QUARANTINE_KEPT: Final = 30 * 86_400 * SECOND
MOST_QUARANTINED: Final = 100_000
DUPLICATE_WINDOW: Final = 1_800 * SECOND


def jobs_stream(subjects: Subjects) -> str:
    """Return the name of the stream of jobs under this root: `CONTAINERD_JOBS`."""
    return f"{subjects.root.upper()}_JOBS"


def quarantine_stream(subjects: Subjects) -> str:
    """Return the name of the stream of jobs that were put aside: `CONTAINERD_QUARANTINE`."""
    return f"{subjects.root.upper()}_QUARANTINE"


def declared_jobs(subjects: Subjects, *, replicas: int) -> dict[str, Any]:
    """Return the stream of jobs as we create it."""
    return settings(
        jobs_stream(subjects),
        "Commands that wait until their node has carried them out (containerd-bridge)",
        [subjects.job_filter()],
        replicas=replicas,
        duplicate_window=DUPLICATE_WINDOW,
        retention="workqueue",
        discard="new",
        max_age=JOBS_KEPT,
    )


def declared_quarantine(subjects: Subjects, *, replicas: int) -> dict[str, Any]:
    """Return the stream of jobs that were put aside, as we create it."""
    return settings(
        quarantine_stream(subjects),
        "Jobs that nobody could carry out (containerd-bridge)",
        [subjects.quarantine_filter()],
        replicas=replicas,
        duplicate_window=DUPLICATE_WINDOW,
        max_age=QUARANTINE_KEPT,
        max_msgs=MOST_QUARANTINED,
    )


def weak(there: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Return in what a stream is weaker than `wanted`: field, value there, value needed. Empty if it is good."""
    need = Needs(there)
    need("storage", there.get("storage") == "file", "file")
    need("retention", there.get("retention") == wanted["retention"], wanted["retention"])
    need("num_replicas", there.get("num_replicas", 1) >= wanted["num_replicas"], f"{wanted['num_replicas']} or more")
    bounded = there.get("max_msgs", -1) > 0 or there.get("max_bytes", -1) > 0
    if wanted["discard"] == "new":
        need("discard", not bounded or there.get("discard") == "new", "new: a full stream may not forget jobs")
        age = there.get("max_age") or 0
        need(
            "max_age", 0 < age <= wanted["max_age"], f"{shown('max_age', wanted['max_age'])} or less: see KV_*-commands"
        )
    need.subjects(wanted["subjects"])
    need.unset()
    return need.unmet


async def ensure_jobs(connection: Connection, subjects: Subjects, *, replicas: int = 1) -> str:
    """Make sure that both streams exist and are as strong as we need them; return what tells the stream of jobs from another.

    Raises:
        ConfigError: one is weaker, or cannot be made; the sentence says what to do.
        LogUnavailable: JetStream does not answer at present.
    """
    await _ensure(connection, declared_quarantine(subjects, replicas=replicas))
    return await _ensure(connection, declared_jobs(subjects, replicas=replicas))


async def _ensure(connection: Connection, wanted: dict[str, Any]) -> str:
    name = wanted["name"]
    with stream_errors(connection, name):
        config = await existing(connection, name)
        if config is None:
            config = await create(connection, wanted)
        found = weak(config, wanted)
        if found:
            raise ConfigError(
                f"stream {name} is not strong enough: {'; '.join(found)}. Change it (nats stream edit {name}), or remove it, "
                "and the bridge makes a new one"
            )
        return await _created(connection, name)


async def _created(connection: Connection, name: str) -> str:
    info = await api(connection, f"STREAM.INFO.{name}")
    # Digits alone: it becomes part of ids.
    return "".join(letter for letter in str(info["created"]) if letter.isdigit())[:20]
