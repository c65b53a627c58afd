"""A hub of three nats-servers and edge hosts with a leaf node each: the files of `deploy/nats/`, on hosts of a network of ours.

Every server is in a network namespace of its own. What is put in the place of the files' words are names, addresses and
passwords, and a second between two pings instead of five.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.request import urlopen

import nats
import nats.errors

from tests.faults.cluster import WITHIN_S
from tests.testbed import NatsServer
from tests.testbed.lan import Lan

__all__ = ["Topology"]

DEPLOY: Final = Path(__file__).parents[2] / "deploy" / "nats"
HUBS: Final = ("hub1", "hub2", "hub3")
PASSWORD: Final = "x"
WITNESS: Final = '{ user: "witness", password: "x" }'
"""At the hub: may do everything, and is nobody of ours."""


class Topology:
    """A context manager; all leaf nodes are connected, and the hub keeps streams, when it is entered."""

    def __init__(self, edges: Sequence[str], *, own_jetstream: Sequence[str] = (), namespace: str = "default") -> None:
        """Take what there is to be.

        Args:
            edges: the edge hosts.
            own_jetstream: those whose leaf node has JetStream too, under a domain named after the host.
            namespace: of whose containers the login `shop` is the operator.
        """
        self.edges: Final = tuple(edges)
        self.servers: Final[dict[str, NatsServer]] = {}
        self._own_jetstream = own_jetstream
        self._namespace = namespace
        self._closing = ExitStack()
        self.lan: Lan

    def __enter__(self) -> Self:
        with ExitStack() as closing:
            self.lan = closing.enter_context(Lan([*HUBS, *self.edges]))
            stores = Path(closing.enter_context(tempfile.TemporaryDirectory()))
            for host in (*HUBS, *self.edges):
                text = self._of_hub() if host in HUBS else self._of_leaf(host)
                with self.lan.at(host):
                    config = text.replace("/var/lib/nats", str(stores / host))
                    self.servers[host] = closing.enter_context(NatsServer(config=config, jetstream=None))
            self._until_formed()
            for edge in self.edges:
                self.until(partial(self.leafs, edge), f"{edge} does not connect to the hub")
            self._closing = closing.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closing.close()

    # -- who is where

    def url(self, host: str, user: str = "witness") -> str:
        """Where a client on that host logs in."""
        return self.servers[host].url.replace("//", f"//{user}:{PASSWORD}@")

    def leafs(self, host: str) -> list[str]:
        """The servers at the other ends of this server's leaf connections, as it sees them."""
        with self.lan.at(host), urlopen(f"{self.servers[host].monitor_url}/leafz", timeout=WITHIN_S) as answer:
            return [leaf["name"] for leaf in json.load(answer).get("leafs") or ()]

    @property
    def denied(self) -> list[str]:
        """What leaf nodes, and the bridges beside them, were not permitted to do."""
        return [
            line
            for host, server in self.servers.items()
            for line in server.log.splitlines()
            if "Violation" in line and (host in self.edges or "lid:" in line)
        ]

    def leader(self, stream: str) -> str:
        """The server of the hub that leads a stream."""
        found: list[str] = []

        def led() -> bool:
            for hub in HUBS:
                name = self.ask(hub, f"STREAM.INFO.{stream}").get("cluster", {}).get("leader")
                found[:] = [hub for hub in HUBS if self.servers[hub].directory.name == name]
                if found:
                    return True
            return False

        self.until(led, f"stream {stream} has no leader")
        return found[0]

    # -- what happens to it

    def cut_off(self, edge: str) -> None:
        """Pull the host's cable out; return when both ends have noticed."""
        self.lan.unplug(edge)
        name = self.servers[edge].directory.name
        self.until(lambda: not self.leafs(edge), f"{edge} does not notice")
        self.until(
            lambda: all(name not in self.leafs(hub) for hub in HUBS), f"the hub does not notice that {edge} is gone"
        )

    def plug(self, edge: str) -> None:
        """Put the cable back; return when the leaf node is connected."""
        self.lan.plug(edge)
        self.until(lambda: self.leafs(edge), f"{edge} does not come back")

    # -- asking

    def ask(self, host: str, question: str, body: Any = None, *, api: str = "$JS.API") -> dict[str, Any]:
        """What JetStream answers to somebody on that host; empty if nothing."""
        payload = b"" if body is None else json.dumps(body).encode()
        with suppress(OSError, nats.errors.Error, TimeoutError), self.lan.at(host):
            return asyncio.run(_ask(self.url(host), f"{api}.{question}", payload))
        return {}

    def until(self, true: Callable[[], Any], otherwise: str) -> None:
        """Wait for a condition."""
        deadline = time.monotonic() + WITHIN_S
        while not true():
            assert time.monotonic() < deadline, otherwise
            time.sleep(0.05)

    # -- inside

    def _until_formed(self) -> None:
        probe = {"name": "PROBE", "subjects": ["probe"], "num_replicas": 3, "storage": "memory"}
        made = lambda: "config" in self.ask("hub1", "STREAM.CREATE.PROBE", probe)  # noqa: E731
        self.until(made, "the hub is none")
        self.ask("hub1", "STREAM.DELETE.PROBE")

    def _of_hub(self) -> str:
        text = self._filled((DEPLOY / "hub.conf").read_text("utf-8"))
        sets = "\n".join(_of_edge(_included("leaf-node.conf"), edge) for edge in self.edges)
        text = text.replace('include "leaf-node.conf"', sets)
        [login] = re.findall(r'^ *\{ user: "NODE".*$', text, re.MULTILINE)
        logins = "\n".join(_of_edge(login, edge) for edge in self.edges)
        return text.replace(login, f"{logins}\n{WITNESS}")

    def _of_leaf(self, edge: str) -> str:
        text = self._filled((DEPLOY / "leaf.conf").read_text("utf-8"))
        text = text.replace('include "leaf-node.conf"', _of_edge(_included("leaf-node.conf"), edge))
        text = _of_edge(text, edge)
        if edge in self._own_jetstream:
            text = text.replace("# jetstream", "jetstream")
        return text

    def _filled(self, text: str) -> str:
        """Put our names, addresses and passwords in; the server's own name and address are the testbed's."""
        text = re.sub(r"^(server_name|listen): .*\n", "", text, flags=re.MULTILINE)
        text = re.sub(r'include "(reader|operator-namespace)\.conf"', lambda one: _included(f"{one[1]}.conf"), text)
        for word, ours in (
            *((f"HUB{number}", self.lan.address(hub)) for number, hub in enumerate(HUBS, 1)),
            *(("NAMESPACE", self._namespace), ("READER\\b", "reader"), ("OPERATOR\\b", "shop")),
            *(("change-me", PASSWORD), ('ping_interval: "5s"', 'ping_interval: "1s"')),
        ):
            text = re.sub(rf"(?<![A-Z_]){word}(?![A-Z_])", ours, text)
        return text


def _included(file: str) -> str:
    return (DEPLOY / file).read_text("utf-8")


def _of_edge(text: str, edge: str) -> str:
    return re.sub(r"\bNODE\b", edge, text.replace("CONTAINERD_LEAF_NODE", f"CONTAINERD_LEAF_OF_{edge}"))


async def _ask(url: str, subject: str, payload: bytes) -> dict[str, Any]:
    # nats-py tries a server that is not there for two minutes, whatever it is told of reconnecting.
    client = await nats.connect(url, allow_reconnect=False, connect_timeout=2, max_reconnect_attempts=1)
    try:
        told: dict[str, Any] = json.loads((await client.request(subject, payload, timeout=3)).data)
        return told
    finally:
        await client.close()
