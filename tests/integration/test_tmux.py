"""What people see: programs that draw on the whole terminal, in one that really draws (tmux), as windows change and people go.

Bytes are looked at in `test_run_cli`; here it is the picture.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fix_bridge import Bridge
from tests.guards import lacking
from tests.terminal import PROGRAM, WITHIN_S
from tests.testbed import Ctr

ROOT = Path(__file__).parents[2]
LEAVE = ("C-p", "C-q")


class Window:
    """A window with a shell in it."""

    def __init__(self, directory: str) -> None:
        self._tmux = ["tmux", "-S", f"{directory}/socket", "-f", "/dev/null"]
        shell = f"cd {shlex.quote(str(ROOT))}; PS1='ready> ' exec bash --norc --noprofile"
        self("new-session", "-d", "-x", "100", "-y", "30", shell)
        self.until("^ready>$")

    def __call__(self, *words: str) -> str:
        # Our own, and no LINES and COLUMNS with it, which readline puts into the process's behind Python's back.
        env = dict(os.environ)
        return subprocess.run([*self._tmux, *words], check=True, capture_output=True, text=True, env=env).stdout

    def type(self, *keys: str) -> None:
        self("send-keys", *keys)

    def run(self, *words: str) -> None:
        self.type(shlex.join([*PROGRAM, *words]), "Enter")

    def resize(self, columns: int, lines: int) -> None:
        self("resize-window", "-x", str(columns), "-y", str(lines))

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self("capture-pane", "-p").splitlines()]

    def until(self, pattern: str, *, line: int | None = None) -> None:
        """Wait until a line of the picture matches, or that one."""
        deadline = time.monotonic() + WITHIN_S
        while not any(re.search(pattern, each) for each in self._chosen(line)):
            assert time.monotonic() < deadline, "\n".join([f"{pattern} is not shown, but:", *self.lines])
            time.sleep(0.05)

    def _chosen(self, line: int | None) -> list[str]:
        lines = self.lines
        return lines if line is None else lines[line : line + 1]

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)


@pytest.fixture
def window() -> Iterator[Window]:
    if shutil.which("tmux") is None:
        lacking("tmux is not installed: `scripts/machine` does that as root")
    with tempfile.TemporaryDirectory(prefix="cb-") as directory:
        one = Window(directory)
        try:
            yield one
        finally:
            one.close()


@pytest.fixture
def place(bridge: Bridge, nats_url: str, ctr: Ctr) -> list[str]:
    bridge.until_logged("is up")
    return ["--nats", nats_url, "--namespace", ctr.namespace]


def test_an_editor_is_drawn_as_the_window_changes_and_when_one_comes_back(window: Window, place: list[str]) -> None:
    window.run("run", *place, "-it", "--id", "ed", "busybox:local", "sh", "-c", "seq 200 > /f; vi /f; sh")
    window.until(r"^1$", line=0)
    window.until(r"- /f 1/200 0%", line=29)
    window.resize(60, 15)
    window.until(r"- /f 1/200 0%", line=14)
    assert window.lines[:14] == [str(number) for number in range(1, 15)]

    window.type(*LEAVE)
    window.until(r"left ed, which goes on")
    window.until("^ready>$")
    window.type("clear", "Enter")
    window.until("^ready>$", line=0)
    window.run("attach", *place, "ed")
    window.until(r"- /f 1/200 0%", line=14)
    assert window.lines[:14] == [str(number) for number in range(1, 15)]

    window.type(":q", "Enter")
    window.until("#$")
    window.type("exit 6", "Enter")
    window.until("^ready>$")
    window.type("echo status $?", "Enter")
    window.until("^status 6$")


def test_keys_of_the_terminal_reach_the_process_and_not_us(window: Window, place: list[str]) -> None:
    window.run("run", *place, "-it", "--rm", "busybox:local", "sh")
    window.until("#$")
    window.type("sleep 1000", "Enter")
    window.until("sleep 1000$")
    window.type("C-c")
    window.type("echo status $?", "Enter")
    window.until("^status 130$")
    window.type("C-d")
    window.until("^ready>$")
    window.type("cat", "Enter")  # the terminal is as before: it shows what is typed, and its keys are signals
    window.type("as before", "Enter")
    window.until("^as before$")
    window.type("C-c")
    window.until(r"\^C$")


def test_top_draws_over_the_window_and_gives_it_back(window: Window, place: list[str], ctr: Ctr) -> None:
    window.run("run", *place, "-d", "--id", "busy", "busybox:local", "sleep", "1000")
    window.until("^busy$")
    window.run("top", *place)
    window.until(r"1 container on 1 node, CPU", line=0)
    window.until(rf"^{ctr.namespace} +busy ")
    window.resize(120, 20)
    window.type("m")
    window.until(r"by memory; c CPU, m memory, q quit$", line=0)
    window.type("q")
    window.until("^busy$")
    window.until("^ready>$")
    assert not [line for line in window.lines if "CPU %" in line]


def test_a_list_a_mistake_and_its_way_out_as_people_see_them(window: Window, place: list[str], ctr: Ctr) -> None:
    window.run("run", *place, "-d", "--id", "web.1", "busybox:local", "sleep", "1000")
    window.until(r"^web\.1$")
    window.type("clear", "Enter")
    window.run("ps", *place)
    window.until(r"^NODE +NAMESPACE")
    window.until(rf"^n1 +{ctr.namespace} +web\.1 .* running")

    window.type("clear", "Enter")
    window.run("stop", *place, "--node", "n1", "wbe.1")
    window.until(r"container wbe\.1 does not exist")
    window.until(r"^Did you mean web\.1 \(node n1, running\)\?")

    window.type("clear", "Enter")
    window.resize(40, 20)  # narrower than any row: the terminal breaks it, and we cut nothing
    window.run("ps", *place, "--at", "1s")
    window.until(r"^NODE +NAMESPACE")
    window.until("^ready>$")
    assert not [line for line in window.lines if "reading the log" in line]  # what said that it works is gone
