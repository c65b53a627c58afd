"""Every verb once, with all that may be secret in it, and a whole command side in memory to send it to.

`EXAMPLES` has every verb of the contract; tests that go through it fail when one is missing. The containerd and the bus are the
twins of `bridge.testing`; journal, sessions and their files are real.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from bridge.control.dispatch import Dispatcher
from bridge.control.journal import Journal
from bridge.control.policy import Policy
from bridge.control.record import CommandRecord
from bridge.control.removal import Removal
from bridge.control.verb import Checkpointing
from bridge.control.workshop import Workshop
from bridge.model.commands import GROUPS
from bridge.model.events import CommandRecorded, TaskCheckpointed
from bridge.model.outcomes import CommandState, Outcome
from bridge.model.subjects import CommandSubject
from bridge.policy import NO_RULES, Permissions, RuleBook
from bridge.policy.permissions import as_it_stands
from bridge.ports import CommandRequest
from bridge.stdio.sessions import Sessions
from bridge.testing import MemoryCheckpoints, MemoryContainerd, MemoryStdio, Program
from bridge.testing.images import memory_image

MARK: Final = "canary-of-8a1f"
"""Stands wherever something may be secret."""

PASSWORD: Final = "canary-of-a-registry"

IMAGE: Final = "docker.io/library/web:1"
REMOTE: Final = "docker.io/library/far:1"

ON: Final = "web.1"
"""A container that runs."""

EXAMPLES: Final[dict[str, tuple[str | None, dict[str, Any]]]] = {
    "attach": (ON, {"exec_id": "shell"}),
    "cancel": (None, {"command": "c-1"}),
    "checkpoint": (ON, {"name": "first"}),
    "checkpoint-remove": (ON, {"name": "kept"}),
    "close-stdin": (ON, {"exec_id": "shell"}),
    "create": (
        "new.1",
        {"image": IMAGE, "command": ["sh", "-c", MARK], "env": [f"TOKEN={MARK}"], "annotations": {"note": MARK}},
    ),
    "delete": (ON, {"force": True}),
    "exec": (ON, {"args": ["sh", MARK], "env": {"TOKEN": MARK}, "mode": "detached"}),
    "images": (None, {}),
    "import": (None, {"bucket": "containerd-archives", "object": "an-archive"}),
    "inspect": (ON, {}),
    "kill": (ON, {"signal": "USR1"}),
    "list": (None, {}),
    "migrate": (ON, {"to": "n2"}),
    "migrate-abandon": (ON, {}),
    "pause": (ON, {}),
    "pids": (ON, {}),
    "pull": (None, {"image": REMOTE, "username": "canary-of-ann", "password": PASSWORD}),
    "receive": ("new.1", {"migration": "m-1", "source": "n2"}),
    "resize": (ON, {"exec_id": "shell", "width": 80, "height": 24}),
    "restart": (ON, {"grace": 0}),
    "restore": ("new.1", {"checkpoint": "n1.default.web=2E1.kept"}),
    "resume": (ON, {}),
    "rmi": (None, {"image": IMAGE, "force": True}),
    "run": ("new.1", {"image": IMAGE, "command": ["sh", MARK], "env": [f"TOKEN={MARK}"]}),
    "start": ("idle.1", {}),
    "stats": (ON, {}),
    "stop": (ON, {"grace": 0}),
    "update": (ON, {"pids_limit": 50, "annotations": {"note": MARK}}),
    "version": (None, {}),
    "wait": (ON, {"timeout": 0}),
}
"""Verb -> its container, None for a namespace or the node, and its options."""

SECRETS: Final = RuleBook(default="allow", spec=Permissions(annotations=["*"]))
"""Rules that let the examples do what they say."""


class Side:
    """The command side of a node `n1` with a few containers, and everything that it tells anybody."""

    def __init__(self, directory: Path, book: RuleBook, *, observing: bool) -> None:
        self.directory = directory
        self.events: list[CommandRecorded] = []
        self.told: list[CommandState] = []
        self.containerd = MemoryContainerd()
        self.bus = MemoryStdio()
        self.catalogue = MemoryCheckpoints(node="n1")
        self.checkpointed: list[tuple[TaskCheckpointed, str, str, str]] = []
        self.policy = Policy(groups=GROUPS, book=book, resolve=as_it_stands)
        self._observing = observing
        self.dispatcher: Dispatcher
        self.journal: Journal

    async def furnish(self, stack: AsyncExitStack) -> None:
        memory = self.containerd
        memory.put_image("default", memory_image(IMAGE, {"Cmd": ["serve"]}))
        memory.put_image("default", memory_image("docker.io/library/busybox:latest"))
        memory.registry[REMOTE] = memory_image(REMOTE, {"Cmd": ["serve"]})
        memory.programs["sh"] = Program()
        await memory.run("default", ON)
        memory.add("default", "idle.1")
        sessions = await stack.enter_async_context(
            Sessions(
                "n1",
                directory=self.directory / "stdio",
                fifo_dir=self.directory / "fifo",
                boot="boot-1",
                tasks=memory.runtime.tasks,
                bus=self.bus,
                lines=self.bus,
            )
        )
        stack.push_async_callback(self._end_all)
        removal = await stack.enter_async_context(Removal("n1", memory.runtime))
        self.journal = stack.enter_context(Journal(self.directory / "journal.db"))
        self.dispatcher = Dispatcher(
            "n1",
            memory.runtime,
            policy=self.policy,
            record=CommandRecord(lambda _ns, _c, event, _id: self.events.append(event), observing=self._observing),
            journal=self.journal,
            standing=self.told.append,
            sessions=sessions,
            removing=removal,
            checkpointing=Checkpointing(
                self.catalogue, Workshop(self.directory / "checkpoints", "n1"), self.happened, lambda *_: None
            ),
        )
        await self.ask("checkpoint", ON, name="kept")
        self.events.clear()
        self.told.clear()

    def happened(self, event: TaskCheckpointed, namespace: str, container: str, command_id: str) -> None:
        self.checkpointed.append((event, namespace, container, command_id))

    async def _end_all(self) -> None:
        for one in self.containerd.containers.values():
            if one.task is not None and one.task.info.status != "stopped":
                one.task.end(0)

    async def ask(
        self,
        verb: str,
        container: str | None = None,
        *,
        body: bytes | None = None,
        via: Any = "request",
        **options: Any,
    ) -> Outcome:
        """Send a command, for a namespace where it is for no container."""
        namespace = None if verb in {"version", "cancel"} else "default"
        sent = json.dumps(options).encode() if body is None else body
        subject = CommandSubject("n1", namespace, container, verb)
        return await self.dispatcher.handle(CommandRequest(subject=subject, body=sent, via=via))

    async def example(self, verb: str, **more: Any) -> Outcome:
        """Send the example of a verb."""
        container, options = EXAMPLES[verb]
        return await self.ask(verb, container, **{**options, **more})

    def of(self, command_id: str) -> list[CommandRecorded]:
        """The events of one command."""
        return [event for event in self.events if event.command_id == command_id]

    def content(self) -> dict[str, Any]:
        """Everything that is in containerd."""
        memory = self.containerd
        return {
            "containers": {key: (one.record, one.task and one.task.info) for key, one in memory.containers.items()},
            "snapshots": dict(memory.snapshots),
            "images": dict(memory.images),
            "leases": dict(memory.leases),
            "execs": {key: one.task and sorted(one.task._execs) for key, one in memory.containers.items()},
        }

    def places(self) -> Iterator[tuple[str, bytes]]:
        """What is kept and told of commands, by where."""
        for path in sorted(self.directory.rglob("*")):
            if path.is_file():
                yield f"file {path.name}", path.read_bytes()
        yield "events", repr(self.events).encode()
        yield "bucket", repr(self.told).encode()


@asynccontextmanager
async def side(directory: Path, book: RuleBook = NO_RULES, *, observing: bool = True) -> AsyncIterator[Side]:
    """Open a command side."""
    one = Side(directory, book, observing=observing)
    async with AsyncExitStack() as stack:
        await one.furnish(stack)
        yield one
