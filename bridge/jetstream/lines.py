"""What comes from the bus for the processes of a node, input and credits: `bridge.ports.StdioLines`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from nats.aio.msg import Msg

from bridge.errors import BadEnvelope, ConfigError
from bridge.jetstream.connection import Connection
from bridge.jetstream.errors import NATS_ERRORS, Denied, explain
from bridge.jetstream.identity import who_asks
from bridge.jetstream.inboxes import is_inbox
from bridge.jetstream.output import JetStreamOutput
from bridge.jetstream.output_stream import OutputMaking, ensure_output
from bridge.model.codec import decode_as, encode_any
from bridge.model.events import Failure
from bridge.model.stdio import Credit, InputReply, input_from
from bridge.model.subjects import Subjects
from bridge.ports.stdio import OnCredit, OnInput

__all__ = ["NatsLines", "OutputMaking", "open_stdio"]

log = logging.getLogger(__name__)

LEAVE_S: Final = 1
"""Patience with the server when we take nothing any more: until it knows, who sends waits in vain."""

UNDER_WAY: Final = 1_024
"""Pieces of input at the same time; each is answered within seconds."""


class NatsLines:
    """Takes what comes for one node."""

    def __init__(self, connection: Connection, subjects: Subjects, node: str, *, request_info: bool = False) -> None:
        self._connection = connection
        self._subjects = subjects
        self._node = node
        self._request_info = request_info
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def serve(self, on_input: OnInput, on_credit: OnCredit) -> AsyncIterator[None]:
        """Hand on what comes until the context is left; see the port."""
        client = self._connection.client
        inputs, owners = (self._subjects.stdio_filter(self._node, line) for line in ("stdin", "credit"))
        denied: list[Denied] = []

        async def take_input(message: Msg) -> None:
            if len(self._tasks) >= UNDER_WAY:
                sentence = f"{UNDER_WAY} pieces of input are under way on node {self._node}: send it again"
                await self._answer(message, InputReply(error=Failure(code="exhausted", message=sentence)))
                return
            task = asyncio.create_task(self._input(message, on_input), name=f"input {message.subject}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        async def take_credit(message: Msg) -> None:
            try:
                on_credit(self._subjects.parse_stdio(message.subject), decode_as(message.data, Credit))
            except (BadEnvelope, ValueError) as error:
                log.debug("a credit on %s is none: %s", message.subject, error)

        async with self._connection.denials(
            lambda error: denied.append(error) if error.subject in {inputs.lower(), owners.lower()} else None
        ):
            subscriptions = [
                await client.subscribe(inputs, cb=take_input),
                await client.subscribe(owners, cb=take_credit),
            ]
            await client.flush()
        if denied:
            raise ConfigError(
                f"{denied[0]}: allow it for the stdio of node {self._node}, or leave exec out of --commands"
            )
        try:
            yield
        finally:
            for subscription in subscriptions:
                try:
                    await subscription.unsubscribe()
                    await client.flush(timeout=LEAVE_S)
                except NATS_ERRORS as error:
                    log.debug("unsubscribing: %s", explain(error))
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _input(self, message: Msg, on_input: OnInput) -> None:
        if message.reply and not is_inbox(message.reply):
            log.warning(
                "input on %s wants its answer on %r: no inbox, so it is not taken", message.subject, message.reply
            )
            return
        try:
            piece = input_from(message.headers or {}, message.data)
            who = who_asks(message.headers or {}, message.reply) if self._request_info else None
            reply = await on_input(self._subjects.parse_stdio(message.subject), piece, who)
        except (BadEnvelope, ValueError) as error:
            reply = InputReply(error=Failure(code="invalid_argument", message=str(error)))
        except Exception:
            log.exception("input on %s failed", message.subject)
            reply = InputReply(error=Failure(code="internal", message="input failed by a mistake of the bridge itself"))
        await self._answer(message, reply)

    async def _answer(self, message: Msg, reply: InputReply) -> None:
        if not message.reply:
            return
        try:
            await self._connection.client.publish(message.reply, encode_any(reply))
        except NATS_ERRORS as error:
            log.debug("input on %s is not answered: %s", message.subject, explain(error))


async def open_stdio(
    connection: Connection, subjects: Subjects, node: str, making: OutputMaking, *, request_info: bool = False
) -> tuple[JetStreamOutput, NatsLines]:
    """Make sure of the stream of output, and return both ends of stdio for a node.

    Raises:
        ConfigError: the stream cannot be made, or is of no use.
        LogUnavailable: JetStream does not answer at present.
    """
    await ensure_output(connection, subjects, making)
    return JetStreamOutput(connection, subjects, making), NatsLines(
        connection, subjects, node, request_info=request_info
    )
