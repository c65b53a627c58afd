"""What the daemon serves over HTTP: probes and figures always, the page where it is switched on.

Only who wants HTTP pays for this: the daemon imports it then.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from bridge import health
from bridge.config import Config
from bridge.errors import ConfigError
from bridge.watch import Watch

__all__ = ["check", "listen", "over_http"]

log = logging.getLogger(__name__)


def check(config: Config) -> None:
    """Find out whether `listen` would do, but for a port that is taken now: the bridge before this one may have it.

    Raises:
        ConfigError: it would not.
    """
    try:
        listen(config).close()
    except ConfigError as error:
        if not (isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EADDRINUSE):
            raise
        listen(config, any_port=True).close()


def listen(config: Config, *, any_port: bool = False) -> socket.socket:
    """Return a socket that listens where these settings say, so that what is wrong with it is known before anything has begun.

    Raises:
        ConfigError: it cannot be had, or the page would be open there to everybody.
    """
    assert config.http_address is not None
    host, port = config.http_address
    listener = health.bind((host, 0 if any_port else port))
    try:
        if config.page:
            from bridge.page import door_of  # noqa: PLC0415 - only who wants a page pays for it

            door_of(config, listener)
    except ConfigError:
        listener.close()
        raise
    return listener


@asynccontextmanager
async def over_http(
    config: Config, listener: socket.socket, progress: health.Progress, watch: Watch
) -> AsyncIterator[None]:
    """Serve while the context lasts. A server that ends by itself ends the daemon; a page that cannot read does not.

    Raises:
        ConfigError: the page cannot reach NATS.
    """
    async with AsyncExitStack() as stack:
        page, where = None, ""
        if config.page:
            from bridge.page import door_of, mounted  # noqa: PLC0415 - as above

            door = door_of(config, listener)
            page = await stack.enter_async_context(mounted(config, config.nats, door))
            where = door.link(listener) if door.made else door.address(listener)
        serving = await stack.enter_async_context(
            health.serve(listener, progress, page=page, ending=page.end if page else lambda: None)
        )
        await stack.enter_async_context(watch.task(serving.ended(), "http"))
        log.info("health and metrics on http://%s:%d", *listener.getsockname()[:2])
        if where:
            log.info("the page is at %s", where)
        yield
