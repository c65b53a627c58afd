"""The stream of events: what it must be, and making sure that it is.

What the bridge promises rests on the stream's settings, so an existing stream is compared with them at every start. One
that is as good or better is taken as it is (longer retention, more replicas, `discard: new`); one that is weaker is refused
with the field, its value and what to do, and never changed behind its owner's back, but for `allow_batched`, which takes
nothing from anybody.

Retention is seven days unless set otherwise: long enough to look at last week's incident, short enough to bound the disk. A
stream that is there keeps its own; whoever wants another changes the stream. `deny_delete` and `deny_purge` keep single events
from being taken out of what is also an audit trail.

The duplicate window is thirty minutes: a publisher that was cut off repeats its last append within seconds, and what is
older is recognised by reading the log's own end.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from bridge.errors import ConfigError
from bridge.jetstream.api import api
from bridge.jetstream.connection import Connection
from bridge.jetstream.errors import ApiError, Denied
from bridge.jetstream.stream_config import NO_STREAM, SECOND, Needs, create, existing, settings, shown, stream_errors
from bridge.model.limits import MAX_BODY
from bridge.model.subjects import Subjects

__all__ = [
    "AS_USUAL",
    "EventStream",
    "HEADERS",
    "Making",
    "NO_MESSAGE",
    "NO_STREAM",
    "SECOND",
    "declared",
    "ensure_events",
    "faults",
    "stream_name",
]

log = logging.getLogger(__name__)

DUPLICATE_WINDOW: Final = 1_800 * SECOND
HEADERS: Final = 1024
"""Room for the headers of a message beside its body."""

BATCH_LEVEL: Final = 4
"""JetStream API level from which streams have `allow_batched` (ADR-50): nats-server 2.14."""

NO_MESSAGE: Final = 10037


class EventStream(NamedTuple):
    """The stream as it is.

    Attributes:
        name: its name.
        batched: whether it takes fast batches.
        api_level: the server's JetStream API level, 0 before 2.11.
        max_age: nanoseconds for which it keeps an event, 0 for ever.
    """

    name: str
    batched: bool
    api_level: int
    max_age: int


class Making(NamedTuple):
    """How the stream is made. An existing one keeps its own retention.

    Attributes:
        replicas: how many servers have it.
        max_age_s: seconds for which it keeps an event, 0 for ever.
        max_bytes: its size, beyond which the oldest events go; 0 for no limit.
    """

    replicas: int = 1
    max_age_s: int = 7 * 86_400
    max_bytes: int = 0


AS_USUAL: Final = Making()


def stream_name(subjects: Subjects) -> str:
    """Return the name of the stream of events under this root: `CONTAINERD_EVENTS`."""
    return f"{subjects.root.upper()}_EVENTS"


def declared(subjects: Subjects, making: Making, *, batched: bool) -> dict[str, Any]:
    """Return the stream as we create it."""
    return settings(
        stream_name(subjects),
        "Everything that happens to containers, in order (containerd-bridge)",
        subjects.stream_subjects(),
        replicas=making.replicas,
        duplicate_window=DUPLICATE_WINDOW,
        max_age=making.max_age_s * SECOND,
        max_bytes=making.max_bytes or -1,
        allow_direct=True,
        deny_delete=True,
        deny_purge=True,
        **({"allow_batched": True} if batched else {}),
    )


def faults(there: dict[str, Any], subjects: Subjects, *, replicas: int) -> list[str]:
    """Return in what the stream `there` is weaker than needed: field, value there, value needed. Empty if it is good."""
    need = Needs(there)
    need("storage", there.get("storage") == "file", "file")
    need("retention", there.get("retention") == "limits", "limits")
    need("num_replicas", there.get("num_replicas", 1) >= replicas, f"{replicas} or more")
    window = there.get("duplicate_window", 0)
    need("duplicate_window", window >= DUPLICATE_WINDOW, f"{DUPLICATE_WINDOW // SECOND} s or more")
    need("max_msgs_per_subject", there.get("max_msgs_per_subject", -1) <= 0, "-1: it drops a container's older events")
    size = there.get("max_msg_size", -1)
    need("max_msg_size", size < 0 or size >= MAX_BODY + HEADERS, f"-1, or {MAX_BODY + HEADERS} or more")
    need.subjects(subjects.stream_subjects())
    need.unset()
    return need.unmet


async def ensure_events(connection: Connection, subjects: Subjects, making: Making = AS_USUAL) -> EventStream:
    """Make sure that the stream of events exists and is as strong as we need it; return what it is.

    Raises:
        ConfigError: it is weaker, or cannot be made; the sentence says what to do.
        LogUnavailable: JetStream does not answer at present.
    """
    name = stream_name(subjects)
    needed = MAX_BODY + HEADERS
    if connection.client.max_payload < needed:
        raise ConfigError(
            f"the server's max_payload is {connection.client.max_payload} bytes, needed are {needed} or more: "
            "raise max_payload in nats-server's configuration (its default is 1MB)"
        )
    with stream_errors(connection, name):
        level = await _api_level(connection)
        config = await existing(connection, name)
        if config is None:
            config = await create(connection, declared(subjects, making, batched=level >= BATCH_LEVEL))
        weaknesses = faults(config, subjects, replicas=making.replicas)
        if weaknesses:
            raise ConfigError(
                f"stream {name} is not strong enough: {'; '.join(weaknesses)}. Change the stream (nats stream edit {name}), "
                "or remove it if its events may go, and the bridge makes a new one"
            )
        _compare_retention(config, making)
        if level >= BATCH_LEVEL and not config.get("allow_batched"):
            config = await _allow_batched(connection, config)
    return EventStream(name, bool(config.get("allow_batched")), level, int(config.get("max_age") or 0))


def _compare_retention(there: Mapping[str, Any], making: Making) -> None:
    # Other nodes write there too, so nobody's setting changes it; but whoever has one should know that it is not what holds.
    for field, value, usual, kept in (
        ("max_age", making.max_age_s * SECOND, AS_USUAL.max_age_s * SECOND, max(0, int(there.get("max_age") or 0))),
        ("max_bytes", making.max_bytes, AS_USUAL.max_bytes, max(0, int(there.get("max_bytes") or 0))),
    ):
        if value not in {usual, kept}:
            log.warning(
                "stream %s has %s %s, the setting events_%s says %s: an existing stream is left as it is (nats stream edit %s)",
                there["name"],
                field,
                shown(field, kept),
                field,
                shown(field, value),
                there["name"],
            )


async def _api_level(connection: Connection) -> int:
    account = await api(connection, "INFO")
    return int((account.get("api") or {}).get("level") or 0)


async def _allow_batched(connection: Connection, config: dict[str, Any]) -> dict[str, Any]:
    name = config["name"]
    try:
        info = await api(connection, f"STREAM.UPDATE.{name}", {**config, "allow_batched": True})
    except (ApiError, Denied) as error:
        raise ConfigError(
            f"stream {name} has allow_batched false, needed is true, and it cannot be changed: {error}. Set it there yourself"
        ) from error
    log.info("stream %s now takes fast batches (allow_batched)", name)
    changed: dict[str, Any] = info["config"]
    return changed
