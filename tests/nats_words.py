"""A stand-in for the command `nats` of NATS, which is no Python package: it does what the words of the documentation ask for.

It is a client that is not ours, and knows only what pages use: `pub`, `sub`, `req`, `kv get`, `kv ls`, `object get`,
`stream ls`.
What it prints is made like what `nats` prints, so that a page may show it; options that it does not know are refused.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg


def say(*lines: str) -> None:
    """Print them at once, also into a pipe."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


Work = Callable[[Client, argparse.Namespace], Awaitable[None]]


async def pub(client: Client, asked: argparse.Namespace) -> None:
    await client.publish(asked.subject, asked.body.encode())
    await client.flush()
    say(f'Published {len(asked.body.encode())} bytes to "{asked.subject}"')


async def req(client: Client, asked: argparse.Namespace) -> None:
    answer = await client.request(asked.subject, asked.body.encode(), timeout=float(asked.timeout.removesuffix("s")))
    say(answer.data.decode())


async def sub(client: Client, asked: argparse.Namespace) -> None:
    seen = 0
    done = asyncio.Event()

    async def show(message: Msg) -> None:
        nonlocal seen
        seen += 1
        say(f'[#{seen}] Received on "{message.subject}"', message.data.decode(), "")
        if seen == asked.count:
            done.set()

    await client.subscribe(asked.subject, cb=show)
    await client.flush()
    say(f"Subscribing on {asked.subject}")
    await done.wait()


async def kv_get(client: Client, asked: argparse.Namespace) -> None:
    entry = await (await client.jetstream().key_value(asked.bucket)).get(asked.key)
    say((entry.value or b"").decode())


async def kv_ls(client: Client, asked: argparse.Namespace) -> None:
    prefix = f"$KV.{asked.bucket}."
    info = await client.jetstream().stream_info(f"KV_{asked.bucket}", subjects_filter=f"{prefix}>")
    for subject in sorted(info.state.subjects or {}):
        say(subject.removeprefix(prefix))


async def object_get(client: Client, asked: argparse.Namespace) -> None:
    store = await client.jetstream().object_store(asked.bucket)
    got = await store.get(asked.key)
    await asyncio.to_thread(Path(asked.output or asked.key).write_bytes, got.data or b"")


async def stream_ls(client: Client, asked: argparse.Namespace) -> None:
    for info in await client.jetstream().streams_info():
        say(info.config.name or "")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("nats", allow_abbrev=False)
    parser.add_argument("--server", "-s", default=os.environ.get("NATS_URL"))
    parser.add_argument("--inbox-prefix", default="_INBOX")
    words = parser.add_subparsers(required=True)

    def word(group: argparse._SubParsersAction[argparse.ArgumentParser], name: str, work: Work, *places: str) -> None:
        made = group.add_parser(name)
        made.set_defaults(work=work)
        for place in places:
            made.add_argument(place, nargs="?" if place == "body" else None, default="" if place == "body" else None)
        made.add_argument("--timeout", default="90s")
        made.add_argument("--count", type=int, default=0)
        made.add_argument("--output", "-O")

    for name, work in (("pub", pub), ("req", req), ("request", req)):
        word(words, name, work, "subject", "body")
    word(words, "sub", sub, "subject")
    kv = words.add_parser("kv").add_subparsers(required=True)
    word(kv, "get", kv_get, "bucket", "key")
    word(kv, "ls", kv_ls, "bucket")
    word(words.add_parser("object").add_subparsers(required=True), "get", object_get, "bucket", "key")
    word(words.add_parser("stream").add_subparsers(required=True), "ls", stream_ls)
    return parser.parse_args()


async def main() -> None:
    asked = arguments()
    client = await nats.connect(asked.server, inbox_prefix=asked.inbox_prefix.encode(), max_reconnect_attempts=1)
    try:
        await asked.work(client, asked)
    finally:
        await client.close()


if __name__ == "__main__":
    asyncio.run(main())
