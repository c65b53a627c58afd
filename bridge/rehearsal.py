"""A whole bridge in memory, for tests of whoever uses one: containerd, the bridge itself and the bus, in one process.

    async with rehearse("n1") as stage:
        await stage.containerd("n1").run("default", "web.1")
        async with stage.bus.subscribe("mine", since=1) as events:
            ...
        stage.containerd("n1").oom("default", "web.1")

`stage.bus` is a `bridge.client.Bus` like that of `connect`; `bridge.client.sync.opened(rehearsed("n1"))` gives one for scripts.
Between the two is the real bridge: what it commits, repairs, refuses and answers is what it does on a host. Only containerd and
NATS are those of `bridge.testing`, so nothing needs root, a server or a port, and a stage is up in a fifth of a second. There
are no checkpoints and no migrations on it. What a program in a container does, a test says: `stage.containerd("n1").programs`.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Sequence,
)
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import bridge
from bridge.capture.delivery import Delivery
from bridge.capture.feed import Feed, node_observation
from bridge.capture.holder import ourselves
from bridge.capture.knowledge import Knowledge
from bridge.capture.outbox import Outbox
from bridge.capture.outbox_reader import OutboxReader
from bridge.capture.projection import Projection
from bridge.capture.recorder import Recorder
from bridge.capture.repair import Repair
from bridge.capture.room import Limits
from bridge.client import Bus, Jobs
from bridge.control.dispatch import Dispatcher
from bridge.control.jobs import Worker
from bridge.control.journal import Journal
from bridge.control.lanes import Lanes
from bridge.control.policy import Policy
from bridge.control.record import CommandRecord, observed
from bridge.control.removal import Removal
from bridge.control.telling import OnceRecorded, Teller
from bridge.errors import BridgeError, SourceLost
from bridge.model.codec import encode_any
from bridge.model.commands import COMMANDS, Group, groups_from
from bridge.model.events import CommandRecorded
from bridge.model.node_events import NodeStarted, NodeStopped
from bridge.model.state import ContainerState
from bridge.model.subjects import Subjects
from bridge.ports import Entry
from bridge.stdio.sessions import Sessions
from bridge.testing import (
    MemoryBus,
    MemoryCommands,
    MemoryContainerd,
    MemoryDurable,
    MemoryJobs,
    MemoryLog,
    MemoryNodes,
    MemoryStates,
    MemoryStdio,
    MemoryStdioOfNodes,
)

__all__ = ["Stage", "rehearse", "rehearsed"]

STOP_S: Final = 5.0
"""How long commands that are under way may take when the stage is left."""

LOOK_S: Final = 0.01
MIB: Final = 1024 * 1024


class Stage:
    """The bus in memory and the nodes on it. What can be done to each, its own class says; see `bridge.testing`."""

    def __init__(self, subjects: Subjects, log: MemoryLog | None) -> None:
        self.log = log or MemoryLog(subjects)
        """The stream of events: it can be `down`, `go_back`, lose acknowledgements."""
        self.durable = MemoryDurable(self.log)
        """The places of subscriptions."""
        self.states = MemoryStates()
        self.commands = MemoryBus(subjects)
        self.outcomes = MemoryCommands()
        self.jobs = MemoryJobs(subjects)
        self.records = MemoryNodes()
        self.stdio: dict[str, MemoryStdio] = {}
        self.hosts: dict[str, MemoryContainerd] = {}
        self._settling: list[Callable[[], Awaitable[None]]] = []
        self.bus = Bus(
            self.log,
            self.commands,
            subjects,
            self.records,
            states=self.states,
            jobs=Jobs(subjects, store=self.jobs, states=self.outcomes),
            stdio=MemoryStdioOfNodes(self.stdio),
            durable=self.durable,
        )
        """What the program under test gets: the same as from `bridge.client.connect`."""

    def containerd(self, node: str) -> MemoryContainerd:
        """Return a node's containerd: run containers there, let them end, take it down.

        Raises:
            KeyError: there is no such node on the stage.
        """
        return self.hosts[node]

    async def settled(self) -> None:
        """Wait until everything that has happened by now is in the log and in the states: gaps are repaired, outcomes told.

        For ever while a containerd or the log is down.
        """
        for settle in self._settling:
            await settle()

    @asynccontextmanager
    async def node(self, name: str, groups: Collection[Group]) -> AsyncIterator[None]:
        """Have a bridge of this name, with a containerd of its own, while the context lasts."""
        containerd = self.hosts[name] = MemoryContainerd()
        async with AsyncExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="containerd-bridge-")))
            limits = Limits(max_bytes=256 * MIB, reserve_bytes=0, retention_s=600.0)
            outbox = stack.enter_context(Outbox(directory / "outbox.db", limits))
            record = ourselves(
                name,
                log=outbox.log,
                state_dir=directory,
                lease_s=10.0,
                containerd=containerd.about.version,
                groups=sorted(groups),
            )
            self.records.bodies[name] = encode_any(record)
            stack.callback(self.records.bodies.pop, name, None)
            recorder, written = await stack.enter_async_context(self._recording(name, outbox, containerd))
            repair = Repair(containerd.inventory, recorder)
            feed = Feed(containerd.source(), recorder, repair)
            await stack.enter_async_context(_task(feed.run(), f"feed of {name}"))
            await stack.enter_async_context(
                self._commanding(name, containerd, directory, groups, recorder=recorder, feed=feed)
            )

            async def settle() -> None:
                while True:
                    with suppress(SourceLost):
                        await feed.caught_up()
                        await repair.settled.wait()
                        if feed.live.is_set():
                            break
                    await asyncio.sleep(LOOK_S)
                await written()

            self._settling.append(settle)
            await settle()
            yield
            self._settling.remove(settle)

    # -- inside

    @asynccontextmanager
    async def _recording(
        self, node: str, outbox: Outbox, containerd: MemoryContainerd
    ) -> AsyncIterator[tuple[Recorder, Callable[[], Awaitable[None]]]]:
        """Have the way from what is observed to the log; and what waits until all that was observed has gone it."""
        loop = asyncio.get_running_loop()
        reader = OutboxReader(outbox.path)
        delivery = Delivery(
            self.log,
            reader,
            node=node,
            outbox_log=outbox.log,
            acknowledged=outbox.acknowledged,
            last_n=outbox.last_n,
            acknowledged_at=outbox.acknowledged_at,
        )
        await delivery.resume()
        projection = Projection(self.states, node=node, log_id=outbox.log, reached=delivery.reached, ours=_only_one)

        def committed(entries: Sequence[Entry], states: Sequence[ContainerState]) -> None:
            loop.call_soon_threadsafe(delivery.committed, entries)
            loop.call_soon_threadsafe(projection.changed, states)

        failures: list[BaseException] = []
        recorder = Recorder(
            outbox,
            node,
            self.log.subjects,
            containerd.lookup,
            committed=committed,
            acknowledged=lambda: delivery.position,
            failed=failures.append,
        )
        async with _task(delivery.run(), f"delivery of {node}"), _task(projection.run(lambda: ()), f"states of {node}"):
            recorder.start()
            delivery.tell_backs(recorder.went_back)
            delivery.tell_gaps(lambda gap: recorder.submit(node_observation(gap)))
            recorder.submit(node_observation(NodeStarted(version=bridge.__version__, pid=0, boot_id="rehearsal")))

            async def written() -> None:
                committed_by_now = loop.create_future()

                def after(_ledger: object) -> tuple[()]:
                    loop.call_soon_threadsafe(committed_by_now.set_result, None)
                    return ()

                recorder.consult(after)
                await committed_by_now
                await delivery.settled()
                await projection.settled()

            try:
                yield recorder, written
            finally:
                recorder.submit(node_observation(NodeStopped(reason="asked to stop")))
                await asyncio.to_thread(recorder.stop, STOP_S)
                await asyncio.sleep(0)
                with suppress(TimeoutError):
                    async with asyncio.timeout(STOP_S):
                        await delivery.settled(lambda: True)
        reader.close()
        if failures:
            raise failures[0]

    @asynccontextmanager
    async def _commanding(
        self,
        node: str,
        containerd: MemoryContainerd,
        directory: Path,
        groups: Collection[Group],
        *,
        recorder: Recorder,
        feed: Feed,
    ) -> AsyncIterator[None]:
        def take(namespace: str | None, container: str | None, event: CommandRecorded, command_id: str) -> None:
            recorder.submit(observed(namespace, container, event, command_id))

        def recorded(then: Any) -> None:
            def after(_ledger: object) -> tuple[()]:
                then()
                return ()

            recorder.consult(after)

        runtime, lanes, failures = containerd.runtime, Lanes(), list[BaseException]()
        async with AsyncExitStack() as stack:
            journal = stack.enter_context(Journal(directory / "journal.db", failed=failures.append))
            teller = Teller(self.outcomes, node=node, written=OnceRecorded(recorded, journal.told))
            await stack.enter_async_context(_task(teller.run(), f"outcomes of {node}"))
            stdio = self.stdio[node] = MemoryStdio(self.log.subjects)
            sessions = await stack.enter_async_context(
                Sessions(
                    node,
                    directory=directory / "stdio",
                    fifo_dir=directory / "fifo",
                    boot=None,
                    tasks=runtime.tasks,
                    bus=stdio,
                    lines=stdio,
                )
            )
            removal = await stack.enter_async_context(Removal(node, runtime, lanes=lanes, sessions=sessions))
            dispatcher = Dispatcher(
                node,
                runtime,
                policy=Policy(groups=groups, foreign=True, resolve=lambda path: path),
                record=CommandRecord(take),
                journal=journal,
                lanes=lanes,
                removing=removal,
                sessions=sessions,
                standing=teller.tell,
                known=Knowledge(feed, recorder).state,
                bus=teller,
            )
            worker = Worker(
                self.jobs.source(node),
                dispatcher.carry_out,
                node=node,
                subjects=self.log.subjects,
                journal=journal,
                teller=teller,
            )
            inbox = self.commands.inbox(node, version=bridge.__version__, groups=sorted(groups))
            async with inbox.serve(list(COMMANDS), dispatcher.handle):
                try:
                    async with _task(worker.run(), f"jobs of {node}"):
                        yield
                finally:
                    await dispatcher.stop(within=STOP_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_S):
                    await worker.finish()
                    await teller.settled()
        if failures:
            raise failures[0]


async def _only_one() -> None:
    """Be the one bridge of the node: there is no other."""


@asynccontextmanager
async def _task(work: Coroutine[Any, Any, object], name: str) -> AsyncIterator[None]:
    """Run `work` while the context lasts; that it ended by itself is raised at the end."""
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        ended = task.done()
        task.cancel()
        await asyncio.wait([task])
        if ended:
            raise BridgeError(f"{name} ended by itself: {task.exception() or task.result()}")


@asynccontextmanager
async def rehearse(
    *nodes: str,
    commands: str = "all",
    subjects: Subjects | None = None,
    log: MemoryLog | None = None,
) -> AsyncIterator[Stage]:
    """Have a bus in memory with a bridge for each of these nodes, each with a containerd of its own.

    Args:
        nodes: their names; without any, there is only the bus.
        commands: the groups of commands that they take, as `serve --commands` has it.
        subjects: the subjects of the bus; those under `containerd` unless given.
        log: the log to begin with, such as one of `bridge.testing.Recording.replay`.

    Raises:
        ValueError: one of `commands` is no group.
    """
    stage = Stage(subjects or (log.subjects if log is not None else Subjects()), log)
    groups = groups_from(commands)
    async with AsyncExitStack() as stack:
        for name in nodes:
            await stack.enter_async_context(stage.node(name, groups))
        yield stage


@asynccontextmanager
async def rehearsed(*nodes: str, **options: Any) -> AsyncIterator[Bus]:
    """Have the bus of `rehearse` alone, where `bridge.client.connect` would be called."""
    async with rehearse(*nodes, **options) as stage:
        yield stage.bus
