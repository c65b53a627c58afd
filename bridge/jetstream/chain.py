"""Several messages under way at once on one subject, each stored right behind the one before it, or not at all.

The first says by its number behind which message of its subject it belongs. What number that will get nobody knows yet, so each
other one names the message before it by its id (`Nats-Expected-Last-Msg-Id`), and an id stands for one message and no other. If
one is not stored, whatever the reason, the next one cannot be: there is no hole, however the answers are lost. The server
compares with the last message of the whole stream. Where somebody else's came in between, the rest of the chain is refused, and
its caller goes on behind what is stored.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import msgspec
import nats.errors
from msgspec import Struct

from bridge.errors import LogError, LogUnavailable
from bridge.jetstream.connection import Connection
from bridge.jetstream.errors import NATS_ERRORS, Denied, LinkLost, log_error, log_errors
from bridge.jetstream.parser import Delivered
from bridge.model.kinds import decoder

__all__ = ["Chain", "Message"]

ANSWER_S: Final = 10.0
"""Patience with the next answer."""


class Message(NamedTuple):
    """One message of a chain: its id, other headers, its body."""

    id: str
    headers: Mapping[str, str]
    data: bytes


class _Answer(Struct):
    stream: str = ""
    seq: int = 0
    duplicate: bool = False
    error: dict[str, Any] | None = None


class _UnderWay:
    """A chain that waits for its answers."""

    def __init__(self, size: int) -> None:
        self.answers: list[_Answer | None] = [None] * size
        self.left = size
        self.failure: Exception | None = None
        self._news = asyncio.Event()

    def take(self, number: int, answer: _Answer) -> None:
        if self.answers[number] is None:
            self.answers[number] = answer
            self.left -= 1
            self._news.set()

    def fail(self, failure: Exception) -> None:
        self.failure = self.failure or failure
        self._news.set()

    def check(self) -> None:
        if self.failure is not None:
            raise self.failure

    async def all(self) -> list[_Answer]:
        """Wait for every answer; TimeoutError where for too long none comes."""
        while self.left:
            self.check()
            self._news.clear()
            async with asyncio.timeout(ANSWER_S):
                await self._news.wait()
        return [answer for answer in self.answers if answer is not None]


class Chain:
    """Publishes chains to a stream; one is sent at a time, many may wait for their answers."""

    def __init__(self, connection: Connection, stream: str) -> None:
        self._connection = connection
        self._stream = stream
        self._inbox = connection.client.new_inbox()
        self._heard = False
        self._sending = asyncio.Lock()
        self._under_way: dict[str, _UnderWay] = {}

    async def publish(self, subject: str, messages: Sequence[Message], *, after: int) -> list[int]:
        """Store the messages behind the message at place `after` of their subject; return the places of those that are stored.

        They are the first ones, at least one. Of the others none is stored, and none will be.

        Raises:
            LogUnavailable: unknown how many are stored.
            LogConflict: another message stands there; nothing was stored.
            LogRefused: nothing was stored; the sentence says why.
        """
        name, chain = secrets.token_hex(8), _UnderWay(len(messages))

        def on_denied(denied: Denied) -> None:
            # The server's line comes in lower case. Without an inbox there is no answer either.
            if denied.subject == subject.lower():
                chain.fail(Denied(subject, denied.action))
            elif denied.subject.startswith(self._inbox.lower()):
                chain.fail(Denied(self._connection.inbox, denied.action))

        def on_loss(reason: str) -> None:
            chain.fail(LinkLost(reason))

        with log_errors(self._stream):
            link = self._connection.link
            link.watch(on_loss)
            self._under_way[name] = chain
            try:
                async with self._connection.denials(on_denied):
                    async with self._sending:  # between two of them nothing else of ours may come into the stream
                        await self._hear(chain)
                        await self._send(subject, f"{self._inbox}.{name}", messages, chain, after)
                    answers = await chain.all()
            finally:
                del self._under_way[name]
                link.unwatch(on_loss)
        return self._places(answers)

    # -- inside

    async def _hear(self, chain: _UnderWay) -> None:
        if self._heard:
            return
        client = self._connection.client
        inbox = await client.listen(f"{self._inbox}.*.*", self._on_answer)
        try:
            await client.flush()  # the server has to know of it before it can answer there
            chain.check()
        except BaseException:
            with suppress(*NATS_ERRORS):
                await inbox.unsubscribe()
            raise
        self._heard = True  # nats-py subscribes again after each reconnect, before anything else is sent

    async def _send(self, subject: str, reply: str, messages: Sequence[Message], chain: _UnderWay, after: int) -> None:
        client = self._connection.client
        expected = f"Nats-Expected-Last-Subject-Sequence: {after}"
        for number, message in enumerate(messages):
            lines = "".join(f"{name}: {value}\r\n" for name, value in message.headers.items())
            head = f"NATS/1.0\r\n{lines}Nats-Msg-Id: {message.id}\r\nNats-Expected-Stream: {self._stream}\r\n{expected}\r\n\r\n"
            control = f"HPUB {subject} {reply}.{number} {len(head)} {len(head) + len(message.data)}\r\n{head}"
            expected = f"Nats-Expected-Last-Msg-Id: {message.id}"
            chain.check()  # no await between this and the write: both are about the same connection
            client.send(b"".join((control.encode(), message.data, b"\r\n")))
            client.stats["out_msgs"] += 1
            await client.drained()

    def _on_answer(self, message: Delivered) -> None:
        _, name, number = message.subject.rsplit(".", 2)
        chain = self._under_way.get(name)
        if chain is None:
            return
        if not message.data and message.headers.get("Status") == "503":
            chain.fail(nats.errors.NoRespondersError())
            return
        try:
            chain.take(int(number), _decoder.decode(message.data))
        except (msgspec.DecodeError, ValueError, IndexError) as error:
            chain.fail(nats.errors.Error(f"nats: what answers for the stream is not JetStream: {error}"))

    def _places(self, answers: Sequence[_Answer]) -> list[int]:
        wrong = [self._wrong(answer) for answer in answers]
        good = next((number for number, error in enumerate(wrong) if error is not None), len(answers))
        if any(error is None for error in wrong[good:]):
            raise LogUnavailable(f"stream {self._stream} stored a message of a chain without the one before it")
        first = wrong[0]
        if first is not None:
            raise first
        return [answer.seq for answer in answers[:good]]

    def _wrong(self, answer: _Answer) -> LogError | None:
        if answer.error:
            return log_error(answer.error, self._stream)
        if answer.duplicate or answer.stream != self._stream or answer.seq < 1:
            # What ends where a stored one ends need not have begun there.
            return LogUnavailable(f"stream {self._stream} has such a message already, or another stream took it")
        return None


_decoder = decoder(_Answer)
