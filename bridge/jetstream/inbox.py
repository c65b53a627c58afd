"""Where commands come from: requests on this node's command subjects, behind the NATS micro service `containerd-bridge`.

One subscription takes the requests of every verb, so they are handed on in the order in which they were sent, and each is
handled in a task of its own, so that a slow one holds up no other. Every request that can be answered gets exactly one
outcome, the refused, the malformed and the interrupted ones included. One that wants its answer on a subject that is no inbox
(`bridge.jetstream.inboxes`) is not taken. Nor is what a server says of itself, which it does wherever whoever asks it wants: it
has a status, or neither a body nor somebody who waits.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from msgspec import Struct
from nats.aio.msg import Msg

from bridge.errors import Code, ConfigError
from bridge.jetstream import identity
from bridge.jetstream.connection import Connection
from bridge.jetstream.errors import NATS_ERRORS, Denied, explain
from bridge.jetstream.inboxes import is_inbox
from bridge.jetstream.micro import QUEUE_GROUP, SERVICE, Endpoint, MicroService
from bridge.jetstream.reply import encode_reply
from bridge.model.commands import id_in
from bridge.model.events import Failure
from bridge.model.identity import new_ulid
from bridge.model.nanos import Nanos, now
from bridge.model.outcomes import Outcome
from bridge.model.subjects import CommandSubject, Subjects
from bridge.ports import AnsweredLater, CommandHandler, CommandRequest

__all__ = ["MicroInbox"]

log = logging.getLogger(__name__)

UNDER_WAY: Final = 2_048
"""Requests under way at the same time; the next one is `exhausted`. More than the dispatcher itself lets wait, so that its
refusals, which are recorded, come first."""

FINISH_S: Final = 10.0
"""Patience with the requests under way when the inbox closes."""

DRAIN_S: Final = 2.0
"""Patience with the server when the inbox closes: to hear that we are gone, to take the last replies."""


class MicroInbox:
    """Takes the commands for one node. See `bridge.ports.CommandInbox`."""

    def __init__(
        self,
        connection: Connection,
        subjects: Subjects,
        node: str,
        *,
        version: str,
        groups: Sequence[str] = (),
        under_way: int = UNDER_WAY,
        finish: float = FINISH_S,
        request_info: bool = False,
    ) -> None:
        """Take what the node is.

        Args:
            connection: an open one.
            subjects: the subjects of the bus.
            node: this node's name.
            version: the bridge's version, for those who look for nodes.
            groups: the command groups that are switched on, for them too.
            under_way: requests at the same time; what comes on top is answered with `exhausted`.
            finish: seconds that the requests under way may still take when the inbox closes; then they are interrupted.
            request_info: whether to believe the server's header about who asks; see `bridge.jetstream.identity`.
        """
        self._request_info = request_info
        self._connection = connection
        self._subjects = subjects
        self._node = node
        self._version = version
        self._groups = groups
        self._most = under_way
        self._finish = finish

    @asynccontextmanager
    async def serve(self, verbs: Sequence[str], handle: CommandHandler) -> AsyncIterator[None]:
        """Take commands until the context is left; see the port.

        Leaving stops taking, lets those under way finish for `finish` seconds, interrupts the rest with an `unknown`
        outcome, and sends all replies before it returns.

        Raises:
            ConfigError: on entering, when NATS does not permit this login to take the node's commands.
        """
        endpoints = {
            verb: Endpoint(name=verb, subject=self._subjects.command_filter(self._node, verb)) for verb in verbs
        }
        service = MicroService(
            self._connection.client,
            name=SERVICE,
            version=self._version,
            description="Commands for the containers of a node's containerd",
            metadata={"node": self._node, "groups": ",".join(self._groups)},
            endpoints=list(endpoints.values()),
        )
        if self._request_info:
            identity.check_server(self._connection.server_version)
        desk = _Desk(self._connection, self._node, endpoints, handle, most=self._most, request_info=self._request_info)
        try:
            async with self._taking(desk), service:  # nobody is to find the node before it listens, or after
                yield
        finally:
            await desk.finish(self._finish)

    async def answer(self, reply: str, outcome: Outcome) -> None:
        """Send an outcome to whoever may still wait for it: of a command that an earlier run took."""
        if not is_inbox(reply):
            log.warning("the outcome of %s is not sent to %r, which is no inbox", outcome.id, reply)
            return
        body, headers = encode_reply(outcome, self._connection.client.max_payload)
        try:
            await self._connection.client.publish(reply, body, headers=headers)
        except NATS_ERRORS as failure:
            log.warning("the outcome of %s cannot be sent: %s", outcome.id, explain(failure))

    @asynccontextmanager
    async def _taking(self, desk: _Desk) -> AsyncIterator[None]:
        client, subject = self._connection.client, self._subjects.command_filter(self._node)
        denied: list[Denied] = []

        async def on_message(message: Msg) -> None:
            await desk.take(message, self._read(message.subject))

        async with self._connection.denials(
            lambda error: denied.append(error) if error.subject == subject.lower() else None
        ):
            subscription = await client.subscribe(subject, queue=QUEUE_GROUP, cb=on_message)
            await client.flush()
        if denied:
            raise ConfigError(f"{denied[0]}: allow it for the commands of node {self._node}, or give --commands none")
        try:
            yield
        finally:
            try:
                # Drain and not unsubscribe: what the server has sent us already, nobody else will ever answer.
                await asyncio.wait_for(subscription.drain(), DRAIN_S)  # type: ignore[no-untyped-call]
            except NATS_ERRORS as error:
                log.warning("commands of the last moment may be lost: %s", explain(error))
                client._remove_sub(subscription._id)  # noqa: SLF001 - else it comes back with the connection

    def _read(self, subject: str) -> CommandSubject | str:
        """Return what a subject says, or the sentence why it says nothing."""
        try:
            return self._subjects.parse_command(subject)
        except ValueError as error:
            return str(error)


class _Desk:
    """Takes in requests, sees to it that each is handled and answered, and keeps the counts."""

    def __init__(
        self,
        connection: Connection,
        node: str,
        endpoints: dict[str, Endpoint],
        handle: CommandHandler,
        *,
        most: int,
        request_info: bool,
    ) -> None:
        self._request_info = request_info
        self._connection = connection
        self._node = node
        self._endpoints = endpoints
        self._handle = handle
        self._most = most
        self._tasks: set[asyncio.Task[None]] = set()

    async def take(self, message: Msg, subject: CommandSubject | str) -> None:
        """Take one request in; returns without waiting for it. Its subject may be a sentence: why it is none."""
        if message.reply and not is_inbox(message.reply):
            log.warning(
                "a request on %s wants its answer on %r: no inbox, so it is not taken", message.subject, message.reply
            )
            return
        if "Status" in (message.headers or {}) or not (message.reply or message.data):
            log.warning("a message on %s is by no sender of commands: it is not taken", message.subject)
            return
        request = _Request(message=message, subject=subject, received_at=now(), began=time.monotonic_ns())
        if len(self._tasks) >= self._most:
            sentence = f"{len(self._tasks)} requests are under way on node {self._node}: try again later"
            await self._answer(request, self._refusal(request, "exhausted", sentence))
            return
        # Tasks begin in the order in which they are made, so the handler sees requests in the order of arrival.
        task = asyncio.create_task(self._carry_out(request), name=f"command {message.subject}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self, within: float) -> None:
        """Wait for the requests under way; interrupt what is left after `within` seconds; send what is to be sent."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=within)
            if late:
                log.warning("%d commands are interrupted: they did not end within %g s", len(late), within)
                for task in late:
                    task.cancel()
                await asyncio.wait(late, timeout=DRAIN_S)
        try:
            await asyncio.wait_for(self._connection.client.flush(), DRAIN_S)
        except NATS_ERRORS as error:
            log.warning("the last replies to commands may be lost: %s", explain(error))

    async def _carry_out(self, request: _Request) -> None:
        try:
            outcome = await self._outcome(request)
        except asyncio.CancelledError:
            sentence = (
                f"the bridge on node {self._node} stopped in the middle: inspect the container to see how far it came"
            )
            await self._answer(request, self._refusal(request, "unknown", sentence))
            raise
        except AnsweredLater:
            return
        await self._answer(request, outcome)

    async def _outcome(self, request: _Request) -> Outcome:
        subject, message = request.subject, request.message
        if isinstance(subject, str):
            return self._refusal(request, "invalid_argument", subject)
        if subject.verb not in self._endpoints:
            verbs = ", ".join(sorted(self._endpoints))
            sentence = f"node {self._node} takes no command {subject.verb!r}: choose from {verbs}"
            return self._refusal(request, "unimplemented", sentence)
        try:
            headers = message.headers or {}
            who = identity.who_asks(headers, message.reply) if self._request_info else None
            request_ = CommandRequest(subject=subject, body=message.data, headers=headers, who=who, reply=message.reply)
            return await self._handle(request_)
        except AnsweredLater:
            raise
        except Exception:
            log.exception("the handler of command %s failed", message.subject)
            return self._refusal(request, "internal", f"{subject.verb} failed by a mistake of the bridge itself")

    def _refusal(self, request: _Request, code: Code, sentence: str) -> Outcome:
        subject = None if isinstance(request.subject, str) else request.subject
        return Outcome(
            id=id_in(request.message.data) or new_ulid(),
            verb=request.message.subject.rpartition(".")[2],
            node=self._node,
            outcome="unknown" if code == "unknown" else "error",
            namespace=subject.namespace if subject else None,
            container=subject.container if subject else None,
            error=Failure(code=code, message=sentence),
            received_at=request.received_at,
            finished_at=now(),
        )

    async def _answer(self, request: _Request, outcome: Outcome) -> None:
        client, message, error = self._connection.client, request.message, outcome.error
        body, headers = encode_reply(outcome, client.max_payload)
        endpoint = self._endpoints.get(message.subject.rpartition(".")[2])
        if endpoint is not None:
            endpoint.count(time.monotonic_ns() - request.began, f"{error.code}: {error.message}" if error else None)
        if not message.reply:
            return
        try:
            await client.publish(message.reply, body, headers=headers)
        except NATS_ERRORS as failure:
            log.warning("the outcome of %s cannot be sent: %s", outcome.id, explain(failure))


class _Request(Struct, kw_only=True):
    """One request on its way through. `received_at` is a time, `began` nanoseconds of the monotonic clock."""

    message: Msg
    subject: CommandSubject | str
    received_at: Nanos
    began: int
