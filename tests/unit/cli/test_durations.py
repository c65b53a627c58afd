"""Times and durations in the form that people read fastest."""

import pytest

from bridge.cli.durations import ago, clock, span
from bridge.model.nanos import Nanos, now

SECOND = 10**9


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (0, "0 ms"),
        (-5 * SECOND, "0 ms"),
        (999_400_000, "999 ms"),
        (999_600_000, "1.0 s"),
        (59_940_000_000, "59.9 s"),
        (59_960_000_000, "1m 00s"),
        (245 * SECOND, "4m 05s"),
        (7380 * SECOND, "2h 03m"),
        (86_400 * SECOND * 3 + 3600 * SECOND * 4, "3d 04h"),
    ],
)
def test_a_span_has_two_units_at_the_most(nanos: int, text: str) -> None:
    assert span(nanos) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-10, "0 seconds ago"),
        (1.5, "1 second ago"),
        (119, "119 seconds ago"),
        (121, "2 minutes ago"),
        (7300, "2 hours ago"),
        (200_000, "2 days ago"),
    ],
)
def test_ago_has_one_unit(seconds: float, text: str) -> None:
    assert ago(Nanos(now() - int(seconds * SECOND))) == text


def test_what_has_no_time_is_a_dash() -> None:
    assert ago(None) == "-"


def test_the_clock_shows_milliseconds_and_does_not_round_up() -> None:
    assert clock(Nanos(1_795_435_200_999_999_999)).endswith(":00.999")
