"""What CRIU's own files say of a dump: its figures, what it was made with, and its version.

An image of CRIU's is one or two magic numbers, a length, and a protobuf message of that length. Of two of them a few fields are
read here. The files may have come from anywhere: whatever stands in
them, what comes back is a struct or a refusal.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from bridge.checkpoints.layout import STATS, refusal
from bridge.checkpoints.protobuf import Value, fields
from bridge.errors import CommandFailed
from bridge.model.checkpoints import CriuStats

__all__ = ["Inventory", "criu_version", "dump_stats", "inventory", "stats_of"]

LARGEST: Final = 64 << 10
"""Bytes of a file that is read here; those of CRIU have some fifty."""

INVENTORY: Final = 0x58313116
SERVICE: Final = 0x55105940
STATS_MAGIC: Final = 0x57093306

_LSM: Final[dict[int, Literal["none", "selinux", "apparmor"]]] = {0: "none", 1: "selinux", 2: "apparmor"}
_LOCKS: Final[dict[int, Literal["iptables", "nftables", "skip"]]] = {0: "iptables", 1: "nftables", 2: "skip"}

# The line is one of the first, and has no other form since CRIU 2.
_VERSION: Final = re.compile(rb"^\(\d+\.\d+\)\s*Version: ([0-9][0-9A-Za-z.~+-]{0,31})", re.MULTILINE)
_VERSION_WITHIN: Final = 16 << 10


class Inventory(Struct, frozen=True, kw_only=True):
    """What a dump was made with (`inventory.img`). Empty where it does not say.

    Attributes:
        version: of CRIU's images.
        lsm: the security module whose labels are in it.
        network_lock: how the network was locked while it was dumped.
        pre_dump: it is memory only, of a container that ran on, and cannot be restored from.
        plugins: of CRIU's that were used.
    """

    version: int
    lsm: Literal["", "none", "selinux", "apparmor"] = ""
    network_lock: Literal["", "iptables", "nftables", "skip"] = ""
    pre_dump: bool = False
    plugins: list[str] = []


def dump_stats(data: bytes) -> CriuStats:
    """Read CRIU's figures of a dump, the content of `stats-dump`.

    Raises:
        CommandFailed: `invalid_argument`: they are none.
    """
    what = f"CRIU's {STATS}"
    outer = _fields(_message(data, (SERVICE, STATS_MAGIC), what), what)
    dump = outer.get(1, [])
    if not dump or not isinstance(dump[-1], bytes):
        raise refusal(f"{what} has no figures of a dump")
    figures = _fields(dump[-1], what)

    def figure(*numbers: int) -> int:
        return sum(value for number in numbers for value in figures.get(number, [])[-1:] if isinstance(value, int))

    # Pages of shared memory are counted apart.
    return CriuStats(
        freezing_us=figure(1),
        frozen_us=figure(2),
        memdump_us=figure(3),
        memwrite_us=figure(4),
        pages_scanned=figure(5, 12),
        pages_skipped=figure(6, 13),
        pages_written=figure(7, 14),
    )


def inventory(data: bytes) -> Inventory:
    """Read what a dump was made with, the content of `inventory.img`.

    Raises:
        CommandFailed: `invalid_argument`: it says nothing of the kind.
    """
    what = "CRIU's inventory.img"
    found = _fields(_message(data, (INVENTORY,), what), what)

    def number(field: int) -> int | None:
        values = found.get(field, [])
        return values[-1] if values and isinstance(values[-1], int) else None

    version = number(1)
    if version is None:
        raise refusal(f"{what} does not say of which version it is")
    lsm, lock = number(6), number(11)
    plugins = [value for value in found.get(12, []) if isinstance(value, bytes)]
    names = [name for plugin in plugins for name in _fields(plugin, what).get(12, []) if isinstance(name, bytes)]
    return Inventory(
        version=version,
        lsm="" if lsm is None else _LSM.get(lsm, ""),
        network_lock="" if lock is None else _LOCKS.get(lock, ""),
        pre_dump=number(9) is not None and number(9) != 0,
        plugins=[name.decode("utf-8", "backslashreplace")[:64] for name in names[:16]],
    )


def criu_version(log: bytes) -> str:
    """Return CRIU's version as its log tells it near the beginning, empty where it does not."""
    found = _VERSION.search(log[:_VERSION_WITHIN])
    return "" if found is None else found[1].decode("ascii")


def stats_of(directory: Path) -> CriuStats | None:
    """Return the figures that CRIU left in its working directory, None where it left none that can be read."""
    try:
        with open(os.open(directory / STATS, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            return dump_stats(file.read(LARGEST + 1))
    except (OSError, CommandFailed):
        return None


def _message(data: bytes, magics: tuple[int, ...], what: str) -> bytes:
    """Return the message behind the magic numbers and the length."""
    if len(data) > LARGEST:
        raise refusal(f"{what} has more than {LARGEST} bytes")
    head = b"".join(magic.to_bytes(4, "little") for magic in magics)
    if not data.startswith(head):
        raise refusal(f"{what} is none: it does not begin as CRIU begins it")
    length = int.from_bytes(data[len(head) : len(head) + 4], "little")
    message = data[len(head) + 4 :]
    if len(message) < length or len(data) < len(head) + 4:
        raise refusal(f"{what} ends in the middle")
    return message[:length]


def _fields(message: bytes, what: str) -> dict[int, list[Value]]:
    """Return the fields of a message by number, as they come: numbers and bytes."""
    found: dict[int, list[Value]] = {}
    for number, value in fields(message, what):
        found.setdefault(number, []).append(value)
    return found
