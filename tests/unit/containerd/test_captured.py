"""Envelopes of real containerds: as we read them when somebody last looked, and as `ctr events` reads them."""

from collections.abc import Iterator
from typing import Any

import pytest

from bridge.containerd.envelope import read_envelope
from bridge.containerd.normalize import normalize, observe
from bridge.model.nanos import Nanos, parse_rfc3339
from bridge.ports import Observed
from tests.data.envelopes import VERSIONS, Captured, captured, meaning

MESSAGES = [(version, n, message) for version in VERSIONS for n, message in enumerate(captured(version), 1)]
NAMED = [pytest.param(message, id=f"{version}-{n}-{message.expected['word']}") for version, n, message in MESSAGES]
EVERYWHERE = {
    *("create", "start", "exit", "exec-added", "exec-started", "exec-exit", "oom", "paused", "resumed", "delete"),
    *("container-create", "container-update", "container-delete", "image-create", "image-update", "image-delete"),
}


def observed(message: Captured) -> Observed:
    return observe(message.wire, Nanos(1))


@pytest.mark.parametrize("version", VERSIONS)
def test_every_kind_of_event_was_captured(version: str) -> None:
    words = {message.expected["word"] for message in captured(version)}
    assert words - {"restored"} == EVERYWHERE
    assert ("restored" in words) == (version != "1.6")


@pytest.mark.parametrize("version", VERSIONS)
def test_two_oom_kills_are_two_events_before_the_exit(version: str) -> None:
    words = [m.expected["word"] for m in captured(version) if m.expected["container"] == "hog"]
    assert words.count("oom") == 4  # two namespaces
    assert words.index("oom") < words.index("exit")


@pytest.mark.parametrize("message", NAMED)
def test_an_envelope_means_what_it_meant(message: Captured) -> None:
    assert meaning(observed(message)) == message.expected


@pytest.mark.parametrize("message", NAMED)
def test_an_envelope_says_to_us_what_it_says_to_ctr(message: Captured) -> None:
    envelope = read_envelope(message.wire)
    assert envelope is not None
    assert (envelope.namespace, envelope.topic) == (message.ctr["namespace"], message.ctr["topic"])
    ours = dict(_leaves(_as_ctr_names_it(meaning(normalize(envelope, Nanos(1)))["event"])))
    theirs = dict(_leaves(message.ctr["data"]))
    assert ours == theirs


def _as_ctr_names_it(event: dict[str, Any]) -> dict[str, Any]:
    if "runtime_options" in event:  # of a ContainerCreate, where ours have the runtime's name on top
        options = event.pop("runtime_options")
        event["runtime"] = {"name": event["runtime"], "options": options}
    if "snapshot_key" in event:  # a ContainerUpdate: the name is taken from the labels, which are there too
        del event["name"]
    return event


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """What is set, by its path: Go's JSON leaves out what is empty, and ctr 1.7 and later write times as two numbers."""
    if isinstance(value, dict):
        if "seconds" in value:
            yield path, Nanos(value["seconds"] * 10**9 + value.get("nanos", 0))
            return
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}/{name}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{path}/{index}")
    elif path == "/exited_at" and value is not None:
        yield path, parse_rfc3339(value)
    elif value not in (None, "", 0, False):
        yield path, value
