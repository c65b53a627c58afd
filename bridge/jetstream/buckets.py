"""The key-value buckets: what their streams must be, and making sure that they are (ADR-8).

They are declared as streams, so that every setting is ours: nats-py's own call leaves out `allow_direct` and knows neither
placement nor comparison. Any KV client reads them. A key keeps its latest value only; what is deleted leaves a mark, and a
full bucket refuses a value rather than forget another. An existing one is compared as the stream of events is.

Two are *kept*: the registers of migrations and of checkpoints. Whatever nats-server is made to store under a key of theirs stands
beside what was written there and pushes nothing out (`bridge.jetstream.stored.written_of`), and whoever writes takes away what is
below. So there is room for as much as anybody may store there, and where that is full it takes nothing more rather than push
something out (docs/decisions/0035).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from bridge.errors import ConfigError
from bridge.jetstream.connection import Connection
from bridge.jetstream.stream_config import SECOND, Needs, create, existing, settings, shown, stream_errors
from bridge.model.subjects import Subjects

__all__ = ["bucket_stream", "declared_bucket", "ensure_buckets", "ensure_states", "key_subject", "weaknesses"]

DUPLICATE_WINDOW: Final = 120 * SECOND
"""As every KV client makes it. What is written again later is written again, which does no harm under a key."""

COMMANDS_KEPT: Final = 14 * 86_400 * SECOND
"""How long it is told how a command stands: twice as long as a job waits in its stream, and as its journal remembers it."""


ROOM: Final = 1_000_000
"""Messages under one key of a kept bucket; KV clients want a limit, and this one is some 300 MB of answers."""

LATEST: Final[Mapping[str, Any]] = MappingProxyType(
    {"max_msgs_per_subject": 1, "allow_rollup_hdrs": True, "allow_direct": True}
)
KEPT: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "max_msgs_per_subject": ROOM,
        "discard_new_per_subject": True,
        "allow_rollup_hdrs": False,
        # Whoever may use direct gets can have the server write what he reads under any subject.
        "allow_direct": False,
    }
)


def bucket_stream(bucket: str) -> str:
    """Return the name of a bucket's stream."""
    return f"KV_{bucket}"


def key_subject(bucket: str, key: str) -> str:
    """Return the subject of a key, or the filter for a pattern of keys."""
    return f"$KV.{bucket}.{key}"


def declared_bucket(
    bucket: str, description: str, *, replicas: int, max_age: int = 0, kept: bool = False
) -> dict[str, Any]:
    """Return a bucket's stream as we create it."""
    return settings(
        bucket_stream(bucket),
        description,
        [key_subject(bucket, ">")],
        replicas=replicas,
        duplicate_window=DUPLICATE_WINDOW,
        discard="new",
        max_age=max_age,
        deny_delete=True,
        **(KEPT if kept else LATEST),
    )


def weaknesses(there: dict[str, Any], bucket: str, *, replicas: int, max_age: int = 0, kept: bool = False) -> list[str]:
    """Return in what a bucket's stream is weaker than needed: field, value there, value needed. Empty if it is good.

    What stands under a key has to stay for `max_age`, with 0 for ever.
    """
    need = Needs(there)
    need("storage", there.get("storage") == "file", "file")
    need("retention", there.get("retention") == "limits", "limits")
    need("num_replicas", there.get("num_replicas", 1) >= replicas, f"{replicas} or more")
    age = there.get("max_age") or 0
    if max_age:
        need(
            "max_age",
            not age or age >= max_age,
            f"{shown('max_age', max_age)} or more: jobs are delivered again so late",
        )
    else:
        need("max_age", not age, "unset: what stands under a key may not expire")
    each = there.get("max_msgs_per_subject", -1)
    if kept:
        why = "what is stored under a key may not push out what was written there"
        need("max_msgs_per_subject", each <= 0 or each >= ROOM, f"{ROOM} or more: {why}")
        need("discard_new_per_subject", each <= 0 or bool(there.get("discard_new_per_subject")), f"true: {why}")
        need("allow_rollup_hdrs", not there.get("allow_rollup_hdrs"), f"unset: {why}")
    else:
        need("max_msgs_per_subject", each >= 1, "1: the latest value of a key")
    bounded = there.get("max_msgs", -1) > 0 or there.get("max_bytes", -1) > 0
    need("discard", not bounded or there.get("discard") == "new", "new: a full bucket may not forget keys")
    need.subjects([key_subject(bucket, ">")])
    need.unset()
    return need.unmet


async def ensure_buckets(connection: Connection, subjects: Subjects, *, replicas: int = 1) -> None:
    """Make sure that the buckets of states, nodes, commands and migrations exist and are as strong as we need them.

    Raises:
        ConfigError: one is weaker, or cannot be made; the sentence says what to do.
        LogUnavailable: JetStream does not answer at present.
    """
    await ensure_states(connection, subjects, replicas=replicas)
    await _ensure(connection, subjects.node_bucket, "Which bridge writes as which node (containerd-bridge)", replicas)
    await _ensure(
        connection, subjects.command_bucket, "How each command stands (containerd-bridge)", replicas, COMMANDS_KEPT
    )
    said = "Where a container that moves runs (containerd-bridge)"
    await _ensure(connection, subjects.migration_bucket, said, replicas, kept=True)


async def ensure_states(connection: Connection, subjects: Subjects, *, replicas: int = 1) -> None:
    """Make sure of the bucket of states alone; raises as `ensure_buckets` does."""
    await _ensure(connection, subjects.state_bucket, "The state of every container (containerd-bridge)", replicas)


async def _ensure(
    connection: Connection, bucket: str, description: str, replicas: int, max_age: int = 0, *, kept: bool = False
) -> None:
    name = bucket_stream(bucket)
    declared = declared_bucket(bucket, description, replicas=replicas, max_age=max_age, kept=kept)
    with stream_errors(connection, name, what=f"the bucket {bucket}"):
        config = await existing(connection, name)
        if config is None:
            config = await create(connection, declared)
    found = weaknesses(config, bucket, replicas=replicas, max_age=max_age, kept=kept)
    if found:
        when = " where nothing is on its way" if kept else ""
        raise ConfigError(
            f"bucket {bucket} is not strong enough: {'; '.join(found)}. Change its stream (nats stream edit {name}), "
            f"or remove it{when}, and the bridge makes a new one"
        )
