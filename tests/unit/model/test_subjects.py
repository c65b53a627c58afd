"""Subjects: what is built can be taken apart, and a filter matches what it is for."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.commands import COMMANDS
from bridge.model.envelope import WORDS
from bridge.model.subjects import CommandSubject, ContainerKey, EventSubject, NodeSubject, Subjects

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
ROOTS = st.from_regex(r"[A-Za-z0-9_-]{1,10}", fullmatch=True)
EVENT_WORDS = st.sampled_from(sorted(WORDS))
VERBS = st.sampled_from(sorted(COMMANDS))


def matches(pattern: str, subject: str) -> bool:
    """NATS's own rule, for patterns without `>`."""
    wanted, given_ = pattern.split("."), subject.split(".")
    return len(wanted) == len(given_) and all(w in ("*", g) for w, g in zip(wanted, given_, strict=True))


@given(ROOTS, NAMES, st.none() | NAMES, st.none() | NAMES, EVENT_WORDS)
def test_the_subject_of_a_container_event_can_be_taken_apart(
    root: str, node: str, namespace: str | None, container: str | None, word: str
) -> None:
    subjects = Subjects(root)
    subject = subjects.event(node, namespace, container, word)
    assert subjects.parse_event(subject) == EventSubject(node, namespace, container, word)
    assert subject == f"{subjects.container_prefix(node, namespace, container)}.{word}"


@given(ROOTS, NAMES, EVENT_WORDS)
def test_the_subject_of_a_node_event_can_be_taken_apart(root: str, node: str, word: str) -> None:
    subjects = Subjects(root)
    assert subjects.parse_event(subjects.node(node, word)) == NodeSubject(node, word)


@given(ROOTS, NAMES, st.none() | NAMES, st.none() | NAMES, VERBS)
def test_the_subject_of_a_command_can_be_taken_apart(
    root: str, node: str, namespace: str | None, container: str | None, verb: str
) -> None:
    subjects = Subjects(root)
    subject = subjects.command(node, namespace, container, verb)
    assert subjects.parse_command(subject) == CommandSubject(node, namespace, container, verb)
    assert matches(subjects.command_filter(node, verb), subject)
    assert matches(subjects.command_filter(node), subject)


@given(NAMES, NAMES, NAMES, EVENT_WORDS, st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()))
def test_an_event_filter_matches_what_it_names(
    node: str, namespace: str, container: str, word: str, named: tuple[bool, bool, bool, bool]
) -> None:
    subjects = Subjects()
    parts = [part if wanted else None for part, wanted in zip((node, namespace, container, word), named, strict=True)]
    assert matches(subjects.event_filter(*parts), subjects.event(node, namespace, container, word))


@given(NAMES, NAMES, NAMES, NAMES)
def test_an_event_filter_matches_no_other_container(node: str, namespace: str, one: str, other: str) -> None:
    subjects = Subjects()
    pattern = subjects.event_filter(node, namespace, one)
    assert matches(pattern, subjects.event(node, namespace, other, "exit")) == (one == other)


def test_a_filter_without_names_matches_every_container_and_no_node_event() -> None:
    subjects = Subjects()
    assert matches(subjects.event_filter(), subjects.event("n", "k8s.io", None, "raw"))
    assert not matches(subjects.event_filter(), subjects.node("n", "gap"))


def test_a_node_filter_matches_node_events() -> None:
    subjects = Subjects()
    assert matches(subjects.node_filter(), subjects.node("a.b", "gap"))
    assert matches(subjects.node_filter("a.b", "gap"), subjects.node("a.b", "gap"))
    assert not matches(subjects.node_filter("a"), subjects.node("a.b", "gap"))


def test_the_contract_s_own_examples() -> None:
    subjects = Subjects()
    assert subjects.event("host1", "k8s.io", "web.1", "exit") == "containerd.events.host1.k8s=2Eio.web=2E1.exit"
    assert subjects.event("host1", "default", None, "raw") == "containerd.events.host1.default.-.raw"
    assert subjects.node("host1", "gap") == "containerd.nodes.host1.gap"
    assert subjects.command("host1", None, None, "version") == "containerd.commands.host1.-.-.version"
    assert subjects.stream_subjects() == ["containerd.events.>", "containerd.nodes.>"]


@pytest.mark.parametrize("word", ["", "*", ">", "a.b", "EXIT", "exit ", "exit\n", "a_b"])
def test_a_word_that_is_none_never_becomes_a_wildcard(word: str) -> None:
    subjects = Subjects()
    with pytest.raises(ValueError, match="is not an event or verb"):
        subjects.node("n", word)
    with pytest.raises(ValueError, match="is not an event or verb"):
        subjects.command("n", None, None, word)


@pytest.mark.parametrize("root", ["", "a.b", "*", ">", "a b", "é", "a\n"])
def test_a_root_is_one_plain_token(root: str) -> None:
    with pytest.raises(ValueError, match="subject root"):
        Subjects(root)


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "containerd",
        "containerd.events.n.ns.c",
        "containerd.events.n.ns.c.exit.more",
        "containerd.events.-.ns.c.exit",
        "containerd.events.n.ns.c.*",
        "containerd.nodes.n",
        "other.nodes.n.gap",
        "containerd.commands.n.ns.c.kill",
    ],
)
def test_what_is_no_subject_of_an_event_is_refused(subject: str) -> None:
    with pytest.raises(ValueError, match=r"subject|token|verb"):
        Subjects().parse_event(subject)


@pytest.mark.parametrize(
    "subject",
    ["", "containerd.commands.-.ns.c.kill", "containerd.commands.n.ns.c", "containerd.events.n.ns.c.exit", "x..y"],
)
def test_what_is_no_subject_of_a_command_is_refused(subject: str) -> None:
    with pytest.raises(ValueError, match=r"subject|token"):
        Subjects().parse_command(subject)


KEYS = st.builds(ContainerKey, NAMES, NAMES, NAMES)


@given(KEYS)
def test_the_key_of_a_state_can_be_taken_apart_and_is_one_that_kv_takes(key: ContainerKey) -> None:
    text = Subjects.state_key(key)
    assert Subjects.parse_state_key(text) == key
    assert re.fullmatch(r"[-/_=A-Za-z0-9]+(\.[-/_=A-Za-z0-9]+)*", text)


@given(KEYS, KEYS)
def test_two_containers_never_share_a_key(one: ContainerKey, other: ContainerKey) -> None:
    assert (Subjects.state_key(one) == Subjects.state_key(other)) == (one == other)


@given(KEYS, st.none() | NAMES, st.none() | NAMES)
def test_a_pattern_of_keys_matches_what_it_is_for(key: ContainerKey, node: str | None, namespace: str | None) -> None:
    pattern = Subjects.state_keys(node, namespace)
    assert matches(pattern, Subjects.state_key(key)) == (
        node in {None, key.node} and namespace in {None, key.namespace}
    )
    assert matches(Subjects.state_keys(key.node, key.namespace), Subjects.state_key(key))


@pytest.mark.parametrize("key", ["", "a", "a.b", "a.b.c.d", "a..c", "a.b.c=2e", "a.b.-", "a.b.c d", "a.b.c\n"])
def test_what_is_no_key_of_ours_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=r"is not|no name"):
        Subjects.parse_state_key(key)


def test_buckets_are_named_after_the_root() -> None:
    assert (Subjects().state_bucket, Subjects().node_bucket) == ("containerd-state", "containerd-nodes")
    assert Subjects("staging").state_bucket == "staging-state"
