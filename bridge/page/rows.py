"""A container as a browser gets it: one flat row, with times in milliseconds, since JavaScript has no nanoseconds.

Names, labels and images are whatever somebody wrote into a container's record. They go to the browser as JSON strings, and it
shows them as text only.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from msgspec import Struct

from bridge.client import ContainerState, Nanos

__all__ = ["LONGEST", "Row", "key_of", "milliseconds", "row_of"]

LABELS: Final = 40
LONGEST: Final = 300
"""Of a container's labels so many, and of each text so much: a row is no place for a document that stands in a label."""


class Row(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One container. `key` is its path under `/api/containers/`; the rest is `ContainerState`, with what a table has room for."""

    key: str
    node: str
    namespace: str
    id: str
    status: str
    name: str | None = None
    image: str | None = None
    labels: dict[str, str] = {}
    pid: int | None = None
    incarnation: str | None = None
    incarnations: int = 0
    exited: bool = False
    exit_status: int | None = None
    lost: bool = False
    ooms: int = 0
    execs: int = 0
    checkpoints: int = 0
    anomalies: int = 0
    restored_from: str | None = None
    runtime: str | None = None
    created: int | None = None
    started: int | None = None
    exited_at: int | None = None
    paused_at: int | None = None
    updated: int | None = None
    sequence: int = 0


def key_of(node: str, namespace: str, container: str) -> str:
    """Return how a container is named between browser and page."""
    return "/".join(quote(part, safe="") for part in (node, namespace, container))


def milliseconds(moment: Nanos | None) -> int | None:
    """Return a time as JavaScript counts it."""
    return None if moment is None else int(moment) // 1_000_000


def row_of(state: ContainerState) -> Row:
    """Return a state as a row."""
    labels = list((state.labels or {}).items())[:LABELS]
    return Row(
        key=key_of(state.node, state.namespace, state.container),
        node=state.node,
        namespace=state.namespace,
        id=state.container,
        status=state.status,
        name=_short(state.name),
        image=_short(state.image),
        labels={key[:LONGEST]: value[:LONGEST] for key, value in labels},
        pid=state.pid,
        incarnation=state.incarnation,
        incarnations=state.incarnations,
        exited=state.exited,
        exit_status=state.exit_status,
        lost=state.lost,
        ooms=state.ooms,
        execs=len(state.execs),
        checkpoints=state.checkpoints,
        anomalies=state.anomalies,
        restored_from=_short(state.restored_from),
        runtime=_short(state.runtime),
        created=milliseconds(state.created_at),
        started=milliseconds(state.started_at),
        exited_at=milliseconds(state.exited_at),
        paused_at=milliseconds(state.paused_at),
        updated=milliseconds(state.updated),
        sequence=int(state.sequence),
    )


def _short(text: str | None) -> str | None:
    return None if text is None else text[:LONGEST]
