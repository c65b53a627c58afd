"""The event source on real containerds: what it delivers, how it proves itself, and how it ends."""

import asyncio
import queue
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bridge._pb.containerd import events_pb2 as pb
from bridge._pb.containerd.services.events_pb2 import EventsStub, PublishRequest
from bridge._pb.google.protobuf.any_pb2 import Any
from bridge.containerd.channel import aio_channel, in_namespace
from bridge.containerd.lookup import ContainerdLookup
from bridge.containerd.source import ContainerdSource
from bridge.errors import SourceLost
from bridge.model.events import ContainerUpdate, RawEvent, TaskExecExit, TaskExit, TaskOOM
from bridge.model.identity import new_ulid
from bridge.ports import Observed, Subscription
from tests.fix_containerd import ContainerdFactory
from tests.testbed import BUSYBOX, Containerd, Ctr, Proxy

Publish = Callable[[str, str, Any], Awaitable[None]]


class Delivered:
    """Takes what is delivered; a test waits for it without blocking the loop."""

    def __init__(self) -> None:
        self.seen: list[Observed] = []
        self._arrived: queue.SimpleQueue[Observed] = queue.SimpleQueue()

    def __call__(self, observed: Observed) -> None:
        self._arrived.put(observed)

    async def next(self) -> Observed:
        self.seen.append(await asyncio.to_thread(self._arrived.get, timeout=90))
        return self.seen[-1]

    async def until(self, word: str, container: str) -> list[Observed]:
        """Everything up to this event of this container."""
        while not self.seen or (self.seen[-1].event.word, self.seen[-1].container) != (word, container):
            await self.next()
        return self.seen

    def rest(self) -> list[Observed]:
        """What has been delivered and not been taken."""
        while not self._arrived.empty():
            self.seen.append(self._arrived.get())
        return self.seen


@asynccontextmanager
async def live(host: Containerd, *namespaces: str) -> AsyncIterator[tuple[Delivered, Subscription]]:
    delivered = Delivered()
    async with ContainerdSource(host.address, namespaces).subscribe(delivered) as subscription:
        await subscription.probe()
        yield delivered, subscription


@asynccontextmanager
async def publishing(host: Containerd) -> AsyncIterator[Publish]:
    async with aio_channel(host.address) as channel:
        events = EventsStub(channel)

        async def publish(namespace: str, topic: str, event: Any) -> None:
            await events.Publish(PublishRequest(topic=topic, event=event), metadata=in_namespace(namespace), timeout=90)

        yield publish


def oom(container: str) -> Any:
    return Any(type_url="containerd.events.TaskOOM", value=pb.TaskOOM(container_id=container).SerializeToString())


async def test_the_life_of_a_container_is_delivered_as_ctr_saw_it(every_ctr: Ctr) -> None:
    ctr = every_ctr
    with ctr.events() as witness:
        async with live(ctr.host, ctr.namespace) as (delivered, _):
            ctr.run("web.1", "sleep", "1000")
            ctr("tasks", "exec", "--exec-id", "probe.1", "web.1", "sh", "-c", "exit 3", check=False)
            ctr("tasks", "pause", "web.1")
            ctr("tasks", "resume", "web.1")
            ctr.kill("web.1")
            ctr.delete("web.1")
            seen = await delivered.until("container-delete", "web.1")
            await asyncio.to_thread(witness.until_topic, "/containers/delete", "web.1")
    ours = [observed.event.type.split(".")[2:4] for observed in seen]
    theirs = [
        event.topic.split("/")[1:3] for event in witness.seen if event.topic.startswith(("/tasks", "/containers"))
    ]
    assert [[kind, word.replace("exec-exit", "exit")] for kind, word in ours] == [
        [kind.removesuffix("s"), word] for kind, word in theirs
    ]
    (exec_exit,) = [observed.event for observed in seen if isinstance(observed.event, TaskExecExit)]
    (exit_,) = [observed.event for observed in seen if isinstance(observed.event, TaskExit)]
    assert (exec_exit.id, exec_exit.exit_status) == ("probe.1", 3)
    assert (exit_.id, exit_.exit_status) == ("web.1", 137)


async def test_only_the_events_of_the_given_namespaces_are_delivered(every_containerd: Containerd) -> None:
    async with publishing(every_containerd) as publish, live(every_containerd, "k8s.io", "a.b") as (delivered, source):
        for namespace in ("k8s.io", "a.b", "a-b", "axb", "k8s.io.x", "default"):
            await publish(namespace, "/tasks/oom", oom("web"))
        await source.probe()
        assert [observed.namespace for observed in delivered.rest()] == ["k8s.io", "a.b"]


async def test_without_namespaces_those_of_all_are_delivered(every_containerd: Containerd) -> None:
    mine = f"t-{new_ulid()}"
    async with publishing(every_containerd) as publish, live(every_containerd) as (delivered, source):
        await publish(mine, "/tasks/oom", oom("web"))
        await source.probe()
        assert [observed.namespace for observed in delivered.rest()] == [mine]


async def test_topics_that_are_nobodys_business_are_not_delivered(every_containerd: Containerd) -> None:
    async with publishing(every_containerd) as publish, live(every_containerd, "a.b") as (delivered, source):
        for topic in ("/snapshot/prepare", "/x/tasks/oom", "/tasksx/oom", "/namespaces/create"):
            await publish("a.b", topic, oom("web"))
        await source.probe()
        assert delivered.rest() == []


async def test_five_megabytes_and_garbage_are_delivered_and_so_is_the_next_good_one(
    every_containerd: Containerd,
) -> None:
    big = pb.ContainerUpdate(id="web.1", labels={"big": "x" * 5_000_000}).SerializeToString()
    async with publishing(every_containerd) as publish, live(every_containerd, "a.b") as (delivered, source):
        await publish("a.b", "/containers/update", Any(type_url="containerd.events.ContainerUpdate", value=big))
        await publish("a.b", "/tasks/exit", Any(type_url="containerd.events.TaskExit", value=b"\xff\xff\xff"))
        await publish("a.b", "/tasks/exit", Any(type_url="made.up.Type", value=b"\x00"))
        await publish("a.b", "/tasks/made.up", oom("web.1"))
        await publish("a.b", "/tasks/oom", oom("web.1"))
        await source.probe()
        update, garbage, strange, unheard, good = [observed.event for observed in delivered.rest()]
    assert isinstance(update, ContainerUpdate)
    assert update.labels is not None
    assert len(update.labels["big"]) == 5_000_000
    assert [event.reason for event in (garbage, strange, unheard) if isinstance(event, RawEvent)] == [
        "undecodable",
        "unknown-type",
        "unknown-topic",
    ]
    assert good == TaskOOM(container_id="web.1")


async def test_events_of_one_publisher_stay_in_order(every_containerd: Containerd) -> None:
    names = [f"c{n}" for n in range(300)]
    async with publishing(every_containerd) as publish, live(every_containerd, "a.b") as (delivered, source):
        for name in names:
            await publish("a.b", "/tasks/oom", oom(name))
        await source.probe()
        assert [observed.container for observed in delivered.rest()] == names


async def test_a_probe_makes_no_namespace_and_every_ctr_can_read_it(every_ctr: Ctr) -> None:
    with every_ctr.events(every_namespace=True) as witness:
        async with live(every_ctr.host) as (_, source):
            await source.probe()
        probe = await asyncio.to_thread(witness.until, lambda event: event.topic == "/containerd-bridge/probe")
    assert (probe.namespace, list(probe.data)) == ("containerd-bridge", ["paths"])
    assert "containerd-bridge" not in every_ctr("namespaces", "ls", "-q").split()


async def test_two_subscriptions_prove_themselves_without_hearing_of_each_other(every_containerd: Containerd) -> None:
    async with live(every_containerd, "a.b") as (one, first), live(every_containerd, "a.b") as (two, second):
        await asyncio.gather(*(subscription.probe() for subscription in (first, second) * 20))
        assert one.rest() == two.rest() == []


@pytest.mark.parametrize("version", ["1.6", "1.7", "2.1"])
async def test_kill_9_of_containerd_ends_the_subscription(containerd_factory: ContainerdFactory, version: str) -> None:
    host = containerd_factory(version)
    async with live(host, "a.b") as (_, subscription):
        await asyncio.to_thread(host.kill)
        lost = await asyncio.wait_for(subscription.ended(), 90)
        assert str(lost) == f"the connection to containerd broke off ({host.address}, UNAVAILABLE)"
    with pytest.raises(SourceLost, match="containerd cannot be reached: Connection refused"):
        async with live(host):
            pass


async def test_after_a_restart_a_new_subscription_is_live_at_once(containerd_factory: ContainerdFactory) -> None:
    host = containerd_factory("2.1")
    async with live(host, "a.b") as (_, subscription):
        await asyncio.to_thread(host.restart)
        await subscription.ended()
    async with publishing(host) as publish, live(host, "a.b") as (delivered, subscription):
        await publish("a.b", "/tasks/oom", oom("web"))
        await subscription.probe()
        assert [observed.container for observed in delivered.rest()] == ["web"]


async def test_a_containerd_that_hangs_is_found_out_by_a_probe(containerd_factory: ContainerdFactory) -> None:
    host = containerd_factory("2.1")
    source = ContainerdSource(host.address, probe_timeout_s=2.0)
    async with source.subscribe(Delivered()) as subscription:
        await subscription.probe()
        host.freeze()
        with pytest.raises(SourceLost):
            await subscription.probe()
        await subscription.ended()
        host.thaw()


async def test_the_version_is_what_ctr_says(every_ctr: Ctr) -> None:
    version, revision = await ContainerdSource(every_ctr.host.address).version()
    _, _, server = every_ctr("version").partition("Server:")
    assert f"Version:  {version}" in server
    assert f"Revision: {revision}".strip() in server


async def test_a_socket_of_somebody_else_is_a_lost_source(tmp_path: Path) -> None:
    path = tmp_path / "other.sock"
    server = await asyncio.start_unix_server(lambda _, writer: writer.close(), path)
    async with server:
        with pytest.raises(SourceLost, match="containerd cannot be reached"):
            await ContainerdSource(path).version()


# -- looking containers up


def test_containers_are_described_by_their_records(every_ctr: Ctr) -> None:
    every_ctr("containers", "create", "--label", "nerdctl/name=front", "--label", "a/b=c", BUSYBOX, "web.1")
    with ContainerdLookup(every_ctr.host.address) as lookup:
        key = (every_ctr.namespace, "web.1")
        known = lookup.describe([key, (every_ctr.namespace, "gone"), ("no.such.namespace", "web.1")])
    assert list(known) == [key]
    info = known[key]
    assert (info.id, info.namespace, info.name, info.image) == ("web.1", every_ctr.namespace, "front", BUSYBOX)
    assert info.labels["a/b"] == "c"
    assert (info.runtime, info.snapshotter, info.snapshot_key) == ("io.containerd.runc.v2", "overlayfs", "web.1")
    assert info.created_at is not None
    assert info.spec is None


def test_three_hundred_containers_are_described_in_time(ctr: Ctr) -> None:
    names = [f"c{n}" for n in range(300)]
    for name in names[:3]:
        ctr("containers", "create", BUSYBOX, name)
    with ContainerdLookup(ctr.host.address) as lookup:
        lookup.describe([(ctr.namespace, "warm")])
        known = lookup.describe([(ctr.namespace, name) for name in reversed(names)])
    assert sorted(container for _, container in known) == names[:3]


def test_more_containers_than_can_be_asked_about_in_time_hold_nobody_up(ctr: Ctr) -> None:
    ctr("containers", "create", BUSYBOX, "first")
    with ContainerdLookup(ctr.host.address) as lookup:
        lookup.describe([(ctr.namespace, "warm")])
        began = time.monotonic()
        known = lookup.describe([(ctr.namespace, name) for name in ("first", *map(str, range(400_000)))])
        assert (
            time.monotonic() - began < 45
        )  # asking about all would take more than a minute where nothing else happens
    assert set(known) <= {(ctr.namespace, "first")}  # where much else happens not even that answer comes in time


def test_a_containerd_that_hangs_holds_nobody_up(containerd_factory: ContainerdFactory) -> None:
    host = containerd_factory("2.1")
    with ContainerdLookup(host.address) as lookup:
        lookup.describe([("a.b", "warm")])
        host.freeze()
        began = time.monotonic()
        assert lookup.describe([("a.b", f"c{n}") for n in range(20)]) == {}
        assert 0.2 < time.monotonic() - began < 60  # and not until it is thawed
        host.thaw()


def test_without_containerd_nothing_is_known_and_nothing_raised(tmp_path: Path) -> None:
    with ContainerdLookup(tmp_path / "nope.sock") as lookup:
        assert lookup.describe([("a.b", "web")]) == {}


def test_a_lookup_that_is_closed_knows_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with ContainerdLookup(tmp_path / "nope.sock") as lookup:
        pass
    assert lookup.describe([("a.b", "web")]) == {}
    assert "could not be asked about 1 containers" in caplog.text


async def test_a_containerd_that_takes_its_time_to_shake_hands_is_waited_for(containerd: Containerd) -> None:
    async with Proxy(containerd.address) as proxy:
        proxy.slow(latency_s=0.3)
        source = ContainerdSource(Path(proxy.address))
        assert (await source.version()).version
        async with source.subscribe(lambda _: None) as subscription:
            assert await subscription.probe() > 0
