"""One container: what it is, what happens to it, and every command for it, without saying again where it is.

web = await bus.container("web")
if (await web.state()).status == "running":
    await web.stop(grace=3)
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from bridge.client.containers import Place
from bridge.client.history import Moment
from bridge.client.node import Node
from bridge.client.points import Point
from bridge.client.process import Process
from bridge.client.remarks import Remarks
from bridge.client.sending import Sending
from bridge.errors import CommandFailed
from bridge.model import outcomes
from bridge.model.commands import Migrate
from bridge.model.selection import Names
from bridge.model.state import ContainerState
from bridge.model.stdio import WINDOW
from bridge.ports import StoredEvent

if TYPE_CHECKING:
    from bridge.client.bus import Bus

__all__ = ["Container"]

P = ParamSpec("P")
R = TypeVar("R")


def _of(
    method: Callable[Concatenate[Node, str, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[Container, P], Coroutine[Any, Any, R]]:
    """Return a method of a node as one of a container: the same arguments but the container's id, in its own namespace."""

    @wraps(method)
    async def ask(self: Container, /, *args: P.args, **kwargs: P.kwargs) -> R:
        kwargs.setdefault("namespace", self.namespace)
        return await method(self.node, self.id, *args, **kwargs)

    return ask


class Container:
    """A container at its node. Made by `Bus.container`; nothing is sent until a method is called.

    Commands take the arguments of the methods of `bridge.client.Node` that have their names, and raise what those raise. A
    container that is deleted and made anew under the same id is the same one here.
    """

    def __init__(self, bus: Bus, place: Place) -> None:
        """Take the bus and where on it the container is."""
        self._bus = bus
        self.node = place.node
        self.namespace = place.namespace
        self.id = place.container

    def __repr__(self) -> str:
        return f"Container({self.node.name}/{self.namespace}/{self.id})"

    # -- what it is, and what happens to it

    async def state(self, *, at: Point | None = None) -> ContainerState:
        """Return what it is, or was at a point of the log; see `Bus.states`.

        Raises:
            CommandFailed: `not_found`: nothing is known of it.
            ValueError: `at` is no point, or the log does not reach back so far.
            LogUnavailable: the log, or what is kept beside it, does not answer.
            LogRefused: one of them is not there, or may not be read.
        """
        found = await self._bus.states(at=at, node=self.node.name, namespace=self.namespace, container=self.id)
        if not found:
            raise CommandFailed("not_found", f"nothing is known of container {self.id} in {self.namespace}")
        return found[0]

    def watch(self) -> AsyncGenerator[ContainerState, None]:
        """Iterate over its state: as it is, and each time that it changes; see `Bus.watch`."""
        return self._bus.watch(node=self.node.name, namespace=self.namespace, container=self.id)

    def events(
        self,
        *,
        type: Names = (),  # noqa: A002 - the word of the contract
        since: Point | None = None,
        until: Point | None = None,
        follow: bool | None = None,
    ) -> AsyncGenerator[StoredEvent, None]:
        """Iterate over its events; see `Bus.events`."""
        return self._bus.events(
            node=self.node.name,
            namespace=self.namespace,
            container=self.id,
            type=type,
            since=since,
            until=until,
            follow=follow,
        )

    def history(self, *, follow: bool = False) -> AsyncGenerator[Moment, None]:
        """Iterate over its life in the log, with the state after each event; see `Bus.history`."""
        return self._bus.history(self.id, node=self.node.name, namespace=self.namespace, follow=follow)

    # -- how commands go

    def sending(self, how: Sending) -> Container:
        """Return the same container, to which commands that change something are sent like this; see `Node.sending`."""
        return self._at(self.node.sending(how))

    def remarking(self, remarks: Remarks) -> Container:
        """Return the same container, with these remarks on every command to it; see `Node.remarking`."""
        return self._at(self.node.remarking(remarks))

    def _at(self, node: Node) -> Container:
        return Container(self._bus, Place(node=node, namespace=self.namespace, container=self.id))

    # -- commands

    inspect = _of(Node.inspect)
    pids = _of(Node.pids)
    stats = _of(Node.stats)
    wait = _of(Node.wait)
    create = _of(Node.create)
    run = _of(Node.run)
    start = _of(Node.start)
    restart = _of(Node.restart)
    update = _of(Node.update)
    pause = _of(Node.pause)
    resume = _of(Node.resume)
    kill = _of(Node.kill)
    stop = _of(Node.stop)
    delete = _of(Node.delete)
    attach = _of(Node.attach)
    resize = _of(Node.resize)
    close_stdin = _of(Node.close_stdin)
    checkpoint = _of(Node.checkpoint)
    checkpoint_remove = _of(Node.checkpoint_remove)
    restore = _of(Node.restore)
    migrate_abandon = _of(Node.migrate_abandon)

    async def exec(self, args: Sequence[str], *, window: int | None = WINDOW, **options: Any) -> Process:
        """Run another process in it and return it, running, with its stdio; see `Node.exec`."""
        return await self.node.exec(self.id, args, namespace=self.namespace, window=window, **options)

    async def capture(self, args: Sequence[str], **options: Any) -> outcomes.ExecResult:
        """Run another process in it to its end; return how it ended, and what it wrote; see `Node.capture`."""
        return await self.node.capture(self.id, args, namespace=self.namespace, **options)

    async def migrate(self, command: Migrate | None = None, **options: Any) -> outcomes.Migrated:
        """Move it to another node: `migrate(to="n2")`; see `Node.migrate`. It is looked up anew to be commanded there."""
        return await self.node.migrate(self.id, command, namespace=self.namespace, **options)
