"""What containerd measures of a task, in one shape: the kernel's control groups of version 1 and 2 count differently.

Pure. A group of numbers that did not come is None, and so is a limit that is none: version 1 writes the largest number of pages,
version 2 "max", which arrives as the largest number there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple

from google.protobuf.message import DecodeError
from msgspec import structs

from bridge._pb.containerd import cgroups_v1_pb2 as v1
from bridge._pb.containerd import cgroups_v2_pb2 as v2
from bridge._pb.containerd.types_pb2 import Metric
from bridge.model.nanos import Nanos
from bridge.model.outcomes import CpuStats, IoStats, MemoryStats, NetworkStats, PidsStats, TaskStats

__all__ = ["task_stats"]

_UNLIMITED: Final = 1 << 62
"""What is beyond is no limit: version 1 has 2^63 less a page, version 2 2^64 less one."""

_LOOPBACK: Final = "lo"


def task_stats(namespace: str, metric: Metric) -> TaskStats:
    """Return what one task uses; of a kind of metrics that is not known here only whose they are."""
    found = TaskStats(namespace=namespace, container=metric.id, read_at=Nanos(metric.timestamp.ToNanoseconds()))
    version = _VERSIONS.get(metric.data.type_url.rpartition("/")[2])
    if version is None:
        return found
    try:
        told = version.message.FromString(metric.data.value)
    except DecodeError:
        return found
    return structs.replace(
        found,
        cgroup=version.name,
        cpu=version.cpu(told.cpu) if told.HasField("cpu") else None,
        memory=version.memory(told) if told.HasField("memory") else None,
        pids=_pids(told.pids) if told.HasField("pids") else None,
        io=version.io(getattr(told, version.io_field)) if told.HasField(version.io_field) else None,
        network=_network(told.network),
    )


def _limit(value: int) -> int | None:
    return value if 0 < value < _UNLIMITED else None


def _told(value: int) -> int | None:
    """Return a number that is never 0 where it was told at all."""
    return value or None


# -- version 1


def _cpu_v1(cpu: v1.CPUStat) -> CpuStats:
    throttled = cpu.throttling if cpu.HasField("throttling") else None
    return CpuStats(
        usage_ns=cpu.usage.total,
        user_ns=cpu.usage.user,
        system_ns=cpu.usage.kernel,
        periods=throttled.periods if throttled else None,
        throttled_periods=throttled.throttled_periods if throttled else None,
        throttled_ns=throttled.throttled_time if throttled else None,
    )


def _memory_v1(told: v1.Metrics) -> MemoryStats:
    memory = told.memory
    usage, limit = memory.usage.usage, _limit(memory.usage.limit)
    swap = swap_limit = None
    if (
        memory.HasField("swap") and memory.swap.limit
    ):  # counts memory and swap together; without swap accounting it is empty
        swap = max(0, memory.swap.usage - usage)
        both = _limit(memory.swap.limit)
        swap_limit = None if both is None or limit is None else max(0, both - limit)
    return MemoryStats(
        usage=usage,
        working_set=max(0, usage - memory.total_inactive_file),
        peak=_told(memory.usage.max),
        limit=limit,
        anonymous=memory.total_rss,
        cache=memory.total_cache,
        swap=swap,
        swap_limit=swap_limit,
        oom_kills=told.memory_oom_control.oom_kill if told.HasField("memory_oom_control") else None,
        limit_hits=memory.usage.failcnt,
    )


def _io_v1(blkio: v1.BlkIOStat) -> IoStats:
    sizes, counts = blkio.io_service_bytes_recursive, blkio.io_serviced_recursive
    return IoStats(
        read_bytes=_of(sizes, "read"),
        write_bytes=_of(sizes, "write"),
        reads=_of(counts, "read"),
        writes=_of(counts, "write"),
    )


def _of(entries: Iterable[v1.BlkIOEntry], op: str) -> int:
    return sum(entry.value for entry in entries if entry.op.lower() == op)


# -- version 2


def _cpu_v2(cpu: v2.CPUStat) -> CpuStats:
    return CpuStats(
        usage_ns=cpu.usage_usec * 1000,
        user_ns=cpu.user_usec * 1000,
        system_ns=cpu.system_usec * 1000,
        periods=cpu.nr_periods,
        throttled_periods=cpu.nr_throttled,
        throttled_ns=cpu.throttled_usec * 1000,
    )


def _memory_v2(told: v2.Metrics) -> MemoryStats:
    memory = told.memory
    events = told.memory_events if told.HasField("memory_events") else None
    return MemoryStats(
        usage=memory.usage,
        working_set=max(0, memory.usage - memory.inactive_file),
        peak=_told(memory.max_usage),  # containerd tells it from 2.0 on
        limit=_limit(memory.usage_limit),
        anonymous=memory.anon,
        cache=memory.file,
        swap=memory.swap_usage,
        swap_limit=memory.swap_limit if memory.swap_limit < _UNLIMITED else None,
        oom_kills=events.oom_kill if events else None,
        limit_hits=events.max if events else None,
    )


def _io_v2(io: v2.IOStat) -> IoStats:
    return IoStats(
        read_bytes=sum(entry.rbytes for entry in io.usage),
        write_bytes=sum(entry.wbytes for entry in io.usage),
        reads=sum(entry.rios for entry in io.usage),
        writes=sum(entry.wios for entry in io.usage),
    )


# -- both


def _pids(pids: v1.PidsStat | v2.PidsStat) -> PidsStats:
    return PidsStats(current=pids.current, limit=_limit(pids.limit))


def _network(told: Iterable[v1.NetworkStat | v2.NetworkStat]) -> list[NetworkStats] | None:
    """Return the interfaces; None where none came, which most runtimes mean by not looking."""
    found = [
        NetworkStats(
            name=one.name,
            rx_bytes=one.rx_bytes,
            rx_packets=one.rx_packets,
            rx_errors=one.rx_errors,
            rx_dropped=one.rx_dropped,
            tx_bytes=one.tx_bytes,
            tx_packets=one.tx_packets,
            tx_errors=one.tx_errors,
            tx_dropped=one.tx_dropped,
        )
        for one in told
    ]
    return [one for one in found if one.name != _LOOPBACK] if found else None


class _Version(NamedTuple):
    """What one version of control groups is told in, and what reads the parts in which the two differ."""

    name: Literal["v1", "v2"]
    message: Any
    cpu: Callable[[Any], CpuStats]
    memory: Callable[[Any], MemoryStats]
    io_field: str
    io: Callable[[Any], IoStats]


_VERSIONS: Final[Mapping[str, _Version]] = {
    v1.Metrics.DESCRIPTOR.full_name: _Version("v1", v1.Metrics, _cpu_v1, _memory_v1, "blkio", _io_v1),
    v2.Metrics.DESCRIPTOR.full_name: _Version("v2", v2.Metrics, _cpu_v2, _memory_v2, "io", _io_v2),
}
