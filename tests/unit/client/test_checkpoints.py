"""The catalogue of checkpoints as a client has it: found by name, exported to files, imported from them."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest

from bridge.checkpoints import LIMITS
from bridge.client.checkpoint_import import Into
from bridge.client.checkpoints import Checkpoints
from bridge.errors import CommandFailed
from bridge.model.checkpoints import CheckpointKey
from bridge.testing import MemoryCheckpoints
from tests.contract.catalogues import archive, key, record, text, unheard
from tests.unit.checkpoints.archives import RECORD, contents, packed, unpacked


async def catalogue_of(*keys: CheckpointKey, data: bytes = b"archive") -> MemoryCheckpoints:
    catalogue = MemoryCheckpoints()
    for number, each in enumerate(keys):
        facts = await catalogue.store(each, archive(data), upload=f"a-{number}", tell=unheard)
        await catalogue.put(record(each, facts, upload=f"a-{number}", at=number))
    return catalogue


def of(catalogue: MemoryCheckpoints) -> Checkpoints:
    return Checkpoints(lambda _: catalogue)


# -- found by name

ONE, OTHER, THIRD = key("c1"), key("c1", container="db"), key("c1", node="n2")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("alone", key("alone")),
        ("db/c1", OTHER),
        (ONE.token, ONE),
        (THIRD.token, THIRD),
    ],
)
async def test_a_checkpoint_is_found_by_what_people_type(name: str, found: CheckpointKey) -> None:
    checkpoints = of(await catalogue_of(ONE, OTHER, THIRD, key("alone")))
    assert (await checkpoints.find(name)).key == found


async def test_where_it_is_meant_to_be_narrows_it_down() -> None:
    checkpoints = of(await catalogue_of(ONE, OTHER, THIRD))
    assert (await checkpoints.find("web.1/c1", node="n2")).key == THIRD
    assert (await checkpoints.find("c1", container="db")).key == OTHER


async def test_of_several_all_are_named() -> None:
    checkpoints = of(await catalogue_of(ONE, OTHER, THIRD))
    with pytest.raises(CommandFailed, match="there are 3 checkpoints c1: say which") as failed:
        await checkpoints.find("c1")
    assert failed.value.code == "invalid_argument"
    assert all(each.token in failed.value.message for each in (ONE, OTHER, THIRD))


@pytest.mark.parametrize("name", ["nothing", "web.1/", "/c1/", "", "../c1", "n1.k8s=2Eio.web=2E1.c9"])
async def test_what_is_not_there_is_said_to_be_looked_for_with_ls(name: str) -> None:
    checkpoints = of(await catalogue_of(ONE, OTHER))
    with pytest.raises(CommandFailed, match="checkpoint ls") as failed:
        await checkpoints.find(name)
    assert failed.value.code == "not_found"


async def test_a_name_that_looks_like_a_key_is_one_all_the_same() -> None:
    odd = key("a.b.c.d")
    checkpoints = of(await catalogue_of(odd, CheckpointKey("a", "b", "c", "d")))
    assert (await checkpoints.find("a.b.c.d")).node == "a"  # the whole key goes first
    assert (await checkpoints.find("web.1/a.b.c.d")).key == odd


async def test_a_bus_without_a_catalogue_says_so() -> None:
    with pytest.raises(CommandFailed, match="no catalogue") as failed:
        await Checkpoints().list()
    assert failed.value.code == "unimplemented"


# -- exported


async def test_an_export_is_its_owners_alone_and_replaces_what_was_there(tmp_path: Path) -> None:
    data = text(300_000)
    catalogue = await catalogue_of(ONE, data=data)
    file = tmp_path / "c1.tar.zst"
    file.write_text("old")
    file.chmod(0o644)
    told: list[int] = []
    size = await of(catalogue).export(await catalogue.get(ONE), file, tell=told.append)
    assert (file.read_bytes(), size, told[-1]) == (data, len(data), len(data))
    assert file.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["c1.tar.zst"]


async def test_what_does_not_come_to_its_end_leaves_no_file(tmp_path: Path) -> None:
    catalogue = await catalogue_of(ONE, data=text(300_000))
    catalogue.damage(ONE)
    with pytest.raises(CommandFailed) as failed:
        await of(catalogue).export(await catalogue.get(ONE), tmp_path / "c1.tar.zst")
    assert failed.value.code == "failed_precondition"
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("name", ["", "missing/c1"])
async def test_what_cannot_be_written_is_told(tmp_path: Path, name: str) -> None:
    catalogue = await catalogue_of(ONE)
    with pytest.raises(CommandFailed, match=r"is no file|cannot be written"):
        await of(catalogue).export(await catalogue.get(ONE), tmp_path / name)
    assert not os.listdir(tmp_path)


async def test_an_export_is_packed_as_is_asked_for(tmp_path: Path) -> None:
    data, _ = await packed(contents(tmp_path))
    catalogue = await catalogue_of(ONE, data=data)
    record = await catalogue.get(ONE)
    for packing, begins in (("gzip", b"\x1f\x8b"), ("none", b""), ("zstd", b"\x28\xb5\x2f\xfd")):
        file, directory = tmp_path / packing, tmp_path / f"{packing}.unpacked"
        directory.mkdir()
        await of(catalogue).export(record, file, packing=packing)  # type: ignore[arg-type]
        assert file.read_bytes().startswith(begins)
        assert (await unpacked(file.read_bytes(), directory, limits=LIMITS)).told.record is not None
    with tarfile.open(tmp_path / "none", "r:") as plain:
        assert plain.getnames()
    assert gzip.decompress((tmp_path / "gzip").read_bytes()) == (tmp_path / "none").read_bytes()


# -- brought from files


async def test_what_was_exported_is_imported_and_nobody_vouches_for_it(tmp_path: Path) -> None:
    data, made = await packed(contents(tmp_path))
    file = tmp_path / "c1.tar.zst"
    file.write_bytes(data)
    catalogue = MemoryCheckpoints()
    brought = await of(catalogue).bring(file)

    assert brought.imported
    assert brought.key == RECORD.key
    assert (brought.archive.size, brought.archive.unpacked) == (len(data), made.unpacked)
    assert (brought.options, brought.host, brought.labels) == (RECORD.options, RECORD.host, RECORD.labels)
    assert await catalogue.get(RECORD.key) == brought
    assert b"".join([piece async for piece in catalogue.load(RECORD.key)]) == data


async def test_it_is_called_what_one_says(tmp_path: Path) -> None:
    data, _ = await packed(contents(tmp_path))
    file = tmp_path / "c1.tar.zst"
    file.write_bytes(data)
    brought = await of(MemoryCheckpoints()).bring(
        file, Into(node="n9", namespace="k8s.io", container="db", name="other")
    )
    assert brought.key == CheckpointKey("n9", "k8s.io", "db", "other")


async def test_the_same_file_twice_is_as_good_and_takes_no_second_name(tmp_path: Path) -> None:
    data, _ = await packed(contents(tmp_path))
    file = tmp_path / "c1.tar.zst"
    file.write_bytes(data)
    catalogue = MemoryCheckpoints()
    checkpoints = of(catalogue)
    assert await checkpoints.bring(file) == await checkpoints.bring(file)
    assert len(await checkpoints.list()) == 1


async def test_what_was_broken_off_goes_on(tmp_path: Path) -> None:
    data, _ = await packed(contents(tmp_path, images={"inventory.img": b"x", "pages-1.img": os.urandom(3_000_000)}))
    file = tmp_path / "c1.tar.zst"
    file.write_bytes(data)
    catalogue = MemoryCheckpoints()
    catalogue.break_off(1_000_000)
    with pytest.raises(CommandFailed, match="does not answer"):
        await of(catalogue).bring(file)
    await of(catalogue).bring(file)
    assert catalogue.taken == [0, 1_000_000]


async def test_a_checkpoint_of_a_node_is_not_replaced_by_one_that_is_imported(tmp_path: Path) -> None:
    data, _ = await packed(contents(tmp_path))
    file = tmp_path / "c1.tar.zst"
    file.write_bytes(data)
    catalogue = await catalogue_of(RECORD.key, data=b"the node's own")
    with pytest.raises(CommandFailed) as failed:
        await of(catalogue).bring(file)
    assert failed.value.code == "already_exists"
    assert not (await catalogue.get(RECORD.key)).imported


def without_facts(data: bytes) -> bytes:
    """The archive as another program would write it: without our record."""
    made = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as old, tarfile.open(fileobj=made, mode="w:") as new:
        for member in old:
            if member.name != "bridge.json":
                new.addfile(member, old.extractfile(member) if member.isfile() else None)
    return made.getvalue()


async def test_an_archive_of_another_programs_is_filed_by_what_that_says(tmp_path: Path) -> None:
    data, _ = await packed(contents(tmp_path), "none")
    file = tmp_path / "checkpoint-of-web.tar.gz"
    file.write_bytes(gzip.compress(without_facts(data)))
    brought = await of(MemoryCheckpoints()).bring(file)
    assert brought.key == CheckpointKey("imported", "default", "web.1", "checkpoint-of-web")
    assert (brought.imported, brought.image, brought.created_at) == (True, RECORD.image, RECORD.created_at)


async def test_where_it_cannot_be_filed_one_is_asked_for_a_name(tmp_path: Path) -> None:
    data, _ = await packed(contents(tmp_path), "none")
    file = tmp_path / "was weiß ich.tar"
    file.write_bytes(without_facts(data))
    with pytest.raises(CommandFailed, match="give one with --name") as failed:
        await of(MemoryCheckpoints()).bring(file)
    assert failed.value.code == "invalid_argument"


@pytest.mark.parametrize("content", [b"", b"nothing", bytes(10_240)], ids=["empty", "text", "zeros"])
async def test_what_is_no_checkpoint_is_refused_and_nothing_is_stored(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "c1.tar"
    file.write_bytes(content)
    catalogue = MemoryCheckpoints()
    with pytest.raises(CommandFailed) as failed:
        await of(catalogue).bring(file)
    assert failed.value.code == "invalid_argument"
    assert str(file) in failed.value.message
    assert await catalogue.list() == []
    assert not catalogue.taken


async def test_an_archive_with_something_else_in_it_is_refused(tmp_path: Path) -> None:
    data, _ = await packed(contents(tmp_path), "none")
    for name, kind in (
        ("../evil", tarfile.REGTYPE),
        ("checkpoint/link", tarfile.SYMTYPE),
        ("config.dump", tarfile.REGTYPE),
    ):
        made = io.BytesIO(without_facts(data))
        with tarfile.open(fileobj=made, mode="a:") as archive_:
            extra = tarfile.TarInfo(name)
            extra.type, extra.linkname = kind, "/etc/shadow" if kind == tarfile.SYMTYPE else ""
            archive_.addfile(extra)
        file = tmp_path / "c1.tar"
        file.write_bytes(made.getvalue())
        with pytest.raises(CommandFailed) as failed:
            await of(MemoryCheckpoints()).bring(file)
        assert failed.value.code == "invalid_argument"


async def test_a_file_that_changes_meanwhile_is_not_kept(tmp_path: Path) -> None:
    data, _ = await packed(contents(tmp_path), "none")
    file = tmp_path / "c1.tar"
    file.write_bytes(data)

    class Changing(MemoryCheckpoints):
        async def store(self, *arguments: object, **named: object):  # type: ignore[no-untyped-def]
            file.write_bytes(data[:-1] + b"x")
            return await super().store(*arguments, **named)  # type: ignore[arg-type]

    catalogue = Changing()
    with pytest.raises(CommandFailed, match="was changed while it was read"):
        await of(catalogue).bring(file)
    assert await catalogue.list() == []
    assert await catalogue.abandon(RECORD.key, upload=f"import-{'0' * 32}") == 0


async def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="give a file"):
        await of(MemoryCheckpoints()).bring(Path("-"))
    with pytest.raises(CommandFailed, match="cannot be read: No such file"):
        await of(MemoryCheckpoints()).bring(tmp_path / "missing")
