"""The ledger: gives every observed event its place, and remembers what containers are.

An event's place is its id, its position in the node's log, its sequence number among its container's events, and the
incarnation of the container that it belongs to. The ledger also puts the container's image, labels, name and runtime into
the event, so that they are still there after the container is gone.

No I/O but the outbox's rows: the same observations after the same rows give the same entries, but for the ids.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from bridge.capture.outbox import ContainerRow
from bridge.model.codec import encode, encode_any
from bridge.model.envelope import Event, Position, Recorded, Sequence, format_source
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

__all__ = ["Description", "Ledger"]

REMEMBERED = 20_000
"""Containers whose counters stay in memory; the others are read from the outbox when they turn up again."""

ASKED = 3
"""How often containerd is asked what a container is. It may be too busy to tell; or the container is gone."""

Key = tuple[str, str]


class Description(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a container is, as it is added to each of its events; null is "never seen"."""

    image: str | None = None
    labels: dict[str, str] | None = None
    name: str | None = None
    runtime: str | None = None


_NOTHING = Description()
_BEGINNINGS = (TaskCreate, TaskRestored)


class _Account:
    """A container's counters, alive in memory."""

    __slots__ = ("asked", "deleted_at", "description", "incarnation", "prefix", "sequence", "source")

    def __init__(self, prefix: str, source: str, row: ContainerRow | None) -> None:
        self.prefix = prefix
        self.source = source
        self.sequence = 0 if row is None else row.sequence
        self.incarnation = None if row is None else row.incarnation
        self.description = _NOTHING if row is None else msgspec.json.decode(row.description, type=Description)
        self.deleted_at = None if row is None else row.deleted_at
        # Whoever has labels, were it none, has been described.
        self.asked = 0 if self.description.labels is None and self.deleted_at is None else ASKED


class Ledger:
    """Places events of one node. Belongs to one thread.

    `touched` collects the containers that changed, until `settle` hands them over for the same transaction as the entries.
    """

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
        self._n = last_n
        self._find = find
        self._accounts: OrderedDict[Key, _Account] = OrderedDict()
        self._touched: dict[Key, _Account] = {}

    def undescribed(self, batch: Iterable[Observed]) -> Collection[Key]:
        """Return the containers of `batch` that containerd should be asked about before the batch is placed.

        These are the new records, whose create event does not say their labels, and those of which nothing is known: they are
        asked about a few times, since containerd may not have answered the first time.
        """
        keys: set[Key] = set()
        seen: set[Key] = set()
        for observed in batch:
            if observed.container is None or observed.namespace is None:
                continue
            key = (observed.namespace, observed.container)
            created = type(observed.event) is ContainerCreate
            if key in seen and not created:
                continue
            seen.add(key)
            account = self._account(key)
            if created:
                account.asked = 0
            if account.asked < ASKED and (account.asked == 0 or account.description.labels is None):
                account.asked += 1
                keys.add(key)
        return keys

    def place(self, observed: Observed, known: Mapping[Key, ContainerInfo]) -> list[Entry]:
        """Return the entries of an event: one, or several parts where it is too big for one message.

        Args:
            observed: the event.
            known: what containerd said about the containers of this batch.
        """
        if observed.container is None or observed.namespace is None:
            return self._place_elsewhere(observed)
        key = (observed.namespace, observed.container)
        account = self._account(key)
        self._touched[key] = account
        self._describe(account, observed.event, known.get(key))
        identity = new_ulid()
        if isinstance(observed.event, _BEGINNINGS):
            # An incarnation is named after the event that began it.
            account.incarnation = identity
        if isinstance(observed.event, ContainerDelete):
            account.deleted_at = int(observed.recorded)
        elif isinstance(observed.event, ContainerCreate):
            account.deleted_at = None
        event = _enriched(observed.event, account.description)
        body = self._container_body(account, observed, event, identity)
        if len(body) > MAX_BODY and account.description.labels:
            # Labels may be megabytes: they must not make events unreadable for whoever filters by their kind.
            event = _enriched(observed.event, msgspec.structs.replace(account.description, labels=None))
            body = self._container_body(account, observed, event, identity)
        if len(body) <= MAX_BODY:
            return [self._count(account, event, identity, body)]
        entries = []
        for part in _parts(observed.event):
            identity = new_ulid()
            body = self._container_body(account, observed, part, identity)
            entries.append(self._count(account, part, identity, body))
        return entries

    def settle(self) -> list[ContainerRow]:
        """Return the containers that changed since the last call, as rows."""
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

    def _account(self, key: Key) -> _Account:
        account = self._accounts.get(key)
        if account is None:
            namespace, container = key
            account = self._accounts[key] = _Account(
                self._subjects.container_prefix(self._node, namespace, container),
                format_source(self._node, namespace),
                self._find(namespace, container),
            )
        else:
            self._accounts.move_to_end(key)
        return account

    def _describe(self, account: _Account, event: Event, info: ContainerInfo | None) -> None:
        old = account.description
        if isinstance(event, ContainerCreate):
            # A new record under a known id is another container: nothing of the old one's holds for it.
            labels = None if info is None else info.labels
            account.description = Description(
                image=event.image, labels=labels, name=name_from_labels(labels or {}), runtime=event.runtime
            )
        elif isinstance(event, ContainerUpdate):
            labels = event.labels if event.labels is not None else old.labels
            account.description = Description(
                image=event.image or old.image, labels=labels, name=name_from_labels(labels or {}), runtime=old.runtime
            )
        elif info is not None and old.labels is None:
            account.description = Description(
                image=info.image or None,
                labels=info.labels,
                name=info.name or name_from_labels(info.labels),
                runtime=info.runtime or None,
            )

    def _container_body(self, account: _Account, observed: Observed, event: Event, identity: str) -> bytes:
        return self._body(
            observed,
            event,
            identity=identity,
            source=account.source,
            about=observed.container,
            sequence=Sequence(account.sequence + 1),
            incarnation=account.incarnation,
        )

    def _count(self, account: _Account, event: Event, identity: str, body: bytes) -> Entry:
        account.sequence += 1
        return self._entry(identity, f"{account.prefix}.{event.word}", body)

    def _place_elsewhere(self, observed: Observed) -> list[Entry]:
        """Place an event that belongs to no container: to its node, or, raw, to a namespace at the most."""
        event = observed.event
        source = format_source(self._node, observed.namespace)
        identity = new_ulid()
        body = self._body(observed, event, identity=identity, source=source, about=getattr(event, "name", None))
        if len(body) <= MAX_BODY:
            return [self._entry(identity, self._elsewhere(observed, event), body)]
        entries = []
        for part in _parts(event):
            identity = new_ulid()
            body = self._body(observed, part, identity=identity, source=source, about=None)
            entries.append(self._entry(identity, self._elsewhere(observed, part), body))
        return entries

    def _elsewhere(self, observed: Observed, event: Event) -> str:
        if isinstance(observed.event, ContainerEvent):
            return self._subjects.event(self._node, observed.namespace, None, event.word)
        return self._subjects.node(self._node, event.word)

    def _body(
        self,
        observed: Observed,
        event: Event,
        *,
        identity: str,
        source: str,
        about: str | None,
        sequence: Sequence | None = None,
        incarnation: str | None = None,
    ) -> bytes:
        return encode(
            Recorded(
                specversion="1.0",
                datacontenttype="application/json",
                id=identity,
                type=event.type,
                source=source,
                subject=about,
                time=observed.time,
                recordedtime=observed.recorded,
                position=str(Position(self._log, self._n + 1)),
                sequence=sequence,
                incarnation=incarnation,
                origin=observed.origin,
                correlationid=observed.correlation_id,
                causationid=observed.causation_id,
                dataschema=dataschema_of(type(event)),
                data=event,
            )
        )

    def _entry(self, identity: str, subject: str, body: bytes) -> Entry:
        self._n += 1
        return Entry(n=self._n, id=identity, subject=subject, body=body)


def _enriched(event: Any, description: Description) -> Any:
    if description is _NOTHING:
        return event
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
