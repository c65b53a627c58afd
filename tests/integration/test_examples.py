"""The services of `examples/client` as programs of their own, on a real nats-server."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bridge.jetstream.log import open_log
from bridge.jetstream.streams import ensure_events
from bridge.model.events import TaskExit
from bridge.testing import Scribe
from tests.integration.jetstream_entries import SUBJECTS, connected

pytestmark = pytest.mark.nats


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
