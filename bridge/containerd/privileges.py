"""What root may on containerd's host, and so a privileged container: its capabilities and its devices (containerd, pkg/oci).

Both are those of the process that listens on containerd's socket: a bridge in a container of its own has another /dev, and no
process can give away a capability that it has not, as where containerd itself runs in a container. Where that process is out of
sight, every capability is asked for, and the devices are the bridge's own.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bridge.containerd.host import listener
from bridge.model.confinement import EVERY_CAPABILITY
from bridge.ports import HostDevice, Privileges

__all__ = ["capabilities_in", "devices_below", "privileges_at"]

_OWN: Final = frozenset({"pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"})
"""Directories of /dev that every container has for itself, or that are a container engine's own."""

_CONSOLE: Final = "console"
"""The terminal of the container takes this name, where it has one."""


def privileges_at(address: Path) -> Privileges:
    """Return what root may on the host of the containerd behind a socket. Blocks for a moment.

    Raises:
        OSError: /dev cannot be listed.
    """
    process = Path("/proc") / str(listener(address))
    try:
        capabilities = capabilities_in((process / "status").read_text())
    except OSError:
        capabilities = EVERY_CAPABILITY
    seen = os.access(process / "root/.", os.R_OK | os.X_OK)
    return Privileges(capabilities, tuple(devices_below(f"{process}/root" if seen else "")))


def capabilities_in(status: str) -> tuple[str, ...]:
    """Return the capabilities in effect of a process by its `/proc/<pid>/status`; every one where it does not say."""
    effective = next((line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), None)
    if effective is None:
        return EVERY_CAPABILITY
    bits = int(effective, 16)
    return tuple(name for number, name in enumerate(EVERY_CAPABILITY) if bits >> number & 1)


def devices_below(root: str) -> Iterator[HostDevice]:
    """Iterate over the devices below `root`/dev by their paths below `root`, sorted directory by directory.

    Links are passed over, and so are directories that each container has for itself.

    Raises:
        OSError: a directory cannot be listed.
    """
    return _within(root.rstrip("/"), "/dev")


def _within(root: str, directory: str) -> Iterator[HostDevice]:
    with os.scandir(f"{root}{directory}") as entries:
        found = sorted(entries, key=lambda entry: os.fsencode(entry.name))
    for entry in found:
        path = f"{directory}/{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in _OWN:
                yield from _within(root, path)
            continue
        try:
            status = os.lstat(f"{root}{path}")
        except FileNotFoundError:  # it went meanwhile
            continue
        kind = "b" if stat.S_ISBLK(status.st_mode) else "c" if stat.S_ISCHR(status.st_mode) else ""
        if kind and entry.name != _CONSOLE:
            yield HostDevice(
                path=path,
                type=kind,
                major=os.major(status.st_rdev),
                minor=os.minor(status.st_rdev),
                mode=stat.S_IMODE(status.st_mode),
                uid=status.st_uid,
                gid=status.st_gid,
            )
