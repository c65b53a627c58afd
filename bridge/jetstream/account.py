"""What JetStream tells of our login's account, and of those who read the log from it."""

from __future__ import annotations

from typing import Any, Final

import nats.errors

from bridge.jetstream.api import api
from bridge.jetstream.connection import Connection
from bridge.jetstream.errors import NATS_ERRORS, ApiError
from bridge.ports import Account, ReaderFacts

__all__ = ["account_of", "readers_of"]

MOST: Final = 1_000
"""Consumers that are looked at; the server lists 256 at a time."""


def account_of(info: dict[str, Any]) -> Account:
    """Return what the answer to `$JS.API.INFO` says. An account with limits by tiers has none as a whole."""
    limits = info.get("limits") or {}

    def most(name: str) -> int | None:
        value = int(limits.get(name) or -1)
        return value if value > 0 else None

    return Account(
        bytes=int(info.get("storage") or 0),
        max_bytes=most("max_storage"),
        streams=int(info.get("streams") or 0),
        max_streams=most("max_streams"),
        consumers=int(info.get("consumers") or 0),
        max_consumers=most("max_consumers"),
    )


async def readers_of(connection: Connection, stream: str) -> list[ReaderFacts]:
    """Return the durable consumers of a stream, sorted by name; none where they may not be listed."""
    found: list[ReaderFacts] = []
    seen = 0
    try:
        while seen < MOST:
            answer = await api(connection, f"CONSUMER.LIST.{stream}", {"offset": seen})
            page = answer.get("consumers") or []
            found += [_reader(one) for one in page if (one.get("config") or {}).get("durable_name")]
            seen += len(page)
            if not page or seen >= int(answer.get("total") or 0):
                break
    except (ApiError, nats.errors.NoRespondersError, *NATS_ERRORS):
        return []
    return sorted(found)


def _reader(info: dict[str, Any]) -> ReaderFacts:
    return ReaderFacts(str(info["name"]), int(info.get("num_pending") or 0), int(info.get("num_ack_pending") or 0))
