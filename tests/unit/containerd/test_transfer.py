"""A pull is given up when its registry sends nothing, and not while anything comes or containerd has work of its own."""

from __future__ import annotations

import asyncio

import pytest

from bridge.containerd.transfer import _Pace
from bridge.errors import CommandFailed
from bridge.model.commands import Pull
from bridge.model.outcomes import Progress

LAYER = "layer-sha256:abc"


class Call:
    """A call that is answered when the test says so."""

    def __init__(self) -> None:
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.cancelled = False

    def __await__(self):  # type: ignore[no-untyped-def] # a generator of the loop's own
        return self.answered.__await__()

    def cancel(self) -> None:
        self.cancelled = True
        self.answered.cancel()


class Clock:
    """A loop's clock that the test sets; whoever waits on it comes back at once, and time has passed by then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.waits: list[float] = []
        self.meanwhile: list[tuple[float, object]] = []
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self.now)
        monkeypatch.setattr(asyncio, "wait", self.wait)

    async def wait(self, _work: object, *, timeout: float) -> None:
        self.waits.append(timeout)
        if self.meanwhile and self.meanwhile[0][0] <= self.now + timeout:
            self.now, do = self.meanwhile.pop(0)
            assert callable(do)
            do()
        else:
            self.now += timeout
        await asyncio.sleep(0)
        await asyncio.sleep(0)


def told(event: str, *, name: str = LAYER, done: int = 0, total: int = 100) -> Progress:
    return Progress(id="p", name=name, event=event, done=done, total=total)


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def pace() -> _Pace:
    return _Pace(Pull(image="registry.test/web:1", stall=10), lambda _: None)


async def test_a_registry_that_sends_nothing_is_given_up(clock: Clock) -> None:
    call = Call()
    with pytest.raises(CommandFailed, match=r"web:1 has sent nothing for 10 s.*give it longer with stall") as caught:
        await pace().kept(call)
    assert (caught.value.code, call.cancelled, clock.now) == ("deadline_exceeded", True, 10)


async def test_whatever_comes_gives_it_time_and_what_is_told_again_does_not(clock: Clock) -> None:
    call, one = Call(), pace()
    clock.meanwhile = [
        (8.0, lambda: one.told(told("downloading", done=1))),
        (16.0, lambda: one.told(told("downloading", done=2))),
        (24.0, lambda: one.told(told("downloading", done=2))),
    ]
    with pytest.raises(CommandFailed):
        await one.kept(call)
    assert clock.now == 26


async def test_what_has_all_come_may_be_unpacked_for_longer(clock: Clock) -> None:
    call, one = Call(), pace()
    one.told(told("complete", name="manifest-sha256:abc", done=100))
    one.told(told("complete", done=100))
    clock.meanwhile = [(1_000.0, lambda: call.answered.set_result(None))]
    await one.kept(call)
    assert clock.now == 1_000


async def test_a_manifest_alone_is_not_all_that_comes(clock: Clock) -> None:
    one = pace()
    one.told(told("complete", name="manifest-sha256:abc", done=100))
    with pytest.raises(CommandFailed):
        await one.kept(Call())
    assert clock.now == 10


async def test_a_pull_that_is_cancelled_is_cancelled_at_containerd() -> None:
    call = Call()
    work = asyncio.create_task(pace().kept(call))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert call.cancelled
