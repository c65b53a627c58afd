"""A stream's settings: as we make one, in what one that is there is too weak, and what it means that neither can be done.

What is promised rests on these settings. So a stream that is there is compared with what is needed at every start; as good or
better it is taken as it is, weaker it is refused with the field, its value and what is needed, and never changed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import nats.errors

from bridge.errors import ConfigError, LogUnavailable
from bridge.jetstream.api import api, nobody_answers
from bridge.jetstream.connection import Connection
from bridge.jetstream.errors import NATS_ERRORS, ApiError, Denied, explain, log_error
from bridge.jetstream.filters import covers

__all__ = ["Needs", "SECOND", "create", "existing", "settings", "shown", "stream_errors"]

log = logging.getLogger(__name__)

SECOND: Final = 1_000_000_000
NO_STREAM, NO_JETSTREAM = 10059, frozenset({10035, 10039, 10076})

MUST_BE_UNSET: Final = {
    "sealed": "a sealed stream takes no messages",
    "no_ack": "without acknowledgements nobody knows what is stored",
    "mirror": "a mirror takes no messages of its own",
    "subject_transform": "what is sent would be stored under other subjects",
    "allow_msg_counter": "a stream of counters takes no other messages",
}


def settings(
    name: str, description: str, subjects: Sequence[str], *, replicas: int, duplicate_window: int, **others: Any
) -> dict[str, Any]:
    """Return a stream as we create it, in JetStream's own terms; durations are nanoseconds, and -1 is no limit."""
    return {
        "name": name,
        "description": description,
        "subjects": list(subjects),
        "storage": "file",
        "retention": "limits",
        "discard": "old",
        "max_age": 0,
        "max_msgs": -1,
        "max_bytes": -1,
        "max_msgs_per_subject": -1,
        "max_msg_size": -1,
        "max_consumers": -1,
        "num_replicas": replicas,
        "duplicate_window": duplicate_window,
        **others,
    }


class Needs:
    """What is needed of a stream that is there. `unmet` says in what it is weaker: field, value there, value needed."""

    def __init__(self, there: Mapping[str, Any]) -> None:
        self.there = there
        self.unmet: list[str] = []

    def __call__(self, field: str, good: bool, needed: str) -> None:  # noqa: FBT001 - the condition reads as the sentence
        """Note the field unless it is good."""
        if not good:
            self.unmet.append(f"{field} is {shown(field, self.there.get(field))}, needed is {needed}")

    def subjects(self, ours: Sequence[str]) -> None:
        """These have to be among its subjects, in whatever words."""
        taken = self.there.get("subjects") or []
        missing = [subject for subject in ours if not any(covers(one, subject) for one in taken)]
        self("subjects", not missing, f"{', '.join(missing)} too")

    def unset(self) -> None:
        """Nothing may be set under which a stream is of no use."""
        for field, why in MUST_BE_UNSET.items():
            self(field, not self.there.get(field), f"unset: {why}")


@contextmanager
def stream_errors(connection: Connection, name: str, *, what: str = "stream {name}") -> Iterator[None]:
    """Turn what goes wrong in a block with stream `name` into errors of ours; `what` is what people know it as.

    Raises:
        ConfigError: it cannot be made or used; the sentence says what to do.
        LogUnavailable: JetStream does not answer at present.
    """
    try:
        yield
    except ApiError as error:
        raise _config_error(error, name) from error
    except Denied as error:
        sentence = f"{error}: permit it in NATS for this login, or make {what.format(name=name)} there yourself"
        raise ConfigError(sentence) from error
    except nats.errors.NoRespondersError as error:
        raise ConfigError(nobody_answers(connection)) from error
    except NATS_ERRORS as error:
        raise LogUnavailable(f"JetStream at {connection.server}: {explain(error)}") from error


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


def _config_error(error: ApiError, name: str) -> Exception:
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
