"""What containerd says there is now, as opposed to what it tells as it happens.

It is called an inventory because "snapshot" is containerd's word for a file system.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol, TypeAlias

from msgspec import Struct

from bridge.model.nanos import Nanos
from bridge.model.outcomes import ContainerInfo

__all__ = ["ContainerId", "Inventory", "InventorySource"]

ContainerId: TypeAlias = tuple[str, str]
"""Namespace and id."""


class Inventory(Struct, frozen=True, kw_only=True):
    """The containers that there are, with their tasks, as containerd listed them between `before` and `after`.

    It is no single moment: records are listed before tasks, and one namespace after the other. What happened meanwhile may
    be in it or not.

    Attributes:
        before: when containerd was first asked, by our clock; `after`, when its last answer was there.
        namespaces: those that it covers; None for all, also for such as did not exist.
        containers: the records without spec, each with its task where it has one. The status `unknown` is that of a task
            whose shim did not answer.
        bare: tasks whose record is not there. containerd lets go of a record under a task, but nobody can reach that any more.
        execs: the ids of the execs that run, of those containers that were asked about and could be; a container that is
            missing here is one of which nothing is known.
        in_part: containers of which somebody else knows more than is said here: that they have no other labels, nor another
            name, cannot be told from it.
    """

    before: Nanos
    after: Nanos
    namespaces: frozenset[str] | None = None
    containers: Mapping[ContainerId, ContainerInfo] = {}
    bare: frozenset[ContainerId] = frozenset()
    execs: Mapping[ContainerId, frozenset[str]] = {}
    in_part: frozenset[ContainerId] = frozenset()

    def covers(self, namespace: str) -> bool:
        """Tell whether a container of this namespace would be in it."""
        return self.namespaces is None or namespace in self.namespaces


class InventorySource(Protocol):
    """Lists what there is."""

    async def take(
        self, namespaces: Collection[str] | None = None, *, execs_of: Collection[ContainerId] = ()
    ) -> Inventory:
        """List the containers and tasks of these namespaces, of all of them with None.

        Everything that had happened before the call is in it.

        Args:
            namespaces: which. One that does not exist has no containers.
            execs_of: containers whose running execs are asked for too; each costs a call.

        Raises:
            InventoryFailed: containerd does not answer, or not in time. A subscription to it may live on; ask again.
        """
        ...
