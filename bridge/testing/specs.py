"""The spec of a container in memory whose maker gives none: like containerd's own default, it asks the host for nothing."""

from __future__ import annotations

from typing import Any

from bridge.model.confinement import CAPABILITIES, MASKED, READ_ONLY

__all__ = ["plain_spec"]


def plain_spec(namespace: str, container: str) -> dict[str, Any]:
    """Return a spec of its own for a container; its program is named after it."""
    return {
        "ociVersion": "1.2.1",
        "process": {
            "args": [container],
            "cwd": "/",
            "user": {"uid": 0, "gid": 0},
            "noNewPrivileges": True,
            "capabilities": {name: list(CAPABILITIES) for name in ("bounding", "effective", "permitted")},
        },
        "root": {"path": "rootfs"},
        "linux": {
            "cgroupsPath": f"/{namespace}/{container}",
            "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "network")],
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "maskedPaths": list(MASKED),
            "readonlyPaths": list(READ_ONLY),
        },
    }
