"""Resource usage on a host with cgroup v2. Memory in bytes; a limit of 2^64-1 is the kernel's word max, no limit.

Generated from containerd/cgroups_v2.proto by protos/generate.py: do not edit.
"""

import typing as _t
from collections.abc import Iterable as _Iterable
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from google.protobuf.internal import containers as _containers

DESCRIPTOR: _descriptor.FileDescriptor

class Metrics(_message.Message):
    """In Metric.data. Number 3 was never used."""
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def pids(self) -> PidsStat: ...
    @property
    def cpu(self) -> CPUStat: ...
    @property
    def memory(self) -> MemoryStat: ...
    @property
    def rdma(self) -> RdmaStat: ...
    @property
    def io(self) -> IOStat: ...
    @property
    def hugetlb(self) -> _containers.RepeatedCompositeFieldContainer[HugeTlbStat]: ...
    @property
    def memory_events(self) -> MemoryEvents: ...
    @property
    def network(self) -> _containers.RepeatedCompositeFieldContainer[NetworkStat]:
        """since 2.2"""
    def __init__(
        self,
        *,
        pids: PidsStat | None = None,
        cpu: CPUStat | None = None,
        memory: MemoryStat | None = None,
        rdma: RdmaStat | None = None,
        io: IOStat | None = None,
        hugetlb: _Iterable[HugeTlbStat] | None = None,
        memory_events: MemoryEvents | None = None,
        network: _Iterable[NetworkStat] | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["pids", "cpu", "memory", "rdma", "io", "memory_events"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["pids", "cpu", "memory", "rdma", "io", "hugetlb", "memory_events", "network"]) -> None: ...

class PSIData(_message.Message):
    """Since 2.0. Pressure stall information: percent of the last 10, 60 and 300 seconds."""
    DESCRIPTOR: _descriptor.Descriptor

    avg10: float
    avg60: float
    avg300: float
    total: int  # microseconds
    def __init__(
        self,
        *,
        avg10: float | None = None,
        avg60: float | None = None,
        avg300: float | None = None,
        total: int | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["avg10", "avg60", "avg300", "total"]) -> None: ...

class PSIStats(_message.Message):
    """Since 2.0. Time in which some, or all (full), tasks were held up."""
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def some(self) -> PSIData: ...
    @property
    def full(self) -> PSIData: ...
    def __init__(
        self,
        *,
        some: PSIData | None = None,
        full: PSIData | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["some", "full"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["some", "full"]) -> None: ...

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
    """cpu.stat of the kernel, in microseconds."""
    DESCRIPTOR: _descriptor.Descriptor

    usage_usec: int
    user_usec: int
    system_usec: int
    nr_periods: int
    nr_throttled: int
    throttled_usec: int
    @property
    def psi(self) -> PSIStats:
        """since 2.0"""
    nr_bursts: int  # since 2.2
    burst_usec: int  # since 2.2
    def __init__(
        self,
        *,
        usage_usec: int | None = None,
        user_usec: int | None = None,
        system_usec: int | None = None,
        nr_periods: int | None = None,
        nr_throttled: int | None = None,
        throttled_usec: int | None = None,
        psi: PSIStats | None = None,
        nr_bursts: int | None = None,
        burst_usec: int | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["psi"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["usage_usec", "user_usec", "system_usec", "nr_periods", "nr_throttled", "throttled_usec", "psi", "nr_bursts", "burst_usec"]) -> None: ...

class MemoryStat(_message.Message):
    """memory.stat of the kernel, and what memory.current, memory.max and their swap counterparts hold."""
    DESCRIPTOR: _descriptor.Descriptor

    anon: int
    file: int
    kernel_stack: int
    slab: int
    sock: int
    shmem: int
    file_mapped: int
    file_dirty: int
    file_writeback: int
    anon_thp: int
    inactive_anon: int
    active_anon: int
    inactive_file: int
    active_file: int
    unevictable: int
    slab_reclaimable: int
    slab_unreclaimable: int
    pgfault: int
    pgmajfault: int
    workingset_refault: int
    workingset_activate: int
    workingset_nodereclaim: int
    pgrefill: int
    pgscan: int
    pgsteal: int
    pgactivate: int
    pgdeactivate: int
    pglazyfree: int
    pglazyfreed: int
    thp_fault_alloc: int
    thp_collapse_alloc: int
    usage: int
    usage_limit: int
    swap_usage: int
    swap_limit: int
    max_usage: int  # since 2.0
    swap_max_usage: int  # since 2.0
    @property
    def psi(self) -> PSIStats:
        """since 2.0"""
    def __init__(
        self,
        *,
        anon: int | None = None,
        file: int | None = None,
        kernel_stack: int | None = None,
        slab: int | None = None,
        sock: int | None = None,
        shmem: int | None = None,
        file_mapped: int | None = None,
        file_dirty: int | None = None,
        file_writeback: int | None = None,
        anon_thp: int | None = None,
        inactive_anon: int | None = None,
        active_anon: int | None = None,
        inactive_file: int | None = None,
        active_file: int | None = None,
        unevictable: int | None = None,
        slab_reclaimable: int | None = None,
        slab_unreclaimable: int | None = None,
        pgfault: int | None = None,
        pgmajfault: int | None = None,
        workingset_refault: int | None = None,
        workingset_activate: int | None = None,
        workingset_nodereclaim: int | None = None,
        pgrefill: int | None = None,
        pgscan: int | None = None,
        pgsteal: int | None = None,
        pgactivate: int | None = None,
        pgdeactivate: int | None = None,
        pglazyfree: int | None = None,
        pglazyfreed: int | None = None,
        thp_fault_alloc: int | None = None,
        thp_collapse_alloc: int | None = None,
        usage: int | None = None,
        usage_limit: int | None = None,
        swap_usage: int | None = None,
        swap_limit: int | None = None,
        max_usage: int | None = None,
        swap_max_usage: int | None = None,
        psi: PSIStats | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["psi"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["anon", "file", "kernel_stack", "slab", "sock", "shmem", "file_mapped", "file_dirty", "file_writeback", "anon_thp", "inactive_anon", "active_anon", "inactive_file", "active_file", "unevictable", "slab_reclaimable", "slab_unreclaimable", "pgfault", "pgmajfault", "workingset_refault", "workingset_activate", "workingset_nodereclaim", "pgrefill", "pgscan", "pgsteal", "pgactivate", "pgdeactivate", "pglazyfree", "pglazyfreed", "thp_fault_alloc", "thp_collapse_alloc", "usage", "usage_limit", "swap_usage", "swap_limit", "max_usage", "swap_max_usage", "psi"]) -> None: ...

class MemoryEvents(_message.Message):
    """How often each limit made itself felt."""
    DESCRIPTOR: _descriptor.Descriptor

    low: int
    high: int
    max: int
    oom: int
    oom_kill: int
    oom_group_kill: int  # since 2.3
    def __init__(
        self,
        *,
        low: int | None = None,
        high: int | None = None,
        max: int | None = None,
        oom: int | None = None,
        oom_kill: int | None = None,
        oom_group_kill: int | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["low", "high", "max", "oom", "oom_kill", "oom_group_kill"]) -> None: ...

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

class IOStat(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def usage(self) -> _containers.RepeatedCompositeFieldContainer[IOEntry]: ...
    @property
    def psi(self) -> PSIStats:
        """since 2.0"""
    def __init__(
        self,
        *,
        usage: _Iterable[IOEntry] | None = None,
        psi: PSIStats | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["psi"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["usage", "psi"]) -> None: ...

class IOEntry(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    major: int
    minor: int
    rbytes: int
    wbytes: int
    rios: int
    wios: int
    def __init__(
        self,
        *,
        major: int | None = None,
        minor: int | None = None,
        rbytes: int | None = None,
        wbytes: int | None = None,
        rios: int | None = None,
        wios: int | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["major", "minor", "rbytes", "wbytes", "rios", "wios"]) -> None: ...

class HugeTlbStat(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    current: int
    max: int
    pagesize: str
    failcnt: int  # since 2.2
    def __init__(
        self,
        *,
        current: int | None = None,
        max: int | None = None,
        pagesize: str | None = None,
        failcnt: int | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["current", "max", "pagesize", "failcnt"]) -> None: ...

class NetworkStat(_message.Message):
    """Since 2.2."""
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
