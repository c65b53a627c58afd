"""The tail gives what follows a position, or nothing, and never more than it may hold."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.capture.tail import Tail
from bridge.ports import Entry

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("extend"), st.integers(1, 9)),
        st.tuples(st.just("drop"), st.integers(0, 60)),
        st.tuples(st.just("after"), st.integers(0, 60)),
    ),
    max_size=30,
)


@given(STEPS, st.integers(1, 20), st.integers(0, 400))
def test_it_is_the_end_of_what_was_committed(steps: list[tuple[str, int]], most: int, limit: int) -> None:
    tail, committed, dropped = Tail(limit), list[Entry](), 0
    for step, number in steps:
        match step:
            case "extend":
                fresh = [
                    Entry(n, f"id{n}", "s", b"x" * 10) for n in range(len(committed) + 1, len(committed) + number + 1)
                ]
                tail.extend(fresh)
                committed += fresh
            case "drop":
                tail.drop(number)
                dropped = max(dropped, min(number, len(committed)))
            case _:
                found = list(tail.after(number, most))
                assert found in ([], committed[number : number + most])
        assert tail.bytes <= limit
        newest = list(tail.after(len(committed) - 1, most)) if dropped < len(committed) else []
        assert newest or limit < 90 or dropped == len(committed)
