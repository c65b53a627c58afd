"""The succession: how a bridge comes to work in its state directory, from nobody or from the bridge that works there.

With `--take-over` the bridge there is asked to stop (`bridge.capture.handover`), and once it has, nobody starts it again. So
whatever would keep this one from starting is tried before, as far as it can be while the other one works: a successor that
would fail leaves its predecessor as it is. What cannot be known before are its port for HTTP, which the other one may have,
and what only using the streams and the node's lease shows.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Final

from bridge.capture.handover import Handover, Inherited
from bridge.capture.outbox_file import check_file
from bridge.capture.state_dir import claimed, holder
from bridge.config import Config
from bridge.control.journal_file import check_journal
from bridge.errors import BridgeError, ConfigError
from bridge.jetstream.buckets import ensure_buckets
from bridge.jetstream.connection import connect
from bridge.jetstream.embedded import check_installed
from bridge.jetstream.streams import Making, ensure_events
from bridge.ports import EventSource

__all__ = ["claim", "making"]

CLOSING_S: Final = 2.0
"""Seconds in which a tracer ends that has sent nothing."""


async def claim(config: Config, handover: Handover, source: EventSource, stack: AsyncExitStack) -> Inherited | None:
    """Have the state directory for ourselves, from the bridge that works there where we are to take over.

    Args:
        config: all settings.
        handover: stands between the source and the recorder.
        source: containerd's events.
        stack: has what is to be left at the stop.

    Returns:
        What goes on where the bridge there stopped; None where the start is an ordinary one.

    Raises:
        ConfigError: the directory cannot be had, or this bridge could not start; then the one there works on.
    """
    heir = None
    if config.take_over and (former := holder(config.state_dir)) is not None:
        try:
            await _try(config)
        except BridgeError as error:
            raise ConfigError(f"nothing is taken over, the bridge with pid {former} works on: {error}") from error
        heir = await handover.ask(source)
    if heir is not None:
        await stack.enter_async_context(heir[1])
    stack.enter_context(claimed(config.state_dir))
    if heir is None:
        return None
    inherited = handover.inherit(*heir)
    if inherited is None:
        await heir[1].aclose()
        handover.forget()
    return inherited


def making(config: Config) -> Making:
    """Return how the stream of events is made where there is none."""
    return Making(config.nats.replicas, config.events_max_age_s, config.events_max_bytes)


async def _try(config: Config) -> None:
    """Do what a start does first, as far as another bridge may work meanwhile; what was opened for it is closed again.

    Raises:
        BridgeError: a start would fail with this.
    """
    check_file(config.state_dir / "outbox.db")
    if config.groups:
        check_journal(config.state_dir / "journal.db")
    if config.http_address is not None:
        from bridge import serving  # noqa: PLC0415 - 5 MiB of modules that only those pay for who want them

        serving.check(config)
    if config.groups and config.traces:
        from bridge.tracing import tracing  # noqa: PLC0415 - an extra, and only those pay for it who want it

        async with tracing(config.node, _nothing, lambda: CLOSING_S):
            pass
    if config.nats.embedded:
        check_installed()  # its store belongs to the other one's server
        return
    async with connect(config.nats, name=f"containerd-bridge {config.node}, before it takes over") as connection:
        await ensure_events(connection, config.subjects, making(config))
        await ensure_buckets(connection, config.subjects, replicas=config.nats.replicas)


async def _nothing() -> None:
    pass
