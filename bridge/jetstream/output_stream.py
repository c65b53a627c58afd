"""The stream of output: what it must be, and making sure that it is.

It is a buffer for those who read soon, or not much later, and not an archive: the oldest goes first, after a day or beyond a
gibibyte unless set otherwise. It has to be one that gives way, because one that refuses when it is full would make every process
wait that writes to it. An existing stream is taken as it is, unless it is of no use.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from bridge.errors import ConfigError
from bridge.jetstream.connection import Connection
from bridge.jetstream.stream_config import SECOND, Needs, create, existing, settings, stream_errors
from bridge.model.subjects import Subjects

__all__ = ["AS_USUAL", "LARGEST", "OutputMaking", "ensure_output", "output_faults", "output_stream_name"]

LARGEST: Final = 256 * 1024
"""Bytes of output in one message: a quarter of NATS's default `max_payload`, and enough that more makes it no quicker."""

HEADERS: Final = 1024


class OutputMaking(NamedTuple):
    """How the stream is made. An existing one keeps its own settings.

    Attributes:
        replicas: how many servers have it.
        max_age_s: seconds for which it keeps output, 0 for ever.
        max_bytes: its size, beyond which the oldest goes; 0 for no limit.
    """

    replicas: int = 1
    max_age_s: int = 86_400
    max_bytes: int = 1 << 30


AS_USUAL: Final = OutputMaking()


def output_stream_name(subjects: Subjects) -> str:
    """Return the name of the stream of output under this root: `CONTAINERD_STDIO`."""
    return f"{subjects.root.upper()}_STDIO"


async def ensure_output(connection: Connection, subjects: Subjects, making: OutputMaking = AS_USUAL) -> None:
    """Make sure that the stream of output exists and can be used.

    Raises:
        ConfigError: it cannot be made, or is of no use; the sentence says what to do.
        LogUnavailable: JetStream does not answer at present.
    """
    name = output_stream_name(subjects)
    with stream_errors(connection, name):
        config = await existing(connection, name)
        if config is None:
            config = await create(connection, _declared(subjects, making))
        weaknesses = output_faults(config, subjects)
        if weaknesses:
            raise ConfigError(
                f"stream {name} is of no use for output: {'; '.join(weaknesses)}. Change the stream (nats stream edit "
                f"{name}), or remove it if its output may go, and the bridge makes a new one"
            )


def _declared(subjects: Subjects, making: OutputMaking) -> dict[str, Any]:
    window = 120 if making.max_age_s == 0 else min(120, making.max_age_s)
    return settings(
        output_stream_name(subjects),
        "What processes in containers write (containerd-bridge)",
        subjects.stdio_stream_subjects(),
        replicas=making.replicas,
        duplicate_window=window * SECOND,
        max_age=making.max_age_s * SECOND,
        max_bytes=making.max_bytes or -1,
        allow_direct=True,
    )


def output_faults(there: dict[str, Any], subjects: Subjects) -> list[str]:
    """Return what keeps a stream from being used for output: field, value there, value needed. Empty if it is good."""
    need = Needs(there)
    need("retention", there.get("retention") == "limits", "limits")
    need("discard", there.get("discard", "old") == "old", "old: a full stream would make every process wait")
    need("max_msgs_per_subject", there.get("max_msgs_per_subject", -1) <= 0, "-1: it drops a process's older output")
    size = there.get("max_msg_size", -1)
    need("max_msg_size", size < 0 or size >= LARGEST + HEADERS, f"-1, or {LARGEST + HEADERS} or more")
    need.subjects(subjects.stdio_stream_subjects())
    need.unset()
    return need.unmet
