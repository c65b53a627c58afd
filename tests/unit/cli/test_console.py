"""What the person's end of a process makes of keys and signals."""

from __future__ import annotations

import asyncio
import signal

import pytest

from bridge.cli.caught import Caught, Rule, catching
from bridge.cli.console import DetachKeys
from bridge.client import Process
from bridge.errors import CommandFailed
from bridge.model.outcomes import ExecResult
from bridge.model.subjects import StdioSubject
from bridge.testing import MemoryStdio


def typed(keys: DetachKeys, *pieces: bytes) -> tuple[bytes, bool]:
    passed = b""
    for piece in pieces:
        more, left = keys.feed(piece)
        passed += more
        if left:
            return passed, True
    return passed, False


@pytest.mark.parametrize(
    ("pieces", "passed", "left"),
    [
        ([b"ls\r"], b"ls\r", False),
        ([b"ls\x10\x11rest"], b"ls", True),
        ([b"\x10", b"\x11"], b"", True),
        ([b"\x10", b"a"], b"\x10a", False),
        ([b"\x10\x10\x11"], b"\x10", True),
        ([b"\x11\x10"], b"\x11", False),
    ],
)
def test_ctrl_p_ctrl_q_leaves_and_everything_else_is_passed_on(pieces: list[bytes], passed: bytes, left: bool) -> None:
    assert typed(DetachKeys(), *pieces) == (passed, left)


def test_other_keys_may_leave_or_none() -> None:
    assert DetachKeys.read("ctrl-x,q") == b"\x18q"
    assert DetachKeys.read("ctrl-@,ctrl-[") == b"\x00\x1b"
    assert DetachKeys.written(b"\x18q") == "ctrl-x q"
    assert typed(DetachKeys(b"\x18q"), b"\x18\x18", b"q") == (b"\x18", True)
    assert typed(DetachKeys(b"aab"), b"aaab") == (b"a", True)
    assert typed(DetachKeys(DetachKeys.read("")), b"\x10\x11") == (b"\x10\x11", False)


@pytest.mark.parametrize("text", ["ctrl-", "ctrl-é", "up", "a,,b", "ctrl-p ctrl-q"])
def test_what_is_no_key_is_said(text: str) -> None:
    with pytest.raises(ValueError, match="is no key"):
        DetachKeys.read(text)


class Target:
    """A process that is sent signals."""

    def __init__(self, error: CommandFailed | None = None) -> None:
        self.got: list[str | int] = []
        self._error = error

    async def signal(self, number: str | int) -> None:
        self.got.append(number)
        if self._error is not None:
            raise self._error

    async def resize(self, _width: int, _height: int) -> None:
        raise NotImplementedError

    def process(self) -> Process:
        subject = StdioSubject("n1", "default", "web", None, "stdout")
        started = ExecResult(session="s")
        return Process(subject, started, MemoryStdio(), resize=self.resize, signal=self.signal, owned=False)


Came = tuple[list[str | int], int | None, list[str]]


async def after(rule: Rule, *numbers: int, early: int = 0, error: CommandFailed | None = None) -> Came:
    """What a process gets, how our part ends, and what is said, of these signals; `early` of them before it is there."""
    said: list[str] = []
    target, caught = Target(error), Caught(rule, said.append)
    for number in numbers[:early]:
        caught.catch(number)
    caught.send_to(target.process())
    for number in numbers[early:]:
        caught.catch(number)
    for _ in range(5):
        await asyncio.sleep(0)
    return target.got, caught.status, said


INT, TERM, HUP, USR1, KILL = signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGKILL


@pytest.mark.parametrize(
    ("rule", "numbers", "got", "status"),
    [
        ("forward", [INT, USR1, HUP, TERM], [INT, USR1, HUP, TERM], None),
        ("forward", [INT, INT, INT], [INT, INT], 130),
        ("forward", [TERM, INT, TERM], [TERM, INT], 143),
        ("interrupt", [INT, INT], [INT, KILL], None),
        ("interrupt", [INT, INT, INT], [INT, KILL], 130),
        ("interrupt", [TERM], [], 143),
        ("leave", [HUP], [], 129),
    ],
)
async def test_signals_are_for_the_process_or_for_us(
    rule: Rule, numbers: list[int], got: list[int], status: int | None
) -> None:
    assert await after(rule, *numbers) == (got, status, [])


async def test_what_comes_before_the_process_waits_for_it() -> None:
    assert await after("forward", INT, USR1, early=2) == ([INT, USR1], None, [])
    assert (await after("interrupt", INT, early=1))[1] == 130


async def test_a_signal_that_does_not_reach_it_is_told() -> None:
    refused = CommandFailed("refused", "not for you")
    assert (await after("forward", INT, error=refused))[2] == ["SIGINT did not reach it: not for you"]
    assert (await after("forward", INT, error=CommandFailed("not_found", "it has ended")))[2] == []


async def test_signals_are_caught_while_somebody_is_there() -> None:
    with catching("leave", print) as caught:
        signal.raise_signal(signal.SIGHUP)
        await asyncio.wait_for(caught.left(), 90)
    assert caught.status == 129
