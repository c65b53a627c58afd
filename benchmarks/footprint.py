"""What processes cost, as the kernel counts it (proc(5)): CPU time and memory, and how busy the processors were with all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

__all__ = ["busy_seconds", "cpu_seconds", "peak_rss", "rss"]

_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process, its threads and its living descendants have used, in user and kernel mode.

    Exact to a hundredth of a second for each process. What children that were waited for have used is in it too.

    Raises:
        ProcessLookupError: there is no such process.
    """
    return sum(_ticks(each) for each in _family(pid)) * _TICK_S


def busy_seconds() -> float:
    """Return how long the processors that this process may use have been busy since the machine started, with whatever."""
    ours = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    busy = 0
    for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
        name, *ticks = line.split()
        if name in ours:
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, ticks[:8])
            busy += user + nice + system + irq + softirq + steal
    return busy * _TICK_S


def rss(pid: int) -> int:
    """Return the memory, in bytes, that a process and its living descendants have in RAM now.

    Raises:
        ProcessLookupError: there is no such process.
    """
    return sum(_memory(each, "VmRSS") for each in _family(pid))


def peak_rss(pid: int) -> int:
    """Return the most memory, in bytes, that a process and its living descendants have had in RAM, each at its own peak.

    Raises:
        ProcessLookupError: there is no such process.
    """
    return sum(_memory(each, "VmHWM") for each in _family(pid))


def _family(pid: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parents.setdefault(int(_stat(int(entry))[1]), []).append(int(entry))
            except ProcessLookupError:
                continue
    family = [pid]
    for member in family:
        family += parents.get(member, [])
    return family


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the third on: what stands before may hold blanks."""
    return _read(pid, "stat").rpartition(")")[2].split()


def _ticks(pid: int) -> int:
    utime, stime, waited_utime, waited_stime = _stat(pid)[11:15]
    return int(utime) + int(stime) + int(waited_utime) + int(waited_stime)


def _memory(pid: int, field: str) -> int:
    for line in _read(pid, "status").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return 0  # a process that has ended and not been waited for


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError as error:
        raise ProcessLookupError(f"process {pid} has ended") from error
