"""Keeps who commanded what, and how containers ended, in a SQLite file.

    python -m examples.client.audit_sqlite nats://127.0.0.1:4222 audit.db
    sqlite3 audit.db "select time, who, verb, container, outcome from commands order by sequence desc limit 10"

Each event is in the file exactly once: it is acknowledged only when its batch is committed, and one that comes again has an id
that is there. It reads under the name `audit-sqlite`, from the log's beginning the first time, and goes on where it was.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, closing
from pathlib import Path

import msgspec

from bridge.client import Bus, CommandRecorded, StoredEvent, Subscription, TaskExit, connect

NAME = "audit-sqlite"
BATCH = 200
SOON_S = 0.5
"""How long an event may wait for others to be committed with."""

TABLES = """
CREATE TABLE IF NOT EXISTS commands (
  id TEXT PRIMARY KEY, sequence INTEGER, time TEXT, node TEXT, namespace TEXT, container TEXT,
  who TEXT, verb TEXT, phase TEXT, outcome TEXT, options TEXT, command_id TEXT
);
CREATE TABLE IF NOT EXISTS exits (
  id TEXT PRIMARY KEY, sequence INTEGER, time TEXT, node TEXT, namespace TEXT, container TEXT,
  name TEXT, image TEXT, exit_status INTEGER, reason TEXT
);
"""


def store(db: sqlite3.Connection, events: Sequence[StoredEvent]) -> None:
    """Commit these events in one transaction; those that are there already change nothing."""
    with db:
        for event in events:
            place = (event.id, event.stream_sequence, str(event.time), event.node, event.namespace, event.container)
            match event.data:
                case CommandRecorded() as told:
                    who = told.who.user if told.who is not None else told.claimed
                    options = msgspec.json.encode(told.options).decode()
                    what = (who, told.verb, told.phase, told.outcome, options, told.command_id)
                    db.execute("INSERT OR IGNORE INTO commands VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", (*place, *what))
                case TaskExit() as ended:
                    how = (ended.name, ended.image, ended.exit_status, ended.reason)
                    db.execute("INSERT OR IGNORE INTO exits VALUES (?,?,?,?,?,?,?,?,?,?)", (*place, *how))
                case _:
                    pass


async def batches(subscription: Subscription) -> AsyncGenerator[list[StoredEvent], None]:
    """Gather what comes within a moment."""
    batch: list[StoredEvent] = []
    coming = asyncio.ensure_future(anext(subscription))
    try:
        while True:
            done, _ = await asyncio.wait([coming], timeout=SOON_S if batch else None)
            if done:
                batch.append(coming.result())
                coming = asyncio.ensure_future(anext(subscription))
            if len(batch) >= BATCH or not done:
                yield batch
                batch = []
    finally:
        coming.cancel()
        await asyncio.wait([coming])


async def audit(bus: Bus, file: Path) -> None:
    """Follow the log for ever."""
    with closing(sqlite3.connect(file)) as db:
        db.executescript(TABLES)
        async with (
            bus.subscribe(NAME, type=["command", "exit"], since=1, acknowledge="by-hand") as subscription,
            aclosing(batches(subscription)) as found,
        ):
            async for batch in found:
                store(db, batch)
                await subscription.acknowledge(batch[-1])


async def main() -> None:
    """Read the arguments, and run."""
    parser = argparse.ArgumentParser(description="Keep commands and exits in a SQLite file.")
    parser.add_argument("nats", help="URL of NATS")
    parser.add_argument("file", type=Path, help="the SQLite file")
    options = parser.parse_args()
    async with connect(options.nats, name=NAME) as bus:
        await audit(bus, options.file)


if __name__ == "__main__":
    asyncio.run(main())
