"""The client without `await`: the same names, arguments and errors, in a thread of its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import signal
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bridge import client
from bridge.client import Bus, CommandFailed, ConfigError, StoredEvent, sync
from bridge.errors import LogUnavailable
from bridge.model.events import TaskExit
from bridge.model.outcomes import ExitInfo
from bridge.testing import MemoryBus, MemoryDurable, MemoryLog, Scribe
from tests.unit.client.small_bus import SUBJECTS, SmallReader, SmallSender, containers_at, info
from tests.unit.client.test_container import SHOP


class Stage:
    """A bus in memory for the thread of the client."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.scribe = Scribe(self.log, "n1")
        self.durable = MemoryDurable(self.log)
        self.closed = False

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Bus]:
        for status in (1, 2, 3):
            await self.ends(status)
        try:
            yield Bus(self.log, MemoryBus(), self.log.subjects, durable=self.durable)
        finally:
            self.closed = True

    async def ends(self, status: int) -> None:
        event = TaskExit(container_id="job", id="job", exit_status=status)
        await self.scribe.record(event, namespace="default", container="job")


def statuses(events: Any, count: int) -> list[int | None]:
    found = [next(events).data for _ in range(count)]
    assert all(isinstance(one, TaskExit) for one in found)
    return [one.exit_status for one in found]


def test_events_are_iterated_over_to_their_end_or_as_they_come() -> None:
    stage = Stage()
    with sync.opened(stage.open()) as bus:
        assert statuses(list(bus.events(follow=False)).__iter__(), 3) == [1, 2, 3]
        with bus.events(since=3) as following:
            assert statuses(following, 1) == [3]
            bus.call(stage.ends(4))
            assert statuses(following, 1) == [4]
        with pytest.raises(StopIteration):
            next(following)
        assert bus.end() == 4
    assert stage.closed


def test_a_subscription_is_acknowledged_by_asking_for_the_next() -> None:
    stage = Stage()
    with sync.opened(stage.open()) as bus:
        with bus.subscribe("mailer", since=1) as mailer:
            assert statuses(mailer, 2) == [1, 2]
        with bus.subscribe("mailer", acknowledge="by-hand") as mailer:
            assert statuses(mailer, 1) == [2]
            mailer.acknowledge()
        assert stage.durable.places == {"mailer": 2}
        assert bus.unsubscribe("mailer")


def test_errors_are_the_same_ones() -> None:
    stage = Stage()
    with sync.opened(stage.open()) as bus:
        with pytest.raises(ValueError, match="'exti' is no type"):
            bus.events(type="exti")
        with pytest.raises(CommandFailed, match="no node on this bus takes commands") as raised:
            bus.node()
        assert raised.value.code == "unavailable"
        with stage.log.down(), pytest.raises(LogUnavailable):
            next(bus.events(since=1))
        with pytest.raises(TimeoutError, match="of the call"):
            bus.call(failing(TimeoutError("of the call")))
    with pytest.raises(ConfigError, match="nobody listens there"), sync.connect("nats://127.0.0.1:1"):
        pass


async def failing(error: Exception) -> None:
    raise error


def test_a_container_is_commanded() -> None:
    places = containers_at({"n1": [info("web.1", name="web")]})
    sender = SmallSender(
        lambda command, options: ExitInfo(exit_status=0) if command.verb == "stop" else places(command, options)
    )

    @asynccontextmanager
    async def small() -> AsyncIterator[Bus]:
        yield Bus(SmallReader(SHOP), sender, SUBJECTS)

    with sync.opened(small()) as bus:
        web = bus.container("web")
        assert (web.stop(grace=1).exit_status, web.node.name, web.namespace, web.id) == (0, "n1", "default", "web.1")
        assert [one.id for one in bus.node("n1").list()] == ["web.1"]
        moments = list(bus.container("shop", node="n1", namespace="default").history())
        assert [moment.state and moment.state.status for moment in moments] == ["running", "stopped"]


def test_what_is_left_open_is_closed_with_the_bus_and_then_it_says_so() -> None:
    reader = SmallReader(SHOP)
    open_at_the_end = []

    @asynccontextmanager
    async def small() -> AsyncIterator[Bus]:
        yield Bus(reader, SmallSender(lambda *_: None), SUBJECTS)
        open_at_the_end.append(reader.open)

    with sync.opened(small()) as bus:
        following = bus.events(since=1)
        next(following)
        assert reader.open == 1
    assert open_at_the_end == [0]
    following.close()
    with pytest.raises(RuntimeError, match="the bus is closed"):
        bus.end()


def test_a_thread_that_waits_for_an_event_is_at_its_end_when_another_closes() -> None:
    reader = SmallReader(SHOP)
    came: list[int] = []

    @asynccontextmanager
    async def small() -> AsyncIterator[Bus]:
        yield Bus(reader, SmallSender(lambda *_: None), SUBJECTS)

    async def until_both_came() -> None:
        while len(came) < 2:
            await asyncio.sleep(0)

    def read(events: sync.Iteration[StoredEvent]) -> None:
        for event in events:
            came.append(event.stream_sequence)  # noqa: PERF401 - one by one

    with sync.opened(small()) as bus:
        events = bus.events(since=1)
        other = threading.Thread(target=read, args=(events,))
        other.start()
        bus.call(until_both_came())
        events.close()
        other.join(60)
        assert (other.is_alive(), reader.open, came) == (False, 0, [1, 2])


def test_its_own_thread_does_not_wait_for_itself() -> None:
    with sync.opened(Stage().open()) as bus:

        async def ask() -> int:
            return bus.end()

        with pytest.raises(RuntimeError, match=r"use bridge\.client"):
            bus.call(ask())


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals go to the main thread")
def test_ctrl_c_ends_the_wait_and_lets_go() -> None:
    reader = SmallReader()

    @asynccontextmanager
    async def small() -> AsyncIterator[Bus]:
        yield Bus(reader, SmallSender(lambda *_: None), SUBJECTS)

    waiting = threading.Event()

    def interrupt() -> None:
        waiting.wait(60)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    async def look() -> None:
        while not reader.open:
            await asyncio.sleep(0)
        waiting.set()

    with sync.opened(small()) as bus:
        threading.Thread(target=interrupt).start()
        looking = threading.Thread(target=bus.call, args=(look(),))
        with bus.events() as events:
            looking.start()
            with pytest.raises(KeyboardInterrupt):
                next(events)
            looking.join()
        assert reader.open == 0


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals go to the main thread")
def test_ctrl_c_is_raised_when_the_call_has_come_to_its_end() -> None:
    ended, main = False, threading.main_thread().ident or 0

    async def slow() -> None:
        nonlocal ended
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.3)
            ended = True

    def waits() -> bool:
        stack = traceback.walk_stack(sys._current_frames()[main])
        return any(frame.f_code.co_name == "result" for frame, _ in stack) and begun.is_set()

    def interrupt() -> None:
        while not waits():
            time.sleep(0.001)
        signal.pthread_kill(main, signal.SIGINT)

    begun = threading.Event()
    with sync.opened(Stage().open()) as bus:
        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            bus.call(slow())
        assert ended


NAMED = ["Bus", "Node", "Container", "Process", "Jobs", "Checkpoints", "Transport", "Meter", "Subscription"]
OTHERS = {"thread", "real", "call", "close"}
"""What a script has besides."""
ASYNCHRONOUS = {"locate", "aclose"}
"""`container` is what `locate` gives; `close` is what `aclose` does."""

ATTRIBUTES = {"subjects", "jobs", "transport", "checkpoints", "node", "namespace", "id", "name", "started"}
"""What an asynchronous object has of its own, not of its class."""


@pytest.mark.parametrize("name", NAMED)
def test_the_names_are_the_same(name: str) -> None:
    def names(kind: type) -> set[str]:
        return {one for one in dir(kind) if not one.startswith("_")}

    asynchronous, waited = getattr(client, name), getattr(sync, name)
    assert names(waited) - OTHERS - ATTRIBUTES == names(asynchronous) - ASYNCHRONOUS - ATTRIBUTES
    for one in names(asynchronous) & names(waited):
        method = getattr(waited, one)
        if inspect.isroutine(method):
            assert method.__doc__, one


def test_whoever_waits_when_the_bus_is_closed_does_not_wait_for_ever() -> None:
    begun, ended = threading.Event(), threading.Event()

    async def never() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # who is cancelled may have something to do yet

    def wait(bus: Any) -> None:
        try:
            bus.call(never())
        except concurrent.futures.CancelledError:
            ended.set()

    with sync.opened(Stage().open()) as bus:
        waiting = threading.Thread(target=wait, args=(bus,), daemon=True)
        waiting.start()
        begun.wait()
    waiting.join(120)
    assert ended.is_set()
