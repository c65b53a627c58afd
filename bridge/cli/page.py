"""`containerd-bridge page`: the page of every container, served from any machine that reaches NATS."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer
from msgspec import structs

from bridge import values
from bridge.cli.connection import ConnectionOptions, with_connection_options
from bridge.cli.options import Namespaces, NodeNames, checked
from bridge.cli.terminal import Terminal
from bridge.client import BridgeError
from bridge.config import ENVIRONMENT, Config

__all__ = ["PageHosts", "PageToken", "PageTokenFile", "page"]

HERE: Final = "127.0.0.1:9465"

PageToken: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="TOKEN", help=f"What the page asks for. Others see it here; better ${ENVIRONMENT}PAGE_TOKEN."),
]
PageTokenFile: TypeAlias = Annotated[
    Path | None, typer.Option(readable=False, metavar="FILE", help="File with that token; one is made unless given.")
]
PageHosts: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="Host name of the page (repeatable); IP addresses and localhost always are."),
]


@with_connection_options
def page(
    options: ConnectionOptions,
    *,
    http: Annotated[
        str | None,
        typer.Option(metavar="ADDR", help=f"HOST:PORT of the page ({HERE}).", callback=checked(values.address)),
    ] = None,
    page_token: PageToken = None,
    page_token_file: PageTokenFile = None,
    page_host: PageHosts = None,
    namespace: Namespaces = None,
    node: NodeNames = None,
) -> None:
    """Serve a page that shows every container, live and as it was, and sends commands.

    It prints the link that opens it. What it reads and commands, it does with the login that it is given here; whoever has the
    token can do the same. With --namespace or --node it shows only those.
    """
    found = options.load()
    settings = structs.replace(
        found,
        http=http or found.http or HERE,
        page_token=page_token or (None if page_token_file else found.page_token),
        page_token_file=page_token_file or (None if page_token else found.page_token_file),
        page_host=page_host or found.page_host,
    )
    asyncio.run(_serve(settings, options, node or [], namespace or []))


async def _serve(settings: Config, options: ConnectionOptions, nodes: list[str], namespaces: list[str]) -> None:
    from bridge import health  # noqa: PLC0415 - what the other commands have no use for
    from bridge.page import Alone, door_of, mounted  # noqa: PLC0415 - likewise

    asked_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked_to_stop.set)
    assert settings.http_address is not None
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(health.bind(settings.http_address))
        door = door_of(settings, listener)
        nats = options.nats_config(settings)
        shown = await stack.enter_async_context(mounted(settings, nats, door, nodes=nodes, namespaces=namespaces))
        serving = await stack.enter_async_context(health.serve(listener, Alone(shown), page=shown, ending=shown.end))
        Terminal().line(door.link(listener) if door.made else door.address(listener))
        ended = asyncio.create_task(serving.ended())
        stopped = asyncio.create_task(asked_to_stop.wait())
        await asyncio.wait((ended, stopped), return_when=asyncio.FIRST_COMPLETED)
        failed = ended.result() if ended.done() else None
        for task in (ended, stopped):
            task.cancel()
    if failed is not None:
        raise BridgeError(failed)
