"""A point in the log can be written in every way that people and programs do."""

from datetime import UTC, datetime, timedelta

import pytest

from bridge.client.points import read_duration, read_point
from bridge.model.nanos import Nanos, now, parse_rfc3339

MINUTE = 60 * 10**9


def test_a_time_keeps_its_nanoseconds() -> None:
    assert read_point("2026-11-23T21:43:48.000000001Z") == parse_rfc3339("2026-11-23T21:43:48.000000001Z")


def test_a_time_in_another_zone_is_the_same_point() -> None:
    assert read_point("2026-11-23T22:43:48+01:00") == read_point("2026-11-23T21:43:48Z")


def test_a_time_without_seconds_is_one() -> None:
    assert read_point("2026-11-23T21:43Z") == read_point("2026-11-23T21:43:00Z")


def test_a_time_without_zone_is_local_time() -> None:
    local = datetime(2026, 11, 23, 21, 43, 48).astimezone()

    assert read_point("2026-11-23T21:43:48") == read_point(local)


def test_a_date_is_its_midnight_here() -> None:
    assert read_point("2026-11-23") == read_point(datetime(2026, 11, 23).astimezone())


@pytest.mark.parametrize("text", ["10m", "600s", "9m60s", "0.1666666666666666666667h"])
def test_a_duration_is_how_long_ago(text: str) -> None:
    point = read_point(text)

    assert isinstance(point, Nanos)
    assert abs(now() - point - 10 * MINUTE) < MINUTE / 10


def test_digits_are_a_stream_sequence() -> None:
    point = read_point("4711")

    assert point == 4711
    assert not isinstance(point, Nanos)


def test_there_is_nothing_before_the_first_event() -> None:
    assert read_point("0") == read_point(0) == 1


def test_values_are_taken_as_they_are() -> None:
    moment = datetime(2026, 11, 23, 21, 43, 48, 123456, tzinfo=UTC)

    assert read_point(moment) == parse_rfc3339("2026-11-23T21:43:48.123456Z")
    assert read_point(Nanos(5)) == Nanos(5)
    assert abs(now() - read_point(timedelta(minutes=1)) - MINUTE) < MINUTE / 10


@pytest.mark.parametrize("text", ["", "never", "10", "10 m", "-5m", "m", "5x", "٣m"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration such as 10m, 2h30m or 7d"):
        read_duration(text)


@pytest.mark.parametrize(
    ("text", "nanos"),
    [
        ("1.5s", 1_500_000_000),
        ("1d", 86_400 * 10**9),
        ("1w", 604_800 * 10**9),
        ("1h1ns", 3_600_000_000_001),
        ("7us", 7000),
    ],
)
def test_durations_are_exact(text: str, nanos: int) -> None:
    assert read_duration(text) == nanos


@pytest.mark.parametrize("text", ["", "yesterday", "-5", "10m ago", "2026-13-01", "2026-11-23T25:00:00Z", "1e3"])
def test_what_is_no_point_is_refused_with_the_choices(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no point in the log: give a time such as .* 10m .* sequence number"):
        read_point(text)
