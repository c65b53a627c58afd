"""What `test_every_verb.py` needs: a node of each generation, and a record of what was really asked of it and done.

A test says in front which verbs with which of their options it shows. What it has shown is held against that when it ends: a
verb counts where a bridge on a real containerd answered it with `ok`, and an option where it was given there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import pytest

from bridge.client import Bus, CommandFailed, Node, Process
from bridge.model.codec import decode_as, encode_any
from bridge.model.commands import COMMANDS, OF_EVERY, PRECONDITIONS, Command, Create, Run
from bridge.model.outcomes import Outcome
from bridge.ports import CommandSender, NodePresence
from tests.fix_bridge import Bridge, Stored, is_end, until_stored
from tests.guards import needs_the_machine
from tests.testbed import BUSYBOX, Certificates, Containerd, Ctr, NatsServer, Registry

GENERATIONS = ("2.1", "1.7", "1.6")

NODE = "n1"

LENIENT = """
default = "allow"
[spec]
privileged = true
host_mounts = [{ source = "/", write = true }]
host_namespaces = ["net", "pid", "ipc", "uts", "mount"]
namespace_paths = ["/"]
capabilities = ["ALL"]
file_systems = ["*"]
annotations = ["*"]
runtimes = ["*"]
runtime_options = ["*"]
log_files = ["/"]
labels = ["*"]
hosts_dirs = ["/"]
fields = ["*"]
cgroup_paths = ["*"]
checkpoint_paths = ["/"]
trust = true
checkpoints = ["*"]
"""
"""A policy under which a spec may ask for what the tests ask for."""

F = TypeVar("F", bound=Callable[..., Any])


def options_of(verb: str) -> set[str]:
    """The options that a verb has of its own: not those of every command, and not those that it shares with another."""
    every = set(COMMANDS[verb].__struct_fields__) - {*OF_EVERY, *PRECONDITIONS}
    return every - set(Create.__struct_fields__) if verb == Run.verb else every


def shows(**verbs: str) -> Callable[[F], F]:
    """Say which verbs a test shows, each with the options that it gives; `_` stands for a dash in a verb's name."""

    def said(test: F) -> F:
        test.shows = {verb.replace("_", "-"): set(options.split()) for verb, options in verbs.items()}  # type: ignore[attr-defined]
        return test

    return said


class Heard(CommandSender):
    """A sender that notes which verbs were done, and with which options."""

    def __init__(self, sender: CommandSender) -> None:
        self._sender = sender
        self.done: dict[str, set[str]] = {}

    async def send(self, subject: str, body: bytes, *, timeout: float) -> Outcome:
        outcome = await self._sender.send(subject, body, timeout=timeout)
        if outcome.outcome == "ok":
            self.done.setdefault(outcome.verb, set()).update(json.loads(body) if body else ())
        return outcome

    async def nodes(self, *, wait: float = 0.5) -> Sequence[NodePresence]:
        return await self._sender.nodes(wait=wait)


class House:
    """One containerd, one nats-server and one bridge between them, for all tests of a generation."""

    def __init__(self, version: str, directory: Path, certificates: Certificates) -> None:
        self.host = Containerd(version)
        self.nats = NatsServer()
        self.bundles = directory / "bundles"
        self._directory = directory
        self._certificates = certificates

    def __enter__(self) -> Self:
        self.bundles.mkdir()
        (self._directory / "policy.toml").write_text(LENIENT)
        with contextlib.ExitStack() as closing:
            for server in (self.host, self.nats):
                with needs_the_machine():
                    closing.enter_context(server)
            # What Go trusts, it reads from this directory when it first needs it. The two files a container on the host's
            # network gets from it.
            trust = "mkdir -p /etc/ssl/certs && cat > /etc/ssl/certs/test.pem; touch /etc/hosts /etc/resolv.conf"
            self.host.run("sh", "-c", trust, stdin=self._certificates.ca.read_text())
            self.bridge = closing.enter_context(self._bridge(NODE))
            self.bridge.live()
            self._closing = closing.pop_all()
        return self

    def __exit__(self, *about: object) -> None:
        self._closing.close()

    @property
    def fifos(self) -> Path:
        """Where the bridge makes its FIFOs."""
        return self.host.fifo_dir / NODE

    @contextlib.contextmanager
    def foreign(self) -> Iterator[str]:
        """A second bridge on the same containerd, whose node may change containers of dockerd and of the kubelet; its name."""
        with self._bridge("n2", "--foreign") as bridge:
            bridge.live()
            yield "n2"

    def registry(self, blobs: Sequence[bytes], **options: Any) -> Registry:
        """A registry whose certificate this containerd trusts."""
        pair = (self._certificates.server, self._certificates.server_key)
        return Registry(blobs, certificate=pair, **options)

    def _bridge(self, node: str, *more: str) -> Bridge:
        return Bridge(
            *("--containerd", self.host.address, "--fifo-dir", self.host.fifo_dir / node),
            *("--bundle-root", self.bundles, "--policy", self._directory / "policy.toml"),
            *("--checkpoint-dir", self.host.shared / "checkpoints"),
            *("--nats", self.nats.url, "--node", node, "--state-dir", self._directory / node, "--commands", "all"),
            *more,
        )


class Here:
    """The whole way, client, nats-server, bridge and containerd, in a namespace that only this test has."""

    def __init__(self, house: House, ctr: Ctr, bus: Bus) -> None:
        self.house = house
        self.ctr = ctr
        self.bus = bus
        self.heard = Heard(bus._sender)
        self.node = self.of(NODE)
        self.where: Any = {"namespace": ctr.namespace}
        self.version = ctr.host.version

    def of(self, node: str) -> Node:
        """A node as this test asks it."""
        return Node(node, self.heard, self.bus.subjects, self.bus.jobs, stdio=self.bus._stdio)

    async def run(self, container: str, *command: str, **options: Any) -> int:
        """`run`, from busybox; return the pid of its task."""
        return (await self.node.run(container, Run(image=BUSYBOX, command=list(command), **options), **self.where)).pid

    async def create(self, container: str, *command: str, **options: Any) -> None:
        """`create`, from busybox."""
        await self.node.create(container, Create(image=BUSYBOX, command=list(command), **options), **self.where)

    async def says(self, container: str, *args: str, **options: Any) -> str:
        """What a program in the container writes; it has to end with 0."""
        found = await self.node.capture(container, args, **self.where, **options)
        assert found.exit_status == 0, found
        return (found.stdout.captured or b"").decode()

    async def ask(self, command: Command, container: str | None = None) -> Any:
        """The result of any command."""
        outcome = await self.node.send(command, container=container, **self.where)
        if outcome.error is not None:
            raise CommandFailed(outcome.error.code, outcome.error.message)  # type: ignore[arg-type]
        return decode_as(encode_any(outcome.result), command.result)

    async def ready(self, container: str) -> None:
        """Wait until its program has made the file /dev/shm/ready, which is new with every task."""
        pid = (await self.node.inspect(container, **self.where)).processes[0].pid
        ready = f"/proc/{pid}/root/dev/shm/ready"
        await self.until(lambda: self.ctr.host.run("test", "-e", ready, check=False).returncode == 0)

    async def read(self, process: Process) -> bytes:
        """Everything that a process writes."""
        found = b""
        async with contextlib.aclosing(process.output()) as pieces:
            async for piece in pieces:
                found += piece.data
        return found

    async def code(self, awaitable: Any) -> str:
        """The code with which it fails."""
        with pytest.raises(CommandFailed) as failed:
            await awaitable
        return failed.value.code

    async def spec(self, container: str) -> dict[str, Any]:
        """The spec of a container as `ctr` tells it: `inspect` hides what may be secret."""
        record = json.loads(await asyncio.to_thread(self.ctr, "containers", "info", container))
        spec: dict[str, Any] = record["Spec"]
        return spec

    async def listed(self, *kind: str) -> list[str]:
        """The first words of one of ctr's lists."""
        told = await asyncio.to_thread(self.ctr, *kind)
        return [line.split()[0] for line in told.splitlines() if line.strip()]

    async def inside(self, *argv: str) -> str:
        """What a program of the host writes."""
        return (await asyncio.to_thread(self.ctr.host.run, *argv)).stdout

    async def recorded(self, verb: str) -> list[dict[str, Any]]:
        """What is recorded of the commands of this verb that are for no single container, the last one's end included."""
        subject = f"containerd.events.{NODE}.{self.ctr.namespace}.-.command"

        def is_it(message: Stored) -> bool:
            return is_end(message) and message.data["verb"] == verb

        found = await asyncio.to_thread(until_stored, self.house.nats.url, is_it, subject)
        return [message.data for message in found if message.data["verb"] == verb]

    async def until(self, condition: Callable[[], Any], found: Callable[[], object] = str) -> None:
        """Wait until it is so; `condition` may be a coroutine function. Where it does not come, `found` says what there is."""
        deadline = time.monotonic() + 90
        while True:
            so = condition()
            if await so if asyncio.iscoroutine(so) else so:
                return
            assert time.monotonic() < deadline, f"it did not come true in time: {found()}"
            await asyncio.sleep(0.02)
