"""Just enough of HTTP/2 (RFC 9113) to serve gRPC clients from bytes that are ready to be sent.

A gRPC server in Python costs more for each message than everything that is measured behind it. Here the frames of a stream
are made before the clock starts, and sending them is a matter of copying as many as the client's windows allow. Everything
else, settings, pings, flow control, unary calls, is done as the RFC and gRPC's own protocol over it
(grpc/doc/PROTOCOL-HTTP2.md) want it, for clients as gRPC's are: requests of at most 64 KiB whose headers fit one frame.
"""

from __future__ import annotations

import asyncio
import struct
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from itertools import accumulate
from typing import Final, TypeAlias

from benchmarks import hpack

__all__ = ["Call", "GrpcConnection", "Handler", "Http2Error", "NOT_FOUND", "OK", "UNIMPLEMENTED"]

OK, NOT_FOUND, UNIMPLEMENTED = 0, 5, 12
"""Status codes of gRPC (grpc/doc/statuscodes.md)."""

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Kind(IntEnum):
    """Types of frames (RFC 9113, 6) that matter here."""

    DATA = 0
    HEADERS = 1
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    WINDOW_UPDATE = 8
    CONTINUATION = 9


ACK, END_STREAM, END_HEADERS, PADDED, PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE = 1, 4

WINDOW: Final = 65_535
"""Bytes that may be sent before the first WINDOW_UPDATE (RFC 9113, 6.9.2)."""

LARGEST: Final = 16_384 - 5
"""Bytes of a message that fit one frame of the default size together with gRPC's prefix."""

CHUNK: Final = 256 * 1024
"""Bytes handed to the socket at once: a few of the kernel's buffers, so that what does not fit is not copied often."""

_HEAD = struct.Struct(">BHBBL")  # length in 8 + 16 bits, type, flags, stream
_PREFIX = struct.Struct(">BL")  # gRPC: not compressed, length
_RESPONSE = hpack.STATUS_200 + hpack.field(b"content-type", b"application/grpc")


class Http2Error(Exception):
    """The client did something that this server does not understand; the connection is closed."""


def frame(kind: int, flags: int, stream: int, payload: bytes | memoryview) -> bytes:
    """Return one frame."""
    return _HEAD.pack(len(payload) >> 16, len(payload) & 0xFFFF, kind, flags, stream) + payload


class Frames:
    """The messages of a stream as frames, one for each, and how far they have been sent."""

    def __init__(self, stream: int, messages: Iterable[bytes]) -> None:
        """Make the frames.

        Raises:
            ValueError: a message is too big for one frame.
        """
        parts = [_PREFIX.pack(0, len(message)) + message for message in messages]
        if any(len(part) > LARGEST + 5 for part in parts):
            raise ValueError(f"a message has more than {LARGEST} bytes and does not fit one frame")
        # Window bytes up to and without each frame; a frame's head does not count.
        self._weights = list(accumulate((len(part) for part in parts), initial=0))
        self._bytes = memoryview(b"".join([frame(Kind.DATA, 0, stream, part) for part in parts]))
        self._next = 0

    def __len__(self) -> int:
        return len(self._weights) - 1 - self._next

    def take(self, window: int) -> tuple[memoryview, int]:
        """Return as many frames as fit `window` bytes, and how much of it they use."""
        begin = self._weights[self._next]
        after = bisect_right(self._weights, begin + min(window, CHUNK), self._next) - 1
        piece = self._bytes[begin + 9 * self._next : self._weights[after] + 9 * after]
        self._next = after
        return piece, self._weights[after] - begin


class Call:
    """One call of a client: what it asks, and the way its answers go.

    Single messages (`send`) go before the prepared ones (`stream`) of every call of the connection, and after the last one
    the status (`finish`).
    """

    def __init__(self, connection: GrpcConnection, stream: int, window: int, path: str, namespace: str) -> None:
        self.path = path
        self.namespace = namespace
        """Value of the metadata key `containerd-namespace`."""
        self.request = bytearray()
        self.window = window
        self.singles: deque[memoryview] = deque()
        self.prepared: Frames | None = None
        self.exhausted: Callable[[], None] | None = None
        self.status: tuple[int, str] | None = None
        self._connection = connection
        self.number = stream

    def send(self, *messages: bytes) -> None:
        """Answer with these messages."""
        self.singles.extend(memoryview(_PREFIX.pack(0, len(message)) + message) for message in messages)
        self._connection.pump()

    def prepare(self, messages: Iterable[bytes]) -> Frames:
        """Return `messages` ready to be sent on this call."""
        return Frames(self.number, messages)

    def stream(self, frames: Frames, exhausted: Callable[[], None]) -> None:
        """Send prepared frames as fast as the client takes them; `exhausted` is called when the last one is with the kernel."""
        self.prepared, self.exhausted = frames, exhausted
        self._connection.pump()

    def finish(self, status: int = OK, message: str = "") -> None:
        """End the call with a status of gRPC's."""
        self.status = (status, message)
        self._connection.pump()


Handler: TypeAlias = Callable[[Call, bytes], None]
"""Takes a call and its one request message."""


class GrpcConnection(asyncio.Protocol):
    """One connection of a client. A path without a handler is answered with UNIMPLEMENTED."""

    def __init__(self, handlers: Mapping[str, Handler], gone: Callable[[Call], None]) -> None:
        """Take what is served.

        Args:
            handlers: by path, `/<package>.<Service>/<Method>`.
            gone: told of every call that the client has given up, or that was under way when the connection was lost.
        """
        self._handlers = handlers
        self._gone = gone
        self._calls: dict[int, Call] = {}
        self._window = WINDOW
        self._initial = WINDOW
        self._input = bytearray()
        self._greeted = False
        self._paused = False
        self._pumping = False

    # -- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet with the settings."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=CHUNK)
        # A client without a dynamic table for its headers is one that takes few lines to understand.
        transport.write(frame(Kind.SETTINGS, 0, 0, struct.pack(">HL", HEADER_TABLE_SIZE, 0)))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Give up every call."""
        for call in self._calls.values():
            self._gone(call)
        self._calls.clear()

    def pause_writing(self) -> None:
        """Hold the prepared frames back: the kernel takes no more."""
        self._paused = True

    def resume_writing(self) -> None:
        """Go on."""
        self._paused = False
        self.pump()

    def data_received(self, data: bytes) -> None:
        """Take whole frames out of what has come, then send what they allow."""
        self._input += data
        if not self._greeted:
            if len(self._input) < len(PREFACE):
                return
            if not self._input.startswith(PREFACE):
                raise Http2Error("this is not HTTP/2 with prior knowledge")
            del self._input[: len(PREFACE)]
            self._greeted = True
        used = 0
        while len(self._input) - used >= _HEAD.size:
            high, low, kind, flags, stream = _HEAD.unpack_from(self._input, used)
            end = used + _HEAD.size + (high << 16 | low)
            if len(self._input) < end:
                break
            self._received(kind, flags, stream & 0x7FFFFFFF, bytes(self._input[used + _HEAD.size : end]))
            used = end
        del self._input[:used]
        self.pump()

    def abort(self) -> None:
        """Drop the connection; done when the loop has taken a turn."""
        self._transport.abort()

    # -- in

    def _received(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        match kind:
            case Kind.DATA:
                self._body(flags, stream, payload)
            case Kind.HEADERS:
                self._begin(flags, stream, payload)
            case Kind.RST_STREAM:
                call = self._calls.pop(stream, None)
                if call is not None:
                    self._gone(call)
            case Kind.SETTINGS if not flags & ACK:
                self._settings(payload)
            case Kind.PING if not flags & ACK:
                self._transport.write(frame(Kind.PING, ACK, 0, payload))
            case Kind.WINDOW_UPDATE:
                self._widen(stream, int.from_bytes(payload, "big") & 0x7FFFFFFF)
            case Kind.CONTINUATION:
                raise Http2Error("headers of more than one frame are not understood")

    def _begin(self, flags: int, stream: int, payload: bytes) -> None:
        if not flags & END_HEADERS or flags & PADDED:
            raise Http2Error("headers with padding or of more than one frame are not understood")
        fields = hpack.read_fields(payload[5:] if flags & PRIORITY else payload)
        path = fields.get(b":path", b"").decode("latin-1")
        if not path.startswith("/"):
            raise Http2Error("the path of a call is not written plainly: this serves clients on gRPC's C core only")
        namespace = fields.get(b"containerd-namespace", b"").decode("latin-1")
        self._calls[stream] = Call(self, stream, self._initial, path, namespace)
        if flags & END_STREAM:
            self._asked(self._calls[stream])

    def _body(self, flags: int, stream: int, payload: bytes) -> None:
        if flags & PADDED:
            raise Http2Error("padding is not understood")
        if payload:
            self._transport.write(frame(Kind.WINDOW_UPDATE, 0, 0, struct.pack(">L", len(payload))))
        call = self._calls.get(stream)
        if call is not None:
            call.request += payload
            if flags & END_STREAM:
                self._asked(call)

    def _asked(self, call: Call) -> None:
        self._transport.write(frame(Kind.HEADERS, END_HEADERS, call.number, _RESPONSE))
        handler = self._handlers.get(call.path)
        if handler is None:
            call.finish(UNIMPLEMENTED, f"{call.path} is not served")
        else:
            handler(call, bytes(call.request[_PREFIX.size :]))

    def _settings(self, payload: bytes) -> None:
        for key, value in struct.iter_unpack(">HL", payload):
            if key == INITIAL_WINDOW_SIZE:
                for call in self._calls.values():
                    call.window += value - self._initial
                self._initial = value
        self._transport.write(frame(Kind.SETTINGS, ACK, 0, b""))

    def _widen(self, stream: int, by: int) -> None:
        if stream == 0:
            self._window += by
        elif stream in self._calls:
            self._calls[stream].window += by

    # -- out

    def pump(self) -> None:
        """Send what the windows allow, single messages first."""
        if self._pumping or self._transport.is_closing():
            return
        self._pumping = True
        try:
            for call in list(self._calls.values()):
                self._send_singles(call)
            for call in list(self._calls.values()):
                self._send_prepared(call)
        finally:
            self._pumping = False

    def _send_singles(self, call: Call) -> None:
        parts: list[bytes] = []
        while call.singles:
            message = call.singles[0]
            room = min(len(message), LARGEST, self._window, call.window)
            if room <= 0:
                break
            parts.append(frame(Kind.DATA, 0, call.number, message[:room]))
            self._spend(call, room)
            if room == len(message):
                call.singles.popleft()
            else:
                call.singles[0] = message[room:]
        if parts:
            self._transport.write(b"".join(parts))
        if call.singles:
            return
        if call.status is not None and not call.prepared:
            status, text = call.status
            fields = hpack.field(b"grpc-status", b"%d" % status)
            fields += hpack.field(b"grpc-message", text.encode("ascii", "replace"))
            self._transport.write(frame(Kind.HEADERS, END_HEADERS | END_STREAM, call.number, fields))
            del self._calls[call.number]

    def _send_prepared(self, call: Call) -> None:
        while call.prepared and not call.singles and not self._paused:
            piece, weight = call.prepared.take(min(self._window, call.window))
            if not weight:
                return
            self._transport.write(piece)
            self._spend(call, weight)
        if call.prepared is not None and not call.prepared and call.exhausted is not None:
            exhausted, call.prepared, call.exhausted = call.exhausted, None, None
            exhausted()

    def _spend(self, call: Call, weight: int) -> None:
        self._window -= weight
        call.window -= weight
