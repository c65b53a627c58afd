"""The client for scripts: the same names as in `bridge.client`, without `await`.

    from bridge.client.sync import connect

    with connect("nats://nats.example:4222") as bus:
        for state in bus.states(label="app=web"):
            print(state.node, state.container, state.status)
        with bus.events(type="exit", since="1h", follow=False) as events:
            for event in events:
                print(event.time, event.container, event.data)
        bus.container("web.1").restart(grace=3)

Values and errors are those of `bridge.client`: import them from there.

A bus is one thread with an event loop beside yours; every call runs there, and yours waits for it. Arguments, results and errors
are those of the asynchronous methods of the same name, whose docstrings these have. What was an asynchronous iterator is one
that a `with`, or `close`, closes. Calls may come from several threads.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, ParamSpec, Self, TypeVar

from bridge.client.blocking import Iteration, Thread, Waited, iterates, makes, waits
from bridge.client.bus import Bus as AsyncBus
from bridge.client.checkpoints import Checkpoints as AsyncCheckpoints
from bridge.client.connect import connect as _connect
from bridge.client.jobs import Jobs as AsyncJobs
from bridge.client.measuring import Meter as AsyncMeter
from bridge.client.subscription import Subscription as AsyncSubscription
from bridge.client.sync_node import Container, Node, Process
from bridge.client.transport import Transport as AsyncTransport
from bridge.model.commands import Import
from bridge.model.selection import Names
from bridge.model.subjects import Subjects
from bridge.ports import StoredEvent, Tell

__all__ = [
    "Bus",
    "Checkpoints",
    "Container",
    "Iteration",
    "Jobs",
    "Meter",
    "Node",
    "Process",
    "Subscription",
    "Transport",
    "connect",
    "opened",
]


P = ParamSpec("P")
R = TypeVar("R")


class Subscription(Waited):
    """A reading under a name: `bridge.client.Subscription`, waited for.

    for event in bus.subscribe("mailer", type="oom"):
        send_mail(event)        # acknowledged when the next one is asked for
    """

    real: AsyncSubscription

    def __init__(self, thread: Thread, real: AsyncSubscription) -> None:
        super().__init__(thread, real)
        self._events = Iteration(thread, real)

    @property
    def name(self) -> str:
        """The name under which the server keeps how far it has come."""
        return self.real.name

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> StoredEvent:
        return next(self._events)

    def close(self) -> None:
        """Let go of it; what is not acknowledged comes again."""
        self._events.close()

    acknowledge = waits(AsyncSubscription.acknowledge)


class Jobs(Waited):
    """Durable jobs: `bridge.client.Jobs`, waited for."""

    states = waits(AsyncJobs.states)
    submit = waits(AsyncJobs.submit)
    refusal = waits(AsyncJobs.refusal)
    take_back = waits(AsyncJobs.take_back)
    outcome = waits(AsyncJobs.outcome)
    list = waits(AsyncJobs.list)
    show = waits(AsyncJobs.show)
    retry = waits(AsyncJobs.retry)
    drop = waits(AsyncJobs.drop)


class Checkpoints(Waited):
    """The catalogue of checkpoints: `bridge.client.Checkpoints`, waited for."""

    real: AsyncCheckpoints

    def with_key(self, key: Path) -> Checkpoints:
        """Return the same checkpoints, read with the key in this file."""
        return Checkpoints(self.thread, self.real.with_key(key))

    def fingerprints(self) -> Sequence[str]:
        """Return what the keys in that file are called; see `bridge.client.Checkpoints.fingerprints`."""
        return self.real.fingerprints()

    list = waits(AsyncCheckpoints.list)
    get = waits(AsyncCheckpoints.get)
    find = waits(AsyncCheckpoints.find)
    export = waits(AsyncCheckpoints.export)
    bring = waits(AsyncCheckpoints.bring)


class Transport(Waited):
    """What goes beside commands: `bridge.client.Transport`, waited for. What it is to `tell` it tells in the bus's thread."""

    real: AsyncTransport

    def progress(self, node: str, command_id: str, tell: Tell) -> AbstractContextManager[None]:
        """Hand over how far a command comes; see `bridge.client.Transport.progress`."""
        return self.thread.entered(self.real.progress(node, command_id, tell))

    def archive(self, file: BinaryIO, tell: Tell) -> AbstractContextManager[Import]:
        """Put an archive where a node finds it; see `bridge.client.Transport.archive`."""
        return self.thread.entered(self.real.archive(file, tell))


class Meter(Waited):
    """How much containers use: `bridge.client.Meter`, waited for."""

    look = waits(AsyncMeter.look)


class Bus(Waited):
    """The bus: `bridge.client.Bus`, waited for. Made by `connect`."""

    real: AsyncBus

    @property
    def subjects(self) -> Subjects:
        """The subjects of the bus."""
        return self.real.subjects

    @property
    def jobs(self) -> Jobs:
        """Durable jobs, and how each command stands."""
        return Jobs(self.thread, self.real.jobs)

    @property
    def checkpoints(self) -> Checkpoints:
        """The catalogue of checkpoints."""
        return Checkpoints(self.thread, self.real.checkpoints)

    @property
    def transport(self) -> Transport:
        """What goes beside commands."""
        return Transport(self.thread, self.real.transport)

    def call(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """Run anything of yours in the bus's loop, wait, and return what it returns: for what is asynchronous alone."""
        return self.thread.run(coroutine)

    end = waits(AsyncBus.end)
    events = iterates(AsyncBus.events)
    history = iterates(AsyncBus.history)
    watch = iterates(AsyncBus.watch)
    unsubscribe = waits(AsyncBus.unsubscribe)
    states = waits(AsyncBus.states)
    verify = waits(AsyncBus.verify)
    rebuild = waits(AsyncBus.rebuild)
    standings = waits(AsyncBus.standings)
    doubts = waits(AsyncBus.doubts)
    checkup = waits(AsyncBus.checkup)
    nodes = waits(AsyncBus.nodes)
    known_nodes = waits(AsyncBus.known_nodes)
    containers = waits(AsyncBus.containers)
    subscribe = makes(AsyncBus.subscribe, Subscription)

    def node(self, name: str | None = None) -> Node:
        """Return a node to command: the named one, else the only one there is; see `bridge.client.Bus.node`."""
        return Node(self.thread, self.thread.run(self.real.node(name)))

    def container(self, container: str, *, node: str | None = None, namespace: str | None = None) -> Container:
        """Find a container by its id, its name or the first digits of its id; see `bridge.client.Bus.container`."""
        found = self.thread.run(self.real.container(container, node=node, namespace=namespace))
        return Container(self.thread, found)

    def meter(self, *, nodes: Sequence[Node] = (), namespace: Names = ()) -> Meter:
        """Return what looks again and again at how much the containers of these nodes use."""
        return Meter(self.thread, self.real.meter(nodes=[node.real for node in nodes], namespace=namespace))


@contextmanager
def opened(context: AbstractAsyncContextManager[AsyncBus]) -> Iterator[Bus]:
    """Open any bus for a script: one over `bridge.testing`, say. Leaving the context closes it, and ends its thread."""
    with Thread() as thread, thread.entered(context) as bus:
        yield Bus(thread, bus)


def _opening(
    method: Callable[P, AbstractAsyncContextManager[AsyncBus]],
) -> Callable[P, AbstractContextManager[Bus]]:
    @wraps(method)
    def connect(*args: P.args, **kwargs: P.kwargs) -> AbstractContextManager[Bus]:
        return opened(method(*args, **kwargs))

    return connect


connect = _opening(_connect)
"""Connect to NATS and yield the bus; `bridge.client.connect` says what it takes and what it raises."""
