"""docs/reading.md: every command in it is carried out, and says what the page shows.

The page tells of a log that is made here, an hour of two hosts. How long ago something was depends on today and is not compared.
"""

from __future__ import annotations

import ast
import asyncio
import shlex
import time
from typing import Any

import pytest
from msgspec.structs import replace

from bridge.cli import main
from bridge.client.folding import key_of
from bridge.jetstream.buckets import ensure_buckets
from bridge.jetstream.log import open_log
from bridge.jetstream.state import open_states
from bridge.jetstream.streams import ensure_events
from bridge.model.codec import encode, encode_any
from bridge.model.events import (
    ContainerCreate,
    ContainerDelete,
    TaskCreate,
    TaskDelete,
    TaskExit,
    TaskOOM,
    TaskStart,
)
from bridge.model.nanos import Nanos, now, parse_rfc3339
from bridge.model.node_events import NodeConnected, NodeGap, NodeHeartbeat
from bridge.ports import Change, Entry
from tests.integration.jetstream_entries import SUBJECTS, connected
from tests.integration.stories import SECOND, Story
from tests.pages import Shown, blocks, differs, shown

CLAIMED = blocks("docs/reading.md", "console", "python")
NOON = parse_rfc3339("2026-11-23T12:00:00Z")
SHOP: dict[str, Any] = {
    "image": "docker.io/library/nginx:1.27",
    "labels": {"app": "shop", "tier": "front"},
    "name": "shop",
    "runtime": "io.containerd.runc.v2",
}
JOB: dict[str, Any] = {"image": "docker.io/library/busybox:1.36", "labels": {"app": "report"}}
DB: dict[str, Any] = {"image": "docker.io/library/postgres:17", "labels": {"app": "db"}}


def commands() -> list[Shown]:
    return [one for block in CLAIMED if block.language == "console" for one in shown(block)]


def an_hour() -> Story:
    """An hour of two hosts: a shop that runs out of memory, a job that fails, a database, and a restart of containerd."""
    told = Story(NOON)

    def tell(event: Any, container: str = "", minutes: float = 0, node: str = "alpha", task: str | None = None) -> None:
        told.tell(event, container, namespace="default", node=node, after=60 * minutes, incarnation=task)

    tell(NodeConnected(containerd_version="2.1.4", containerd_revision="75cb2b7"))
    tell(ContainerCreate(id="web.1", **SHOP), "web.1", 1)
    tell(TaskCreate(container_id="web.1", pid=4101, **SHOP), "web.1", 1.005, task="1")
    tell(TaskStart(container_id="web.1", pid=4101, **SHOP), "web.1", 1.006, task="1")
    tell(TaskStart(container_id="db", pid=811, **DB), "db", 2, node="beta")
    tell(TaskStart(container_id="report-7", pid=4150, **JOB), "report-7", 10)
    tell(TaskExit(container_id="report-7", id="report-7", pid=4150, exit_status=3, **JOB), "report-7", 11)
    tell(TaskOOM(container_id="web.1", **SHOP), "web.1", 20, task="1")
    killed: dict[str, Any] = {"pid": 4101, "exit_status": 137, "exited_at": Nanos(NOON + 1201 * SECOND)}
    tell(TaskExit(container_id="web.1", id="web.1", **killed, **SHOP), "web.1", 20.02, task="1")
    tell(TaskDelete(container_id="web.1", **killed, **SHOP), "web.1", 20.03, task="1")
    tell(TaskCreate(container_id="web.1", pid=4207, **SHOP), "web.1", 20.1, task="2")
    tell(TaskStart(container_id="web.1", pid=4207, **SHOP), "web.1", 20.11, task="2")
    lost = NodeGap(since=Nanos(NOON + 1800 * SECOND), until=Nanos(NOON + 1815 * SECOND), reason="containerd restarted")
    tell(lost, minutes=30.25)
    tell(ContainerDelete(id="report-7", **JOB), "report-7", 40)
    return told


@pytest.fixture
def bus(nats_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The log of the page, its states, and two bridges that beat just now."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setenv("CONTAINERD_BRIDGE_NATS", nats_url)
    told = an_hour()

    async def fill() -> None:
        async with connected(nats_url) as connection:
            await ensure_events(connection, SUBJECTS)
            await ensure_buckets(connection, SUBJECTS)
            log = await open_log(connection, SUBJECTS)
            for node in ("alpha", "beta"):
                told.tell(NodeHeartbeat(probe_ns=1), node=node)
                beat = replace(told.recorded[-1], time=now(), recordedtime=now())
                last = told.entries[-1]
                told.entries[-1] = Entry(n=last.n, id=last.id, subject=last.subject, body=encode(beat))
            await log.append(told.entries)
            states = await open_states(connection, SUBJECTS)
            await states.write([Change(key=key_of(one), value=encode_any(one)) for one in told.states.values()])

    asyncio.run(fill())
    return nats_url


def test_the_page_shows_commands() -> None:
    assert len(commands()) > 15


@pytest.mark.parametrize("one", commands(), ids=lambda one: one.command)
def test_what_the_page_shows_is_what_happens(bus: str, capsys: pytest.CaptureFixture[str], one: Shown) -> None:
    program, *arguments = shlex.split(one.command, comments=True)

    status = main(arguments)

    said = capsys.readouterr()
    assert program == "containerd-bridge"
    assert (status, said.err) == (0, "")
    if one.lines:
        assert differs(one.lines, said.out.splitlines(), exact=True) == ""


def test_the_program_on_the_page_reads_the_log(bus: str) -> None:
    [block] = [block for block in CLAIMED if block.language == "python"]
    said: list[tuple[object, ...]] = []
    text = block.text.replace('"nats://nats.example:4222"', repr(bus))
    code = compile(text, str(block), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    asyncio.run(eval(code, {"print": lambda *words: said.append(words)}))
    assert [type(words[1]).__name__ for words in said[:3]] == ["TaskExit", "TaskDelete", "str"]
    assert ("alpha", "web.1", "running") in said
    assert len(said) > 10
