"""A client of NATS that is not ours, and behind whose `flush` the server knows every subscription that was asked for before it.

nats-py writes the PING of a flush to the socket past its own queue, in which the SUB may still be. So whoever publishes over
another connection right behind it hears now and then, on a busy machine, that nobody listens. Ours has that mended too, see
`bridge.jetstream.client`. A test that plays somebody else on the bus takes this one.
"""

from __future__ import annotations

import asyncio
from typing import Any

from nats.aio.client import PING_PROTO, Client

__all__ = ["connect"]


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
