"""Deltas between two dumps: small where little changed, exact always, refused where they do not belong."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import struct
from collections.abc import Iterable
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.checkpoints import LIMITS, Delta, Limits, rebuild
from bridge.checkpoints.delta import HEADER
from bridge.checkpoints.pagemap import alignment
from bridge.errors import CommandFailed
from tests.unit.checkpoints.archives import pieces, tree

PAGE = 4096
MAGIC = bytes.fromhex("1943565425400856")


def varint(value: int) -> bytes:
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*data, value])


def message(**numbers: int) -> bytes:
    body = b"".join(varint(int(number[1:]) << 3) + varint(value) for number, value in numbers.items())
    return len(body).to_bytes(4, "little") + body


def pagemap(stretches: Iterable[tuple[int, int]], *, pages: int = 1) -> bytes:
    """A map as CRIU writes it: stretches of memory by address and number of pages."""
    entries = [message(f1=address, f2=0, f4=4, f5=count) for address, count in stretches]
    return MAGIC + message(f1=pages) + b"".join(entries)


def dump(directory: Path, memory: dict[int, bytes], *, mapped: bool = True) -> Path:
    """A dump of a process with these pages, by their number."""
    directory.mkdir()
    numbers = sorted(memory)
    (directory / "pages-1.img").write_bytes(b"".join(memory[number] for number in numbers))
    (directory / "inventory.img").write_bytes(b"x")
    if mapped:
        (directory / "pagemap-1.img").write_bytes(pagemap((number * PAGE, 1) for number in numbers))
    return directory


def memory(count: int, *, seed: int = 1) -> dict[int, bytes]:
    noise = random.Random(seed)
    return {number + 16: noise.randbytes(PAGE) for number in range(count)}


async def made(current: Path, earlier: Path | None) -> tuple[bytes, Delta]:
    delta = Delta(current, earlier)
    return b"".join([piece async for piece in delta()]), delta


async def applied(data: bytes, directory: Path, earlier: Path | None, *, limits: Limits = LIMITS) -> dict[str, int]:
    os.makedirs(directory, exist_ok=True)
    to = os.open(directory, os.O_RDONLY)
    before = os.open(earlier, os.O_RDONLY) if earlier is not None else None
    try:
        return await rebuild(pieces(data), to, earlier=before, limits=limits)
    finally:
        os.close(to)
        if before is not None:
            os.close(before)


async def test_of_what_has_not_changed_nothing_is_sent(tmp_path: Path) -> None:
    first = dump(tmp_path / "first", memory(2000))
    second = dump(tmp_path / "second", memory(2000))
    data, delta = await made(second, first)
    assert delta.facts is not None
    assert delta.facts.changed == 0
    assert delta.facts.whole == sum(path.stat().st_size for path in second.iterdir())
    assert (len(data), delta.facts.size) == (delta.facts.size, len(data))
    assert len(data) < 1000
    assert await applied(data, tmp_path / "out", first) == {path.name: path.stat().st_size for path in second.iterdir()}
    assert tree(tmp_path / "out") == tree(second)


async def test_one_page_more_at_the_beginning_moves_nothing(tmp_path: Path) -> None:
    before = memory(2000)
    first = dump(tmp_path / "first", before)
    second = dump(tmp_path / "second", {3: b"n" * PAGE} | before | {500: b"c" * PAGE})
    data, delta = await made(second, first)
    assert delta.facts is not None
    others = (second / "pagemap-1.img").stat().st_size
    assert delta.facts.changed <= 2 * PAGE + others
    await applied(data, tmp_path / "out", first)
    assert tree(tmp_path / "out") == tree(second)


async def test_without_a_map_it_is_compared_by_position(tmp_path: Path) -> None:
    before = memory(300)
    first = dump(tmp_path / "first", before, mapped=False)
    second = dump(tmp_path / "second", before | {20: b"c" * PAGE}, mapped=False)
    (second / "fs-1.img").write_bytes(b"new")
    data, delta = await made(second, first)
    assert delta.facts is not None
    assert delta.facts.changed == PAGE + 3
    await applied(data, tmp_path / "out", first)
    assert tree(tmp_path / "out") == tree(second)


async def test_the_first_time_all_is_sent_and_twice_it_is_the_same(tmp_path: Path) -> None:
    first = dump(tmp_path / "first", memory(700))
    data, delta = await made(first, None)
    assert delta.facts is not None
    assert delta.facts.changed == delta.facts.whole
    assert b"".join([piece async for piece in delta()]) == data
    await applied(data, tmp_path / "out", None)
    assert tree(tmp_path / "out") == tree(first)


LIES = {
    "no map": b"",
    "half a map": MAGIC + b"\xff\xff\xff\x7f",
    "a map of noise": MAGIC + random.Random(2).randbytes(400),
    "a map that goes back": pagemap([(100 * PAGE, 3), (16 * PAGE, 3)]),
    "a map of more than there is": pagemap([(16 * PAGE, 1 << 40)]),
    "a map of another file": pagemap([(16 * PAGE, 3)], pages=77),
    "a map that names a page twice": pagemap([(16 * PAGE, 2), (18 * PAGE, 0), (18 * PAGE, 1)]),
}


@pytest.mark.parametrize("which", ["first", "second"])
@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
async def test_a_map_that_lies_costs_bytes_and_nothing_else(tmp_path: Path, lie: bytes, which: str) -> None:
    first = dump(tmp_path / "first", memory(40))
    second = dump(tmp_path / "second", memory(40) | {20: b"c" * PAGE})
    (tmp_path / which / "pagemap-1.img").write_bytes(lie)
    data, _ = await made(second, first)
    await applied(data, tmp_path / "out", first)
    assert tree(tmp_path / "out") == tree(second)


async def test_a_map_that_is_none_says_nothing(tmp_path: Path) -> None:
    first, second = dump(tmp_path / "first", memory(4)), dump(tmp_path / "second", memory(4))
    before, after = os.open(first, os.O_RDONLY), os.open(second, os.O_RDONLY)
    assert [one.length for one in alignment(after, before)["pages-1.img"]] == [PAGE] * 4
    for lie in ("no map", "a map of noise", "a map that goes back"):
        (second / "pagemap-1.img").write_bytes(LIES[lie])
        assert alignment(after, before) == {}
    os.close(before)
    os.close(after)


pages = st.dictionaries(
    st.integers(0, 40), st.binary(min_size=1, max_size=1).map(lambda byte: byte * PAGE), max_size=20
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=pages, after=pages, mapped=st.booleans())
def test_whatever_changed_the_same_directory_comes_out(
    tmp_path: Path, before: dict[int, bytes], after: dict[int, bytes], mapped: bool
) -> None:
    for name in ("first", "second", "out"):
        shutil.rmtree(tmp_path / name, ignore_errors=True)
    first, second = dump(tmp_path / "first", before), dump(tmp_path / "second", after, mapped=mapped)
    data, _ = asyncio.run(made(second, first))
    asyncio.run(applied(data, tmp_path / "out", first))
    assert tree(tmp_path / "out") == tree(second)


async def test_a_dump_that_is_none_is_told(tmp_path: Path) -> None:
    first = dump(tmp_path / "first", memory(3))
    with pytest.raises(CommandFailed, match="No such file"):
        await made(tmp_path / "nowhere", None)
    (first / "parent").symlink_to("..")
    with pytest.raises(CommandFailed, match="cannot be read"):
        await made(first, None)
    (first / "parent").unlink()
    (first / ".hidden").touch()
    with pytest.raises(CommandFailed, match=r"'\.hidden' in the dump is no name"):
        await made(first, None)


async def test_the_wrong_dump_before_it_is_told(tmp_path: Path) -> None:
    first = dump(tmp_path / "first", memory(40))
    other = dump(tmp_path / "other", memory(40) | {30: b"o" * PAGE})
    data, _ = await made(dump(tmp_path / "second", memory(40) | {20: b"c" * PAGE}), first)
    (tmp_path / "empty").mkdir()
    for before, says in (
        (other, "the dumps before it differ"),
        (tmp_path / "empty", "has not"),
        (None, "there was not"),
    ):
        with pytest.raises(CommandFailed, match=says) as failed:
            await applied(data, tmp_path / "out", before)
        assert failed.value.code == "invalid_argument"
        assert tree(tmp_path / "out") == {}


# -- streams that somebody made


def named(name: bytes) -> bytes:
    return bytes([len(name)]) + name


def file(name: bytes, size: int, *records: bytes) -> bytes:
    return b"F" + named(name) + struct.pack(">Q", size) + b"".join(records)


def copy(name: bytes, offset: int, length: int) -> bytes:
    return b"C" + named(name) + struct.pack(">QQ", offset, length)


def data_of(data: bytes, length: int | None = None) -> bytes:
    return b"D" + struct.pack(">I", len(data) if length is None else length) + data


LAST = b"Z" + struct.pack(">I", 1)

HOSTILE: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "does not begin|ends in the middle"),
    "another stream": (b"x" * 100, "does not begin"),
    "no end": (HEADER, "ends in the middle"),
    "a name that climbs": (HEADER + file(b"../evil", 1), "'../evil', which is no name"),
    "an absolute name": (HEADER + file(b"/etc/evil", 1), "no name of a file"),
    "a name that steers": (HEADER + file(b"\x1b[2J\r\n", 1), r"'\\x1b\[2J\\r\\n', which is no name"),
    "no name": (HEADER + file(b"", 1), "no name of a file"),
    "too large": (HEADER + file(b"a", 1 << 40), "more than 8388608 bytes, with 'a'"),
    "a file twice": (HEADER + file(b"a", 0, b"E" + bytes(32)) * 2, "another 'a' than"),
    "more data than the file has": (HEADER + file(b"a", 1, data_of(b"xx")), "a record of 2 bytes in 'a', of which 1"),
    "no data": (HEADER + file(b"a", 1, data_of(b"")), "a record of 0 bytes"),
    "a gigabyte in a record": (HEADER + file(b"a", 1 << 20, data_of(b"x", 1 << 30)), "a record of 1073741824 bytes"),
    "too much in a record": (HEADER + file(b"a", 4 << 20, data_of(bytes(2 << 20))), "a record of 2097152 bytes"),
    "a copy of nothing": (HEADER + file(b"a", 1, copy(b"secret", 0, 0)), "a record of 0 bytes"),
    "a copy from beyond the end": (HEADER + file(b"a", 9, copy(b"pages-1.img", 1 << 62, 9)), "beyond the end"),
    "a copy of more than there is": (HEADER + file(b"a", 99999, copy(b"pages-1.img", 0, 99999)), "beyond the end"),
    "a copy of what climbs": (HEADER + file(b"a", 1, copy(b"../secret", 0, 1)), "'../secret', which is no name"),
    "a copy through a link": (HEADER + file(b"a", 1, copy(b"link", 0, 1)), "'link', which the dump before it has not"),
    "a copy of a pipe": (HEADER + file(b"a", 1, copy(b"pipe", 0, 1)), "'pipe', which is no file"),
    "a copy of a directory": (HEADER + file(b"a", 1, copy(b"folder", 0, 1)), "'folder', which is no file"),
    "no such record": (HEADER + file(b"a", 1, b"X"), "'X' in 'a', which is no record"),
    "too little": (HEADER + file(b"a", 2, data_of(b"x"), b"E" + bytes(32)), "another 'a' than"),
    "the wrong digest": (HEADER + file(b"a", 1, data_of(b"x"), b"E" + bytes(32)), "another 'a' than"),
    "another number of files": (HEADER + b"Z" + struct.pack(">I", 3), "another number of files"),
    "something behind the end": (HEADER + b"Z" + struct.pack(">I", 0) + b"x", "goes on behind its end"),
    "a file that ends early": (HEADER + file(b"a", 9, data_of(b"x")), "ends in the middle"),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("data", "says"), HOSTILE.values(), ids=HOSTILE.keys())
async def test_what_is_no_delta_is_refused_and_leaves_nothing(
    tmp_path: Path, data: bytes, says: str, packed: bool
) -> None:
    first = dump(tmp_path / "first", memory(2))
    (tmp_path / "secret").write_bytes(b"secret")
    (first / "link").symlink_to(tmp_path / "secret")
    (first / "folder").mkdir()
    os.mkfifo(first / "pipe")
    data = zstandard.ZstdCompressor().compress(data) if packed else data
    with pytest.raises(CommandFailed, match=says) as failed:
        await applied(data, tmp_path / "out", first, limits=Limits(whole=8 << 20))
    assert failed.value.code == "invalid_argument"
    assert failed.value.message.isprintable()
    assert tree(tmp_path / "out") == {}


async def test_the_number_of_files_is_bounded(tmp_path: Path) -> None:
    first = dump(tmp_path / "first", memory(2))
    data, _ = await made(first, None)
    with pytest.raises(CommandFailed, match="more than 2 files"):
        await applied(data, tmp_path / "out", None, limits=Limits(entries=2))
    assert tree(tmp_path / "out") == {}


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 0.999), value=st.binary(min_size=1, max_size=8))
def test_a_mutated_delta_is_refused_or_the_same(tmp_path: Path, where: float, value: bytes) -> None:
    for name in ("first", "second", "out"):
        shutil.rmtree(tmp_path / name, ignore_errors=True)
    first = dump(tmp_path / "first", memory(4))
    second = dump(tmp_path / "second", memory(4) | {17: b"c" * PAGE})
    plain = zstandard.ZstdDecompressor().decompressobj().decompress(asyncio.run(made(second, first))[0])
    at = int(where * len(plain))
    try:
        asyncio.run(applied(plain[:at] + value + plain[at + len(value) :], tmp_path / "out", first))
    except CommandFailed:
        assert tree(tmp_path / "out") == {}
    else:
        assert all(data in tree(second).values() for data in tree(tmp_path / "out").values())
