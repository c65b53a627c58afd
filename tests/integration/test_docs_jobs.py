"""docs/jobs.md: its commands do what the page shows, its client knows nothing of us, and it has every word there is.

Times, durations and the digits of derived ids are not compared, nor how long ago something was. A job takes a moment, so what the
page shows is waited for.
"""

from __future__ import annotations

import asyncio
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Final, get_args

import nats
import pytest

from bridge.cli import main
from bridge.control.journal import KEPT_S, MOST
from bridge.errors import CODES
from bridge.jetstream.buckets import COMMANDS_KEPT
from bridge.jetstream.job_streams import DUPLICATE_WINDOW, JOBS_KEPT, MOST_QUARANTINED, QUARANTINE_KEPT
from bridge.jetstream.quarantine import headers_of
from bridge.model.commands import PRECONDITIONS
from bridge.model.lifecycle import STATUSES
from bridge.model.nanos import Nanos
from bridge.model.outcomes import OutcomeWord
from bridge.model.outcomes.standing import Stage
from bridge.ports import Quarantined
from bridge.ports.jobs import AGAIN
from tests.fix_bridge import WITHIN_S, Bridge, until_stored
from tests.pages import blocks, differs, shown
from tests.testbed import BUSYBOX, Ctr

CLAIMED: Final = blocks("docs/jobs.md", "console", "python")
PAGE: Final = (Path(__file__).parents[2] / "docs" / "jobs.md").read_text("utf-8")
ENDS: Final = ("sh", "-c", "trap 'exit 0' TERM; while true; do sleep 0.1; done")
STUBBORN: Final = ("sh", "-c", "trap '' TERM; while true; do sleep 0.1; done")
DAY: Final = 86_400


@pytest.fixture
def place(bridge: Bridge, nats_url: str, ctr: Ctr, monkeypatch: pytest.MonkeyPatch) -> str:
    """A node `n1` with the containers of the page; the namespace that the page calls `default`."""
    monkeypatch.setenv("CONTAINERD_BRIDGE_NATS", nats_url)
    ctr("run", "--detach", "--label", "app=web", BUSYBOX, "web.1", *ENDS)
    ctr("run", "--detach", BUSYBOX, "slow", *STUBBORN)
    until_stored(nats_url, lambda message: message.word == "start" and message.event["subject"] == "slow")
    return ctr.namespace


def printed(command: str, namespace: str, nats_url: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    program, *words = shlex.split(
        command.replace(".default.", f".{namespace}.").replace("-n default", f"-n {namespace}")
    )
    if program == "nats":
        _, subject, body = words
        asyncio.run(publish(nats_url, subject, body.encode()))
        return []
    assert program == "containerd-bridge"
    main(words)
    said = capsys.readouterr()
    return [line.replace(namespace, "default") for line in (said.out + said.err).splitlines()]


async def publish(url: str, subject: str, body: bytes) -> None:
    async with await nats.connect(url) as client:
        await client.jetstream(timeout=60).publish(subject, body, headers={"Nats-Msg-Id": subject})


def test_what_the_page_shows_is_what_happens(place: str, nats_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    commands = [one for block in CLAIMED if block.language == "console" for one in shown(block)]
    assert len(commands) > 12
    for one in commands:
        deadline = time.monotonic() + WITHIN_S
        while wrong := differs(one.lines, printed(one.command, place, nats_url, capsys)):
            assert time.monotonic() < deadline, f"{one.command}: {wrong}"
            time.sleep(0.1)


def test_the_client_of_the_page_sends_a_job(place: str, nats_url: str, ctr: Ctr, tmp_path: Path) -> None:
    [block] = [block for block in CLAIMED if block.language == "python"]
    (tmp_path / "client.py").write_text(block.text, "utf-8")
    words = [sys.executable, "-I", str(tmp_path / "client.py"), nats_url, "n1", place, "web.1"]
    for _ in range(2):  # the second time it hears of the first
        ran = subprocess.run(words, capture_output=True, text=True, timeout=90, check=False)
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "ok None\n", "")
    assert ctr.status("web.1") == "PAUSED"


def test_the_page_has_every_word() -> None:
    aside = Quarantined(id="i", node="n", subject="s", body=b"", code="c", why="w", at=Nanos(0))
    told = {*get_args(OutcomeWord), *get_args(Stage), *CODES, *PRECONDITIONS, *headers_of(aside), *STATUSES} - {
        "unknown"
    }
    assert [word for word in sorted(told) if f"`{word}`" not in PAGE] == []
    assert f"`{AGAIN}: 1`" in PAGE


def test_the_page_says_how_long_things_are_kept() -> None:
    in_nats = [JOBS_KEPT, QUARANTINE_KEPT, COMMANDS_KEPT, DUPLICATE_WINDOW]
    assert [kept / 10**9 for kept in in_nats] == [7 * DAY, 30 * DAY, 14 * DAY, 1_800]
    assert [KEPT_S, MOST, MOST_QUARANTINED] == [14 * DAY, 250_000, 100_000]
    for words in ("seven days", "thirty days, the newest 100,000", "fourteen days; beyond 250,000", "for half an hour"):
        assert words in PAGE, "the page has to say what the code does"
