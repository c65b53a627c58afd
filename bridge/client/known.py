"""Every node that has a bridge: those that take commands answer for themselves, the others stand in the bucket of nodes."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from bridge.model.nodes import NodeRecord
from bridge.ports import NodePresence

__all__ = ["KnownNode", "known"]


class KnownNode(Struct, frozen=True, kw_only=True):
    """A node with what is known of its bridge.

    Attributes:
        node: its name.
        version: the bridge's.
        groups: the groups of commands that it takes.
        answers: whether it answered just now; a node that takes no commands never does.
        record: its record, which the bridge renews every few seconds; None where a bridge has none, or it may not be read.
    """

    node: str
    version: str
    groups: list[str]
    answers: bool
    record: NodeRecord | None = None


def known(present: Sequence[NodePresence], records: Sequence[NodeRecord]) -> list[KnownNode]:
    """Return all of them, sorted by name. What a node answers counts for more than its record."""
    written = {record.node: record for record in records}
    answering = {one.node: one for one in present}
    found: list[KnownNode] = []
    for name in sorted(written.keys() | answering.keys()):
        one = answering.get(name) or written[name]
        found.append(
            KnownNode(
                node=name,
                version=one.version,
                groups=one.groups,
                answers=name in answering,
                record=written.get(name),
            )
        )
    return found
