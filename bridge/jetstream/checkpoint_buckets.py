"""Where checkpoints stand on the bus: the bucket of their records, and the object store of their archives (ADR-8, ADR-20).

Both have one name. Neither forgets by itself: what goes from one has to go from the other too, so removing is the bridges' own
(`bridge.jetstream.checkpoint_sweep`), and a store that is full refuses rather than give up an archive that a record names.
An existing one is held against what is needed, as every stream of ours is.

An archive's pieces stand under `$O.<bucket>.C.<node>.<namespace>.<container>.<upload>`. To a client of object stores all behind
`C.` is the object's nuid, which it takes as it is; to NATS they are tokens, so that it can permit the archives of one node, one
namespace or one container.
"""

from __future__ import annotations

import base64
from typing import Any, Final, NamedTuple

from bridge.errors import ConfigError
from bridge.jetstream.buckets import bucket_stream, declared_bucket, weaknesses
from bridge.jetstream.connection import Connection
from bridge.jetstream.stream_config import SECOND, Needs, create, existing, settings, stream_errors
from bridge.model.subjects import Subjects

__all__ = [
    "CHUNK",
    "CheckpointMaking",
    "archive_faults",
    "chunk_subject",
    "ensure_checkpoints",
    "meta_subject",
    "object_stream",
    "record_faults",
]

CHUNK: Final = 256 * 1024
"""Bytes of an archive in one message: a quarter of NATS's default `max_payload`; more makes it no quicker."""

HEADERS: Final = 8 * 1024
"""Room for the headers of a piece, which tell how far its upload is."""

DUPLICATE_WINDOW: Final = 120 * SECOND


class CheckpointMaking(NamedTuple):
    """How bucket and store are made. Existing ones keep their own settings.

    Attributes:
        replicas: how many servers have them.
        max_bytes: the size of the object store, beyond which it refuses; 0 for no limit.
    """

    replicas: int = 1
    max_bytes: int = 0


def object_stream(bucket: str) -> str:
    """Return the name of an object store's stream."""
    return f"OBJ_{bucket}"


def chunk_subject(bucket: str, nuid: str) -> str:
    """Return the subject of an object's pieces."""
    return f"$O.{bucket}.C.{nuid}"


def meta_subject(bucket: str, name: str) -> str:
    """Return the subject of what is said of an object."""
    return f"$O.{bucket}.M.{base64.urlsafe_b64encode(name.encode()).decode()}"


async def ensure_checkpoints(connection: Connection, subjects: Subjects, making: CheckpointMaking) -> None:
    """Make sure that the bucket and the store exist and are as strong as we need them.

    Raises:
        ConfigError: one is weaker, or cannot be made; the sentence says what to do.
        LogUnavailable: JetStream does not answer at present.
    """
    bucket = subjects.checkpoint_bucket
    said = "Checkpoints of containers (containerd-bridge)"
    records = declared_bucket(bucket, said, replicas=making.replicas, kept=True)
    found = await _made(connection, records, f"the bucket {bucket}")
    _refuse(f"bucket {bucket}", bucket_stream(bucket), record_faults(found, subjects, replicas=making.replicas))
    archives = _declared(bucket, making)
    found = await _made(connection, archives, f"the object store {bucket}")
    _refuse(f"object store {bucket}", object_stream(bucket), archive_faults(found, subjects, replicas=making.replicas))


def record_faults(there: dict[str, Any], subjects: Subjects, *, replicas: int = 1) -> list[str]:
    """Return in what the bucket of records is weaker than needed. Empty if it is good."""
    return weaknesses(there, subjects.checkpoint_bucket, replicas=replicas, kept=True)


def archive_faults(there: dict[str, Any], subjects: Subjects, *, replicas: int = 1) -> list[str]:
    """Return in what the store of archives is weaker than needed: field, value there, value needed. Empty if it is good."""
    need = Needs(there)
    need("storage", there.get("storage") == "file", "file")
    need("retention", there.get("retention") == "limits", "limits")
    need("num_replicas", there.get("num_replicas", 1) >= replicas, f"{replicas} or more")
    need("max_age", not there.get("max_age"), "unset: an archive may not expire under its record")
    each = there.get("max_msgs_per_subject", -1)
    need("max_msgs_per_subject", each <= 0, "-1: all pieces of an archive stand under one subject")
    size = there.get("max_msg_size", -1)
    need("max_msg_size", size < 0 or size >= CHUNK + HEADERS, f"-1, or {CHUNK + HEADERS} or more")
    bounded = there.get("max_msgs", -1) > 0 or there.get("max_bytes", -1) > 0
    need("discard", not bounded or there.get("discard") == "new", "new: a full store may not forget pieces of archives")
    need("allow_rollup_hdrs", bool(there.get("allow_rollup_hdrs")), "true: an object store's own way to replace")
    need("deny_purge", not there.get("deny_purge"), "unset: what is removed is purged")
    need.subjects(_subjects(subjects.checkpoint_bucket))
    need.unset()
    return need.unmet


def _declared(bucket: str, making: CheckpointMaking) -> dict[str, Any]:
    return settings(
        object_stream(bucket),
        "Archives of checkpoints (containerd-bridge)",
        _subjects(bucket),
        replicas=making.replicas,
        duplicate_window=DUPLICATE_WINDOW,
        discard="new",
        max_bytes=making.max_bytes or -1,
        allow_rollup_hdrs=True,
        allow_direct=False,
    )


def _subjects(bucket: str) -> list[str]:
    return [f"$O.{bucket}.C.>", f"$O.{bucket}.M.>"]


async def _made(connection: Connection, declared: dict[str, Any], what: str) -> dict[str, Any]:
    name = declared["name"]
    with stream_errors(connection, name, what=what):
        return await existing(connection, name) or await create(connection, declared)


def _refuse(what: str, stream: str, found: list[str]) -> None:
    if found:
        raise ConfigError(
            f"{what} is not strong enough: {'; '.join(found)}. Change its stream (nats stream edit {stream}), "
            "or remove it if its checkpoints may go, and the bridge makes a new one"
        )
