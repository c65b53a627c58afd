"""The contract of `Checkpointer`: CRIU behind containerd, and what a checkpoint takes beside it."""

from __future__ import annotations

import asyncio
import contextlib
import stat
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import pytest

from bridge.errors import BadMoment, CommandFailed
from bridge.model.checkpoints import CheckpointOptions, Listening
from bridge.ports import Descriptor
from bridge.ports.checkpoints import CRIU_TAR, OPTIONS_PART, RW_LAYER, SPEC_PART, CheckpointImage
from tests.contract.checkpointing import LEASE, MemoryPlace, Place, RealPlace
from tests.contract.conftest import CONTAINERD, real_host
from tests.contract.failing import failing
from tests.contract.hosts import MemoryHost
from tests.contract.test_event_source import Heard
from tests.fix_containerd import ContainerdFactory
from tests.testbed import BUSYBOX

PLAIN = CheckpointOptions()
OLDER = pytest.param("1.7", marks=[pytest.mark.containerd, pytest.mark.older])


@pytest.fixture(params=["memory", CONTAINERD, OLDER])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """A containerd, with a lease in a namespace that only this test has."""
    async with contextlib.AsyncExitStack() as opened:
        found: Place
        if request.param == "memory":
            found = MemoryPlace(MemoryHost(tmp_path), tmp_path / "checkpoints")
        elif request.param == "1.7":
            factory: ContainerdFactory = request.getfixturevalue("containerd_factory")
            ctr = opened.enter_context(factory("1.7").fresh_namespace())
            found = RealPlace(await opened.enter_async_context(real_host(ctr)))
        else:
            found = RealPlace(await opened.enter_async_context(real_host(request.getfixturevalue("ctr"))))
        await found.runtime.leases.create(found.namespace, LEASE, {})
        yield found


async def test_a_task_goes_on_where_it_was_dumped_under_its_own_id_and_under_others(place: Place) -> None:
    """In its own container with what that has written, and in two others at once that were given it."""
    namespace, checkpoints, tasks = place.namespace, place.checkpoints, place.runtime.tasks
    await place.run("web.1")
    known = await place.knows("web.1")
    images = place.images("first")
    await checkpoints.dump(namespace, "web.1", images, PLAIN, ends=True, lease=LEASE)
    task = await tasks.get(namespace, "web.1")
    assert task is not None
    assert (task.status, task.exit_status) == ("stopped", 137)
    assert _modes(images.parent) == {0o700, 0o600}
    assert "Version: " in (images.parent / "work" / "dump.log").read_text("utf-8", "replace")
    assert (images.parent / "work" / "stats-dump").read_bytes()[:4] == bytes.fromhex("40591055")

    await tasks.delete(namespace, "web.1")
    await place.copy("web.1", "web.2")
    heard = Heard()
    async with place.host.source.subscribe(heard.deliver) as subscription:
        await subscription.probe()
        pid = await checkpoints.restore(namespace, "web.1", images)
        await heard.until("start")
        restored, started = heard.the("restored").event, heard.the("start").event
        assert (restored.checkpoint, restored.pid, started.pid) == (str(images), 0, pid)  # type: ignore[union-attr]
    task = await tasks.get(namespace, "web.1")
    assert task is not None
    assert (task.status, task.pid) == ("running", pid)
    assert pid > 0
    assert await place.knows("web.1") == known

    made = []

    async def start() -> int:
        made.append(await tasks.get(namespace, "web.2"))
        return await tasks.start(namespace, "web.2")

    again = await checkpoints.restore(namespace, "web.2", images, start=start)
    assert again not in {0, pid}
    assert [(one.status, one.pid) for one in made if one] == [("created", 0)]
    assert await place.knows("web.2") == known == await place.knows("web.1")


async def test_a_dump_leaves_the_task_as_it_was_running_or_paused(place: Place) -> None:
    namespace, checkpoints, tasks = place.namespace, place.checkpoints, place.runtime.tasks
    await place.run("web.1")
    known = await place.knows("web.1")
    await checkpoints.dump(namespace, "web.1", place.images("running"), PLAIN, ends=False, lease=LEASE)
    assert await _status(place, "web.1") == "running"
    assert await place.knows("web.1") == known

    await tasks.pause(namespace, "web.1")
    await checkpoints.dump(namespace, "web.1", place.images("paused"), PLAIN, ends=False, lease=LEASE)
    assert await _status(place, "web.1") == "paused"
    await tasks.resume(namespace, "web.1")
    assert await place.knows("web.1") == known

    await tasks.pause(namespace, "web.1")
    await checkpoints.dump(namespace, "web.1", place.images("ended"), PLAIN, ends=True, lease=LEASE)
    assert await _status(place, "web.1") == "stopped"


async def test_connections_are_counted_and_a_network_that_nobody_else_has_is_left_alone(place: Place) -> None:
    namespace, checkpoints = place.namespace, place.checkpoints
    await place.run("web.1")
    assert await checkpoints.connections(namespace, "web.1") == 0
    with failing("not_found"):
        await checkpoints.connections(namespace, "web.2")
    await checkpoints.hold_network(namespace, "web.1")
    await checkpoints.hold_network(namespace, "web.1")
    await checkpoints.release_network(namespace, "web.1")
    await checkpoints.release_network(namespace, "web.1")
    assert await _status(place, "web.1") == "running"


async def test_a_dump_that_fails_says_what_criu_says_and_changes_nothing(place: Place) -> None:
    namespace, checkpoints, tasks = place.namespace, place.checkpoints, place.runtime.tasks
    why = await place.run_stubborn("web.1")
    for status in ("running", "paused"):
        with pytest.raises(CommandFailed) as failed:
            await checkpoints.dump(namespace, "web.1", place.images(status), PLAIN, ends=True, lease=LEASE)
        assert failed.value.code == "failed_precondition"
        assert why in failed.value.message
        assert failed.value.message.isprintable()
        assert len(failed.value.message) < 2300
        assert await place.checkpoints.until_over(place.directory / status / "images") == "failed"
        assert await _status(place, "web.1") == status
        if status == "running":
            await tasks.pause(namespace, "web.1")
    await tasks.resume(namespace, "web.1")


async def test_what_is_just_starting_a_program_is_dumped_a_moment_later(place: Place) -> None:
    """Where it runs. Where it is paused that does not help: it has to run on first. Then the same directory is as good."""
    namespace, checkpoints, tasks = place.namespace, place.checkpoints, place.runtime.tasks
    for container in ("paused", "running"):
        await place.run_starting(container)
    await tasks.pause(namespace, "paused")
    images = {container: place.images(container) for container in ("paused", "running")}
    dumps = {
        container: asyncio.create_task(
            checkpoints.dump(namespace, container, directory, PLAIN, ends=False, lease=LEASE)
        )
        for container, directory in images.items()
    }
    for container, directory in images.items():
        await place.go_on(container, directory.parent / "work")
    with pytest.raises(BadMoment) as met:
        await dumps["paused"]
    assert (met.value.code, "Timeout reached" in met.value.message) == ("failed_precondition", True)
    assert (await _status(place, "paused"), list(images["paused"].iterdir())) == ("paused", [])
    await dumps["running"]
    assert (await _status(place, "running"), await checkpoints.until_over(images["running"])) == ("running", "finished")

    await tasks.resume(namespace, "paused")
    await place.until_over("paused")
    await tasks.pause(namespace, "paused")
    await checkpoints.dump(namespace, "paused", images["paused"], PLAIN, ends=False, lease=LEASE)
    assert await _status(place, "paused") == "paused"


async def test_what_cannot_be_dumped_or_restored_at_all_is_said_before_criu_is_asked(place: Place) -> None:
    namespace, checkpoints = place.namespace, place.checkpoints
    empty = place.images("empty")
    with failing("not_found"):
        await checkpoints.dump(namespace, "nobody", empty, PLAIN, ends=False, lease=LEASE)
    with failing("not_found"):
        await checkpoints.restore(namespace, "nobody", empty)
    await place.run("web.1")
    (place.images("full") / "x").touch()
    with failing("failed_precondition"):
        await checkpoints.dump(namespace, "web.1", place.directory / "full/images", PLAIN, ends=False, lease=LEASE)
    with failing("already_exists"):
        await checkpoints.restore(namespace, "web.1", empty)
    assert await _status(place, "web.1") == "running"
    await place.runtime.tasks.kill(namespace, "web.1", 9)
    await place.runtime.tasks.wait(namespace, "web.1")
    with failing("failed_precondition"):
        await checkpoints.dump(namespace, "web.1", empty, PLAIN, ends=False, lease=LEASE)
    await place.runtime.tasks.delete(namespace, "web.1")
    with failing("failed_precondition"):
        await checkpoints.restore(namespace, "web.1", empty)
    assert await place.runtime.tasks.get(namespace, "web.1") is None


async def test_a_restore_that_fails_leaves_no_task(place: Place) -> None:
    namespace, checkpoints, tasks = place.namespace, place.checkpoints, place.runtime.tasks
    await place.run("web.1")
    images = place.images("damaged")
    await checkpoints.dump(namespace, "web.1", images, PLAIN, ends=True, lease=LEASE)
    await tasks.delete(namespace, "web.1")
    await place.damage(images)
    with pytest.raises(CommandFailed) as failed:
        await checkpoints.restore(namespace, "web.1", images)
    assert failed.value.code == "failed_precondition"
    assert "Error" in failed.value.message
    assert await tasks.get(namespace, "web.1") is None
    await tasks.create(namespace, "web.1")  # and nothing is in the way of another
    await tasks.start(namespace, "web.1")


async def test_a_cancelled_dump_is_seen_to_its_end_and_the_task_runs(place: Place) -> None:
    await place.run("web.1")
    images = place.images("cancelled")
    async with place.slowly():
        dump = asyncio.create_task(
            place.checkpoints.dump(place.namespace, "web.1", images, PLAIN, ends=False, lease=LEASE)
        )
        await place.dumping(images.parent / "work")
        dump.cancel()
        cancelled = asyncio.create_task(_log_after(dump, images))
        over = asyncio.create_task(_log_after(place.checkpoints.until_over(images), images))
    for log in (await cancelled, await over):
        assert log.endswith("Dumping finished successfully\n")
    assert dump.cancelled()
    assert await place.checkpoints.until_over(images) == "finished"
    assert await place.checkpoints.until_over(place.images("other")) == "unknown"
    assert await _status(place, "web.1") == "running"
    await place.knows("web.1")


async def test_a_restore_that_is_stopped_or_cancelled_leaves_no_task(place: Place) -> None:
    namespace, checkpoints, tasks = place.namespace, place.checkpoints, place.runtime.tasks
    await place.run("web.1")
    images = place.images("cancelled")
    await checkpoints.dump(namespace, "web.1", images, PLAIN, ends=True, lease=LEASE)
    await tasks.delete(namespace, "web.1")
    begun, go_on, pids = asyncio.Event(), asyncio.Event(), []

    async def start() -> int:
        begun.set()
        await go_on.wait()
        pids.append(await tasks.start(namespace, "web.1"))
        return pids[0]

    async def no_more() -> None:
        task = await tasks.get(namespace, "web.1")
        assert (task is not None and task.status) == "created"
        raise CommandFailed("failed_precondition", "it is not ours any more")

    # Nor one that somebody stops right before it begins.
    with pytest.raises(CommandFailed, match="it is not ours any more"):
        await checkpoints.restore(namespace, "web.1", images, start=start, before=no_more)
    assert not begun.is_set()
    assert await tasks.get(namespace, "web.1") is None

    restore = asyncio.create_task(checkpoints.restore(namespace, "web.1", images, start=start))
    await begun.wait()
    restore.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await restore
    assert pids[0] > 0
    assert await tasks.get(namespace, "web.1") is None


async def test_what_a_container_wrote_is_a_layer_in_the_content_store(place: Place) -> None:
    namespace, checkpoints = place.namespace, place.checkpoints
    await place.run("web.1")
    before = await place.snapshots()
    plain = await checkpoints.changes(namespace, "web.1", lease=LEASE)
    packed = await checkpoints.changes(namespace, "web.1", packed=True, lease=LEASE)
    assert plain is not None
    assert packed is not None
    assert (plain.media_type + "+gzip", packed.media_type) == (RW_LAYER, RW_LAYER)
    data = await _whole(place, plain)
    assert len(data) == plain.size
    assert b"begun" in data
    assert await place.snapshots() == before
    with failing("not_found"):
        await checkpoints.apply(namespace, "overlayfs", "nothing", plain, lease=LEASE)


async def test_a_blob_is_written_once_and_read_as_it_was_written(place: Place) -> None:
    namespace, checkpoints = place.namespace, place.checkpoints
    data = bytes(range(256)) * 9000
    written = await checkpoints.write(namespace, CRIU_TAR, _pieces(data), ref="r1", lease=LEASE)
    assert (written.media_type, written.size, len(written.digest)) == (CRIU_TAR, len(data), 71)
    assert written == await checkpoints.write(namespace, CRIU_TAR, _pieces(data), ref="r2", lease=LEASE)
    assert await _whole(place, written) == data
    with failing("not_found"):
        await _whole(place, written._replace(digest="sha256:" + "0" * 64))
    with failing("failed_precondition"):
        await _whole(place, written._replace(size=5))


async def test_a_checkpoint_image_is_read_as_it_was_made(place: Place) -> None:
    namespace, checkpoints = place.namespace, place.checkpoints
    spec, options = {"root": {"path": "rootfs"}, "hostname": "x"}, CheckpointOptions(tcp_established=True)
    parts = [
        await checkpoints.write(namespace, media_type, _pieces(data), ref=media_type, lease=LEASE)
        for media_type, data in (
            (CRIU_TAR, b"tar"),
            (SPEC_PART, checkpoints.pack_spec(spec)),
            (OPTIONS_PART, checkpoints.pack_options(options, ends=True)),
        )
    ]
    image = CheckpointImage(name="example.org/saved:1", manifests=tuple(parts), annotations={"a": "b"})
    for _ in range(2):  # a second time it is there already, and as good
        await checkpoints.make_image(namespace, image, labels={"test/x": "y"}, lease=LEASE)
    await place.runtime.leases.delete(namespace, LEASE, sync=True)  # the image holds its parts alone now
    assert await checkpoints.image(namespace, image.name) == image
    assert checkpoints.unpack_spec(await _whole(place, parts[1])) == spec
    assert checkpoints.unpack_options(await _whole(place, parts[2])) == options
    (info,) = await place.runtime.images.list(namespace, [f'name=="{image.name}"'])
    assert info.labels.items() >= {"test/x": "y", "containerd.io/checkpoint": "true"}.items()

    await place.runtime.leases.create(namespace, LEASE, {})
    with failing("already_exists"):
        other = CheckpointImage(name=image.name, manifests=tuple(parts[:1]), annotations={})
        await checkpoints.make_image(namespace, other, labels={}, lease=LEASE)
    with failing("not_found"):
        await checkpoints.image(namespace, "example.org/nothing:1")
    without = CheckpointImage(name="example.org/empty:1", manifests=tuple(parts[1:]), annotations={})
    await checkpoints.make_image(namespace, without, labels={}, lease=LEASE)
    for name in (without.name, BUSYBOX):
        with failing("failed_precondition"):
            await checkpoints.image(namespace, name)
    for unpack in (checkpoints.unpack_spec, checkpoints.unpack_options):
        with failing("failed_precondition"):
            unpack(b"\xff\xff")


async def test_an_exported_image_is_the_same_one_elsewhere(place: Place) -> None:
    here = await place.runtime.images.resolve(place.namespace, BUSYBOX)
    archive = await place.checkpoints.export_image(place.namespace, BUSYBOX)
    elsewhere = f"{place.namespace}-2"
    await place.runtime.leases.create(elsewhere, "import", {})
    (taken,) = await place.runtime.images.take_in(elsewhere, archive, name="", lease="import", command_id="c1")
    await place.runtime.leases.delete(elsewhere, "import", sync=True)
    there = await place.runtime.images.resolve(elsewhere, BUSYBOX)
    assert (taken.name, there.digest, there.config_digest) == (BUSYBOX, here.digest, here.config_digest)
    with failing("not_found"):
        await place.checkpoints.export_image(place.namespace, "example.org/nothing:1")
    await place.runtime.images.delete(elsewhere, BUSYBOX, sync=True)


async def test_the_host_says_what_it_is_and_criu_whether_it_works(place: Place) -> None:
    facts = await place.checkpoints.host(place.namespace, "io.containerd.runc.v2")
    said = await place.checkpoints.check()
    assert facts.containerd == (await place.runtime.version()).version.removeprefix("v")
    assert facts.criu == said.version
    assert said.works, said.says
    assert facts.runtime == "io.containerd.runc.v2"
    assert all(
        (facts.hostname, facts.os, facts.arch, facts.kernel, facts.cpu_flags, facts.cgroup, facts.runtime_version)
    )


async def _log_after(ending: Awaitable[object], images: Path) -> str:
    with contextlib.suppress(asyncio.CancelledError):
        await ending
    return await asyncio.to_thread((images.parent / "work" / "dump.log").read_text, "utf-8", "replace")


async def _status(place: Place, container: str) -> str:
    task = await place.runtime.tasks.get(place.namespace, container)
    assert task is not None
    return task.status


async def _whole(place: Place, content: Descriptor) -> bytes:
    return b"".join([piece async for piece in place.checkpoints.read(place.namespace, content)])


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 1_500_000):
        yield data[start : start + 1_500_000]


def _modes(directory: Path) -> set[int]:
    return {stat.S_IMODE(each.stat().st_mode) for each in directory.rglob("*")}


async def test_the_host_tells_what_is_not_there_and_where_somebody_listens(place: Place) -> None:
    checkpoints, gone = place.checkpoints, "/nowhere/at/all"
    await place.without(gone)
    assert await checkpoints.missing(["/", gone, "/proc"]) == [gone]
    assert await checkpoints.missing([]) == []

    where = Listening(protocol="tcp", address="::", port=7777)
    network = await place.run_listening("web.1", where)
    assert await checkpoints.listens(place.namespace, "web.1") == [where]
    assert await checkpoints.listening(network) == [where]
    theirs = await checkpoints.listening()
    assert theirs is not None
    assert [one for one in theirs if one == where] == []  # the host has another network
    assert await checkpoints.listens(place.namespace, "nobody") is None
