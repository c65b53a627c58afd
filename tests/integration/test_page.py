"""The page of a real bridge on a real containerd, clicked through in a real browser; and the one that stands alone."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.browser import Browser, opened
from tests.fix_bridge import WITHIN_S, Bridge, BridgeFactory, is_end, until_stored
from tests.testbed import Ctr

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("browser")]

POLICY = """
default = "allow"

[[rules]]
name = "the database stays as it is"
effect = "deny"
containers = ["db"]
verbs = ["kill", "delete", "exec"]
"""
LINK = re.compile(r"http://127\.0\.0\.1:\d+/#token=\S+")
STATUS = "document.querySelector(\"[data-key='n1/{}/{}'] .status\")?.textContent.includes('{}')"


@pytest.fixture
def bridge(bridge_factory: BridgeFactory, ctr: Ctr, nats_url: str, tmp_path: Path) -> Bridge:
    """A live daemon with a policy and a page."""
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY)
    daemon = bridge_factory(
        *("--containerd", ctr.host.address, "--nats", nats_url, "--node", "n1", "--namespace", ctr.namespace),
        *("--state-dir", tmp_path / "state", "--commands", "all", "--fifo-dir", ctr.host.fifo_dir),
        *("--policy", policy, "--http", "127.0.0.1:0", "--page"),
    )
    daemon.live()
    return daemon


def link_of(daemon: Bridge) -> str:
    """The link that the daemon has logged."""
    number = daemon.until_logged("the page is at")
    line = daemon.log[number - 1]
    found = LINK.search(line)
    assert found is not None, line
    return found[0]


async def test_a_page_is_clicked_through(browser: Browser, bridge: Bridge, ctr: Ctr, nats_url: str) -> None:
    """Rows appear; what ends shows; what was is scrubbed to; a dialog pauses; an exec is seen to its end; a refusal is told."""
    link, ns = await asyncio.to_thread(link_of, bridge), ctr.namespace
    async with opened(browser, link) as tab:
        await tab.until_text("#empty", "No container is known yet")
        for name in ("web", "db"):
            await asyncio.to_thread(ctr.run, name, "sleep", "1000")
        await tab.until(STATUS.format(ns, "web", "running"))
        await tab.until(STATUS.format(ns, "db", "running"))
        await tab.until("document.querySelector('#nodes .node')?.dataset.condition === 'live'")

        await tab.click(f"[data-key='n1/{ns}/web']")
        await tab.until_text("#details-word", "running")
        await tab.until("document.querySelector('#steps').textContent.includes('start')")
        await tab.click("#exec-command")
        await tab.type("sh -c 'echo seen; echo heard >&2; exit 3'")
        await tab.click("#exec-run")
        await tab.until_text("#exec-said", "exit status 3")
        assert await tab.run("document.querySelector('#exec-output .stdout').textContent") == "seen\n"
        assert "heard" in await tab.run("document.querySelector('#exec-output .stderr').textContent")

        await tab.run("document.querySelector('#exec-command').value = ''")
        await tab.click("#exec-command")
        await tab.type("sleep 1000")
        await tab.press("Enter")
        await tab.until_text("#exec-said", "runs as process")
        await tab.click("#exec-cancel")
        await tab.until_text("#exec-said", "exit status 143")

        await tab.click("#act")
        await tab.click("[data-verb=pause]")
        await tab.until("document.querySelector('#confirm').open")
        assert "n1" in await tab.text("#confirm")
        await tab.click("#confirm-go")
        await tab.until(STATUS.format(ns, "web", "paused"))
        await tab.until("!document.querySelector('#confirm').open")
        await tab.click("#act")
        await tab.click("[data-verb=kill]")
        await tab.run("document.querySelector('#confirm-signal').value = 'SIGKILL'")
        await tab.click("#confirm-go")
        await tab.until(STATUS.format(ns, "web", "stopped (137)"))
        await tab.until_text("#details-word", "stopped (137)")

        await tab.until("document.querySelector('#steps').textContent.includes('SIGKILL')")
        await tab.run("document.querySelector('#scrub').focus()")
        await tab.press("Home")
        start = "[...document.querySelectorAll('#steps button')].find((step) => / ?start$|start ?process/.test(step.textContent))"
        await tab.run(f"{start}.scrollIntoView({{block: 'nearest'}})")
        await tab.run(f"{start}.id = 'start-step'")
        await tab.click("#start-step")
        await tab.until_text("#scrub-said", "running")
        await tab.until_text("#details-word", "running")
        assert await tab.run("document.querySelector('#exec').hidden")
        await tab.click("#scrub-now")
        await tab.until_text("#details-word", "stopped (137)")

        await tab.click(f"[data-key='n1/{ns}/db']")
        await tab.until_text("#details-name", "db")
        await tab.click("#act")
        await tab.until("document.querySelector('[data-verb=kill]')?.getAttribute('aria-disabled') === 'true'")
        assert "the database stays as it is" in await tab.text("#choice-kill")
        assert await tab.run("document.querySelector('[data-verb=pause]').getAttribute('aria-disabled')") is None
        await tab.press("Escape")
        await tab.click("#exec-command")
        await tab.type("true")
        await tab.press("Enter")
        await tab.until_text("#exec-said", "the database stays as it is")
    found = await asyncio.to_thread(
        until_stored, nats_url, lambda stored: is_end(stored) and stored.data["verb"] == "kill"
    )
    kills = [
        stored for stored in found if is_end(stored) and stored.data["verb"] == "kill" and not stored.data["dry_run"]
    ]
    assert [(stored.data["outcome"], stored.data["claimed"]) for stored in kills] == [
        ("ok", "containerd-bridge page"),  # the end of the exec, and that of the container
        ("ok", "containerd-bridge page"),
    ]


@pytest.fixture
def alone(bridge: Bridge, nats_url: str, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`containerd-bridge page` on the bus of that bridge."""
    token = tmp_path / "token"
    token.write_text("a-token-in-a-file-of-its-own\n")
    words = ["page", "--nats", nats_url, "--http", "127.0.0.1:0", "--page-token-file", str(token)]
    with subprocess.Popen([sys.executable, "-m", "bridge", *words], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


async def test_a_page_of_its_own_shows_the_same(alone: subprocess.Popen[str], ctr: Ctr) -> None:
    assert alone.stdout is not None
    url = (await asyncio.to_thread(alone.stdout.readline)).strip()
    assert "token" not in url
    await asyncio.to_thread(ctr.run, "web", "sleep", "1000")
    headers = {"Authorization": "Bearer a-token-in-a-file-of-its-own"}
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=WITHIN_S, headers=headers) as client:
        assert (await client.get("/livez", headers={"Authorization": ""})).status_code == 200
        async with client.stream("GET", "/api/stream") as answer:
            lines = answer.aiter_lines()
            async for line in lines:
                rows = json.loads(line.removeprefix("data: ")).get("rows", []) if line.startswith("data: ") else []
                if any(row["id"] == "web" and row["status"] == "running" for row in rows):
                    break
            alone.send_signal(signal.SIGTERM)  # with a browser that looks
            async for _ in lines:
                pass
    assert await asyncio.to_thread(alone.wait, WITHIN_S) == 0
