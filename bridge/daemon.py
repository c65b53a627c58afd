"""The daemon: the only place where both adapters, the two cores and the configuration meet.

It starts from the log backwards, so that an event has somewhere to go from the first one on, and stops the other way
round, in the order in which data flows: no more commands, no more events from containerd, what was read is committed, what
was committed is appended, then the connections close; all under one deadline. Whatever ends by itself ends the daemon:
starting again is the one way to recover, and so the best tried one.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from functools import partial

import bridge
from bridge.capture.boot import Boot
from bridge.capture.delivery import Delivery
from bridge.capture.feed import Feed, node_observation
from bridge.capture.handover import Handover
from bridge.capture.holder import boot_id, has_ended, ourselves
from bridge.capture.knowledge import Knowledge
from bridge.capture.ledger import Ledger
from bridge.capture.outbox import Outbox
from bridge.capture.outbox_reader import OutboxReader
from bridge.capture.projection import GONE_S, Projection
from bridge.capture.recorder import Recorder
from bridge.capture.repair import Repair
from bridge.capture.room import Limits
from bridge.capture.takeover import take_over
from bridge.commanding import commanding, read_ruling
from bridge.config import Config
from bridge.containerd.channel import check_socket
from bridge.containerd.inventory import ContainerdInventory
from bridge.containerd.lookup import ContainerdLookup
from bridge.containerd.paths import HostPaths
from bridge.containerd.runtime import ContainerdRuntime
from bridge.containerd.source import ContainerdSource
from bridge.control.parts import Control
from bridge.dockerd import Dockerd
from bridge.errors import BridgeError, ConfigError, LogError, LogUnavailable, SourceLost
from bridge.jetstream.buckets import ensure_buckets
from bridge.jetstream.connection import Connection, connect
from bridge.jetstream.embedded import EmbeddedServer
from bridge.jetstream.lease import JetStreamLease
from bridge.jetstream.log import open_log
from bridge.jetstream.schemas import telling_schemas
from bridge.jetstream.state import open_states
from bridge.jetstream.streams import ensure_events
from bridge.model.codec import decode_as
from bridge.model.nanos import now
from bridge.model.node_events import NodeStarted, NodeStopped
from bridge.model.nodes import NodeRecord
from bridge.model.state import ContainerState
from bridge.notify import Notifier
from bridge.ports import Entry, EventLog, StateStore
from bridge.succession import claim, making
from bridge.vitals import Vitals
from bridge.watch import Watch

__all__ = ["DaemonFailed", "run"]

log = logging.getLogger(__name__)

READ_TRIES = 3
"""How often the log is asked for its end at the start. A server that has much to do may once be silent over it."""

HOPE_S = 1.0
"""Part of `STOP_S` in which a connection to NATS that is lost may come back; without it, the outbox keeps what waits."""

CLOSING_S = 0.5
"""Part of `STOP_S` that is left, beside the grace, for giving the lease back and closing where NATS does not answer."""


class DaemonFailed(BridgeError):
    """A part of the daemon ended by itself; the daemon has to be started again."""


async def run(config: Config) -> None:
    """Be the bridge of this host until SIGTERM or SIGINT.

    Raises:
        ConfigError: it cannot start: a setting is wrong, or what it points at does not answer.
        DaemonFailed: it had to stop by itself.
    """
    # What a burst makes is free of cycles and goes by itself, while grpc's short-lived objects would have the collector look
    # through the young ones for every few dozen messages: at the default a seventh of the daemon's time went there.
    gc.set_threshold(50_000, 20, 100)
    watch, notifier = Watch(), Notifier()
    with watch.signals():
        async with AsyncExitStack() as stack:
            with watch.unless_stopped():
                notifier.starting(f"starting as node {config.node}")
                await _start(config, stack, watch, notifier)
                log.info("node %s is up", config.node)
            await watch.stopped()
            notifier.stopping(watch.failure or watch.parting)
    log.info("stopped")
    if watch.failure is not None:
        raise DaemonFailed(watch.failure)


async def _start(config: Config, stack: AsyncExitStack, watch: Watch, notifier: Notifier) -> None:
    check_socket(config.containerd)
    docker = await stack.enter_async_context(Dockerd(config.docker_socket))
    ruling = read_ruling(config, HostPaths(config.containerd), docker.described)
    loop = asyncio.get_running_loop()
    handover = Handover(config.state_dir, leave=lambda why: loop.call_soon_threadsafe(watch.leave, why))
    source = ContainerdSource(config.containerd, config.namespace, probed=handover.probed)
    inherited = await claim(config, handover, source, stack)
    listener = None
    if config.http_address is not None:
        from bridge import serving  # noqa: PLC0415 - 5 MiB of modules that only those pay for who want them

        listener = stack.enter_context(serving.listen(config))
    version = await _first_answer(source)

    connection = await stack.enter_async_context(_nats(config))
    stream = await ensure_events(connection, config.subjects, making(config))
    await ensure_buckets(connection, config.subjects, replicas=config.nats.replicas)
    await stack.enter_async_context(watch.task(connection.closed(), "nats"))

    limits = Limits(
        max_bytes=config.outbox_max_bytes,
        reserve_bytes=config.outbox_reserve_bytes,
        retention_s=config.outbox_retention_s,
    )
    outbox = stack.enter_context(Outbox(config.state_dir / "outbox.db", limits))
    if forgotten := outbox.forget_deleted(stream.max_age):
        log.info("%d containers are forgotten: their last event has expired from the stream", forgotten)
    ours = ourselves(
        config.node,
        log=outbox.log,
        state_dir=config.state_dir,
        lease_s=config.lease,
        containerd=version,
        groups=sorted(config.groups),
    )
    lease = await stack.enter_async_context(_leasing(config, connection, ours, watch))
    event_log = await open_log(connection, config.subjects, lease, making(config))
    states = await open_states(connection, config.subjects, lease, replicas=config.nats.replicas)
    delivery, projection = await stack.enter_async_context(
        _delivering(config, event_log, states, outbox, watch, lease=lease, connected=lambda: connection.connected)
    )
    boot = Boot(config.state_dir / "boot_id", boot_id(), log=outbox.log, last_n=outbox.last_n)
    boot.begin()
    proven = outbox.proven  # the outbox belongs to the recorder's thread from here on
    recorder = await stack.enter_async_context(
        _recording(
            config, outbox, delivery, projection, watch, docker=docker, handover=handover, kept_ns=stream.max_age
        )
    )
    inventory = await stack.enter_async_context(ContainerdInventory(config.containerd))
    repair = Repair(docker.inventory(inventory), recorder, namespaces=config.namespace, audit_s=config.audit_s)
    feed = Feed(
        source,
        recorder,
        repair,
        namespaces=config.namespace,
        proven=proven,
        boot=boot,
        damage=outbox.damage,
        handover=handover,
        inherited=inherited,
    )
    await stack.enter_async_context(watch.task(feed.run(), "feed"))
    await docker.follow(stack, watch, recorder, caught_up=feed.caught_up, repaired=repair.settled.wait)
    await stack.enter_async_context(
        telling_schemas(connection, config.subjects, config.node, version=bridge.__version__)
    )
    control: Control | None = None
    if config.groups:
        runtime = await stack.enter_async_context(ContainerdRuntime(config.containerd, bundle_root=config.bundle_root))
        control = await stack.enter_async_context(
            commanding(
                config,
                connection,
                runtime,
                watch,
                ruling,
                submit=recorder.submit,
                recorded=lambda then: recorder.consult(lambda _ledger: _after(then)),
                reached=delivery.settled,
                known=Knowledge(feed, recorder).state,
                ending=partial(_ending, recorder),
                repaired=repair.settled.wait,
                lease=lease,
                boot=boot_id(),
            )
        )
    vitals = Vitals(
        watch=watch,
        recorder=recorder,
        delivery=delivery,
        feed=feed,
        repair=repair,
        lease=lease,
        connected=lambda: connection.connected,
    )
    if notifier.listens:
        await stack.enter_async_context(
            watch.task(notifier.run(alive=vitals.alive, ready=vitals.ready), "supervisor's news")
        )
    if listener is not None:
        from bridge.progress import DaemonProgress  # noqa: PLC0415 - as above

        about = {"node": config.node, "version": bridge.__version__, "containerd": version}
        progress = DaemonProgress(vitals=vitals, projection=projection, control=control, about=about)
        await stack.enter_async_context(serving.over_http(config, listener, progress, watch))


async def _first_answer(source: ContainerdSource) -> str:
    try:
        version = await source.version()
    except SourceLost as error:
        raise ConfigError(f"containerd does not answer: {error}") from error
    log.info("containerd %s", version.version)
    return version.version


@asynccontextmanager
async def _nats(config: Config) -> AsyncIterator[Connection]:
    async with AsyncExitStack() as stack:
        settings = config.nats
        if settings.embedded:
            settings = (await stack.enter_async_context(EmbeddedServer(config.state_dir))).config
        yield await stack.enter_async_context(connect(settings, name=f"containerd-bridge {config.node}"))


@asynccontextmanager
async def _leasing(
    config: Config, connection: Connection, ours: NodeRecord, watch: Watch
) -> AsyncIterator[JetStreamLease]:
    lease = JetStreamLease(connection, config.subjects, ours, ended=lambda other: has_ended(other, ours))
    try:
        await lease.acquire()
    except LogError as error:
        raise ConfigError(f"the lease of node {config.node} cannot be taken: {error}") from error
    try:
        async with watch.task(lease.keep(), "lease"):
            yield lease
    finally:
        await lease.release()


@asynccontextmanager
async def _delivering(
    config: Config,
    event_log: EventLog,
    states: StateStore,
    outbox: Outbox,
    watch: Watch,
    *,
    lease: JetStreamLease,
    connected: Callable[[], bool],
) -> AsyncIterator[tuple[Delivery, Projection]]:
    reader = OutboxReader(outbox.path)
    try:
        delivery = Delivery(
            event_log,
            reader,
            node=config.node,
            outbox_log=outbox.log,
            acknowledged=outbox.acknowledged,
            last_n=outbox.last_n,
            acknowledged_at=outbox.acknowledged_at,
        )
        for tries_left in reversed(range(READ_TRIES)):
            try:
                await take_over(event_log, config.node, outbox)
                await delivery.resume()
                break
            except LogError as error:
                if not (isinstance(error, LogUnavailable) and tries_left):
                    raise ConfigError(f"the log cannot be read: {error}") from error
                log.warning("the log cannot be read, it is tried again: %s", error)
        projection = Projection(
            states,
            node=config.node,
            log_id=outbox.log,
            reached=delivery.reached,
            ours=lease.renew,
            audit_s=config.audit_s,
        )

        def known() -> Iterator[ContainerState]:
            with closing(OutboxReader(outbox.path)) as remembered:
                for encoded in remembered.containers(now() - int(GONE_S * 1e9)):
                    yield decode_as(encoded, ContainerState)

        async with watch.task(delivery.run(), "delivery"), watch.task(projection.run(known), "projection"):
            try:
                yield delivery, projection
            finally:
                hope_ends = watch.time_left() - HOPE_S

                def worth() -> bool:
                    return connected() or watch.time_left() > hope_ends

                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0.1, watch.time_left() - CLOSING_S)):
                        await delivery.settled(worth)
                        if not delivery.behind:  # no state is written before its event is in the log
                            await projection.settled(worth)
                if delivery.behind:
                    log.warning("%d events wait in the outbox for the next start", delivery.behind)
    finally:
        reader.close()


@asynccontextmanager
async def _recording(
    config: Config,
    outbox: Outbox,
    delivery: Delivery,
    projection: Projection,
    watch: Watch,
    *,
    docker: Dockerd,
    handover: Handover,
    kept_ns: int,
) -> AsyncIterator[Recorder]:
    loop = asyncio.get_running_loop()

    def committed(entries: Sequence[Entry], states: Sequence[ContainerState]) -> None:
        # This and the next one are called from the recorder's thread.
        loop.call_soon_threadsafe(delivery.committed, entries)
        loop.call_soon_threadsafe(projection.changed, states)

    def failed(error: BaseException) -> None:
        loop.call_soon_threadsafe(watch.fail, f"recorder: {error}")

    with ContainerdLookup(config.containerd) as records:
        recorder = Recorder(
            outbox,
            config.node,
            config.subjects,
            docker.lookup(records),
            committed=committed,
            acknowledged=lambda: delivery.position,
            failed=failed,
            kept_ns=kept_ns,
        )
        handover.begin(recorder.submit)
        recorder.start()
        delivery.tell_backs(recorder.went_back)
        delivery.tell_gaps(lambda gap: recorder.submit(node_observation(gap)))
        recorder.submit(node_observation(NodeStarted(version=bridge.__version__, pid=os.getpid(), boot_id=boot_id())))
        try:
            yield recorder
        finally:  # also when the start fails: nobody may close the outbox under its thread
            recorder.submit(node_observation(NodeStopped(reason=watch.failure or watch.parting)))
            done = await asyncio.to_thread(recorder.stop, watch.time_left())
            if done:
                handover.committed()
            if not done and (recorder.alive or watch.failure is None):
                why = "" if recorder.failure is None else f": {recorder.failure}"
                watch.give_up(f"the disk did not take {recorder.waiting} events in time{why}")
            # What the thread handed over last has to reach delivery before that is asked whether it is done.
            await asyncio.sleep(0)


def _ending(recorder: Recorder, namespace: str, container: str, command_id: str | None) -> None:
    """Have the exit that comes next told as what it is."""

    def expect(ledger: Ledger) -> tuple[()]:
        ledger.expect_end(namespace, container, command_id)
        return ()

    recorder.consult(expect)


def _after(then: Callable[[], None]) -> tuple[()]:
    """Be the answer to a question that nobody asks: what was submitted before it is recorded now."""
    then()
    return ()
