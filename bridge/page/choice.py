"""Whose containers a page shows, as readings of the log.

Each reading has one filter: NATS can hold a login to a namespace only where a consumer has one (`deploy/nats/README.md`), and
everything that such a login may read is to be seen on its page. What is read so comes in the log's order within a reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, Final

from bridge.model.envelope import WORDS
from bridge.model.node_events import NodeEvent

__all__ = ["of_containers", "of_nodes"]

_WORDS: Final = [word for word, event in WORDS.items() if issubclass(event, NodeEvent)]


def of_containers(nodes: Sequence[str], namespaces: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return what `Bus.events` is to be asked for to have the events of containers, by what that is.

    Args:
        nodes: whose containers; all where none is named.
        namespaces: likewise.
    """
    found = {}
    for node, namespace in product(nodes or [""], namespaces or [""]):
        place = (f" in {namespace}" if namespace else "") + (f" on {node}" if node else "")
        chosen = {"node": _one(node), "namespace": _one(namespace), "node_events": False}
        found[f"the events of containers{place}"] = chosen
    return found


def of_nodes(nodes: Sequence[str], namespaces: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return likewise what gives the events of nodes themselves, heartbeats too."""
    found = {}
    for node in nodes or [""]:
        of = f" {node}" if node else "s"
        found[f"the events of node{of}"] = {"node": _one(node), "namespace": list(namespaces), "type": _WORDS}
    return found


def _one(name: str) -> list[str]:
    return [name] if name else []
