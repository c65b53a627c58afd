"""A shell in which the words of the documentation mean ours: `containerd-bridge`, `nats`, `python`, `hostname`.

A command goes to `sh`, as somebody would type it. One that is a call of our own program and nothing else, and has no input, is
made in this process: a page has dozens of them, and Python needs longer to start than most of them to be done.
"""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from bridge.cli import main
from tests.fix_bridge import WITHIN_S
from tests.pages import ROOT, Shown, differs

__all__ = ["Ran", "Shell"]

APART: Final = re.compile(
    r"containerd-bridge( --|$| (serve|top)\b)|.* -\w*i\w*\b|.* --format|[^']*('[^']*'[^']*)*[|;&<>$`\n]", re.DOTALL
)
"""What is a process of its own: what has input, goes on for ever, or is more than a call of our program."""

LOOKS: Final = re.compile(
    r"containerd-bridge (ps|history|nodes|images|inspect|pids|list|doctor|state verify|jobs (list|show)|checkpoint (ls|inspect)"
    r"|events .*--no-follow)\b"
)
"""What may be asked again until it says what is shown: it changes nothing, and what it tells of may need a moment."""

LEFT: Final = (
    (r"containerd-bridge ((exec|run) .*-it\b|attach .*--from-start)", "exit\n", r"[#$] "),
    (r"containerd-bridge (top|stats)\b(?!.*(--no-stream|--json))", "q", "CONTAINER"),
)
"""What is with somebody at a terminal: how it is left, and once it has shown what."""

ENDLESS: Final = (
    (r"containerd-bridge events\b(?!.*(--no-follow|--until))", "TIME"),
    (r"nats sub\b(?!.*--count)", "Subscribing on"),
)
"""What goes on for ever: it is interrupted once it has printed this."""

WORDS: Final = {
    "containerd-bridge": f'exec {sys.executable} -m bridge "$@"',
    "nats": f'exec {sys.executable} -m tests.nats_words "$@"',
    "python": f'exec {sys.executable} "$@"',
    "hostname": "echo n1",
}


class Ran(NamedTuple):
    """What came of a command."""

    status: int
    lines: list[str]


class Shell:
    """Runs commands in a directory of its own, with the bus that the words need in the environment."""

    def __init__(self, directory: Path, url: str, **environ: str) -> None:
        self.directory = directory
        self.instead: dict[str, str] = {}
        """Words of a page -> what they are here, such as the numbers of a disk."""

        programs = directory / ".bin"
        programs.mkdir()
        for word, does in WORDS.items():
            (programs / word).write_text(f"#!/bin/sh\n{does}\n", "utf-8")
            (programs / word).chmod(0o755)
        self.ours: dict[str, str] = {
            "CONTAINERD_BRIDGE_NATS": url,
            "NATS_URL": url,
            "NO_COLOR": "1",
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "TZ": "UTC",
            **environ,
        }

    def run(self, command: str) -> Ran:
        """Run one command to its end; what it writes to standard error stands among what it prints."""
        if command.startswith("containerd-bridge ") and not APART.match(command):
            return self._here(shlex.split(command, comments=True)[1:])
        ran = subprocess.run(
            ["sh", "-c", command],
            cwd=self.directory,
            env={**os.environ, **self.ours},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
        return Ran(ran.returncode, ran.stdout.splitlines())

    def _here(self, words: list[str]) -> Ran:
        file = self.directory / ".said"
        with _said(file), self.environment(), contextlib.chdir(self.directory):
            status = main(words)
        return Ran(status, file.read_text("utf-8").splitlines())

    @contextlib.contextmanager
    def environment(self) -> Iterator[None]:
        """Let the environment of this process be the shell's."""
        before = dict(os.environ)
        os.environ.update(self.ours)
        time.tzset()
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)
            time.tzset()

    def shows(self, one: Shown) -> None:
        """Run a command of a page: it prints what is shown, and where nothing is shown it ends well.

        Raises:
            AssertionError: it says something else.
        """
        deadline = time.monotonic() + WITHIN_S
        while True:
            ran = self._done(one.command)
            wrong = differs(one.lines, ran.lines) if one.lines else "it failed" if ran.status else ""
            if not wrong:
                return
            again = LOOKS.match(one.command) and time.monotonic() < deadline
            assert again, f"{one.command}: status {ran.status}, {wrong}\n" + "\n".join(ran.lines)
            time.sleep(0.1)

    def _done(self, command: str) -> Ran:
        """Run a command in the way that somebody would have to."""
        for there, here in self.instead.items():
            command = command.replace(there, here)
        for pattern, keys, after in LEFT:
            if re.match(pattern, command):
                return self.typed(command, keys, after=after)
        for pattern, after in ENDLESS:
            if re.match(pattern, command):
                return Ran(0, self.interrupted(command, after=after).lines)
        return self.run(command)

    def typed(self, command: str, keys: str, *, after: str) -> Ran:
        """Run a command in a terminal, type `keys` once it has shown what `after` matches, and wait for its end."""
        master, slave = pty.openpty()
        with subprocess.Popen(
            ["sh", "-c", f"exec {command}"],
            cwd=self.directory,
            env={**os.environ, **self.ours, "TERM": "xterm"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        ) as process:
            shown = b""
            try:
                os.close(slave)
                shown = _until(master, after)
                os.write(master, keys.encode())
                shown += _until(master, None)
                status = process.wait(WITHIN_S)
            finally:
                process.kill()
                os.close(master)
        return Ran(status, shown.decode(errors="replace").splitlines())

    def interrupted(self, command: str, *, after: str) -> Ran:
        """Run a command that goes on for ever; Ctrl-C once it has printed what `after` matches."""
        with subprocess.Popen(
            ["sh", "-c", f"exec {command}"],
            cwd=self.directory,
            env={**os.environ, **self.ours, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:
            assert process.stdout is not None
            try:
                said = _until(process.stdout.fileno(), after)
                process.send_signal(signal.SIGINT)
                said += process.stdout.read()
                status = process.wait(WITHIN_S)
            finally:
                process.kill()
        return Ran(status, said.decode(errors="replace").splitlines())


def _until(source: int, pattern: str | None) -> bytes:
    """Read until what came matches, or with None until there is no more."""
    deadline = time.monotonic() + WITHIN_S
    said = b""
    while pattern is None or not re.search(pattern.encode(), said):
        left = deadline - time.monotonic()
        assert left > 0, f"{pattern} does not come, but {said!r}"
        if select.select([source], [], [], left)[0]:
            try:
                piece = os.read(source, 65_536)
            except OSError:  # nobody has the terminal any more
                piece = b""
            if not piece:
                assert pattern is None, f"it ended without {pattern}: {said!r}"
                break
            said += piece
    return said


@contextlib.contextmanager
def _said(file: Path) -> Iterator[None]:
    """Have all that is printed in this process in a file, also what goes past Python's own streams."""
    with (
        file.open("wb") as said,
        io.TextIOWrapper(os.fdopen(os.dup(said.fileno()), "wb"), "utf-8", write_through=True) as text,
    ):
        before = [os.dup(number) for number in (1, 2)]
        try:
            for number in (1, 2):
                os.dup2(said.fileno(), number)
            with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
                yield
        finally:
            for number, whole in zip((1, 2), before, strict=True):
                os.dup2(whole, number)
                os.close(whole)
