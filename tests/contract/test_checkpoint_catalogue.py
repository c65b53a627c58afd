"""The contract of `CheckpointCatalogue`."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from bridge.errors import CommandFailed
from bridge.jetstream.checkpoint_cipher import CheckpointSecret
from bridge.model.nanos import Nanos, now
from bridge.ports.checkpoints import Keeping
from tests.contract.catalogues import (
    MIB,
    Catalogues,
    JetStreamCatalogues,
    MemoryCatalogues,
    archive,
    broken_off,
    key,
    record,
    text,
    unheard,
    until_it_fails,
    whole,
)
from tests.fix_nats import NatsServerFactory

DATA = text(3 * MIB + 12_345)
SECRET = CheckpointSecret.of(bytes(range(32)))


@pytest.fixture(params=["memory", "jetstream", "encrypted"])
async def catalogues(request: pytest.FixtureRequest) -> AsyncIterator[Catalogues]:
    if request.param == "memory":
        yield MemoryCatalogues()
        return
    factory: NatsServerFactory = request.getfixturevalue("nats_server_factory")
    async with AsyncExitStack() as closing:
        yield JetStreamCatalogues(factory().url, closing, SECRET if request.param == "encrypted" else None)


async def test_an_archive_comes_back_as_it_was(catalogues: Catalogues) -> None:
    catalogue = await catalogues.another()
    told: list[int] = []
    facts = await catalogue.store(key(), archive(DATA), upload="a-1", tell=told.append)
    await catalogue.put(record(key(), facts))

    assert await whole(await catalogues.another(node="n2"), key()) == DATA
    assert (told[0], told[-1], told == sorted(told)) == (0, facts.size, True)
    if not facts.key:
        assert facts.size == len(DATA)
        assert facts.digest == f"sha256:{hashlib.sha256(DATA).hexdigest()}"


@pytest.mark.parametrize("size", [1, 256 * 1024 - 63, 256 * 1024, 256 * 1024 + 1, 512 * 1024])
async def test_an_archive_of_any_size_does(catalogues: Catalogues, size: int) -> None:
    catalogue = await catalogues.another()
    await catalogue.store(key(), archive(text(size)), upload="a-1", tell=unheard)
    assert await whole(catalogue, key()) == text(size)


async def test_it_is_read_from_any_byte_on(catalogues: Catalogues) -> None:
    catalogue = await catalogues.another()
    await catalogue.store(key(), archive(DATA), upload="a-1", tell=unheard)
    for offset in (1, 256 * 1024 - 63, 256 * 1024, 2 * MIB + 1, len(DATA) - 1, len(DATA), len(DATA) + 5):
        assert await whole(catalogue, key(), offset=offset) == DATA[offset:]


async def test_what_compresses_it_is_told(catalogues: Catalogues) -> None:
    catalogue = await catalogues.another()
    plain = await catalogue.store(key("plain"), archive(DATA), upload="a-1", tell=unheard)
    packed = await catalogue.store(key("zstd"), archive(b"\x28\xb5\x2f\xfd" + DATA), upload="a-2", tell=unheard)
    assert (plain.compression, packed.compression) == ("none", "zstd")


async def test_an_empty_archive_is_none(catalogues: Catalogues) -> None:
    catalogue = await catalogues.another()
    with pytest.raises(CommandFailed) as failed:
        await catalogue.store(key(), archive(b""), upload="a-1", tell=unheard)
    assert failed.value.code == "invalid_argument"


async def test_an_upload_that_was_broken_off_goes_on(catalogues: Catalogues) -> None:
    stored = await broken_off(await catalogues.another(), key(), DATA, upload="a-1")
    assert stored > 0

    catalogue = await catalogues.another()
    told: list[int] = []
    facts = await catalogue.store(key(), archive(DATA), upload="a-1", tell=told.append)
    assert told[0] >= stored
    assert told[-1] == facts.size
    assert await whole(catalogue, key()) == DATA


async def test_it_goes_on_as_often_as_it_takes(catalogues: Catalogues) -> None:
    for part in (1, 2, 3):
        await broken_off(await catalogues.another(), key(), DATA[: part * MIB], upload="a-1")
    catalogue = await catalogues.another()
    await catalogue.store(key(), archive(DATA), upload="a-1", tell=unheard)
    assert await whole(catalogue, key()) == DATA


async def test_what_is_another_archive_than_before_is_stored_anew(catalogues: Catalogues) -> None:
    await broken_off(await catalogues.another(), key(), text(3 * MIB, seed=1), upload="a-1")
    catalogue = await catalogues.another()
    await catalogue.store(key(), archive(DATA), upload="a-1", tell=unheard)
    assert await whole(catalogue, key()) == DATA

    await broken_off(await catalogues.another(), key("short"), text(3 * MIB), upload="a-1")
    await catalogue.store(key("short"), archive(text(10)), upload="a-1", tell=unheard)
    assert await whole(catalogue, key("short")) == text(10)


async def test_what_is_whole_is_not_stored_again(catalogues: Catalogues) -> None:
    catalogue = await catalogues.another()
    facts = await catalogue.store(key(), archive(DATA), upload="a-1", tell=unheard)

    read: list[int] = []

    async def again() -> AsyncIterator[bytes]:
        read.append(1)
        yield DATA

    assert await (await catalogues.another()).store(key(), again, upload="a-1", tell=unheard) == facts
    await catalogue.put(record(key(), facts))
    assert await catalogue.store(key(), again, upload="a-1", tell=unheard) == facts
    assert not read


async def test_what_the_archive_fails_with_is_passed_on_and_nothing_is_stored(catalogues: Catalogues) -> None:
    async def fails() -> AsyncIterator[bytes]:
        yield DATA
        raise CommandFailed("failed_precondition", "the disk is gone")

    catalogue = await catalogues.another()
    with pytest.raises(CommandFailed, match="the disk is gone"):
        await catalogue.store(key(), fails, upload="a-1", tell=unheard)
    with pytest.raises(CommandFailed) as failed:
        await whole(catalogue, key())
    assert failed.value.code == "not_found"
    assert await catalogue.abandon(key(), upload="a-1") == 0


async def test_what_is_given_up_is_gone(catalogues: Catalogues) -> None:
    stored = await broken_off(await catalogues.another(), key(), DATA, upload="a-1")
    catalogue = await catalogues.another()
    assert await catalogue.abandon(key(), upload="a-1") >= stored
    assert await catalogue.abandon(key(), upload="a-1") == 0

    facts = await catalogue.store(key(), archive(DATA), upload="a-1", tell=unheard)  # also after it was whole
    assert await catalogue.abandon(key(), upload="a-2") == 0
    assert await catalogue.abandon(key(), upload="a-1") == facts.size
    with pytest.raises(CommandFailed) as failed:
        await whole(catalogue, key())
    assert failed.value.code == "not_found"


# -- several of one name


async def test_a_checkpoint_is_not_overwritten(catalogues: Catalogues) -> None:
    catalogue = await catalogues.another()
    facts = await catalogue.store(key(), archive(DATA), upload="a-1", tell=unheard)
    await catalogue.put(record(key(), facts))

    with pytest.raises(CommandFailed) as failed:
        await catalogue.store(key(), archive(text(10)), upload="a-2", tell=unheard)
    assert failed.value.code == "already_exists"
    with pytest.raises(CommandFailed) as failed:
        await catalogue.put(record(key(), facts, upload="a-2"))
    assert failed.value.code == "already_exists"
    assert (await catalogue.get(key())).id == "a-1"
    assert await whole(catalogue, key()) == DATA


async def test_an_archive_without_a_record_is_replaced_and_its_pieces_go(catalogues: Catalogues) -> None:
    catalogue = await catalogues.another()
    await catalogue.store(key(), archive(text(MIB)), upload="a-1", tell=unheard)
    facts = await catalogue.store(key(), archive(DATA), upload="a-2", tell=unheard)
    await catalogue.put(record(key(), facts, upload="a-2"))
    assert await whole(catalogue, key()) == DATA
    assert await (await catalogues.another(keeping=Keeping(abandoned_s=0))).sweep() == 0


async def test_of_two_uploads_of_one_key_one_is_there_in_the_end(catalogues: Catalogues) -> None:
    one, other = await catalogues.another(), await catalogues.another()
    found = await asyncio.gather(
        one.store(key(), archive(DATA), upload="a-1", tell=unheard),
        other.store(key(), archive(text(3 * MIB, seed=9)), upload="a-2", tell=unheard),
        return_exceptions=True,
    )
    [failure] = [each for each in found if isinstance(each, BaseException)]
    assert isinstance(failure, CommandFailed)
    assert failure.code == "already_exists"
    winner = found[0] if found[1] is failure else found[1]
    read = await whole(one, key())
    assert read == (DATA if found[1] is failure else text(3 * MIB, seed=9))
    assert not isinstance(winner, BaseException)
    assert await (await catalogues.another(keeping=Keeping(abandoned_s=0))).sweep() == winner.size


async def test_uploads_of_several_keys_do_not_get_into_each_other(catalogues: Catalogues) -> None:
    bridges = [await catalogues.another(node=f"n{number}") for number in range(4)]
    names = [key(node=f"n{number}") for number in range(4)]
    await asyncio.gather(
        *(
            bridge.store(name, archive(text(MIB + number, seed=number)), upload="a-1", tell=unheard)
            for number, (bridge, name) in enumerate(zip(bridges, names, strict=True))
        )
    )
    for number, name in enumerate(names):
        assert await whole(bridges[0], name) == text(MIB + number, seed=number)


# -- records


async def test_records_are_listed_the_oldest_first(catalogues: Catalogues) -> None:
    catalogue = await catalogues.another()
    facts = await catalogue.store(key(), archive(text(10)), upload="a-1", tell=unheard)
    places = [
        (key("c2"), 3),
        (key("c1"), 2),
        (key("c1", node="n2"), 1),
        (key("c1", namespace="default"), 4),
        (key("c1", container="db"), 5),
    ]
    for where, at in places:
        await catalogue.put(record(where, facts, at=at))

    async def listed(**which: str) -> list[int]:
        return [one.created_at for one in await catalogue.list(**which)]

    assert await listed() == [1, 2, 3, 4, 5]
    assert await listed(node="n1") == [2, 3, 4, 5]
    assert await listed(namespace="k8s.io") == [1, 2, 3, 5]
    assert await listed(node="n1", namespace="k8s.io", container="web.1") == [2, 3]
    assert await listed(container="nothing") == []


async def test_what_is_not_there_is_not_found(catalogues: Catalogues) -> None:
    catalogue = await catalogues.another()
    for reading in (catalogue.get(key()), whole(catalogue, key())):
        with pytest.raises(CommandFailed) as failed:
            await reading
        assert failed.value.code == "not_found"
    assert await catalogue.list() == []
    assert await catalogue.remove(key()) == 0


async def test_a_record_of_the_same_id_may_be_written_again(catalogues: Catalogues) -> None:
    catalogue = await catalogues.another()
    facts = await catalogue.store(key(), archive(text(10)), upload="a-1", tell=unheard)
    first = await catalogue.put(record(key(), facts))
    assert await catalogue.put(first) == first
    later = await catalogue.put(record(key(), facts, exited=True))
    assert await catalogue.get(key()) == later != first


async def test_what_was_imported_says_so(catalogues: Catalogues) -> None:
    catalogue = await catalogues.another()
    facts = await catalogue.store(key(), archive(text(10)), upload="a-1", tell=unheard)
    await catalogue.put(record(key(), facts, imported=True))
    assert (await catalogue.get(key())).imported
    assert [one.imported for one in await catalogue.list(node="n1")] == [True]
    with pytest.raises(CommandFailed) as failed:
        await catalogue.put(record(key(), facts, upload="a-2"))
    assert failed.value.code == "already_exists"
    assert await catalogue.remove(key()) == facts.size
    assert await catalogue.list() == []


async def test_what_is_removed_is_gone_and_may_come_back(catalogues: Catalogues) -> None:
    catalogue = await catalogues.another()
    for _ in range(2):
        facts = await catalogue.store(key(), archive(DATA), upload="a-1", tell=unheard)
        await catalogue.put(record(key(), facts))
        assert await catalogue.remove(key()) == facts.size
        assert await catalogue.list() == []
        with pytest.raises(CommandFailed) as failed:
            await whole(catalogue, key())
        assert failed.value.code == "not_found"
    assert await catalogue.remove(key()) == 0


# -- what goes wrong with an archive


async def test_what_is_damaged_does_not_come_to_its_end(catalogues: Catalogues) -> None:
    catalogue = await catalogues.another()
    facts = await catalogue.store(key(), archive(DATA), upload="a-1", tell=unheard)
    await catalogue.put(record(key(), facts))
    await catalogues.damage(key())
    read, failure = await until_it_fails(catalogue.load(key()))
    assert failure.code == "failed_precondition"
    assert len(read) < len(DATA)


async def test_what_is_not_the_archive_of_its_record_is_not_read(catalogues: Catalogues) -> None:
    catalogue = await catalogues.another()
    facts = await catalogue.store(key(), archive(DATA), upload="a-1", tell=unheard)
    other = await catalogue.store(key("other"), archive(text(10)), upload="a-2", tell=unheard)
    await catalogue.put(record(key(), other))
    assert facts != other
    with pytest.raises(CommandFailed) as failed:
        await whole(catalogue, key())
    assert failed.value.code == "failed_precondition"


async def test_what_is_removed_while_it_is_read_does_not_come_to_its_end(catalogues: Catalogues) -> None:
    catalogue = await catalogues.another()
    big = text(24 * MIB)  # more than is asked for at once
    await catalogue.store(key(), archive(big, MIB), upload="a-1", tell=unheard)
    reading = catalogue.load(key())
    first = await anext(reading)
    await catalogue.remove(key())
    rest, failure = await until_it_fails(reading)
    assert failure.code == "unavailable"
    assert len(first + rest) < len(big)


# -- quota and retention


async def test_what_passes_the_quota_is_refused_and_leaves_nothing(catalogues: Catalogues) -> None:
    catalogue = await catalogues.another(keeping=Keeping(max_bytes=4 * MIB))
    await catalogue.store(key(), archive(DATA), upload="a-1", tell=unheard)
    with pytest.raises(CommandFailed) as failed:
        await catalogue.store(key("c2"), archive(DATA), upload="a-2", tell=unheard)
    assert failed.value.code == "exhausted"
    assert await catalogue.abandon(key("c2"), upload="a-2") == 0

    await catalogue.store(key("small"), archive(text(100)), upload="a-3", tell=unheard)
    await (await catalogues.another(node="n2")).store(key(node="n2"), archive(DATA), upload="a-4", tell=unheard)
    await catalogue.remove(key())
    await catalogue.store(key("c2"), archive(DATA), upload="a-2", tell=unheard)


async def test_what_expires_is_swept_and_the_node_says_when(catalogues: Catalogues) -> None:
    catalogue = await catalogues.another(keeping=Keeping(max_age_s=60))
    facts = await catalogue.store(key("old"), archive(DATA), upload="a-1", tell=unheard)
    old = await catalogue.put(record(key("old"), facts, at=5))
    assert old.expires_at == 5 + 60 * 10**9
    await catalogue.put(record(key("new"), facts, at=now()))
    await catalogue.put(record(key("own"), facts, at=5, expires_at=Nanos(now() + 3600 * 10**9)))
    await catalogue.put(record(key("elsewhere", node="n2"), facts, at=5, expires_at=now()))

    assert await catalogue.sweep() == facts.size
    assert {one.name for one in await catalogue.list()} == {"new", "own", "elsewhere"}


async def test_of_a_container_only_so_many_are_kept(catalogues: Catalogues) -> None:
    unbounded = await catalogues.another()
    facts = await unbounded.store(key("c0"), archive(text(10)), upload="a-1", tell=unheard)
    for number in range(3):
        await unbounded.put(record(key(f"c{number}"), facts, at=number))
    await unbounded.put(record(key("brought"), facts, at=0, imported=True))
    await unbounded.put(record(key("c0", container="db"), facts, at=0))

    catalogue = await catalogues.another(keeping=Keeping(most=2))
    await catalogue.put(record(key("c3"), facts, at=3))
    assert {one.name for one in await catalogue.list(container="web.1")} == {"brought", "c2", "c3"}
    assert await catalogue.list(container="db")


async def test_what_is_left_over_is_swept_when_it_is_old(catalogues: Catalogues) -> None:
    catalogue = await catalogues.another()
    stored = await broken_off(catalogue, key("broken"), DATA, upload="a-1")
    unnamed = await catalogue.store(key("unnamed"), archive(DATA), upload="a-2", tell=unheard)
    facts = await catalogue.store(key(), archive(DATA), upload="a-3", tell=unheard)
    await catalogue.put(record(key(), facts))

    assert await catalogue.sweep() == 0
    assert await (await catalogues.another(node="n2", keeping=Keeping(abandoned_s=0))).sweep() >= stored + unnamed.size
    assert await whole(catalogue, key()) == DATA
    with pytest.raises(CommandFailed):
        await whole(catalogue, key("unnamed"))
    told: list[int] = []
    await catalogue.store(key("broken"), archive(DATA), upload="a-1", tell=told.append)
    assert told[0] == 0


# -- images


async def test_an_image_is_stored_once_and_goes_when_nobody_names_it(catalogues: Catalogues) -> None:
    catalogue = await catalogues.another()
    digest = f"sha256:{'ab' * 32}"
    told: list[int] = []
    size = await catalogue.store_image(digest, archive(DATA), upload="a-1", tell=told.append)
    assert told[-1] == size >= len(DATA)
    assert (
        await (await catalogues.another(node="n2")).store_image(digest, archive(b"x"), upload="a-2", tell=unheard)
        == size
    )
    assert b"".join([piece async for piece in catalogue.load_image(digest)]) == DATA

    facts = await catalogue.store(key(), archive(text(10)), upload="a-3", tell=unheard)
    await catalogue.put(record(key(), facts, image_digest=digest))
    sweeping = await catalogues.another(node="n2", keeping=Keeping(abandoned_s=0))
    assert await sweeping.sweep() == 0
    await catalogue.remove(key())
    assert await catalogue.sweep() == 0
    assert await sweeping.sweep() == size
    with pytest.raises(CommandFailed) as failed:
        await anext(catalogue.load_image(digest))
    assert failed.value.code == "not_found"


@pytest.mark.parametrize("digest", ["", "sha256:AB", f"sha256:{'ab' * 32}\n", "n1.k8s=2Eio.web=2E1.c1"])
async def test_what_is_no_digest_names_no_image(catalogues: Catalogues, digest: str) -> None:
    catalogue = await catalogues.another()
    with pytest.raises(CommandFailed) as failed:
        await catalogue.store_image(digest, archive(DATA), upload="a-1", tell=unheard)
    assert failed.value.code == "invalid_argument"


async def test_who_knows_which_archive_it_is_reads_no_other(catalogues: Catalogues) -> None:
    catalogue = await catalogues.another()
    facts = await catalogue.store(key(), archive(DATA), upload="a-1", tell=unheard)  # no record names it
    assert b"".join([piece async for piece in catalogue.load(key(), expected=facts.digest)]) == DATA
    _, failure = await until_it_fails(catalogue.load(key(), expected=f"sha256:{'0' * 64}"))
    assert failure.code == "failed_precondition"
