"""The spec that containerd's own client begins with, letter for letter as `ctr` has it in 1.6, 1.7 and 2.x.

What the generations differ in is the version that stands in it, which runtimes do not act on, and the one masked path that
1.6 did not know; masking it there as well takes nothing away. (`ctr run` adds CPU shares of 1024, a default of its own option;
under the second version of control groups that is less than a process of the host has, so it stays out.)
"""

from __future__ import annotations

from typing import Any, Final

from bridge.model.confinement import CAPABILITIES, MASKED, READ_ONLY

__all__ = ["DEFAULT_PATH", "default_spec"]

OCI_VERSION: Final = "1.1.0"
"""Of the runtime-spec; nothing here is younger."""

DEFAULT_PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_MOUNTS: Final = (
    ("/proc", "proc", "proc", "nosuid,noexec,nodev"),
    ("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
    ("/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
    ("/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k"),  # noqa: S108 - inside the container
    ("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
    ("/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"),
    ("/run", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
)
"""Destination, type, source, options."""

_DEVICES: Final = ((1, 3), (1, 8), (1, 7), (5, 0), (1, 5), (1, 9), (5, 1), (136, None), (5, 2))
"""null, random, full, tty, zero, urandom, console, every pts, ptmx: major and minor; no minor stands for all of them."""

_NAMESPACES: Final = ("pid", "ipc", "uts", "mount", "network")


def default_spec(namespace: str, container: str) -> dict[str, Any]:
    """Return a new spec for a container: everything but what its process runs."""
    return {
        "ociVersion": OCI_VERSION,
        "process": {
            "user": {"uid": 0, "gid": 0},
            "cwd": "/",
            "capabilities": {kind: list(CAPABILITIES) for kind in ("bounding", "effective", "permitted")},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs"},
        "mounts": [
            {"destination": destination, "type": kind, "source": source, "options": options.split(",")}
            for destination, kind, source, options in _MOUNTS
        ],
        "linux": {
            "cgroupsPath": f"/{namespace}/{container}",
            "namespaces": [{"type": kind} for kind in _NAMESPACES],
            "maskedPaths": list(MASKED),
            "readonlyPaths": list(READ_ONLY),
            "resources": {
                "devices": [{"allow": False, "access": "rwm"}, *(_allowed(*device) for device in _DEVICES)],
            },
        },
    }


def _allowed(major: int, minor: int | None) -> dict[str, Any]:
    device = {"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"}
    return {key: value for key, value in device.items() if value is not None}
