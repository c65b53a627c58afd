"""nats-py's client, with the things mended that a daemon cannot live with.

Seen in nats-py 2.16: it closes for good on every `-ERR` but a permission error; a task of its own that dies of an exception
nobody thought of leaves it reconnecting, or deaf, for ever; a flush that gave up makes it so; the PING of a flush, or of a
drain, overtakes what was queued before it, so that its answer proves nothing; waiting for a dead peer's
socket to close takes as long as TCP cares to try; a server that hangs up during the handshake passes for connected;
publishes queued before a disconnect go out after the reconnect; and `tls://` does not demand TLS. This is the one place
that reaches into its private parts, and tests/integration/test_jetstream_connection.py has a test for each.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Callable
from typing import Any

import nats.errors
from nats.aio.client import PING_PROTO, Server
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport

from bridge.errors import ConfigError
from bridge.jetstream.errors import NATS_ERRORS, CertificateWanted, Denied, explain
from bridge.jetstream.parser import Delivered, Listener, Parser, header_lines

__all__ = ["Client", "Link"]

_DENIED = re.compile(r"permissions violation for (publish|subscription) to \"?([^\"\s]+)\"?")
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0

READ = 256 * 1024
"""Bytes that are read at once, as many as asyncio takes from a socket."""


class Link:
    """One TCP connection's life, from the end of its handshake to its loss. Nothing begun on one link goes on on another."""

    def __init__(self) -> None:
        # Nobody else gets hold of the future: whoever is cancelled while he awaits it would cancel it for all.
        self._lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._watchers: list[Callable[[str], None]] = []

    @property
    def alive(self) -> bool:
        """Whether it is not lost yet."""
        return not self._lost.done()

    async def lost(self) -> str:
        """Wait until it is lost, and return why."""
        return await asyncio.shield(self._lost)

    def watch(self, watcher: Callable[[str], None]) -> None:
        """Tell `watcher` when it is lost, and why; at once if it is."""
        if self._lost.done():
            watcher(self._lost.result())
        else:
            self._watchers.append(watcher)

    def unwatch(self, watcher: Callable[[str], None]) -> None:
        """Tell it no more."""
        if watcher in self._watchers:
            self._watchers.remove(watcher)

    def lose(self, reason: str) -> None:
        """Say that it is lost; the first reason counts."""
        if self._lost.done():
            return
        self._lost.set_result(reason)
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher(reason)


class Client(NatsClient):
    """A NATS client that reconnects for ever, forgets what it had not sent, and says when it cannot go on."""

    def __init__(
        self,
        *,
        demand_tls: bool,
        has_certificate: bool,
        denied: Callable[[Denied], None],
        gave_up: Callable[[str], None],
    ) -> None:
        """Make one; it is inert until `connect`.

        Args:
            demand_tls: never speak, or log in, without TLS.
            has_certificate: whether the TLS context has a client certificate to show.
            denied: told of each subject that the server does not permit.
            gave_up: told the reason if reconnecting itself breaks.
        """
        super().__init__()
        self.link: Link | None = None
        """The present connection, None while there is none."""
        self.linked = asyncio.Event()
        """Set while there is a link."""
        self.loss = ""
        """Why the last one ended."""
        self._demand_tls = demand_tls
        self._has_certificate = has_certificate
        self._denied = denied
        self._gave_up = gave_up
        self._attempts = 0
        self._linked_at = 0.0
        self._listeners: dict[int, Listener] = {}
        self._ps: Parser = Parser(self)

    async def listen(self, subject: str, listener: Listener) -> Subscription:
        """Subscribe, and hand each message to `listener` in the step in which it is read: no queue and no task between.

        Nobody may send to the subject before this has returned. What a slow listener keeps is its own to bound.
        """
        subscription = await self.subscribe(subject, cb=_too_early)
        self._listeners[subscription._id] = listener  # noqa: SLF001
        return subscription

    def send(self, frames: bytes) -> None:
        """Hand complete protocol lines to the socket at once, past the queue that a publish of nats-py's goes through.

        The caller looks at its link first, in the same step of the event loop, and awaits `drained` soon.
        """
        assert self._transport is not None
        self.stats["out_bytes"] += len(frames)
        self._transport.write(frames)

    async def drained(self) -> None:
        """Wait until the socket takes more.

        Raises:
            OSError: the connection is lost.
        """
        assert self._transport is not None
        await self._transport.drain()  # type: ignore[no-untyped-call]

    def abort(self) -> None:
        """Drop the socket. `close` would wait until the peer has taken what is buffered, which a dead one never does."""
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()

    def next_server(self, pool: list[Server], _info: dict[str, Any]) -> tuple[Server, float]:
        """Choose where to try next and after which pause: at random, with a pause that grows to two seconds."""
        longest = min(FIRST_PAUSE_S * 2**self._attempts, LONGEST_PAUSE_S)
        self._attempts = min(self._attempts + 1, 16)
        return random.choice(pool), random.uniform(0, longest)  # noqa: S311 - jitter, no secret

    # -- what nats-py calls, mended

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:  # noqa: FBT001, FBT002
        # nats-py upgrades only when the server requires TLS; we also do when it offers it and we demand it, and hang up
        # before anything secret is said when it does neither. Holds for reconnects too: no downgrade.
        if initial_connection and self._demand_tls:
            if not (info.get("tls_required") or info.get("tls_available")):
                raise nats.errors.SecureConnWantedError
            info["tls_required"] = True
        if initial_connection and info.get("tls_verify") and not self._has_certificate:
            raise CertificateWanted  # else the handshake succeeds, in TLS 1.3, and then the server hangs up
        await super()._process_info(info, initial_connection)

    async def _process_connect_init(self) -> None:
        # Reconnecting survives three kinds of exceptions; garbage from the other side causes others (ValueError from an
        # over-long or torn INFO line, AttributeError from INFO that is no object). And a server that hangs up instead
        # of answering the first PING passes for connected. INFO that is no object stays nats-py's idea of the server, and
        # makes it spin in `next_server`'s place.
        before = self._server_info
        try:
            await super()._process_connect_init()
            if self._status != NatsClient.CONNECTED:
                raise nats.errors.UnexpectedEOF
        except BaseException as error:
            for task in (self._reading_task, self._ping_interval_task, self._flusher_task):
                if task is not None:
                    task.cancel()
            self.abort()
            self._server_info = before
            if isinstance(error, NATS_ERRORS) or not isinstance(error, Exception):
                raise
            if isinstance(error, ConfigError):  # a credentials file that was good before
                raise nats.errors.Error(str(error)) from error
            raise nats.errors.Error(f"nats: empty response from server when expecting INFO message: {error}") from error

    async def connect(self, *args: Any, **options: Any) -> None:
        """Connect as nats-py does; afterwards there is a link."""
        await super().connect(*args, **options)
        self._found()

    async def _process_op_err(self, e: Exception) -> None:
        if not (self.is_closed or self.is_reconnecting):
            self._lose(explain(e))
        await super()._process_op_err(e)

    async def _attempt_reconnect(self) -> None:
        self._lose("the connection ended")
        try:
            await super()._attempt_reconnect()
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody else would ever hear of it
            self._gave_up(f"reconnecting to NATS broke: {type(error).__name__}: {error}")
            return
        if self._status == NatsClient.CONNECTED:
            self._found()

    async def _read_loop(self) -> None:
        # nats-py's loop ends quietly on an exception that it does not know; then nobody reads until pings time out.
        await super()._read_loop()
        if self._status == NatsClient.CONNECTED and self._reading_task is asyncio.current_task():
            await self._process_op_err(nats.errors.ProtocolError())

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        # As nats-py has it, in half of the time: it looks at every letter of a name.
        return header_lines(raw)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        listener = self._listeners.get(sid)
        if listener is None:
            await super()._process_msg(sid, subject, reply, data, headers)
        else:
            listener(Delivered(subject.decode(), reply.decode(), data, headers or b""))  # nats-py's None

    def _remove_sub(self, sid: int, max_msgs: int = 0) -> None:
        self._listeners.pop(sid, None)
        super()._remove_sub(sid, max_msgs)

    async def _process_pong(self) -> None:
        # Every PING is answered, also that of a flush that gave up; nobody waits for that answer any more.
        if self._pongs and self._pongs[0].done():
            self._pongs.pop(0)
            self._pings_outstanding = 0
            return
        await super()._process_pong()

    async def _send_ping(self, future: asyncio.Future[Any] | None = None) -> None:
        # nats-py writes it to the socket past its own queue, where the SUB or UNSUB may still be that the PONG is to prove.
        self._pongs.append(asyncio.get_running_loop().create_future() if future is None else future)
        await self._send_command(PING_PROTO)
        await self._flush_pending()

    async def _process_err(self, err_msg: str) -> None:
        match = _DENIED.search(err_msg)
        if match is not None:
            action = "publish to" if match[1] == "publish" else "subscribe to"
            self._denied(Denied(match[2], action))
            return
        # Everything else comes just before the server hangs up: a login that has expired, a control line or payload
        # that is too long, a slow reader. Connecting again is right for all of them.
        self._err = nats.errors.Error(f"nats: {err_msg}")
        await self._process_op_err(self._err)

    async def _close(self, status: int, do_cbs: bool = True) -> None:  # noqa: FBT001, FBT002
        self._lose("closed")
        await super()._close(status, do_cbs)

    # -- inside

    def _found(self) -> None:
        self.link = Link()
        self._linked_at = time.monotonic()
        self.linked.set()
        transport = self._transport
        if isinstance(transport, TcpTransport):
            # nats-py takes 32 KiB at a time and stops the socket at 64: for a message of output that is eight steps of the loop.
            # The transport outlives its connection, so the reader is that of the moment.
            transport._io_reader._limit = READ  # type: ignore[union-attr]  # noqa: SLF001
            transport.read = lambda buffer_size: transport._io_reader.read(max(READ, buffer_size))  # type: ignore[method-assign, union-attr]  # noqa: SLF001
        # nats-py's protocol does not know that it is over TLS, and has asyncio say so in the log at every loss.
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None and writer.get_extra_info("ssl_object") is not None:
            writer.transport.get_protocol()._over_ssl = True  # noqa: SLF001

    def _lose(self, reason: str) -> None:
        link, self.link = self.link, None
        self.linked.clear()
        if link is not None and link.alive:
            self.loss = reason
            # A link that did not last counts as one more attempt: who is thrown out at once does not come back at once.
            lasted = time.monotonic() - self._linked_at > LONGEST_PAUSE_S
            self._attempts = 0 if lasted else min(self._attempts, 2)
            link.lose(reason)
        # What was queued belongs to the lost connection: a stale publish must not follow newer ones. Subscriptions are
        # replayed from nats-py's own list.
        if not self.is_closed and reason != "closed":
            self._pending = []
            self._pending_data_size = 0
            self.abort()


async def _too_early(_message: Msg) -> None:
    """Take a message that came before its listener could."""
