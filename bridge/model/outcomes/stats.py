"""What a task uses, in one shape for both versions of control groups. Null is what nobody told; nothing is made up."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from bridge.model.nanos import Nanos

__all__ = ["CpuStats", "IoStats", "MemoryStats", "NetworkStats", "PidsStats", "StatsList", "TaskStats"]


class CpuStats(Struct, frozen=True, kw_only=True):
    """Processor time since the task's beginning, in nanoseconds.

    `periods` are those in which its quota was counted, `throttled_periods` those in which it had used it up, and `throttled_ns`
    how long it then stood still.
    """

    usage_ns: int
    user_ns: int
    system_ns: int
    periods: int | None = None
    throttled_periods: int | None = None
    throttled_ns: int | None = None


class MemoryStats(Struct, frozen=True, kw_only=True):
    """Memory now, in bytes.

    Attributes:
        usage: all that is charged to it; `peak` the most it ever was.
        working_set: the part that cannot be dropped at once: without the inactive pages of files.
        limit: null where there is none.
        anonymous: what its processes have written, `cache` pages of files.
        swap: what is swapped out; `swap_limit` is for that alone.
        oom_kills: processes of it that the kernel killed for want of memory.
        limit_hits: how often it came to its limit.
    """

    usage: int
    working_set: int
    peak: int | None = None
    limit: int | None = None
    anonymous: int | None = None
    cache: int | None = None
    swap: int | None = None
    swap_limit: int | None = None
    oom_kills: int | None = None
    limit_hits: int | None = None


class PidsStats(Struct, frozen=True, kw_only=True):
    """Processes and threads now; `limit` is null where there is none."""

    current: int
    limit: int | None = None


class IoStats(Struct, frozen=True, kw_only=True):
    """What went to and from block devices since the task's beginning, over all of them: bytes and operations."""

    read_bytes: int
    write_bytes: int
    reads: int
    writes: int


class NetworkStats(Struct, frozen=True, kw_only=True):
    """One interface of its network namespace, as seen from inside; the loopback is left out."""

    name: str
    rx_bytes: int
    rx_packets: int
    rx_errors: int
    rx_dropped: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_dropped: int


class TaskStats(Struct, frozen=True, kw_only=True):
    """One container's task at one moment.

    Attributes:
        read_at: when containerd read it.
        cgroup: the version of the host's control groups; null where the runtime tells of none that is known here.
        network: null where the task is in the host's network, or where the bridge cannot see its processes.
    """

    node: str = ""
    namespace: str
    container: str
    read_at: Nanos
    cgroup: Literal["v1", "v2"] | None = None
    cpu: CpuStats | None = None
    memory: MemoryStats | None = None
    pids: PidsStats | None = None
    io: IoStats | None = None
    network: list[NetworkStats] | None = None


class StatsList(Struct, frozen=True, kw_only=True):
    """Result of `stats`, by namespace and container: of the tasks that have not ended."""

    stats: list[TaskStats]
