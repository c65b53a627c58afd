"""docs/operations.md, "Backup and restore", carried out on a real bridge: each block as it stands, but for the two paths."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fix_bridge import Bridge, BridgeFactory, until_stored
from tests.fix_nats import NatsServerFactory
from tests.guards import lacking
from tests.integration.test_serve import told_by_ctr, told_by_us
from tests.integration.test_serve_disk import exit_of, of_containers
from tests.pages import blocks
from tests.testbed import Ctr, NatsServer

CLAIMED = blocks("docs/operations.md", "sh")
BACKUP, RESTORE, AWAY = CLAIMED

COUNTING = (
    "sh",
    "-c",
    "trap 'echo hit >>/hits' USR1; trap 'exit 0' TERM; echo ready >/ready; while :; do sleep 0.1; done",
)

Page = Callable[[object], None]


@pytest.fixture
def page(tmp_path: Path) -> Page:
    """Runs a block of the page."""
    if shutil.which("sqlite3") is None:
        lacking("there is no sqlite3 here: install the package sqlite3")

    def run(block: object) -> None:
        text = str(getattr(block, "text", block))
        text = text.replace("/var/lib/containerd-bridge", str(tmp_path / "state"))
        text = text.replace("/var/backups/containerd-bridge", str(tmp_path / "backup"))
        assert str(tmp_path) in text
        done = subprocess.run(["sh", "-eu", "-c", text], capture_output=True, text=True, check=False, timeout=200)
        assert done.returncode == 0, done.stderr

    return run


def cli(server: NatsServer, *words: str) -> str:
    command, *rest = words
    asked = [sys.executable, "-m", "bridge", command, "--nats", server.url, *rest]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def server(nats_server_factory: NatsServerFactory) -> NatsServer:
    return nats_server_factory()


@pytest.fixture
def bridge(bridge_factory: BridgeFactory, ctr: Ctr, server: NatsServer, tmp_path: Path) -> Bridge:
    bridge = bridge_factory(
        *("--containerd", ctr.host.address, "--nats", server.url, "--node", "n1", "--state-dir", tmp_path / "state"),
        *("--commands", "all", "--fifo-dir", ctr.host.fifo_dir, "--namespace", ctr.namespace),
    )
    bridge.live()
    return bridge


def test_a_lost_state_directory_is_restored_and_no_command_runs_twice(
    page: Page, bridge: Bridge, ctr: Ctr, server: NatsServer, tmp_path: Path
) -> None:
    with ctr.events() as seen:
        ctr.run("web.1", *COUNTING)
        while "ready" not in cli(
            server, "exec", "-n", ctr.namespace, "web.1", "sh", "-c", "cat /ready 2>/dev/null || :"
        ):
            pass
        kill = ("kill", "-s", "USR1", "--command-id", "kill-0001", "-n", ctr.namespace, "web.1")
        cli(server, *kill)
        page(BACKUP)  # while it works
        for name in ("outbox", "journal"):
            with sqlite3.connect(tmp_path / "backup" / f"{name}.db") as copy:
                assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            copy.close()
        ctr.run("web.2", "true")
        seen.until_topic("/tasks/exit", "web.2")
        until_stored(server.url, exit_of("web.2"))
        bridge.kill()
        shutil.rmtree(tmp_path / "state")
        page(RESTORE)
        bridge.start()
        assert bridge.process.wait(90) == 2
        bridge.until_ended()
        assert "it was restored from an older copy" in bridge.log[-1]
        page(AWAY)
        after = len(bridge.log)
        bridge.start()
        bridge.live(after=bridge.until_logged("a new outbox for a node that has a log", after=after))
        cli(server, *kill)  # its outcome is known; it is not done again
        hits = cli(server, "exec", "-n", ctr.namespace, "web.1", "cat", "/hits")
        assert hits.splitlines() == ["hit"]
        ctr.run("web.3", "true")
        seen.until_topic("/tasks/exit", "web.3")
    messages = until_stored(server.url, exit_of("web.3"))
    for numbers in of_containers(messages).values():
        assert numbers == list(range(1, len(numbers) + 1))
    told, expected = told_by_us(messages), told_by_ctr(seen.seen)
    assert {name: told[name] for name in ("web.2", "web.3")} == {name: expected[name] for name in ("web.2", "web.3")}


def test_what_waited_for_nats_when_the_backup_was_made_reaches_the_log(
    page: Page, bridge: Bridge, ctr: Ctr, server: NatsServer, tmp_path: Path
) -> None:
    after = len(bridge.log)
    server.kill()
    with ctr.events() as seen:
        ctr.run("web.1", "sh", "-c", "exit 3")
        seen.until_topic("/tasks/exit", "web.1")
    committed = tmp_path / "state" / "outbox.db"
    while not holds(committed, ctr.namespace, "web.1"):
        pass
    page(BACKUP)
    bridge.kill()
    shutil.rmtree(tmp_path / "state")
    page(RESTORE)
    server.start()
    bridge.start()
    bridge.live(after=after)
    messages = until_stored(server.url, exit_of("web.1"))
    assert told_by_us(messages)["web.1"] == told_by_ctr(seen.seen)["web.1"]


def holds(path: Path, namespace: str, container: str) -> bool:
    """Tell whether the exit of a container is on disk, by its state there."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        found = db.execute(
            "SELECT state FROM containers WHERE namespace = ? AND container = ?", (namespace, container)
        ).fetchone()
    finally:
        db.close()
    return found is not None and b"stopped" in bytes(found[0])
