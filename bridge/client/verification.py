"""Whether the states that are kept are what the log says, and making them so.

The log is the truth, the states beside it are made from it. What the log no longer has cannot be held against them: of a
container whose first events have expired only what the events after those tell is compared.

Who mends them never overwrites a bridge that writes meanwhile: a state is replaced only where it stands as it was read. A
bridge knows of what happened later, so it wins, and what it wrote is compared again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct

from bridge.client.filters import EventFilter
from bridge.client.folding import Folded, fold
from bridge.client.kept import Kept, as_kept, read_kept
from bridge.model.codec import encode_any, to_builtins
from bridge.model.selection import Names
from bridge.model.state import ContainerState
from bridge.model.subjects import ContainerKey, Subjects
from bridge.ports import Change, EventReader, StateStore

__all__ = ["Difference", "Kind", "Rebuilt", "Verified", "rebuild", "verify"]

Kind: TypeAlias = Literal["missing", "behind", "ahead", "different", "unreadable", "extra"]
"""`missing`: nothing is kept; `behind`: events have come since; `ahead`: the log has fewer events than the state knows of;
`different`: the same events, another state; `unreadable`: no state stands there; `extra`: the log has no such container."""

PATIENCE_S: Final = 1.0
"""How long a bridge that is just writing may take, before what it has not written yet counts as a difference."""

LOOKS: Final = 3
AT_ONCE: Final = 50
"""So many containers are looked at again by themselves; more of them with the whole log."""


class Difference(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One container whose kept state is not what the log says.

    `fields` has what is kept and what the log says, by field; `reason` says why what is kept cannot be read.
    """

    node: str
    namespace: str
    container: str
    kind: Kind
    fields: dict[str, tuple[Any, Any]] = {}
    reason: str = ""


class Verified(Struct, frozen=True, kw_only=True):
    """What was compared.

    Attributes:
        containers: how many were.
        incomplete: of how many of them the log no longer has the first events.
        expired: states of containers of which it has none any more; they cannot be compared.
        differences: what is wrong, by node, namespace and id.
    """

    containers: int
    incomplete: int
    expired: int
    differences: list[Difference]


class Rebuilt(Struct, frozen=True, kw_only=True):
    """What was done: states written and taken away, and those that a bridge wrote meanwhile, which were left to it."""

    written: int
    removed: int
    left: int
    verified: Verified


class _Comparison(Struct, frozen=True, kw_only=True):
    folded: Folded
    kept: Kept
    forgotten: bool
    differences: dict[ContainerKey, Difference]

    def should(self, key: ContainerKey) -> ContainerState | None:
        """Return what should stand under the key; None if nothing."""
        return self.folded.whole.get(key)


async def verify(
    reader: EventReader,
    store: StateStore,
    subjects: Subjects,
    *,
    nodes: Names = (),
    namespaces: Names = (),
) -> Verified:
    """Fold the log and compare. What a bridge is just writing is looked at again before it counts.

    Raises:
        LogUnavailable: the log or the store does not answer.
        LogRefused: there is none of them, or it may not be read.
    """
    first = found = await _compare(reader, store, subjects, nodes=nodes, namespaces=namespaces)
    for _ in range(LOOKS - 1):
        if not found.differences:
            break
        await asyncio.sleep(PATIENCE_S)
        containers = {key.container for key in found.differences} if len(found.differences) <= AT_ONCE else ()
        again = await _compare(reader, store, subjects, nodes=nodes, namespaces=namespaces, containers=containers)
        still = {key: again.differences[key] for key in found.differences if key in again.differences}
        found = _Comparison(folded=again.folded, kept=again.kept, forgotten=again.forgotten, differences=still)
    ends = first.folded.ends
    return Verified(
        containers=len(ends),
        incomplete=len(first.folded.incomplete),
        expired=sum(key not in ends for key in first.kept.states) if first.forgotten else 0,
        differences=[found.differences[key] for key in sorted(found.differences)],
    )


async def rebuild(
    reader: EventReader,
    store: StateStore,
    subjects: Subjects,
    *,
    nodes: Names = (),
    namespaces: Names = (),
) -> Rebuilt:
    """Write what the log says wherever something else is kept, and compare again.

    Raises:
        LogUnavailable: the log or the store does not answer; do it again.
        LogRefused: there is none of them, or it may not be read or written.
    """
    found = await _compare(reader, store, subjects, nodes=nodes, namespaces=namespaces)
    written = removed = left = 0
    for key in found.differences:
        state = found.should(key)
        value = None if state is None else encode_any(as_kept(state))
        [made] = await store.write([Change(key=key, value=value, revision=found.kept.revisions.get(key, 0))])
        if made is None:
            left += 1
        elif state is None:
            removed += 1
        else:
            written += 1
    verified = await verify(reader, store, subjects, nodes=nodes, namespaces=namespaces)
    return Rebuilt(written=written, removed=removed, left=left, verified=verified)


async def _compare(
    reader: EventReader,
    store: StateStore,
    subjects: Subjects,
    *,
    nodes: Names,
    namespaces: Names,
    containers: Names = (),
) -> _Comparison:
    # The states first: what is in them is then in the log that is read afterwards.
    kept = await read_kept(store, nodes=nodes, namespaces=namespaces, containers=containers)
    forgotten = (await reader.extent()).forgotten
    choice = EventFilter(nodes=nodes, namespaces=namespaces, containers=containers, node_events=False)
    folded = await fold(reader, choice.subjects(subjects), kept=kept.states)
    differences = {one: found for one in _keys(folded, kept) if (found := _difference(one, folded, kept, forgotten))}
    return _Comparison(folded=folded, kept=kept, forgotten=forgotten, differences=differences)


def _keys(folded: Folded, kept: Kept) -> Iterable[ContainerKey]:
    return dict.fromkeys([*folded.ends, *kept.states, *kept.unreadable])


def _difference(key: ContainerKey, folded: Folded, kept: Kept, forgotten: bool) -> Difference | None:  # noqa: FBT001
    def differs(kind: Kind, **more: Any) -> Difference:
        return Difference(node=key.node, namespace=key.namespace, container=key.container, kind=kind, **more)

    there, said, end = kept.states.get(key), folded.whole.get(key), folded.ends.get(key)
    if key in kept.unreadable:
        return differs("unreadable", reason=kept.unreadable[key])
    if said is None or end is None:
        return None if forgotten else differs("extra")
    if there is None:
        return None if said.status == "gone" or not said.seen else differs("missing")
    if there.sequence == end.sequence and (there == said or there == as_kept(said)):
        return None
    if there.sequence != end.sequence:
        kind: Kind = "behind" if there.sequence < end.sequence else "ahead"
        return differs(kind, fields={"sequence": (int(there.sequence), int(end.sequence))})
    return differs("different", fields=_fields(to_builtins(there), to_builtins(said)))


def _fields(there: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {name: (there[name], said[name]) for name in said if there[name] != said[name]}
