"""The ledger: gives every observed event its place, and remembers what containers are.

An event's place is its id, its position in the node's log, its sequence number among its container's events, and the
incarnation of the container that it belongs to. The ledger also puts the container's image, labels, name and runtime into
the event, so that they are still there after the container is gone.

It folds what it places: the state of every container is that which a reader gets who folds the log. An event that contradicts
the state becomes an `Anomaly` that holds it. Where the first event of a container after a gap begins another task, the end of the
one before, which nobody saw, is told in front of it.

No I/O but the outbox's rows: the same observations after the same rows give the same entries, but for the ids.
"""

from __future__ import annotations

from collections import OrderedDict, abc
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Protocol, TypeAlias

from msgspec.structs import replace

from bridge.capture.account import RECORDS, Account, enriched
from bridge.capture.envelopes import NOTHING, EnvelopeWriter, described
from bridge.capture.outbox import ContainerRow
from bridge.capture.oversize import parts
from bridge.capture.reconcile import missed
from bridge.model.codec import decode_as, encode
from bridge.model.envelope import Event, Position, Recorded, Sequence, format_source
from bridge.model.events import Anomaly, ContainerCreate, ContainerEvent, TaskExit, TaskRestored
from bridge.model.fold import advance
from bridge.model.identity import new_ulid
from bridge.model.limits import MAX_BODY
from bridge.model.node_events import NodeDisconnected, NodeReconciled, NodeStarted
from bridge.model.outcomes import ContainerInfo
from bridge.model.schema import dataschema_of
from bridge.model.state import ContainerState
from bridge.model.subjects import Subjects
from bridge.ports import Entry, Observed

__all__ = ["Ledger", "Memory"]

REMEMBERED = 2_048
"""Containers whose accounts stay in memory, 2.5 KB each; the others are read from the outbox when they turn up again. That costs
25 µs, and hosts with more containers than this that are busy at the same time are rare."""

KILLED = 128 + 9
"""How a task has ended that was killed."""

_CAUSED = frozenset({TaskExit, TaskRestored})
"""Events that may be a command's doing, and do not say so."""

Key: TypeAlias = tuple[str, str]

Describe: TypeAlias = Callable[[Collection[Key]], Mapping[Key, ContainerInfo]]
"""Says what containers are, as far as it is known."""


class Memory(Protocol):
    """What the outbox remembers of containers."""

    def container(self, namespace: str, container: str) -> ContainerRow | None:
        """Return what is remembered of a container."""
        ...

    def containers(self) -> Iterator[ContainerRow]:
        """Iterate over what is remembered of those that are not gone."""
        ...


class Ledger:
    """Places events of one node. Belongs to one thread."""

    def __init__(self, node: str, subjects: Subjects, log: str, last_n: int, memory: Memory) -> None:
        """Take where to go on.

        Args:
            node: this node's name.
            subjects: the subjects to give out.
            log: the outbox's UUID.
            last_n: position of the last entry given out.
            memory: what the outbox remembers of containers.
        """
        self._node = node
        self._subjects = subjects
        self._log = log
        self._envelopes = EnvelopeWriter(log)
        self._n = last_n
        self._memory = memory
        self._accounts: OrderedDict[Key, Account] = OrderedDict()
        self._touched: dict[Key, Account] = {}
        self._ending: dict[Key, str] = {}
        """Containers whose tasks a command is about to end, and its id."""
        self._dark: int | None = None
        """Behind which position nothing is known of containers that have not moved since; None where no gap is open."""
        self.anomalies = 0
        """Events since the start that could not be true."""

    @property
    def log(self) -> str:
        """The outbox's UUID."""
        return self._log

    @property
    def last_n(self) -> int:
        """Position of the last entry given out."""
        return self._n

    def open(self, batch: Iterable[Observed]) -> list[Account | None]:
        """Return the account that each event goes to, None for one that belongs to no container.

        It reads from the outbox what is not in memory, and may be repeated where that fails.
        """
        return [self._account_of(observed) for observed in batch]

    def place(
        self, batch: abc.Sequence[Observed], accounts: abc.Sequence[Account | None], describe: Describe
    ) -> list[Entry]:
        """Return the entries of these events, in order: one each, or several parts where it is too big for one message.

        Nothing here needs the disk.

        Args:
            batch: the events.
            accounts: what `open` returned for them.
            describe: asked, once, about those of their containers that have to be described.
        """
        asked = _undescribed(batch, accounts)
        known: Mapping[Key, ContainerInfo] = describe(asked) if asked else {}
        entries: list[Entry] = []
        for observed, account in zip(batch, accounts, strict=True):
            if account is None:
                self._place_elsewhere(observed, entries)
                self._look_for_gaps(observed.event)
            else:
                if self._dark is not None and account.state.position_in(self._log) <= self._dark:
                    for one in missed(account.state, observed):
                        account.learn(one, None)
                        self._place(account, one, entries)
                if known or type(observed.event) in RECORDS:
                    account.learn(observed, known.get(_key(account)))
                if type(observed.event) in _CAUSED:
                    observed = self._with_cause(account, observed)  # noqa: PLW2901 - the same event, told better
                self._place(account, observed, entries)
        return entries

    def changed(self) -> list[ContainerState]:
        """Return the states that have changed since the last `settle`."""
        return [account.state for account in self._touched.values()]

    def settle(self) -> list[ContainerRow]:
        """Return the containers that changed since the last call, as rows for the same transaction as their entries."""
        rows = [
            ContainerRow(
                namespace=namespace,
                container=container,
                state=account.encoded(),
                deleted_at=account.over,
            )
            for (namespace, container), account in self._touched.items()
        ]
        self._touched.clear()
        while len(self._accounts) > REMEMBERED:
            self._accounts.popitem(last=False)
        return rows

    def state(self, namespace: str, container: str) -> ContainerState:
        """Return what is known of a container."""
        account = self._accounts.get((namespace, container))
        return self._opened(namespace, container).state if account is None else account.state

    def states(self) -> Iterator[ContainerState]:
        """Iterate over the states of all containers that are not gone. Not while events are placed."""
        for account in self._accounts.values():
            if account.state.status != "gone":
                yield account.state
        for row in self._memory.containers():
            if (row.namespace, row.container) not in self._accounts:
                yield decode_as(row.state, ContainerState)

    def expect_end(self, namespace: str, container: str, command_id: str | None) -> None:
        """Note that the next exit of a container's task is a command's doing, which has a checkpoint; or nobody's any more."""
        if command_id is None:
            self._ending.pop((namespace, container), None)
        else:
            self._ending[namespace, container] = command_id

    # -- inside

    def _with_cause(self, account: Account, observed: Observed) -> Observed:
        event = observed.event
        if not isinstance(event, TaskExit):
            return account.restored(observed)
        command = self._ending.pop(_key(account), None) if self._ending else None
        if command is None or event.exit_status != KILLED:  # it came to an end by itself first
            return observed
        return replace(observed, event=replace(event, cause="checkpoint"), correlation_id=command)

    def _look_for_gaps(self, event: Event) -> None:
        if isinstance(event, NodeStarted | NodeDisconnected):
            self._dark = self._n
        elif isinstance(event, NodeReconciled) and not event.audit:
            self._dark = None

    def _account_of(self, observed: Observed) -> Account | None:
        """Return the account that the event goes to; None for one that belongs to no container."""
        if observed.container is None or observed.namespace is None:
            return None
        key = (observed.namespace, observed.container)
        account = self._touched.get(key)
        if account is not None:
            return account
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = self._opened(*key)
        else:
            self._accounts.move_to_end(key)
        self._touched[key] = account
        return account

    def _opened(self, namespace: str, container: str) -> Account:
        row = self._memory.container(namespace, container)
        if row is None:
            state = ContainerState(node=self._node, namespace=namespace, container=container)
        else:
            state = decode_as(row.state, ContainerState)
        return Account(
            self._subjects.container_prefix(self._node, namespace, container),
            format_source(self._node, namespace),
            state,
            state.deleted_at if row is None or row.deleted_at is None else row.deleted_at,
        )

    def _place(self, account: Account, observed: Observed, entries: list[Entry]) -> None:
        identity = new_ulid()
        event, incarnation = account.judged(observed, identity)
        if type(event) is Anomaly:
            self.anomalies += 1
        body = self._write(account, observed, event, identity, incarnation=incarnation)
        if len(body) > MAX_BODY and account.state.labels:
            # Labels may be megabytes: they must not make events unreadable for whoever filters by their kind.
            bare = replace(account.description, labels=None)
            if type(event) in RECORDS:
                event = enriched(event, bare)
            body = self._write(account, observed, event, identity, incarnation=incarnation, described=described(bare))
        if len(body) <= MAX_BODY:
            self._enter(account, observed, event, incarnation=incarnation)
            entries.append(Entry(self._n, identity, f"{account.prefix}.{event.word}", body))
            return
        for part in parts(observed.event):
            identity = new_ulid()
            body = self._write(account, observed, part, identity, incarnation=incarnation, described=described(NOTHING))
            self._enter(account, observed, part, incarnation=incarnation)
            entries.append(Entry(self._n, identity, f"{account.prefix}.{part.word}", body))

    def _write(
        self,
        account: Account,
        observed: Observed,
        event: Event,
        identity: str,
        *,
        incarnation: str | None,
        described: bytes | None = None,
    ) -> bytes:
        return self._envelopes.write(
            observed,
            event,
            identity=identity,
            n=self._n + 1,
            sequence=account.state.sequence + 1,
            about=account.about,
            incarnation=incarnation,
            description=described or account.described,
        )

    def _enter(self, account: Account, observed: Observed, event: Event, *, incarnation: str | None) -> None:
        self._n += 1
        account.recorded = observed.recorded
        account.state = advance(
            account.state,
            event,
            time=observed.time,
            sequence=Sequence(account.state.sequence + 1),
            position=f"{self._log}:{self._n}",
            incarnation=incarnation,
        )

    def _place_elsewhere(self, observed: Observed, entries: list[Entry]) -> None:
        """Place an event that belongs to no container: to its node, or, raw, to a namespace at the most."""
        event = observed.event
        identity = new_ulid()
        body = self._node_body(observed, event, identity, getattr(event, "name", None))
        if len(body) <= MAX_BODY:
            entries.append(self._elsewhere(observed, event, identity, body))
            return
        for part in parts(event):
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
                traceparent=observed.traceparent,
                dataschema=dataschema_of(type(event)),
                data=event,
            )
        )


def _key(account: Account) -> Key:
    return account.state.namespace, account.state.container


def _undescribed(batch: abc.Sequence[Observed], accounts: abc.Sequence[Account | None]) -> Collection[Key]:
    """Return the containers that containerd should be asked about before the batch is placed."""
    keys: dict[Key, None] = {}
    for observed, account in zip(batch, accounts, strict=True):
        if account is None or not account.should_be_described(observed.event):
            continue
        key = _key(account)
        if key not in keys or type(observed.event) is ContainerCreate:
            account.was_asked_about()
        keys[key] = None
    return keys
