"""A client of NATS that is not ours, and behind whose `flush` the server knows every subscription that was asked for before it.

nats-py writes the PING of a flush to the socket past its own queue, in which the SUB may still be. So whoever publishes over
another connection right behind it hears now and then, on a busy machine, that nobody listens. Ours has that mended too, see
`bridge.jetstream.client`. A test that plays somebody else on the bus takes this one.

What nats-py tells of where a bucket's listing ends is wrong now and then: where the server has handed all of it over before
nats-py asks how much is left, and none of it has been read yet, the end comes first. So `keys()` may find nothing where there
are keys, and no test goes by either: `keys_of` asks the stream, `entries_of` passes the mark of the end by.
"""

from __future__ import annotations

import asyncio
from typing import Any

from nats.aio.client import PING_PROTO, Client

__all__ = ["connect", "entries_of", "keys_of"]


class _Client(Client):
    async def _send_ping(self, future: asyncio.Future[Any] | None = None) -> None:
        self._pongs.append(asyncio.get_running_loop().create_future() if future is None else future)
        await self._send_command(PING_PROTO)
        await self._flush_pending()


async def connect(url: str, **options: Any) -> Client:
    """Connect as `nats.connect` does."""
    client = _Client()
    await client.connect(url, **options)
    return client


async def keys_of(js: Any, bucket: str) -> list[str]:
    """Return the keys of a bucket, in the order of the alphabet; those that were taken away leave a mark, and are among them."""
    prefix = f"$KV.{bucket}."
    info = await js.stream_info(f"KV_{bucket}", subjects_filter=f"{prefix}>")
    return sorted(subject.removeprefix(prefix) for subject in info.state.subjects or {})


async def entries_of(watcher: Any, count: int) -> list[Any]:
    """Return the next so many entries that somebody watches."""
    found: list[Any] = []
    while len(found) < count:
        entry = await watcher.updates(timeout=90)
        if entry is not None:
            found.append(entry)
    return found
