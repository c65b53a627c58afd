"""Nodes, containers and processes for scripts: the part of `bridge.client.sync` that commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bridge.client.blocking import Iteration, Waited, iterates, waits
from bridge.client.container import Container as AsyncContainer
from bridge.client.node import Node as AsyncNode
from bridge.client.process import Piece
from bridge.client.process import Process as AsyncProcess
from bridge.client.remarks import Remarks
from bridge.client.sending import Sending
from bridge.model import outcomes
from bridge.model.commands import Migrate
from bridge.model.stdio import WINDOW, OutputStream

__all__ = ["Container", "Node", "Process"]


class Process(Waited):
    """A process with its stdio on the bus: `bridge.client.Process`, waited for."""

    real: AsyncProcess

    @property
    def started(self) -> outcomes.ExecResult:
        """What the node said of it at the beginning."""
        return self.real.started

    @property
    def exec_id(self) -> str | None:
        """Its name; None for the container's own process."""
        return self.real.exec_id

    @property
    def streams(self) -> tuple[OutputStream, ...]:
        """The outputs that it has."""
        return self.real.streams

    def output(self, *, since: Mapping[OutputStream, int] | None = None) -> Iteration[Piece]:
        """Iterate over its output to its end; see `bridge.client.Process.output`."""
        return Iteration(self.thread, self.real.output(since=since))

    wait = waits(AsyncProcess.wait)
    write = waits(AsyncProcess.write)
    close_stdin = waits(AsyncProcess.close_stdin)
    resize = waits(AsyncProcess.resize)
    kill = waits(AsyncProcess.kill)


class Container(Waited):
    """One container: `bridge.client.Container`, waited for."""

    real: AsyncContainer

    @property
    def node(self) -> Node:
        """The node that it is at."""
        return Node(self.thread, self.real.node)

    @property
    def namespace(self) -> str:
        """Its containerd namespace."""
        return self.real.namespace

    @property
    def id(self) -> str:
        """Its id."""
        return self.real.id

    def sending(self, how: Sending) -> Container:
        """Return the same container, to which commands that change something are sent like this."""
        return Container(self.thread, self.real.sending(how))

    def remarking(self, remarks: Remarks) -> Container:
        """Return the same container, with these remarks on every command to it."""
        return Container(self.thread, self.real.remarking(remarks))

    state = waits(AsyncContainer.state)
    watch = iterates(AsyncContainer.watch)
    events = iterates(AsyncContainer.events)
    history = iterates(AsyncContainer.history)
    inspect = waits(AsyncContainer.inspect)
    pids = waits(AsyncContainer.pids)
    stats = waits(AsyncContainer.stats)
    wait = waits(AsyncContainer.wait)
    create = waits(AsyncContainer.create)
    run = waits(AsyncContainer.run)
    start = waits(AsyncContainer.start)
    restart = waits(AsyncContainer.restart)
    update = waits(AsyncContainer.update)
    pause = waits(AsyncContainer.pause)
    resume = waits(AsyncContainer.resume)
    kill = waits(AsyncContainer.kill)
    stop = waits(AsyncContainer.stop)
    delete = waits(AsyncContainer.delete)
    resize = waits(AsyncContainer.resize)
    close_stdin = waits(AsyncContainer.close_stdin)
    checkpoint = waits(AsyncContainer.checkpoint)
    checkpoint_remove = waits(AsyncContainer.checkpoint_remove)
    restore = waits(AsyncContainer.restore)
    migrate_abandon = waits(AsyncContainer.migrate_abandon)

    def migrate(self, command: Migrate | None = None, **options: Any) -> outcomes.Migrated:
        """Move it to another node; see `bridge.client.Container.migrate`."""
        return self.thread.run(self.real.migrate(command, **options))

    def capture(self, args: Sequence[str], **options: Any) -> outcomes.ExecResult:
        """Run another process in it to its end; see `bridge.client.Container.capture`."""
        return self.thread.run(self.real.capture(args, **options))

    def exec(self, args: Sequence[str], *, window: int | None = WINDOW, **options: Any) -> Process:
        """Run another process in it and return it, running; see `bridge.client.Container.exec`."""
        return Process(self.thread, self.thread.run(self.real.exec(args, window=window, **options)))

    def attach(self, exec_id: str | None = None, *, owned: bool = False) -> Process:
        """Return a running process of it with its stdio; see `bridge.client.Node.attach`."""
        return Process(self.thread, self.thread.run(self.real.attach(exec_id, owned=owned)))


class Node(Waited):
    """One node: `bridge.client.Node`, waited for."""

    real: AsyncNode

    @property
    def name(self) -> str:
        """Its name."""
        return self.real.name

    def sending(self, how: Sending) -> Node:
        """Return the same node, to which commands that change something are sent like this."""
        return Node(self.thread, self.real.sending(how))

    def remarking(self, remarks: Remarks) -> Node:
        """Return the same node, with these remarks on every command to it."""
        return Node(self.thread, self.real.remarking(remarks))

    send = waits(AsyncNode.send)
    cancel = waits(AsyncNode.cancel)
    list = waits(AsyncNode.list)
    inspect = waits(AsyncNode.inspect)
    pids = waits(AsyncNode.pids)
    stats = waits(AsyncNode.stats)
    wait = waits(AsyncNode.wait)
    version = waits(AsyncNode.version)
    create = waits(AsyncNode.create)
    run = waits(AsyncNode.run)
    start = waits(AsyncNode.start)
    restart = waits(AsyncNode.restart)
    update = waits(AsyncNode.update)
    pause = waits(AsyncNode.pause)
    resume = waits(AsyncNode.resume)
    kill = waits(AsyncNode.kill)
    stop = waits(AsyncNode.stop)
    delete = waits(AsyncNode.delete)
    images = waits(AsyncNode.images)
    pull = waits(AsyncNode.pull)
    import_archive = waits(AsyncNode.import_archive)
    rmi = waits(AsyncNode.rmi)
    resize = waits(AsyncNode.resize)
    close_stdin = waits(AsyncNode.close_stdin)
    check_output = waits(AsyncNode.check_output)
    checkpoint = waits(AsyncNode.checkpoint)
    checkpoint_remove = waits(AsyncNode.checkpoint_remove)
    restore = waits(AsyncNode.restore)
    migrate_abandon = waits(AsyncNode.migrate_abandon)

    def migrate(self, container: str, command: Migrate | None = None, **options: Any) -> outcomes.Migrated:
        """Move a running container to another node; see `bridge.client.Node.migrate`."""
        return self.thread.run(self.real.migrate(container, command, **options))

    def capture(self, container: str, args: Sequence[str], **options: Any) -> outcomes.ExecResult:
        """Run another process in a container to its end; see `bridge.client.Node.capture`."""
        return self.thread.run(self.real.capture(container, args, **options))

    def exec(self, container: str, args: Sequence[str], *, window: int | None = WINDOW, **options: Any) -> Process:
        """Run another process in a container and return it, running; see `bridge.client.Node.exec`."""
        return Process(self.thread, self.thread.run(self.real.exec(container, args, window=window, **options)))

    def attach(
        self, container: str, exec_id: str | None = None, *, namespace: str = "default", owned: bool = False
    ) -> Process:
        """Return a running process with its stdio; see `bridge.client.Node.attach`."""
        found = self.thread.run(self.real.attach(container, exec_id, namespace=namespace, owned=owned))
        return Process(self.thread, found)

    def process(self, started: outcomes.ExecResult, container: str, **options: Any) -> Process:
        """Return the process that a result tells of; see `bridge.client.Node.process`."""
        return Process(self.thread, self.real.process(started, container, **options))
