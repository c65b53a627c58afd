"""How long a container stands still when it moves to another node, with and without pre-copy, beside `ctr c checkpoint` of it.

Measured: a process with so much memory, of bytes that nothing makes smaller, of which next to nothing changes. `ctr container
checkpoint` keeps it standing still for all that it does: dump and store on the same host. A migration has done more by the time
it runs again: what was dumped is on the bus, at the other node, and restored. Both hosts are on this machine.

Not measured: a network between the nodes, which is where pre-copy pays most.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.findings import Finding, Tell
from benchmarks.measured import Stopwatch
from benchmarks.processes import RunFailed
from bridge.client import CommandFailed, connect
from tests.fix_bridge import Bridge
from tests.testbed import Containerd, Ctr
from tests.testbed.nats import NatsServer

__all__ = ["FULL", "USUAL", "Size", "measure"]

AIMS: Final = (6.0, 3.0)
"""Of the time that `ctr c checkpoint` takes: without pre-copy, and with."""

MIB: Final = 1 << 20
COUNTED: Final = "/dev/shm/n"
WITHIN_S: Final = 300.0


class Size(NamedTuple):
    """How much memory the process has, in bytes, and how often each way is gone."""

    memory: int
    repeat: int = 2


USUAL = Size(256 * MIB)
FULL = Size(1024 * MIB)


async def measure(size: Size, tell: Tell) -> list[Finding]:
    """Measure and return what was found.

    Raises:
        RunFailed: a container did not go on where it was.
    """
    times: dict[str, list[float]] = {"ctr": [], "moved": [], "pre-copied": []}
    sent: list[int] = []
    with _nodes() as (url, hosts), hosts["n1"].fresh_namespace() as ctr:
        other = hosts["n2"].namespace(ctr.namespace)
        await asyncio.to_thread(_fill, ctr, size.memory)
        stopwatch = Stopwatch({"benchmark": os.getpid()})
        async with connect(url) as bus:
            at, ends = "n1", {"n1": ctr, "n2": other}
            for number in range(size.repeat):
                times["ctr"].append(await asyncio.to_thread(_checkpointed, ends[at], f"checkpoint-{number}"))
                for name, rounds in (("moved", 0), ("pre-copied", 1)):
                    to = "n2" if at == "n1" else "n1"
                    before = await asyncio.to_thread(_count, ends[at])
                    try:
                        moved = await bus._node(at).migrate("big", to=to, pre_copy=rounds, namespace=ctr.namespace)  # noqa: SLF001
                    except CommandFailed as error:
                        raise RunFailed(f"it was not moved: {error}") from error
                    times[name].append(moved.frozen_ns / 1e9)
                    if rounds:
                        sent.append(moved.sent_frozen)
                    at = to
                    if await asyncio.to_thread(_count, ends[at]) < before:
                        raise RunFailed("it did not go on where it was")
        measured = stopwatch.stop("migration", size.repeat)
    for name, each in times.items():
        tell(f"migration, {name}: {', '.join(f'{seconds:.2f} s' for seconds in sorted(each))}")
    best = {name: min(each) for name, each in times.items()}
    shares = [best["moved"] / best["ctr"], best["pre-copied"] / best["ctr"]]
    return [
        Finding(
            what=f"standing still while a process of {size.memory // MIB:,} MiB moves",
            aim=f"<= {AIMS[0]:g} times ctr c checkpoint, <= {AIMS[1]:g} with pre-copy",
            figure=f"{best['moved']:.2f} s ({shares[0]:.1f} times), {best['pre-copied']:.2f} s ({shares[1]:.1f} times) with "
            f"{min(sent) / MIB:.1f} MiB left to send; ctr {best['ctr']:.2f} s",
            met=all(share <= aim for share, aim in zip(shares, AIMS, strict=True)),
            numbers={"bytes": size.memory, "seconds": times, "sent_frozen": sent},
            others=measured.others,
        )
    ]


@contextmanager
def _nodes() -> Iterator[tuple[str, dict[str, Containerd]]]:
    """Start two hosts and their bridges."""
    with ExitStack() as closing:
        directory = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        url = closing.enter_context(NatsServer(jetstream="max_memory_store: 256MB, max_file_store: 16GB")).url
        hosts = {
            "n1": closing.enter_context(Containerd("2.1")),
            "n2": closing.enter_context(Containerd("2.1", own_cgroups=True)),
        }
        for node, host in hosts.items():
            bridge = Bridge(
                *("--containerd", host.address, "--fifo-dir", host.fifo_dir, "--nats", url, "--node", node),
                *(
                    "--state-dir",
                    directory / node,
                    "--commands",
                    "all",
                    "--checkpoint-dir",
                    host.shared / "checkpoints",
                ),
            )
            closing.enter_context(bridge).live()
        yield url, hosts


def _fill(ctr: Ctr, size: int) -> None:
    """Run a process with so much memory; base 64 makes four bytes of three. It starts nothing: CRIU cannot dump a vfork."""
    fill = f"x=$(head -c {size // 4 * 3} /dev/urandom | base64 -w 0); mkfifo /waits; exec 4<>/waits"
    ctr.run(
        "big", "sh", "-c", f"{fill}; n=0; while :; do n=$((n+1)); echo $n > {COUNTED}; read -t 0.1 nothing <&4; done"
    )
    _count(ctr)


def _count(ctr: Ctr) -> int:
    """Return how far it has counted."""
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        lines = [line.split() for line in ctr("tasks", "ls").splitlines()[1:]]
        pid = next((pid for name, pid, _ in lines if name == "big"), "0")
        text = ctr.host.run("cat", f"/proc/{pid}/root{COUNTED}", check=False).stdout.strip()
        if text:
            return int(text)
        time.sleep(0.1)
    raise RunFailed("the process does not count")


def _checkpointed(ctr: Ctr, name: str) -> float:
    """Return how long it stood still for `ctr`, which pauses it before all else and lets it run on in the end."""
    began = time.perf_counter()
    ctr("containers", "checkpoint", "--task", "--rw", "big", name)
    seconds = time.perf_counter() - began
    ctr("images", "rm", "--sync", name)
    return seconds
