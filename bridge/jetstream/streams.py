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

import nats.errors

from bridge.errors import ConfigError, LogUnavailable
from bridge.jetstream.api import api
from bridge.jetstream.connection import Connection
from bridge.jetstream.errors import NATS_ERRORS, ApiError, Denied, explain, log_error
from bridge.jetstream.filters import covers
from bridge.model.limits import MAX_BODY
from bridge.model.subjects import Subjects

__all__ = [
    "AS_USUAL",
    "EventStream",
    "HEADERS",
    "MUST_BE_UNSET",
    "Making",
    "NO_MESSAGE",
    "NO_STREAM",
    "config_error",
    "create",
    "declared",
    "ensure_events",
    "existing",
    "faults",
    "shown",
    "stream_name",
]

log = logging.getLogger(__name__)

SECOND: Final = 1_000_000_000
DUPLICATE_WINDOW: Final = 1_800 * SECOND
HEADERS: Final = 1024
"""Room for the headers of a message beside its body."""

BATCH_LEVEL: Final = 4
"""JetStream API level from which streams have `allow_batched` (ADR-50): nats-server 2.14."""

NO_STREAM, NO_MESSAGE, NO_JETSTREAM = 10059, 10037, frozenset({10035, 10039, 10076})


MUST_BE_UNSET: Final = {
    "sealed": "a sealed stream takes no messages",
    "no_ack": "without acknowledgements nobody knows what is stored",
    "mirror": "a mirror takes no messages of its own",
    "subject_transform": "events would be stored under other subjects",
    "allow_msg_counter": "a stream of counters takes no events",
}


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
    """Return the stream as we create it, in JetStream's own terms; durations are nanoseconds."""
    config: dict[str, Any] = {
        "name": stream_name(subjects),
        "description": "Everything that happens to containers, in order (containerd-bridge)",
        "subjects": subjects.stream_subjects(),
        "storage": "file",
        "retention": "limits",
        "discard": "old",
        "max_age": making.max_age_s * SECOND,
        "max_msgs": -1,
        "max_bytes": making.max_bytes or -1,
        "max_msgs_per_subject": -1,
        "max_msg_size": -1,
        "max_consumers": -1,
        "num_replicas": making.replicas,
        "duplicate_window": DUPLICATE_WINDOW,
        "allow_direct": True,
        "deny_delete": True,
        "deny_purge": True,
    }
    if batched:
        config["allow_batched"] = True
    return config


def faults(there: dict[str, Any], subjects: Subjects, *, replicas: int) -> list[str]:
    """Return in what the stream `there` is weaker than needed: field, value there, value needed. Empty if it is good."""
    found = []

    def need(field: str, good: bool, needed: str) -> None:  # noqa: FBT001 - the condition reads as the sentence
        if not good:
            found.append(f"{field} is {shown(field, there.get(field))}, needed is {needed}")

    need("storage", there.get("storage") == "file", "file")
    need("retention", there.get("retention") == "limits", "limits")
    need("num_replicas", there.get("num_replicas", 1) >= replicas, f"{replicas} or more")
    window = there.get("duplicate_window", 0)
    need("duplicate_window", window >= DUPLICATE_WINDOW, f"{DUPLICATE_WINDOW // SECOND} s or more")
    need("max_msgs_per_subject", there.get("max_msgs_per_subject", -1) <= 0, "-1: it drops a container's older events")
    size = there.get("max_msg_size", -1)
    need("max_msg_size", size < 0 or size >= MAX_BODY + HEADERS, f"-1, or {MAX_BODY + HEADERS} or more")
    missing = [
        ours for ours in subjects.stream_subjects() if not any(covers(s, ours) for s in there.get("subjects") or [])
    ]
    need("subjects", not missing, f"{', '.join(missing)} too")
    for field, why in MUST_BE_UNSET.items():
        need(field, not there.get(field), f"unset: {why}")
    return found


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
    try:
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
    except ApiError as error:
        raise config_error(error, name) from error
    except Denied as error:
        raise ConfigError(f"{error}: permit it in NATS for this login, or make stream {name} there yourself") from error
    except nats.errors.NoRespondersError as error:
        raise ConfigError(
            f"JetStream is not enabled at {connection.server}: start nats-server with -js, or with a jetstream block"
        ) from error
    except NATS_ERRORS as error:
        raise LogUnavailable(f"JetStream at {connection.server}: {explain(error)}") from error
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


async def existing(connection: Connection, name: str) -> dict[str, Any] | None:
    """Return the configuration of a stream, None where there is no such stream."""
    try:
        info = await api(connection, f"STREAM.INFO.{name}")
    except ApiError as error:
        if error.err_code == NO_STREAM:
            return None
        raise
    config: dict[str, Any] = info["config"]
    return config


async def create(connection: Connection, config: dict[str, Any]) -> dict[str, Any]:
    """Make a stream and return its configuration as the server has it."""
    info = await api(connection, f"STREAM.CREATE.{config['name']}", config)
    log.info("created stream %s: %s", config["name"], ", ".join(config["subjects"]))
    made: dict[str, Any] = info["config"]
    return made


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


def config_error(error: ApiError, name: str) -> Exception:
    """Return why stream `name` cannot be made or used, in terms of ours."""
    if error.err_code in NO_JETSTREAM:
        return ConfigError(
            f"JetStream is not enabled for this login's account ({error}): enable it in nats-server's configuration"
        )
    unavailable = log_error(error, name)
    if isinstance(unavailable, LogUnavailable):
        return unavailable
    return ConfigError(f"stream {name} cannot be made or used: {error}")


def shown(field: str, value: Any) -> str:
    """Return the value of a stream's setting for people."""
    if field in {"duplicate_window", "max_age"} and isinstance(value, int):
        return f"{value / SECOND:g} s"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "empty"
    if isinstance(value, dict):
        return f"set ({value.get('name') or value.get('dest') or 'as it is'})"
    return "unset" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
