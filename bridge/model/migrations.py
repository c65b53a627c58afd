"""A migration as its register has it: one entry for each, which decides where the container runs.

The register is the bucket `containerd-migrations`; an entry's key is `<source>.<target>.<namespace>.<container>.<migration>`.
Each end changes it by compare-and-set, and only along `TRANSITIONS`, so at every moment both ends that read it agree on whose
turn it is:

    reserved ──> offered ──> taken ──> running ──> released
        │           │          └─────> failed
        └───────────┴────────────────> withdrawn

Until `taken` the container belongs to the source, which alone may let it run. From `taken` on it belongs to the target, which
alone may say what came of it. `running` gives it to the target for ever, `failed` and `withdrawn` give it back to the source for
ever. There is no way back and no circle, so an entry that stands in some state has never left it: comparing states is comparing
revisions.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias

from msgspec import Struct

from bridge.model.checkpoints import CheckpointKey, CheckpointRecord
from bridge.model.nanos import Nanos
from bridge.model.subjects import joined, parted

__all__ = [
    "DECIDED",
    "End",
    "Migration",
    "MigrationKey",
    "MigrationState",
    "Part",
    "TRANSITIONS",
    "check_step",
    "may_pass",
]

MigrationState: TypeAlias = Literal["reserved", "offered", "taken", "running", "released", "failed", "withdrawn"]

End: TypeAlias = Literal["source", "target", "operator"]
"""Who changes an entry. An operator does so where an end stays away; see docs/migration.md for what that one has to know."""

TRANSITIONS: Final[Mapping[tuple[MigrationState | None, MigrationState], frozenset[End]]] = MappingProxyType(
    {
        (None, "reserved"): frozenset({"source"}),
        ("reserved", "offered"): frozenset({"source"}),
        ("reserved", "withdrawn"): frozenset({"source", "operator"}),
        ("offered", "withdrawn"): frozenset({"source", "operator"}),
        ("offered", "taken"): frozenset({"target"}),
        ("taken", "running"): frozenset({"target"}),
        ("taken", "failed"): frozenset({"target", "operator"}),
        ("running", "released"): frozenset({"source"}),
    }
)
"""From and to -> who may make this step; what is not here nobody may. None is for an entry that was never written."""

DECIDED: Final[frozenset[MigrationState]] = frozenset({"released", "failed", "withdrawn"})
"""The states that nothing follows. An entry in one of them is a tombstone: it tells a node that was away what came of it."""


LONGEST: Final = 48
"""Characters of a migration's id in the names of its parts."""


def may_pass(before: MigrationState | None, after: MigrationState, end: End) -> bool:
    """Tell whether this end may change an entry in this way."""
    return end in TRANSITIONS.get((before, after), frozenset())


def check_step(before: Migration | None, after: Migration) -> None:
    """See that an entry may be changed in this way by whom it says.

    Raises:
        ValueError: it may not.
    """
    state = None if before is None else before.state
    if not may_pass(state, after.state, after.by) or (before is not None and before.key != after.key):
        raise ValueError(f"migration {after.id}: the {after.by} may not change {state or 'no entry'} to {after.state}")


class MigrationKey(NamedTuple):
    """What an entry stands under."""

    source: str
    target: str
    namespace: str
    container: str
    migration: str

    @property
    def token(self) -> str:
        """The key in its bucket."""
        return joined(self)

    @classmethod
    def parse(cls, token: str) -> MigrationKey:
        """Read what `token` gives.

        Raises:
            ValueError: it is no key of a migration.
        """
        return cls(*parted(token, len(cls._fields), "is no migration: SOURCE.TARGET.NAMESPACE.CONTAINER.ID is"))


class Part(Struct, frozen=True, kw_only=True):
    """One archive that goes over the bus for a migration.

    Attributes:
        name: of its object, among the container's checkpoints.
        size: bytes as stored.
        digest: of these.
    """

    name: str
    size: int = 0
    digest: str = ""


class Migration(Struct, frozen=True, kw_only=True):
    """One migration.

    Attributes:
        id: the `migrate` command's, and so both ends' events' `correlationid`.
        state: see above; `by` is who made the last step, and `why` says why it came to nothing.
        source: where the container is, `target` where it goes to.
        born: when the container's record was made at the source, which tells it from a later one of the same id.
        began_at: when the entry was made, `changed_at` when it was changed last; both by the clock of who did.
        record: what is migrated: image, options, what the source's host is. Nothing in it is secret.
        spec: digest of the container's spec, and `processes` how many there were when it stood still, for who compares both ends.
        needs: bytes that the target has to have room for, about.
        parts: what the target needs, in the order in which it was sent; whole from `offered` on.
        verify: whether both ends are compared; `force` whether it is tried in spite of what blocks.
        taker: who has taken it: another one each time that a target prepares itself.
        pid: of the task at the target, once it runs.
        verified: what was compared there.
    """

    id: str
    state: MigrationState
    source: str
    target: str
    namespace: str
    container: str
    born: Nanos
    began_at: Nanos
    changed_at: Nanos
    record: CheckpointRecord
    by: End = "source"
    why: str = ""
    spec: str = ""
    processes: int | None = None
    needs: int = 0
    parts: list[Part] = []
    verify: bool = False
    force: bool = False
    taker: str = ""
    pid: int = 0
    verified: list[str] = []

    @property
    def key(self) -> MigrationKey:
        """What it stands under."""
        return MigrationKey(self.source, self.target, self.namespace, self.container, self.id)


def part_key(key: MigrationKey, number: int) -> CheckpointKey:
    """Return what a part is called among the container's checkpoints: 0 for what it is, then its rounds, the last dump last.

    A migration's id may be as long as the name of a checkpoint, and then it is not all of it in there.
    """
    known = key.migration if len(key.migration) <= LONGEST else sha256(key.migration.encode()).hexdigest()[:LONGEST]
    return CheckpointKey(key.source, key.namespace, key.container, f"migration-{known}-{number}")
