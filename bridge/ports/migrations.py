"""What control needs of the bus to move a container: the register that decides, and a way to ask the other bridge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from bridge.errors import BridgeError
from bridge.model.migrations import Migration, MigrationKey

__all__ = ["Listed", "MigrationRegister", "MovedOn", "Registered"]


class MovedOn(BridgeError):
    """The entry is not as it was read: somebody has changed it since. Read it again, and decide anew."""


class Registered(NamedTuple):
    """What stands under a key: an entry or none, and which revision a change has to expect.

    That is the one of the very last message there, which need not be the entry's own: what nobody has written is passed over.
    """

    migration: Migration | None
    revision: int


class Listed(NamedTuple):
    """An entry, and for how many seconds at least it has stood as it is, by the clock of who keeps the register."""

    migration: Migration
    age_s: float


class MigrationRegister(Protocol):
    """Where it stands how each migration is, for all nodes; see `bridge.model.migrations`.

    What is read was there when it was asked, and is not the memory of some replica.

    Every method raises:
        LogUnavailable: nobody answers. Of a change it is open then whether it was made, or will be: read again, and a change that
            expects the same revision excludes it.
        LogRefused: there is no register, or it may not be used.
    """

    async def get(self, key: MigrationKey) -> Registered:
        """Return what stands there."""
        ...

    async def list(self, node: str) -> Sequence[Listed]:
        """Return the entries that this node is the source or the target of."""
        ...

    async def change(self, standing: Registered, wanted: Migration) -> Registered:
        """Let `wanted` stand where `standing` was read, if that still stands there; return what stands there now.

        Raises:
            MovedOn: something else stands there.
            ValueError: nobody may make this step (`bridge.model.migrations.TRANSITIONS`), or not who makes it (`wanted.by`).
        """
        ...

    async def forget(self, key: MigrationKey) -> None:
        """Take away an entry that is decided; that there is none is as good."""
        ...
