"""How many bytes of a process's output get through `containerd-bridge exec` each second, beside `ctr exec` in the same run.

Measured: from the start of the client, a process of its own, to its end; a hundred megabytes of a pattern that looks the same at
no two places, so that a byte that is missing, twice or in the wrong place shows in the SHA-256. Both ways run the same program in
the same container of a real containerd, in turns. `ctr` reads the FIFO beside the shim, and on a busy machine leaves before the
last of it: that is told of, and its time counts. Through the bridge each byte is spooled, stored in JetStream with an
acknowledgement for each piece, and read from there; others can read it too, then and later.

Not measured: a distant server or client. What starting Python takes is in it, and is told of: the time of an exec without output.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.findings import Finding, Tell
from benchmarks.measured import Stopwatch
from benchmarks.processes import RunFailed, python
from bridge.client import connect
from tests.testbed import BUSYBOX, Containerd, Ctr
from tests.testbed.nats import NatsServer

__all__ = ["FULL", "USUAL", "Size", "measure"]

AIM: Final = 0.2
"""Of `ctr exec`'s bytes each second: what is stored on the way costs something."""

NODE: Final = "bench"
WITHIN_S: Final = 300.0
PATTERN: Final = "/pattern"
FIRST: Final = 10_000_000
"""Number in its first line: all of them have eight digits."""


class Size(NamedTuple):
    """How much is measured: bytes of output, and how often."""

    size: int
    repeat: int = 2


USUAL = Size(100_000_000)
FULL = Size(1_000_000_000)


class _Stage(NamedTuple):
    ctr: Ctr
    server: NatsServer
    bridge: int
    """Process id of the daemon."""


async def measure(size: Size, tell: Tell) -> list[Finding]:
    """Measure and return what was found.

    Raises:
        RunFailed: something else came out than the process wrote.
    """
    async with _staged() as stage:
        expected = await _write_pattern(stage, size.size)
        ours: list[float] = []
        theirs: list[float] = []
        empty: list[float] = []
        parts = {"bridge": stage.bridge, "nats-server": stage.server.pid, "containerd": _parent(stage.ctr.host.pid)}
        children, stopwatch = _children_seconds(), Stopwatch(parts)
        lost = 0
        for _ in range(size.repeat):
            elapsed, missing = await _run_ctr(stage, size.size, expected)
            theirs.append(elapsed)
            lost += missing > 0
            ours.append(await _run(_exec(stage, "cat", PATTERN), stage, size.size, expected, "containerd-bridge exec"))
            nothing = hashlib.sha256().hexdigest()
            empty.append(await _run(_exec(stage, "true"), stage, 0, nothing, "containerd-bridge exec true"))
        measured = stopwatch.stop("containerd-bridge exec", size.repeat)
        others = max(0.0, measured.others - (_children_seconds() - children) / measured.seconds)
    best, other, start = min(ours), min(theirs), min(empty)
    mega = size.size / 1e6
    cpu_ms = measured.parts["bridge"].cpu_us / 1000 / mega
    for name, seconds in (("ctr exec", theirs), ("containerd-bridge exec", ours), ("without output", empty)):
        tell(f"execs, {name}: {', '.join(f'{each:.2f} s' for each in sorted(seconds))}")
    if lost:
        tell(f"execs: ctr exec lost the last bytes in {lost} of {len(theirs)} runs")
    share = other / best
    return [
        Finding(
            what=f"{mega:,.0f} MB of output through exec, byte-exact, beside ctr exec in one run",
            aim=f">= {AIM:.0%} of ctr's bytes each second",
            figure=f"{mega / best:,.0f} MB/s ({mega / max(best - start, 0.01):,.0f} without the start of the client), "
            f"ctr {mega / other:,.0f} MB/s: {share:.0%}; the bridge {cpu_ms:.1f} ms of CPU for each MB",
            met=share >= AIM,
            numbers={
                "bytes": size.size,
                "seconds": [round(each, 3) for each in ours],
                "ctr_lost": lost,
                "ctr_seconds": [round(each, 3) for each in theirs],
                "empty_seconds": [round(each, 3) for each in empty],
                "bridge_cpu_ms_per_mb": round(cpu_ms, 3),
            },
            others=others,
        )
    ]


@asynccontextmanager
async def _staged() -> AsyncIterator[_Stage]:
    with (
        Containerd("2.1") as host,
        NatsServer(jetstream="max_memory_store: 256MB, max_file_store: 16GB") as server,
        host.fresh_namespace() as ctr,
        tempfile.TemporaryDirectory(prefix="bench-") as directory,
    ):
        await asyncio.to_thread(ctr, "run", "--detach", BUSYBOX, "web", "sleep", "100000")
        command = python(
            *("bridge", "serve", "--containerd", str(host.address), "--nats", server.url, "--node", NODE),
            *("--state-dir", str(Path(directory) / "state"), "--fifo-dir", str(host.fifo_dir), "--commands", "all"),
        )
        daemon = await asyncio.create_subprocess_exec(
            *command, stderr=asyncio.subprocess.DEVNULL, stdin=asyncio.subprocess.DEVNULL
        )
        try:
            await _until_up(server.url, daemon)
            yield _Stage(ctr, server, daemon.pid)
        finally:
            daemon.terminate()
            await daemon.wait()


async def _until_up(url: str, daemon: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(30), connect(url) as bus:
        while not await bus.nodes():
            if daemon.returncode is not None:
                raise RunFailed(f"the bridge ended with status {daemon.returncode} before it took commands")


async def _write_pattern(stage: _Stage, size: int) -> str:
    """Put a file with the pattern into the container; return its SHA-256."""
    script = f"busybox seq {FIRST} {FIRST + size // 9 + 1} | head -c {size} > {PATTERN}"
    host = stage.ctr.host
    words = ("--namespace", stage.ctr.namespace, "tasks", "exec", "--exec-id", "w", "web", "sh", "-c", script)
    await asyncio.to_thread(host.run, "ctr", *words, timeout=WITHIN_S)
    found = hashlib.sha256()
    left, number, portion = size, FIRST, 100_000
    while left > 0:
        lines = b"".join(b"%d\n" % n for n in range(number, number + portion))[:left]
        found.update(lines)
        left, number = left - len(lines), number + portion
    return found.hexdigest()


def _exec(stage: _Stage, *program: str) -> list[str]:
    where = ["--nats", stage.server.url, "--node", NODE, "--namespace", stage.ctr.namespace]
    return [sys.executable, "-m", "bridge", "exec", *where, "web", *program]


def _ctr(stage: _Stage, *program: str) -> list[str]:
    where = ["--namespace", stage.ctr.namespace, "tasks", "exec", "--exec-id", f"e{time.monotonic_ns()}", "web"]
    return ["ctr", *where, *program]


async def _run(command: list[str], stage: _Stage, size: int, expected: str, name: str) -> float:
    """Run a client to its end and return how long it took; what it writes has to be what is expected."""
    elapsed, found, count, status = await _timed(command, stage)
    if (count, found, status) != (size, expected, 0):
        raise RunFailed(f"{name} gave {count:,} of {size:,} bytes, other ones, or ended with {status}")
    return elapsed


async def _run_ctr(stage: _Stage, size: int, expected: str) -> tuple[float, int]:
    """Run `ctr` and return how long it took, and how many bytes it lost."""
    elapsed, found, count, status = await _timed(_ctr(stage, "cat", PATTERN), stage)
    if status or count > size or (count == size and found != expected):
        raise RunFailed(f"ctr exec gave {count:,} of {size:,} bytes, other ones, or ended with {status}")
    return elapsed, size - count


async def _timed(command: list[str], stage: _Stage) -> tuple[float, str, int, int]:
    """Run a client to its end; return how long it took, SHA-256 and size of what it wrote, and its status."""
    read, write = os.pipe()
    begun = time.monotonic()
    process = await asyncio.to_thread(_started, command, stage, write)
    os.close(write)
    found, count = await asyncio.to_thread(_digest, read)
    status = await asyncio.to_thread(process.wait, WITHIN_S)
    return time.monotonic() - begun, found, count, status


def _children_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _parent(pid: int) -> int:
    """Return the parent of containerd, which is the parent of its shims too."""
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[1])


def _started(command: list[str], stage: _Stage, output: int) -> subprocess.Popen[str]:
    if command[0] == "ctr":
        return stage.ctr.host.popen(*command, stdout=output)
    return subprocess.Popen(command, stdout=output, text=True)


def _digest(descriptor: int) -> tuple[str, int]:
    found, count = hashlib.sha256(), 0
    with open(descriptor, "rb", buffering=0) as pipe:
        while data := pipe.read(1 << 20):
            found.update(data)
            count += len(data)
    return found.hexdigest(), count
