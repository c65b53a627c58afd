"""Identifiers follow containerd's grammar; our own ids only ever go up."""

import os
import re
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.identity import (
    MAX_IDENTIFIER,
    ULID_PATTERN,
    UlidClock,
    check_identifier,
    check_node,
    is_identifier,
    new_ulid,
)


@pytest.mark.parametrize("text", ["a", "web.1", "k8s.io", "a-b_c.d", "0", "A" * MAX_IDENTIFIER])
def test_what_containerd_takes_is_an_identifier(text: str) -> None:
    assert check_identifier(text, "container id") == text
    assert check_node(text) == text


@pytest.mark.parametrize(
    "text", ["", ".a", "a.", "a..b", "a-.b", "-", "a/b", "../a", "a b", "a\n", "é", "a*", "A" * (MAX_IDENTIFIER + 1)]
)
def test_what_containerd_refuses_is_refused_with_rule_and_value(text: str) -> None:
    assert not is_identifier(text)
    with pytest.raises(ValueError, match=f"container id .* {MAX_IDENTIFIER} characters") as refusal:
        check_identifier(text, "container id")
    assert repr(text[:MAX_IDENTIFIER])[1:-1] in str(refusal.value)


def test_a_refusal_stays_short_however_long_the_id_is() -> None:
    with pytest.raises(ValueError, match="…") as refusal:
        check_identifier("a" * 1_000_000, "exec id")
    assert len(str(refusal.value)) < 300


@given(st.text(alphabet="aZ9._-/ \n", max_size=12))
def test_an_identifier_neither_leaves_its_directory_nor_hides(text: str) -> None:
    if is_identifier(text):
        assert "/" not in text
        assert not text.startswith(".")
        assert "\n" not in text


def test_a_ulid_says_when_it_was_made() -> None:
    before = time.time_ns() // 1_000_000
    ulid = UlidClock().next()
    after = time.time_ns() // 1_000_000
    assert re.search(ULID_PATTERN, ulid)
    digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    assert before <= sum(digits.index(digit) * 32 ** (9 - place) for place, digit in enumerate(ulid[:10])) <= after


def test_ulids_increase_within_a_millisecond() -> None:
    clock = UlidClock()
    ulids = [clock.next() for _ in range(10_000)]
    assert ulids == sorted(set(ulids))


def test_ulids_increase_when_their_last_digits_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 5_000_000)
    monkeypatch.setattr(os, "urandom", lambda count: b"\x01" * (count - 3) + b"\xff" * 3)
    clock = UlidClock()
    ulids = [clock.next() for _ in range(3)]
    assert [ulid[-5:] for ulid in ulids] == ["ZZZZZ", "00000", "00001"]
    assert ulids == sorted(set(ulids))


def test_ulids_increase_when_the_clock_steps_back(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = UlidClock()
    ulids = []
    for moment in (2_000_000, 1_000_000, 0, 1_999_999, 2_000_001, 2_000_000):
        monkeypatch.setattr(time, "time_ns", lambda moment=moment: moment * 1_000_000)
        ulids += [clock.next(), clock.next()]
    assert ulids == sorted(set(ulids))


def test_ulids_stay_ulids_before_1970(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = UlidClock()
    monkeypatch.setattr(time, "time_ns", lambda: -5_000_000)
    ulids = [clock.next(), clock.next()]
    assert all(re.search(ULID_PATTERN, ulid) for ulid in ulids)
    assert ulids == sorted(set(ulids))


def test_ulids_of_many_threads_are_unique_and_increase_in_each() -> None:
    clock = UlidClock()
    made: list[list[str]] = [[] for _ in range(4)]

    def make(ulids: list[str]) -> None:
        ulids.extend(clock.next() for _ in range(5_000))

    threads = [threading.Thread(target=make, args=(ulids,)) for ulids in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(ulids == sorted(ulids) for ulids in made)
    assert len({ulid for ulids in made for ulid in ulids}) == 20_000


def test_one_clock_serves_the_whole_process() -> None:
    assert new_ulid() < new_ulid()
