"""Percentages and rates come from two looks, and what one of them did not tell is not made up."""

import pytest

from bridge.model.nanos import Nanos
from bridge.model.outcomes import CpuStats, IoStats, MemoryStats, NetworkStats, TaskStats
from bridge.model.usage import Usage, usage

SECOND = 10**9


def look(
    second: float,
    *,
    cpu: int | None = None,
    memory: tuple[int, int | None] | None = None,
    io: int | None = None,
    network: list[int] | None = None,
) -> TaskStats:
    return TaskStats(
        namespace="default",
        container="web.1",
        read_at=Nanos(int(second * SECOND)),
        cpu=None if cpu is None else CpuStats(usage_ns=cpu, user_ns=0, system_ns=0),
        memory=None if memory is None else MemoryStats(usage=9999, working_set=memory[0], limit=memory[1]),
        io=None if io is None else IoStats(read_bytes=io, write_bytes=2 * io, reads=0, writes=0),
        network=None
        if network is None
        else [
            NetworkStats(
                name=f"eth{number}",
                rx_bytes=count,
                tx_bytes=2 * count,
                rx_packets=0,
                rx_errors=0,
                rx_dropped=0,
                tx_packets=0,
                tx_errors=0,
                tx_dropped=0,
            )
            for number, count in enumerate(network)
        ],
    )


def test_two_processors_at_work_are_200_percent() -> None:
    assert usage(look(1, cpu=0), look(3, cpu=4 * SECOND)).cpu_percent == 200


def test_memory_is_the_working_set_of_the_limit_and_needs_one_look() -> None:
    assert usage(None, look(1, memory=(25, 100))).memory_percent == 25
    assert usage(None, look(1, memory=(25, None))).memory_percent is None


def test_rates_are_per_second_and_over_all_interfaces() -> None:
    used = usage(look(1, io=100, network=[10, 10]), look(3, io=300, network=[20, 40]))
    assert (used.read_rate, used.write_rate, used.rx_rate, used.tx_rate) == (100, 200, 20, 40)


def test_one_look_tells_no_rate() -> None:
    assert usage(None, look(1, cpu=5, io=5, network=[5])) == Usage()


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (look(1, cpu=10, io=10, network=[10]), look(2, cpu=5, io=5, network=[5])),
        (look(1), look(2, cpu=5, io=5, network=[5])),
        (look(1, cpu=5, io=5, network=[5]), look(2)),
        (look(2, cpu=5), look(2, cpu=10)),
        (look(3, cpu=5), look(2, cpu=10)),
    ],
    ids=["began again", "not told before", "not told now", "the same moment", "backwards"],
)
def test_what_two_looks_do_not_tell_is_null(before: TaskStats, now: TaskStats) -> None:
    assert usage(before, now) == Usage()
