"""The page opened by its settings: what the daemon and the command line do alike."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from bridge.client import NatsConfig, connect
from bridge.config import Config
from bridge.page.application import Page, page
from bridge.page.door import Door, door_for

__all__ = ["door_of", "mounted"]


def door_of(config: Config, listener: socket.socket) -> Door:
    """Return the door that these settings ask for.

    Raises:
        ConfigError: they make none.
    """
    return door_for(token=config.page_token, file=config.page_token_file, hosts=config.page_host, listener=listener)


@asynccontextmanager
async def mounted(
    config: Config, nats: NatsConfig, door: Door, *, nodes: Sequence[str] = (), namespaces: Sequence[str] = ()
) -> AsyncIterator[Page]:
    """Connect to the bus as these settings say, and have the page over it while the context lasts.

    Raises:
        ConfigError: NATS cannot be reached, or does not let us in.
    """
    opening = connect(nats, root=config.root, state_dir=config.state_dir, name="containerd-bridge page")
    async with opening as bus, page(bus, door, nodes=nodes, namespaces=namespaces) as application:
        yield application
