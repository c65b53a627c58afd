"""The quick parser tells what nats-py's own would tell, wherever the bytes are torn; headers are read when somebody asks."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from nats.errors import ProtocolError
from nats.protocol.parser import Parser as NatsParser

from bridge.jetstream.parser import Delivered, Parser

LARGE = b"x" * 70_000
PLAIN = b"MSG a.b 7 5\r\nhello\r\n"
ANSWERED = b"MSG a.b 7 _INBOX.x.1 0\r\n\r\n"
HEADED = b"HMSG a.b 12 $JS.ACK.S.c.1.5.1.17.0 18 23\r\nNATS/1.0\r\na: b\r\n\r\nhello\r\n"
STATUS = b"HMSG _INBOX.x.1 12 28 28\r\nNATS/1.0 404 No Messages\r\n\r\n\r\n"
ODD = b"MSG  a.b\t7  5\r\nMSG a\r\nMSG\ta.b 7 5\r\nhello\r\n"
NESTED = b"MSG a.b 7 20\r\n" + PLAIN + b"\r\n"
OTHERS = (
    b"PING\r\n",
    b"PONG\r\n",
    b"+OK\r\n",
    b"-ERR 'Permissions Violation'\r\n",
    b'INFO {"server_id": "x"}\r\n',
)
FRAMES = (PLAIN, ANSWERED, HEADED, STATUS, ODD, NESTED, *OTHERS, b"MSG a.b 7 70000\r\n" + LARGE + b"\r\n")


class Told:
    """A client in the parser's eyes: keeps what it is told."""

    def __init__(self) -> None:
        self.all: list[tuple[Any, ...]] = []

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        self.all.append((sid, bytes(subject), bytes(reply), data, headers or None))

    async def _process_ping(self) -> None:
        self.all.append(("ping",))

    async def _process_pong(self) -> None:
        self.all.append(("pong",))

    async def _process_err(self, message: str) -> None:
        self.all.append(("err", message))

    async def _process_info(self, info: dict[str, Any]) -> None:
        self.all.append(("info", info))


async def told(kind: type[NatsParser], pieces: list[bytes]) -> list[tuple[Any, ...]]:
    client = Told()
    parser = kind(client)
    for piece in pieces:
        await parser.parse(piece)
    assert parser.buf == b""
    return client.all


def torn(wire: bytes, at: list[int]) -> list[bytes]:
    cuts = [0, *sorted({each % (len(wire) + 1) for each in at}), len(wire)]
    return [wire[begin:end] for begin, end in pairwise(cuts)]


@given(frames=st.lists(st.sampled_from(FRAMES), max_size=12), at=st.lists(st.integers(0, 10**6), max_size=8))
@example(frames=[b"PONG\r\n", HEADED, PLAIN], at=[])
@example(frames=[b"PONG\r\n", NESTED, PLAIN], at=[20])
@example(frames=[PLAIN, b"PING\r\n", HEADED, HEADED], at=[40])
@example(frames=[b"PING\r\n", NESTED], at=[20, 40])
async def test_it_tells_what_nats_py_tells(frames: list[bytes], at: list[int]) -> None:
    wire = b"".join(frames)
    assert await told(Parser, torn(wire, at)) == await told(NatsParser, [wire])


@pytest.mark.parametrize("frame", FRAMES[:-1])
async def test_it_does_so_byte_for_byte(frame: bytes) -> None:
    wire = PLAIN + frame + HEADED
    assert await told(Parser, [wire[at : at + 1] for at in range(len(wire))]) == await told(NatsParser, [wire])


@pytest.mark.parametrize(
    "rubbish", [b"MSG a.b 7\r\n", b"MSG a.b x 5\r\nhello\r\n", b"HMSG a.b 7 5\r\n", b"rubbish\r\n"]
)
async def test_what_is_no_message_is_an_error_behind_those_that_are(rubbish: bytes) -> None:
    client = Told()
    with pytest.raises(ProtocolError):
        await Parser(client).parse(PLAIN + rubbish)
    assert client.all == [(7, b"a.b", b"", b"hello", None)]


async def test_after_a_reset_nothing_of_the_past_is_waited_for() -> None:
    client = Told()
    parser = Parser(client)
    await parser.parse(b"MSG a.b 7 70000\r\nxxx")
    parser.reset()
    await parser.parse(PLAIN)
    assert client.all == [(7, b"a.b", b"", b"hello", None)]


@pytest.mark.parametrize(
    ("raw", "headers"),
    [
        (b"", {}),
        (b"NATS/1.0\r\n\r\n", {}),
        (b"NATS/1.0\r\nNats-Msg-Id: 1:2\r\nb:c\r\n\r\n", {"Nats-Msg-Id": "1:2", "b": "c"}),
        (b"NATS/1.0 404 No Messages\r\n\r\n", {"Status": "404", "Description": "No Messages"}),
        (b"NATS/1.0 503\r\n\r\n", {"Status": "503", "Description": ""}),
        (
            b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 3\r\n\r\n",
            {"Status": "100", "Description": "Idle Heartbeat", "Nats-Last-Consumer": "3"},
        ),
        (b"NATS/1.0\r\nno colon\r\nin name: x\r\n\xff: x\r\na: \xff\r\n\r\n", {"a": "\N{REPLACEMENT CHARACTER}"}),
    ],
)
def test_headers_are_read_from_the_bytes(raw: bytes, headers: dict[str, str]) -> None:
    assert Delivered("a.b", "", b"", raw).headers == headers
