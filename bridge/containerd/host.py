"""What the kernel of containerd's host says of processes: names, command lines, network. Only where it can be seen from here.

A pid of containerd's means something in containerd's PID namespace alone. Which that is, the socket tells: the kernel knows who
listens on it. Where that is not our own, containerd's processes are looked at through its own `/proc`; where it cannot be
reached (the bridge is in a container without the host's PIDs), nothing is said rather than something of another process.
Everything here blocks for a moment: call it from a worker thread.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from msgspec import structs

from bridge.containerd.throttles import missing, wanted
from bridge.model.nanos import Nanos
from bridge.model.outcomes import NetworkStats, ProcessInfo

__all__ = ["HostProcesses", "Process", "Seen", "listener"]

log = logging.getLogger(__name__)

_COMMAND_LINES: Final = 256 * 1024
"""Bytes of command lines in one answer, which has to fit into a message; a single one is cut at `_COMMAND_LINE`."""

_COMMAND_LINE: Final = 4096

_TICK_NS: Final = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_CREDENTIALS: Final = struct.Struct("3i")
_LOOPBACK: Final = "lo"


class Process(NamedTuple):
    """A process by its pid and, since that is used again, the clock tick at which it began; None for whichever has it now."""

    pid: int
    began: int | None = None


class Seen(NamedTuple):
    """A process that is there, and the interfaces of its network; None where that is the host's."""

    process: Process
    network: list[NetworkStats] | None


class _View(NamedTuple):
    """Where containerd's processes are seen, and which network is the host's."""

    proc: Path
    network: str


class HostProcesses:
    """The processes of the host of one containerd."""

    def __init__(self, address: Path) -> None:
        """Take the path of containerd's socket."""
        self._address = address

    def described(self, processes: Sequence[ProcessInfo]) -> list[ProcessInfo]:
        """Return the processes with what the kernel says of them."""
        view = self._view()
        if view is None:
            return list(processes)
        longest = min(_COMMAND_LINE, _COMMAND_LINES // max(1, len(processes)))
        boot = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        return [_described(view.proc / str(one.pid), one, boot, longest) for one in processes]

    def networks(self, processes: Mapping[str, Process]) -> Mapping[str, Seen] | None:
        """Return the networks of the processes that are there, by the same keys; None where all are out of sight.

        In the host's network the numbers would be those of everybody: such a process has none.
        """
        view = self._view()
        if view is None:
            return None
        found: dict[str, Seen] = {}
        for key, (pid, began) in processes.items():
            process = view.proc / str(pid)
            try:
                own = int((process / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[19])
                if began not in {None, own}:
                    continue  # another process has its number now
                shared = os.readlink(process / "ns/net") == view.network
                interfaces = None if shared else _interfaces((process / "net/dev").read_text("ascii"))
            except (OSError, ValueError, LookupError):
                continue  # it has just ended
            found[key] = Seen(Process(pid, own), interfaces)
        return found

    def passed_over(self, resources: Mapping[str, Any], pid: int) -> Sequence[str]:
        """Return the block devices whose limits in an OCI LinuxResources the process does not have; none where nobody sees."""
        limits, peer = wanted(resources), listener(self._address)
        view = self._view() if limits and peer else None
        if view is None:
            return []
        return missing(limits, view.proc / str(pid), Path("/proc") / str(peer) / "root/sys/fs/cgroup")

    def kill(self, pids: Sequence[int]) -> bool:
        """Send SIGKILL to processes that stand still, so that their numbers are theirs; False where they are out of sight."""
        view = self._view()
        if view is None:
            return False
        try:
            for pid in pids:
                # A directory of /proc is good for a pidfd, in whichever namespace the number is that process's.
                process = os.open(view.proc / str(pid), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    signal.pidfd_send_signal(process, signal.SIGKILL)
                finally:
                    os.close(process)
        except ProcessLookupError:
            return True  # it has ended by itself, so they do not stand still
        except OSError as error:
            log.info("processes of containerd's host cannot be signalled from here: %s", error)
            return False
        return True

    def _view(self) -> _View | None:
        """Return how containerd sees its processes, None where that is out of sight."""
        peer = listener(self._address)
        if not peer:
            return None
        process = Path("/proc") / str(peer)
        try:
            network = os.readlink(process / "ns/net")
            if os.readlink(process / "ns/pid") == os.readlink("/proc/self/ns/pid"):
                return _View(process.parent, network)
            theirs = process / "root/proc"
            (theirs / "stat").stat()
        except OSError:
            return None
        return _View(theirs, network)


def listener(address: Path) -> int:
    """Return the pid of who listens on a socket, as seen from here; 0 where nobody does or it cannot be seen."""
    with socket.socket(socket.AF_UNIX) as client:
        client.setblocking(False)  # noqa: FBT003 - its only argument
        try:
            client.connect(str(address))
            answer = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        except OSError:
            return 0
    pid: int = _CREDENTIALS.unpack(answer)[0]
    return pid


def _described(process: Path, known: ProcessInfo, boot: int, longest: int) -> ProcessInfo:
    """Return what stands under one process's directory (proc(5)); `boot` is when the host's clock began, in ns."""
    try:
        status = dict(
            line.partition(":")[::2] for line in (process / "status").read_text("utf-8", "replace").splitlines()
        )
        # The name may hold anything, brackets too; what is behind the last one is numbers.
        numbers = (process / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        with (process / "cmdline").open("rb") as file:
            line = file.read(longest)
        began = boot + int(numbers[19]) * _TICK_NS
        return structs.replace(
            known,
            parent=int(status["PPid"]),
            uid=int(status["Uid"].split()[0]),
            name=status["Name"].strip(),
            command=[part.decode("utf-8", "replace") for part in line.rstrip(b"\0").split(b"\0")] if line else [],
            cpu_ns=(int(numbers[11]) + int(numbers[12])) * _TICK_NS,
            started_at=Nanos(began - began % _TICK_NS),
            memory=int(status["VmRSS"].split()[0]) * 1024 if "VmRSS" in status else None,
        )
    except (OSError, ValueError, LookupError):
        return known


def _interfaces(text: str) -> list[NetworkStats]:
    """Return what /proc/<pid>/net/dev says: two lines of heading, then 16 numbers for each interface."""
    found = []
    for line in text.splitlines()[2:]:
        name, _, rest = line.partition(":")
        numbers = [int(number) for number in rest.split()]
        if name.strip() == _LOOPBACK:
            continue
        found.append(
            NetworkStats(
                name=name.strip(),
                rx_bytes=numbers[0],
                rx_packets=numbers[1],
                rx_errors=numbers[2],
                rx_dropped=numbers[3],
                tx_bytes=numbers[8],
                tx_packets=numbers[9],
                tx_errors=numbers[10],
                tx_dropped=numbers[11],
            )
        )
    return found
