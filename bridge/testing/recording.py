"""A log that somebody recorded, replayed into one in memory: as it was, or with what can befall its readers.

    $ containerd-bridge events --json --since 2h --until 1h > incident.jsonl

    recording = Recording.read("incident.jsonl")
    log = MemoryLog()
    await recording.replay(log, Faults(seed=7, repeated=0.1, late=0.2, gaps=1))

A reader has to bear all of it: an event that stands in the log twice, with one id (`repeated`); events of other containers that
come before one that happened earlier (`late`); times of which nobody knows, which a `gap` event of the node tells (`gaps`). What
a bridge promises holds in each replay too: a container's events come in their order, and its numbers have no hole. The same
faults with the same seed are the same log.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from bridge.errors import BadEnvelope
from bridge.model.codec import decode, encode
from bridge.model.envelope import EVENT_TYPES, Event, Position, Recorded, Unrecognized, format_source
from bridge.model.events import ContainerEvent
from bridge.model.nanos import Nanos
from bridge.model.node_events import NodeGap
from bridge.model.subjects import Subjects
from bridge.testing.log import MemoryLog, Message

__all__ = ["Faults", "Recording"]

LATEST = 8
"""Places by which an event is late at the most."""

LONGEST = 6
"""Events that a gap leaves out at the most."""


class Faults(Struct, frozen=True, kw_only=True):
    """What befalls a replay.

    Attributes:
        seed: chooses which events it befalls.
        repeated: the share of events that are stored once more, from 0 to 1.
        late: the share of events before which some of other containers come, from 0 to 1.
        gaps: how often some events of one node are missing, and a `gap` event stands in their place.
    """

    seed: int = 0
    repeated: float = 0.0
    late: float = 0.0
    gaps: int = 0


NONE = Faults()


class Recording:
    """Events of a log, in its order."""

    def __init__(self, bodies: Iterable[bytes], *, subjects: Subjects | None = None) -> None:
        """Take the CloudEvents, each as JSON, and the subjects of the bus; those under `containerd` unless given.

        Raises:
            BadEnvelope: one is no event of ours; the sentence says which.
        """
        self.subjects = subjects or Subjects()
        self.events: list[Recorded[Event] | Recorded[Unrecognized]] = []
        self.bodies = [body for body in bodies if body.strip()]
        """The same, as they were recorded."""
        for number, body in enumerate(self.bodies, 1):
            try:
                self.events.append(decode(body))
            except BadEnvelope as error:
                raise BadEnvelope(f"event {number} of the recording: {error}", data=body) from error

    @classmethod
    def read(cls, file: str | Path, *, subjects: Subjects | None = None) -> Recording:
        """Read what `containerd-bridge events --json` wrote, one event on each line.

        Raises:
            OSError: the file cannot be read.
            BadEnvelope: a line is no event of ours; the sentence says which.
        """
        return cls(Path(file).read_bytes().splitlines(), subjects=subjects)

    async def replay(self, log: MemoryLog, faults: Faults = NONE) -> None:
        """Append the events to a log, one after another, with these faults; readers that follow it see each as it comes.

        Raises:
            ValueError: a share is none.
        """
        for message in self.messages(faults):
            log.put(message)
            await asyncio.sleep(0)

    def messages(self, faults: Faults = NONE) -> list[Message]:
        """Return what a replay with these faults appends.

        Raises:
            ValueError: a share is none.
        """
        for share in (faults.repeated, faults.late):
            if not 0 <= share <= 1:
                raise ValueError(f"{share} is no share of the events: give one from 0 to 1")
        chance = random.Random(faults.seed)  # noqa: S311 - chosen to be repeatable
        found = [self._message(body, event) for body, event in zip(self.bodies, self.events, strict=True)]
        found = _with_gaps(found, self.events, faults.gaps, chance, self.subjects)
        found = _delayed(found, faults.late, chance)
        return _stored(_repeated(found, faults.repeated, chance))

    def _message(self, body: bytes, event: Recorded[Event] | Recorded[Unrecognized]) -> Message:
        return Message(
            id=event.id, subject=_subject(event, self.subjects), body=body, stored_at=Nanos(event.recordedtime)
        )


def _subject(event: Recorded[Event] | Recorded[Unrecognized], subjects: Subjects) -> str:
    kind = EVENT_TYPES.get(event.type)
    word = event.type.split(".")[-2] if kind is None else kind.word
    if event.sequence is not None or (kind is not None and issubclass(kind, ContainerEvent)):
        return subjects.event(event.node, event.namespace, event.container, word)
    return subjects.node(event.node, word)


def _place(message: Message) -> str:
    """Return what tells a container's events from those of others."""
    return message.subject.rpartition(".")[0]


def _with_gaps(
    messages: Sequence[Message],
    events: Sequence[Recorded[Event] | Recorded[Unrecognized]],
    gaps: int,
    chance: random.Random,
    subjects: Subjects,
) -> list[Message]:
    """Leave out some events of one node for each gap, tell the gap in their place, and number the rest without a hole."""
    missing: set[int] = set()
    told: dict[int, Message] = {}
    of_containers = [index for index, event in enumerate(events) if event.sequence is not None]
    for number in range(gaps if of_containers else 0):
        first = chance.choice(of_containers)
        node = events[first].node
        lost = [index for index in of_containers if index >= first and events[index].node == node]
        lost = [index for index in lost[: chance.randint(1, LONGEST)] if index not in missing and index not in told]
        if lost:
            missing.update(lost)
            told[lost[-1]] = _gap(events[lost[0]], events[lost[-1]], number, subjects)
    found: list[Message] = []
    fewer: defaultdict[str, int] = defaultdict(int)
    for index, message in enumerate(messages):
        if index in told:
            found.append(told[index])
        if index in missing:
            fewer[_place(message)] += 1
        elif fewer.get(_place(message)):
            found.append(_renumbered(message, fewer[_place(message)]))
        else:
            found.append(message)
    return found


def _gap(
    first: Recorded[Event] | Recorded[Unrecognized],
    last: Recorded[Event] | Recorded[Unrecognized],
    number: int,
    subjects: Subjects,
) -> Message:
    since, until = Nanos(first.recordedtime - 1), Nanos(last.recordedtime + 1)
    gap = NodeGap(since=since, until=until, reason="left out of the replay")
    recorded: Recorded[Event] = Recorded(
        specversion="1.0",
        datacontenttype="application/json",
        id=f"{last.id[:-3]}G{number:02d}",
        type=gap.type,
        source=format_source(last.node, None),
        time=until,
        recordedtime=until,
        position=last.position and str(Position.parse(last.position)),
        origin="live",
        data=gap,
    )
    subject = subjects.node(last.node, gap.word)
    return Message(id=recorded.id, subject=subject, body=encode(recorded), stored_at=until)


def _renumbered(message: Message, fewer: int) -> Message:
    # As JSON, so that what this version does not know stays as it is.
    envelope: dict[str, Any] = msgspec.json.decode(message.body)
    envelope["sequence"] = f"{int(envelope['sequence']) - fewer:020d}"
    return msgspec.structs.replace(message, body=msgspec.json.encode(envelope))


def _delayed(messages: Sequence[Message], share: float, chance: random.Random) -> list[Message]:
    """Let some come later, but none behind the next one of its own container."""
    keys: list[tuple[float, int]] = []
    at: dict[str, float] = {}
    for index, message in enumerate(messages):
        place = index + (chance.randint(1, LATEST) + 0.5 if chance.random() < share else 0.0)
        # Behind those of its own container that are late themselves.
        place = at[_place(message)] = max(place, at.get(_place(message), 0.0))
        keys.append((place, index))
    return [messages[index] for _, index in sorted(keys)]


def _repeated(messages: Sequence[Message], share: float, chance: random.Random) -> list[Message]:
    """Store some once more, at once or a few places later, as a publisher does that was cut off."""
    ties = count()
    keyed = [(float(index), next(ties), message) for index, message in enumerate(messages)]
    for index, message in enumerate(messages):
        if chance.random() < share:
            keyed.append((index + chance.randint(0, LATEST) + 0.5, next(ties), message))
    return [message for _, _, message in sorted(keyed, key=lambda one: one[:2])]


def _stored(messages: Sequence[Message]) -> list[Message]:
    """Let none be stored before the one that stands before it."""
    at = Nanos(0)
    found = []
    for message in messages:
        at = max(at, message.stored_at)
        found.append(msgspec.structs.replace(message, stored_at=at))
    return found
