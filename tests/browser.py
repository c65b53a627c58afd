"""A real Chromium for tests, without a window, spoken to over a pipe in the words of its developer tools.

    async with Browser() as browser:
        tab = await browser.open(url)
        await tab.click("#filter")
        await tab.type("web")
        await tab.until("document.querySelector('#count').textContent === '1 of 12'")

Everything is done as a person does it: a click is a press of the mouse in the middle of what is seen there, a key is a key.
Nothing is waited for by time: `until` is told by the page itself, at each of its frames, that a condition holds. A pipe needs no
port, and ends the browser together with whoever started it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, Self

from tests.guards import lacking

__all__ = ["Browser", "BrowserError", "Tab"]

WITHIN_S: Final = 120.0
"""Patience with what has to come, on a machine that does much else. It costs only the test that fails."""

SWITCHES: Final = (
    "--headless=new",
    "--no-sandbox",  # for root; what it shows is ours, and what is not is text
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--password-store=basic",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)

KEYS: Final = {
    "Enter": (13, "\r"),
    "Escape": (27, ""),
    "Tab": (9, ""),
    "ArrowDown": (40, ""),
    "ArrowUp": (38, ""),
    "ArrowLeft": (37, ""),
    "ArrowRight": (39, ""),
    "Home": (36, ""),
    "End": (35, ""),
    "PageDown": (34, ""),
    "PageUp": (33, ""),
    " ": (32, " "),
}

UNTIL: Final = """
new Promise((done) => {
  const look = () => { let found; try { found = (%s); } catch (error) { found = false; }
    if (found) done(found); else setTimeout(() => requestAnimationFrame(look), 20); };
  look();
})
"""

MIDDLE: Final = """
(selector) => {
  const element = document.querySelector(selector);
  if (!element || element.disabled) return false;
  element.scrollIntoView({ block: "nearest" });
  const box = element.getBoundingClientRect();
  const place = [box.x + box.width / 2, box.y + box.height / 2];
  const steady = String(window.lastPlace) === String([selector, ...place]);
  window.lastPlace = [selector, ...place];
  return steady && box.width > 0 && element.contains(document.elementFromPoint(...place)) && place;
}
"""
"""Where to click: in the middle of what is seen, lies under nothing, and is where it was when it was looked at before."""


class BrowserError(AssertionError):
    """The browser says that something cannot be done, or a script in it failed."""


class Browser:
    """One browser with a fresh profile; a context that starts it and ends it."""

    def __init__(self) -> None:
        self._numbers = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._tabs: dict[str, Tab] = {}

    async def __aenter__(self) -> Self:
        program = shutil.which("chromium")
        if program is None:
            lacking("no chromium here: scripts/machine installs it, as root")
        assert program is not None
        self._stack = contextlib.AsyncExitStack()
        async with contextlib.AsyncExitStack() as stack:
            profile = stack.enter_context(tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True))
            theirs_in, ours_out = os.pipe()
            ours_in, theirs_out = os.pipe()
            # It reads from descriptor 3 and writes to 4; a shell puts them there.
            words = [program, *SWITCHES, f"--user-data-dir={profile}", "about:blank"]
            self._log = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
            process = await asyncio.create_subprocess_exec(
                *("bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out} {theirs_in}<&- {theirs_out}>&-', "chromium"),
                *words,
                pass_fds=(theirs_in, theirs_out),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                env=os.environ | {"HOME": profile, "LANG": "C.UTF-8", "TZ": "UTC"},
            )
            stack.push_async_callback(self._end, process)
            os.close(theirs_in)
            os.close(theirs_out)
            self._out = stack.enter_context(os.fdopen(ours_out, "wb", buffering=0))
            reader = asyncio.StreamReader(limit=256 << 20)
            transport, _ = await asyncio.get_running_loop().connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours_in, "rb", buffering=0)
            )
            stack.callback(transport.close)
            listening = asyncio.create_task(self._listen(reader))
            stack.callback(listening.cancel)
            await self.send("Browser.getVersion")
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def open(self, url: str, *, width: int = 1280, height: int = 800) -> Tab:
        """Open a tab of this size, which shares no cookies and no storage with others, and go there."""
        context = (await self.send("Target.createBrowserContext"))["browserContextId"]
        target = (await self.send("Target.createTarget", url="about:blank", browserContextId=context))["targetId"]
        session = (await self.send("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        tab = self._tabs[session] = Tab(self, session, context)
        for domain in ("Page", "Runtime", "Log", "Network"):
            await tab.send(f"{domain}.enable")
        await tab.size(width, height)
        await tab.send("Page.navigate", url=url)
        return tab

    async def send(self, method: str, session: str | None = None, **parameters: Any) -> Any:
        """Ask for something and return what comes back."""
        self._numbers += 1
        number = self._numbers
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        message = {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        body = json.dumps(message).encode() + b"\0"
        while body:
            body = body[self._out.write(body) or 0 :]
        try:
            async with asyncio.timeout(WITHIN_S):
                return await answer
        except TimeoutError as error:
            raise BrowserError(f"the browser did not answer {method} {parameters}") from error
        finally:
            self._waiting.pop(number, None)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                message = json.loads((await reader.readuntil(b"\0"))[:-1])
                waiting = self._waiting.get(message.get("id", 0))
                if waiting is not None and not waiting.done():
                    if "error" in message:
                        waiting.set_exception(BrowserError(message["error"]["message"]))
                    else:
                        waiting.set_result(message["result"])
                elif message.get("sessionId") in self._tabs:
                    self._tabs[message["sessionId"]].hear(message["method"], message["params"])
        for left in self._waiting.values():
            if not left.done():
                self._log.seek(0)
                left.set_exception(
                    BrowserError(f"the browser has ended: {self._log.read()[-2000:].decode(errors='replace')}")
                )

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        if process.returncode is None:
            process.kill()
        await process.wait()


class Tab:
    """One page in the browser."""

    def __init__(self, browser: Browser, session: str, context: str) -> None:
        self._browser, self._session, self._context = browser, session, context
        self.complaints: list[str] = []
        """What its console says is wrong: errors, warnings, what the content security policy kept back."""
        self.requested: list[str] = []
        """Every URL that it asked for."""

    def hear(self, method: str, told: dict[str, Any]) -> None:
        """Take note of what happens in it."""
        match method:
            case "Runtime.exceptionThrown":
                details = told["exceptionDetails"]
                self.complaints.append(str(details.get("exception", {}).get("description") or details["text"]))
            case "Runtime.consoleAPICalled" if told["type"] in ("error", "warning", "assert"):
                self.complaints.append(" ".join(str(part.get("value")) for part in told["args"]))
            case "Log.entryAdded" if told["entry"]["level"] in ("error", "warning"):
                self.complaints.append(
                    "{text} {url}".format(text=told["entry"]["text"], url=told["entry"].get("url", ""))
                )
            case "Network.requestWillBeSent":
                self.requested.append(told["request"]["url"])
            case _:
                pass

    async def send(self, method: str, **parameters: Any) -> Any:
        """Ask for something of this tab."""
        return await self._browser.send(method, self._session, **parameters)

    async def close(self) -> None:
        """Close it."""
        await self._browser.send("Target.disposeBrowserContext", browserContextId=self._context)

    # -- looking

    async def run(self, expression: str) -> Any:
        """Return the value of an expression, a promise's when it has one."""
        told = await self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in told:
            raise BrowserError(f"{expression}: {told['exceptionDetails'].get('exception', {}).get('description')}")
        return told["result"].get("value")

    async def until(self, condition: str) -> Any:
        """Wait until a condition holds; return what it is then."""
        try:
            return await self.run(UNTIL % condition)
        except BrowserError as error:
            told = f"the page says:\n{await self.text()}\n{self.complaints}"
            raise BrowserError(f"{condition} did not come true; {told}") from error

    async def until_text(self, selector: str, part: str) -> str:
        """Wait until an element has a text with this part; return the whole."""
        found = f"document.querySelector({json.dumps(selector)})"
        text: str = await self.until(f"{found}.textContent.includes({json.dumps(part)}) && {found}.textContent")
        return text

    async def text(self, selector: str = "body") -> str:
        """Return an element's text as it is seen."""
        return str(await self.run(f"document.querySelector({json.dumps(selector)})?.innerText"))

    async def picture(self, *, full: bool = False) -> bytes:
        """Return what is seen, as a PNG."""
        told = await self.send("Page.captureScreenshot", format="png", captureBeyondViewport=full)
        return base64.b64decode(told["data"])

    async def spoken(self) -> list[dict[str, Any]]:
        """Return what a screen reader gets: the nodes of the accessibility tree with role, name and properties."""
        found = []
        for node in (await self.send("Accessibility.getFullAXTree"))["nodes"]:
            if node.get("ignored"):
                continue
            properties = {each["name"]: each["value"].get("value") for each in node.get("properties", [])}
            texts = {name: node.get(name, {}).get("value", "") for name in ("role", "name", "description", "value")}
            found.append(texts | {"properties": properties})
        return found

    # -- acting

    async def size(self, width: int, height: int, *, scale: float = 1.0) -> None:
        """Give it another size, in CSS pixels."""
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False
        )

    async def prefers(self, **features: str) -> None:
        """Let its user prefer something: `color_scheme="dark"`."""
        wanted = [{"name": f"prefers-{name.replace('_', '-')}", "value": value} for name, value in features.items()]
        await self.send("Emulation.setEmulatedMedia", features=wanted)

    async def click(self, selector: str) -> None:
        """Click in the middle of an element, once it is there, is seen and stays where it is, and nothing lies over it."""
        x, y = await self.until(f"({MIDDLE})({json.dumps(selector)})")
        await self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        for kind in ("mousePressed", "mouseReleased"):
            await self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def press(self, *keys: str, shift: bool = False) -> None:
        """Press keys, one after the other."""
        for key in keys:
            code, text = KEYS.get(key, (ord(key.upper()) if len(key) == 1 else 0, key if len(key) == 1 else ""))
            told = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
            down = "keyDown" if text else "rawKeyDown"
            await self.send("Input.dispatchKeyEvent", type=down, **told, **({"text": text} if text else {}))
            await self.send("Input.dispatchKeyEvent", type="keyUp", **told)

    async def type(self, text: str) -> None:
        """Type a text where the focus is."""
        await self.send("Input.insertText", text=text)


@contextlib.asynccontextmanager
async def opened(browser: Browser, url: str, **size: int) -> AsyncIterator[Tab]:
    """Have a tab while the context lasts; in the end nothing may have been wrong in it, and nothing asked for elsewhere."""
    tab = await browser.open(url, **size)
    try:
        yield tab
        assert tab.complaints == [], tab.complaints
        here = url.partition("/#")[0].rstrip("/")
        elsewhere = [
            asked for asked in tab.requested if not asked.startswith((here + "/", "about:", "data:"))
        ]  # data: is its own
        assert elsewhere == [], elsewhere
    finally:
        await tab.close()


def save(picture: bytes, path: Path) -> None:
    """Write a picture of the docs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture)
