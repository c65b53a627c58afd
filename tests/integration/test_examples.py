"""The services of `examples/client` as programs of their own, on a real nats-server."""

from __future__ import annotations

import asyncio
import os
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nats.aio.msg import Msg

from bridge.jetstream.api import api
from bridge.jetstream.log import open_log
from bridge.jetstream.streams import ensure_events
from bridge.model.events import TaskExit
from bridge.testing import Scribe
from tests.integration.jetstream_entries import STREAM, SUBJECTS, connected
from tests.nats_client import connect
from tests.pages import blocks, shown

pytestmark = pytest.mark.nats

CLAIMED = blocks("examples/README.md")


async def end(nats_url: str, *statuses: int) -> None:
    """Let jobs end with these statuses."""
    async with connected(nats_url) as connection:
        await ensure_events(connection, SUBJECTS)
        scribe = Scribe(await open_log(connection, SUBJECTS), "n1")
        for status in statuses:
            name = f"job-{status}"
            event = TaskExit(container_id=name, id=name, exit_status=status)
            await scribe.record(event, namespace="default", container=name)


def rows(file: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(file)) as db:
        try:
            return db.execute(query).fetchall()
        except sqlite3.OperationalError:  # it is not made yet
            return []


async def test_the_audit_has_each_exit_once_through_a_kill(nats_url: str, tmp_path: Path) -> None:
    file = tmp_path / "audit.db"
    for expected in (range(1, 31), range(1, 61)):
        await end(nats_url, *expected[-30:])
        audit = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "examples.client.audit_sqlite", nats_url, str(file)
        )
        async with asyncio.timeout(120):
            while len(rows(file, "select * from exits")) < len(expected):
                assert audit.returncode is None
                await asyncio.sleep(0.02)
        audit.kill()
        await audit.wait()
    assert rows(file, "select exit_status from exits order by sequence") == [(status,) for status in range(1, 61)]


async def test_the_faststream_service_tells_failures_and_goes_on_where_it_was(nats_url: str) -> None:
    listener = await connect(nats_url)
    alerts: list[str] = []

    async def on_alert(message: Msg) -> None:
        told = msgspec.json.decode(message.data)
        alerts.append(f"{told['container']} {told['what']}")

    await listener.subscribe("alerts.containers", cb=on_alert)
    await listener.flush()
    for statuses, expected in (((0, 3), ["job-3 ended with 3"]), ((4,), ["job-3 ended with 3", "job-4 ended with 4"])):
        await end(nats_url, *statuses)
        service = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "faststream", "run", "examples.client.faststream_service:app"),
            env=os.environ | {"NATS_URL": nats_url},
        )
        async with asyncio.timeout(120):
            while alerts != expected or await open_ones(nats_url):
                assert service.returncode is None
                await asyncio.sleep(0.02)
        service.terminate()
        await service.wait()
    await listener.close()


async def open_ones(nats_url: str, consumer: str = "alerts") -> int:
    """How many events the service has had and not acknowledged, or not had."""
    async with connected(nats_url) as connection:
        info = await api(connection, f"CONSUMER.INFO.{STREAM}.{consumer}")
    return int(info["num_ack_pending"]) + int(info["num_pending"])


async def test_an_example_is_started_as_the_page_says(nats_url: str) -> None:
    await end(nats_url, 0)
    [[line]] = [shown(block) for block in CLAIMED]
    python, *words = shlex.split(line.command.replace("nats://127.0.0.1:4222", nats_url))
    assert python == "python"
    started = await asyncio.create_subprocess_exec(sys.executable, *words)
    async with asyncio.timeout(120):
        while not await reads(nats_url, "restart-on-oom"):
            assert started.returncode is None
            await asyncio.sleep(0.02)
    started.kill()
    await started.wait()


async def reads(nats_url: str, consumer: str) -> bool:
    async with connected(nats_url) as connection:
        names = await api(connection, f"CONSUMER.NAMES.{STREAM}")
    return consumer in (names["consumers"] or [])


async def test_the_morning_report_is_printed(nats_url: str) -> None:
    await end(nats_url, 0, 3, 3)
    ran = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "examples.client.morning_report", nats_url],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert ran.stdout == "   2 x n1/job-3 ended with 3\n0 gaps in what is known\n"
    assert ran.stderr == ""
