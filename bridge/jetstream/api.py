"""Requests to JetStream's own API, as plain JSON.

nats-py's manager goes through dataclasses that drop what they do not know; a stream that was read so and written back would
lose the settings of newer servers.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import nats.errors

from bridge.jetstream.connection import REQUEST_S, Connection
from bridge.jetstream.errors import ApiError

__all__ = ["PREFIX", "api", "nobody_answers"]

PREFIX: Final = "$JS.API."
"""What its subjects begin with, where a login is in the account that has it; see `Connection.api` for the others."""


async def api(connection: Connection, what: str, body: Any = None, *, timeout: float = REQUEST_S) -> dict[str, Any]:
    """Ask JetStream and return its answer.

    Args:
        connection: where.
        what: the subject after `$JS.API.`, such as `STREAM.INFO.<stream>`.
        body: the request, JSON.
        timeout: seconds to wait for the answer.

    Raises:
        ApiError: JetStream answers with an error.
        nats.errors.Error: no answer, see `Connection.request`.
    """
    payload = b"" if body is None else msgspec.json.encode(body)
    answer = await connection.request(connection.api + what, payload, timeout=timeout)
    try:
        reply = msgspec.json.decode(answer.data, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise nats.errors.Error(f"what answers on {connection.api}{what} is not JetStream: {error}") from error
    if reply.get("error"):
        raise ApiError(reply["error"])
    return reply


def nobody_answers(connection: Connection) -> str:
    """Return what to say where nobody listens on JetStream's own API."""
    if connection.domain:
        return (
            f"JetStream domain {connection.domain} does not answer behind {connection.server}: see whether its leaf node is "
            "connected to the hub, or correct nats.domain"
        )
    return (
        f"JetStream is not enabled at {connection.server}: start nats-server with -js, or with a jetstream block, or set "
        "nats.domain if it is a leaf node"
    )
