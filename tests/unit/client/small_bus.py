"""A log and a node of a few lines, for what is asked of the ports; the ones in `bridge.testing` do the rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, NamedTuple

from bridge.client import Bus, Jobs
from bridge.client.folding import key_of
from bridge.errors import LogError
from bridge.jetstream.filters import matches
from bridge.model.codec import decode_as, encode_any
from bridge.model.nanos import Nanos, now
from bridge.model.nodes import NodeRecord
from bridge.model.outcomes import ContainerInfo, ContainerList, Outcome
from bridge.model.state import ContainerState
from bridge.model.subjects import CommandSubject, ContainerKey, Subjects
from bridge.ports import (
    BusFacts,
    BusInspector,
    JobStore,
    LogExtent,
    NodePresence,
    RoleAt,
    Start,
    StateEntry,
    StateStore,
    StdioClient,
    StoredEvent,
)
from bridge.testing import MemoryStates

SUBJECTS = Subjects()
Answer = Callable[[CommandSubject, dict[str, Any]], Any]


class Asked(NamedTuple):
    """One command as it was sent."""

    subject: CommandSubject
    options: dict[str, Any]
    timeout: float
    by_default: dict[str, Any] = {}  # noqa: RUF012
    """The id and the deadline, which every command that changes something has."""


class SmallReader:
    """Hands out the events it was given that match a filter or have no subject, and remembers what was asked for."""

    def __init__(self, events: Sequence[StoredEvent] = ()) -> None:
        self.events = list(events)
        self.asked: list[tuple[Sequence[str], Start, bool]] = []
        self.open = 0

    async def read(self, filters: Sequence[str], start: Start, *, follow: bool) -> AsyncIterator[StoredEvent]:
        self.asked.append((list(filters), start, follow))
        self.open += 1
        try:
            for event in self.events:
                wanted = not (filters and event.subject) or any(matches(pattern, event.subject) for pattern in filters)
                if wanted and event.stream_sequence >= (start.sequence or 1):
                    yield event
            if follow:
                await asyncio.Event().wait()
        finally:
            self.open -= 1

    async def latest(self, filters: Sequence[str]) -> Sequence[StoredEvent]:
        return list({event.subject: event for event in self.events}.values())

    async def extent(self) -> LogExtent:
        first, last = (self.events[0], self.events[-1]) if self.events else (None, None)
        return LogExtent(
            first_sequence=first.stream_sequence if first else 1,
            last_sequence=last.stream_sequence if last else 0,
            first_at=first.stored_at if first else None,
            last_at=last.stored_at if last else None,
            messages=len(self.events),
            size=sum(len(event.body) for event in self.events),
            max_age=7 * 86_400 * 10**9,
            max_bytes=0,
            max_messages=0,
            now=now(),
        )


class SmallSender:
    """Nodes that answer from a function; remembers what they were sent."""

    def __init__(
        self, answer: Answer, nodes: Sequence[str] = ("n1",), groups: Sequence[str] = ("observe", "lifecycle")
    ):
        self.answer = answer
        self.present = [NodePresence(node=node, version="1", groups=list(groups)) for node in nodes]
        self.asked: list[Asked] = []

    async def send(self, subject: str, body: bytes, *, timeout: float) -> Outcome:
        command = SUBJECTS.parse_command(subject)
        options: dict[str, Any] = decode_as(body, dict[str, Any]) if body else {}
        by_default: dict[str, Any] = {name: options.pop(name) for name in ("id", "not_after") if name in options}
        self.asked.append(Asked(command, options, timeout, by_default))
        result = self.answer(command, options)
        if isinstance(result, Outcome):
            return result
        return Outcome(id="1", verb=command.verb, node=command.node, outcome="ok", result=result)

    async def nodes(self, *, wait: float = 0.5) -> Sequence[NodePresence]:
        return self.present


class SmallStore:
    """A store of jobs that takes everything."""

    def __init__(self) -> None:
        self.submitted: list[tuple[str, bytes, str]] = []

    async def submit(self, subject: str, body: bytes, *, command_id: str, name: str, again: bool = False) -> bool:
        self.submitted.append((subject, body, name))
        return True


class SmallRecords:
    """Hands out the records it was given, or fails as it was told."""

    def __init__(self, records: Sequence[NodeRecord] | LogError = ()) -> None:
        self._records = records

    async def records(self) -> Sequence[NodeRecord]:
        if isinstance(self._records, LogError):
            raise self._records
        return self._records


def containers_at(places: dict[str, Sequence[ContainerInfo]]) -> Answer:
    """Answer `list` with the containers of each node, filtered by id and namespace."""

    def answer(command: CommandSubject, options: dict[str, Any]) -> ContainerList:
        wanted = options.get("filters", [])
        found = [
            one
            for one in places[command.node]
            if command.namespace in {None, one.namespace} and (not wanted or f'id=="{one.id}"' in wanted)
        ]
        return ContainerList(containers=found)

    return answer


def info(container: str, namespace: str = "default", *, name: str | None = None) -> ContainerInfo:
    return ContainerInfo(namespace=namespace, id=container, name=name, created_at=Nanos(0))


def bus(
    reader: SmallReader | None = None,
    sender: SmallSender | None = None,
    records: Sequence[NodeRecord] | LogError = (),
    states: StateStore | None = None,
    inspector: BusInspector | None = None,
    stdio: StdioClient | None = None,
    store: JobStore | None = None,
) -> Bus:
    return Bus(
        reader or SmallReader(),
        sender or SmallSender(lambda *_: None),
        SUBJECTS,
        SmallRecords(records),
        states=states,
        inspector=inspector,
        stdio=stdio,
        jobs=Jobs(SUBJECTS, store=store),
    )


class SmallInspector:
    """Tells what it was given."""

    def __init__(self, facts: BusFacts) -> None:
        self.facts = facts
        self.asked: RoleAt | None = None

    async def inspect(self, role: RoleAt | None = None) -> BusFacts:
        self.asked = role
        return self.facts


def kept(*states: ContainerState | tuple[ContainerKey, bytes]) -> MemoryStates:
    """A store in which these states stand, or bytes under a key."""
    store = MemoryStates()
    for state in states:
        store._revision += 1
        key, value = state if isinstance(state, tuple) else (key_of(state), encode_any(state))
        store.entries[key] = StateEntry(key=key, value=value, revision=store._revision, stored_at=now())
    return store
