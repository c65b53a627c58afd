"""A subscription delivers everything in order, proves itself, and ends with a reason, whatever ends it."""

import asyncio
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from bridge.containerd import subscription as module
from bridge.containerd.filters import event_filters
from bridge.containerd.probe import PROBE_NAMESPACE, Nonces, probe_request
from bridge.containerd.source import ContainerdSource
from bridge.errors import SourceLost
from bridge.model.events import RawEvent
from bridge.ports import Observed
from tests.unit.containerd.exchange import Exchange, oom


class Delivered:
    """Takes what is delivered; a test waits for it without blocking the loop."""

    def __init__(self) -> None:
        self.arrived: queue.SimpleQueue[Observed] = queue.SimpleQueue()

    def __call__(self, observed: Observed) -> None:
        self.arrived.put(observed)

    async def next(self) -> Observed:
        return await asyncio.to_thread(self.arrived.get, timeout=90)

    async def containers(self, count: int) -> list[str | None]:
        return [(await self.next()).container for _ in range(count)]


@pytest.fixture
def delivered() -> Delivered:
    return Delivered()


@pytest.fixture
def address(tmp_path: Path) -> Path:
    return tmp_path / "containerd.sock"


@pytest.fixture
def exchange(address: Path) -> Iterator[Exchange]:
    with Exchange().served(address) as served:
        yield served


@pytest.fixture
def source(address: Path, exchange: Exchange) -> ContainerdSource:
    return ContainerdSource(address, ["k8s.io"])


# -- delivering


async def test_events_are_delivered_in_the_order_of_the_stream(
    source: ContainerdSource, exchange: Exchange, delivered: Delivered
) -> None:
    names = [f"c{n}" for n in range(500)]
    async with source.subscribe(delivered):
        exchange.send(*map(oom, names))
        assert await delivered.containers(500) == names


async def test_a_message_that_is_no_envelope_is_delivered_and_so_is_the_next(
    source: ContainerdSource, exchange: Exchange, delivered: Delivered
) -> None:
    async with source.subscribe(delivered):
        exchange.send(b"\xff\xff", b"", oom("good"))
        broken, empty, good = [await delivered.next() for _ in range(3)]
    assert isinstance(broken.event, RawEvent)
    assert broken.event.value == b"\xff\xff"
    assert isinstance(empty.event, RawEvent)
    assert good.container == "good"


async def test_what_is_followed_is_asked_of_containerd(
    source: ContainerdSource, exchange: Exchange, delivered: Delivered
) -> None:
    async with source.subscribe(delivered) as subscription:
        await subscription.probe()
        assert exchange.filters == event_filters(["k8s.io"])


async def test_nothing_is_delivered_any_more_after_the_context_was_left(
    source: ContainerdSource, exchange: Exchange, delivered: Delivered
) -> None:
    async with source.subscribe(delivered) as subscription:
        await subscription.probe()
        exchange.send(*[oom("web")] * 20_000)
        await delivered.next()
    count = delivered.arrived.qsize()
    assert exchange.left.wait(90)
    assert delivered.arrived.qsize() == count


async def test_leaving_the_context_cancels_the_call(
    source: ContainerdSource, exchange: Exchange, delivered: Delivered
) -> None:
    async with source.subscribe(delivered):
        assert await asyncio.to_thread(exchange.subscribed.wait, 90)
    assert exchange.left.wait(90)


async def test_leaving_the_context_waits_for_the_delivery_under_way(
    source: ContainerdSource, exchange: Exchange
) -> None:
    under_way, released, finished = threading.Event(), threading.Event(), threading.Event()

    def deliver(_: Observed) -> None:
        under_way.set()
        released.wait()
        finished.set()

    async with source.subscribe(deliver):
        exchange.send(oom("web"))
        assert await asyncio.to_thread(under_way.wait, 90)
        threading.Timer(0.1, released.set).start()
    assert finished.is_set()


async def test_a_delivery_that_hangs_is_not_waited_for_for_ever(
    source: ContainerdSource, exchange: Exchange, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "CLOSING_S", 0.05)
    under_way, released = threading.Event(), threading.Event()

    def hang(_: Observed) -> None:
        under_way.set()
        released.wait()

    async with source.subscribe(hang):
        exchange.send(oom("web"))
        assert await asyncio.to_thread(under_way.wait, 90)
    assert "a delivery hangs" in caplog.text
    released.set()


# -- proving


async def test_a_probe_comes_back_with_its_round_trip(
    source: ContainerdSource, exchange: Exchange, delivered: Delivered
) -> None:
    async with source.subscribe(delivered) as subscription:
        assert 0 < await subscription.probe() < 10 * 10**9


async def test_when_a_probe_is_back_everything_published_before_it_was_delivered(
    source: ContainerdSource, exchange: Exchange, delivered: Delivered
) -> None:
    async with source.subscribe(delivered) as subscription:
        await subscription.probe()
        exchange.send(*[oom("web")] * 1000)
        await subscription.probe()
        assert delivered.arrived.qsize() == 1000


async def test_the_first_probe_is_published_until_one_comes_back(
    source: ContainerdSource, exchange: Exchange, delivered: Delivered
) -> None:
    exchange.lose = 3
    async with source.subscribe(delivered) as subscription:
        await subscription.probe()
    assert len(exchange.published) == 4


async def test_later_probes_are_published_once(address: Path, exchange: Exchange, delivered: Delivered) -> None:
    async with ContainerdSource(address, probe_timeout_s=0.2).subscribe(delivered) as subscription:
        await subscription.probe()
        before = len(exchange.published)
        exchange.lose = 10**9
        with pytest.raises(SourceLost):
            await subscription.probe()
        assert len(exchange.published) == before + 1


async def test_probes_may_be_sent_side_by_side_from_the_beginning(
    source: ContainerdSource, exchange: Exchange, delivered: Delivered
) -> None:
    exchange.lose = 5
    async with source.subscribe(delivered) as subscription:
        assert len(await asyncio.gather(*(subscription.probe() for _ in range(10)))) == 10


async def test_probes_are_never_delivered_neither_ours_nor_those_of_other_bridges(
    source: ContainerdSource, exchange: Exchange, delivered: Delivered
) -> None:
    other, nonces = Exchange(), Nonces()
    async with source.subscribe(delivered) as subscription:
        await subscription.probe()
        request = probe_request(nonces.next())
        other.send = exchange.send  # type: ignore[method-assign]
        other.Publish(request, _Context())
        await subscription.probe()
        exchange.send(oom("web"))
        assert await delivered.containers(1) == ["web"]


async def test_a_probe_that_does_not_come_back_ends_the_subscription(
    address: Path, exchange: Exchange, delivered: Delivered
) -> None:
    async with ContainerdSource(address, probe_timeout_s=0.2).subscribe(delivered) as subscription:
        await subscription.probe()
        exchange.lose = 10**9
        with pytest.raises(SourceLost, match=r"a probe did not come back within 0.2 s"):
            await subscription.probe()
        assert "did not come back" in str(await subscription.ended())
        assert await asyncio.to_thread(exchange.left.wait, 90)


async def test_a_stream_that_delivers_is_not_lost_because_a_probe_waits_behind_its_events(
    address: Path, exchange: Exchange, delivered: Delivered
) -> None:
    async with ContainerdSource(address, probe_timeout_s=1.0).subscribe(delivered) as subscription:
        await subscription.probe()
        exchange.lose = 1
        began, probing = time.monotonic(), asyncio.create_task(subscription.probe())
        while time.monotonic() - began < 2.5:
            exchange.send(oom("web"))
            await asyncio.sleep(0.01)
        assert not probing.done()
        exchange.find(PROBE_NAMESPACE)
        await probing
        await subscription.probe()


async def test_a_probe_of_a_subscription_that_has_ended_fails_at_once(
    source: ContainerdSource, exchange: Exchange, delivered: Delivered
) -> None:
    async with source.subscribe(delivered) as subscription:
        exchange.end()
        await subscription.ended()
        with pytest.raises(SourceLost, match="ended the stream"):
            await subscription.probe()


async def test_a_probe_under_way_fails_as_soon_as_the_subscription_ends(
    address: Path, exchange: Exchange, delivered: Delivered
) -> None:
    exchange.lose = 10**9
    async with ContainerdSource(address, probe_timeout_s=1000).subscribe(delivered) as subscription:
        probing = asyncio.create_task(subscription.probe())
        assert await asyncio.to_thread(exchange.subscribed.wait, 90)
        exchange.end()
        async with asyncio.timeout(90):
            with pytest.raises(SourceLost, match="ended the stream"):
                await probing


async def test_a_probe_that_containerd_refuses_ends_the_subscription(
    source: ContainerdSource, exchange: Exchange, delivered: Delivered
) -> None:
    exchange.refuse_publish = (grpc.StatusCode.PERMISSION_DENIED, "not you")
    async with source.subscribe(delivered) as subscription:
        with pytest.raises(SourceLost, match="not you"):
            await subscription.probe()


async def test_giving_up_a_probe_leaves_the_subscription_as_it_is(
    source: ContainerdSource, exchange: Exchange, delivered: Delivered
) -> None:
    async with source.subscribe(delivered) as subscription:
        await subscription.probe()
        exchange.lose = 1
        probing = asyncio.create_task(subscription.probe())
        await asyncio.to_thread(_until, lambda: exchange.lose == 0)
        probing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probing
        assert await subscription.probe() > 0


# -- ending


async def test_a_stream_that_ends_in_good_order_is_lost_all_the_same(
    source: ContainerdSource, exchange: Exchange, delivered: Delivered
) -> None:
    async with source.subscribe(delivered) as subscription:
        exchange.end()
        assert "containerd ended the stream of events" in str(await subscription.ended())


async def test_a_stream_that_fails_is_lost_with_the_words_of_containerd(
    source: ContainerdSource, exchange: Exchange, delivered: Delivered, address: Path
) -> None:
    async with source.subscribe(delivered) as subscription:
        exchange.end(grpc.StatusCode.UNKNOWN, "invalid quote encountered")
        assert str(await subscription.ended()) == f"invalid quote encountered ({address}, UNKNOWN)"


async def test_what_came_before_the_end_is_delivered(
    source: ContainerdSource, exchange: Exchange, delivered: Delivered
) -> None:
    async with source.subscribe(delivered) as subscription:
        exchange.send(*[oom("web")] * 300)
        exchange.end()
        await subscription.ended()
        assert delivered.arrived.qsize() == 300


async def test_a_delivery_that_raises_ends_the_subscription_and_is_logged(
    source: ContainerdSource, exchange: Exchange, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: Observed) -> None:
        raise RuntimeError("no room")

    async with source.subscribe(broken) as subscription:
        exchange.send(oom("web"))
        assert "RuntimeError('no room')" in str(await subscription.ended())
        assert await asyncio.to_thread(exchange.left.wait, 90)
    assert "no room" in caplog.text


async def test_everybody_who_waits_for_the_end_is_told_also_of_our_own(
    source: ContainerdSource, exchange: Exchange, delivered: Delivered
) -> None:
    async with source.subscribe(delivered) as subscription:
        waiting = [asyncio.create_task(subscription.ended()) for _ in range(2)]
    assert [str(lost) for lost in await asyncio.gather(*waiting)] == [
        f"the subscription was closed ({source._address})"
    ] * 2


async def test_giving_up_the_wait_for_the_end_disturbs_nobody(
    source: ContainerdSource, exchange: Exchange, delivered: Delivered
) -> None:
    async with source.subscribe(delivered) as subscription:
        impatient = asyncio.create_task(subscription.ended())
        await asyncio.sleep(0)  # it waits now
        impatient.cancel()
        exchange.end()
        assert "ended the stream" in str(await subscription.ended())


# -- reaching containerd


async def test_a_socket_that_is_not_there_is_a_lost_source(tmp_path: Path, delivered: Delivered) -> None:
    with pytest.raises(SourceLost, match=r"containerd cannot be reached: No such file or directory \(.*nope.sock"):
        async with ContainerdSource(tmp_path / "nope.sock").subscribe(delivered):
            pass


async def test_a_containerd_that_accepts_and_stays_silent_is_a_lost_source(
    source: ContainerdSource, exchange: Exchange, delivered: Delivered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_ANSWER_S", 0.1)
    exchange.answers.clear()
    with pytest.raises(SourceLost, match="containerd did not answer in time"):
        async with source.subscribe(delivered):
            pass


async def test_the_version_is_containerds_own(source: ContainerdSource) -> None:
    assert await source.version() == ("1.2.3", "abc")


async def test_a_containerd_without_introspection_does_not_say_which_run_it_is(source: ContainerdSource) -> None:
    assert await source.instance() is None


async def test_the_version_of_a_containerd_that_is_not_there_is_a_lost_source(tmp_path: Path) -> None:
    with pytest.raises(SourceLost, match="No such file or directory"):
        await ContainerdSource(tmp_path / "nope.sock").version()


def test_a_namespace_that_is_none_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="namespace 'a b' is not valid"):
        ContainerdSource(tmp_path / "s", ["a b"])


# -- keeping nothing


@pytest.mark.parametrize("ending", ["ours", "theirs", "probe"])
async def test_subscriptions_leave_neither_threads_nor_descriptors_behind(
    source: ContainerdSource, exchange: Exchange, delivered: Delivered, ending: str
) -> None:
    async def once() -> None:
        async with source.subscribe(delivered) as subscription:
            if ending == "theirs":
                exchange.end(grpc.StatusCode.UNAVAILABLE, "bye")
                await subscription.ended()
            elif ending == "probe":
                await subscription.probe()

    await once()
    before = _ours()
    for _ in range(120):
        await once()
    # grpc closes a connection a moment after its channel.
    await asyncio.to_thread(_until, lambda: _ours() <= before + 5)
    assert [thread.name for thread in threading.enumerate() if thread.name == "containerd-events"] == []


def _ours() -> int:
    return len(os.listdir("/proc/self/fd"))


def _until(condition: Callable[[], bool]) -> None:
    """Wait for a condition; bounded, because a thread that waits for ever would hold up the end of the loop."""
    tick, deadline = threading.Event(), time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        tick.wait(0.002)


class _Context:
    """What a server hands to a method, as far as `Exchange` looks at it."""

    def invocation_metadata(self) -> list[tuple[str, str]]:
        return [("containerd-namespace", "containerd-bridge")]
