"""The contracts of what containers are made from: `ImageStore`, `SnapshotStore`, `LeaseStore`, and `ContainerStore.create`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from bridge.errors import CommandFailed
from bridge.model import labels
from bridge.model.commands import Pull, RuncOptions
from bridge.ports import ImageContent, Leased, NewContainer
from tests.contract.failing import code_of
from tests.contract.hosts import ID, Behaviour, Host
from tests.testbed import BUSYBOX
from tests.testbed.image import archive

LABEL = "test/command"
SPEC: dict[str, Any] = {
    "ociVersion": "1.1.0",
    "process": {"args": ["sleep", "1000"], "cwd": "/"},
    "root": {"path": "rootfs"},
}


@pytest.fixture
async def image(host: Host) -> ImageContent:
    await host.put_image()
    return await host.runtime.images.resolve(host.namespace, BUSYBOX)


@pytest.fixture
async def lease(host: Host) -> AsyncIterator[str]:
    await host.runtime.leases.create(host.namespace, "lease-1", {LABEL: "c1"})
    yield "lease-1"
    await host.runtime.leases.delete(host.namespace, "lease-1")


def record(**more: Any) -> NewContainer:
    fields: dict[str, Any] = {"id": ID, "spec": SPEC, "runtime": "io.containerd.runc.v2", "runc": RuncOptions()}
    return NewContainer(**{**fields, **more})


# -- images


async def test_images_are_listed_by_name(host: Host) -> None:
    assert list(await host.runtime.images.list("t-nowhere")) == []
    await host.put_image()
    (info,) = await host.runtime.images.list(host.namespace)
    assert (info.name, info.size, info.digest[:7]) == (BUSYBOX, None, "sha256:")
    assert info.created_at is not None
    (sized,) = await host.runtime.images.list(host.namespace, sizes=True)
    assert sized.size


@pytest.mark.parametrize(
    ("filters", "count"),
    [([f'name=="{BUSYBOX}"'], 1), (["name==x"], 0), (["name~=busybox"], 1), (["target.digest~=^sha256:"], 1)],
)
async def test_images_are_filtered_as_containerd_does(host: Host, filters: list[str], count: int) -> None:
    await host.put_image()
    assert len(await host.runtime.images.list(host.namespace, filters)) == count


async def test_an_image_is_resolved_to_its_layers_and_configuration(image: ImageContent) -> None:
    assert image.name == BUSYBOX
    assert len(image.layers) == len(image.diff_ids) == 1
    assert image.config["config"]["Cmd"] == ["sh"]
    assert image.config["rootfs"]["diff_ids"] == list(image.diff_ids)


async def test_an_image_that_is_not_there_is_not_found(host: Host) -> None:
    assert await code_of(host.runtime.images.resolve(host.namespace, "docker.io/library/none:1")) == "not_found"
    assert await code_of(host.runtime.images.delete(host.namespace, "docker.io/library/none:1")) == "not_found"


async def test_a_removed_image_is_gone(host: Host) -> None:
    await host.put_image()
    await host.runtime.images.delete(host.namespace, BUSYBOX, sync=True)
    assert list(await host.runtime.images.list(host.namespace)) == []


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 1000):
        yield data[start : start + 1000]


async def test_an_archive_is_taken_in(host: Host, lease: str) -> None:
    name = "docker.io/library/other:1"
    (info,) = await host.runtime.images.take_in(
        host.namespace, pieces(archive(b"no program", name=name)), name="", lease=lease, command_id="c1"
    )
    assert info.name == name
    assert (info.labels[labels.COMMAND], info.labels[labels.IMAGES]) == ("c1", "1")
    assert name in [one.name for one in await host.runtime.images.list(host.namespace)]
    assert (await host.runtime.images.resolve(host.namespace, name)).digest == info.digest


async def test_of_an_archive_with_a_digest_the_name_is_ours(host: Host, lease: str) -> None:
    images, data = host.runtime.images, archive(b"no program", name="docker.io/library/other:1")
    how: dict[str, Any] = {"lease": lease, "command_id": "c1"}
    before = {one.name for one in await images.list(host.namespace)}
    wrong = images.take_in(host.namespace, pieces(data), name="x/y:1", digest=f"sha256:{0:064}", **how)
    assert await code_of(wrong) == "invalid_argument"
    assert {one.name for one in await images.list(host.namespace)} == before
    (theirs,) = await images.take_in(host.namespace, pieces(data), name="", **how)
    (ours,) = await images.take_in(host.namespace, pieces(data), name="x/y:1", digest=theirs.digest, **how)
    assert (ours.name, ours.digest) == ("x/y:1", theirs.digest)
    made = {one.name for one in await images.list(host.namespace)} - before
    assert made == {"docker.io/library/other:1", "x/y:1"}


@pytest.mark.parametrize("data", [b"", b"no archive at all" * 100, archive(b"no program")[:2000]])
async def test_what_is_no_archive_is_an_invalid_argument(host: Host, lease: str, data: bytes) -> None:
    taking = host.runtime.images.take_in(host.namespace, pieces(data), name="", lease=lease, command_id="c1")
    assert await code_of(taking) == "invalid_argument"


async def test_a_registry_that_does_not_answer_is_a_failure(host: Host, lease: str) -> None:
    wanted = Pull(id="p1", image="localhost:1/none/none:1", snapshotter="overlayfs")
    with pytest.raises(CommandFailed):
        await host.runtime.images.pull(host.namespace, wanted, lambda _: None, lease=lease)


# -- snapshots


async def test_a_snapshot_is_made_once_labelled_and_removed(host: Host, image: ImageContent, lease: str) -> None:
    snapshots = host.runtime.snapshots
    assert await snapshots.labels(host.namespace, "overlayfs", ID) is None
    await snapshots.prepare(host.namespace, "overlayfs", ID, image, labels={LABEL: "c1"}, lease=lease)
    assert (await snapshots.labels(host.namespace, "overlayfs", ID) or {})[LABEL] == "c1"
    assert await snapshots.stands_on(host.namespace, "overlayfs", ID, image) is True
    other = msgspec.structs.replace(image, diff_ids=(*image.diff_ids, image.diff_ids[0]))
    assert await snapshots.stands_on(host.namespace, "overlayfs", ID, other) is False
    assert await snapshots.stands_on(host.namespace, "overlayfs", "nobody", image) is None
    again = snapshots.prepare(host.namespace, "overlayfs", ID, image, labels={}, lease=lease)
    assert await code_of(again) == "already_exists"
    await snapshots.remove(host.namespace, "overlayfs", ID)
    await snapshots.remove(host.namespace, "overlayfs", ID)
    assert await snapshots.labels(host.namespace, "overlayfs", ID) is None


async def test_a_file_that_is_not_in_it_is_none(host: Host, image: ImageContent, lease: str) -> None:
    await host.runtime.snapshots.prepare(host.namespace, "overlayfs", ID, image, labels={}, lease=lease)
    read = host.runtime.snapshots.read
    assert await read(host.namespace, "overlayfs", ID, "/etc/none", most=100) is None


async def test_a_snapshotter_that_is_not_there_is_told(host: Host, image: ImageContent, lease: str) -> None:
    preparing = host.runtime.snapshots.prepare(host.namespace, "none", ID, image, labels={}, lease=lease)
    assert await code_of(preparing) in {"invalid_argument", "not_found"}


async def test_what_a_lease_held_goes_with_it_unless_a_record_refers_to_it(
    host: Host, image: ImageContent, lease: str
) -> None:
    snapshots = host.runtime.snapshots
    for key in (ID, "unused"):
        await snapshots.prepare(host.namespace, "overlayfs", key, image, labels={}, lease=lease)
    wanted = record(image=BUSYBOX, snapshotter="overlayfs", snapshot_key=ID)
    await host.runtime.containers.create(host.namespace, wanted, lease=lease)
    await host.runtime.leases.delete(host.namespace, lease, sync=True)
    assert await host.snapshots() == {ID}


# -- leases


async def test_leases_are_found_by_their_label(host: Host, lease: str) -> None:
    await host.runtime.leases.create(host.namespace, "other", {"test/other": "x"})
    found = await host.runtime.leases.list([host.namespace], LABEL)
    assert [(one.namespace, one.id, one.labels[LABEL]) for one in found] == [(host.namespace, lease, "c1")]
    assert (host.namespace, lease) in [(one.namespace, one.id) for one in await host.runtime.leases.list([], LABEL)]
    await host.runtime.leases.delete(host.namespace, "other")
    assert isinstance(found[0], Leased)


async def test_a_lease_is_made_and_deleted_twice_without_complaint(host: Host, lease: str) -> None:
    await host.runtime.leases.create(host.namespace, lease, {})
    await host.runtime.leases.delete(host.namespace, lease)
    await host.runtime.leases.delete(host.namespace, lease, sync=True)
    assert list(await host.runtime.leases.list([host.namespace], LABEL)) == []


# -- records


async def test_a_record_is_kept_as_it_was_made(host: Host) -> None:
    await host.runtime.containers.create(host.namespace, record(labels={"nerdctl/name": "shop", "a": "b"}, image="x"))
    info = await host.runtime.containers.get(host.namespace, ID)
    assert (info.spec, info.labels) == (SPEC, {"nerdctl/name": "shop", "a": "b"})
    assert (info.name, info.image, info.runtime) == ("shop", "x", "io.containerd.runc.v2")
    assert info.created_at is not None
    assert await host.runtime.tasks.get(host.namespace, ID) is None


async def test_a_record_of_an_id_that_is_taken_already_exists(host: Host) -> None:
    await host.make(Behaviour.STUBBORN)
    before = await host.runtime.containers.get(host.namespace, ID)
    assert await code_of(host.runtime.containers.create(host.namespace, record())) == "already_exists"
    assert await host.runtime.containers.get(host.namespace, ID) == before


async def test_a_record_of_an_id_that_cannot_be_is_an_invalid_argument(host: Host) -> None:
    assert await code_of(host.runtime.containers.create(host.namespace, record(id="../x"))) == "invalid_argument"


async def test_a_namespace_has_defaults(host: Host) -> None:
    assert await host.runtime.containers.defaults(host.namespace) == ("io.containerd.runc.v2", "overlayfs")
    assert await host.runtime.containers.defaults("t-nowhere") == ("io.containerd.runc.v2", "overlayfs")


@pytest.mark.parametrize(
    ("runc", "told"),
    [
        (None, None),
        (RuncOptions(), None),
        (RuncOptions(root="/run/x", systemd_cgroup=True), {"root": "/run/x", "systemd_cgroup": True}),
    ],
)
async def test_the_runtime_s_options_are_told_where_they_are_no_defaults(
    host: Host, runc: RuncOptions | None, told: dict[str, Any] | None
) -> None:
    await host.runtime.containers.create(host.namespace, record(runc=runc))
    assert (await host.runtime.containers.get(host.namespace, ID)).runtime_options == told
