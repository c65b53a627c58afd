"""Quoting: any text in, one valid subject token out, and the way back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.subjects import NONE, quote, unquote

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
BYTES = st.binary(min_size=1).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
TOKEN = re.compile(r"[A-Za-z0-9_=-]+")


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("web", "web"),
        ("web_1-a", "web_1-a"),
        ("k8s.io", "k8s=2Eio"),
        ("a=b", "a=3Db"),
        ("*", "=2A"),
        (">", "=3E"),
        ("a b", "a=20b"),
        ("é", "=C3=A9"),
        ("-", "=2D"),
        ("--", "--"),
        ("\x00", "=00"),
        ("\udcff", "=FF"),
    ],
)
def test_a_token_is_spelt_as_the_contract_says(text: str, token: str) -> None:
    assert quote(text) == token


@given(TEXTS | BYTES)
def test_quoting_can_be_taken_back(text: str) -> None:
    assert unquote(quote(text)) == text


@given(TEXTS | BYTES)
def test_a_token_is_one_token_to_nats_and_a_valid_key(text: str) -> None:
    assert TOKEN.fullmatch(quote(text))


@given(TEXTS | BYTES, TEXTS | BYTES)
def test_two_texts_never_share_a_token(one: str, other: str) -> None:
    assert (quote(one) == quote(other)) == (one == other)


def test_every_byte_by_itself_can_be_taken_back() -> None:
    texts = [bytes([byte]).decode("utf-8", "surrogateescape") for byte in range(256)]
    assert [unquote(quote(text)) for text in texts] == texts
    assert len({quote(text) for text in texts}) == 256


@given(TEXTS | BYTES)
def test_no_text_is_quoted_as_the_sign_for_none(text: str) -> None:
    assert quote(text) != NONE


@given(st.text())
def test_any_string_is_quoted_or_refused_with_a_sentence(text: str) -> None:
    try:
        token = quote(text)
    except ValueError as error:
        assert type(error) is ValueError  # noqa: PT017 - UnicodeError is one too, and no sentence
    else:
        assert unquote(token) == text


@pytest.mark.parametrize("text", ["", "\ud800", "\udcc3\udca9"], ids=["empty", "lone surrogate", "escaped UTF-8"])
def test_what_has_no_token_of_its_own_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no"):
        quote(text)


@pytest.mark.parametrize(
    "token",
    ["", "-", "a.b", "a b", "=2e", "=2", "=", "=41", "=ZZ", "é", "*", ">", "a\n", "=C3=A9\n", "=+1", "=0x"],
)
def test_what_quote_does_not_make_is_refused(token: str) -> None:
    """Exactly one spelling per name: a permission for one cannot be passed by with another."""
    with pytest.raises(ValueError, match="token"):
        unquote(token)


@given(st.text(alphabet="aA2EDC39=-_.", min_size=1))
def test_whatever_is_unquoted_quotes_to_itself(token: str) -> None:
    try:
        text = unquote(token)
    except ValueError:
        return
    assert quote(text) == token
