"""What the kernel lets a task read and write of a block device, as its control group says; where that can be seen from here.

A runtime may pass over such limits without a word when the task runs already (runc does so before 1.2), so who sets them looks.
Everything here blocks for a moment: call it from a worker thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

__all__ = ["missing", "wanted"]

_OF_OCI: Final = {
    "throttleReadBpsDevice": "rbps",
    "throttleWriteBpsDevice": "wbps",
    "throttleReadIOPSDevice": "riops",
    "throttleWriteIOPSDevice": "wiops",
}
"""OCI's names, and those of version 2 (Documentation/admin-guide/cgroup-v2.rst, io.max)."""

_FILES: Final = {"rbps": "read_bps", "wbps": "write_bps", "riops": "read_iops", "wiops": "write_iops"}
"""The middle of the file's name in version 1 (Documentation/admin-guide/cgroup-v1/blkio-controller.rst)."""


def wanted(resources: Mapping[str, Any]) -> dict[tuple[str, str], int]:
    """Return the limits in an OCI LinuxResources, by kind and device; 0 is none."""
    block = resources.get("blockIO") or {}
    return {
        (kind, f"{one['major']}:{one['minor']}"): one["rate"]
        for name, kind in _OF_OCI.items()
        for one in block.get(name) or ()
    }


def missing(limits: Mapping[tuple[str, str], int], process: Path, groups: Path) -> Sequence[str]:
    """Return the devices of limits that the control group of a process does not have; none where that is out of sight.

    Args:
        limits: as `wanted` returns them.
        process: its directory under /proc.
        groups: where control groups are mounted.
    """
    try:
        found = dict(_found(limits, process, groups))
    except (OSError, ValueError, LookupError):
        return []
    return sorted({device for (kind, device), rate in limits.items() if found.get((kind, device), 0) != rate})


def _found(limits: Mapping[tuple[str, str], int], process: Path, groups: Path) -> Iterator[tuple[tuple[str, str], int]]:
    lines = [line.split(":", 2) for line in (process / "cgroup").read_text("utf-8").splitlines()]
    own = next((path for _, controllers, path in lines if "blkio" in controllers.split(",")), None)
    if own is not None:
        for kind in {kind for kind, _ in limits}:
            text = (groups / "blkio" / own.lstrip("/") / f"blkio.throttle.{_FILES[kind]}_device").read_text("ascii")
            for line in text.splitlines():
                device, rate = line.split()
                yield (kind, device), int(rate)
        return
    path = next(path for number, _, path in lines if number == "0")
    for line in (groups / path.lstrip("/") / "io.max").read_text("ascii").splitlines():
        device, *limited = line.split()
        for one in limited:
            kind, _, value = one.partition("=")
            if value != "max":
                yield (kind, device), int(value)
