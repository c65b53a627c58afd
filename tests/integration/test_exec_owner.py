"""What becomes of a process of the command line when something happens to it or to its owner."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fix_bridge import Bridge
from tests.testbed import BUSYBOX, Ctr

PROGRAM = [sys.executable, "-m", "bridge"]


@pytest.fixture
def place(bridge: Bridge, nats_url: str, ctr: Ctr) -> list[str]:
    """Options that lead to the container `web`, which runs."""
    bridge.until_logged("is up")
    ctr("run", "--detach", BUSYBOX, "web", "sleep", "1000")
    return ["--nats", nats_url, "--node", "n1", "--namespace", ctr.namespace]


def run(*words: str | Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*PROGRAM, *map(str, words)], capture_output=True, timeout=60, check=False)


def test_who_is_killed_because_the_time_was_up_is_said_to_be(place: list[str]) -> None:
    ran = run("exec", *place, "--timeout", "1", "web", "sleep", "100")
    assert ran.returncode == 137
    assert b"of web was killed: its time was up" in ran.stderr
    assert run("exec", *place, "--timeout", "50", "web", "true").stderr == b""
