"""Resource usage on a host with cgroup v1. Memory in bytes.

Generated from containerd/cgroups_v1.proto by protos/generate.py: do not edit.
"""

import typing as _t
from collections.abc import Iterable as _Iterable
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from google.protobuf.internal import containers as _containers

DESCRIPTOR: _descriptor.FileDescriptor

class Metrics(_message.Message):
    """In Metric.data."""
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def hugetlb(self) -> _containers.RepeatedCompositeFieldContainer[HugetlbStat]: ...
    @property
    def pids(self) -> PidsStat: ...
    @property
    def cpu(self) -> CPUStat: ...
    @property
    def memory(self) -> MemoryStat: ...
    @property
    def blkio(self) -> BlkIOStat: ...
    @property
    def rdma(self) -> RdmaStat: ...
    @property
    def network(self) -> _containers.RepeatedCompositeFieldContainer[NetworkStat]: ...
    @property
    def cgroup_stats(self) -> CgroupStats: ...
    @property
    def memory_oom_control(self) -> MemoryOomControl: ...
    def __init__(
        self,
        *,
        hugetlb: _Iterable[HugetlbStat] | None = None,
        pids: PidsStat | None = None,
        cpu: CPUStat | None = None,
        memory: MemoryStat | None = None,
        blkio: BlkIOStat | None = None,
        rdma: RdmaStat | None = None,
        network: _Iterable[NetworkStat] | None = None,
        cgroup_stats: CgroupStats | None = None,
        memory_oom_control: MemoryOomControl | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["pids", "cpu", "memory", "blkio", "rdma", "cgroup_stats", "memory_oom_control"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["hugetlb", "pids", "cpu", "memory", "blkio", "rdma", "network", "cgroup_stats", "memory_oom_control"]) -> None: ...

class HugetlbStat(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    usage: int
    max: int
    failcnt: int
    pagesize: str
    def __init__(
        self,
        *,
        usage: int | None = None,
        max: int | None = None,
        failcnt: int | None = None,
        pagesize: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["usage", "max", "failcnt", "pagesize"]) -> None: ...

class PidsStat(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    current: int
    limit: int
    def __init__(
        self,
        *,
        current: int | None = None,
        limit: int | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["current", "limit"]) -> None: ...

class CPUStat(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def usage(self) -> CPUUsage: ...
    @property
    def throttling(self) -> Throttle: ...
    def __init__(
        self,
        *,
        usage: CPUUsage | None = None,
        throttling: Throttle | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["usage", "throttling"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["usage", "throttling"]) -> None: ...

class CPUUsage(_message.Message):
    """Nanoseconds."""
    DESCRIPTOR: _descriptor.Descriptor

    total: int
    kernel: int
    user: int
    @property
    def per_cpu(self) -> _containers.RepeatedScalarFieldContainer[int]: ...
    def __init__(
        self,
        *,
        total: int | None = None,
        kernel: int | None = None,
        user: int | None = None,
        per_cpu: _Iterable[int] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["total", "kernel", "user", "per_cpu"]) -> None: ...

class Throttle(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    periods: int
    throttled_periods: int
    throttled_time: int  # nanoseconds
    def __init__(
        self,
        *,
        periods: int | None = None,
        throttled_periods: int | None = None,
        throttled_time: int | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["periods", "throttled_periods", "throttled_time"]) -> None: ...

class MemoryStat(_message.Message):
    """memory.stat of the kernel; total_* are with all children."""
    DESCRIPTOR: _descriptor.Descriptor

    cache: int
    rss: int
    rss_huge: int
    mapped_file: int
    dirty: int
    writeback: int
    pg_pg_in: int
    pg_pg_out: int
    pg_fault: int
    pg_maj_fault: int
    inactive_anon: int
    active_anon: int
    inactive_file: int
    active_file: int
    unevictable: int
    hierarchical_memory_limit: int
    hierarchical_swap_limit: int
    total_cache: int
    total_rss: int
    total_rss_huge: int
    total_mapped_file: int
    total_dirty: int
    total_writeback: int
    total_pg_pg_in: int
    total_pg_pg_out: int
    total_pg_fault: int
    total_pg_maj_fault: int
    total_inactive_anon: int
    total_active_anon: int
    total_inactive_file: int
    total_active_file: int
    total_unevictable: int
    @property
    def usage(self) -> MemoryEntry: ...
    @property
    def swap(self) -> MemoryEntry: ...
    @property
    def kernel(self) -> MemoryEntry: ...
    @property
    def kernel_tcp(self) -> MemoryEntry: ...
    def __init__(
        self,
        *,
        cache: int | None = None,
        rss: int | None = None,
        rss_huge: int | None = None,
        mapped_file: int | None = None,
        dirty: int | None = None,
        writeback: int | None = None,
        pg_pg_in: int | None = None,
        pg_pg_out: int | None = None,
        pg_fault: int | None = None,
        pg_maj_fault: int | None = None,
        inactive_anon: int | None = None,
        active_anon: int | None = None,
        inactive_file: int | None = None,
        active_file: int | None = None,
        unevictable: int | None = None,
        hierarchical_memory_limit: int | None = None,
        hierarchical_swap_limit: int | None = None,
        total_cache: int | None = None,
        total_rss: int | None = None,
        total_rss_huge: int | None = None,
        total_mapped_file: int | None = None,
        total_dirty: int | None = None,
        total_writeback: int | None = None,
        total_pg_pg_in: int | None = None,
        total_pg_pg_out: int | None = None,
        total_pg_fault: int | None = None,
        total_pg_maj_fault: int | None = None,
        total_inactive_anon: int | None = None,
        total_active_anon: int | None = None,
        total_inactive_file: int | None = None,
        total_active_file: int | None = None,
        total_unevictable: int | None = None,
        usage: MemoryEntry | None = None,
        swap: MemoryEntry | None = None,
        kernel: MemoryEntry | None = None,
        kernel_tcp: MemoryEntry | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["usage", "swap", "kernel", "kernel_tcp"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["cache", "rss", "rss_huge", "mapped_file", "dirty", "writeback", "pg_pg_in", "pg_pg_out", "pg_fault", "pg_maj_fault", "inactive_anon", "active_anon", "inactive_file", "active_file", "unevictable", "hierarchical_memory_limit", "hierarchical_swap_limit", "total_cache", "total_rss", "total_rss_huge", "total_mapped_file", "total_dirty", "total_writeback", "total_pg_pg_in", "total_pg_pg_out", "total_pg_fault", "total_pg_maj_fault", "total_inactive_anon", "total_active_anon", "total_inactive_file", "total_active_file", "total_unevictable", "usage", "swap", "kernel", "kernel_tcp"]) -> None: ...

class MemoryEntry(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    limit: int
    usage: int
    max: int  # the highest usage so far
    failcnt: int  # how often the limit was hit
    def __init__(
        self,
        *,
        limit: int | None = None,
        usage: int | None = None,
        max: int | None = None,
        failcnt: int | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["limit", "usage", "max", "failcnt"]) -> None: ...

class MemoryOomControl(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    oom_kill_disable: int
    under_oom: int
    oom_kill: int
    def __init__(
        self,
        *,
        oom_kill_disable: int | None = None,
        under_oom: int | None = None,
        oom_kill: int | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["oom_kill_disable", "under_oom", "oom_kill"]) -> None: ...

class BlkIOStat(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def io_service_bytes_recursive(self) -> _containers.RepeatedCompositeFieldContainer[BlkIOEntry]: ...
    @property
    def io_serviced_recursive(self) -> _containers.RepeatedCompositeFieldContainer[BlkIOEntry]: ...
    @property
    def io_queued_recursive(self) -> _containers.RepeatedCompositeFieldContainer[BlkIOEntry]: ...
    @property
    def io_service_time_recursive(self) -> _containers.RepeatedCompositeFieldContainer[BlkIOEntry]: ...
    @property
    def io_wait_time_recursive(self) -> _containers.RepeatedCompositeFieldContainer[BlkIOEntry]: ...
    @property
    def io_merged_recursive(self) -> _containers.RepeatedCompositeFieldContainer[BlkIOEntry]: ...
    @property
    def io_time_recursive(self) -> _containers.RepeatedCompositeFieldContainer[BlkIOEntry]: ...
    @property
    def sectors_recursive(self) -> _containers.RepeatedCompositeFieldContainer[BlkIOEntry]: ...
    def __init__(
        self,
        *,
        io_service_bytes_recursive: _Iterable[BlkIOEntry] | None = None,
        io_serviced_recursive: _Iterable[BlkIOEntry] | None = None,
        io_queued_recursive: _Iterable[BlkIOEntry] | None = None,
        io_service_time_recursive: _Iterable[BlkIOEntry] | None = None,
        io_wait_time_recursive: _Iterable[BlkIOEntry] | None = None,
        io_merged_recursive: _Iterable[BlkIOEntry] | None = None,
        io_time_recursive: _Iterable[BlkIOEntry] | None = None,
        sectors_recursive: _Iterable[BlkIOEntry] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["io_service_bytes_recursive", "io_serviced_recursive", "io_queued_recursive", "io_service_time_recursive", "io_wait_time_recursive", "io_merged_recursive", "io_time_recursive", "sectors_recursive"]) -> None: ...

class BlkIOEntry(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    op: str  # Read, Write, Sync, Async, Discard or Total
    device: str
    major: int
    minor: int
    value: int
    def __init__(
        self,
        *,
        op: str | None = None,
        device: str | None = None,
        major: int | None = None,
        minor: int | None = None,
        value: int | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["op", "device", "major", "minor", "value"]) -> None: ...

class RdmaStat(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def current(self) -> _containers.RepeatedCompositeFieldContainer[RdmaEntry]: ...
    @property
    def limit(self) -> _containers.RepeatedCompositeFieldContainer[RdmaEntry]: ...
    def __init__(
        self,
        *,
        current: _Iterable[RdmaEntry] | None = None,
        limit: _Iterable[RdmaEntry] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["current", "limit"]) -> None: ...

class RdmaEntry(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    device: str
    hca_handles: int
    hca_objects: int
    def __init__(
        self,
        *,
        device: str | None = None,
        hca_handles: int | None = None,
        hca_objects: int | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["device", "hca_handles", "hca_objects"]) -> None: ...

class NetworkStat(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    name: str
    rx_bytes: int
    rx_packets: int
    rx_errors: int
    rx_dropped: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_dropped: int
    def __init__(
        self,
        *,
        name: str | None = None,
        rx_bytes: int | None = None,
        rx_packets: int | None = None,
        rx_errors: int | None = None,
        rx_dropped: int | None = None,
        tx_bytes: int | None = None,
        tx_packets: int | None = None,
        tx_errors: int | None = None,
        tx_dropped: int | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["name", "rx_bytes", "rx_packets", "rx_errors", "rx_dropped", "tx_bytes", "tx_packets", "tx_errors", "tx_dropped"]) -> None: ...

class CgroupStats(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    nr_sleeping: int
    nr_running: int
    nr_stopped: int
    nr_uninterruptible: int
    nr_io_wait: int
    def __init__(
        self,
        *,
        nr_sleeping: int | None = None,
        nr_running: int | None = None,
        nr_stopped: int | None = None,
        nr_uninterruptible: int | None = None,
        nr_io_wait: int | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["nr_sleeping", "nr_running", "nr_stopped", "nr_uninterruptible", "nr_io_wait"]) -> None: ...
