"""How each command stands, under `<node>.<namespace>.<container>.<id>` in the bucket of commands.

Who may read one namespace only reads with a filter, which is what NATS can hold somebody to: with a consumer, since the subject
of any other way to read says nothing of what is read.
"""

from __future__ import annotations

import asyncio
import builtins
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, suppress
from typing import Final

from msgspec.structs import replace
from nats.aio.msg import Msg

from bridge.errors import BadEnvelope, CommandFailed, LogRefused, LogUnavailable
from bridge.jetstream.api import api
from bridge.jetstream.buckets import bucket_stream, key_subject
from bridge.jetstream.connection import Connection
from bridge.jetstream.errors import NATS_ERRORS, ApiError, Denied, log_errors
from bridge.jetstream.keys import Key, WrongRevision, keys_in
from bridge.jetstream.lanes import Lanes
from bridge.jetstream.reply import cut
from bridge.jetstream.stored import each_of
from bridge.jetstream.streams import NO_STREAM
from bridge.model.codec import decode_as, encode_any
from bridge.model.identity import new_ulid
from bridge.model.limits import MAX_BODY
from bridge.model.outcomes import CommandState, Outcome
from bridge.model.subjects import CommandSubject, Subjects
from bridge.ports import Entry

__all__ = ["JetStreamCommands"]

log = logging.getLogger(__name__)

LOOK_S: Final = 2.0
"""Between two looks at a key whose change may have been missed: a message that nobody repeats told of it."""


TRIES: Final = 5
"""Readings of keys that are being written again."""


class _Writer(Lanes):
    """Lanes whose entries are values of keys."""

    def _lane(self, entry: Entry) -> str:
        return entry.subject

    def _header(self, entry: Entry) -> str:
        return f"NATS/1.0\r\nNats-Msg-Id: {entry.id}\r\n\r\n"


TAKEN_BACK: Final = b"taken back"
"""The mark. A server can be made to write under its key, but not this."""


class JetStreamCommands:
    """Implements `bridge.ports.CommandStates`."""

    def __init__(self, connection: Connection, subjects: Subjects) -> None:
        self._connection = connection
        self._bucket: Final = subjects.command_bucket
        self._stream: Final = bucket_stream(self._bucket)
        self._writer = _Writer(connection, self._stream)
        self._open = False

    async def write(self, states: Sequence[CommandState]) -> None:
        """Let these states stand there; see `CommandStates.write`.

        Raises:
            LogUnavailable: unknown which are stored; write them again.
            LogRefused: the bucket refuses.
        """
        if not self._open:
            await self._writer.open()
            self._open = True
        await self._writer.append(
            [
                Entry(
                    n=number,
                    id=new_ulid(),
                    subject=self._connection.written + key_subject(self._bucket, _key(state)),
                    body=_encoded(state),
                )
                for number, state in enumerate(states, 1)
            ]
        )

    async def get(
        self, command_id: str, *, node: str | None = None, namespace: str | None = None, container: str | None = None
    ) -> builtins.list[CommandState]:
        """Return how the commands of this id stand; see `CommandStates.get`.

        Raises:
            LogUnavailable: the bucket does not answer.
            LogRefused: there is no such bucket, or it may not be read.
        """
        pattern = Subjects.command_keys(node, command_id, namespace=namespace, container=container)
        if namespace is not None:
            return await self._read(pattern)
        if node is not None:
            state = await self._state(pattern)
            return [] if state is None else [state]
        found = [await self._state(key) for key in sorted(await self._keys(pattern))]
        return [state for state in found if state is not None]

    async def list(
        self, *, node: str | None = None, namespace: str | None = None, container: str | None = None
    ) -> AsyncIterator[CommandState]:
        """Iterate over all of them; see `CommandStates.list`.

        Raises:
            LogUnavailable: the bucket does not answer.
            LogRefused: there is no such bucket, or it may not be read.
        """
        async with aclosing(self._each(Subjects.command_keys(node, namespace=namespace, container=container))) as found:
            async for state in found:
                yield state

    async def wait(
        self,
        command_id: str,
        node: str,
        *,
        namespace: str | None = None,
        container: str | None = None,
        timeout: float | None,
        after: Outcome | None = None,
    ) -> Outcome:
        """Wait for a command's outcome; see `CommandStates.wait`.

        Raises:
            CommandFailed: `deadline_exceeded`: it has none yet.
            LogRefused: there is no such bucket, or it may not be read.
        """
        key = Subjects.command_keys(node, command_id, namespace=namespace, container=container)
        news = asyncio.Event()

        async def on_message(_message: Msg) -> None:
            news.set()

        client = self._connection.client
        subscription = await client.subscribe(key_subject(self._bucket, key), cb=on_message)
        try:
            async with asyncio.timeout(timeout):
                while True:
                    news.clear()
                    with suppress(LogUnavailable):
                        found = await self.get(command_id, node=node, namespace=namespace, container=container)
                        for state in found:
                            if state.outcome is not None and state.outcome != after:
                                return state.outcome
                    with suppress(TimeoutError):
                        async with asyncio.timeout(LOOK_S):
                            await news.wait()
        except TimeoutError as error:
            raise CommandFailed(
                "deadline_exceeded",
                f"command {command_id} on node {node} has no outcome after {timeout:g} s: `jobs show {command_id}` tells later",
            ) from error
        finally:
            with suppress(*NATS_ERRORS):
                await subscription.unsubscribe()

    async def take_back(self, command_id: str, subject: CommandSubject) -> None:
        """Write down that a job is not to begin; see `CommandStates.take_back`.

        Raises:
            LogUnavailable: it is open whether that stands there.
            LogRefused: it may not be written.
        """
        key = self._taken_back_key(command_id, subject)
        revision = 0
        while True:
            try:
                await key.put(TAKEN_BACK, expected=revision)
            except WrongRevision:
                standing = await key.get()
                if standing is not None and standing.value == TAKEN_BACK:
                    return  # somebody else did
                revision = 0 if standing is None else standing.revision
            else:
                return

    async def taken_back(self, command_id: str, subject: CommandSubject) -> bool:
        """Tell whether that stands there; see `CommandStates.taken_back`.

        Raises:
            LogUnavailable: the bucket does not answer.
            LogRefused: it may not be read.
        """
        standing = await self._taken_back_key(command_id, subject).get()
        return standing is not None and standing.value == TAKEN_BACK

    def _taken_back_key(self, command_id: str, subject: CommandSubject) -> Key:
        key = Subjects.taken_back_key(subject.node, subject.namespace, subject.container, command_id)
        return Key(self._connection, self._bucket, key)

    # -- inside

    async def _each(self, pattern: str) -> AsyncGenerator[CommandState, None]:
        subject = key_subject(self._bucket, pattern)
        with log_errors(self._stream):
            await self._demand_bucket()
            on_each = each_of(self._connection, self._stream, subject, last_per_subject=True)
            async with aclosing(on_each) as messages:
                async for message, _place in messages:
                    state = _decoded(message.data, message.subject)
                    if state is not None:
                        yield state

    async def _keys(self, pattern: str) -> set[str]:
        with log_errors(self._stream):
            return await keys_in(self._connection, self._bucket, pattern)

    async def _read(self, pattern: str) -> builtins.list[CommandState]:
        """Return what stands under the keys that match, for whoever may read no others."""
        for _ in range(TRIES):
            keys = await self._keys(pattern)
            found = [state async for state in self._each(pattern)]
            if len(found) >= len(keys):  # else one was written again, and its turn had passed
                break
        return sorted(found, key=lambda state: state.node)

    async def _state(self, key: str) -> CommandState | None:
        standing = await Key(self._connection, self._bucket, key).get()
        return None if standing is None or standing.value is None else _decoded(standing.value, key)

    async def _demand_bucket(self) -> None:
        try:
            await api(self._connection, f"STREAM.INFO.{self._stream}")
        except ApiError as error:
            if error.err_code == NO_STREAM:
                raise LogRefused(f"there is no bucket {self._bucket}: a bridge makes it at its first start") from error
            raise
        except Denied as error:
            raise LogRefused(f"bucket {self._bucket}: {error}") from error


def _key(state: CommandState) -> str:
    return Subjects.command_key(state.node, state.namespace, state.container, state.id)


def _decoded(value: bytes, where: str) -> CommandState | None:
    try:
        return decode_as(value, CommandState)
    except BadEnvelope as error:
        log.warning("skipping what stands under %s: %s", where, error)
        return None


def _encoded(state: CommandState) -> bytes:
    value = encode_any(state)
    if len(value) <= MAX_BODY or state.outcome is None:
        return value
    # The word of an outcome always fits; a result that does not was the business of whoever waited for the reply.
    error = None if state.outcome.error is None else cut(state.outcome.error)
    return encode_any(replace(state, outcome=replace(state.outcome, result=None, error=error)))
