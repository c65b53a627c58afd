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
import signal
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import bridge
from bridge.capture.delivery import Delivery
from bridge.capture.feed import Feed, node_observation
from bridge.capture.outbox import Outbox, OutboxReader
from bridge.capture.recorder import Recorder
from bridge.capture.state_dir import claimed
from bridge.config import Config
from bridge.containerd.channel import check_socket
from bridge.containerd.lookup import ContainerdLookup
from bridge.containerd.runtime import ContainerdRuntime
from bridge.containerd.source import ContainerdSource
from bridge.control.dispatch import Dispatcher
from bridge.errors import BridgeError, ConfigError, LogError, SourceLost
from bridge.jetstream.connection import Connection, connect
from bridge.jetstream.embedded import EmbeddedServer
from bridge.jetstream.inbox import MicroInbox
from bridge.jetstream.log import open_log
from bridge.jetstream.streams import ensure_events
from bridge.model.commands import COMMANDS
from bridge.model.events import CommandRecorded
from bridge.model.nanos import now
from bridge.model.node_events import NodeStarted, NodeStopped
from bridge.ports import Entry, EventLog, Observed

__all__ = ["DaemonFailed", "run"]

log = logging.getLogger(__name__)

STOP_S = 8.0
"""Seconds for a clean stop; with `GRACE_S` below the 10 s after which `docker stop` kills."""

GRACE_S = 1.5
"""What closing the connections may take on top of it, before the process ends without."""

COMMANDS_S = 3.0
"""Part of that which commands under way may take to come to their end."""


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
    watch = _Watch()
    with watch.signals():
        async with AsyncExitStack() as stack:
            with watch.unless_stopped():
                await _start(config, stack, watch)
                log.info("node %s is up", config.node)
            await watch.stopped()
    log.info("stopped")
    if watch.failure is not None:
        raise DaemonFailed(watch.failure)


async def _start(config: Config, stack: AsyncExitStack, watch: _Watch) -> None:
    check_socket(config.containerd)
    listener = None
    if config.http_address is not None:
        from bridge import health  # noqa: PLC0415 - 5 MiB of modules that only those pay for who want them

        listener = stack.enter_context(health.bind(config.http_address))
    stack.enter_context(claimed(config.state_dir))
    source = ContainerdSource(config.containerd, config.namespace)
    await _first_answer(source)

    connection = await stack.enter_async_context(_nats(config))
    stream = await ensure_events(connection, config.subjects, replicas=config.nats.replicas)
    event_log = await open_log(connection, config.subjects)
    await stack.enter_async_context(watch.task(connection.closed(), "nats"))

    outbox = stack.enter_context(Outbox(config.state_dir / "outbox.db"))
    if stream.max_age and (forgotten := outbox.forget_deleted(now() - stream.max_age)):
        log.info("%d containers are forgotten: their last event has expired from the stream", forgotten)
    delivery = await stack.enter_async_context(_delivering(config, event_log, outbox, watch))
    recorder = await stack.enter_async_context(_recording(config, outbox, delivery, watch))
    feed = Feed(source, recorder, namespaces=config.namespace, proven=outbox.proven)
    await stack.enter_async_context(watch.task(feed.run(), "feed"))
    if config.groups:
        await stack.enter_async_context(_commands(config, connection, recorder, watch))
    if listener is not None:
        progress = _Progress(watch, recorder, delivery, feed, connection)
        serving = await stack.enter_async_context(health.serve(listener, progress))
        await stack.enter_async_context(watch.task(serving.ended(), "http"))
        log.info("health and metrics on http://%s:%d", *listener.getsockname()[:2])


async def _first_answer(source: ContainerdSource) -> None:
    try:
        version = await source.version()
    except SourceLost as error:
        raise ConfigError(f"containerd does not answer: {error}") from error
    log.info("containerd %s", version.version)


@asynccontextmanager
async def _nats(config: Config) -> AsyncIterator[Connection]:
    async with AsyncExitStack() as stack:
        settings = config.nats
        if settings.embedded:
            server = await stack.enter_async_context(EmbeddedServer(config.state_dir))
            settings = server.config
        yield await stack.enter_async_context(connect(settings, name=f"containerd-bridge {config.node}"))


@asynccontextmanager
async def _delivering(config: Config, event_log: EventLog, outbox: Outbox, watch: _Watch) -> AsyncIterator[Delivery]:
    reader = OutboxReader(outbox.path)
    try:
        delivery = Delivery(
            event_log,
            reader,
            node=config.node,
            outbox_log=outbox.log,
            acknowledged=outbox.acknowledged,
            last_n=outbox.last_n,
        )
        try:
            await delivery.resume()
        except LogError as error:
            raise ConfigError(f"the log cannot be read: {error}") from error
        async with watch.task(delivery.run(), "delivery"):
            try:
                yield delivery
            finally:
                if delivery.refused is None:  # else waiting is in vain, and the outbox keeps it
                    with suppress(TimeoutError):
                        await asyncio.wait_for(delivery.settled(), watch.time_left())
                if delivery.behind:
                    log.warning("%d events wait in the outbox for the next start", delivery.behind)
    finally:
        reader.close()


@asynccontextmanager
async def _recording(config: Config, outbox: Outbox, delivery: Delivery, watch: _Watch) -> AsyncIterator[Recorder]:
    loop = asyncio.get_running_loop()

    def committed(entries: Sequence[Entry]) -> None:  # these two are called from the recorder's thread
        loop.call_soon_threadsafe(delivery.committed, entries)

    def failed(error: BaseException) -> None:
        loop.call_soon_threadsafe(watch.fail, f"recorder: {error}")

    with ContainerdLookup(config.containerd) as lookup:
        recorder = Recorder(
            outbox,
            config.node,
            config.subjects,
            lookup,
            committed=committed,
            acknowledged=lambda: delivery.position,
            failed=failed,
        )
        recorder.start()
        recorder.submit(node_observation(NodeStarted(version=bridge.__version__, pid=os.getpid(), boot_id=_boot_id())))
        try:
            yield recorder
        finally:  # also when the start fails: nobody may close the outbox under its thread
            recorder.submit(node_observation(NodeStopped(reason=watch.failure or "asked to stop")))
            if not await asyncio.to_thread(recorder.stop, watch.time_left()):
                watch.give_up(f"the disk did not take {recorder.waiting} events in time")
            # What the thread handed over last has to reach delivery before that is asked whether it is done.
            await asyncio.sleep(0)


@asynccontextmanager
async def _commands(config: Config, connection: Connection, recorder: Recorder, watch: _Watch) -> AsyncIterator[None]:
    def record(namespace: str, container: str, event: CommandRecorded, command_id: str) -> None:
        moment = now()
        recorder.submit(
            Observed(
                event=event,
                namespace=namespace,
                container=container,
                time=moment,
                recorded=moment,
                origin="command",
                correlation_id=command_id,
            )
        )

    async with ContainerdRuntime(config.containerd) as runtime:
        dispatcher = Dispatcher(
            config.node,
            runtime,
            groups=config.groups,
            foreign=config.foreign,
            namespaces=config.namespace,
            record=record,
        )
        inbox = MicroInbox(
            connection, config.subjects, config.node, version=bridge.__version__, groups=sorted(config.groups)
        )
        async with inbox.serve(list(COMMANDS), dispatcher.handle):
            log.info("taking commands: %s", ", ".join(sorted(config.groups)))
            try:
                yield
            finally:
                await dispatcher.stop(within=min(COMMANDS_S, watch.time_left()))


class _Watch:
    """Sees to it that the daemon stops when it is asked to, or when a part of it has ended; keeps the one deadline."""

    def __init__(self) -> None:
        self._stop = asyncio.Event()
        self._deadline: float | None = None
        self._end: threading.Timer | None = None
        self._breakable: asyncio.Task[Any] | None = None
        self.failure: str | None = None
        """Why the daemon stops by itself; None while it does not."""

    async def stopped(self) -> None:
        """Wait until the daemon has to stop."""
        await self._stop.wait()

    @contextmanager
    def unless_stopped(self) -> Iterator[None]:
        """Break off what is inside when the daemon has to stop before it is done."""
        self._breakable = asyncio.current_task()
        try:
            yield
        except asyncio.CancelledError:
            if self._breakable is None or not self._stop.is_set():
                raise
            self._breakable.uncancel()
        finally:
            self._breakable = None

    def time_left(self) -> float:
        """Return the seconds until the deadline, a tenth at least; a start that failed asks first, and so sets it."""
        return max(0.1, self._limit() - time.monotonic())

    def fail(self, reason: str) -> None:
        """Stop the daemon for this reason."""
        if self.failure is None and not self._stop.is_set():
            log.error("stopping: %s", reason)
            self.failure = reason
        self._begin_to_stop()

    def give_up(self, reason: str) -> NoReturn:
        """End the process at once; what is committed reaches the log after the next start."""
        log.error("giving up: %s; what is committed reaches the log after the next start", reason)
        logging.shutdown()
        os._exit(1)

    def _begin_to_stop(self) -> None:
        self._limit()
        self._stop.set()
        if self._breakable is not None:
            self._breakable.cancel()

    def _limit(self) -> float:
        """Return the deadline; the first time set it, and see to it that the process ends soon after it whatever hangs."""
        if self._deadline is None:
            self._deadline = time.monotonic() + STOP_S
            seconds = STOP_S + GRACE_S
            self._end = threading.Timer(seconds, self.give_up, (f"it took more than {seconds:.1f} s to stop",))
            self._end.daemon = True
            self._end.start()
        return self._deadline

    @asynccontextmanager
    async def task(self, work: Coroutine[Any, Any, object], name: str) -> AsyncIterator[None]:
        """Run `work` while the context lasts; when it ends by itself, the daemon stops."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        try:
            yield
        finally:
            task.remove_done_callback(self._ended)
            task.cancel()
            await asyncio.wait((task,), timeout=self.time_left())

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Take SIGTERM and SIGINT as a request to stop while the context lasts; a second one stops at once."""
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGTERM, signal.SIGINT)
        for number in numbers:
            loop.add_signal_handler(number, self._signalled, number)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)
            if self._end is not None:
                self._end.cancel()

    def _signalled(self, number: signal.Signals) -> None:
        if self._stop.is_set():
            log.warning(
                "%s again: stopping at once; what is committed reaches the log after the next start", number.name
            )
            os._exit(128 + number)
        log.info("%s: stopping", number.name)
        self._begin_to_stop()

    def _ended(self, task: asyncio.Task[object]) -> None:
        error = asyncio.CancelledError("it was cancelled") if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, BridgeError):
            log.error("%s failed unexpectedly", task.get_name(), exc_info=error)
        self.fail(f"{task.get_name()}: {str(error) or repr(error) if error is not None else task.result() or 'ended'}")


class _Progress:
    """What the parts say of themselves, for `bridge.health`."""

    def __init__(
        self, watch: _Watch, recorder: Recorder, delivery: Delivery, feed: Feed, connection: Connection
    ) -> None:
        self._watch = watch
        self._recorder = recorder
        self._delivery = delivery
        self._feed = feed
        self._connection = connection

    def alive(self) -> str | None:
        return self._watch.failure or (None if self._recorder.alive else "the recorder has ended")

    def ready(self) -> str | None:
        if not self._feed.live.is_set():
            return "the subscription to containerd is not proven live"
        if not self._connection.connected:
            return "NATS is not connected"
        if self._delivery.refused is not None:
            return f"the log takes no events: {self._delivery.refused}"
        return None

    def gauges(self) -> Mapping[str, tuple[str, float]]:
        return {
            "live": ("1 while the subscription to containerd is proven live.", float(self._feed.live.is_set())),
            "nats_connected": ("1 while NATS is connected.", float(self._connection.connected)),
            "outbox_unacknowledged": ("Events committed to the outbox and not in the log yet.", self._delivery.behind),
            "inbox_waiting": ("Events read and not committed yet.", self._recorder.waiting),
            "probe_round_trip_seconds": ("The last probe's way through containerd.", (self._feed.probe_ns or 0) / 1e9),
        }

    def counters(self) -> Mapping[str, tuple[str, float]]:
        return {
            "events_recorded": ("Events committed to the outbox.", self._recorder.recorded),
            "gaps": ("Times without a proven subscription.", self._feed.gaps),
        }


def _boot_id() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
