"""What is asked of containerd: exactly our topics, exactly our namespaces, and always the probes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.containerd.filters import event_filters
from bridge.model.identity import is_identifier

OURS = 'topic~="^/(tasks|containers|images)/"'
PROBES = 'namespace=="containerd-bridge",topic=="/containerd-bridge/probe"'
IDENTIFIERS = st.from_regex(r"[A-Za-z0-9]{1,9}([._-][A-Za-z0-9]{1,9}){0,6}", fullmatch=True)


def test_without_namespaces_all_are_followed() -> None:
    assert event_filters() == [OURS, PROBES]


def test_each_namespace_has_a_filter_of_its_own() -> None:
    assert event_filters(["k8s.io", "a.b"]) == [f'namespace=="k8s.io",{OURS}', f'namespace=="a.b",{OURS}', PROBES]


def test_a_namespace_given_twice_is_asked_for_once() -> None:
    assert event_filters(["moby", "moby"]) == [f'namespace=="moby",{OURS}', PROBES]


@given(st.lists(IDENTIFIERS))
def test_probes_pass_whatever_is_followed(namespaces: list[str]) -> None:
    assert event_filters(namespaces)[-1] == PROBES


@given(st.text().filter(lambda text: not is_identifier(text)))
def test_what_is_no_identifier_never_reaches_a_filter(namespace: str) -> None:
    with pytest.raises(ValueError, match="namespace"):
        event_filters(["default", namespace])
