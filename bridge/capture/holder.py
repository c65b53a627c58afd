"""Who we are as the bridge of a node, and whether another one that was has provably ended.

Only what cannot be mistaken counts, and only within one boot of one host: the other's process is gone (its number may be in
use again: then the process has another beginning), or it worked in the very directory whose lock we hold. The UUID of its
outbox alone proves nothing, nor does the directory's inode alone: both are the same in a copy of the whole machine.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import bridge
from bridge.model.identity import new_ulid
from bridge.model.nanos import now
from bridge.model.nodes import NodeRecord

__all__ = ["boot_id", "has_ended", "ourselves"]

_STATE, _STARTED = 3, 22
"""Fields of /proc/<pid>/stat, counted from 1: the state, and when the process began (proc_pid_stat(5))."""


def ourselves(
    node: str, *, log: str, state_dir: Path, lease_s: float, containerd: str | None = None, groups: Sequence[str] = ()
) -> NodeRecord:
    """Return the record of this process.

    Args:
        node: the node's name.
        log: UUID of our outbox.
        state_dir: the directory that it is in, which we have claimed.
        lease_s: how long a renewal is to hold.
        containerd: version of containerd.
        groups: the groups of commands that we take.
    """
    moment = now()
    return NodeRecord(
        node=node,
        holder=new_ulid(),
        log=log,
        version=bridge.__version__,
        pid=os.getpid(),
        since=moment,
        renewed=moment,
        lease_s=lease_s,
        boot_id=boot_id(),
        pid_namespace=_pid_namespace(),
        pid_started=_started(os.getpid()),
        state_dir=_identity(state_dir),
        containerd=containerd,
        groups=list(groups),
    )


def has_ended(other: NodeRecord, ours: NodeRecord) -> bool:
    """Tell whether the holder of this record has provably ended."""
    if other.boot_id is None or other.boot_id != ours.boot_id:
        return False
    if other.log == ours.log and other.state_dir is not None and other.state_dir == ours.state_dir:
        return True
    return other.pid_namespace is not None and other.pid_namespace == ours.pid_namespace and _is_gone(other)


def _is_gone(other: NodeRecord) -> bool:
    try:
        os.kill(other.pid, 0)  # /proc may hide the processes of others
    except ProcessLookupError:
        return True
    except OSError:
        return False
    if _stat(other.pid)[0] in {"Z", "X"}:
        return True
    started = _started(other.pid)
    return None not in {other.pid_started, started} and other.pid_started != started


def boot_id() -> str | None:
    """Return the kernel's id of this boot, None where it does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None


def _pid_namespace() -> int | None:
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return None


def _started(pid: int) -> int | None:
    fields = _stat(pid)
    return int(fields[_STARTED - _STATE]) if len(fields) > _STARTED - _STATE else None


def _stat(pid: int) -> list[str]:
    # From the state on; the name before it, in parentheses, may hold anything. Empty where it cannot be read.
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return [""]
    return text.rpartition(")")[2].split() or [""]


def _identity(directory: Path) -> str | None:
    try:
        there = directory.stat()
    except OSError:
        return None
    return f"{there.st_dev}:{there.st_ino}"
