"""The contract of `EventSource` and `Subscription`."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from bridge.errors import SourceLost
from bridge.model.events import (
    ContainerCreate,
    ContainerUpdate,
    TaskCreate,
    TaskDelete,
    TaskExecExit,
    TaskExit,
    TaskStart,
)
from bridge.ports import EventSource, Observed, Subscription
from tests.contract.hosts import ID, Behaviour, Host

NOTHING: Callable[[Observed], None] = lambda _: None  # noqa: E731


class Heard:
    """What was delivered, and waiting for more."""

    def __init__(self) -> None:
        self.all: list[Observed] = []
        self.threads: set[int] = set()
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Condition()

    def deliver(self, observed: Observed) -> None:
        self.all.append(observed)
        self.threads.add(threading.get_ident())
        asyncio.run_coroutine_threadsafe(self._tell(), self._loop)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def until(self, word: str) -> None:
        """Wait until an event with this word has been delivered."""
        async with asyncio.timeout(90), self._changed:
            await self._changed.wait_for(lambda: word in self.words)

    def the(self, word: str) -> Observed:
        (one,) = [observed for observed in self.all if observed.event.word == word]
        return one

    @property
    def words(self) -> list[str]:
        return [observed.event.word for observed in self.all]

    @property
    def told(self) -> list[str]:
        """The words without `delete`: a real shim may exit before it has published that."""
        return [word for word in self.words if word != "delete"]


@pytest.fixture
async def heard() -> Heard:
    return Heard()


async def live(source: EventSource, subscription: Subscription) -> None:
    assert await subscription.probe() > 0


async def test_what_was_published_before_a_probe_has_been_delivered_when_it_is_back(host: Host, heard: Heard) -> None:
    async with host.source.subscribe(heard.deliver) as subscription:
        await subscription.probe()
        await host.make(Behaviour.STUBBORN)
        await subscription.probe()
        assert heard.words == ["container-create"]


async def test_a_probe_tells_its_round_trip_and_is_not_delivered(host: Host, heard: Heard) -> None:
    async with host.every_source.subscribe(heard.deliver) as subscription:
        assert all([0 < await subscription.probe() < 10**10 for _ in range(5)])
        assert heard.all == []


async def test_probes_of_several_tasks_all_come_back(host: Host) -> None:
    async with host.source.subscribe(NOTHING) as subscription:
        assert len(await asyncio.gather(*[subscription.probe() for _ in range(5)])) == 5


async def test_a_task_s_life_is_told_in_its_order(host: Host, heard: Heard) -> None:
    async with host.source.subscribe(heard.deliver) as subscription:
        await subscription.probe()
        await host.stopped()
        await host.runtime.tasks.delete(host.namespace, ID)
        await host.runtime.containers.delete(host.namespace, ID)
        await heard.until("container-delete")
        await subscription.probe()
        assert heard.told == ["container-create", "create", "start", "exit", "container-delete"]
        assert [word for word in heard.words if word in {"exit", "delete"}] in (["exit"], ["exit", "delete"])
        assert {observed.container for observed in heard.all} == {ID}
        assert {observed.namespace for observed in heard.all} == {host.namespace}
        assert {observed.origin for observed in heard.all} == {"live"}


async def test_the_events_of_a_task_say_what_containerd_says(host: Host, heard: Heard) -> None:
    async with host.source.subscribe(heard.deliver) as subscription:
        await subscription.probe()
        await host.make(Behaviour.EXITS, app="web")
        pid = await host.runtime.tasks.create(host.namespace, ID)
        await host.runtime.tasks.start(host.namespace, ID)
        ended = await host.runtime.tasks.wait(host.namespace, ID)
        await heard.until("exit")

        record = heard.the("container-create").event
        assert isinstance(record, ContainerCreate)
        info = await host.runtime.containers.get(host.namespace, ID)
        assert (record.id, record.image, record.runtime, record.labels) == (ID, info.image, info.runtime, None)
        assert record.runtime_options is not None
        assert record.runtime_options.type_url == "containerd.runc.v1.Options"

        created = heard.the("create").event
        assert isinstance(created, TaskCreate)
        assert (created.container_id, created.pid, created.checkpoint) == (ID, pid, "")
        assert created.bundle.endswith(f"/{host.namespace}/{ID}")
        assert [mount.type for mount in created.rootfs] == ["overlay"]
        assert created.io is not None

        assert heard.the("start").event == TaskStart(container_id=ID, pid=pid)
        exit_event = TaskExit(container_id=ID, id=ID, pid=pid, exit_status=3, exited_at=ended.exited_at)
        assert heard.the("exit").event == exit_event


async def test_the_deletion_of_a_task_says_how_it_ended(host: Host, heard: Heard) -> None:
    async with host.source.subscribe(heard.deliver) as subscription:
        await subscription.probe()
        for number in range(10):  # a shim may be quicker to exit than to publish
            await host.stopped(f"c{number}")
            ended = await host.runtime.tasks.delete(host.namespace, f"c{number}")
        await heard.until("delete")
        deleted = next(observed.event for observed in heard.all if observed.event.word == "delete")
        assert isinstance(deleted, TaskDelete)
        assert (deleted.id, deleted.exit_status) == ("", ended.exit_status)
        assert deleted.exited_at is not None


async def test_the_deletion_of_a_task_that_never_ran_has_no_time_of_an_end(host: Host, heard: Heard) -> None:
    async with host.source.subscribe(heard.deliver) as subscription:
        await subscription.probe()
        for number in range(10):  # as above
            await host.make(Behaviour.STUBBORN, f"c{number}")
            await host.runtime.tasks.create(host.namespace, f"c{number}")
            await host.runtime.tasks.delete(host.namespace, f"c{number}")
        await heard.until("delete")
        deleted = next(observed.event for observed in heard.all if observed.event.word == "delete")
        assert isinstance(deleted, TaskDelete)
        assert (deleted.id, deleted.exited_at) == ("", None)


async def test_pause_and_resume_are_told(host: Host, heard: Heard) -> None:
    async with host.source.subscribe(heard.deliver) as subscription:
        await subscription.probe()
        await host.run(Behaviour.STUBBORN)
        await host.runtime.tasks.pause(host.namespace, ID)
        await host.runtime.tasks.resume(host.namespace, ID)
        await heard.until("resumed")
        assert heard.words == ["container-create", "create", "start", "paused", "resumed"]


async def test_an_exec_is_told_apart_from_the_container(host: Host, heard: Heard) -> None:
    async with host.source.subscribe(heard.deliver) as subscription:
        await subscription.probe()
        await host.run(Behaviour.STUBBORN)
        await host.exec(Behaviour.EXITS, "look.1")
        await heard.until("exec-exit")
        assert heard.words[3:] == ["exec-added", "exec-started", "exec-exit"]
        ended = heard.the("exec-exit").event
        assert isinstance(ended, TaskExecExit)
        assert (ended.container_id, ended.id, ended.exit_status) == (ID, "look.1", 3)


async def test_an_exec_ends_before_the_container_that_takes_it_along(host: Host, heard: Heard) -> None:
    async with host.source.subscribe(heard.deliver) as subscription:
        await subscription.probe()
        await host.run(Behaviour.STUBBORN)
        await host.exec(Behaviour.STUBBORN, "look.1")
        await host.runtime.tasks.kill(host.namespace, ID, 9)
        await heard.until("exit")
        assert heard.words[-2:] == ["exec-exit", "exit"]
        assert getattr(heard.the("exit").event, "exit_status", None) == 137


async def test_a_changed_record_is_told_with_all_its_labels(host: Host, heard: Heard) -> None:
    async with host.source.subscribe(heard.deliver) as subscription:
        await subscription.probe()
        await host.make(Behaviour.STUBBORN, app="web")
        await host.label(tier="front", **{"nerdctl/name": "shop"})
        await heard.until("container-update")
        event = heard.the("container-update").event
        assert isinstance(event, ContainerUpdate)
        info = await host.runtime.containers.get(host.namespace, ID)
        assert (event.id, event.image, event.labels, event.snapshot_key) == (ID, info.image, info.labels, ID)
        assert event.labels is not None
        assert event.labels.items() >= {"app": "web", "tier": "front"}.items()
        assert event.name == "shop"


async def test_events_of_other_namespaces_come_only_to_who_asked_for_all(host: Host, heard: Heard) -> None:
    everything = Heard()
    async with (
        host.source.subscribe(heard.deliver) as narrow,
        host.every_source.subscribe(everything.deliver) as wide,
    ):
        await asyncio.gather(narrow.probe(), wide.probe())
        await host.stir_elsewhere()
        await asyncio.gather(narrow.probe(), wide.probe())
        assert heard.words == []
        assert "image-create" in everything.words
        assert host.namespace not in {observed.namespace for observed in everything.all}


async def test_delivery_comes_from_a_thread_of_its_own(host: Host, heard: Heard) -> None:
    async with host.source.subscribe(heard.deliver) as subscription:
        await subscription.probe()
        await host.make(Behaviour.STUBBORN)
        await heard.until("container-create")
        assert len(heard.threads) == 1
        assert heard.threads != {threading.get_ident()}


async def test_two_subscriptions_each_get_every_event_once(host: Host, heard: Heard) -> None:
    other = Heard()
    async with host.source.subscribe(heard.deliver) as one, host.source.subscribe(other.deliver) as two:
        await asyncio.gather(one.probe(), two.probe())
        for number in range(3):
            await host.make(Behaviour.STUBBORN, f"c{number}")
        await asyncio.gather(one.probe(), two.probe())
        assert [observed.container for observed in heard.all] == ["c0", "c1", "c2"]
        assert [observed.event for observed in heard.all] == [observed.event for observed in other.all]


async def test_times_are_containerd_s_and_ours(host: Host, heard: Heard) -> None:
    async with host.source.subscribe(heard.deliver) as subscription:
        await subscription.probe()
        await host.make(Behaviour.STUBBORN)
        await heard.until("container-create")
        observed = heard.the("container-create")
        info = await host.runtime.containers.get(host.namespace, ID)
        assert info.created_at is not None
        assert info.created_at <= observed.time <= observed.recorded


async def test_after_the_context_nothing_is_delivered(host: Host, heard: Heard) -> None:
    async with host.source.subscribe(heard.deliver) as subscription:
        await subscription.probe()
    async with host.source.subscribe(NOTHING) as other:
        await other.probe()
        await host.make(Behaviour.STUBBORN)
        await other.probe()
    assert heard.all == []
    assert isinstance(await subscription.ended(), SourceLost)
    with pytest.raises(SourceLost):
        await subscription.probe()


async def test_a_subscription_ends_with_containerd_and_says_so(own_host: Host) -> None:
    async with own_host.source.subscribe(NOTHING) as subscription:
        await subscription.probe()
        ended = asyncio.ensure_future(subscription.ended())
        async with own_host.down():
            assert str(await asyncio.wait_for(ended, 90))
            with pytest.raises(SourceLost):
                await subscription.probe()
        with pytest.raises(SourceLost):  # it never resumes: the next one is another
            await subscription.probe()


async def test_while_containerd_is_down_there_is_no_subscription_and_no_version(own_host: Host) -> None:
    async with own_host.down():
        with pytest.raises(SourceLost):
            await own_host.source.version()
        with pytest.raises(SourceLost):
            async with own_host.source.subscribe(NOTHING):
                pass


async def test_when_containerd_is_back_another_subscription_goes_on(own_host: Host, heard: Heard) -> None:
    async with own_host.down():
        pass
    async with own_host.source.subscribe(heard.deliver) as subscription:
        await subscription.probe()
        await own_host.make(Behaviour.STUBBORN)
        await subscription.probe()
        assert heard.words == ["container-create"]


async def test_the_version_is_containerd_s_own(host: Host) -> None:
    version = await host.source.version()
    assert version.version.startswith("2.1.")
    assert version == await host.runtime.version()


async def test_another_run_of_containerd_is_told_from_the_same_one(own_host: Host) -> None:
    before = await own_host.source.instance()
    assert before is not None
    assert await own_host.source.instance() == before
    async with own_host.down():
        with pytest.raises(SourceLost):
            await own_host.source.instance()
    await own_host.until_back()
    assert await own_host.source.instance() not in {before, None}
