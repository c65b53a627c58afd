"""How long a call to containerd may take, in seconds, by what it does."""

from __future__ import annotations

from typing import Final

__all__ = ["CHANGE_S", "CRIU_S", "LOOK_S", "MOUNT_S", "UNPACK_S"]

LOOK_S: Final = 30.0
"""Deadline of what only looks. A list asks every shim, and containerd gives one that hangs two seconds before it goes on
(containerd, runtime/v2: io.containerd.timeout.task.state)."""

CHANGE_S: Final = 60.0
"""Deadline of what changes a task: a runc process each, tenths of a second, many seconds on a host that swaps."""

MOUNT_S: Final = 120.0
"""Deadline of what makes or removes a root file system: mounting may fetch from afar, removing deletes every file."""

UNPACK_S: Final = 1_800.0
"""Deadline of what moves the whole of an image: a layer that is unpacked, a blob that is written."""

CRIU_S: Final = 6 * 3600.0
"""Deadline of a dump or a restore: as much as there is memory. CRIU does not end with it, so it is for what hangs for good."""
