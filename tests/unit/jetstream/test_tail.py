"""The end of a log is found up to which nothing is missing, wherever the look at it begins."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from bridge.jetstream.pace import BATCH
from bridge.jetstream.tail import TAIL, _count, _Placed
from bridge.model.envelope import Position


def placed(numbers: list[int], first_sequence: int = 1) -> list[_Placed]:
    return [_Placed(first_sequence + i, Position("log", n)) for i, n in enumerate(numbers)]


@given(st.integers(0, BATCH - 51), st.integers(1, 50), st.integers())
def test_a_window_in_the_middle_of_mixed_appends_finds_the_first_missing_event(
    before_hole: int, behind_hole: int, seed: int
) -> None:
    random = Random(seed)
    stored: list[int] = []
    for start in range(1, 4 * BATCH, BATCH):  # each append stores its events in any order
        append = list(range(start, start + BATCH))
        random.shuffle(append)
        stored += append
    hole = max(stored) + 1 + before_hole
    last = [n for n in range(max(stored) + 1, hole + behind_hole + 1) if n != hole]
    random.shuffle(last)
    window = (stored + last)[-TAIL:]
    end = _count(placed(window, 1_000), begun=False, incomplete=BATCH)
    assert end is not None
    assert Position.parse(end.position).n == hole - 1


def test_a_log_that_is_known_from_its_beginning_is_counted_from_one() -> None:
    assert _count(placed([2, 3]), begun=True, incomplete=0) is None
    assert _count(placed([1, 2, 4]), begun=True, incomplete=0) == (2, "log:2")
