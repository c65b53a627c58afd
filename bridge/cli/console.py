"""The person's end of a process: keys and bytes in, bytes out, and a terminal that is always given back as it was.

Input is read by a thread of its own, since it may be a terminal, a pipe or a file and only a thread can wait for all three; it
reads the next piece when the last one has been taken, so nothing piles up.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import termios
import threading
import tty
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Final

__all__ = ["DetachKeys", "raw_terminal", "read_input", "sizes", "terminal_size", "write_all"]

PIECE: Final = 64 * 1024
SETTLE_S: Final = 0.05
"""A window that is being drawn to another size changes it many times: the last one counts."""

CONTROLLED: Final = "@abcdefghijklmnopqrstuvwxyz[\\]^_"


class DetachKeys:
    """Finds the keys that leave a process without ending it in what is typed.

    As long as the keys typed may become these they are held back: ctrl-p alone reaches the process with the next key.
    """

    USUAL: Final = b"\x10\x11"
    """ctrl-p ctrl-q."""

    def __init__(self, keys: bytes = USUAL) -> None:
        """Take the keys; none for no way to leave."""
        self._keys = keys
        self._held = b""

    @staticmethod
    def read(text: str) -> bytes:
        """Return the keys that docker's words for them mean: single characters and `ctrl-x`, between commas; empty for none.

        Raises:
            ValueError: something is neither.
        """
        keys = b""
        for word in text.split(",") if text else []:
            control = word.removeprefix("ctrl-") if word.startswith("ctrl-") and len(word) == len("ctrl-x") else ""
            if control and control.lower() in CONTROLLED:
                keys += bytes([CONTROLLED.index(control.lower())])
            elif len(word) == 1 and word.isascii():
                keys += word.encode()
            else:
                raise ValueError(f"{word!r} is no key: give single characters or ctrl-x, such as ctrl-p,ctrl-q")
        return keys

    @staticmethod
    def written(keys: bytes) -> str:
        """Return the words for keys, for people to read."""
        return " ".join(f"ctrl-{CONTROLLED[key]}" if key < len(CONTROLLED) else chr(key) for key in keys)

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """Take what was typed; return what of it is for the process, and whether it was left behind that."""
        passed = bytearray()
        for key in (data[index : index + 1] for index in range(len(data))):
            self._held += key
            while not self._keys.startswith(self._held):
                passed += self._held[:1]
                self._held = self._held[1:]
            if self._held and self._held == self._keys:
                return bytes(passed), True
        return bytes(passed), False


@contextlib.contextmanager
def raw_terminal(descriptor: int) -> Iterator[None]:
    """Hand every key on as it is typed; whatever happens, the terminal is afterwards as it was before."""
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor, termios.TCSADRAIN)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def terminal_size() -> tuple[int, int] | None:
    """Return columns and lines of our terminal, None where there is none that has a size."""
    for stream in (sys.__stdin__, sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            size = os.get_terminal_size(stream.fileno())  # type: ignore[union-attr]
            if size.columns and size.lines:
                return size.columns, size.lines
    return None


async def sizes() -> AsyncIterator[tuple[int, int]]:
    """Iterate over the sizes that our terminal takes on, beginning with its present one; for ever."""
    loop, changed = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGWINCH, changed.set)
    try:
        last = None
        while True:
            changed.clear()
            size = terminal_size()
            if size is not None and size != last:
                last = size
                yield size
            await changed.wait()
            await asyncio.sleep(SETTLE_S)
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)


async def read_input(descriptor: int) -> AsyncGenerator[bytes, None]:
    """Iterate over what comes on a descriptor, to its end."""
    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[bytes] = asyncio.Queue()
    wanted = threading.Semaphore(0)
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            try:
                data = os.read(descriptor, PIECE)
            except OSError:
                data = b""
            with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile
                loop.call_soon_threadsafe(arrived.put_nowait, data)
            if not data:
                return
            wanted.acquire()

    threading.Thread(target=read, name="input", daemon=True).start()
    try:
        while data := await arrived.get():
            yield data
            wanted.release()
    finally:
        over.set()
        wanted.release()


async def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it, however slow whoever reads is, while everything else goes on.

    Raises:
        BrokenPipeError: nobody reads.
    """

    def write() -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    await asyncio.to_thread(write)
