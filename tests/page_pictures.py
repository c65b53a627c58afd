"""The pictures of docs/page.md, taken of the real page in a real Chromium: `python -m tests.page_pictures`.

Taken anew when the page looks different, and not at each test: what the fonts of a machine look like is nobody's mistake.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from bridge.client import Bus
from bridge.rehearsal import Stage, rehearse
from bridge.testing import Program
from tests.browser import Browser, Tab
from tests.unit.page.served import TOKEN, served

FOLDER: Final = Path(__file__).parent.parent / "docs" / "images"
NODES: Final = ("edge-7", "rack-1", "rack-2")
APPS: Final = {
    "web": "nginx:1.29",
    "api": "shop/api:4.2",
    "db": "postgres:18",
    "cache": "valkey/valkey:9",
    "queue": "nats:2.15",
    "mailer": "shop/mailer:1.7",
    "search": "shop/search:2.0",
    "thumbs": "shop/thumbs:0.9",
    "report": "shop/report:3.1",
}
LOGGED: Final = b"PID   USER     COMMAND\n    1 root     nginx: master process\n   17 www      nginx: worker process\n"
WORKER: Final = "[data-key='rack-1/shop/thumbs']"


async def play(stage: Stage) -> None:
    """Let a shop run on three nodes, and let things happen to it."""
    for node in NODES:
        host = stage.containerd(node)
        host.programs["ps"] = Program(says=LOGGED, exits=0)
        for app, image in APPS.items():
            await host.run("shop", app, image=f"docker.io/library/{image}", labels={"app": app, "tier": "front"})
    await stage.settled()


async def happen(stage: Stage) -> None:
    """Let the worker of one node fail, be run again, be paused, and a bridge lose its containerd."""
    bus: Bus = stage.bus
    for node, app in (("rack-2", "report"), ("edge-7", "search")):
        stage.containerd(node).end("shop", app, 0 if app == "report" else 1)
    stage.containerd("rack-1").oom("shop", "thumbs")
    await stage.settled()
    thumbs = await bus.container("thumbs", node="rack-1", namespace="shop")
    await thumbs.restart(grace=1)
    await asyncio.sleep(3)  # so that there is something between two events to be seen
    with stage.containerd("rack-1").down("containerd was restarted"):
        await asyncio.sleep(0.5)
    await stage.settled()
    await asyncio.sleep(2)
    await thumbs.pause()
    await asyncio.sleep(2)
    await thumbs.resume()
    await (await bus.container("queue", node="rack-2", namespace="shop")).pause()
    await stage.settled()
    await asyncio.sleep(2)


async def take(tab: Tab) -> None:
    """Take the pictures."""
    await tab.until("document.querySelectorAll('#nodes li').length === 3")
    await tab.until("document.querySelectorAll('#rows .row').length > 12")
    await tab.click(WORKER)
    await tab.until("document.querySelectorAll('#steps li').length > 10")
    await save(tab, "page-light")
    await tab.prefers(color_scheme="dark")
    await tab.click("#act")
    await tab.click("[data-verb=restart]")
    await tab.until("document.querySelector('#confirm').open")
    await save(tab, "page-dark")
    await tab.press("Escape")
    await tab.prefers(color_scheme="light")
    await tab.click("#events-switch")
    await tab.click("#scrub-back")
    await tab.until("document.querySelector('#details-word')?.textContent === 'running'")
    await tab.run("document.querySelector('#scrub').focus()")
    await tab.press("ArrowLeft", "ArrowLeft", "ArrowLeft")
    await tab.until("document.querySelector('#details-word')?.textContent === 'paused'")
    await save(tab, "page-timeline")
    await tab.click("#scrub-now")
    await tab.run("document.querySelector('#exec').scrollIntoView()")
    await tab.click("#exec-command")
    await tab.type("ps")
    await tab.press("Enter")
    await tab.until("document.querySelector('#exec-said').textContent.includes('exit status')")
    await tab.size(400, 760)
    await tab.run("document.querySelector('#exec').scrollIntoView({ block: 'end' })")
    await save(tab, "page-narrow")


async def save(tab: Tab, name: str) -> None:
    """Write what is seen."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.png").write_bytes(await tab.picture())


async def main() -> None:
    """Take all of them."""
    async with rehearse(*NODES) as stage:
        await play(stage)
        async with served(stage.bus) as there, Browser() as browser:
            tab = await browser.open(f"{there.url}/#token={TOKEN}", width=1280, height=760)
            await tab.until("document.querySelectorAll('#rows .row').length > 12")
            await happen(stage)
            await take(tab)


if __name__ == "__main__":
    asyncio.run(main())
