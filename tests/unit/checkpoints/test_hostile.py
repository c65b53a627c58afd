"""Archives that somebody made in order to get out of the directory, to fill it, or to mislead whoever reads the refusal.

Of each it is shown that it is refused with one sentence that names what is wrong and steers no terminal, that nothing is left in
the directory, and that nothing has changed around it.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import os
import tarfile
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.checkpoints import Limits, copy_dump, keep_layer, peek, read_criu_tar, read_directory, unpack
from bridge.errors import CommandFailed
from tests.unit.checkpoints.archives import IMAGES, contents, packed, tree

END = bytes(1024)
SMALL = Limits(whole=8 << 20, entries=200, table=64 << 10, log=1 << 20)


def entry(
    name: str,
    data: bytes = b"",
    *,
    kind: bytes = tarfile.REGTYPE,
    link: str = "",
    size: int | None = None,
    pax: dict[str, str] | None = None,
    form: Literal[1, 2] = tarfile.PAX_FORMAT,
) -> bytes:
    """One entry, with its content, as `tarfile` writes it; `size` is what its header says of it."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(data) if size is None else size
    info.pax_headers = pax or {}
    return info.tobuf(form, "utf-8", "surrogateescape") + data + bytes(-len(data) % 512)


def raw(header: bytes, **fields: tuple[int, bytes]) -> bytes:
    """A header with bytes of its own in places, and the sum that belongs to them."""
    changed = bytearray(header[:512])
    for offset, value in fields.values():
        changed[offset : offset + len(value)] = value
    changed[148:156] = b" " * 8
    changed[148:156] = b"%06o\0 " % sum(changed)
    return bytes(changed) + header[512:]


TABLES = {"config.dump": b"{}", "spec.dump": b"{}"}
BEGIN = b"".join(entry(name, data) for name, data in TABLES.items())
DUMP = entry("checkpoint", kind=tarfile.DIRTYPE) + entry("checkpoint/inventory.img", b"x")
GOOD = BEGIN + DUMP


def tables(**changed: bytes) -> bytes:
    files = TABLES | {name.replace("_", "."): data for name, data in changed.items()}
    return b"".join(entry(name, data) for name, data in files.items()) + DUMP + END


RECORD = {
    "id": "c-1",
    "node": "n1",
    "namespace": "default",
    "container": "a" * 76,
    "name": "before",
    "created_at": "2026-11-27T00:00:00Z",
}


def record(**changed: str) -> bytes:
    """An archive with a record in which something is changed."""
    return tables(bridge_json=json.dumps({"format": 1, "named": False, "record": RECORD | changed}).encode())


def zstd(data: bytes, *, checksum: bool = False) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=checksum).compress(data)


def wide(data: bytes, *, window_log: int) -> bytes:
    """A frame of one plain block that asks for such a window: a few bytes that ask for any memory."""
    window = bytes([window_log - 10 << 3])
    return b"\x28\xb5\x2f\xfd\x00" + window + (1 | len(data) << 3).to_bytes(3, "little") + data


def zeros(count: int) -> bytes:
    """A member of so many zeros, packed: a bomb."""
    compress = zstandard.ZstdCompressor(level=19).compressobj()
    packed = compress.compress(BEGIN + entry("checkpoint", kind=tarfile.DIRTYPE))
    packed += compress.compress(entry("checkpoint/inventory.img", size=count))
    for _ in range(count >> 20):
        packed += compress.compress(bytes(1 << 20))
    return packed + compress.compress(END) + compress.flush()


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def huge_pax(size: int) -> bytes:
    header = raw(entry("h", kind=tarfile.XHDTYPE), size=(124, b"%011o\0" % size))
    return GOOD + header + bytes(size) + END


ESCAPES = "\r\n\x1b[2J\x1b]0;owned\x07"

CORPUS: dict[str, tuple[Callable[[], bytes], str]] = {
    # -- out of the directory
    "a name that climbs": (lambda: GOOD + entry("../evil", b"x") + END, "'../evil', which is no part of a checkpoint"),
    "a name that climbs from within": (
        lambda: GOOD + entry("checkpoint/../../evil", b"x") + END,
        "no part of a checkpoint",
    ),
    "an image called ..": (lambda: GOOD + entry("checkpoint/..", b"x") + END, "no part of a checkpoint"),
    "an image called .": (lambda: GOOD + entry("checkpoint/.", b"x") + END, "no part of a checkpoint"),
    "an absolute name": (lambda: GOOD + entry("/etc/evil", b"x") + END, "'/etc/evil', which is no part"),
    "an absolute name of ours": (lambda: entry("/spec.dump", b"{}") + END, "'/spec.dump', which is no part"),
    "two slashes": (lambda: GOOD + entry("checkpoint//evil", b"x") + END, "no part of a checkpoint"),
    "a directory deeper": (lambda: GOOD + entry("checkpoint/a/b", b"x") + END, "no part of a checkpoint"),
    "backslashes": (lambda: GOOD + entry("checkpoint\\..\\..\\evil", b"x") + END, "no part of a checkpoint"),
    "a name with NUL": (
        lambda: GOOD + entry("a", b"x", pax={"path": "checkpoint/a\0/../../evil"}) + END,
        "without a proper name",
    ),
    "no name": (lambda: GOOD + raw(entry("x", b"x"), name=(0, b"\0")) + END, "without a proper name"),
    "another directory": (lambda: GOOD + entry("evil", kind=tarfile.DIRTYPE) + END, "'evil/', which is no part"),
    "the directory as a file": (lambda: BEGIN + entry("checkpoint", b"x") + END, "'checkpoint' as a file"),
    "a file as a directory": (lambda: GOOD + entry("dump.log", kind=tarfile.DIRTYPE) + END, "as a directory"),
    # -- what is no file
    "a symbolic link": (lambda: GOOD + entry("dump.log", kind=tarfile.SYMTYPE, link="/etc") + END, "a symbolic link:"),
    "a symbolic link, and a file through it": (
        lambda: BEGIN + entry("checkpoint", kind=tarfile.SYMTYPE, link="/tmp") + entry("checkpoint/evil", b"x") + END,
        "a symbolic link:",
    ),
    "a hard link outside": (
        lambda: GOOD + entry("dump.log", kind=tarfile.LNKTYPE, link="../../etc/shadow") + END,
        "a hard link:",
    ),
    "a hard link inside": (
        lambda: GOOD + entry("dump.log", kind=tarfile.LNKTYPE, link="spec.dump") + END,
        "a hard link:",
    ),
    "a block device": (lambda: GOOD + entry("dump.log", kind=tarfile.BLKTYPE) + END, "a device:"),
    "a character device": (lambda: GOOD + entry("dump.log", kind=tarfile.CHRTYPE) + END, "a device:"),
    "a FIFO": (lambda: GOOD + entry("dump.log", kind=tarfile.FIFOTYPE) + END, "a FIFO:"),
    "a link with content": (
        lambda: GOOD + entry("dump.log", b"x" * 512, kind=tarfile.SYMTYPE, size=512) + END,
        "that is said to have 512 bytes",
    ),
    "a type that there is not": (lambda: GOOD + entry("dump.log", b"x", kind=b"7") + END, "type '7'"),
    "a file with holes": (
        lambda: GOOD + entry("dump.log", b"x", pax={"GNU.sparse.major": "1", "GNU.sparse.realsize": "9"}) + END,
        "a file with holes",
    ),
    "a file with holes, as GNU wrote them": (
        lambda: GOOD + entry("dump.log", b"x", kind=tarfile.GNUTYPE_SPARSE) + END,
        "type 'S'",
    ),
    # -- names that mislead
    "a file that nobody knows": (lambda: GOOD + entry("run.sh", b"x") + END, "'run.sh', which is no part"),
    "escapes in a name": (lambda: GOOD + entry(ESCAPES, b"x") + END, r"'\\r\\n\\x1b\[2J\\x1b\]0;owned\\x07'"),
    "escapes in an image's name": (lambda: GOOD + entry(f"checkpoint/{ESCAPES}", b"x") + END, r"'checkpoint/\\r\\n"),
    "a right-to-left name": (lambda: GOOD + entry("gmi.\u202etac", b"x") + END, r"'gmi\.\\u202etac'"),
    "a name beyond ASCII": (lambda: GOOD + entry("checkpoint/ä.img", b"x") + END, r"'checkpoint/\\xe4\.img'"),
    "no UTF-8 in a name": (lambda: GOOD + entry("\udcff\udcfe", b"x", form=tarfile.GNU_FORMAT) + END, "xff"),
    "a mark of a deleted file": (
        lambda: GOOD + entry("checkpoint/.wh..wh..opq", b"x") + END,
        "no part of a checkpoint",
    ),
    "a hidden image": (lambda: GOOD + entry("checkpoint/.a", b"x") + END, "no part of a checkpoint"),
    "a long name": (lambda: GOOD + entry("checkpoint/" + "a" * 129, b"x") + END, r"a\.\.\.', which is no part"),
    "a very long name": (lambda: GOOD + entry("a" * 5000, b"x") + END, "a name of more than 4096 bytes: 'aaa"),
    "a very long name of GNU's": (
        lambda: GOOD + entry("a" * 5000, b"x", form=tarfile.GNU_FORMAT) + END,
        "a name of more than 4096 bytes",
    ),
    "a very long link": (
        lambda: GOOD + entry("a", kind=tarfile.SYMTYPE, link="a" * 5000) + END,
        "a name of more than 4096 bytes",
    ),
    "a file twice": (lambda: GOOD + entry("spec.dump", b"{}") + END, "'spec.dump' twice"),
    "a file twice, in two spellings": (lambda: GOOD + entry("./spec.dump", b"{}") + END, "'spec.dump' twice"),
    "an image twice": (lambda: GOOD + entry("checkpoint/inventory.img", b"y") + END, "inventory.img' twice"),
    "the directory twice": (lambda: GOOD + entry("./checkpoint/", kind=tarfile.DIRTYPE) + END, "'checkpoint' twice"),
    # -- headers about headers
    "a header about a header": (
        lambda: GOOD + entry("h", b"9 path=a\n", kind=tarfile.XHDTYPE) * 2 + entry("dump.log", b"x") + END,
        "more than one header about it",
    ),
    "two kinds of long names": (
        lambda: (
            GOOD
            + entry("h", b"9 path=a\n", kind=tarfile.XHDTYPE)
            + entry("h", b"b\0", kind=tarfile.GNUTYPE_LONGNAME)
            + entry("dump.log", b"x")
            + END
        ),
        "more than one header about it",
    ),
    "two long names": (
        lambda: GOOD + entry("h", b"b\0", kind=tarfile.GNUTYPE_LONGNAME) * 2 + entry("dump.log", b"x") + END,
        "more than one header about it",
    ),
    "a name said twice": (
        lambda: GOOD + entry("h", b"17 path=spec.dum\n12 path=abc\n", kind=tarfile.XHDTYPE) + entry("a", b"x") + END,
        "says it twice: 'path'",
    ),
    "a header for all that follows": (
        lambda: entry("h", b"17 path=spec.dum\n", kind=tarfile.XGLTYPE) + GOOD + END,
        "type 'g'",
    ),
    "a header that cannot be read": (
        lambda: GOOD + entry("h", b"999999999 path=a\n", kind=tarfile.XHDTYPE) + entry("a") + END,
        "extended header that cannot be read",
    ),
    "a header without an entry": (
        lambda: GOOD + entry("h", b"9 path=a\n", kind=tarfile.XHDTYPE) + END,
        "ends behind a header",
    ),
    "a size below nothing": (
        lambda: GOOD + entry("dump.log", b"x", pax={"size": "-1"}) + END,
        "an entry of size '-1'",
    ),
    "a size that is no number": (
        lambda: GOOD + entry("dump.log", b"x", pax={"size": "0x10"}) + END,
        "an entry of size '0x10'",
    ),
    "a negative size in binary": (
        lambda: GOOD + raw(entry("dump.log"), size=(124, b"\xff" * 12)) + END,
        "for a number",
    ),
    "a wrong sum": (lambda: GOOD + entry("dump.log")[:148] + b"0000000\0" + entry("dump.log")[156:] + END, "no header"),
    "an old archive": (lambda: raw(entry("spec.dump"), magic=(257, bytes(8))) + END, "there is no header"),
    # -- too much
    "too many entries": (
        lambda: GOOD + b"".join(entry(f"checkpoint/{n}", b"") for n in range(300)) + END,
        "more than 200 entries",
    ),
    "a million entries, packed": (
        lambda: zstd(GOOD + entry("./", kind=tarfile.DIRTYPE) * 1_000_000),
        "more than 200 entries",
    ),
    "a bomb of zstd's": (lambda: zeros(64 << 20), "more than 8388608"),
    "a bomb of gzip's": (
        lambda: gzip.compress(GOOD + entry("checkpoint/pages-1.img", bytes(64 << 20)) + END),
        "more than 8388608",
    ),
    "a window that takes all memory": (lambda: wide(GOOD + END, window_log=26), "requires too much memory"),
    "a size that is not there": (lambda: GOOD + entry("checkpoint/a", b"x", size=1 << 50) + END, "more than 8388608"),
    "a size of 2^88": (
        lambda: GOOD + raw(entry("checkpoint/a"), size=(124, b"\x80" + b"\xff" * 11)) + END,
        "more than 8388608",
    ),
    "a large table": (lambda: tables(status_dump=b'"' + b"a" * (64 << 10) + b'"'), "status.dump of 65538 bytes"),
    "large figures": (lambda: GOOD + entry("stats-dump", bytes(65537)) + END, "stats-dump of 65537 bytes"),
    "a long log": (lambda: GOOD + entry("dump.log", bytes((1 << 20) + 1)) + END, "dump.log of 1048577 bytes"),
    "a huge header": (lambda: huge_pax(2 << 20), "a header of 2097152 bytes"),
    "many headers": (
        lambda: zstd(GOOD + entry("h", size=1 << 20, kind=tarfile.XHDTYPE)[:512]),
        "ends in the middle",
    ),
    # -- too little
    "nothing": (lambda: b"", "ends in the middle, after 0 bytes"),
    "no archive": (lambda: b"#!/bin/sh\n" * 100, "is no tar archive"),
    "half an entry": (lambda: GOOD + entry("checkpoint/a", b"x" * 5000)[:2000], "ends in the middle"),
    "no end": (lambda: GOOD, "ends in the middle"),
    "half an end": (lambda: GOOD + bytes(512), "ends in the middle"),
    "half a sum at the end": (lambda: zstd(GOOD + END, checksum=True)[:-2], "ends in the middle"),
    "a sum that is wrong": (lambda: zstd(GOOD + END, checksum=True)[:-4] + b"wrong"[:4], "cannot be unpacked"),
    "a block that there cannot be": (
        lambda: wide(GOOD, window_log=20)[:6] + b"\x06\0\0",
        "a block that there cannot be",
    ),
    "a block of two megabytes": (
        lambda: wide(GOOD, window_log=20)[:6] + b"\xff\xff\xff",
        "that there cannot be|in the middle",
    ),
    "half a frame": (lambda: zstd(GOOD + os.urandom(5000) + END)[:-9], "ends in the middle"),
    "something behind the end": (lambda: GOOD + END + b"x", "goes on behind its end"),
    "an entry behind the end": (lambda: GOOD + END + entry("a", b"x"), "goes on behind its end"),
    "something between the two ends": (lambda: GOOD + bytes(512) + entry("a", b"x") + END, "goes on behind its end"),
    "a second frame": (lambda: zstd(GOOD + END) + zstd(b"x"), "goes on behind its end"),
    "something behind the frame": (lambda: zstd(GOOD + END) + b"x", "goes on behind its end"),
    "half of what gzip packed": (lambda: gzip.compress(GOOD + END)[:-4], "ends in the middle"),
    "something behind gzip's end": (lambda: gzip.compress(GOOD + END) + b"x", "goes on behind its end"),
    "a gigabyte of ends": (lambda: zstd(GOOD + bytes(16 << 20)), "goes on behind its end"),
    "damaged": (lambda: zstd(GOOD)[:30] + b"\xff" * 3000, "cannot be unpacked"),
    # -- what it says of itself
    "no dump": (lambda: BEGIN + entry("checkpoint", kind=tarfile.DIRTYPE) + END, "no dump of CRIU's"),
    "no spec": (lambda: entry("config.dump", b"{}") + DUMP + END, "has no spec.dump"),
    "no config": (lambda: entry("spec.dump", b"{}") + DUMP + END, "has no config.dump"),
    "a spec that is no JSON": (lambda: tables(spec_dump=b"{"), r"spec\.dump in the archive cannot be read"),
    "a spec that is a list": (lambda: tables(spec_dump=b"[]"), r"spec\.dump in the archive cannot be read"),
    "a spec without bottom": (lambda: tables(spec_dump=b'{"a":' + nested(20_000) + b"}"), "cannot be read"),
    "a config that is no JSON": (lambda: tables(config_dump=b"\xff\xfe"), r"config\.dump in the archive cannot"),
    "a status that is no JSON": (lambda: tables(status_dump=b"\x1b[2J"), r"status\.dump in the archive cannot"),
    "a record that is none": (lambda: tables(bridge_json=b"{}"), r"bridge\.json in the archive cannot be read"),
    "a record of a later format": (
        lambda: tables(bridge_json=b'{"format":2,"named":false,"record":{}}'),
        "its format is 2",
    ),
    "a record without a node": (
        lambda: tables(bridge_json=b'{"format":1,"named":false,"record":{}}'),
        "missing required field `id`",
    ),
    "a record with a name that climbs": (lambda: record(name="../../etc"), "cannot be a checkpoint's: 'name'"),
    "a record with a newline in a name": (lambda: record(name="a\n"), r"checkpoint's: 'name' is 'a\\n'"),
    "a record with escapes": (lambda: record(container=ESCAPES), r"checkpoint's: 'container' is '\\r\\n\\x1b"),
    "a record with an id of 77 characters": (lambda: record(container="a" * 77), "checkpoint's: 'container' is 'aaa"),
    "a record of no node": (lambda: record(node=""), "checkpoint's: 'node' is ''"),
    "a record of an image that steers": (lambda: record(image="\x1b[2J"), r"checkpoint's: 'image' is '\\x1b"),
    "a record with an endless runtime": (lambda: record(runtime="r" * 5000), "checkpoint's: 'runtime' is 'rrr"),
    "files to delete": (lambda: tables(deleted_files=b'["/etc/passwd"]'), "files to delete"),
    "files to delete that are none": (lambda: tables(deleted_files=b'{"a":1}'), r"deleted\.files in the archive"),
    # -- the layer in it
    "a layer that climbs": (
        lambda: GOOD + entry("rootfs-diff.tar", entry("../evil", b"x") + END) + END,
        "the layer has '../evil', which leads out",
    ),
    "a layer that is absolute": (
        lambda: GOOD + entry("rootfs-diff.tar", entry("/etc/evil", b"x") + END) + END,
        "the layer has '/etc/evil', which leads out",
    ),
    "a layer with a hard link outside": (
        lambda: GOOD + entry("rootfs-diff.tar", entry("a", kind=tarfile.LNKTYPE, link="../../etc/shadow") + END) + END,
        "linked with '../../etc/shadow' outside",
    ),
    "a layer that ends early": (lambda: GOOD + entry("rootfs-diff.tar", entry("a", b"x")) + END, "the layer ends"),
    "a layer with too much in it": (
        lambda: GOOD + entry("rootfs-diff.tar", entry("a", size=1 << 40) + END) + END,
        "the layer holds more than",
    ),
    "a layer with too many entries": (
        lambda: GOOD + entry("rootfs-diff.tar", entry("a") * 300 + END) + END,
        "the layer has more than 200 entries",
    ),
    "a layer that is none": (lambda: GOOD + entry("rootfs-diff.tar", b"x" * 1024) + END, "the layer is no tar archive"),
}


async def one_by_one(data: bytes, size: int = 1 << 16) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def taken(data: bytes, directory: Path, *, limits: Limits = SMALL) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        async with asyncio.timeout(60):
            await unpack(one_by_one(data), descriptor, limits=limits)
    finally:
        os.close(descriptor)


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[Path]:
    """A directory three levels down; at the end nothing but it has changed."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "shadow").write_bytes(b"secret")
    directory = tmp_path / "a" / "b" / "c"
    directory.mkdir(parents=True)
    before = tree(tmp_path)
    yield directory
    assert {path: data for path, data in tree(tmp_path).items() if not path.startswith("a/b/c/")} == before


@pytest.mark.parametrize(("make", "says"), CORPUS.values(), ids=CORPUS.keys())
async def test_it_is_refused_with_a_sentence_and_leaves_nothing(
    inside: Path, make: Callable[[], bytes], says: str
) -> None:
    with pytest.raises(CommandFailed, match=says) as failed:
        await taken(make(), inside)
    assert failed.value.code == "invalid_argument"
    assert failed.value.message.isprintable()
    assert failed.value.message.isascii()
    assert len(failed.value.message) < 400
    assert os.listdir(inside) == []


async def test_what_the_corpus_is_made_from_is_taken(inside: Path) -> None:
    await taken(GOOD + entry("dump.log", b"x", pax={"mtime": "1.5", "comment": "x"}) + END + bytes(8192), inside)
    assert sorted(tree(inside)) == ["checkpoint", "checkpoint/inventory.img", "config.dump", "dump.log", "spec.dump"]


async def test_a_record_is_taken_with_names_as_long_as_there_are(inside: Path) -> None:
    told = await peek(one_by_one(record(archive="of no account")), limits=SMALL)
    assert told.record is not None
    assert told.record.container == "a" * 76
    await taken(record(), inside)


async def test_names_as_tar_writes_them_with_a_dot_in_front(inside: Path) -> None:
    names = ["./", "./checkpoint/"]
    data = b"".join(entry(name, kind=tarfile.DIRTYPE) for name in names)
    data += b"".join(entry(f"./{name}", b"{}") for name in (*TABLES, "checkpoint/inventory.img"))
    await taken(gzip.compress(data + END), inside)
    assert sorted(tree(inside)) == ["checkpoint", "checkpoint/inventory.img", "config.dump", "spec.dump"]


async def test_a_window_that_can_be_had_is_taken(inside: Path) -> None:
    await taken(wide(GOOD + END, window_log=25), inside)


async def test_long_names_of_both_kinds_are_read(inside: Path) -> None:
    name = "checkpoint/" + "a" * 120
    await taken(GOOD + entry(name, b"x", form=tarfile.GNU_FORMAT) + entry(f"{name}b", b"y") + END, inside)
    assert tree(inside)[name] == b"x"
    assert tree(inside)[f"{name}b"] == b"y"


async def test_who_only_peeks_is_told_the_same(inside: Path) -> None:
    told = await peek(one_by_one(BEGIN + DUMP), limits=SMALL)  # without an end: nobody read so far
    assert (told.record, told.spec) == (None, {})
    for data, says in (
        (entry("a", kind=tarfile.SYMTYPE), "a symbolic link"),
        (entry("spec.dump", b"{}") * 2, "twice"),
        (entry("spec.dump", bytes(1 << 20)), "1048576 bytes"),
        (entry("spec.dump", b"{}") + DUMP + END, "has no config.dump"),
    ):
        with pytest.raises(CommandFailed, match=says):
            await peek(one_by_one(data), limits=SMALL)


# -- the tar of a dump, and directories

DUMPS: dict[str, tuple[bytes, str]] = {
    "a name that climbs": (entry("../evil", b"x"), "no name of a file of CRIU's"),
    "a directory": (entry("deeper", kind=tarfile.DIRTYPE), "a directory:"),
    "a file in a directory": (entry("deeper/a.img", b"x"), "no name of a file of CRIU's"),
    "a link": (entry("parent", kind=tarfile.SYMTYPE, link="/etc"), "a symbolic link:"),
    "a mark of a deleted file": (entry(".wh.a.img", b"x"), "no name of a file of CRIU's"),
    "a file twice": (entry("inventory.img", b"x"), "'inventory.img' twice"),
    "too much": (entry("pages-1.img", size=1 << 40), "more than 8388608 bytes"),
}


@pytest.mark.parametrize(("data", "says"), DUMPS.values(), ids=DUMPS.keys())
async def test_a_tar_of_a_dump_is_refused_likewise(inside: Path, data: bytes, says: str) -> None:
    descriptor = os.open(inside, os.O_RDONLY)
    with pytest.raises(CommandFailed, match=says):
        await read_criu_tar(one_by_one(entry("inventory.img", b"x") + data + END), descriptor, limits=SMALL)
    assert os.listdir(inside) == []
    assert await read_criu_tar(
        one_by_one(entry("/", kind=tarfile.DIRTYPE) + entry("inventory.img", b"x") + END), descriptor
    ) == {"inventory.img": 1}
    os.close(descriptor)


def linked(path: Path, outside: Path) -> None:
    (path / "core-1.img").symlink_to(outside)


def hard_linked(path: Path, outside: Path) -> None:
    (path / "core-1.img").hardlink_to(outside)


def pipe(path: Path, outside: Path) -> None:
    os.mkfifo(path / "core-1.img")


def deeper(path: Path, outside: Path) -> None:
    (path / "core-1.img").mkdir()


def unknown(path: Path, outside: Path) -> None:
    (path / "\x1b[2J").touch()


def nothing(path: Path, outside: Path) -> None:
    (path / "inventory.img").unlink()


def large(path: Path, outside: Path) -> None:
    (path / "pages-1.img").touch()
    os.truncate(path / "pages-1.img", 1 << 40)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (linked, "'core-1.img', which is no file"),
        (hard_linked, "linked with another name"),
        (pipe, "'core-1.img', which is no file"),
        (deeper, "'core-1.img', which is no file"),
        (unknown, r"'\\x1b\[2J', which is no"),
        (nothing, "no dump of CRIU's"),
        (large, "more than|more than is allowed"),
    ],
)
async def test_a_directory_is_refused_likewise(tmp_path: Path, spoil: Callable[[Path, Path], None], says: str) -> None:
    source, target = tmp_path / "from", tmp_path / "to"
    source.mkdir()
    target.mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (source / "inventory.img").write_bytes(b"x")
    spoil(source, tmp_path / "secret")
    from_, to = os.open(source, os.O_RDONLY), os.open(target, os.O_RDONLY)
    for copy in (copy_dump, read_directory):
        with pytest.raises(CommandFailed, match=says) as failed:
            await copy(from_, to, limits=SMALL)
        assert failed.value.message.isprintable()
        assert os.listdir(target) == []
    os.close(from_)
    os.close(to)


async def test_a_directory_is_laid_out_as_an_archive_is(tmp_path: Path) -> None:
    given = contents(tmp_path)
    (tmp_path / "to").mkdir()
    from_, to = os.open(given.images, os.O_RDONLY), os.open(tmp_path / "to", os.O_RDONLY)
    bare = await read_directory(from_, to)
    assert bare.told.record is None
    assert bare.told.spec == {}
    assert bare.images.keys() == IMAGES.keys()
    assert tree(tmp_path / "to") == {"checkpoint": None} | {f"checkpoint/{name}": data for name, data in IMAGES.items()}
    os.close(from_)
    os.close(to)


@pytest.mark.parametrize(
    "data",
    [b"", b"x" * 600, gzip.compress(b"x" * 2000), gzip.compress(entry("../a", b"x") + END)],
    ids=["nothing", "no gzip", "no tar", "a name that leads out"],
)
async def test_a_layer_from_elsewhere_is_refused_likewise(inside: Path, data: bytes) -> None:
    descriptor = os.open(inside, os.O_RDONLY)
    with pytest.raises(CommandFailed, match="the layer"):
        await keep_layer(one_by_one(data), descriptor, limits=SMALL)
    assert os.listdir(inside) == []
    os.close(descriptor)


# -- and whatever nobody thought of


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("valid")
    images = {"inventory.img": b"x", "pages-1.img": b"y" * 5000}
    layer = entry("a", b"x") + entry("b", kind=tarfile.SYMTYPE, link="a") + END
    data, _ = asyncio.run(packed(contents(directory, images=images, layer=layer), "none"))
    (directory / "archive").write_bytes(data)
    return directory / "archive"


mutations = st.lists(
    st.tuples(st.sampled_from(["set", "cut", "double", "insert"]), st.floats(0, 1), st.binary(min_size=1, max_size=16)),
    min_size=1,
    max_size=4,
)


def mutated(data: bytes, how: list[tuple[str, float, bytes]], *, resum: bool) -> bytes:
    for what, where, value in how:
        at = int(where * len(data))
        match what:
            case "set":
                data = data[:at] + value + data[at + len(value) :]
            case "cut":
                data = data[:at] + data[at + 512 * value[0] :]
            case "double":
                block = at // 512 * 512
                data = data[:block] + data[block : block + 512 * (1 + value[0] % 4)] + data[block:]
            case _:
                data = data[:at] + value + data[at:]
    return summed(data) if resum else data


def summed(data: bytes) -> bytes:
    """Give every block that looks like a header the right sum, so that more than the sum is looked at."""
    blocks = [data[start : start + 512] for start in range(0, len(data), 512)]
    return b"".join(raw(block) if block[257:262] == b"ustar" and len(block) == 512 else block for block in blocks)


@settings(
    max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(how=mutations, resum=st.booleans(), pack=st.sampled_from([None, zstd, gzip.compress]))
def test_a_mutated_archive_is_taken_or_refused(
    valid: Path, inside: Path, how: list[tuple[str, float, bytes]], resum: bool, pack: Callable[[bytes], bytes] | None
) -> None:
    good = valid.read_bytes()
    data = mutated(good, how, resum=resum) if pack is None or resum else mutated(pack(good), how, resum=False)
    for path in sorted(inside.rglob("*"), reverse=True):  # of the example before
        path.rmdir() if path.is_dir() else path.unlink()
    failed: CommandFailed | None = None
    try:
        asyncio.run(taken(data, inside))
    except CommandFailed as error:
        failed = error
    if failed is not None:
        assert failed.message.isprintable()
        assert os.listdir(inside) == []
    else:
        landed = [path for path in inside.rglob("*") if path.is_symlink() or not (path.is_file() or path.is_dir())]
        assert landed == []
        with tarfile.open(fileobj=io.BytesIO(unpacked_with_tarfile(data))) as tar:
            others = {member.name.removeprefix("./"): member for member in tar if member.isreg()}
        for name, content in tree(inside).items():
            assert content is None or others[name].size == len(content)


def unpacked_with_tarfile(data: bytes) -> bytes:
    if data[:2] == b"\x1f\x8b":
        return gzip.decompress(data)
    return zstandard.ZstdDecompressor().decompressobj().decompress(data) if data[:4] == b"\x28\xb5\x2f\xfd" else data
