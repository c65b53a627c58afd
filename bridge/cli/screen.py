"""A terminal that is drawn on again and again, and the keys that are pressed meanwhile.

However it ends, the terminal is left as it was: its mode, its cursor, what stood on it. Keys are read only where standard
input is a terminal too, and not through a line: each as it is pressed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
import tty
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress

from rich.console import Console
from rich.live import Live
from rich.text import Text

from bridge.cli.colours import colours, is_drawn_on

__all__ = ["Screen", "is_terminal", "screen"]


def is_terminal() -> bool:
    """Tell whether standard output is one that can be drawn on."""
    return is_drawn_on()


class Screen:
    """The terminal while it is drawn on. Made by `screen`."""

    def __init__(self, console: Console, live: Live) -> None:
        self._console = console
        self._live = live
        self._keys: asyncio.Queue[str] = asyncio.Queue(maxsize=64)

    @property
    def height(self) -> int:
        """Lines there are now."""
        return self._console.height

    def draw(self, lines: Sequence[Text | str]) -> None:
        """Show these lines in place of what was there; what is too long or too many is cut."""
        text = Text("\n").join(line if isinstance(line, Text) else Text(line) for line in lines[: self.height])
        text.no_wrap, text.overflow = True, "ellipsis"
        self._live.update(text, refresh=True)

    async def key(self, *, within: float) -> str | None:
        """Return the next key, None when none was pressed within so many seconds."""
        try:
            return await asyncio.wait_for(self._keys.get(), within)
        except TimeoutError:
            return None

    def press(self, keys: str) -> None:
        """Note keys that were pressed; those that nobody reads in time are forgotten."""
        for key in keys:
            with suppress(asyncio.QueueFull):
                self._keys.put_nowait(key)


@asynccontextmanager
async def screen(*, whole: bool) -> AsyncIterator[Screen]:
    """Draw on the terminal; on the whole of it, or below what stands there.

    A SIGTERM or SIGHUP cancels what is inside, so that the terminal is left in order; being stopped by a key is not possible.
    """
    # LINES and COLUMNS are of the moment at which somebody exported them; a window changes.
    environment = {name: value for name, value in os.environ.items() if name not in {"LINES", "COLUMNS"}}
    console = Console(
        highlight=False, markup=False, emoji=False, no_color=colours(environment) == "none", _environ=environment
    )
    live = Live(
        console=console,
        screen=whole,
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
        vertical_overflow="crop",
    )
    drawn = Screen(console, live)
    with _ended_in_order(), live, _keys(drawn):
        yield drawn


@contextmanager
def _keys(drawn: Screen) -> Iterator[None]:
    """Have the keys pressed read, where there is a keyboard."""
    if not sys.stdin.isatty():
        yield
        return
    loop, keyboard = asyncio.get_running_loop(), sys.stdin.fileno()

    def read() -> None:
        try:
            pressed = os.read(keyboard, 64)
        except OSError:
            pressed = b""
        if not pressed:
            loop.remove_reader(keyboard)
        drawn.press(pressed.decode("utf-8", "ignore"))

    before = termios.tcgetattr(keyboard)
    try:
        tty.setcbreak(keyboard)
        loop.add_reader(keyboard, read)
        yield
    finally:
        loop.remove_reader(keyboard)
        termios.tcsetattr(keyboard, termios.TCSAFLUSH, before)


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """Let the signals that end a process do so only after the terminal is in order."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    received: list[int] = []

    def end(number: int) -> None:
        received.append(number)
        if task is not None:
            task.cancel()

    ending = (signal.SIGTERM, signal.SIGHUP)
    stopped = signal.signal(signal.SIGTSTP, signal.SIG_IGN)
    for number in ending:
        loop.add_signal_handler(number, end, number)
    try:
        yield
    except asyncio.CancelledError:
        if not received:
            raise
    finally:
        for number in ending:
            loop.remove_signal_handler(number)
        signal.signal(signal.SIGTSTP, stopped)
    if received:
        signal.raise_signal(received[0])  # nobody catches it any more: whoever waits for us sees what ended us
