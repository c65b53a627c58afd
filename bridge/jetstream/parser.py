"""What the server sends, cut into messages: nats-py's parser, with a short way for those that come by the hundred thousand.

nats-py looks at each message with two regular expressions and moves what is behind it in the buffer. Here whole messages are
cut out of what has come; everything else, and what is not whole or not well-formed, is left to nats-py as it comes, so what is
wrong is still its to find.

`Delivered` is a message for who listens (`Client.listen`). nats-py makes an object of every message, reads its headers, puts
it into a queue and wakes a task that takes it out; who reads a log needs the body and two subjects, and the rest was half of
what reading cost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from msgspec import Struct
from nats.protocol.parser import AWAITING_CONTROL_LINE
from nats.protocol.parser import Parser as NatsParser

__all__ = ["Delivered", "Listener", "Parser", "header_lines"]

_LINE: Final = 4_096
"""A control line that is longer is none; nats-py's limit, which it checks itself."""


class Delivered(Struct, gc=False):
    """A message as it came. Its headers are read when somebody asks for them."""

    subject: str
    reply: str
    data: bytes
    raw_headers: bytes = b""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers by name; of what the server itself says also `Status` and `Description`."""
        first, _, lines = self.raw_headers.partition(b"\r\n")
        found = header_lines(lines)
        _, _, said = first.partition(b" ")  # NATS/1.0 409 Consumer Deleted
        if said:
            status, _, description = said.decode("utf-8", "replace").strip().partition(" ")
            found |= {"Status": status, "Description": description}
        return found


Listener: TypeAlias = Callable[[Delivered], None]
"""Takes a message. It must not raise: that would cost the connection."""


class Parser(NatsParser):
    """nats-py's parser, quick with messages."""

    def reset(self) -> None:
        """Forget what has come."""
        super().reset()
        self._enough = 0
        """How long the buffer must be before the message that it begins with is whole."""

    async def parse(self, data: bytes = b"") -> None:
        """Take the next bytes from the wire.

        Raises:
            ProtocolError: they are none of the protocol's.
        """
        if self.state != AWAITING_CONTROL_LINE:  # nats-py has begun with a message: it shall have the rest, and no more
            missing = self.needed + 2 - len(self.buf)
            await super().parse(data[:missing])
            data = data[missing:]
            if self.state != AWAITING_CONTROL_LINE:
                return  # what the buffer begins with is still a body, whatever it looks like
        self.buf.extend(data)
        if len(self.buf) >= self._enough and not await self._cut():
            await super().parse()

    async def _cut(self) -> bool:
        # Hand over the whole messages that the buffer begins with; say whether it ends with them, or within one.
        buffer = self.buf
        whole, size = bytes(buffer), len(buffer)
        at, self._enough = 0, 0
        try:
            while at < size:
                headers = whole.startswith(b"HMSG ", at)
                if not headers and not whole.startswith(b"MSG ", at):
                    return False
                end = whole.find(b"\r\n", at, at + _LINE)
                if end < 0:
                    return False
                tokens = whole[at:end].split()
                if len(tokens) - headers not in (4, 5) or not (tokens[2] + tokens[-1] + tokens[-1 - headers]).isdigit():
                    return False
                begin = end + 2
                behind = begin + int(tokens[-1])
                if behind + 2 > size:
                    self._enough = behind + 2 - at
                    return True
                body = begin + int(tokens[-2]) if headers else begin
                reply = tokens[3] if len(tokens) - headers == 5 else b""
                at = behind + 2
                await self.nc._process_msg(  # noqa: SLF001
                    int(tokens[2]), tokens[1], reply, whole[body:behind], whole[begin:body]
                )
            return True
        finally:
            del buffer[:at]


def header_lines(raw: bytes) -> dict[str, str]:
    """Return the headers in `raw`, lines of `name: value`."""
    found = {}
    for line in raw.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        parts = name.split() if colon else ()
        if len(parts) == 1 and parts[0].isascii():
            found[parts[0].decode("ascii")] = value.strip().decode("utf-8", "replace")
    return found
