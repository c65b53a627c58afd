"""Archives as they come: packed in every way, damaged in every way, and made to fill memory or disks."""

from __future__ import annotations

import asyncio
import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import AsyncGenerator, Callable, Iterable

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from bridge.containerd import packing, tar_stream
from bridge.containerd.tar_stream import TarStream
from bridge.errors import CommandFailed

FILES = {"a": b"", "b/c": b"x" * 1000, "d": bytes(range(256)) * 3000}
PADDING = b"\0" * 1024


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def tar(files: dict[str, bytes] = FILES, *, form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "b/c"
        archive.addfile(link)
        archive.addfile(_directory())
    return buffer.getvalue()


def _directory() -> tarfile.TarInfo:
    info = tarfile.TarInfo("directory")
    info.type = tarfile.DIRTYPE
    return info


async def pieces(data: bytes, size: int) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def entries(archive: AsyncGenerator[bytes, None]) -> dict[str, bytes | str]:
    found: dict[str, bytes | str] = {}
    async with asyncio.timeout(90), TarStream(archive) as stream:
        async for member in stream:
            if member.link is not None:
                found[member.name] = member.link
            else:
                found[member.name] = b"".join([piece async for piece in stream.pieces()])
    return found


async def refused(data: bytes | Iterable[bytes]) -> str:
    async def given() -> AsyncGenerator[bytes, None]:
        for part in [data] if isinstance(data, bytes) else data:
            yield part

    with pytest.raises(CommandFailed) as failed:
        await entries(given())
    assert failed.value.code == "invalid_argument"
    return failed.value.message


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "gzip in two": lambda data: gzip.compress(data[:5000]) + gzip.compress(data[5000:]),
    "bzip2": bz2.compress,
    "bzip2 in two": lambda data: bz2.compress(data[:5000]) + bz2.compress(data[5000:]),
    "xz": lzma.compress,
    "xz in two, padded": lambda data: lzma.compress(data[:5000]) + lzma.compress(data[5000:]) + bytes(8),
    "zstd": zstd,
    "zstd in two": lambda data: zstd(data[:5000]) + zstd(data[5000:]),
}


@pytest.mark.parametrize("pack", PACKED.values(), ids=PACKED.keys())
@pytest.mark.parametrize("size", [7, 512, 1 << 20])
async def test_however_an_archive_is_packed_its_entries_are_the_same(pack: Callable[[bytes], bytes], size: int) -> None:
    assert await entries(pieces(pack(tar()), size)) == FILES | {"link": "b/c"}


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
async def test_long_names_are_read(form: int) -> None:
    name = "/".join(["directory"] * 40)
    assert await entries(pieces(tar({name: b"x"}, form=form), 1000)) == {name: b"x", "link": "b/c"}


@pytest.mark.parametrize("pack", PACKED.values(), ids=PACKED.keys())
@pytest.mark.parametrize("part", [0.0, 0.1, 0.6])
async def test_half_an_archive_is_none(pack: Callable[[bytes], bytes], part: float) -> None:
    data = pack(tar({"a": bytes(range(256)) * 500}))
    assert "no tar archive" in await refused(data[: int(len(data) * part)])


@pytest.mark.parametrize("pack", [PACKED["gzip"], PACKED["bzip2"], PACKED["xz"], PACKED["zstd"]])
async def test_what_grows_out_of_proportion_is_refused(
    pack: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "FREE", 1 << 20)
    assert "packed to fill disks" in await refused(pack(header("zeros", 64 << 20) + bytes(64 << 20) + PADDING))


async def test_unpacking_takes_no_more_memory_than_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "MEMORY", 1 << 20)
    wide = zstandard.ZstdCompressionParameters.from_level(19, window_log=24)
    data = tar({"a": bytes(range(256)) * 20_000})
    compressor = zstandard.ZstdCompressor(compression_params=wide).compressobj()  # which does not say how much it is
    assert "no tar archive" in await refused(compressor.compress(data) + compressor.flush())
    assert "no tar archive" in await refused(lzma.compress(data, preset=6))


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
async def test_a_header_is_not_read_however_long_it_says_it_is(kind: bytes) -> None:
    told = 0

    def endless() -> Iterable[bytes]:
        nonlocal told
        yield header("x", 8 << 30, kind)
        while True:
            told += 1
            yield bytes(1 << 16)

    assert "has a header of more than" in await refused(endless())
    assert told < 10


async def test_headers_in_headers_are_refused() -> None:
    """Each asks for the next one before it is done."""
    inner = b"11 path=abc\n"[:11].ljust(512, b"\0")
    assert await refused((header("x", 11, tarfile.XHDTYPE) + inner) * 900)
    assert await refused((header("x", 11, tarfile.XHDTYPE) + inner) * 9000)


async def test_entries_are_counted_also_those_that_nobody_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_stream, "MOST_ENTRIES", 5000)
    directory = header("x", 0, tarfile.DIRTYPE)
    assert await entries(pieces(directory * 5000 + PADDING, 1 << 16)) == {}
    assert "more than 5000 entries" in await refused(directory * 5001 + PADDING)


async def test_names_have_a_length() -> None:
    assert "has more than 4096 characters" in await refused(tar({"a/" * 3000: b""}))


async def test_files_with_holes_are_refused() -> None:
    sparse = bytearray(header("x", 512, tarfile.GNUTYPE_SPARSE))
    sparse[386:410] = b"%011o\0%011o\0" % (0, 512)
    sparse[148:156] = b" " * 8
    sparse[148:156] = b"%06o\0 " % sum(sparse)
    assert "is a file with holes" in await refused(bytes(sparse) + bytes(512) + PADDING)


async def test_sizes_beyond_all_measure_are_refused() -> None:
    assert "holds more than" in await refused(header("x", 1 << 60))


async def test_who_leaves_early_leaves_nothing_behind() -> None:
    closed = False

    async def endless() -> AsyncGenerator[bytes, None]:
        nonlocal closed
        try:
            yield header("x", 1 << 30)
            while True:
                yield bytes(1 << 16)
        finally:
            closed = True

    async with asyncio.timeout(90), TarStream(endless()) as stream:
        async for _ in stream:
            break
    assert closed
    assert not stream._thread.is_alive()


@given(
    st.lists(st.tuples(st.integers(0, 4000), st.binary(min_size=1, max_size=4)), max_size=8),
    st.sampled_from(list(PACKED)),
)
def test_whatever_is_in_an_archive_it_is_read_or_refused(changes: list[tuple[int, bytes]], how: str) -> None:
    data = bytearray(PACKED[how](tar({"a": b"x" * 700, "b": b"y"})))
    for place, what in changes:
        at = place % len(data)
        data[at : at + len(what)] = what

    async def read() -> None:
        try:
            await entries(pieces(bytes(data), 300))
        except CommandFailed as error:
            assert error.code == "invalid_argument"  # noqa: PT017

    asyncio.run(read())
