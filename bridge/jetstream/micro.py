"""A NATS micro service (ADR-32): what answers to `$SRV.PING`, `$SRV.INFO` and `$SRV.STATS`, for `nats micro ls` and for us.

Only its public face is here; taking requests is the inbox's. nats-py has a micro service too, with one subscription for
each endpoint: requests to different endpoints then overtake each other, and commands on one container must not. It also
handles one request of an endpoint at a time, and drops what is queued when it stops.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, Self

import msgspec
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg

from bridge.jetstream.errors import NATS_ERRORS, explain
from bridge.jetstream.inboxes import is_inbox
from bridge.model.identity import new_ulid
from bridge.model.nanos import format_rfc3339, now

__all__ = ["Endpoint", "MicroService", "QUEUE_GROUP", "SERVICE", "semantic_version"]

log = logging.getLogger(__name__)

SERVICE: Final = "containerd-bridge"
"""The service's name: `$SRV.INFO.containerd-bridge` finds every node."""

QUEUE_GROUP: Final = "q"
"""ADR-32's default."""

_RELEASE = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?(.*)", re.ASCII)


class Endpoint(Struct, kw_only=True):
    """One endpoint with its counts since the service started. Times are in nanoseconds."""

    name: str
    subject: str
    num_requests: int = 0
    num_errors: int = 0
    last_error: str = ""
    processing_time: int = 0

    def count(self, nanoseconds: int, error: str | None) -> None:
        """Count one request that took so long, and its error where it had one."""
        self.num_requests += 1
        self.processing_time += nanoseconds
        if error is not None:
            self.num_errors += 1
            self.last_error = error


class MicroService:
    """Answers for one instance of a service while its context lasts."""

    def __init__(
        self,
        client: Client,
        *,
        name: str,
        version: str,
        description: str,
        metadata: Mapping[str, str],
        endpoints: Sequence[Endpoint],
    ) -> None:
        self._client = client
        self._identity = {
            "name": name,
            "id": new_ulid(),
            "version": semantic_version(version),
            "metadata": dict(metadata),
        }
        self._description = description
        self._endpoints = endpoints
        self._started = ""
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        # Milliseconds: nats-py, for one, cannot read more digits.
        self._started = f"{format_rfc3339(now())[:23]}Z"
        instance = f"{self._identity['name']}.{self._identity['id']}"
        async with AsyncExitStack() as stack:
            for verb, answer in (("PING", self._ping), ("INFO", self._info), ("STATS", self._stats)):
                for suffix in ("", f".{self._identity['name']}", f".{instance}"):
                    await self._answer(stack, f"$SRV.{verb}{suffix}", answer)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _answer(self, stack: AsyncExitStack, subject: str, answer: Any) -> None:
        async def on_request(message: Msg) -> None:
            if not is_inbox(message.reply):
                return
            try:
                await self._client.publish(message.reply, msgspec.json.encode(answer()))
            except NATS_ERRORS as error:
                log.debug("%s is not answered: %s", message.subject, explain(error))

        subscription = await self._client.subscribe(subject, cb=on_request)

        async def unsubscribe() -> None:
            try:
                await subscription.unsubscribe()
            except NATS_ERRORS as error:
                log.debug("%s cannot be left: %s", subject, explain(error))

        stack.push_async_callback(unsubscribe)

    # -- the three answers

    def _ping(self) -> dict[str, Any]:
        return {"type": "io.nats.micro.v1.ping_response", **self._identity}

    def _info(self) -> dict[str, Any]:
        return {
            "type": "io.nats.micro.v1.info_response",
            **self._identity,
            "description": self._description,
            "endpoints": [
                {"name": one.name, "subject": one.subject, "queue_group": QUEUE_GROUP, "metadata": {}}
                for one in self._endpoints
            ],
        }

    def _stats(self) -> dict[str, Any]:
        return {
            "type": "io.nats.micro.v1.stats_response",
            **self._identity,
            "started": self._started,
            "endpoints": [
                {
                    **msgspec.structs.asdict(one),
                    "queue_group": QUEUE_GROUP,
                    "average_processing_time": one.processing_time // max(one.num_requests, 1),
                    "data": {},
                }
                for one in self._endpoints
            ],
        }


def semantic_version(version: str) -> str:
    """Return a version of PEP 440 as ADR-32 wants it: `0.2.0.dev1` is `0.2.0-dev1`.

    Raises:
        ValueError: it does not begin with two or three numbers.
    """
    match = _RELEASE.fullmatch(version)
    if match is None:
        raise ValueError(f"version {version!r} is not valid: it begins with two or three numbers, such as 0.1.0")
    major, minor, patch, rest = match.groups()
    suffix, plus, local = rest.partition("+")
    suffix = re.sub(r"[^0-9A-Za-z]+", "-", suffix).strip("-")
    return f"{int(major)}.{int(minor)}.{int(patch or 0)}{'-' if suffix else ''}{suffix}{plus}{local}"
