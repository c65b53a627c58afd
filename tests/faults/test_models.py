"""Every legal life of containers, told by a containerd that loses, doubles and reorders, to a bridge that is killed at any time.

No server: a model of containerd, the real ledger and the real outbox, and a stream that is a list. The checker judges what is in
that list like that of a real stream. The fold's own properties are in tests/unit/model/test_fold.py; here it stands behind the
ledger, and what it comes to is compared with what the model's containerd has.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from bridge.capture.ledger import Ledger
from bridge.capture.outbox import Outbox
from bridge.model import events
from bridge.model.nanos import Nanos
from bridge.model.node_events import NodeConnected, NodeDisconnected, NodeGap, NodeStarted
from bridge.model.subjects import Subjects
from bridge.ports import Entry, Observed
from tests.faults.checker import check
from tests.faults.history import Dark, History, Listed, Lists, Message, Seen, Watch
from tests.faults.history import Outbox as OutboxFile

NS = "demo"
NAMES = st.sampled_from("ab")
MOVES = st.sampled_from(["go on", "go on", "pause", "remove"])


@dataclass
class Life:
    """What the model's containerd has of a container."""

    status: str = "none"
    pid: int | None = None
    exec_id: str | None = None


class Told(RuleBasedStateMachine):
    """containerd tells, in its order; the bridge takes in, commits and appends, when hypothesis lets it."""

    def __init__(self) -> None:
        super().__init__()
        self._directory = tempfile.TemporaryDirectory(prefix="cb-model-")
        self.path = Path(self._directory.name) / "outbox.db"
        self.clock = 1_000
        self.pids = 100
        self.lives: dict[str, Life] = {}
        self.late: list[Observed] = []
        self.seen: list[Seen] = []
        self.on_the_way: list[Observed] = []
        self.committed: list[Entry] = []
        self.stream: list[Entry] = []
        self.acknowledged = 0
        self.proven: int | None = None
        self.history = History()
        self.faithful = True
        self.outbox: Outbox
        self.ledger: Ledger

    @initialize(faithful=st.booleans())
    def begin(self, faithful: bool) -> None:
        """Where nothing is lost or late, what the log comes to can be compared with what the model's containerd has."""
        self.faithful = faithful
        self._open()

    def _open(self) -> None:
        self.outbox = Outbox(self.path)
        self.outbox.open()
        self.ledger = Ledger("n1", Subjects(), self.outbox.log, self.outbox.last_n, self.outbox)
        self._node(NodeStarted(version="1", pid=1))
        self._connect()

    def _connect(self) -> None:
        self.clock += 1
        since = None if self.proven is None else Nanos(self.proven)
        self._node(NodeGap(since=since, until=Nanos(self.clock), reason="it ended", cause="stream-ended"))
        self._node(NodeConnected(containerd_version="2", containerd_revision="r"))
        self.clock += 1

    def _node(self, event: Any) -> None:
        moment = Nanos(self.clock)
        self.on_the_way.append(Observed(event=event, namespace=None, container=None, time=moment, recorded=moment))

    # -- what containerd sends

    def _send(self, event: Any, container: str, *, late: bool = False) -> None:
        self.clock += 1
        moment = Nanos(self.clock)
        observed = Observed(event=event, namespace=NS, container=container, time=moment, recorded=moment)
        if late and not self.faithful:
            self.late.append(observed)
        else:
            self._publish(observed)

    def _publish(self, observed: Observed) -> None:
        self.clock += 1
        event = observed.event
        self.seen.append(
            Seen(
                namespace=NS,
                container=observed.container or "",
                word=event.word,
                time=observed.time,
                seen=self.clock,
                pid=getattr(event, "pid", None),
                exit_status=getattr(event, "exit_status", None),
            )
        )
        self.on_the_way.append(observed)

    @rule(moves=st.lists(st.tuples(NAMES, MOVES, st.booleans(), st.integers(0, 255)), min_size=1, max_size=12))
    def life_goes_on(self, moves: list[tuple[str, str, bool, int]]) -> None:
        for name, move, late, status in moves:
            life = self.lives.get(name)
            if life is None:
                self.lives[name] = Life()
                self._send(events.ContainerCreate(id=name, image="i", runtime="r"), name)
            elif move == "remove" and life.status == "none":
                del self.lives[name]
                self._send(events.ContainerDelete(id=name), name)
            elif move == "pause":
                self._pause(name, life)
            else:
                self._go_on(name, life, late=late, status=status)

    def _go_on(self, name: str, life: Life, *, late: bool, status: int) -> None:
        """To the next thing in a task's life."""
        match life.status:
            case "none":
                self.pids += 1
                life.status, life.pid = "created", self.pids
                self._send(events.TaskCreate(container_id=name, pid=self.pids), name)
            case "created":
                life.status = "running"
                self._send(events.TaskStart(container_id=name, pid=life.pid or 0), name, late=late)
            case "running":
                life.status = "stopped"
                told = events.TaskExit(container_id=name, id=name, pid=life.pid or 0, exit_status=status)
                self._send(told, name, late=late)
            case "stopped":
                self._send(events.TaskDelete(container_id=name, pid=life.pid or 0, exit_status=status), name, late=late)
                life.status, life.pid = "none", None

    def _pause(self, name: str, life: Life) -> None:
        if life.status == "running":
            life.status = "paused"
            self._send(events.TaskPaused(container_id=name), name)
        elif life.status == "paused":
            life.status = "running"
            self._send(events.TaskResumed(container_id=name), name)

    @precondition(lambda self: self.late)
    @rule(data=st.data())
    def a_shim_tries_again(self, data: st.DataObject) -> None:
        """What was late comes, in whatever order, and perhaps it was delivered the first time and comes twice."""
        number = data.draw(st.integers(0, len(self.late) - 1))
        observed = self.late[number]
        if data.draw(st.booleans()):
            del self.late[number]
        self._publish(observed)

    # -- what the bridge does

    @rule()
    def it_commits_what_has_come(self) -> None:
        entries = self.ledger.place(self.on_the_way, self.ledger.open(self.on_the_way), lambda _: {})
        proven = Nanos(self.clock)
        self.outbox.commit(entries, self.ledger.settle(), self.acknowledged, proven)
        self.committed += entries
        self.proven = proven
        self.on_the_way.clear()
        if self.faithful:
            for name, life in self.lives.items():
                state = self.ledger.state(NS, name)
                assert (state.status, life.pid and state.pid) == (life.status, life.pid), name

    @rule(part=st.floats(0, 1), heard=st.booleans())
    def it_appends(self, part: float, heard: bool) -> None:
        """A part of what waits is stored; the server knows by their ids those that it has, and may not be heard."""
        waiting = [entry for entry in self.committed if entry.n > self.acknowledged]
        stored = waiting[: round(part * len(waiting))]
        known = {entry.id for entry in self.stream}
        self.stream += [entry for entry in stored if entry.id not in known]
        if heard and stored:
            self.acknowledged = stored[-1].n

    # -- what happens to the bridge

    @rule()
    def it_loses_containerd(self) -> None:
        """What was on its way is gone, and whatever is sent until the next subscription."""
        if not self.faithful:
            self.on_the_way = [one for one in self.on_the_way if one.container is None]
        self._node(NodeDisconnected(reason="it ended"))
        self._connect()

    @rule()
    def it_is_killed(self) -> None:
        if self.faithful:
            self.it_commits_what_has_come()
        self.on_the_way.clear()
        died = self.clock
        self.outbox.close()
        self.history.outboxes.append(OutboxFile.read(self.path))
        self.acknowledged = self.outbox.acknowledged
        self.clock += 5
        self.history.darks.append(Dark(since=died, until=self.clock, why="it did not run"))
        self._open()

    def teardown(self) -> None:
        if not hasattr(self, "outbox"):
            return
        try:
            self._judge()
        finally:
            self.outbox.close()
            self._directory.cleanup()

    def _judge(self) -> None:
        self.it_commits_what_has_come()
        self.it_appends(1.0, heard=True)
        history = self.history
        history.outboxes.append(OutboxFile.read(self.path))
        history.stream = [Message(at, entry.subject, entry.body) for at, entry in enumerate(self.stream, 1)]
        history.watches = [Watch(since=0, until=self.clock + 10, complete=True, seen=self.seen)]
        history.repaired = self.faithful  # the lists count, whatever gaps there were
        if self.faithful:
            listed = {name: Listed(status=life.status, pid=life.pid) for name, life in self.lives.items()}
            history.lists = [Lists(namespace=NS, containers=listed)]
        assert check(history) == []


Told.TestCase.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)


TestTold = Told.TestCase
