"""Schemas on the bus: whoever has nothing but a client of NATS asks for what a message means, and any bridge answers.

    <root>.schemas.<name>           the bridge of any one node answers
    <root>.schemas.<name>.<node>    that of this node; its version may be another

A name is quoted like every token: `io=2Econtainerd=2Etask=2Eexit=2Ev1`, `command=2Estop`; it may also be `exit`, `index`,
`asyncapi`, or an envelope's whole `dataschema`. The reply's body is the document, its headers say whose; an error is told in the
headers of ADR-32, with an empty body. A bridge answers also where it takes no commands, and one that NATS does not permit to
answer does its other work. What is told here stands in the documentation too, so whom NATS lets ask is answered.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import msgspec
from nats.aio.msg import Msg

from bridge.jetstream.connection import Connection
from bridge.jetstream.errors import NATS_ERRORS, Denied, explain
from bridge.jetstream.inboxes import is_inbox
from bridge.jetstream.micro import QUEUE_GROUP, Endpoint, MicroService
from bridge.jetstream.reply import CODE_HEADER, ERROR_HEADER
from bridge.model.subjects import Subjects

__all__ = ["SCHEMAS", "telling_schemas"]

log = logging.getLogger(__name__)

SCHEMAS: Final = "containerd-bridge-schemas"
"""The micro service's name. Another one than that of commands, whose instances are the nodes that take some."""

_HEADERS: Final = 300
"""Bytes that the headers of a reply take at the most."""

_TYPES: Final = {"index": "application/json", "asyncapi": "application/vnd.aai.asyncapi+json"}


@asynccontextmanager
async def telling_schemas(
    connection: Connection, subjects: Subjects, node: str, *, version: str
) -> AsyncIterator[None]:
    """Answer while the context lasts."""
    library = _Library(connection, subjects, node, version)
    endpoints = [
        Endpoint(name="any", subject=subjects.schema("*")),
        Endpoint(name="node", subject=subjects.schema("*", node)),
    ]
    denied: list[Denied] = []
    wanted = {endpoint.subject.lower() for endpoint in endpoints}
    async with AsyncExitStack() as stack:
        async with connection.denials(lambda error: denied.append(error) if error.subject in wanted else None):
            for endpoint in endpoints:
                await _answer(connection, library, endpoint, stack)
            try:
                await connection.client.flush()
            except NATS_ERRORS as error:
                log.debug("whether schemas may be told is not known: %s", explain(error))
        if denied:
            log.warning(
                "%s, so node %s tells nobody its schemas: deploy/nats/node.conf has what it takes", denied[0], node
            )
            await stack.aclose()
            yield
            return
        service = MicroService(
            connection.client,
            name=SCHEMAS,
            version=version,
            description="JSON Schemas of everything that crosses the bus, and the AsyncAPI document",
            metadata={"node": node},
            endpoints=endpoints,
        )
        async with service:
            yield


async def _answer(connection: Connection, library: _Library, endpoint: Endpoint, stack: AsyncExitStack) -> None:
    async def on_request(message: Msg) -> None:
        if not is_inbox(message.reply):
            return
        began = time.monotonic_ns()
        body, headers = await library.reply(message.subject)
        error = headers.get(ERROR_HEADER)
        endpoint.count(time.monotonic_ns() - began, None if error is None else f"{headers[CODE_HEADER]}: {error}")
        try:
            await connection.client.publish(message.reply, body, headers=headers)
        except NATS_ERRORS as failure:
            log.debug("%s is not answered: %s", message.subject, explain(failure))

    subscription = await connection.client.subscribe(endpoint.subject, queue=QUEUE_GROUP, cb=on_request)

    async def unsubscribe() -> None:
        try:
            await subscription.unsubscribe()
        except NATS_ERRORS as error:
            log.debug("%s cannot be left: %s", endpoint.subject, explain(error))

    stack.push_async_callback(unsubscribe)


class _Library:
    """Every document by its name, made when the first one is asked for."""

    def __init__(self, connection: Connection, subjects: Subjects, node: str, version: str) -> None:
        self._connection = connection
        self._subjects = subjects
        self._headers = {"Bridge-Version": version, "Bridge-Node": node.encode("ascii", "backslashreplace").decode()}
        self._making: asyncio.Future[dict[str, bytes]] | None = None

    async def reply(self, subject: str) -> tuple[bytes, dict[str, str]]:
        """Return body and headers of the answer to a request."""
        from bridge.model.catalogue import full_name  # noqa: PLC0415 - most bridges are never asked

        try:
            asked, _ = self._subjects.parse_schema(subject)
        except ValueError as error:
            return self._error("400", str(error))
        name = full_name(asked)
        if name is None:
            sentence = f"there is no schema {asked!r} in {self._headers['Bridge-Version']}: ask for 'index'"
            return self._error("404", sentence)
        if self._making is None:
            self._making = asyncio.ensure_future(asyncio.to_thread(_documents, self._subjects.root))
        body = (await asyncio.shield(self._making))[name]
        most = self._connection.client.max_payload - _HEADERS
        if len(body) > most:
            sentence = (
                f"{name} is {len(body)} bytes, and NATS takes {most} here: containerd-bridge schema {name} shows it"
            )
            return self._error("413", sentence)
        return body, {**self._headers, "Content-Type": _TYPES.get(name, "application/schema+json")}

    def _error(self, code: str, sentence: str) -> tuple[bytes, dict[str, str]]:
        line = sentence.encode("ascii", "backslashreplace").decode()
        return b"", {**self._headers, CODE_HEADER: code, ERROR_HEADER: line[:200]}


def _documents(root: str) -> dict[str, bytes]:
    """Make all of them at once: each takes a look at every struct. In a thread, since events must not wait for it."""
    from bridge.model.asyncapi import asyncapi  # noqa: PLC0415
    from bridge.model.catalogue import index  # noqa: PLC0415
    from bridge.model.schema import schemas  # noqa: PLC0415

    found = {name.removesuffix(".json"): schema for name, schema in schemas().items()}
    found |= {"index": index(root), "asyncapi": asyncapi(root)}
    return {name: msgspec.json.encode(document) for name, document in found.items()}
