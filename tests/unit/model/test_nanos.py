"""Times: nothing is rounded, text order is time order, and no time whatever stops the log."""

import contextlib
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.model.nanos import Nanos, format_rfc3339, now, parse_rfc3339

SECOND = 10**9
YEAR_1, YEAR_10000 = -62_135_596_800 * SECOND, 253_402_300_800 * SECOND
NAMED = st.integers(YEAR_1, YEAR_10000 - 1)
USUAL = st.integers(0, 7_258_118_400 * SECOND)  # 1970 to 2200


@given(NAMED | USUAL)
@example(YEAR_1)
@example(YEAR_10000 - 1)
@example(-1)
@example(0)
def test_a_time_survives_the_wire_to_the_nanosecond(nanos: int) -> None:
    assert parse_rfc3339(format_rfc3339(nanos)) == nanos


@given(NAMED | USUAL, NAMED | USUAL)
@example(-62_000_000_000 * SECOND, 0)
def test_text_order_is_time_order(one: int, other: int) -> None:
    assert (format_rfc3339(one) < format_rfc3339(other)) == (one < other)


@given(st.integers())
def test_every_time_has_a_text_and_those_without_a_name_take_the_nearest(nanos: int) -> None:
    assert parse_rfc3339(format_rfc3339(nanos)) == min(max(nanos, YEAR_1), YEAR_10000 - 1)


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (0, "1970-01-01T00:00:00.000000000Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (YEAR_1, "0001-01-01T00:00:00.000000000Z"),
        (1_795_470_228 * SECOND + 1, "2026-11-23T21:43:48.000000001Z"),
        (YEAR_1 - 1, "0001-01-01T00:00:00.000000000Z"),
        (YEAR_10000, "9999-12-31T23:59:59.999999999Z"),
    ],
)
def test_a_time_is_written_as_the_contract_says(nanos: int, text: str) -> None:
    assert format_rfc3339(nanos) == text
    assert str(Nanos(nanos)) == text


@pytest.mark.parametrize(
    ("text", "nanos"),
    [
        ("1970-01-01T00:00:01Z", SECOND),
        ("1970-01-01t00:00:01z", SECOND),
        ("1970-01-01 00:00:01Z", SECOND),
        (" 1970-01-01T00:00:01Z\n", SECOND),
        ("1970-01-01T00:00:00.5Z", SECOND // 2),
        ("1970-01-01T00:00:00.0000000019Z", 1),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T23:30:00-00:30", 0),
        ("1970-01-01T00:00:00-00:00", 0),
        ("1969-12-31T23:59:59.75Z", -SECOND // 4),
        ("2024-02-29T00:00:00Z", 1_709_164_800 * SECOND),
    ],
)
def test_rfc3339_is_read_in_all_its_forms(text: str, nanos: int) -> None:
    assert parse_rfc3339(text) == nanos


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-11-23",
        "2026-11-23T21:43:48",
        "2026-11-23T21:43Z",
        "2026-11-23T21:43:48.Z",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:00:60Z",
        "2026-01-01T00:00:00+24:00",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "٢٠٢٦-01-01T00:00:00Z",
        "26-01-01T00:00:00Z",
    ],
)
def test_what_is_no_time_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(ValueError, match="is not") as refusal:
        parse_rfc3339(text)
    assert repr(text) in str(refusal.value)


@given(st.text())
def test_any_text_is_a_time_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        parse_rfc3339(text)


def test_now_is_the_wall_clock() -> None:
    before = time.time_ns()
    assert before <= now() <= time.time_ns()
