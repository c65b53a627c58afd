"""The key-value buckets: what their streams must be, and making sure that they are (ADR-8).

They are declared as streams, so that every setting is ours: nats-py's own call leaves out `allow_direct` and knows neither
placement nor comparison. Any KV client reads them. A key keeps its latest value only; what is deleted leaves a mark, and a
full bucket refuses a value rather than forget another. An existing one is compared as the stream of events is.
"""

from __future__ import annotations

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


def bucket_stream(bucket: str) -> str:
    """Return the name of a bucket's stream."""
    return f"KV_{bucket}"


def key_subject(bucket: str, key: str) -> str:
    """Return the subject of a key, or the filter for a pattern of keys."""
    return f"$KV.{bucket}.{key}"


def declared_bucket(bucket: str, description: str, *, replicas: int, max_age: int = 0) -> dict[str, Any]:
    """Return a bucket's stream as we create it."""
    return settings(
        bucket_stream(bucket),
        description,
        [key_subject(bucket, ">")],
        replicas=replicas,
        duplicate_window=DUPLICATE_WINDOW,
        discard="new",
        max_age=max_age,
        max_msgs_per_subject=1,
        allow_rollup_hdrs=True,
        allow_direct=True,
        deny_delete=True,
    )


def weaknesses(there: dict[str, Any], bucket: str, *, replicas: int, max_age: int = 0) -> list[str]:
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
    need("max_msgs_per_subject", there.get("max_msgs_per_subject", -1) >= 1, "1: the latest value of a key")
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
    await _ensure(
        connection, subjects.migration_bucket, "Where a container that moves runs (containerd-bridge)", replicas
    )


async def ensure_states(connection: Connection, subjects: Subjects, *, replicas: int = 1) -> None:
    """Make sure of the bucket of states alone; raises as `ensure_buckets` does."""
    await _ensure(connection, subjects.state_bucket, "The state of every container (containerd-bridge)", replicas)


async def _ensure(connection: Connection, bucket: str, description: str, replicas: int, max_age: int = 0) -> None:
    name = bucket_stream(bucket)
    with stream_errors(connection, name, what=f"the bucket {bucket}"):
        config = await existing(connection, name)
        if config is None:
            config = await create(connection, declared_bucket(bucket, description, replicas=replicas, max_age=max_age))
    found = weaknesses(config, bucket, replicas=replicas, max_age=max_age)
    if found:
        raise ConfigError(
            f"bucket {bucket} is not strong enough: {'; '.join(found)}. Change its stream (nats stream edit {name}), "
            "or remove it, and the bridge makes a new one"
        )
