"""What a trial leaves in the world, read through clients that are not ours: stream, states, containerd's lists, and litter.

A server that has just come back may refuse for a moment; what is asked here is asked again until it is answered.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import nats
import nats.errors
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError, ServiceUnavailableError

from bridge.model.subjects import unquote
from tests.faults.history import Kept, Listed, Lists, Message
from tests.fix_bridge import WITHIN_S, Stored, stored
from tests.testbed import Ctr

__all__ = ["Remains"]

T = TypeVar("T")

STREAM, STATES, JOBS = "CONTAINERD_EVENTS", "KV_containerd-state", "CONTAINERD_JOBS"

CTR_LEASE: Final = re.compile(r"\d+-[\w-]{4}")
"""ctr's own leases: one stays behind when containerd is killed under it."""

STATE_FILES: Final = {"lock", "outbox.db", "boot_id", "journal.db", "stdio"}

LINGERS_S: Final = 60.0
"""The consumer of a process that was killed, or cut off, goes by itself after this long."""

TAKEN_AWAY_S = 15.0
"""A consumer that nobody has asked the server to take away is there for longer than that: a minute."""


class Remains:
    """Reads what is there, as often as anybody asks."""

    def __init__(self, url: Callable[[], str], ctr: Ctr, directory: Path, fifos: Path) -> None:
        """Take where to look.

        Args:
            url: tells the address of a server.
            ctr: of the namespace.
            directory: the trial's.
            fifos: where the bridge has its FIFOs.
        """
        self._url = url
        self._ctr = ctr
        self._directory = directory
        self._fifos = fifos

    def api(self, question: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask JetStream something, or tell it, as the stream's owner can."""
        return _insist(lambda: asyncio.run(_api(self._url(), question, json.dumps(body or {}).encode())))

    def stored(self, subject: str = ">") -> list[Stored]:
        """Read the stream."""
        return _insist(lambda: stored(self._url(), subject))

    def messages(self) -> list[Message]:
        """Read the stream as the checker wants it."""
        return [Message(one.stream_sequence, one.subject, one.body, one.stored_at) for one in self.stored()]

    def states(self) -> list[Kept]:
        """Read what stands under every key of the bucket of states."""
        return _insist(lambda: asyncio.run(_states(self._url())))

    def lists(self) -> Lists:
        """Read containerd's lists."""
        containers = {name: Listed(status="none") for name in self._ctr("containers", "ls", "-q").split()}
        for name, (pid, status) in tasks(self._ctr).items():
            containers[name] = Listed(status=status.lower(), pid=pid or None)
        return Lists(namespace=self._ctr.namespace, containers=containers)

    def _consumers(self, lingers_s: float) -> list[str]:
        """Say which consumers are left; a server that was asked to take one away may do it a moment later."""
        deadline = time.monotonic() + TAKEN_AWAY_S
        while True:
            left = _insist(lambda: asyncio.run(_consumers(self._url(), lingers_s=lingers_s)))
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(0.1)

    def litter(self, *, cut_off: bool) -> Iterator[str]:
        """Say what the bridge has left behind that it should not; `cut_off` if it had no chance to clean up with NATS."""
        lingers_s = LINGERS_S if cut_off else 0.0
        yield from self._consumers(lingers_s)
        for left in sorted(os.listdir(self._directory / "state")):
            if left not in STATE_FILES:
                yield f"{left} is left in the state directory"
        for path in sorted((self._directory / "state" / "stdio").glob("*/std*")):
            yield f"{path.name} of session {path.parent.name} is left in the state directory"
        for left in sorted(os.listdir(self._fifos)) if self._fifos.exists() else ():
            yield f"{left} is left in the directory of FIFOs"
        for lease in self._ctr("leases", "ls", "-q").split():
            if not CTR_LEASE.fullmatch(lease):
                yield f"lease {lease} is left in containerd"
        for left in self._ctr.host.run("sh", "-c", "ls -d /tmp/c*d-checkpoint*", check=False).stdout.split():
            yield f"{left} is left on the host"
        if "containerd-bridge" in self._ctr.host.ctr("namespaces", "ls", "-q").split():
            yield "a namespace containerd-bridge is left in containerd"


def tasks(ctr: Ctr) -> dict[str, tuple[int, str]]:
    """Return the process and the status of every task that containerd lists."""
    lines = (line.split() for line in ctr("tasks", "ls").splitlines()[1:])
    return {name: (int(pid), status) for name, pid, status in lines}


def _insist(work: Callable[[], T]) -> T:
    """Do what a server may refuse that has just come back, until it does not."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        try:
            return work()
        except (ServiceUnavailableError, nats.errors.Error, TimeoutError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


async def _api(url: str, question: str, body: bytes) -> dict[str, Any]:
    client = await nats.connect(url)
    try:
        answer: dict[str, Any] = json.loads((await client.request(f"$JS.API.{question}", body, timeout=5)).data)
    finally:
        await client.close()
    assert "error" not in answer, answer
    return answer


async def _states(url: str) -> list[Kept]:
    """Read what stands under every key of the bucket of states; a word of this node and nothing else is there."""
    client = await nats.connect(url)
    try:
        js = client.jetstream(timeout=60)
        config = ConsumerConfig(deliver_policy=DeliverPolicy.LAST_PER_SUBJECT, ack_policy=AckPolicy.NONE)
        consumer = await js.pull_subscribe("$KV.containerd-state.>", stream=STATES, config=config)
        info = await consumer.consumer_info()
        found, pending = [], info.num_pending or 0
        while pending:
            for message in await consumer.fetch(min(500, pending), timeout=60):
                pending = message.metadata.num_pending
                if "KV-Operation" not in (message.headers or {}):  # else it says that there is nothing any more
                    namespace, container = (unquote(token) for token in message.subject.split(".")[3:])
                    found.append(Kept(namespace, container, message.data))
        await consumer.unsubscribe()
        await js.delete_consumer(STATES, info.name)
        return found
    finally:
        await client.close()


async def _consumers(url: str, *, lingers_s: float) -> list[str]:
    """Say which consumers are left that do not go by themselves within so many seconds."""
    client = await nats.connect(url)
    try:
        js = client.jetstream(timeout=60)
        found: list[str] = []
        for stream in await js.streams_info():
            name = stream.config.name
            assert name is not None
            with suppress(NotFoundError):
                for consumer in await js.consumers_info(name):
                    threshold = consumer.config.inactive_threshold
                    if name == JOBS and consumer.config.durable_name:
                        continue  # the node's own, for ever
                    if consumer.config.durable_name or not threshold or threshold > lingers_s:
                        found.append(f"consumer {consumer.name} is left on stream {name}")
        return found
    finally:
        await client.close()
