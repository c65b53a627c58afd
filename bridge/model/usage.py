"""How much a container uses, from two looks at it: what `stats` and `top` show as percentages and rates."""

from __future__ import annotations

from msgspec import Struct

from bridge.model.outcomes import TaskStats

__all__ = ["Usage", "usage"]

_SECOND = 1_000_000_000


class Usage(Struct, frozen=True, kw_only=True):
    """Between two looks. Null is what cannot be said; a counter that went back, as after a restart, says nothing.

    Attributes:
        cpu_percent: of one processor: 200 is two of them.
        memory_percent: the working set, of the limit; null where there is none.
        rates: bytes per second: read and written on block devices, received and sent on the network.
    """

    cpu_percent: float | None = None
    memory_percent: float | None = None
    read_rate: float | None = None
    write_rate: float | None = None
    rx_rate: float | None = None
    tx_rate: float | None = None


def usage(before: TaskStats | None, now: TaskStats) -> Usage:
    """Return what a container uses, as far as two looks tell; without an earlier one only what needs none."""
    memory = now.memory
    percent = 100 * memory.working_set / memory.limit if memory is not None and memory.limit else None
    if before is None or before.read_at >= now.read_at:
        return Usage(memory_percent=percent)
    seconds = (now.read_at - before.read_at) / _SECOND

    def rate(old: int | None, new: int | None) -> float | None:
        return None if old is None or new is None or new < old else (new - old) / seconds

    def both(group: str, field: str) -> float | None:
        return rate(_number(before, group, field), _number(now, group, field))

    cpu = both("cpu", "usage_ns")
    return Usage(
        cpu_percent=None if cpu is None else cpu * 100 / _SECOND,
        memory_percent=percent,
        read_rate=both("io", "read_bytes"),
        write_rate=both("io", "write_bytes"),
        rx_rate=rate(_total(before, "rx_bytes"), _total(now, "rx_bytes")),
        tx_rate=rate(_total(before, "tx_bytes"), _total(now, "tx_bytes")),
    )


def _number(stats: TaskStats, group: str, field: str) -> int | None:
    found: int | None = getattr(getattr(stats, group), field, None)
    return found


def _total(stats: TaskStats, field: str) -> int | None:
    return None if stats.network is None else sum(getattr(one, field) for one in stats.network)
