"""Both versions of control groups come to one shape, and nothing in it is made up."""

import pytest
from google.protobuf.message import Message

from bridge._pb.containerd import cgroups_v1_pb2 as v1
from bridge._pb.containerd import cgroups_v2_pb2 as v2
from bridge._pb.containerd.types_pb2 import Metric
from bridge._pb.google.protobuf.any_pb2 import Any as Packed
from bridge._pb.google.protobuf.timestamp_pb2 import Timestamp
from bridge.containerd.metrics import task_stats
from bridge.model.nanos import Nanos
from bridge.model.outcomes import CpuStats, IoStats, MemoryStats, NetworkStats, PidsStats, TaskStats

PAGES = 0x7FFFFFFFFFFFF000
MAX = 2**64 - 1


def read(told: Message, *, prefix: str = "") -> TaskStats:
    data = Packed(type_url=f"{prefix}{told.DESCRIPTOR.full_name}", value=told.SerializeToString())
    return task_stats("default", Metric(timestamp=Timestamp(seconds=1, nanos=5), id="web.1", data=data))


V1 = v1.Metrics(
    cpu=v1.CPUStat(
        usage=v1.CPUUsage(total=100, user=60, kernel=30, per_cpu=[50, 50]),
        throttling=v1.Throttle(periods=9, throttled_periods=3, throttled_time=77),
    ),
    memory=v1.MemoryStat(
        total_rss=400,
        total_cache=500,
        total_inactive_file=200,
        inactive_file=1,
        usage=v1.MemoryEntry(limit=4096, usage=1000, max=2000, failcnt=2),
        swap=v1.MemoryEntry(limit=8192, usage=1300),
    ),
    memory_oom_control=v1.MemoryOomControl(oom_kill=1),
    pids=v1.PidsStat(current=3, limit=50),
    blkio=v1.BlkIOStat(
        io_service_bytes_recursive=[
            v1.BlkIOEntry(op="Read", major=8, value=10),
            v1.BlkIOEntry(op="Read", major=9, value=1),
            v1.BlkIOEntry(op="Write", value=20),
            v1.BlkIOEntry(op="Total", value=31),
        ],
        io_serviced_recursive=[v1.BlkIOEntry(op="Read", value=2), v1.BlkIOEntry(op="Write", value=4)],
    ),
)

V2 = v2.Metrics(
    cpu=v2.CPUStat(usage_usec=100, user_usec=60, system_usec=30, nr_periods=9, nr_throttled=3, throttled_usec=77),
    memory=v2.MemoryStat(
        anon=400,
        file=500,
        inactive_file=200,
        usage=1000,
        usage_limit=4096,
        max_usage=2000,
        swap_usage=300,
        swap_limit=4096,
    ),
    memory_events=v2.MemoryEvents(max=2, oom=5, oom_kill=1),
    pids=v2.PidsStat(current=3, limit=50),
    io=v2.IOStat(
        usage=[v2.IOEntry(major=8, rbytes=10, wbytes=20, rios=2, wios=4), v2.IOEntry(major=9, rbytes=1)],
    ),
)


@pytest.mark.parametrize(("told", "version", "unit"), [(V1, "v1", 1), (V2, "v2", 1000)])
def test_both_versions_tell_the_same(told: Message, version: str, unit: int) -> None:
    found = read(told)
    assert (found.namespace, found.container, found.read_at) == ("default", "web.1", Nanos(1_000_000_005))
    assert found.cgroup == version
    assert found.cpu == CpuStats(
        usage_ns=100 * unit,
        user_ns=60 * unit,
        system_ns=30 * unit,
        periods=9,
        throttled_periods=3,
        throttled_ns=77 * unit,
    )
    assert found.memory == MemoryStats(
        usage=1000,
        working_set=800,
        peak=2000,
        limit=4096,
        anonymous=400,
        cache=500,
        swap=300,
        swap_limit=4096,
        oom_kills=1,
        limit_hits=2,
    )
    assert found.pids == PidsStats(current=3, limit=50)
    assert found.io == IoStats(read_bytes=11, write_bytes=20, reads=2, writes=4)
    assert found.network is None


def test_the_type_may_come_with_a_host() -> None:
    assert read(V2, prefix="type.googleapis.com/").cgroup == "v2"


@pytest.mark.parametrize(
    "told",
    [
        v1.Metrics(
            memory=v1.MemoryStat(usage=v1.MemoryEntry(limit=PAGES, usage=5), swap=v1.MemoryEntry(limit=PAGES, usage=5)),
            pids=v1.PidsStat(current=3, limit=0),
        ),
        v2.Metrics(
            memory=v2.MemoryStat(usage=5, usage_limit=MAX, swap_limit=MAX), pids=v2.PidsStat(current=3, limit=MAX)
        ),
    ],
    ids=["v1", "v2"],
)
def test_no_limit_is_null(told: Message) -> None:
    found = read(told)
    assert found.memory is not None
    assert found.pids is not None
    assert (found.memory.limit, found.memory.swap_limit, found.pids.limit) == (None, None, None)
    assert found.memory.swap == 0
    assert found.memory.peak is None


def test_without_swap_accounting_nothing_is_said_of_swap() -> None:
    found = read(v1.Metrics(memory=v1.MemoryStat(usage=v1.MemoryEntry(usage=5, limit=10), swap=v1.MemoryEntry())))
    assert found.memory is not None
    assert (found.memory.swap, found.memory.swap_limit) == (None, None)


def test_a_swap_limit_of_0_is_one() -> None:
    found = read(v2.Metrics(memory=v2.MemoryStat(usage=5, swap_limit=0)))
    assert found.memory is not None
    assert found.memory.swap_limit == 0


@pytest.mark.parametrize(("told", "version"), [(v1.Metrics(), "v1"), (v2.Metrics(), "v2")])
def test_what_did_not_come_is_null(told: Message, version: str) -> None:
    assert read(told) == TaskStats(
        namespace="default",
        container="web.1",
        read_at=Nanos(1_000_000_005),
        cgroup=version,  # type: ignore[arg-type]
    )


def test_the_network_is_without_the_loopback() -> None:
    told = v2.Metrics(
        network=[v2.NetworkStat(name="lo", rx_bytes=9), v2.NetworkStat(name="eth0", rx_bytes=1, tx_dropped=2)]
    )
    assert read(told).network == [
        NetworkStats(
            name="eth0",
            rx_bytes=1,
            rx_packets=0,
            rx_errors=0,
            rx_dropped=0,
            tx_bytes=0,
            tx_packets=0,
            tx_errors=0,
            tx_dropped=2,
        )
    ]


@pytest.mark.parametrize(
    "data",
    [
        Packed(type_url="io.containerd.windows.Statistics", value=b"\x08\x01"),
        Packed(type_url="io.containerd.cgroups.v2.Metrics", value=b"\xff"),
        Packed(),
    ],
    ids=["another kind", "broken", "nothing"],
)
def test_what_cannot_be_read_says_only_whose_it_is(data: Packed) -> None:
    found = task_stats("default", Metric(id="web.1", data=data))
    assert (found.container, found.cgroup, found.cpu, found.memory) == ("web.1", None, None, None)
