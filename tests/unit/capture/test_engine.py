"""What dockerd says stands in the log where it differs from it, once, and behind what containerd told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping

import pytest

from bridge.capture import engine as module
from bridge.capture.engine import EngineFeed
from bridge.capture.ledger import Ledger
from bridge.capture.outbox import ContainerRow
from bridge.errors import EngineLost, SourceLost
from bridge.model import events
from bridge.model.codec import decode
from bridge.model.envelope import Event
from bridge.model.nanos import Nanos
from bridge.model.outcomes import ContainerInfo
from bridge.model.subjects import Subjects
from bridge.ports import Observed
from bridge.ports.engine import EngineContainer, EngineNews

BARE = {"com.docker/engine.bundle.path": "/x"}
WEB = EngineContainer(id="a1", name="web", image="nginx:1", labels={"tier": "front"})


class Log:
    """A ledger, and the recorder of its events."""

    def __init__(self) -> None:
        self.ledger = Ledger("node", Subjects(), "log", 0, self)
        self.told: list[events.ContainerEvent] = []

    def container(self, namespace: str, container: str) -> ContainerRow | None:
        return None

    def containers(self) -> Iterator[ContainerRow]:
        return iter(())

    def describe(self, wanted: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], ContainerInfo]:
        return {key: ContainerInfo(namespace=key[0], id=key[1], labels=BARE) for key in wanted}

    def record(self, *happened: Event) -> None:
        self.place([Observed(event, "moby", "a1", Nanos(5), Nanos(6)) for event in happened])

    def place(self, batch: Iterable[Observed]) -> None:
        observed = list(batch)
        entries = self.ledger.place(observed, self.ledger.open(observed), self.describe)
        for entry in entries:
            event = decode(entry.body).data
            assert isinstance(event, events.ContainerEvent)
            self.told.append(event)

    def submit(self, observed: Observed) -> None:
        self.place([observed])

    def consult(self, question: Callable[[Ledger], Iterable[Observed]]) -> None:
        self.place(question(self.ledger))


class News:
    """A dockerd that tells what it is given, and then is gone."""

    def __init__(self, *times: list[EngineContainer] | EngineLost) -> None:
        self._times = list(times)
        self.done = asyncio.Event()

    def known(self, containers: Collection[str]) -> Mapping[str, EngineContainer]:
        return {}

    def describe(self, containers: Collection[str], within_s: float) -> Mapping[str, EngineContainer]:
        return {}

    async def news(self) -> AsyncIterator[EngineNews]:
        while self._times:
            one = self._times.pop(0)
            if isinstance(one, EngineLost):
                raise one
            yield EngineNews(one, Nanos(8))
        self.done.set()
        await asyncio.Event().wait()


async def heard(log: Log, *times: list[EngineContainer] | EngineLost) -> list[events.ContainerEvent]:
    """What is recorded of this."""
    before = len(log.told)
    engine = News(*times)

    async def away() -> None:
        raise SourceLost("containerd is away")

    async def at_once() -> None:
        pass

    feed = EngineFeed(engine, log, caught_up=away, repaired=at_once)
    running = asyncio.ensure_future(feed.run())
    await engine.done.wait()
    running.cancel()
    await asyncio.wait([running])
    return log.told[before:]


@pytest.fixture
def log() -> Log:
    found = Log()
    found.record(
        events.ContainerCreate(id="a1"),
        events.TaskCreate(container_id="a1", pid=7),
        events.TaskStart(container_id="a1", pid=7),
    )
    return found


async def test_a_name_that_came_late_is_told_once_and_stands_in_every_event_after_it(log: Log) -> None:
    [update] = await heard(log, [WEB], [WEB])
    assert isinstance(update, events.ContainerUpdate)
    assert (update.name, update.image, update.labels) == ("web", "nginx:1", {**BARE, "tier": "front"})
    log.record(events.TaskPaused(container_id="a1"))
    assert isinstance(log.told[-1], events.TaskPaused)
    assert (log.told[-1].name, log.told[-1].labels) == ("web", {**BARE, "tier": "front"})


async def test_a_record_that_changes_in_containerd_keeps_the_name(log: Log) -> None:
    await heard(log, [WEB])
    log.record(events.ContainerUpdate(id="a1", labels={**BARE, "more": "1"}))
    update = log.told[-1]
    assert isinstance(update, events.ContainerUpdate)
    assert (update.name, update.labels) == ("web", {**BARE, "tier": "front", "more": "1"})


@pytest.mark.parametrize("health", ["starting", "healthy", "unhealthy"])
async def test_health_is_told_where_it_is_another_one(log: Log, health: str) -> None:
    one = EngineContainer(id="a1", name="web", image="nginx:1", labels={"tier": "front"}, health=health)
    told = await heard(log, [one], [one])
    assert [event.word for event in told] == ["container-update", "health"]
    assert log.ledger.state("moby", "a1").health == health
    log.record(events.TaskExit(container_id="a1", id="a1", pid=7, exit_status=0))
    assert log.ledger.state("moby", "a1").health == health  # of the last task, as all else
    log.record(events.TaskCreate(container_id="a1", pid=8))
    assert log.ledger.state("moby", "a1").health is None


async def test_of_a_container_that_is_not_in_the_log_or_does_not_run_nothing_is_told(log: Log) -> None:
    stranger = EngineContainer(id="z9", name="z", image="z", health="healthy")
    assert await heard(log, [stranger]) == []
    log.record(events.TaskExit(container_id="a1", id="a1", pid=7, exit_status=0))
    sick = EngineContainer(id="a1", name="web", image="nginx:1", labels={"tier": "front"}, health="unhealthy")
    assert [event.word for event in await heard(log, [sick])] == ["container-update"]
    log.record(events.ContainerDelete(id="a1"))
    assert await heard(log, [EngineContainer(id="a1", name="new", image="nginx:1")]) == []


async def test_a_dockerd_that_is_away_is_logged_once_and_reached_again(
    log: Log, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.0)
    gone = [EngineLost(f"for the {n}th time") for n in range(5)]
    told = await heard(log, *gone, [WEB], [WEB])
    assert [event.word for event in told] == ["container-update"]
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "0th" in caplog.text
    assert "again" in caplog.text
