"""Archives of checkpoints encrypted: what is not what was sealed does not open, and no nonce meets two texts."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable

import pytest

from bridge.errors import CommandFailed
from bridge.jetstream.checkpoint_cipher import OVERHEAD, PREFIX, CheckpointSecret, Sealing
from bridge.jetstream.checkpoint_pieces import AnotherArchive, Piece, Reached, pieces, reached_by

SECRET = CheckpointSecret.of(bytes(range(32)))
LENGTH = 4096
ROOM = LENGTH - OVERHEAD
DATA = os.urandom(3 * ROOM + 100)


def sealing(name: str = "n1.ns.web.c1", secret: CheckpointSecret = SECRET) -> Sealing:
    return Sealing(secret, name, LENGTH)


def sealed(data: bytes = DATA, name: str = "n1.ns.web.c1") -> list[bytes]:
    parts = [data[start : start + ROOM] for start in range(0, len(data), ROOM)]
    prefix = os.urandom(PREFIX)
    last = len(parts) - 1
    return [sealing(name).seal(part, prefix=prefix, number=n, last=n == last) for n, part in enumerate(parts)]


def opened(segments: list[bytes], with_: Sealing | None = None) -> bytes:
    with_, last = with_ or sealing(), len(segments) - 1
    return b"".join(with_.open(segment, number=n, last=n == last) for n, segment in enumerate(segments))


def test_what_was_sealed_opens() -> None:
    segments = sealed()
    assert opened(segments) == DATA
    assert [len(segment) for segment in segments] == [LENGTH, LENGTH, LENGTH, 100 + OVERHEAD]
    assert not any(DATA[start : start + 16] in b"".join(segments) for start in range(0, len(DATA) - 16, 64))


def flipped(at: int) -> Callable[[list[bytes]], list[bytes]]:
    def change(segments: list[bytes]) -> list[bytes]:
        first = bytearray(segments[0])
        first[at] ^= 1
        return [bytes(first), *segments[1:]]

    return change


@pytest.mark.parametrize(
    "change",
    [
        *(flipped(at) for at in (0, 8, 24, 28, 46, 47, LENGTH - 1)),
        lambda segments: segments[:-1],
        lambda segments: segments[1:],
        lambda segments: [segments[1], segments[0], *segments[2:]],
        lambda segments: [*segments, segments[-1]],
        lambda segments: [segments[0], sealed()[1], *segments[2:-1]],
        lambda segments: [segments[0][:OVERHEAD], *segments[1:]],
        lambda segments: [b"", *segments[1:]],
    ],
)
def test_what_is_not_what_was_sealed_does_not_open(change: Callable[[list[bytes]], list[bytes]]) -> None:
    with pytest.raises(CommandFailed) as failed:
        opened(change(sealed()))
    assert failed.value.code == "failed_precondition"


def test_neither_does_another_objects_nor_with_another_key() -> None:
    for with_ in (sealing("n1.ns.web.c2"), sealing(secret=CheckpointSecret.of(bytes(32)))):
        with pytest.raises(CommandFailed):
            opened(sealed(), with_)


# -- how it is cut, and taken up again


async def cut(data: bytes, behind: Reached | None = None, with_: Sealing | None = None) -> list[Piece]:
    async def archive() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 1000):
            yield data[start : start + 1000]

    return [piece async for piece in pieces(archive(), LENGTH, with_, behind)]


async def test_an_upload_that_is_taken_up_seals_what_is_left_with_a_prefix_of_its_own() -> None:
    first = await cut(DATA, with_=sealing())
    again = await cut(DATA, first[1].reached, with_=sealing())
    assert len(again) == len(first) - 2
    assert opened([piece.data for piece in [*first[:2], *again]]) == DATA
    assert again[-1].reached.sha256 != first[-1].reached.sha256
    third = await cut(DATA, again[0].reached, with_=sealing())
    assert opened([piece.data for piece in [*first[:2], again[0], *third]]) == DATA


async def test_no_nonce_meets_two_texts_whatever_is_read_the_second_time() -> None:
    changed = DATA[: 2 * ROOM] + os.urandom(len(DATA) - 2 * ROOM)
    first = await cut(DATA, with_=sealing())
    texts: dict[tuple[bytes, int], bytes] = {}
    for attempt in (first, await cut(changed, first[1].reached, with_=sealing()), await cut(changed, with_=sealing())):
        for piece in attempt:
            nonce = (piece.data[28 : 28 + PREFIX], piece.reached.number)
            assert texts.setdefault(nonce, piece.data) == piece.data


@pytest.mark.parametrize("with_", [None, sealing()], ids=["plain", "encrypted"])
async def test_what_does_not_begin_as_what_is_stored_is_not_put_behind_it(with_: Sealing | None) -> None:
    first = await cut(DATA, with_=with_)
    for other in (b"x" + DATA[1:], DATA[:ROOM], DATA[: 2 * ROOM - 1] + b"x" + DATA[2 * ROOM :]):
        with pytest.raises(AnotherArchive):
            await cut(other, first[1].reached, with_=with_)


async def test_what_was_plain_is_not_gone_on_with_encrypted_nor_the_other_way_round() -> None:
    plain, encrypted = await cut(DATA), await cut(DATA, with_=sealing())
    with pytest.raises(AnotherArchive):
        await cut(DATA, plain[0].reached, with_=sealing())
    with pytest.raises(AnotherArchive):
        await cut(DATA, encrypted[0].reached)


async def test_a_piece_says_how_far_it_comes() -> None:
    made = await cut(DATA)
    assert [reached_by(piece.reached.headers) for piece in made] == [piece.reached for piece in made]
    assert made[-1].reached.offset == len(DATA)
    for header in ("", "{}", '{"number":0,"offset":1,"length":4096,"sha256":""}', "[" * 10_000):
        assert reached_by({"Containerd-Bridge-Upload": header}) is None
