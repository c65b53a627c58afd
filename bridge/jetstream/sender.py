"""The other side of the command plane: sends commands as NATS requests, and finds the nodes that take them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
from msgspec import Struct
from nats.aio.msg import Msg

from bridge.errors import BadEnvelope, CommandFailed
from bridge.jetstream.connection import Connection
from bridge.jetstream.errors import NATS_ERRORS, Denied, command_failed, explain
from bridge.jetstream.micro import SERVICE
from bridge.jetstream.reply import ERROR_HEADER
from bridge.model.codec import decode_as
from bridge.model.outcomes import Outcome
from bridge.model.subjects import Subjects
from bridge.ports import NodePresence

__all__ = ["NatsSender"]

log = logging.getLogger(__name__)


class _Info(Struct):
    """What of a micro service's INFO is needed to know a node by it."""

    version: str
    metadata: dict[str, str] = {}


class NatsSender:
    """Sends commands over a connection. See `bridge.ports.CommandSender`."""

    def __init__(self, connection: Connection, subjects: Subjects) -> None:
        self._connection = connection
        self._subjects = subjects

    async def send(self, subject: str, body: bytes, *, timeout: float) -> Outcome:
        """Send one command and return its outcome; see the port."""
        try:
            message = await self._connection.request(subject, body, timeout=timeout)
        except NATS_ERRORS as error:
            raise command_failed(error, subject) from error
        try:
            return decode_as(message.data, Outcome)
        except BadEnvelope as error:
            said = (message.headers or {}).get(ERROR_HEADER) or str(error)
            raise CommandFailed("internal", f"what answers on {subject} is no containerd-bridge: {said}") from error

    async def nodes(self, *, wait: float = 0.5) -> Sequence[NodePresence]:
        """Return the nodes that answer; see the port.

        Raises:
            CommandFailed: `unavailable` while there is no connection, `refused` when NATS does not permit to ask.
        """
        found: dict[str, NodePresence] = {}
        subject = f"$SRV.INFO.{SERVICE}"
        try:
            async with self._asking(subject) as answers:
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        while True:
                            present = _presence(await answers.get())
                            if present is not None:
                                found[present.node] = present
        except _Nobody:
            pass
        except NATS_ERRORS as error:
            code = "refused" if isinstance(error, Denied) else "unavailable"
            raise CommandFailed(code, f"cannot look for nodes: {explain(error)}") from error
        return sorted(found.values(), key=lambda node: node.node)
