"""The stream of a trial as the checker reads it: events with their places, and how to know one again that was seen elsewhere."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bridge.model.envelope import WORDS
from bridge.model.nanos import parse_rfc3339
from tests.faults.history import Message, Seen

__all__ = [
    "Key",
    "Log",
    "Stored",
    "by_container",
    "data_of",
    "is_gap",
    "key_of",
    "key_seen",
    "moment",
    "places_of_made",
]

_WORD_OF: Final = {kind.type: word for word, kind in WORDS.items()}


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A message of the stream, with what the checker needs of it taken out."""

    at: int
    id: str
    log: str
    n: int
    word: str
    message: Message
    event: dict[str, Any]
    namespace: str | None
    container: str | None
    sequence: int | None

    def __str__(self) -> str:
        return f"position {self.n} (stream sequence {self.at})"


class Log:
    """The stream as events; `unreadable` are messages that are no event of the bridge's."""

    def __init__(self, stream: Sequence[Message]) -> None:
        self.stored: list[Stored] = []
        self.unreadable: list[Message] = []
        self.leases: list[tuple[int, str]] = []
        """Where a lease stands, and the log that alone may go on behind it."""
        for message in stream:
            try:
                if message.word == "lease" and "position" not in message.event:
                    self.leases.append((message.sequence, message.event["data"]["log"]))
                else:
                    self.stored.append(_stored(message))
            except (KeyError, ValueError, TypeError):
                self.unreadable.append(message)
        self.gaps = [(_since(one), parse_rfc3339(one.event["data"]["until"])) for one in self.stored if is_gap(one)]
        self.firsts: list[Stored] = []
        """The first copy of each event."""
        seen: set[str] = set()
        for one in self.stored:
            if one.id not in seen:
                seen.add(one.id)
                self.firsts.append(one)

    def touches_a_gap(self, since: int, until: int) -> bool:
        """Whether something that was published from `since` to `until` may have been in a gap."""
        return any(begin <= until and since <= end for begin, end in self.gaps)

    def is_in_a_gap(self, since: int, until: int) -> bool:
        """Whether one gap covers all of this time."""
        return any(begin <= since and until <= end for begin, end in self.gaps)


def is_gap(one: Stored) -> bool:
    """Whether this is the node's word that there was no subscription; other gaps tell of other losses."""
    return one.word == "gap" and one.container is None


def _since(gap: Stored) -> float:
    since = gap.event["data"]["since"]
    return -math.inf if since is None else parse_rfc3339(since)


def _stored(message: Message) -> Stored:
    event = message.event
    log, _, n = event["position"].rpartition(":")
    source = event["source"].split("/")
    numbered = "sequence" in event
    return Stored(
        at=message.sequence,
        id=event["id"],
        log=log,
        n=int(n),
        word=message.word,
        message=message,
        event=event,
        namespace=source[3] if len(source) > 3 else None,
        container=event["subject"] if numbered else None,
        sequence=int(event["sequence"]) if numbered else None,
    )


# -- recognising an event that was seen elsewhere

Key = tuple[str, str, str, int]
"""Namespace, container, word, and the time that containerd or the shim gave it: to the nanosecond, the same for everybody."""


def key_seen(seen: Seen) -> Key:
    """The key of an event as the witness saw it."""
    return seen.namespace, seen.container, seen.word, seen.time


def key_of(one: Stored) -> Key | None:
    """The key of an event as containerd sent it; None for what the bridge says by itself."""
    if one.container is None or one.namespace is None or one.event["origin"] != "live":
        return None
    word = one.word
    if word == "anomaly":
        word = _WORD_OF.get(one.event["data"]["event_type"], word)
    return one.namespace, one.container, "create" if word == "restored" else word, parse_rfc3339(one.event["time"])


def data_of(one: Stored) -> dict[str, Any]:
    """What containerd said in it, also where the log keeps it as an anomaly."""
    data: dict[str, Any] = one.event["data"]
    return data["event"] if one.word == "anomaly" else data


def places_of_made(log: Log) -> dict[tuple[str, str, str, int], list[Stored]]:
    """Return where each end of a process stands, by whose it is and its status."""
    places: dict[tuple[str, str, str, int], list[Stored]] = defaultdict(list)
    for one in log.firsts:
        if one.word in {"exit", "exec-exit"} and one.namespace and one.container:
            status = one.event["data"]["exit_status"]
            if status is not None:
                places[one.namespace, one.container, one.word, status].append(one)
    return places


def by_container(events: Iterable[Stored]) -> dict[tuple[str | None, str], list[Stored]]:
    """Return the events of each container, in the order in which they stand in the stream."""
    found: dict[tuple[str | None, str], list[Stored]] = defaultdict(list)
    for one in events:
        if one.container is not None:
            found[one.namespace, one.container].append(one)
    return found


def moment(nanos: int) -> str:
    """Write a time in seconds, as the history's sentences have it."""
    return f"{nanos / 1e9:.6f}"
