"""The connection to NATS: the first one succeeds or says why not, and from then on it is held for ever.

    async with connect(config, name="containerd-bridge web1") as connection:
        await connection.client.publish("a.b", b"...")

Afterwards the bus may go and come as it likes: each loss and each return is one line in the log, what repeats meanwhile is
said twice a minute at the most, and nothing that was not sent before the loss goes out after it. Publishing while there is
no connection fails at once instead of being kept for later.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import nats.errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from bridge.config import NatsConfig
from bridge.errors import ConfigError
from bridge.jetstream.access import Access, access
from bridge.jetstream.client import Client, Link
from bridge.jetstream.errors import Denied, LinkLost, explain, explain_connect

__all__ = ["Connection", "connect"]

log = logging.getLogger(__name__)
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)", re.ASCII)

CONNECT_S: Final = 5.0
"""Patience with each step of connecting: TCP, TLS, the server's INFO, its answer to our login."""

PING_S: Final = 10
"""A peer that vanished without a word is noticed after two or three of these."""

REQUEST_S: Final = 5.0
CLOSE_S: Final = 0.5
"""Closing is the last thing at a stop; whatever had to arrive has been acknowledged by then."""

REPEAT_S: Final = 30.0
"""The same complaint is logged once in this time."""


class Connection:
    """An open connection. Made by `connect` only."""

    def __init__(self, where: Access, name: str) -> None:
        loop = asyncio.get_running_loop()
        self._where = where
        self.servers: Final = where.urls
        """The URLs that we were given, without secrets."""
        self.inbox: Final[str] = where.options.get("inbox_prefix", "_INBOX")
        """What the subjects begin with on which answers come."""
        self.api: Final = f"{where.api_prefix}."
        """What the subjects of JetStream's own API begin with."""
        self.domain: Final = where.domain
        """The JetStream domain, where it is another one than that of the server; else empty."""
        self.written: Final = self.api if where.domain else ""
        """What is put before `$KV.` to write a key: between two JetStream domains nats-server lets keys pass as a part of the
        API only (`$JS.<domain>.API.$KV.`), and stores them under their own subject. Object stores (`$O.`) pass as they are."""
        self._closed: asyncio.Future[str] = loop.create_future()
        self._deniers: list[Callable[[Denied], None]] = []
        self._said: dict[str, float] = {}
        self._lost_at: float | None = None
        self.client: Final = Client(
            demand_tls=where.demand_tls,
            has_certificate=where.has_certificate,
            denied=self._on_denied,
            gave_up=self._on_gave_up,
        )
        """nats-py's client; `bridge.jetstream` only."""
        self.jetstream: Final[JetStreamContext] = self.client.jetstream(prefix=where.api_prefix, timeout=REQUEST_S)
        """nats-py's JetStream context. Never its `publish_async`: it hangs on a lost ack (nats.py issue 985)."""
        self._options = {
            "name": name,
            "connect_timeout": CONNECT_S,
            "max_reconnect_attempts": -1,
            "ping_interval": PING_S,
            "max_outstanding_pings": 2,
            "pending_size": 0,
            "disconnected_cb": self._on_disconnected,
            "reconnected_cb": self._on_reconnected,
            "closed_cb": self._on_closed,
            "reconnect_to_server_handler": self.client.next_server,
            **where.options,
        }

    # -- what it is

    @property
    def link(self) -> Link:
        """The TCP connection of now.

        Raises:
            nats.errors.ConnectionReconnectingError: there is none at present.
        """
        link = self.client.link
        if link is None:
            raise nats.errors.ConnectionReconnectingError
        return link

    async def linked(self) -> Link:
        """Wait for the TCP connection, if there is none at present, and return it.

        Raises:
            nats.errors.ConnectionClosedError: there will be none any more.
        """
        while self.client.link is None:
            back = asyncio.ensure_future(self.client.linked.wait())
            ends: set[asyncio.Future[Any]] = {back, self._closed}
            try:
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            finally:
                back.cancel()
            if self._closed.done():
                raise nats.errors.ConnectionClosedError
        return self.client.link

    @property
    def connected(self) -> bool:
        """Whether there is a TCP connection now, as far as anybody knows."""
        return self.client.link is not None

    @property
    def server(self) -> str:
        """The server that we are, or were last, connected to, as `host:port`."""
        current = self.client._current_server  # noqa: SLF001 - its public twin is None while reconnecting
        return current.uri.netloc if current is not None else ", ".join(self.servers)

    @property
    def server_version(self) -> tuple[int, int, int]:
        """The version of that server."""
        # nats-py's own parser fails on release candidates.
        found = _VERSION.match(str(self.client._server_info.get("version")))  # noqa: SLF001
        return (int(found[1]), int(found[2]), int(found[3])) if found else (0, 0, 0)

    @property
    def way(self) -> str:
        """How that server leads to the streams, as the end of a sentence; empty where they are its own."""
        if not self.domain:
            return ""
        own = self.client._server_info.get("domain")  # noqa: SLF001
        return f", JetStream domain {self.domain}" + ("" if own == self.domain else " through a leaf node")

    async def closed(self) -> str:
        """Wait until the connection is closed for good and return why. While it reconnects, it is not."""
        return await asyncio.shield(self._closed)

    # -- what goes over it

    async def request(
        self, subject: str, payload: bytes = b"", *, timeout: float = REQUEST_S, headers: dict[str, str] | None = None
    ) -> Msg:
        """Send a request and return its answer.

        Unlike nats-py's own it does not sit out the time when the answer can no longer come.

        Raises:
            nats.errors.NoRespondersError: nobody listens on the subject.
            nats.errors.TimeoutError: no answer in time.
            nats.errors.OutboundBufferLimitError: not connected; nothing was sent.
            Denied: the subject is not permitted; nothing happened.
            LinkLost: the connection ended meanwhile; it is open whether there was an effect.
        """
        link = self.client.link
        if link is None:
            raise nats.errors.OutboundBufferLimitError
        hopeless: asyncio.Future[Denied | LinkLost] = asyncio.get_running_loop().create_future()

        def on_denied(error: Denied) -> None:
            # The server's line reaches us in lower case. Without an inbox there is no answer either.
            ours = subject if error.subject == subject.lower() else None
            if error.subject.startswith(f"{self.inbox.lower()}."):
                ours = self.inbox
            if ours is not None and not hopeless.done():
                hopeless.set_result(Denied(ours, error.action))

        def on_loss(reason: str) -> None:
            if not hopeless.done():
                hopeless.set_result(LinkLost(reason))

        link.watch(on_loss)
        self._deniers.append(on_denied)
        answer = asyncio.ensure_future(self.client.request(subject, payload, timeout=timeout, headers=headers))
        ends: set[asyncio.Future[Any]] = {answer, hopeless}
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                raise hopeless.result()
            return await answer
        finally:
            link.unwatch(on_loss)
            self._deniers.remove(on_denied)
            hopeless.cancel()
            answer.cancel()

    @asynccontextmanager
    async def denials(self, listener: Callable[[Denied], None]) -> AsyncIterator[None]:
        """Tell `listener` of every subject that the server does not permit us (in lower case), while inside."""
        self._deniers.append(listener)
        try:
            yield
        finally:
            self._deniers.remove(listener)

    # -- opening and closing

    async def open(self) -> None:
        """Connect to the first of the servers that takes us.

        Raises:
            ConfigError: none does.
        """
        failures: list[str] = []
        for url in self.servers:
            error = await self._try(url)
            if error is None:
                break
            failures.append(f"cannot connect to NATS at {url}: {self._why(error)}")
        else:
            raise ConfigError("; ".join(failures))
        if len(self.servers) > 1:
            discovered = [server.geturl() for server in self.client.discovered_servers]
            self.client.set_server_pool([*self.servers, *discovered])

    async def _try(self, url: str) -> BaseException | None:
        # nats-py would try for ever here too; its error callback is where a failed first attempt shows.
        failed: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

        async def on_error(error: Exception) -> None:
            if failed.done():
                await self._on_error(error)
            else:
                failed.set_result(error)

        self.client._server_pool.clear()  # noqa: SLF001 - it keeps the server that failed before
        attempt = asyncio.ensure_future(self.client.connect([url], error_cb=on_error, **self._options))
        ends: set[asyncio.Future[Any]] = {attempt, failed}
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if attempt.done() and attempt.exception() is None:
                if not failed.done():
                    failed.cancel()
                return None
            return failed.result() if failed.done() else attempt.exception()
        finally:
            if not attempt.done():
                attempt.cancel()
                await asyncio.wait({attempt})

    async def close(self) -> None:
        """Close, what was handed over before is sent if the server takes it in time."""
        if not self._closed.done():
            self._closed.set_result("closed by us")
        with suppress(asyncio.TimeoutError, OSError, nats.errors.Error):
            await asyncio.wait_for(self.client.close(), CLOSE_S)
        self.client.abort()

    # -- what nats-py tells

    async def _on_disconnected(self) -> None:
        if not self.client.is_closed and self._lost_at is None:
            self._lost_at = time.monotonic()
            log.warning("connection to NATS at %s lost (%s); connecting again", self.server, self.client.loss)

    async def _on_reconnected(self) -> None:
        gone = 0.0 if self._lost_at is None else time.monotonic() - self._lost_at
        self._lost_at = None
        log.warning("connected to NATS again, at %s, after %.1f s", self.server, gone)

    async def _on_closed(self) -> None:
        if not self._closed.done():
            self._closed.set_result(f"nats-py closed the connection: {self.client.last_error}")

    def _on_gave_up(self, reason: str) -> None:
        if not self._closed.done():
            self._closed.set_result(reason)

    def _on_denied(self, error: Denied) -> None:
        self._complain(str(error))
        for listener in list(self._deniers):
            listener(error)

    async def _on_error(self, error: Exception) -> None:
        if self._lost_at is not None:
            self._complain(f"NATS at {self.server}: {self._why(error)}")
        elif not isinstance(error, OSError | nats.errors.StaleConnectionError):  # the loss has a line of its own
            self._complain(f"NATS: {explain(error)}")

    def _why(self, error: BaseException) -> str:
        where = self._where
        tls_first = "tls_handshake_first" in where.options
        return explain_connect(error, timeout=CONNECT_S, tls_first=tls_first, has_certificate=where.has_certificate)

    def _complain(self, sentence: str) -> None:
        now = time.monotonic()
        if now - self._said.get(sentence, -REPEAT_S) < REPEAT_S:
            return
        if len(self._said) > 1000:  # sentences with ever new subjects
            self._said.clear()
        self._said[sentence] = now
        log.warning("%s", sentence)


@asynccontextmanager
async def connect(config: NatsConfig, *, name: str) -> AsyncIterator[Connection]:
    """Connect, and close at the end.

    Args:
        config: where and how.
        name: what the server calls us in its own monitoring.

    Raises:
        ConfigError: the first connection did not come about; one sentence says why and what to do.
    """
    if config.embedded:
        raise ConfigError("nats.url is embedded, and no embedded server runs here: start one, or give its URL")
    connection = Connection(access(config), name)
    try:
        await connection.open()
        version = ".".join(map(str, connection.server_version))
        log.info("connected to NATS at %s (nats-server %s)%s", connection.server, version, connection.way)
        yield connection
    finally:
        await connection.close()
