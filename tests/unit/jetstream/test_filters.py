"""Filters match, cover and collide as NATS has it (ADR-6)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.jetstream.filters import collide, covers, matches, reduced

TOKENS = st.sampled_from(["a", "b"])
SUBJECTS = st.lists(TOKENS, min_size=1, max_size=4).map(".".join)
PATTERNS = st.tuples(st.lists(st.sampled_from(["a", "b", "*"]), max_size=4), st.sampled_from(["a", "*", ">"])).map(
    lambda parts: ".".join([*parts[0], parts[1]])
)


def by_the_book(pattern: list[str], subject: list[str]) -> bool:
    if not pattern or not subject:
        return not pattern and not subject
    if pattern == [">"]:
        return True
    return pattern[0] in {"*", subject[0]} and by_the_book(pattern[1:], subject[1:])


@given(PATTERNS, SUBJECTS)
def test_a_filter_matches_as_the_definition_says(pattern: str, subject: str) -> None:
    assert matches(pattern, subject) == by_the_book(pattern.split("."), subject.split("."))


@given(PATTERNS, PATTERNS, SUBJECTS)
def test_what_the_covered_filter_matches_the_covering_one_matches(wide: str, narrow: str, subject: str) -> None:
    if covers(wide, narrow) and matches(narrow, subject):
        assert matches(wide, subject)


@given(PATTERNS, PATTERNS, SUBJECTS)
def test_filters_that_share_a_subject_collide(one: str, other: str, subject: str) -> None:
    if matches(one, subject) and matches(other, subject):
        assert collide(one, other)


@given(PATTERNS, PATTERNS)
def test_filters_that_collide_share_a_subject(one: str, other: str) -> None:
    def example(length: int) -> str:
        pairs = [(one.split(".") + [">"] * 9)[:length], (other.split(".") + [">"] * 9)[:length]]
        return ".".join(
            next((token for token in both if token not in {"*", ">"}), "a") for both in zip(*pairs, strict=True)
        )

    if collide(one, other):
        examples = [example(length) for length in range(1, 7)]
        assert any(matches(one, subject) and matches(other, subject) for subject in examples)


@given(st.lists(PATTERNS, max_size=5), SUBJECTS)
def test_reducing_filters_changes_nothing_of_what_they_match(patterns: list[str], subject: str) -> None:
    assert any(matches(p, subject) for p in reduced(patterns)) == any(matches(p, subject) for p in patterns)


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        (["a.>", "a.b.*", "a.b.c"], ["a.>"]),
        (["a.b", "a.b"], ["a.b"]),
        (["a.*.c", "a.b.*"], ["a.*.c", "a.b.*"]),
    ],
)
def test_only_filters_that_add_something_are_left(patterns: list[str], left: list[str]) -> None:
    assert reduced(patterns) == left
