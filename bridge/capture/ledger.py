"""The ledger: gives every observed event its place, and remembers what containers are.

An event's place is its id, its position in the node's log, its sequence number among its container's events, and the
incarnation of the container that it belongs to. The ledger also puts the container's image, labels, name and runtime into
the event, so that they are still there after the container is gone.

No I/O but the outbox's rows: the same observations after the same rows give the same entries, but for the ids.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from bridge.capture.envelopes import NOTHING, Description, EnvelopeWriter, about, described
from bridge.capture.outbox import ContainerRow
from bridge.model.codec import encode, encode_any
from bridge.model.envelope import Event, Position, Recorded, format_source
from bridge.model.events import (
    ContainerCreate,
    ContainerDelete,
    ContainerEvent,
    ContainerUpdate,
    RawEvent,
    TaskCreate,
    TaskRestored,
)
from bridge.model.identity import new_ulid
from bridge.model.limits import MAX_BODY, RAW_PART
from bridge.model.naming import name_from_labels
from bridge.model.outcomes import ContainerInfo
from bridge.model.schema import dataschema_of
from bridge.model.subjects import Subjects
from bridge.ports import Entry, Observed

__all__ = ["Ledger"]

REMEMBERED = 20_000
"""Containers whose counters stay in memory; the others are read from the outbox when they turn up again."""

ASKED = 3
"""How often containerd is asked what a container is. It may be too busy to tell; or the container is gone."""

Key = tuple[str, str]

Describe: TypeAlias = Callable[[Collection[Key]], Mapping[Key, ContainerInfo]]
"""Says what containers are, as far as it is known."""

_BEGINNINGS: Final = (TaskCreate, TaskRestored)
_RECORDS: Final = (ContainerCreate, ContainerUpdate, ContainerDelete)


class _Account:
    """A container's counters, alive in memory, and what its events' envelopes have in common."""

    __slots__ = ("about", "asked", "deleted_at", "described", "description", "incarnation", "prefix", "sequence")

    def __init__(self, prefix: str, about: str, row: ContainerRow | None) -> None:
        self.prefix = prefix
        self.about = about
        self.sequence = 0 if row is None else row.sequence
        self.incarnation = None if row is None else row.incarnation
        self.describe(NOTHING if row is None else msgspec.json.decode(row.description, type=Description))
        self.deleted_at = None if row is None else row.deleted_at
        # Whoever has labels, were it none, has been described.
        self.asked = 0 if self.description.labels is None and self.deleted_at is None else ASKED

    def describe(self, description: Description) -> None:
        """Say what the container is, from its next event on."""
        self.description = description
        self.described = described(description)


class Ledger:
    """Places events of one node. Belongs to one thread."""

    def __init__(
        self, node: str, subjects: Subjects, log: str, last_n: int, find: Callable[[str, str], ContainerRow | None]
    ) -> None:
        """Take where to go on.

        Args:
            node: this node's name.
            subjects: the subjects to give out.
            log: the outbox's UUID.
            last_n: position of the last entry given out.
            find: what the outbox remembers of a container.
        """
        self._node = node
        self._subjects = subjects
        self._log = log
        self._envelopes = EnvelopeWriter(log)
        self._n = last_n
        self._find = find
        self._accounts: OrderedDict[Key, _Account] = OrderedDict()
        self._touched: dict[Key, _Account] = {}

    def place(self, batch: Sequence[Observed], describe: Describe) -> list[Entry]:
        """Return the entries of these events, in order: one each, or several parts where it is too big for one message.

        Args:
            batch: the events.
            describe: asked, once, about those of their containers that have to be described: new records, whose create event
                does not say their labels, and those of which nothing is known. These are asked about a few times, since
                containerd may not have answered the first time.
        """
        accounts = [self._account_of(observed) for observed in batch]
        asked = self._undescribed(batch, accounts)
        known: Mapping[Key, ContainerInfo] = describe(asked) if asked else {}
        entries: list[Entry] = []
        for observed, account in zip(batch, accounts, strict=True):
            if account is None:
                self._place_elsewhere(observed, entries)
            else:
                if known or type(observed.event) in _RECORDS:
                    self._change(account, observed, known)
                self._place(account, observed, entries)
        return entries

    def settle(self) -> list[ContainerRow]:
        """Return the containers that changed since the last call, as rows for the same transaction as their entries."""
        rows = [
            ContainerRow(
                namespace=namespace,
                container=container,
                sequence=account.sequence,
                incarnation=account.incarnation,
                description=msgspec.json.encode(account.description),
                deleted_at=account.deleted_at,
            )
            for (namespace, container), account in self._touched.items()
        ]
        self._touched.clear()
        while len(self._accounts) > REMEMBERED:
            self._accounts.popitem(last=False)
        return rows

    # -- inside

    def _account_of(self, observed: Observed) -> _Account | None:
        """Return the account that the event goes to; None for one that belongs to no container."""
        if observed.container is None or observed.namespace is None:
            return None
        key = (observed.namespace, observed.container)
        account = self._touched.get(key)
        if account is not None:
            return account
        account = self._accounts.get(key)
        if account is None:
            namespace, container = key
            account = self._accounts[key] = _Account(
                self._subjects.container_prefix(self._node, namespace, container),
                about(format_source(self._node, namespace), container),
                self._find(namespace, container),
            )
        else:
            self._accounts.move_to_end(key)
        self._touched[key] = account
        return account

    @staticmethod
    def _undescribed(batch: Sequence[Observed], accounts: Sequence[_Account | None]) -> Collection[Key]:
        keys: dict[Key, None] = {}
        for observed, account in zip(batch, accounts, strict=True):
            if account is None:
                continue
            created = type(observed.event) is ContainerCreate
            if not created and (account.asked >= ASKED or account.description.labels is not None):
                continue
            key = (observed.namespace or "", observed.container or "")
            if key not in keys or created:
                account.asked = 1 if created else account.asked + 1
                keys[key] = None
        return keys

    def _change(self, account: _Account, observed: Observed, known: Mapping[Key, ContainerInfo]) -> None:
        event, old = observed.event, account.description
        info = known.get((observed.namespace or "", observed.container or ""))
        if isinstance(event, ContainerCreate):
            # A new record under a known id is another container: nothing of the old one's holds for it.
            labels = None if info is None else info.labels
            account.deleted_at = None
            account.describe(
                Description(
                    image=event.image, labels=labels, name=name_from_labels(labels or {}), runtime=event.runtime
                )
            )
        elif isinstance(event, ContainerUpdate):
            labels = event.labels if event.labels is not None else old.labels
            account.describe(
                Description(
                    image=event.image or old.image,
                    labels=labels,
                    name=name_from_labels(labels or {}),
                    runtime=old.runtime,
                )
            )
        elif info is not None and old.labels is None:
            account.describe(
                Description(
                    image=info.image or None,
                    labels=info.labels,
                    name=info.name or name_from_labels(info.labels),
                    runtime=info.runtime or None,
                )
            )
        if isinstance(event, ContainerDelete):
            account.deleted_at = int(observed.recorded)

    def _place(self, account: _Account, observed: Observed, entries: list[Entry]) -> None:
        event = observed.event
        identity = new_ulid()
        if type(event) in _BEGINNINGS:
            # An incarnation is named after the event that began it.
            account.incarnation = identity
        elif type(event) in _RECORDS:  # these say themselves what the container is, in part
            event = _enriched(event, account.description)
        body = self._write(account, observed, event, identity, account.described)
        if len(body) > MAX_BODY and account.description.labels:
            # Labels may be megabytes: they must not make events unreadable for whoever filters by their kind.
            bare = msgspec.structs.replace(account.description, labels=None)
            body = self._write(account, observed, _enriched(observed.event, bare), identity, described(bare))
        if len(body) <= MAX_BODY:
            self._count(account, event, identity, body, entries)
            return
        for part in _parts(observed.event):
            identity = new_ulid()
            body = self._write(account, observed, part, identity, described(NOTHING))
            self._count(account, part, identity, body, entries)

    def _write(self, account: _Account, observed: Observed, event: Event, identity: str, description: bytes) -> bytes:
        return self._envelopes.write(
            observed,
            event,
            identity=identity,
            n=self._n + 1,
            sequence=account.sequence + 1,
            about=account.about,
            incarnation=account.incarnation,
            description=description,
        )

    def _count(self, account: _Account, event: Event, identity: str, body: bytes, entries: list[Entry]) -> None:
        account.sequence += 1
        self._n += 1
        entries.append(Entry(self._n, identity, f"{account.prefix}.{event.word}", body))

    def _place_elsewhere(self, observed: Observed, entries: list[Entry]) -> None:
        """Place an event that belongs to no container: to its node, or, raw, to a namespace at the most."""
        event = observed.event
        identity = new_ulid()
        body = self._node_body(observed, event, identity, getattr(event, "name", None))
        if len(body) <= MAX_BODY:
            entries.append(self._elsewhere(observed, event, identity, body))
            return
        for part in _parts(event):
            identity = new_ulid()
            entries.append(self._elsewhere(observed, part, identity, self._node_body(observed, part, identity, None)))

    def _elsewhere(self, observed: Observed, event: Event, identity: str, body: bytes) -> Entry:
        if isinstance(observed.event, ContainerEvent):
            subject = self._subjects.event(self._node, observed.namespace, None, event.word)
        else:
            subject = self._subjects.node(self._node, event.word)
        self._n += 1
        return Entry(self._n, identity, subject, body)

    def _node_body(self, observed: Observed, event: Event, identity: str, name: str | None) -> bytes:
        return encode(
            Recorded(
                specversion="1.0",
                datacontenttype="application/json",
                id=identity,
                type=event.type,
                source=format_source(self._node, observed.namespace),
                subject=name,
                time=observed.time,
                recordedtime=observed.recorded,
                position=str(Position(self._log, self._n + 1)),
                origin=observed.origin,
                correlationid=observed.correlation_id,
                causationid=observed.causation_id,
                dataschema=dataschema_of(type(event)),
                data=event,
            )
        )


def _enriched(event: Any, description: Description) -> Any:
    return msgspec.structs.replace(
        event,
        image=description.image,
        labels=description.labels,
        name=description.name,
        runtime=description.runtime,
    )


def _parts(event: Any) -> list[RawEvent]:
    """Cut an event that is too big for one message into raw parts that follow one another in the log.

    What came raw keeps its topic, type and bytes; any other event goes as the JSON of its data, under its own type.
    """
    if isinstance(event, RawEvent):
        topic, type_url, value, reason = event.topic, event.type_url, event.value, event.reason
    else:
        topic, type_url, value, reason = "", event.type, encode_any(event), "oversize"
    digest = hashlib.sha256(value).hexdigest()
    pieces = [value[start : start + RAW_PART] for start in range(0, len(value), RAW_PART)]
    return [
        RawEvent(
            topic=topic,
            type_url=type_url,
            value=piece,
            reason=reason,
            size=len(value),
            sha256=digest,
            part=number,
            parts=len(pieces),
        )
        for number, piece in enumerate(pieces, 1)
    ]
