"""How long a checkpoint of a large process takes, and for how much of that it stands still, beside `ctr c checkpoint` and `cp`.

Measured: a process with so much memory, of which every second mebibyte is random, which nothing makes smaller, and the others are
a program's code. `checkpoint` of it into the catalogue, through bus and bridge, and `restore` from there; beside each the same
with `ctr container checkpoint --image --task --rw` and `ctr container restore --rw --live`, and `cp` of the directory that CRIU
writes. For how long it stood still it says itself: it looks at the clock a hundred times a second. In the end the digest of
its memory has to be the same in all that were restored.

A `checkpoint` does more than the others: what was dumped is compressed, stored in nats-server, and read from there once more
before it is said to be there. What it is held to is therefore how long the process stands still, and how much memory the
bridge takes, which is to be the same whatever the size.

Not measured: a network, a disk of its own for nats-server, a container that writes many files.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.findings import Finding, Tell
from benchmarks.footprint import cpu_seconds, peak_rss
from benchmarks.measured import Stopwatch
from benchmarks.processes import RunFailed
from bridge.client import Bus, CommandFailed, connect
from bridge.model.checkpoints import CheckpointRecord
from bridge.model.commands import Checkpoint, Restore
from tests.fix_bridge import Bridge
from tests.testbed import Containerd, Ctr
from tests.testbed.nats import NatsServer

__all__ = ["FULL", "USUAL", "Size", "measure"]

AIM_STILL: Final = 1.0
"""Of the time that it stands still for `ctr c checkpoint`, which is nearly all that one takes."""

AIMS: Final = (3.0, 2.0)
"""Of the time that `ctr` takes for a checkpoint and a restore. It packs, stores and reads back nothing."""

AIM_MEMORY: Final = 150
"""MiB that the bridge has at the most."""

MIB: Final = 1 << 20
WITHIN_S: Final = 300.0

OURS, CTR, CRIU, CP, SERVER = "catalogue", "ctr", "CRIU", "cp", "nats-server"
IMAGE: Final = "big-checkpoint"
PROGRAM: Final = """
mkfifo /waits /memory
exec 4<>/waits
(tail -c SIZE </memory | md5sum >/digest) &
exec 5<>/memory
n=0; while [ $n -lt PAIRS ]; do head -c 1048576 /dev/urandom; head -c 1048576 /bin/busybox; n=$((n+1)); done >&5
echo 0 >/dev/shm/wanted
anew=0; longest=0; last=; looks=0
while :; do
  read -t 0.01 nothing <&4; looks=$((looks+1))
  read wanted </dev/shm/wanted
  if [ "$wanted" = end ]; then exec 5>&-; fi
  if [ "$wanted" != "$anew" ]; then anew=$wanted; longest=0; last=; fi
  read now rest </proc/uptime; now=${now%.*}${now#*.}
  if [ -n "$last" ] && [ $((now-last)) -gt $longest ]; then longest=$((now-last)); fi
  last=$now; echo $anew $looks $longest >/dev/shm/told
done
"""
"""`tail` keeps what it reads in memory until there is no more: when the shell is told to end it. Nothing is started meanwhile.

It is told by a file, because a signal lets this shell's `read` go round and round.
"""


class Size(NamedTuple):
    """How much memory the process has, in bytes, and how often each way is gone."""

    memory: int
    repeat: int = 2


USUAL = Size(256 * MIB)
FULL = Size(1024 * MIB, 3)


class _Way(NamedTuple):
    """What one way took, in seconds, each time."""

    made: list[float]
    restored: list[float]
    still: list[float]
    worked: list[float]
    """Of processor time, for a checkpoint."""


class _Looked(NamedTuple):
    """What the process says of itself.

    Attributes:
        wanted: what it was told last.
        looks: how often it has looked at the clock.
        longest: hundredths of a second between two looks.
    """

    wanted: str
    looks: int
    longest: int


class _Process:
    """The process that is measured, in a container."""

    def __init__(self, ctr: Ctr, name: str) -> None:
        """Take the container's id; it need not be there yet."""
        self.ctr = ctr
        self.name = name

    def run(self, size: int) -> None:
        """Start it, and wait until its memory is full."""
        program = PROGRAM.replace("SIZE", str(2 * size)).replace("PAIRS", str(size // (2 * MIB)))
        self.ctr.run(self.name, "sh", "-c", program)
        self._looked()

    def look_anew(self) -> None:
        """Let it forget for how long it has stood still."""
        wanted = f"{time.monotonic_ns()}"
        self._tell(wanted)
        while self._looked().wanted != wanted:
            pass

    def still(self) -> float:
        """Return for how many seconds it has stood still since then."""
        before = self._looked().looks
        while (looked := self._looked()).looks <= before + 1:
            pass
        return looked.longest / 100

    def end(self) -> str:
        """End it and return the digest of its memory; the container is gone."""
        self._tell("end")
        digest = self._until("/digest").split()[0]
        self.ctr.delete(self.name)
        return digest

    def _tell(self, word: str) -> None:
        self.ctr.host.run("sh", "-c", f"echo {word} >/proc/{self._pid()}/root/dev/shm/wanted")

    def _looked(self) -> _Looked:
        wanted, looks, longest = self._until("/dev/shm/told").split()
        return _Looked(wanted, int(looks), int(longest))

    def _pid(self) -> str:
        lines = [line.split() for line in self.ctr("tasks", "ls").splitlines()[1:]]
        return next((pid for name, pid, _ in lines if name == self.name), "0")

    def _until(self, path: str) -> str:
        """Wait until something stands in a file of its, and return that."""
        deadline = time.monotonic() + WITHIN_S
        while time.monotonic() < deadline:
            if text := self.ctr.host.run("cat", f"/proc/{self._pid()}/root{path}", check=False).stdout.strip():
                return text
            time.sleep(0.02)
        raise RunFailed(f"nothing is in {path} of {self.name}")


class _Node(NamedTuple):
    """A host with its bridge, and the server."""

    ctr: Ctr
    bridge: Bridge
    server: NatsServer

    def peaks(self) -> tuple[int, int]:
        """Return how many MiB of memory the bridge and the server have had at the most."""
        return peak_rss(self.bridge.process.pid) // MIB, peak_rss(self.server.pid) // MIB


async def measure(size: Size, tell: Tell) -> list[Finding]:
    """Measure and return what was found.

    Raises:
        RunFailed: something could not be made, or has another memory after it was restored.
    """
    times = {name: _Way([], [], [], []) for name in (OURS, CTR, CRIU, CP, SERVER)}
    with _node() as node:
        process = _Process(node.ctr, "big")
        await asyncio.to_thread(process.run, size.memory)
        before = node.peaks()
        async with connect(node.server.url) as bus:
            stopwatch = Stopwatch({"bridge": node.bridge.process.pid, "nats-server": node.server.pid})
            try:
                for number in range(size.repeat):
                    made = await _made(node, bus, process, times, number)
                digest = await asyncio.to_thread(process.end)
                for _ in range(size.repeat):
                    await _restored(node, bus, made, times, digest)
            except CommandFailed as error:
                raise RunFailed(str(error)) from error
            measured = stopwatch.stop("checkpoint", size.repeat)
            peaks = node.peaks()
    for name, way in times.items():
        for what, each in zip(way._fields, way, strict=True):
            if each:
                tell(f"checkpoint, {name}, {what}: {', '.join(f'{seconds:.2f} s' for seconds in sorted(each))}")
    return [
        _found_still(size, times, measured.others),
        _found_rates(size, times, made, measured.others),
        Finding(
            what="memory of the bridge meanwhile",
            aim=f"< {AIM_MEMORY} MiB",
            figure=f"{peaks[0]:,} MiB at the most, {before[0]:,} before; nats-server {peaks[1]:,}, {before[1]:,} before",
            met=peaks[0] < AIM_MEMORY,
            numbers={"before": before, "peaks": peaks},
            others=measured.others,
        ),
    ]


def _found_still(size: Size, times: Mapping[str, _Way], others: float) -> Finding:
    ours, theirs = min(times[OURS].still), min(times[CTR].still)
    return Finding(
        what=f"standing still while {size.memory // MIB:,} MiB are dumped",
        aim=f"<= {AIM_STILL:g} times ctr c checkpoint",
        figure=f"{ours:.2f} s, of which CRIU {min(times[CRIU].still):.2f} s; ctr {theirs:.2f} s: {ours / theirs:.2f} times",
        met=ours <= AIM_STILL * theirs,
        numbers={"bytes": size.memory, "seconds": {name: way.still for name, way in times.items() if way.still}},
        others=others,
    )


def _found_rates(size: Size, times: Mapping[str, _Way], record: CheckpointRecord, others: float) -> Finding:
    def told(way: Sequence[float]) -> str:
        return f"{min(way):.2f} s ({size.memory / MIB / min(way):,.0f} MiB/s)"

    made, restored = (
        f"{told(getattr(times[OURS], way))}, ctr {told(getattr(times[CTR], way))}" for way in ("made", "restored")
    )
    shares = [min(getattr(times[OURS], way)) / min(getattr(times[CTR], way)) for way in ("made", "restored")]
    return Finding(
        what=f"a checkpoint of it ({record.archive.size // MIB:,} MiB packed), and its restore",
        aim=f"<= {AIMS[0]:g} and <= {AIMS[1]:g} times ctr's",
        figure=f"{made}: {shares[0]:.1f} times; restore {restored}: {shares[1]:.1f} times; cp {told(times[CP].made)}; "
        f"CPU for the checkpoint: bridge {min(times[OURS].worked):.1f} s, nats-server {min(times[SERVER].worked):.1f} s",
        met=all(share <= aim for share, aim in zip(shares, AIMS, strict=True)),
        numbers={
            "bytes": size.memory,
            "stored": record.archive.size,
            "made": {name: way.made for name, way in times.items() if way.made},
            "cpu": {name: way.worked for name, way in times.items() if way.worked},
            "restored": {name: way.restored for name, way in times.items() if way.restored},
        },
        others=others,
    )


async def _made(node: _Node, bus: Bus, process: _Process, times: Mapping[str, _Way], number: int) -> CheckpointRecord:
    """Make a checkpoint each way, and copy a dump; return the record of ours. Only the last ones of them stay."""
    namespace, host = node.ctr.namespace, bus._node("n1")  # noqa: SLF001
    if number:
        await host.checkpoint_remove(process.name, f"ours-{number - 1}", namespace=namespace)
        await asyncio.to_thread(node.ctr, "images", "rm", "--sync", IMAGE)
    await asyncio.to_thread(process.look_anew)
    pids = {OURS: node.bridge.process.pid, SERVER: node.server.pid}
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    began = time.perf_counter()
    made = await host.checkpoint(process.name, Checkpoint(name=f"ours-{number}"), namespace=namespace)
    times[OURS].made.append(time.perf_counter() - began)
    for name, pid in pids.items():
        times[name].worked.append(cpu_seconds(pid) - before[name])
    times[OURS].still.append(await asyncio.to_thread(process.still))
    assert made.record is not None
    if made.record.stats is not None:
        times[CRIU].still.append(made.record.stats.frozen_us / 1e6)

    await asyncio.to_thread(process.look_anew)
    options = ("--image", "--task", "--rw")
    times[CTR].made.append(await _timed(node.ctr, "containers", "checkpoint", *options, process.name, IMAGE))
    times[CTR].still.append(await asyncio.to_thread(process.still))

    dump, copy = (str(node.ctr.host.shared / name) for name in ("dump", "copy"))
    await host.checkpoint(process.name, Checkpoint(to="dir", target=dump), namespace=namespace)
    times[CP].made.append(await _timed(node.ctr.host.run, "cp", "-r", dump, copy))
    await asyncio.to_thread(node.ctr.host.run, "rm", "-rf", dump, copy)
    return made.record


async def _restored(node: _Node, bus: Bus, record: CheckpointRecord, times: Mapping[str, _Way], digest: str) -> None:
    """Restore it each way, and see that it is the same memory."""
    again = _Process(node.ctr, "big")
    began = time.perf_counter()
    await bus._node("n1").restore(again.name, Restore(checkpoint=record.key.token), namespace=node.ctr.namespace)  # noqa: SLF001
    times[OURS].restored.append(time.perf_counter() - began)
    await _compare(again, digest, OURS)
    times[CTR].restored.append(await _timed(node.ctr, "containers", "restore", "--rw", "--live", again.name, IMAGE))
    await _compare(again, digest, CTR)


async def _compare(process: _Process, digest: str, way: str) -> None:
    if await asyncio.to_thread(process.end) != digest:
        raise RunFailed(f"{way}: the memory of what was restored is another one")


async def _timed(run: Callable[..., object], *arguments: str) -> float:
    began = time.perf_counter()
    await asyncio.to_thread(run, *arguments, timeout=WITHIN_S)
    return time.perf_counter() - began


@contextmanager
def _node() -> Iterator[_Node]:
    """Start all of it."""
    with ExitStack() as closing:
        directory = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        server = closing.enter_context(NatsServer(jetstream="max_memory_store: 256MB, max_file_store: 16GB"))
        host = closing.enter_context(Containerd("2.1"))
        ctr = closing.enter_context(host.fresh_namespace())
        policy = directory / "policy.toml"
        policy.write_text(f'default = "allow"\n[spec]\ncheckpoint_paths = ["{host.shared}"]\n')
        bridge = Bridge(
            *("--containerd", host.address, "--fifo-dir", host.fifo_dir, "--nats", server.url, "--node", "n1"),
            *(
                "--state-dir",
                directory,
                "--commands",
                "all",
                "--policy",
                policy,
                "--checkpoint-dir",
                host.shared / "checkpoints",
            ),
        )
        closing.enter_context(bridge).live()
        yield _Node(ctr, bridge, server)
