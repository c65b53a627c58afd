"""Three nats-servers that are one, with a breakable network between each two of them.

Servers tell one another of routes that they know and would find a way around a broken one; so each is told where the others are
and says of itself an address at which nobody listens.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from types import TracebackType
from typing import Any, Self

import nats
import nats.errors

from tests.faults.network import Network
from tests.testbed import NatsServer
from tests.testbed.ports import port_of, reserved

STREAM = "CONTAINERD_EVENTS"
NOWHERE = "127.0.0.1:1"
WITHIN_S = 120.0


class Cluster:
    """A context manager; the cluster is formed when it is entered."""

    def __init__(self) -> None:
        self.servers: list[NatsServer] = []
        self._between: dict[frozenset[int], Network] = {}
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as closing:
            places = [closing.enter_context(reserved()) for _ in range(3)]
            ports = [port_of(place) for place in places]
            for later in range(3):
                routes = [f'"nats://127.0.0.1:{ports[later]}"']  # to itself: one has to be named, also by the first
                for earlier in range(later):
                    network = closing.enter_context(Network(f"127.0.0.1:{ports[earlier]}"))
                    self._between[frozenset({earlier, later})] = network
                    routes.append(f'"nats://{network.address}"')
                config = (
                    f'cluster {{ name: c, listen: "127.0.0.1:{ports[later]}", advertise: "{NOWHERE}", no_advertise: true, '
                    f"pool_size: -1, routes: [{', '.join(routes)}] }}"
                )
                self.servers.append(closing.enter_context(NatsServer(config=config)))
            closing.callback(self._thaw)
            self._until_formed()
            self._closing = closing.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closing.close()

    def _thaw(self) -> None:
        for server in self.servers:
            with suppress(ProcessLookupError):
                server.thaw()

    def _until_formed(self) -> None:
        """Wait until the three can make a stream of three replicas."""
        deadline = time.monotonic() + WITHIN_S
        probe = json.dumps({"name": "PROBE", "subjects": ["probe"], "num_replicas": 3, "storage": "memory"}).encode()
        while "config" not in self._ask(0, "STREAM.CREATE.PROBE", probe):
            assert time.monotonic() < deadline, "the three do not find each other"
            time.sleep(0.1)
        self._ask(0, "STREAM.DELETE.PROBE")

    def leader(self, among: Sequence[int] = (0, 1, 2)) -> int:
        """Wait until these servers say that one of them leads the stream; return its number."""
        names = [server.directory.name for server in self.servers]
        deadline = time.monotonic() + WITHIN_S
        while True:
            for number in among:
                told = self._ask(number, f"STREAM.INFO.{STREAM}").get("cluster", {}).get("leader")
                if told in names and names.index(told) in among:
                    return names.index(told)
            assert time.monotonic() < deadline, "the stream has no leader"
            time.sleep(0.1)

    def step_down(self) -> None:
        """Let the stream's leader give up its place."""
        self._ask(self.leader(), f"STREAM.LEADER.STEPDOWN.{STREAM}")

    def restart(self, number: int) -> None:
        """`kill -9` of a server, which comes back."""
        self.servers[number].restart()

    @contextmanager
    def partition(self, number: int) -> Iterator[None]:
        """This server is cut off from the other two, but not from clients, for the length of the block."""
        cut = [network for pair, network in self._between.items() if number in pair]
        for network in cut:
            network.refuse()
        try:
            yield
        finally:
            for network in cut:
                network.accept()

    def _ask(self, number: int, question: str, body: bytes = b"") -> dict[str, Any]:
        with suppress(OSError, nats.errors.Error, TimeoutError):
            return asyncio.run(_api(self.servers[number].url, question, body))
        return {}


async def _api(url: str, question: str, body: bytes) -> dict[str, Any]:
    client = await nats.connect(url, allow_reconnect=False, connect_timeout=1)
    try:
        answer = await client.request(f"$JS.API.{question}", body, timeout=2)
        told: dict[str, Any] = json.loads(answer.data)
        return told
    finally:
        await client.close()
