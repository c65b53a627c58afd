"""Archives: what goes in comes out, the same bytes each time, readable for others, and nothing is left of a refused one."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import io
import json
import os
import tarfile
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
import zstandard

from bridge.checkpoints import (
    LIMITS,
    Arrived,
    Contents,
    Packing,
    keep_layer,
    landing,
    layer_stream,
    pack,
    pack_criu_tar,
    read_criu_tar,
    unpack,
    writing,
)
from bridge.errors import CommandFailed
from bridge.model.checkpoints import ArchiveFacts
from tests.unit.checkpoints.archives import IMAGES, RECORD, SPEC, contents, packed, pieces, tree, unpacked

LAYER_FILES = {"etc/hostname": b"web", "tmp/.wh.file": b"", "data": bytes(3000)}


def layer() -> bytes:
    """A layer with what there may be in one: files, directories, links, devices and the mark of a deleted file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for kind, name, link in (
            (tarfile.DIRTYPE, "etc", ""),
            (tarfile.SYMTYPE, "etc/absolute", "/etc/passwd"),
            (tarfile.SYMTYPE, "etc/climbing", "../../../etc/passwd"),
            (tarfile.CHRTYPE, "dev/null", ""),
            (tarfile.FIFOTYPE, "run/pipe", ""),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, link
            tar.addfile(info)
        for name, data in LAYER_FILES.items():
            info = tarfile.TarInfo(name)
            info.size, info.pax_headers = len(data), {"SCHILY.xattr.user.a": "b"}
            tar.addfile(info, io.BytesIO(data))
        hard = tarfile.TarInfo("data too")
        hard.type, hard.linkname = tarfile.LNKTYPE, "data"
        tar.addfile(hard)
    return buffer.getvalue()


@pytest.mark.parametrize("packing", ["zstd", "gzip", "none"])
async def test_what_goes_in_comes_out(tmp_path: Path, packing: Packing) -> None:
    (tmp_path / "out").mkdir()
    data, archive = await packed(contents(tmp_path, layer=layer()), packing)
    arrived = await unpacked(data, tmp_path / "out", expected=archive.facts, limits=LIMITS)
    found = tree(tmp_path / "out")
    assert {name: found[f"checkpoint/{name}"] for name in IMAGES} == IMAGES
    assert found["rootfs-diff.tar"] == layer()
    assert arrived.told.spec == json.loads(SPEC)
    assert arrived.told.record == msgspec.structs.replace(RECORD, archive=arrived.archive)
    assert arrived.images == {name: len(data) for name, data in IMAGES.items()}
    assert (arrived.layer, arrived.log, arrived.stats) == (len(layer()), True, True)
    assert arrived.archive.digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert (arrived.archive.size, arrived.archive.unpacked) == (len(data), archive.unpacked)
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert modes == {0o600}
    assert (tmp_path / "out" / "checkpoint").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("size", [1, 3, 511, (1 << 20) + 1, 1 << 30])
@pytest.mark.parametrize("packing", ["zstd", "gzip", "none"])
async def test_in_whatever_pieces_it_comes(tmp_path: Path, packing: Packing, size: int) -> None:
    data, _ = await packed(contents(tmp_path, images=IMAGES if size > 3 else {"inventory.img": b"x"}), packing)
    (tmp_path / "out").mkdir()
    arrived = await unpacked_into(pieces(data, size), tmp_path / "out")
    assert arrived.archive.digest == f"sha256:{hashlib.sha256(data).hexdigest()}"


async def test_the_same_dump_gives_the_same_bytes(tmp_path: Path) -> None:
    given = contents(tmp_path, layer=layer())
    first, archive = await packed(given)
    for name in sorted(IMAGES, reverse=True):  # other times, another order on disk
        path = given.images / name
        path.rename(tmp_path / "moved")
        (tmp_path / "moved").rename(path)
        os.utime(path, (0, 0))
    assert b"".join([piece async for piece in archive()]) == first
    assert (await packed(given))[0] == first


async def test_every_reader_of_tar_and_zstd_reads_it(tmp_path: Path) -> None:
    data, _ = await packed(contents(tmp_path, layer=layer()))
    plain = zstandard.ZstdDecompressor().decompressobj().decompress(data)
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        names = tar.getnames()
        members = [(member.uid, member.gid, member.mtime, member.uname) for member in tar]
    assert names[:5] == ["bridge.json", "config.dump", "spec.dump", "status.dump", "status"]
    assert names[names.index("checkpoint") + 1 :] == [
        *sorted(f"checkpoint/{name}" for name in IMAGES),
        "rootfs-diff.tar",
    ]
    assert set(members) == {(0, 0, 1_764_219_825, "")}


async def test_a_spec_with_a_name_of_its_own_keeps_it(tmp_path: Path) -> None:
    spec = b'{"annotations":{"io.kubernetes.cri.container-name":"nginx"}}'
    (tmp_path / "out").mkdir()
    data, _ = await packed(msgspec.structs.replace(contents(tmp_path), spec=spec))
    arrived = await unpacked(data, tmp_path / "out", limits=LIMITS)
    assert arrived.told.spec == json.loads(spec)


async def test_of_a_long_log_the_end_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "LONGEST_LOG", 10)
    (tmp_path / "out").mkdir()
    data, _ = await packed(contents(tmp_path))
    await unpacked(data, tmp_path / "out", limits=LIMITS)
    assert (tmp_path / "out" / "dump.log").read_bytes() == b"ion: 4.2.1\n"[-10:]


def change(given: Contents) -> None:
    (given.images / "pages-1.img").write_bytes(b"short")


def grow(given: Contents) -> None:
    with (given.images / "pages-1.img").open("ab") as file:
        file.write(b"x")


@pytest.mark.parametrize("how", [change, grow])
async def test_a_file_that_changes_meanwhile_is_told(tmp_path: Path, how: object) -> None:
    given = contents(tmp_path)
    archive = await pack(given)
    how(given)  # type: ignore[operator]
    with pytest.raises(CommandFailed, match=r"'checkpoint/pages-1\.img' has changed while it was packed"):
        async for _ in archive():
            pass
    assert archive.facts is None


async def test_a_directory_that_is_no_whole_dump_is_told(tmp_path: Path) -> None:
    given = contents(tmp_path)
    (given.images / "parent").symlink_to("../../earlier")
    with pytest.raises(CommandFailed, match="'parent' is no file"):
        await pack(given)
    with pytest.raises(CommandFailed, match="No such file or directory"):
        await pack(msgspec.structs.replace(given, images=tmp_path / "nowhere"))
    with pytest.raises(CommandFailed, match="there is no whole dump in"):
        await pack(msgspec.structs.replace(given, images=tmp_path))
    (given.images / "parent").unlink()
    (given.images / "inventory.img").rename(tmp_path / "inventory.img")  # CRIU was ended before it was through
    for packing in (pack(given), pack_criu_tar(given.images)):
        with pytest.raises(CommandFailed, match="there is no whole dump in") as failed:
            await packing
        assert failed.value.code == "failed_precondition"


async def test_a_dump_goes_to_containerd_and_back(tmp_path: Path) -> None:
    given = contents(tmp_path)
    tar = await pack_criu_tar(given.images)
    data = b"".join([piece async for piece in tar()])
    with tarfile.open(fileobj=io.BytesIO(data)) as other:
        assert {member.name: member.isreg() for member in other} == dict.fromkeys(sorted(IMAGES), True)
    assert tar.facts == ArchiveFacts(
        size=len(data),
        digest=f"sha256:{hashlib.sha256(data).hexdigest()}",
        unpacked=sum(map(len, IMAGES.values())),
        compression="none",
    )
    (tmp_path / "out").mkdir()
    descriptor = os.open(tmp_path / "out", os.O_RDONLY)
    assert await read_criu_tar(pieces(data), descriptor) == {name: len(data) for name, data in IMAGES.items()}
    assert tree(tmp_path / "out") == IMAGES
    os.close(descriptor)


async def test_an_archive_that_is_not_the_records_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    data, archive = await packed(contents(tmp_path))
    assert archive.facts is not None
    for wrong in ({"size": 1}, {"digest": "sha256:0"}, {"unpacked": archive.unpacked - 1}, {"unpacked": 1 << 30}):
        expected = msgspec.structs.replace(archive.facts, **wrong)
        with pytest.raises(CommandFailed) as failed:
            await unpacked(data, out, expected=expected, limits=LIMITS)
        assert failed.value.code == "invalid_argument"
        assert tree(out) == {}


async def test_what_is_in_the_way_stays_and_the_rest_is_taken_back(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "stats-dump").symlink_to(tmp_path / "elsewhere")
    data, _ = await packed(contents(tmp_path))
    with pytest.raises(CommandFailed, match="'stats-dump' is there already"):
        await unpacked(data, out, limits=LIMITS)
    assert os.listdir(out) == ["stats-dump"]
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("taken", [0, 1, 3])
async def test_who_is_cancelled_leaves_nothing(tmp_path: Path, taken: int) -> None:
    out = tmp_path / "out"
    out.mkdir()
    data, _ = await packed(contents(tmp_path), "none")
    arrived, never = asyncio.Event(), asyncio.Event()
    closed = False

    async def stalling() -> AsyncGenerator[bytes, None]:
        nonlocal closed
        try:
            for start in range(0, taken * 8192, 8192):
                yield data[start : start + 8192]
            arrived.set()
            await never.wait()
            yield b""
        finally:
            closed = True

    descriptor = os.open(out, os.O_RDONLY)
    work = asyncio.create_task(unpack(stalling(), descriptor))
    await arrived.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    os.close(descriptor)
    assert tree(out) == {}
    assert closed


async def test_an_error_of_whoever_brings_it_is_the_error(tmp_path: Path) -> None:
    async def broken() -> AsyncGenerator[bytes, None]:
        yield (await packed(contents(tmp_path)))[0][:100]
        raise CommandFailed("unavailable", "the bus is gone")

    descriptor = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(CommandFailed, match="the bus is gone"):
        await unpack(broken(), descriptor)
    os.close(descriptor)


async def test_who_brings_it_is_told_when_it_is_refused(tmp_path: Path) -> None:
    told = False

    async def endless() -> AsyncGenerator[bytes, None]:
        nonlocal told
        try:
            while True:
                yield b"no archive" * 1000
        finally:
            told = True

    descriptor = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(CommandFailed, match="is no tar archive"):
        await unpack(endless(), descriptor)
    os.close(descriptor)
    assert told


async def test_whoever_unpacks_holds_no_thread_that_others_need(tmp_path: Path) -> None:
    archive = await pack(contents(tmp_path), "none")
    with ThreadPoolExecutor(1) as only:
        asyncio.get_running_loop().set_default_executor(only)
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for number in range(4):
                (tmp_path / str(number)).mkdir()
                group.create_task(unpacked_into(archive(), tmp_path / str(number)))
    assert all((tmp_path / str(number) / "spec.dump").exists() for number in range(4))


async def unpacked_into(archive: AsyncGenerator[bytes, None], directory: Path) -> Arrived:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        return await unpack(archive, descriptor)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOSPC, "exhausted"), (errno.EDQUOT, "exhausted"), (errno.EIO, None)]
)
async def test_a_disk_that_is_full_is_told_and_nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: str | None
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    data, _ = await packed(contents(tmp_path))
    monkeypatch.setattr(landing, "open", lambda *_, **__: Full(number), raising=False)
    with pytest.raises(CommandFailed, match=r"the file 'bridge\.json' cannot be written") as failed:
        await unpacked(data, out, limits=LIMITS)
    assert failed.value.code == (code or "failed_precondition")
    assert tree(out) == {}


class Full(io.BytesIO):
    """A file on a disk that has no room, or is broken."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def write(self, data: object) -> int:
        raise OSError(self._number, os.strerror(self._number))


async def test_who_stops_reading_an_archive_leaves_no_thread(tmp_path: Path) -> None:
    archive = await pack(contents(tmp_path), "none")
    stream = archive()
    assert await anext(stream)
    await stream.aclose()
    assert archive.facts is None


@pytest.mark.parametrize("packing", ["gzip", "none"])
async def test_a_layer_goes_to_containerd_and_back(tmp_path: Path, packing: str) -> None:
    (tmp_path / "rootfs-diff.tar").write_bytes(layer())
    (tmp_path / "out").mkdir()
    descriptor = os.open(tmp_path, os.O_RDONLY)
    out = os.open(tmp_path / "out", os.O_RDONLY)
    data = b"".join([piece async for piece in layer_stream(descriptor, packing=packing)])  # type: ignore[arg-type]
    again = b"".join([piece async for piece in layer_stream(descriptor, packing=packing)])  # type: ignore[arg-type]
    assert await keep_layer(pieces(data), out) == len(layer())
    assert data == again
    assert (tmp_path / "out" / "rootfs-diff.tar").read_bytes() == layer()
    os.close(descriptor)
    os.close(out)


async def test_sizes_beyond_eight_gibibytes_are_written(tmp_path: Path) -> None:
    # A file of holes, so it costs nothing; nobody reads the archive to its end.
    given = contents(tmp_path)
    (given.images / "aaa.img").touch()
    os.truncate(given.images / "aaa.img", 9 << 30)
    archive = await pack(given, "none")
    assert archive.unpacked > 9 << 30
    stream = archive()
    assert b"size=9663676416\n" in await anext(stream)
    await stream.aclose()
