"""Sizes are read as docker reads them."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.commands import UNLIMITED, size_of


@pytest.mark.parametrize(
    ("given_", "size"),
    [
        (4096, 4096),
        ("4096", 4096),
        ("4096b", 4096),
        ("512m", 512 << 20),
        ("512M", 512 << 20),
        ("512mb", 512 << 20),
        ("512MiB", 512 << 20),
        (" 1.5 g ", 3 << 29),
        ("2t", 2 << 40),
        (-1, UNLIMITED),
        ("-1", UNLIMITED),
        ("unlimited", UNLIMITED),
    ],
)
def test_a_size_is_read_as_people_write_it(given_: str | int, size: int) -> None:
    assert size_of(given_) == size


@pytest.mark.parametrize("given_", ["", "m", "5x", "-5", -2, 0, "0", "1e9", "٣", "9" * 30, "9999999p", 1 << 63, "1,5g"])
def test_what_is_no_size_is_refused_with_what_to_give(given_: str | int) -> None:
    with pytest.raises(ValueError, match=r"is no size: give bytes, or a number with a unit such as 512m or 1\.5g"):
        size_of(given_)


@given(st.text() | st.integers())
def test_a_size_is_always_one_that_the_kernel_can_take(given_: str | int) -> None:
    with contextlib.suppress(ValueError):
        assert size_of(given_) == UNLIMITED or 0 < size_of(given_) <= 1 << 62
