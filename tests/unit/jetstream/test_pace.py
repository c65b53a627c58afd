"""What is sent at once grows while the line carries it quickly and shrinks where it does not; whatever the latency is."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bridge.jetstream.pace import BATCH, FIRST, LEAST, OVERHEAD, Pace
from bridge.ports import Entry


def entries(count: int, size: int = 700) -> Sequence[Entry]:
    return [Entry(n=n, id=str(n), subject="s", body=bytes(size)) for n in range(1, count + 1)]


def sent_at_once(pace: Pace, *, latency_s: float, bytes_per_s: float, times: int = 30) -> list[int]:
    """Send over such a line; return the size of each portion."""
    waiting = entries(2 * BATCH)
    sizes = []
    for _ in range(times):
        portion = waiting[: pace.end(waiting, 0)]
        size = sum(len(entry.body) + OVERHEAD for entry in portion)
        pace.carried(portion, latency_s + size / bytes_per_s)
        sizes.append(size)
    return sizes


def test_it_begins_small_and_is_soon_as_large_as_may_be() -> None:
    sizes = sent_at_once(Pace(), latency_s=0.001, bytes_per_s=100e6)
    assert sizes[0] <= FIRST
    assert sizes[10] == BATCH * 1000


@pytest.mark.parametrize("latency_s", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("bytes_per_s", [32 * 1024, 128 * 1024])
def test_a_portion_takes_a_slow_line_for_seconds_and_no_longer(latency_s: float, bytes_per_s: float) -> None:
    sizes = sent_at_once(Pace(), latency_s=latency_s, bytes_per_s=bytes_per_s)
    assert all(size / bytes_per_s < 3.5 for size in sizes[5:])
    assert sum(sizes[5:]) / len(sizes[5:]) > 0.25 * bytes_per_s


def test_a_line_that_becomes_slow_gets_less() -> None:
    pace = Pace()
    sent_at_once(pace, latency_s=0.001, bytes_per_s=100e6)
    sizes = sent_at_once(pace, latency_s=0.001, bytes_per_s=32 * 1024)
    assert sizes[-1] / (32 * 1024) < 3.5


def test_little_that_is_quick_says_nothing_of_the_line() -> None:
    pace = Pace()
    for _ in range(100):
        pace.carried(entries(1), 0.001)
    assert pace.end(entries(BATCH), 0) * 1000 <= FIRST


def test_an_entry_that_is_larger_than_a_portion_goes_alone() -> None:
    waiting = entries(3, size=512 * 1024)
    pace = Pace()
    assert [pace.end(waiting, start) for start in range(3)] == [1, 2, 3]
    for _ in range(20):
        pace.carried(waiting[:1], 0.0 if _ == 0 else 60.0)
    assert pace.end(entries(100), 0) * 1000 <= LEAST
    assert pace.end(waiting, 0) == 1
