"""CRIU in memory: what it leaves in a directory, what it reads from there, and how it fails where a test wants it to.

What it writes is as CRIU's as the bridge looks at it: the same names of files, `stats-dump` and `dump.log` in their own formats,
and the memory of the task in the file for pages. Everything else is left out.
"""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path
from typing import Any, Final, Literal

from bridge.model.checkpoints import CheckpointOptions, CriuStats, HostFacts, Listening

__all__ = ["GAVE_UP", "MemoryCriu"]

_SERVICE: Final = 0x55105940
_STATS: Final = 0x57093306
"""Magic numbers at the beginning of a file with statistics (criu, criu/include/magic.h)."""

GAVE_UP: Final = "Error (criu/cr-dump.c:1655): Timeout reached. Try to interrupt: 0"
"""What it says where it could not stop a process."""

_INVENTORY: Final = bytes.fromhex("163131584e000000")
PAGES: Final = "pages-1.img"


class MemoryCriu:
    """One host's CRIU, whose behaviour is a test's to change."""

    def __init__(self) -> None:
        self.fails: Literal["", "dump", "restore"] = ""
        """Where it fails, until a test says otherwise; the task is as before then, or there is none."""
        self.says = "Error (criu/sk-inet.c:200): inet: Connected TCP socket, consider using --tcp-established option."
        """The last error in its log where it fails."""
        self.bad_moments = 0
        """How many dumps more meet a process that nothing stops just then."""
        self.works: bool | None = True
        """What it says when it is asked whether it works."""
        self.held: asyncio.Event | None = None
        """While there is one that is not set, a dump waits for it, with everything frozen."""
        self.busy = asyncio.Event()
        """Set by a dump that waits."""
        self.dumped: CheckpointOptions | None = None
        """How it was told to dump, the last time."""
        self.connections: int | None = 0
        """How many TCP connections each task has."""
        self.networks: set[tuple[str, str]] = set()
        """Whose networks are held."""
        self.stats = CriuStats(
            freezing_us=130, frozen_us=10_000, memdump_us=800, memwrite_us=400, pages_scanned=512, pages_written=40
        )
        self.missing: set[str] = set()
        """Paths that its host has not."""
        self.listening: dict[str, list[Listening]] = {}
        """Where anybody listens, by the path of a network; that of the host itself is empty."""
        self.listens: dict[str, list[Listening]] = {}
        """Where the processes of a container listen."""
        self.host = HostFacts(
            hostname="memory",
            os="Memory OS 1",
            arch="amd64",
            kernel="6.12.0",
            cpu_model="Memory CPU",
            cpu_flags=["avx", "avx2", "sse2"],
            cgroup="v2",
            criu="4.2.1",
            runtime_version="1.3.6",
        )

    def seen(self, what: list[Any]) -> list[Any] | None:
        """Return what is seen of its host, None where that is out of sight."""
        return None if self.works is None else what

    def write(self, directory: Path, work: Path, memory: bytes) -> None:
        """Write a dump."""
        for name, data in {
            "inventory.img": _INVENTORY,
            "descriptors.json": b'["/dev/null","/dev/null","/dev/null"]',
            "core-1.img": b"core",
            "pagemap-1.img": b"pagemap",
            PAGES: memory,
        }.items():
            _write(directory / name, data)
        _write(work / "stats-dump", _stats(self.stats))
        self.log(work / "dump.log", "Dumping finished successfully")

    def read(self, directory: Path) -> bytes:
        """Return the memory in a dump.

        Raises:
            OSError: there is none in this directory.
        """
        (directory / "descriptors.json").read_bytes()
        return (directory / PAGES).read_bytes()

    def ended(self, path: Path) -> Literal["finished", "failed", "unknown"]:
        """Tell how a dump has ended by its log."""
        said = path.read_text() if path.exists() else ""
        return "finished" if "finished successfully" in said else "failed" if "FAILED" in said else "unknown"

    def log(self, path: Path, *lines: str) -> None:
        """Write a log."""
        head = [f"(00.000000) Version: {self.host.criu} (gitid 0)", "(00.000001) Running on memory Linux"]
        _write(path, "".join(f"{line}\n" for line in (*head, *(f"(00.000100) {line}" for line in lines))).encode())


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    path.chmod(0o600)


def _stats(stats: CriuStats) -> bytes:
    numbers = {
        1: stats.freezing_us,
        2: stats.frozen_us,
        3: stats.memdump_us,
        4: stats.memwrite_us,
        5: stats.pages_scanned,
        6: stats.pages_skipped,
        7: stats.pages_written,
    }
    dump = b"".join(bytes([number << 3]) + _varint(value) for number, value in numbers.items())
    entry = b"\x0a" + _varint(len(dump)) + dump
    return struct.pack("<III", _SERVICE, _STATS, len(entry)) + entry


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
