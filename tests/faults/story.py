"""Histories that were made up: a legal one, told event by event, for tests to do harm to."""

from __future__ import annotations

import json
from typing import Any

from bridge.model.nanos import format_rfc3339
from tests.faults.checker import Violation
from tests.faults.history import (
    Committed,
    History,
    Listed,
    Lists,
    Made,
    Message,
    Outbox,
    Seen,
    Watch,
)

LOG, LATER_LOG = "11111111-2222-3333-4444-555555555555", "66666666-2222-3333-4444-555555555555"
NS = "demo"
KINDS = {
    "container-create": "io.containerd.container.create.v1",
    "container-delete": "io.containerd.container.delete.v1",
    "create": "io.containerd.task.create.v1",
    "start": "io.containerd.task.start.v1",
    "exit": "io.containerd.task.exit.v1",
    "exec-exit": "io.containerd.task.exec-exit.v1",
    "delete": "io.containerd.task.delete.v1",
    "anomaly": "io.containerd.bridge.anomaly.v1",
    "raw": "io.containerd.bridge.raw.v1",
    "started": "io.containerd.node.started.v1",
    "gap": "io.containerd.node.gap.v1",
    "connected": "io.containerd.node.connected.v1",
    "disconnected": "io.containerd.node.disconnected.v1",
}
NODE_DATA: dict[str, dict[str, Any]] = {
    "started": {"version": "1", "pid": 1},
    "connected": {"containerd_version": "2.1.9", "containerd_revision": "x"},
    "disconnected": {"reason": "it ended"},
}


class Story:
    """A legal history, told event by event: containerd sends it, the witness sees it, the bridge commits and stores it."""

    def __init__(self, **settings: Any) -> None:
        self.history = History(**settings)
        self.seen: list[Seen] = []
        self.committed: list[Committed] = []
        self.log = LOG
        self.clock = 1000
        self.sequences: dict[str, int] = {}
        self.node("started")
        self.gap(None, self.clock)
        self.node("connected")

    def container(self, word: str, container: str = "a", *, unseen: bool = False, **data: Any) -> Message:
        self.clock += 10
        name = {"id": container} if word.startswith("container-") else {"container_id": container}
        if word == "exit":
            name["id"] = container
        if word == "anomaly":
            data |= {"reason": "second-exit", "event_type": KINDS["exit"], "event": {**name, **data}}
        if not unseen:
            self.seen.append(
                Seen(
                    namespace=NS,
                    container=container,
                    word="exit" if word == "anomaly" else word,
                    time=self.clock,
                    seen=self.clock + 3,
                    pid=data.get("pid"),
                    exit_status=data.get("exit_status"),
                )
            )
        sequence = self.sequences[container] = self.sequences.get(container, 0) + 1
        return self._store(word, {**name, **data}, f"/containerd/n1/{NS}", container, sequence=f"{sequence:020d}")

    def exec_exit(self, container: str, number: int) -> Message:
        message = self.container("exec-exit", container, id=f"e{number}", pid=number, exit_status=number)
        self.history.made.append(made(container, number, self.clock))
        return message

    def node(self, word: str, **data: Any) -> Message:
        self.clock += 10
        return self._store(word, {**NODE_DATA.get(word, {}), **data}, "/containerd/n1", None)

    def gap(self, since: int | None, until: int) -> Message:
        told = None if since is None else format_rfc3339(since)
        return self.node("gap", since=told, until=format_rfc3339(until), reason="it ended", cause="stream-ended")

    def _store(self, word: str, data: dict[str, Any], source: str, container: str | None, **more: Any) -> Message:
        n = len(self.committed) + 1
        event = {
            "specversion": "1.0",
            "datacontenttype": "application/json",
            "id": f"id-{self.log[0]}-{n}",
            "type": KINDS[word],
            "source": source,
            "time": format_rfc3339(self.clock),
            "recordedtime": format_rfc3339(self.clock + 1),
            "position": f"{self.log}:{n}",
            "origin": "live",
            "data": data,
            **more,
        }
        if container is not None:
            event |= {"subject": container, "incarnation": "first"}
        where = f"events.n1.{NS}.{container}" if container else "nodes.n1"
        at = len(self.history.stream) + 1
        message = Message(at, f"containerd.{where}.{word}", json.dumps(event).encode())
        self.history.stream.append(message)
        self.committed.append(Committed(n, event["id"], message.subject, message.body))
        return message

    def end(self) -> History:
        history = self.history
        history.watches.append(Watch(since=500, until=self.clock + 1000, complete=True, seen=self.seen))
        history.outboxes.append(Outbox(log=self.log, last_n=len(self.committed), entries=self.committed))
        return history


def made(container: str, number: int, at: int, **more: Any) -> Made:
    return Made(namespace=NS, container=container, word="exec-exit", status=number, began=at - 1, ended=at + 1, **more)


def life(**settings: Any) -> Story:
    """Two containers: one that lives and dies, and one that goes on; then everything is quiet."""
    story = Story(**settings)
    story.container("container-create")
    story.container("create", pid=20)
    story.exec_exit("b", 1)
    story.container("start", pid=20)
    story.exec_exit("b", 2)
    story.container("container-create", "c")
    story.container("create", "c", pid=30)
    story.container("start", "c", pid=30)
    story.exec_exit("b", 3)
    story.container("exit", pid=20, exit_status=7)
    story.container("delete", pid=20, exit_status=7)
    story.exec_exit("b", 4)
    story.container("container-delete")
    story.history.lists.append(Lists(namespace=NS, containers={"c": Listed(status="running", pid=30)}))
    return story


def renumbered(stream: list[Message]) -> list[Message]:
    return [message._replace(sequence=at) for at, message in enumerate(stream, 1)]


def index_of(history: History, word: str, container: str | None = None, nth: int = 0) -> int:
    found = [
        at
        for at, message in enumerate(history.stream)
        if message.word == word and container in {None, message.event.get("subject")}
    ]
    return found[nth]


def invariants(violations: list[Violation]) -> set[str]:
    return {violation.invariant for violation in violations}
