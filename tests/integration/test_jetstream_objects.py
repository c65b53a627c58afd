"""Archives through object stores, and the progress of commands, over a real nats-server."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator

import pytest

from bridge.errors import CommandFailed
from bridge.jetstream.objects import JetStreamObjects
from bridge.jetstream.progress import NatsProgress, ProgressTeller
from bridge.model.outcomes import Progress
from bridge.model.subjects import Subjects
from tests.fix_nats import NatsServerFactory
from tests.integration.jetstream_entries import connected

SUBJECTS = Subjects()
DATA = os.urandom(3_000_000)


async def whole(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


@pytest.mark.parametrize("version", ["2.15", "2.10", "2.9"])
@pytest.mark.parametrize("data", [DATA, b"x", b""], ids=["much", "a byte", "nothing"])
async def test_what_is_put_is_read(nats_server_factory: NatsServerFactory, version: str, data: bytes) -> None:
    async with connected(nats_server_factory(version=version).url) as connection:
        objects = JetStreamObjects(connection)
        totals: list[int] = []
        await objects.put("archives", "a b/c", io.BytesIO(data), totals.append)
        assert await whole(objects.read("archives", "a b/c")) == data
        assert totals[-1] == len(data)
        await objects.remove("archives", "a b/c")
        await objects.remove("archives", "a b/c")
        with pytest.raises(CommandFailed) as failed:
            await whole(objects.read("archives", "a b/c"))
        assert failed.value.code == "not_found"


async def test_a_bucket_that_is_not_there_is_not_found(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        objects = JetStreamObjects(connection)
        with pytest.raises(CommandFailed, match="there is no object o in bucket none") as failed:
            await whole(objects.read("none", "o"))
        assert failed.value.code == "not_found"
        await objects.remove("none", "o")


async def test_an_object_of_another_digest_is_damaged(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        objects = JetStreamObjects(connection)
        await objects.put("archives", "o", io.BytesIO(DATA), lambda _: None)
        store = await connection.jetstream.object_store("archives")
        info = await store.get_info("o")
        subject = f"$O.archives.C.{info.nuid}"
        last = await connection.jetstream.get_last_msg("OBJ_archives", subject)
        assert last.data is not None
        assert last.seq is not None
        await connection.jetstream.delete_msg("OBJ_archives", last.seq)
        await connection.jetstream.publish(subject, bytes(len(last.data)))
        with pytest.raises(CommandFailed, match="object o in bucket archives is damaged") as failed:
            await whole(objects.read("archives", "o"))
        assert failed.value.code == "invalid_argument"


async def test_progress_is_heard_from_the_moment_of_listening(nats_url: str) -> None:
    async with connected(nats_url) as ours, connected(nats_url) as theirs:
        feed = NatsProgress(theirs, SUBJECTS)
        heard: list[Progress] = []
        news = asyncio.Event()

        def tell(progress: Progress) -> None:
            heard.append(progress)
            news.set()

        async with ProgressTeller(ours, SUBJECTS, "n.1") as teller:
            teller.tell(Progress(id="c1", name="layer", event="before"))
            async with feed.listen("n.1", "c2", tell):
                told = Progress(id="c2", name="layer", event="downloading", done=1, total=2, parents=["image"])
                teller.tell(Progress(id="c3", name="layer", event="another"))
                teller.tell(told)
                async with asyncio.timeout(90):
                    await news.wait()
        assert heard == [told]


async def test_telling_waits_for_nobody(nats_url: str) -> None:
    async with connected(nats_url) as connection, ProgressTeller(connection, SUBJECTS, "n1") as teller:
        for number in range(5_000):
            teller.tell(Progress(id="c1", name="layer", event="downloading", done=number))
