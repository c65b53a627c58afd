"""docs/page.md: what is called there prints what is shown, and serves the page; its pictures are small."""

from __future__ import annotations

import asyncio
import re
import shlex
import signal
import sys
from pathlib import Path
from typing import Final

import httpx
import pytest

from bridge.page.actions import VERBS
from tests.fix_bridge import WITHIN_S, BridgeFactory
from tests.pages import blocks, differs, shown
from tests.testbed import Ctr

CLAIMED: Final = blocks("docs/page.md", "console")
CALLS: Final = {shlex.split(call.command)[1]: call for block in CLAIMED for call in shown(block)}
DOCS: Final = Path(__file__).parents[2] / "docs"
LINK: Final = re.compile(r"http://127\.0\.0\.1:\d+/#token=\S+")


def words_of(name: str, nats_url: str) -> list[str]:
    """The call on the page, on the bus of this test and on a free port."""
    words = shlex.split(CALLS[name].command)[1:]
    if "--http" in words:
        words[words.index("--http") + 1] = "127.0.0.1:0"
    else:
        words += ["--http", "127.0.0.1:0"]
    return [nats_url if word.startswith("nats://") else word for word in words]


async def opened(link: str) -> str:
    """What the link gives a browser, and a program that brings the token."""
    url, _, token = link.partition("#token=")
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=WITHIN_S) as client:
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/api/about")).status_code == 401
        answer = await client.get("/api/about", headers={"Authorization": f"Bearer {token}"})
        assert answer.json()["verbs"] == list(VERBS)
        return (await client.get("/")).text


async def test_the_page_of_its_own_prints_the_link(nats_url: str) -> None:
    words = [sys.executable, "-m", "bridge", *words_of("page", nats_url)]
    process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        port = line.split(":")[2].partition("/")[0]
        assert differs(CALLS["page"].lines, [line.rstrip().replace(port, "9465")]) == ""
        assert "<title>containerd-bridge</title>" in await opened(line.strip())
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(WITHIN_S):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.nats
async def test_the_daemon_logs_the_link(bridge_factory: BridgeFactory, ctr: Ctr, nats_url: str, tmp_path: Path) -> None:
    words = words_of("serve", nats_url)[1:]
    here = ("--containerd", ctr.host.address, "--state-dir", tmp_path / "state", "--fifo-dir", ctr.host.fifo_dir)
    daemon = bridge_factory(*words, *here, "--node", "n1")
    number = await asyncio.to_thread(daemon.until_logged, "the page is at")
    link = LINK.search(daemon.log[number - 1])
    assert link is not None
    assert "<title>containerd-bridge</title>" in await opened(link[0])
    assert await asyncio.to_thread(daemon.stop) == 0


def test_the_pictures_of_the_page_are_small() -> None:
    named = set(re.findall(r"images/(page-[a-z]+\.png)", (DOCS / "page.md").read_text("utf-8")))
    there = {file.name: file.stat().st_size for file in (DOCS / "images").glob("page-*.png")}
    assert named == set(there)
    assert len(there) <= 4
    assert {name for name, size in there.items() if size > 200_000} == set()
