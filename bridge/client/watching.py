"""The states of containers as they change, from what the bridges keep beside the log."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator

from msgspec.structs import replace

from bridge.client.reading import closing
from bridge.client.states import Places
from bridge.errors import BadEnvelope
from bridge.model.codec import decode_as
from bridge.model.selection import Selection
from bridge.model.state import ContainerState
from bridge.model.subjects import ContainerKey
from bridge.ports import StateEntry, StateStore

__all__ = ["watch"]

log = logging.getLogger(__name__)


async def watch(store: StateStore, places: Places, selection: Selection) -> AsyncGenerator[ContainerState, None]:
    """Iterate over what stands there and over what changes; `Bus.watch` says what comes when.

    Raises:
        LogUnavailable: the store does not answer, at the beginning.
        LogRefused: there is no such store, or it may not be read.
    """
    shown: dict[ContainerKey, ContainerState] = {}
    async with closing(places.follow(store)) as entries:
        async for entry in entries:
            if entry is None or not places.has(entry.key):
                continue
            before = shown.get(entry.key)
            state = _state_in(entry, before)
            if state is None:
                continue
            matches = selection.admits_state(state)
            if entry.value is None or not matches:
                shown.pop(entry.key, None)
            else:
                shown[entry.key] = state
            if state != before and (matches or before is not None):
                yield state


def _state_in(entry: StateEntry, before: ContainerState | None) -> ContainerState | None:
    """Return what an entry tells, None where that is nothing: a key that goes tells that its container is gone."""
    if entry.value is None:
        return None if before is None else replace(before, status="gone")
    try:
        return decode_as(entry.value, ContainerState)
    except BadEnvelope as error:
        log.warning(
            "what is kept of container %s on node %s is no state: %s", entry.key.container, entry.key.node, error
        )
        return None
