"""Looking at the bus itself: what is set up there, how, and what this login may do."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol, TypeAlias

from msgspec import Struct

from bridge.model.migrations import Migration
from bridge.ports.reading import LogExtent

__all__ = [
    "Account",
    "BusFacts",
    "BusInspector",
    "CommandStore",
    "Grant",
    "Granted",
    "Holds",
    "MigrationFacts",
    "ReaderFacts",
    "RegisterFacts",
    "RoleAt",
]

Granted: TypeAlias = Literal["all", "some", "none"]


class Grant(Struct, frozen=True, kw_only=True):
    """Whether this login may do something: everywhere, in some places, or not at all."""

    action: str
    subject: str
    granted: Granted


class RoleAt(NamedTuple):
    """A role of `deploy/nats/`, and for whom: its node, its namespace, its container."""

    role: Literal["reader", "namespace", "container", "node"]
    node: str = ""
    namespace: str = ""
    container: str = ""


Holds: TypeAlias = Literal["jobs", "quarantined", "output", "commands", "checkpoints", "archives"]


class CommandStore(Struct, frozen=True, kw_only=True):
    """A stream or bucket of the command side.

    Attributes:
        name: as nats-server knows it.
        holds: jobs that wait, jobs that were put aside, the output of processes, how each command stands, the records of
            checkpoints, or their archives.
        absent: whether it is known not to be there.
        unknown: why it cannot be looked at.
        faults: in what it is weaker than a bridge needs.
        discards_new: whether it takes nothing more once it is full.
        extent: how far it reaches; None where it is absent or unknown.
    """

    name: str
    holds: Holds
    absent: bool = False
    unknown: str = ""
    faults: list[str] = []
    discards_new: bool = False
    extent: LogExtent | None = None


class MigrationFacts(Struct, frozen=True, kw_only=True):
    """What stands under a key of the register of migrations.

    Attributes:
        key: where.
        entry: the entry; None where there is none, or it cannot be read.
        age_s: for how long at least it has stood as it is.
        foreign: messages above it that no bridge has written.
    """

    key: str
    entry: Migration | None = None
    age_s: float = 0.0
    foreign: int = 0


class RegisterFacts(Struct, frozen=True, kw_only=True):
    """The register of migrations: why it cannot be looked at, in what it is weaker than needed, and what is in it."""

    name: str
    absent: bool = False
    unknown: str = ""
    faults: list[str] = []
    found: list[MigrationFacts] = []


class Account(NamedTuple):
    """What the login's account has in JetStream, and the most that it may have; None for no limit."""

    bytes: int
    max_bytes: int | None
    streams: int
    max_streams: int | None
    consumers: int
    max_consumers: int | None


class ReaderFacts(NamedTuple):
    """A durable consumer of the log: how many events wait for it, and how many it was given and has not acknowledged."""

    name: str
    waiting: int
    unacknowledged: int


class BusFacts(Struct, frozen=True, kw_only=True):
    """What there is on the bus. A sentence stands where something could not be found out; empty where it could.

    Attributes:
        server: the server that answers, as `host:port`, its `version`, and by which `way` it leads to the streams, as a clause;
            empty where they are its own.
        jetstream: why JetStream does not answer.
        max_payload: the largest message that the server takes; `needed_payload` what a bridge may send.
        stream: name of the stream of events; `no_stream` says why it cannot be looked at.
        faults: in what the stream is weaker than a bridge needs.
        discards_new: whether a full stream refuses new events rather than forget old ones.
        extent: how far it reaches.
        buckets: name of each bucket of states and nodes, and why it cannot be used.
        stores: the streams and buckets of the command side.
        register: the register of migrations, None where it was not looked at.
        account: what the account has in JetStream; None where that is not told.
        readers: the durable consumers of the log; none where they may not be listed.
        clock_ns: how far the server's clock is ahead of ours, 0 where it is not told or the way there may explain it.
        grants: what this login may do, None where the server does not tell.
    """

    server: str
    version: str
    jetstream: str
    max_payload: int
    needed_payload: int
    stream: str
    no_stream: str
    faults: list[str]
    discards_new: bool
    extent: LogExtent | None
    buckets: dict[str, str]
    stores: list[CommandStore]
    grants: list[Grant] | None
    register: RegisterFacts | None = None
    account: Account | None = None
    readers: list[ReaderFacts] = []
    clock_ns: int = 0
    way: str = ""


class BusInspector(Protocol):
    """Looks at the bus."""

    async def inspect(self, role: RoleAt | None = None) -> BusFacts:
        """Return what there is. Nothing is changed, and nothing that is wrong there is an error.

        With `role` the grants are those that this role needs.
        """
        ...
