"""The other side of the command plane: sends commands as NATS requests, and finds the nodes that take them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from nats.aio.msg import Msg

from bridge.errors import BadEnvelope, CommandFailed
from bridge.jetstream.connection import Connection
from bridge.jetstream.errors import NATS_ERRORS, Denied, command_failed, explain
from bridge.jetstream.micro import SERVICE
from bridge.jetstream.reply import ERROR_HEADER
from bridge.model.codec import decode_as
from bridge.model.identity import check_node
from bridge.model.outcomes import Outcome
from bridge.model.subjects import Subjects
from bridge.ports import NodePresence
from bridge.trace import carried

__all__ = ["NatsSender"]

log = logging.getLogger(__name__)

_NO_RESPONDERS = "503"
"""Status that nats-server answers with when nobody listens (ADR-4)."""


PATIENCE_S: Final = 5.0
"""How long the first answer is waited for where somebody listens: a bridge on a busy host is no missing one."""


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
            message = await self._connection.request(subject, body, timeout=timeout, headers=carried() or None)
        except NATS_ERRORS as error:
            raise command_failed(error, subject) from error
        try:
            return decode_as(message.data, Outcome)
        except BadEnvelope as error:
            said = (message.headers or {}).get(ERROR_HEADER) or str(error)
            raise CommandFailed("internal", f"what answers on {subject} is no containerd-bridge: {said}") from error

    async def nodes(self, *, wait: float = 0.5) -> Sequence[NodePresence]:
        """Return the nodes that answer; see the port. nats-server says at once where there is none.

        Raises:
            CommandFailed: `unavailable` while there is no connection, `refused` when NATS does not permit to ask.
        """
        subject = f"$SRV.INFO.{SERVICE}"
        found: dict[str, NodePresence] = {}
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heard: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def on_answer(message: Msg) -> None:
            if (message.headers or {}).get("Status") == _NO_RESPONDERS:
                _settle(over, None)
            elif (node := _presence(message)) is not None:
                found[node.node] = node
            _settle(heard, None)

        def on_denied(error: Denied) -> None:
            # The server's line reaches us in lower case.
            if error.subject == subject.lower():
                _settle(over, error)

        client = self._connection.client
        inbox = client.new_inbox()
        try:
            subscription = await client.subscribe(inbox, cb=on_answer)
            try:
                async with self._connection.denials(on_denied):
                    await client.publish(subject, reply=inbox)
                    await asyncio.wait({over}, timeout=wait)
                    # Somebody listens, and is busy, where neither is done.
                    await asyncio.wait({over, heard}, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
                if over.done():
                    over.result()
            finally:
                over.cancel()
                heard.cancel()
                await subscription.unsubscribe()
        except NATS_ERRORS as error:
            raise CommandFailed(
                "refused" if isinstance(error, Denied) else "unavailable", f"cannot look for nodes: {explain(error)}"
            ) from error
        return sorted(found.values(), key=lambda node: node.node)


def _settle(future: asyncio.Future[None], error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def _presence(message: Msg) -> NodePresence | None:
    # Anybody on the bus may call a service by our name; what is no node of ours is none of the nodes.
    try:
        info = decode_as(message.data, _Info)
        node = check_node(info.metadata.get("node", ""))
    except (BadEnvelope, ValueError) as error:
        log.debug("an answer to $SRV.INFO.%s is from no node: %s", SERVICE, error)
        return None
    groups = [group for group in info.metadata.get("groups", "").split(",") if group]
    return NodePresence(node=node, version=info.version, groups=groups)
