"""How many bytes of a checkpoint's archive get into the catalogue each second, and out of it, beside nats-py's own object store.

Measured: a file put into a fresh nats-server's object store and read from there, by the catalogue and by nats-py, in turns in one
run and one process; plain, and encrypted by the catalogue. Every byte that comes back is compared. nats-py publishes one piece of
128 KiB after the other and begins anew where it was broken off; the catalogue has several of 256 KiB under way, each behind the
one before it, and goes on.

Not measured: CRIU, compression, a distant server, replicas.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from benchmarks.findings import Finding, Tell
from benchmarks.measured import Stopwatch
from benchmarks.processes import RunFailed
from bridge.config import NatsConfig
from bridge.jetstream.checkpoint_buckets import CheckpointMaking
from bridge.jetstream.checkpoint_cipher import CheckpointSecret
from bridge.jetstream.checkpoints import JetStreamCheckpoints
from bridge.jetstream.connection import Connection, connect
from bridge.model.checkpoints import CheckpointKey
from bridge.model.subjects import Subjects
from tests.testbed.nats import NatsServer

__all__ = ["FULL", "USUAL", "Size", "measure"]

AIMS: Final = (1.0, 2.0)
"""Times nats-py's bytes each second, in and out: to be able to go on where an upload was broken off shall cost nothing."""

MIB: Final = 1 << 20
THEIRS, OURS, ENCRYPTED = "nats-py", "catalogue", "encrypted"


class Size(NamedTuple):
    """How much is measured: bytes of the archive, and how often."""

    size: int
    repeat: int = 3


USUAL = Size(128 * MIB)
FULL = Size(1024 * MIB)


class _Times(NamedTuple):
    put: list[float]
    get: list[float]


async def measure(size: Size, tell: Tell) -> list[Finding]:
    """Measure and return what was found.

    Raises:
        RunFailed: something else came out than was put in.
    """
    times = {name: _Times([], []) for name in (THEIRS, OURS, ENCRYPTED)}
    with (
        NatsServer(jetstream="max_memory_store: 256MB, max_file_store: 16GB") as server,
        tempfile.TemporaryDirectory(prefix="bench-") as directory,
    ):
        file = Path(directory) / "archive"
        digest = await asyncio.to_thread(_write, file, size.size)
        async with connect(NatsConfig(url=server.url), name="benchmark") as connection:
            stopwatch = Stopwatch({"nats-server": server.pid})
            for number in range(size.repeat):
                await _theirs(connection, file, digest, times[THEIRS])
                for name in (OURS, ENCRYPTED):
                    await _ours(connection, file, digest, times[name], f"{name}-{number}", encrypted=name == ENCRYPTED)
            measured = stopwatch.stop("checkpoints", size.repeat)
    for name, each in times.items():
        told = [", ".join(f"{seconds:.2f} s" for seconds in sorted(way)) for way in each]
        tell(f"checkpoints, {name}: put {told[0]}; get {told[1]}")

    def rate(name: str, way: int) -> float:
        return size.size / MIB / min(times[name][way])

    shares = [rate(OURS, way) / rate(THEIRS, way) for way in (0, 1)]
    figures = [
        f"{word} {rate(OURS, way):,.0f} MiB/s (encrypted {rate(ENCRYPTED, way):,.0f}), nats-py {rate(THEIRS, way):,.0f}: "
        f"{shares[way]:.1f} times"
        for way, word in enumerate(("put", "get"))
    ]
    return [
        Finding(
            what=f"{size.size // MIB:,} MiB of an archive into the catalogue and out of it",
            aim=f"in >= {AIMS[0]:g}, out >= {AIMS[1]:g} times nats-py's object store",
            figure="; ".join(figures),
            met=all(share >= aim for share, aim in zip(shares, AIMS, strict=True)),
            numbers={
                "bytes": size.size,
                "seconds": {name: each._asdict() for name, each in times.items()},
            },
            others=measured.others,
        )
    ]


async def _theirs(connection: Connection, file: Path, digest: str, times: _Times) -> None:
    bucket = "theirs"
    store = await connection.jetstream.create_object_store(bucket)
    with file.open("rb") as opened:
        times.put.append(await _timed(lambda: store.put("archive", opened)))
    found = hashlib.sha256()
    times.get.append(await _timed(lambda: store.get("archive", writeinto=_Hashing(found))))  # type: ignore[arg-type]
    _compare(found.hexdigest(), digest, THEIRS)
    await connection.jetstream.delete_object_store(bucket)


async def _ours(connection: Connection, file: Path, digest: str, times: _Times, name: str, *, encrypted: bool) -> None:
    secrets = [CheckpointSecret.of(os.urandom(32))] if encrypted else []
    catalogue = JetStreamCheckpoints(connection, Subjects(), node="bench", secrets=secrets, making=CheckpointMaking())
    key = CheckpointKey("bench", "default", "web", name)
    times.put.append(await _timed(lambda: catalogue.store(key, lambda: _read(file), upload="a-1", tell=lambda _: None)))
    found = hashlib.sha256()

    async def read() -> None:
        async for piece in catalogue.load(key):
            await asyncio.to_thread(found.update, piece)

    times.get.append(await _timed(read))
    _compare(found.hexdigest(), digest, name)
    await catalogue.remove(key)


async def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    await work()  # type: ignore[misc]
    return time.perf_counter() - began


def _compare(found: str, expected: str, name: str) -> None:
    if found != expected:
        raise RunFailed(f"{name}: what was read is not what was put there")


class _Hashing:
    """A file that only hashes; nats-py writes to it from a thread."""

    def __init__(self, digest: object) -> None:
        self.write = digest.update  # type: ignore[attr-defined]


async def _read(file: Path) -> AsyncIterator[bytes]:
    opened: BinaryIO
    with file.open("rb") as opened:
        while piece := await asyncio.to_thread(opened.read, MIB):
            yield piece


def _write(file: Path, size: int) -> str:
    """Write bytes of which no two mebibytes are the same, and return their digest."""
    digest = hashlib.sha256()
    piece = os.urandom(MIB)
    with file.open("wb") as opened:
        for number in range(-(-size // MIB)):
            data = (number.to_bytes(8, "big") + piece[8:])[: size - number * MIB]
            opened.write(data)
            digest.update(data)
    return digest.hexdigest()
