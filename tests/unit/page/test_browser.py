"""The page in a real Chromium, over a bus in memory: a thousand containers, hostile names, the keyboard alone, what is spoken."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import pytest

from bridge.client import Bus, ContainerState
from bridge.model.envelope import Sequence
from bridge.rehearsal import rehearse
from bridge.testing import Program
from tests.browser import Browser, Tab, opened
from tests.unit.page.crowd import Crowd
from tests.unit.page.served import TOKEN, served

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("browser")]

HOSTILE: Final = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>&lt;b&gt;\u202e\u0007\'"`'
CONTROLS: Final = {
    *("button", "textbox", "searchbox", "slider", "spinbutton", "combobox", "link", "grid", "columnheader", "dialog"),
    *("listbox", "checkbox", "region", "complementary", "group"),
}

CONTRAST: Final = """(() => {
  const parse = (text) => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return [r, g, b, a]; };
  const light = ([r, g, b]) => { const f = (c) => { c /= 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
    return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b); };
  const behind = (element) => { for (let at = element; at; at = at.parentElement) {
    const found = parse(getComputedStyle(at).backgroundColor); if (found[3] > 0.99) return found; } return [255, 255, 255, 1]; };
  const poor = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement;
    const text = walk.currentNode.textContent.trim();
    if (!text || !element.checkVisibility() || element.closest(".hidden, :disabled, .skip")) continue;
    const [one, other] = [light(parse(getComputedStyle(element).color)), light(behind(element))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) poor.push(`${element.className || element.tagName}: ${ratio.toFixed(2)} ${text}`);
  }
  return poor;
})()"""

MOST: Final = """
window.most = 0;
const look = () => { window.most = Math.max(window.most, document.querySelectorAll("#rows .row").length); };
new MutationObserver(look).observe(document.getElementById("rows"), { childList: true })
"""
ROW: Final = "[...document.querySelectorAll('#rows .row')]"

Opening = Callable[..., AbstractAsyncContextManager[Tab]]


@pytest.fixture
def shown(browser: Browser) -> Opening:
    """`async with shown(bus) as tab`: the page over a bus, in a tab that has its token."""

    def open_page(bus: Bus, **size: int) -> AbstractAsyncContextManager[Tab]:
        from contextlib import asynccontextmanager

        @asynccontextmanager
        async def context() -> AsyncIterator[Tab]:
            async with served(bus) as there, opened(browser, f"{there.url}/#token={TOKEN}", **size) as tab:
                yield tab

        return context()

    return open_page


async def chosen(tab: Tab) -> Any:
    """The key of the row that the grid names as its active one."""
    active = "document.getElementById('grid').getAttribute('aria-activedescendant')"
    return await tab.run(f"document.getElementById({active})?.dataset.key")


async def test_of_a_thousand_containers_only_those_that_are_seen_are_drawn(shown: Opening) -> None:
    crowd = Crowd()
    await crowd.fill(1000)
    async with shown(crowd.bus) as tab:
        await tab.until_text("#count", "1000 containers")
        await tab.run(MOST)
        names = sorted(crowd.there)
        for at in range(0, 1000, 50):  # each change is told while the next one comes
            await crowd.end(names[at : at + 50], 3)
            await tab.press("PageDown") if at else await tab.click("[data-key='edge-1/default/c0000']")
        await tab.until_text("#status-stopped", "stopped 1000")
        await tab.run("document.getElementById('grid').focus()")
        await tab.press("End")
        await tab.until(
            "[...document.querySelectorAll('#rows .row')].some((row) => row.textContent.includes('service-0999'))"
        )
        most, rows = await tab.run("[window.most, document.querySelectorAll('#rows .row').length]")
        assert 0 < rows <= most < 80
        assert await tab.run("document.querySelectorAll('#events-list li').length") <= 150
        assert await tab.run("document.getElementById('grid').getAttribute('aria-rowcount')") == "1001"
        assert await tab.run("document.querySelectorAll('*').length") < 4000

        await tab.click("#filter")
        await tab.type("service-07 node:rack-3 status:stopped")
        await tab.until_text("#count", "25 of 1000")
        await tab.click(".cell.name button")
        await tab.until("document.querySelector('.head .cell.name').getAttribute('aria-sort') === 'descending'")
        first = f"{ROW}.find((row) => row.getAttribute('aria-rowindex') === '2').textContent"
        assert "service-0799" in await tab.run(first)


async def test_a_click_far_down_opens_what_was_clicked(shown: Opening) -> None:
    crowd = Crowd()
    await crowd.fill(200)
    async with shown(crowd.bus) as tab:
        await tab.until_text("#count", "200 containers")
        await tab.run("document.getElementById('grid').scrollTop = 3000")
        await tab.until("document.querySelector(\"[data-key='edge-1/default/c0104']\")")
        await tab.click("[data-key='edge-1/default/c0104']")
        await tab.until_text("#details-name", "service-0104")
        assert await tab.run("document.getElementById('grid').scrollTop") == 3000


async def test_what_comes_from_containers_is_text_and_nothing_else(shown: Opening) -> None:
    async with rehearse("n1") as stage:
        host = stage.containerd("n1")
        host.programs["say"] = Program(says=HOSTILE.encode(), complains=HOSTILE.encode(), exits=0)
        labels = {"nerdctl/name": HOSTILE, HOSTILE: HOSTILE, "io.kubernetes.container.name": HOSTILE}
        await host.run("default", "web", labels=labels, image=HOSTILE)
        await stage.settled()
        async with shown(stage.bus) as tab:
            await tab.click("[data-key='n1/default/web']")
            await tab.until("document.querySelectorAll('#steps li').length > 1")
            await tab.until("document.querySelector('#state').textContent.includes('onerror')")
            await tab.click("#exec-command")
            await tab.type("say it")
            await tab.press("Enter")
            await tab.until_text("#exec-said", "exit status 0")
            assert (await tab.run("document.querySelector('#exec-output .stdout').textContent")) == HOSTILE
            assert "onerror" in await tab.run("document.querySelector('#rows').textContent")
            await tab.click("#act")
            await tab.click("[data-verb=kill]")
            await tab.until("document.querySelector('#confirm').open")
            await tab.press("Escape")
            assert await tab.run("[typeof window.hacked, document.images.length, document.scripts.length]") == [
                "undefined",
                0,
                1,
            ]
            careless = (
                "(() => { try { document.body.innerHTML = '<b>x</b>'; } catch (error) { return error.name; } })()"
            )
            assert await tab.run(careless) == "TypeError"  # if somebody should ever write so
            assert len(tab.complaints) == 1
            assert "TrustedHTML" in tab.complaints.pop()


async def test_the_keyboard_alone_is_enough(shown: Opening) -> None:
    async with rehearse("n1") as stage:
        for name in ("web", "db", "cache"):
            await stage.containerd("n1").run("default", name)
        await stage.settled()
        async with shown(stage.bus) as tab:
            await tab.until_text("#count", "3 containers")
            await tab.press("/")
            await tab.type("w")
            await tab.until_text("#count", "1 of 3")
            await tab.press("Enter")
            assert await chosen(tab) == "n1/default/web"
            await tab.press("Enter")
            await tab.until_text("#details-name", "web")
            await tab.press("a")
            await tab.until("document.activeElement.dataset.verb === 'pause'")
            await tab.press("Enter")
            await tab.until("document.activeElement.id === 'confirm-leave'")
            assert "n1" in await tab.text("#confirm")
            await tab.press("Tab", "Enter")
            await tab.until_text("#details-word", "paused")
            await tab.until("!document.querySelector('#confirm').open")
            await tab.run("document.getElementById('scrub').focus()")
            await tab.press("Home")
            await tab.until("document.getElementById('scrub').getAttribute('aria-valuetext') !== 'now'")
            await tab.press("Escape")
            await tab.until("document.getElementById('scrub').getAttribute('aria-valuetext') === 'now'")
            await tab.press("Escape")
            await tab.until("document.getElementById('details').hidden && document.activeElement.id === 'grid'")
            await tab.press("?")
            await tab.until("document.getElementById('help').open")
            await tab.press("Escape", "t")
            await tab.until("document.activeElement.id === 'past-slider'")
            await tab.press("Home")
            await tab.until_text("#past-said", ": 0 ran")
            await tab.press("Escape")
            await tab.until_text("#count", "1 of 3")
        await stage.settled()
        assert (await (await stage.bus.container("web")).state()).status == "paused"


async def test_the_focus_stays_where_it_is_while_everything_changes(shown: Opening) -> None:
    crowd = Crowd()
    await crowd.fill(200)
    async with shown(crowd.bus) as tab:
        await tab.until_text("#count", "200 containers")
        await tab.press("/")
        await tab.press("Escape")
        await tab.press("ArrowDown", "ArrowDown", "ArrowDown")
        before = await chosen(tab)
        newer = [
            ContainerState(
                node="rack-1", namespace="default", container=f"a{n}", status="running", sequence=Sequence(1)
            )
            for n in range(40)
        ]
        await crowd.come(newer)
        await tab.until_text("#count", "240 containers")
        await crowd.end(["c0000", "c0001", "c0002", "c0003"], 1)
        await tab.until_text("#status-stopped", "stopped 4")
        assert await tab.run("document.activeElement.id") == "grid"
        assert await chosen(tab) == before
        await tab.press("End")
        await tab.run("document.getElementById('grid').scrollTop = 0")
        await tab.until(
            "[...document.querySelectorAll('#rows .row')].some((row) => row.getAttribute('aria-rowindex') === '2')"
        )
        assert await chosen(tab) == "rack-3/default/c0199"  # out of sight, and there for who does not see


async def test_a_screen_reader_gets_a_name_for_everything(shown: Opening) -> None:
    async with rehearse("n1") as stage:
        await stage.containerd("n1").run("default", "web", labels={"app": "web"})
        await stage.settled()
        async with shown(stage.bus) as tab:
            await tab.click("[data-key='n1/default/web']")
            await tab.until("document.querySelectorAll('#steps li').length > 1")
            await tab.click("#past-open")
            await tab.until("document.querySelectorAll('#nodes li').length === 1")
            spoken = await tab.spoken()
            assert [node for node in spoken if node["role"] in CONTROLS and not node["name"].strip()] == []
            names = {(node["role"], node["name"]) for node in spoken}
            assert {
                ("grid", "Containers"),
                ("searchbox", "Filter containers"),
                ("slider", "Point in the timeline"),
            } <= names
            rows = [node for node in spoken if node["role"] == "row" and "web" in node["name"]]
            assert re.match(r"running web .*n1 default", " ".join(rows[0]["name"].split()))
            await tab.click("#past-close")
            await tab.click("#act")
            await tab.until("document.querySelectorAll('.choices button').length > 3")
            spoken = await tab.spoken()
            assert [node for node in spoken if node["role"] in CONTROLS and not node["name"].strip()] == []
            assert ("dialog", "Actions: web in default on node n1") in {(node["role"], node["name"]) for node in spoken}


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_everything_can_be_read_in_the_light_and_in_the_dark(shown: Opening, scheme: str) -> None:
    async with rehearse("n1") as stage:
        await stage.containerd("n1").run("default", "web", labels={"app": "web"})
        await stage.containerd("n1").run("default", "job", Program(exits=3))
        await stage.settled()
        async with shown(stage.bus) as tab:
            await tab.prefers(color_scheme=scheme)
            await tab.click("[data-key='n1/default/web']")
            await tab.until("document.querySelectorAll('#steps li').length > 1")
            assert await tab.run(CONTRAST) == []
            await tab.click("#act")
            await tab.until("document.querySelectorAll('.choices button').length > 3")
            assert await tab.run(CONTRAST) == []
            await tab.press("Escape")
            other = "dark" if scheme == "light" else "light"
            for _ in range(1 if other == "light" else 2):
                await tab.click("#theme")
            assert await tab.run("document.documentElement.dataset.theme") == other
            assert await tab.run(CONTRAST) == []


@pytest.mark.parametrize(("width", "height", "scale"), [(400, 800, 1.0), (640, 400, 2.0), (320, 640, 1.0)])
async def test_it_fits_a_telephone_and_is_whole_at_twice_the_size(
    shown: Opening, width: int, height: int, scale: float
) -> None:
    crowd = Crowd()
    await crowd.fill(50)
    async with shown(crowd.bus, width=width, height=height) as tab:
        await tab.size(width, height, scale=scale)
        await tab.until_text("#count", "50 containers")
        fits = "document.scrollingElement.scrollWidth <= document.documentElement.clientWidth"
        assert await tab.run(fits)
        await tab.click("[data-key='edge-1/default/c0000']")
        await tab.until_text("#details-name", "service-0000")
        assert await tab.run(fits)
        await tab.click("#details-close")
        await tab.until("document.getElementById('details').hidden")


async def test_who_has_no_token_is_asked_for_it(browser: Browser) -> None:
    crowd = Crowd()
    await crowd.fill(3)
    async with served(crowd.bus) as there:
        tab = await browser.open(f"{there.url}/")
        await tab.until("document.getElementById('enter').open")
        assert "c0000" not in await tab.text()
        await tab.click("#enter-token")
        await tab.type("wrong-wrong-wrong-wrong")
        await tab.press("Enter")
        await tab.until_text("#enter-said", "no token")
        await tab.run("document.getElementById('enter-token').select()")
        await tab.type(TOKEN)
        await tab.press("Enter")
        await tab.until_text("#count", "3 containers")
        assert json.dumps(await tab.run("[location.href, document.cookie]")).count(TOKEN) == 0
        await tab.close()
