"""The command path put together: policy, journal, dispatcher, inbox, jobs, and what tells how commands stand.

What was under way when the bridge ended is looked at before anything new is taken. It stops the other way round: no more jobs and
requests, those under way come to their end or are looked at, and their outcomes are told.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial

import bridge
from bridge.config import Config
from bridge.control.dispatch import Dispatcher
from bridge.control.jobs import Worker
from bridge.control.journal import Journal
from bridge.control.lanes import Lanes
from bridge.control.migration.harbour import Harbour
from bridge.control.parts import Control, Ruling
from bridge.control.policy import Policy
from bridge.control.record import CommandRecord, Take, observed
from bridge.control.removal import Removal
from bridge.control.rulebook import PolicyFile
from bridge.control.telling import OnceRecorded, Teller
from bridge.control.verb import Checkpointing, Described, Ending, Known, Place, by_containerd_alone
from bridge.control.workshop import Workshop
from bridge.errors import CommandFailed, ConfigError
from bridge.jetstream.checkpoints import open_checkpoints, sweeping
from bridge.jetstream.commands import JetStreamCommands
from bridge.jetstream.connection import Connection
from bridge.jetstream.inbox import MicroInbox
from bridge.jetstream.job_source import JetStreamJobs
from bridge.jetstream.lines import OutputMaking, open_stdio
from bridge.jetstream.migrations import JetStreamMigrations
from bridge.jetstream.objects import JetStreamObjects
from bridge.jetstream.progress import ProgressTeller
from bridge.jetstream.sender import NatsSender
from bridge.model.commands import COMMANDS
from bridge.model.events import CommandRecorded, TaskCheckpointed
from bridge.model.nanos import now
from bridge.ports import ContainerRuntime, InputTold, NodeLease, Observed, OnInputTold, Tasks
from bridge.ports.checkpoints import CheckpointCatalogue
from bridge.ports.tracing import NoTraces, Traces
from bridge.stdio.room import MOST, raise_limit, room_for
from bridge.stdio.sessions import Sessions
from bridge.watch import Watch

__all__ = ["commanding", "read_ruling"]

log = logging.getLogger(__name__)

COMMANDS_S = 3.0
"""Part of `STOP_S` which commands under way may take to come to their end."""

RECOVERY_S = 15.0
"""How long commands that were under way when the bridge ended wait for the gap to be repaired, before they are looked at."""


def read_ruling(config: Config, resolve: Callable[[str], str], described: Described = by_containerd_alone) -> Ruling:
    """Return what the settings and the policy's file allow now; `commanding` keeps it up to date.

    Args:
        config: all settings.
        resolve: follows the symbolic links of a path of containerd's host.
        described: adds to a container's record what containerd does not know of it.

    Raises:
        ConfigError: the file is not understood.
    """
    file = PolicyFile(config.policy, knows_who=config.request_info)
    book = file.read()
    policy = Policy(
        groups=config.groups,
        foreign=config.foreign,
        namespaces=config.namespace,
        book=book,
        resolve=resolve,
        described=described,
        show=config.shown,
    )
    return Ruling(policy, file)


@asynccontextmanager
async def commanding(
    config: Config,
    connection: Connection,
    runtime: ContainerRuntime,
    watch: Watch,
    ruling: Ruling,
    *,
    submit: Callable[[Observed], None],
    recorded: Callable[[Callable[[], None]], None],
    reached: Callable[[], Awaitable[None]],
    known: Known,
    ending: Ending,
    repaired: Callable[[], Awaitable[object]],
    lease: NodeLease,
    boot: str | None,
) -> AsyncIterator[Control]:
    """Take commands while the context lasts.

    Args:
        config: all settings.
        connection: an open one.
        runtime: this node's containerd.
        watch: stops the daemon where a part of this ends by itself; on its hangup the policy's file is read again.
        ruling: what is allowed.
        submit: takes the events of commands.
        recorded: calls back when all events that were submitted before are on disk.
        reached: waits until all events that are on disk are in the log.
        known: tells the states of containers as the log has them.
        ending: told before a task is ended that has a checkpoint.
        repaired: waits until the log says what containerd lists.
        lease: the node's.
        boot: the kernel's id of this boot, None where it tells none.

    Raises:
        ConfigError: a stream, a bucket or the journal cannot be used, or taking commands is not permitted.
    """
    loop = asyncio.get_running_loop()

    def happened(event: TaskCheckpointed, namespace: str, container: str, command_id: str) -> None:
        take(namespace, container, event, command_id)

    def take(
        namespace: str | None, container: str | None, event: CommandRecorded | TaskCheckpointed, command_id: str
    ) -> None:
        submit(observed(namespace, container, event, command_id))

    def failed(error: BaseException) -> None:
        # From the journal's thread.
        loop.call_soon_threadsafe(watch.fail, f"journal: {error}")

    async with AsyncExitStack() as stack:
        watch.on_hangup(ruling.file.ask)
        await stack.enter_async_context(watch.task(ruling.file.run(ruling.policy), "policy"))
        journal = stack.enter_context(Journal(config.state_dir / "journal.db", failed=failed))
        states = JetStreamCommands(connection, config.subjects)
        written = OnceRecorded(recorded, journal.told)
        teller = Teller(states, node=config.node, written=written, allowed=lambda: lease.held)
        await stack.enter_async_context(watch.task(teller.run(), "outcomes"))
        progress = await stack.enter_async_context(ProgressTeller(connection, config.subjects, config.node))
        lanes, removal, recovered = Lanes(), None, asyncio.Event()
        sessions = await _sessions(config, connection, runtime.tasks, boot, stack, told=partial(_record_input, take))
        if {"create", "checkpoint"} & config.groups:
            removal = await stack.enter_async_context(
                Removal(
                    config.node,
                    runtime,
                    namespaces=config.namespace,
                    lanes=lanes,
                    sessions=sessions,
                    after=recovered.wait,
                )
            )
        catalogue = await _catalogue(config, connection, watch, stack, lease)
        workshop = Workshop(config.checkpoint_dir, config.node)
        kit = None if catalogue is None else Checkpointing(catalogue, workshop, happened, ending)
        at = Place(
            runtime=runtime,
            node=config.node,
            tell=progress.tell,
            removing=removal,
            sessions=sessions,
            checkpointing=kit,
        )
        harbour = None if kit is None else _harbour(config, connection, lanes, at, journal)
        traces = await _traces(config, stack, partial(_in_log, recorded, reached), watch)
        dispatcher = Dispatcher(
            config.node,
            runtime,
            policy=ruling.policy,
            record=CommandRecord(take, detail=config.record_detail, observing=config.record_observing),
            journal=journal,
            lanes=lanes,
            tell=progress.tell,
            objects=JetStreamObjects(connection),
            removing=removal,
            sessions=sessions,
            checkpointing=kit,
            harbour=harbour,
            standing=teller.tell,
            known=known,
            bus=teller,
            allowed=lambda: lease.held,
            traces=traces,
        )
        source = JetStreamJobs(
            connection, config.subjects, config.node, held=lambda: lease.held, replicas=config.nats.replicas
        )
        await source.open()
        worker = Worker(
            source,
            dispatcher.carry_out,
            node=config.node,
            subjects=config.subjects,
            journal=journal,
            teller=teller,
        )
        inbox = MicroInbox(
            connection,
            config.subjects,
            config.node,
            version=bridge.__version__,
            groups=sorted(config.groups),
            request_info=config.request_info,
        )
        await _recover(dispatcher, journal, inbox, repaired)
        if harbour is not None:
            await _swept(workshop, runtime, [row.id for row in await journal.unfinished()])
            await stack.enter_async_context(watch.task(harbour.run(), "migrations"))
        recovered.set()
        async with inbox.serve(list(COMMANDS), dispatcher.handle):
            try:
                async with watch.task(worker.run(), "jobs"):
                    log.info("taking commands: %s", ", ".join(sorted(config.groups)))
                    yield Control(
                        dispatcher=dispatcher,
                        journal=journal,
                        teller=teller,
                        worker=worker,
                        ruling=ruling,
                        sessions=sessions,
                        harbour=harbour,
                    )
            finally:
                await dispatcher.stop(within=min(COMMANDS_S, watch.time_left()))
        with suppress(TimeoutError):
            await asyncio.wait_for(worker.finish(), min(COMMANDS_S, watch.time_left()))
            if teller.refused is None:  # else waiting is in vain, and the journal keeps it
                await asyncio.wait_for(teller.settled(), min(COMMANDS_S, watch.time_left()))


async def _traces(config: Config, stack: AsyncExitStack, stored: Callable[[], Awaitable[None]], watch: Watch) -> Traces:
    if not config.traces:
        return NoTraces()
    from bridge.tracing import tracing  # noqa: PLC0415 - an extra, and only those pay for it who want it

    return await stack.enter_async_context(tracing(config.node, stored, watch.time_left))


async def _in_log(recorded: Callable[[Callable[[], None]], None], reached: Callable[[], Awaitable[None]]) -> None:
    """Wait until all events that were submitted so far are in the log."""
    loop, there = asyncio.get_running_loop(), asyncio.Event()

    def written() -> None:
        # From the recorder's thread.
        loop.call_soon_threadsafe(there.set)

    recorded(written)
    await there.wait()
    await reached()


def _harbour(config: Config, connection: Connection, lanes: Lanes, place: Place, journal: Journal) -> Harbour:
    register = JetStreamMigrations(connection, config.subjects)
    sender = NatsSender(connection, config.subjects)
    return Harbour(config.node, register, sender, config.subjects, lanes=lanes, place=place, journal=journal)


async def _swept(workshop: Workshop, runtime: ContainerRuntime, keep: Sequence[str]) -> None:
    """Clear away what commands that are over have left, and let run on what they had frozen: nobody else will."""
    for one in await workshop.frozen(keep):
        with suppress(CommandFailed):  # it runs, or is gone
            await runtime.tasks.resume(one.namespace, one.container)
            log.warning(
                "container %s of %s was frozen by a command that is over: it runs on", one.container, one.namespace
            )
    await workshop.sweep(keep)


async def _catalogue(
    config: Config, connection: Connection, watch: Watch, stack: AsyncExitStack, lease: NodeLease
) -> CheckpointCatalogue | None:
    if "checkpoint" not in config.groups:
        return None
    catalogue = open_checkpoints(connection, config)
    try:
        await catalogue.ensure()
    except CommandFailed as failure:
        log.warning("no checkpoint can be put into the catalogue: %s", failure)  # it is tried again with each
    await stack.enter_async_context(watch.task(sweeping(catalogue, lambda: lease.held), "checkpoints"))
    return catalogue


async def _sessions(
    config: Config,
    nats: Connection,
    tasks: Tasks,
    boot: str | None,
    stack: AsyncExitStack,
    *,
    told: OnInputTold,
) -> Sessions | None:
    if config.groups.isdisjoint({"lifecycle", "exec", "create", "checkpoint"}):  # no other verb starts a process
        return None
    limit = raise_limit()
    most = room_for(limit)
    if most < MOST:
        log.warning(
            "no more than %d processes can have their stdio on the bus at the same time, since %d files may be open: raise "
            "that limit (LimitNOFILE of systemd, --ulimit nofile of docker)",
            *(most, limit),
        )
    else:
        log.info("room for the stdio of %d processes (%d files may be open)", most, limit)
    making = OutputMaking(config.nats.replicas, config.stdio_max_age_s, config.stdio_max_bytes)
    try:
        bus, lines = await open_stdio(nats, config.subjects, config.node, making, request_info=config.request_info)
        sessions = Sessions(
            config.node,
            directory=config.state_dir / "stdio",
            fifo_dir=config.fifo_dir,
            boot=boot,
            tasks=tasks,
            bus=bus,
            lines=lines,
            told=told,
            most=most,
        )
        return await stack.enter_async_context(sessions)
    except ConfigError as error:
        if "exec" in config.groups:
            raise
        log.warning("no stdio will be on the bus: %s", error)  # all other verbs do without
        return None


def _record_input(take: Take, told: InputTold) -> None:
    """Record that somebody writes to a process, and in the end how much it was; by its session, since it is no command."""
    options = {"exec_id": told.exec_id, "command": told.command_id}
    event = CommandRecorded(
        container_id=told.container,
        command_id=told.session,
        verb="stdin",
        phase=told.phase,
        outcome="ok" if told.phase == "finished" else None,
        options=options if told.size is None else {**options, "size": told.size},
        who=told.who,
        sha256=told.sha256,
        finished_at=now() if told.phase == "finished" else None,
    )
    take(told.namespace, told.container, event, told.command_id)


async def _recover(
    dispatcher: Dispatcher, journal: Journal, inbox: MicroInbox, repaired: Callable[[], Awaitable[object]]
) -> None:
    """Find out what became of commands that were under way when the bridge ended, before any new one is taken."""
    if any(row.started_at is not None for row in await journal.unfinished()):
        # What containerd did meanwhile is part of what shows it.
        with suppress(TimeoutError):
            await asyncio.wait_for(repaired(), RECOVERY_S)
    for row, outcome in await dispatcher.recover(inbox.answer):
        log.warning("command %s of an earlier run: %s", row.id, outcome.outcome)
