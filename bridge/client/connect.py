"""Opening a bus: the only file of the client that knows what carries it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

from bridge.client.bus import Bus
from bridge.client.checkpoints import Checkpoints
from bridge.client.jobs import Jobs
from bridge.client.transport import Transport
from bridge.config import Config, NatsConfig
from bridge.errors import ConfigError
from bridge.jetstream import connection
from bridge.jetstream.checkpoints import read_checkpoints
from bridge.jetstream.commands import JetStreamCommands
from bridge.jetstream.durable import JetStreamDurable
from bridge.jetstream.embedded import embedded_config
from bridge.jetstream.inspection import JetStreamInspector
from bridge.jetstream.job_store import JetStreamJobStore
from bridge.jetstream.nodes import JetStreamNodes
from bridge.jetstream.objects import JetStreamObjects
from bridge.jetstream.progress import NatsProgress
from bridge.jetstream.reader import JetStreamReader
from bridge.jetstream.sender import NatsSender
from bridge.jetstream.state import JetStreamStates
from bridge.jetstream.stdio_client import NatsStdio
from bridge.model.subjects import Subjects

__all__ = ["connect", "embedded_here"]

STATE_DIR: Final = Config().state_dir


@asynccontextmanager
async def connect(
    nats: str | NatsConfig,
    *,
    root: str = "containerd",
    state_dir: Path = STATE_DIR,
    name: str = "containerd-bridge client",
    checkpoint_key: Path | None = None,
) -> AsyncIterator[Bus]:
    """Connect to NATS and yield the bus; leaving the context closes the connection.

    Args:
        nats: one URL or several separated by commas, or the whole configuration with credentials and TLS; `embedded` for
            the server that a bridge on this machine runs itself.
        root: first token of every subject.
        state_dir: that bridge's state directory, for `embedded`.
        name: what the server calls this connection in its own reports.
        checkpoint_key: file of the keys that archives of checkpoints are encrypted with.

    Raises:
        ConfigError: the server cannot be reached, or does not let us in.
        ValueError: `root` is no token.
    """
    subjects = Subjects(root)
    config = NatsConfig(url=nats) if isinstance(nats, str) else nats
    if config.embedded:
        config = embedded_config(state_dir)
    async with connection.connect(config, name=name) as opened:
        yield Bus(
            JetStreamReader(opened, subjects),
            NatsSender(opened, subjects),
            subjects,
            JetStreamNodes(opened, subjects),
            states=JetStreamStates(opened, subjects),
            inspector=JetStreamInspector(opened, subjects),
            jobs=Jobs(subjects, store=JetStreamJobStore(opened, subjects), states=JetStreamCommands(opened, subjects)),
            transport=Transport(subjects, NatsProgress(opened, subjects), JetStreamObjects(opened)),
            stdio=NatsStdio(opened, subjects),
            checkpoints=Checkpoints(partial(read_checkpoints, opened, subjects), key=checkpoint_key),
            durable=JetStreamDurable(opened, subjects),
        )


def embedded_here(state_dir: Path) -> NatsConfig | None:
    """Return how to reach the server that a bridge with this state directory runs itself, None if we cannot find one."""
    try:
        return embedded_config(state_dir)
    except ConfigError:
        return None
