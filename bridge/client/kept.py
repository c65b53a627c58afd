"""The states that are kept beside the log, one for each container, as the bridges write them."""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct
from msgspec.structs import replace

from bridge.errors import BadEnvelope
from bridge.model.codec import decode_as, encode_any
from bridge.model.limits import MAX_BODY
from bridge.model.selection import Names, names
from bridge.model.state import ContainerState
from bridge.model.subjects import ContainerKey
from bridge.ports import StateStore

__all__ = ["Kept", "as_kept", "only", "read_kept"]


def as_kept(state: ContainerState) -> ContainerState:
    """Return the state as it is kept: without its labels where it would be too big with them."""
    return state if len(encode_any(state)) <= MAX_BODY else replace(state, labels=None)


class Kept(Struct, frozen=True, kw_only=True):
    """What stands in the store: each state and its revision; `unreadable` is what is no state, and why."""

    states: dict[ContainerKey, ContainerState] = {}
    revisions: dict[ContainerKey, int] = {}
    unreadable: dict[ContainerKey, str] = {}


async def read_kept(store: StateStore, *, nodes: Names = (), namespaces: Names = (), containers: Names = ()) -> Kept:
    """Return what stands there now of these nodes, namespaces and containers.

    Raises:
        LogUnavailable: the store does not answer.
        LogRefused: there is no such store, or reading is not allowed.
    """
    wanted = names(nodes), names(namespaces), names(containers)
    kept = Kept()
    for entry in await store.read(node=only(wanted[0]), namespace=only(wanted[1])):
        if entry.value is None or any(
            chosen and name not in chosen for name, chosen in zip(entry.key, wanted, strict=True)
        ):
            continue
        kept.revisions[entry.key] = entry.revision
        try:
            kept.states[entry.key] = decode_as(entry.value, ContainerState)
        except BadEnvelope as error:
            kept.unreadable[entry.key] = str(error)
    return kept


def only(chosen: Collection[str]) -> str | None:
    """Return the one name that the store itself can look for."""
    return next(iter(chosen)) if len(chosen) == 1 else None
