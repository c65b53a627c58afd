"""The services of `examples/client`, each on a whole bridge in memory."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from bridge.client import sync
from bridge.rehearsal import Stage, rehearse
from bridge.testing import Program
from examples.client.audit_sqlite import audit
from examples.client.metrics import Metrics, follow
from examples.client.morning_report import report
from examples.client.restart_on_oom import Restarter


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with rehearse("n1") as stage:
        yield stage


@asynccontextmanager
async def running(service: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Let a service run for the length of the block; it may not end by itself."""
    task = asyncio.create_task(service)
    try:
        yield task
    finally:
        assert not task.done(), task.exception()
        task.cancel()
        await asyncio.wait([task])


async def until(holds: Callable[[], object], service: asyncio.Task[None]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            assert not service.done(), service.exception()
            await asyncio.sleep(0.01)


async def test_restart_on_oom(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    host = stage.containerd("n1")
    for name, labels in (("web.1", {"restart": "on-oom"}), ("db", {})):
        await host.run("default", name, labels=labels)
    said: list[str] = []

    def heard(count: int) -> Callable[[], bool]:
        def look() -> bool:
            said.extend(capsys.readouterr().out.splitlines())
            return len(said) >= count

        return look

    async with running(Restarter(stage.bus, most=2).run(label="restart=on-oom")) as service:
        await until(lambda: stage.durable.places, service)
        host.oom("default", "db")
        for times in (1, 2, 3):
            host.oom("default", "web.1")
            await until(heard(times), service)
    assert said[0].startswith("web.1: restarted as process")
    assert said[2] == "web.1: 3 times within ten minutes, it is left alone"
    assert len(said) == 3


async def test_restart_on_oom_restarts_once_where_an_event_comes_twice(stage: Stage) -> None:
    host = stage.containerd("n1")
    await host.run("default", "web.1")
    host.oom("default", "web.1")
    await stage.settled()
    [event] = [event async for event in stage.bus.events(type="oom", follow=False)]

    first, again = [await Restarter(stage.bus).handle(event) for _ in range(2)]

    assert again == first
    await stage.settled()
    assert len([event async for event in stage.bus.events(type="start", follow=False)]) == 2


async def test_audit_sqlite(stage: Stage, tmp_path: Path) -> None:
    host, file = stage.containerd("n1"), tmp_path / "audit.db"
    await host.run("default", "job", Program(exits=3))
    await host.run("default", "web.1")
    await (await stage.bus.container("web.1")).stop()
    await stage.settled()

    def rows(query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(file)) as db:
            try:
                return db.execute(query).fetchall()
            except sqlite3.OperationalError:  # it is not made yet
                return []

    exits = "select container, exit_status from exits order by sequence"
    async with running(audit(stage.bus, file)) as service:
        await until(lambda: len(rows(exits)) == 2, service)
        commands = rows("select container, verb, phase, outcome from commands order by sequence")
    stage.durable.places["audit-sqlite"] = 0  # as if nothing had been acknowledged before a crash
    async with running(audit(stage.bus, file)) as service:
        await host.run("default", "job-2", Program(exits=4))
        await until(lambda: len(rows(exits)) == 3, service)
    assert rows(exits) == [("job", 3), ("web.1", 143), ("job-2", 4)]
    assert commands == [("web.1", "stop", "started", None), ("web.1", "stop", "finished", "ok")]


async def test_metrics(stage: Stage) -> None:
    registry = CollectorRegistry()
    host = stage.containerd("n1")
    await host.run("default", "web.1")
    await stage.settled()

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, {"node": "n1", **labels})

    async with running(follow(stage.bus, Metrics(registry))) as service:
        await until(lambda: value("containerd_containers", status="running") == 1, service)
        await host.run("default", "job", Program(exits=3))
        await until(lambda: value("containerd_task_exits_total", namespace="default", status="3") == 1, service)
        await until(lambda: value("containerd_containers", status="stopped") == 1, service)
    assert value("containerd_task_starts_total", namespace="default") == 1


@pytest.fixture
def waited(stage_of_yesterday: Callable[[], Any]) -> Iterator[sync.Bus]:
    with sync.opened(stage_of_yesterday()) as bus:
        yield bus


@pytest.fixture
def stage_of_yesterday() -> Callable[[], Any]:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Any]:
        async with rehearse("n1") as stage:
            host = stage.containerd("n1")
            await host.run("default", "job", Program(exits=3))
            await host.run("default", "web.1")
            host.oom("default", "web.1")
            await stage.settled()
            yield stage.bus

    return opened


def test_the_morning_report_is_a_script(waited: sync.Bus) -> None:
    lines = report(waited, "1h")
    assert "   1 x n1/job ended with 3" in lines
    assert "   1 x n1/web.1 ran out of memory" in lines
    assert lines[-1] == "0 gaps in what is known"
