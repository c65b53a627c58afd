"""What a task in memory uses. Pure: nothing is measured, but the limits are its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.model.nanos import now
from bridge.model.outcomes import CpuStats, IoStats, MemoryStats, PidsStats, TaskStats

__all__ = ["task_stats"]


def task_stats(namespace: str, container: str, count: int, resources: Mapping[str, Any]) -> TaskStats:
    """Return what a task of `count` processes uses, with the limits of an OCI LinuxResources."""
    limit = (resources.get("memory") or {}).get("limit")
    pids = (resources.get("pids") or {}).get("limit")
    return TaskStats(
        namespace=namespace,
        container=container,
        read_at=now(),
        cgroup="v2",
        cpu=CpuStats(usage_ns=count * 1_000_000, user_ns=count * 600_000, system_ns=count * 400_000),
        memory=MemoryStats(
            usage=count << 20, working_set=count << 19, limit=limit if limit and limit > 0 else None, oom_kills=0
        ),
        pids=PidsStats(current=count, limit=pids if pids and pids > 0 else None),
        io=IoStats(read_bytes=0, write_bytes=0, reads=0, writes=0),
    )
