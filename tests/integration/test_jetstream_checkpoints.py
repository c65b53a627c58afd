"""The catalogue of checkpoints on real nats-servers: for other clients, on a bad line, among hostile writers, when it is full."""

from __future__ import annotations

import asyncio
import io
import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import bridge.jetstream.checkpoints as checkpoints_module
from bridge.config import Config, Size
from bridge.errors import CommandFailed, ConfigError
from bridge.jetstream.api import api
from bridge.jetstream.checkpoint_buckets import CHUNK, CheckpointMaking, ensure_checkpoints, meta_subject
from bridge.jetstream.checkpoint_cipher import CheckpointSecret
from bridge.jetstream.checkpoint_objects import Objects, nuid_of
from bridge.jetstream.checkpoints import JetStreamCheckpoints, open_checkpoints, read_checkpoints, sweeping
from bridge.jetstream.connection import Connection
from bridge.jetstream.stored import sent_to
from bridge.model.subjects import Subjects
from bridge.ports.checkpoints import Keeping
from bridge.testing import MemoryCheckpoints
from tests.contract.catalogues import MIB, archive, broken_off, key, record, text, unheard, until_it_fails, whole
from tests.fix_nats import NatsServerFactory
from tests.integration.jetstream_entries import connected
from tests.testbed import Proxy
from tests.testbed.proxy import Direction

SUBJECTS = Subjects()
BUCKET = "containerd-checkpoints"
DATA = os.urandom(3 * MIB + 12_345)
SECRET = CheckpointSecret.of(bytes(range(32)))


def catalogue_at(connection: Connection, *secrets: CheckpointSecret | None, **options: Any) -> JetStreamCheckpoints:
    given = {"node": "n1", "making": CheckpointMaking(), "secrets": [one for one in secrets if one], **options}
    return JetStreamCheckpoints(connection, SUBJECTS, **given)


# -- for other clients of object stores


@pytest.mark.parametrize("version", ["2.15", "2.10", "2.9"])
async def test_any_client_of_object_stores_reads_an_archive(
    nats_server_factory: NatsServerFactory, version: str
) -> None:
    async with connected(nats_server_factory(version=version).url) as connection:
        catalogue = catalogue_at(connection)
        await broken_off(catalogue, key(), DATA, upload="a-1")
        facts = await catalogue.store(key(), archive(DATA), upload="a-1", tell=unheard)
        await catalogue.put(record(key(), facts))

        store = await connection.jetstream.object_store(BUCKET)
        found = await store.get(key().token)  # nats-py compares the digest itself
        assert found.data == DATA
        assert (found.info.size, found.info.chunks, found.info.bucket) == (len(DATA), -(-len(DATA) // CHUNK), BUCKET)
        assert [info.name for info in await store.list()] == [key().token]
        bucket = await connection.jetstream.key_value(BUCKET)
        assert json.loads((await bucket.get(key().token)).value or b"")["archive"]["digest"] == facts.digest

        assert await whole(catalogue_at(connection, filtered=True), key()) == DATA
        assert await whole(catalogue, key(), offset=MIB + 1) == DATA[MIB + 1 :]
        assert await catalogue.remove(key()) == len(DATA)
        assert (await store.status()).size == 0


async def test_an_archive_that_another_client_wrote_is_read(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        catalogue = catalogue_at(connection)
        await catalogue.ensure()
        store = await connection.jetstream.object_store(BUCKET)
        await store.put(key().token, io.BytesIO(DATA))
        assert await whole(catalogue, key()) == DATA
        assert await whole(catalogue, key(), offset=2 * MIB) == DATA[2 * MIB :]


# -- on a bad line


@pytest.mark.parametrize("secret", [None, SECRET], ids=["plain", "encrypted"])
async def test_a_line_that_breaks_loses_and_repeats_nothing(nats_url: str, secret: CheckpointSecret | None) -> None:
    async with Proxy(nats_url.removeprefix("nats://")) as proxy, connected(f"nats://{proxy.address}") as connection:
        catalogue = catalogue_at(connection, secret)
        await catalogue.ensure()
        # Within the next piece, or before anybody hears that what is sent next is stored.
        cuts: Iterator[tuple[int, Direction]] = iter(((200_000, "to_server"), (1, "to_client")) * 2)

        def tell(_size: int) -> None:
            for after, direction in cuts:
                proxy.cut_after(after, direction)
                break

        facts = await catalogue.store(key(), archive(DATA), upload="a-1", tell=tell)
        assert next(cuts, None) is None
        assert proxy.accepted >= 5
        await catalogue.put(record(key(), facts))
        async with connected(nats_url) as other:
            assert await whole(catalogue_at(other, secret), key()) == DATA
            store = await other.jetstream.object_store(BUCKET)
            assert (await store.get(key().token)).info.size == facts.size

        proxy.cut_after(1_000_000, "to_client")
        accepted = proxy.accepted
        assert await whole(catalogue, key()) == DATA
        assert proxy.accepted > accepted


async def test_what_is_taken_away_under_an_upload_ends_it_and_the_next_one_begins_anew(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        catalogue, stored = catalogue_at(connection), asyncio.Event()
        half = len(DATA) // 2

        async def read() -> AsyncIterator[bytes]:
            yield DATA[:half]
            await stored.wait()
            await Objects(connection, BUCKET).purge(nuid_of(key(), "a-1"))
            yield DATA[half:]

        def tell(size: int) -> None:
            if size:
                stored.set()

        # It shows at the next piece, unless that was on its way already: then at the end, where they are counted.
        with pytest.raises(CommandFailed, match=r"that were stored are gone|pieces of .+ there are \d+") as failed:
            await catalogue.store(key(), read, upload="a-1", tell=tell)
        assert failed.value.code == "unavailable"
        await catalogue.store(key(), archive(DATA), upload="a-1", tell=unheard)
        assert await whole(catalogue, key()) == DATA


async def test_an_upload_whose_first_pieces_are_gone_begins_anew(nats_url: str) -> None:
    """As what was under way while somebody took the rest away: it is stored all the same, and stands alone."""
    async with connected(nats_url) as connection:
        catalogue, stored = catalogue_at(connection), asyncio.Event()

        async def half() -> AsyncIterator[bytes]:
            yield DATA[: len(DATA) // 2]
            await asyncio.Event().wait()

        storing = asyncio.create_task(
            catalogue.store(key(), half, upload="a-1", tell=lambda size: stored.set() if size >= 3 * CHUNK else None)
        )
        await asyncio.wait_for(stored.wait(), 90)
        storing.cancel()
        await asyncio.wait({storing})
        pieces = f"$O.{BUCKET}.C.{nuid_of(key(), 'a-1')}"
        assert (await api(connection, f"STREAM.PURGE.OBJ_{BUCKET}", {"filter": pieces, "keep": 1}))["purged"]
        await catalogue.store(key(), archive(DATA), upload="a-1", tell=unheard)
        assert await whole(catalogue, key()) == DATA


async def test_archives_that_are_stored_side_by_side_are_each_whole(nats_url: str) -> None:
    async with connected(nats_url) as one, connected(nats_url) as other:
        catalogues = [catalogue_at(one), catalogue_at(one), catalogue_at(other)]
        names = [key(f"c{number}") for number in range(3)]
        datas = [os.urandom(2 * MIB + number) for number in range(3)]
        await asyncio.gather(
            *(
                each.store(name, archive(data), upload="a-1", tell=unheard)
                for each, name, data in zip(catalogues, names, datas, strict=True)
            )
        )
        assert [await whole(catalogues[0], name) for name in names] == datas


# -- where somebody else has written


async def published(connection: Connection, subject: str, body: bytes) -> None:
    """Write as somebody does who may write there, and writes as a bridge does."""
    headers = sent_to(f"KV_{BUCKET}") if subject.startswith("$KV.") else None
    await connection.jetstream.publish(subject, body, headers=headers)


async def test_what_is_no_record_is_left_out_and_told_of(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        catalogue = catalogue_at(connection)
        facts = await catalogue.store(key(), archive(DATA), upload="a-1", tell=unheard)
        good = await catalogue.put(record(key(), facts))
        body = json.loads(
            (await connection.jetstream.get_last_msg(f"KV_{BUCKET}", f"$KV.{BUCKET}.{key().token}")).data or b""
        )
        wrong = {
            "n1.k8s=2Eio.web=2E1.text": b"nothing",
            "n1.k8s=2Eio.web=2E1.list": b"[]",
            "n1.k8s=2Eio.web=2E1.deep": b"[" * 100_000,
            "n1.k8s=2Eio.web=2E1.another": json.dumps(body).encode(),
            "n1.k8s=2Eio.web=2E1.imported": json.dumps(body | {"name": "imported", "imported": True}).encode(),
            "imported.k8s=2Eio.web=2E1.c9": json.dumps(body | {"node": "imported", "name": "c9"}).encode(),
            "n1.k8s=2Eio.web=2E1.digest": json.dumps(
                body | {"name": "digest", "archive": body["archive"] | {"digest": ""}}
            ).encode(),
            "n1.k8s=2Eio.web=2E1.size": json.dumps(body | {"name": "size", "archive": {"size": "many"}}).encode(),
        }
        for place, found in wrong.items():
            await published(connection, f"$KV.{BUCKET}.{place}", found)
        await published(connection, f"$KV.{BUCKET}.what.ever", b"{}")

        assert await catalogue.list() == [good]
        with pytest.raises(CommandFailed) as failed:
            await catalogue.get(key("c9", node="imported"))
        assert failed.value.code == "not_found"
        for place in [each for each in wrong if each.startswith("n1.")]:
            with pytest.raises(CommandFailed, match="is no record") as failed:
                await catalogue.get(key(place.rpartition(".")[2]))
            assert failed.value.code == "failed_precondition"


async def test_nobody_vouches_for_what_was_imported_whatever_it_says(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        catalogue = catalogue_at(connection)
        facts = await catalogue.store(key(), archive(DATA), upload="a-1", tell=unheard)
        await catalogue.put(record(key(), facts, imported=True))
        place = f"$KV.{BUCKET}.imported.{key().token}"
        body = json.loads((await connection.jetstream.get_last_msg(f"KV_{BUCKET}", place)).data or b"")
        await published(connection, place, json.dumps(body | {"imported": False}).encode())
        assert (await catalogue.get(key())).imported
        assert [one.imported for one in await catalogue.list()] == [True]


@pytest.mark.parametrize(
    "changes",
    [
        {"nuid": ">"},
        {"nuid": "*.*.*.*"},
        {"nuid": "a b"},
        {"nuid": ""},
        {"size": -1},
        {"size": "many"},
        {"chunks": -1},
        {"digest": "MD5=AAAA"},
        {"digest": 5},
        {"name": 5},
        None,
    ],
)
async def test_what_describes_no_object_is_not_followed(nats_url: str, changes: dict[str, Any] | None) -> None:
    async with connected(nats_url) as connection:
        catalogue = catalogue_at(connection)
        facts = await catalogue.store(key(), archive(DATA), upload="a-1", tell=unheard)
        kept = await catalogue.store(key("kept"), archive(DATA), upload="a-2", tell=unheard)
        await catalogue.put(record(key("kept"), kept, upload="a-2"))
        subject = meta_subject(BUCKET, key().token)
        body = json.loads((await connection.jetstream.get_last_msg(f"OBJ_{BUCKET}", subject)).data or b"")
        await published(connection, subject, b"nothing" if changes is None else json.dumps(body | changes).encode())

        _, failure = await until_it_fails(catalogue.load(key()))
        assert failure.code == "failed_precondition"
        with pytest.raises(CommandFailed):
            await catalogue.remove(key())
        await catalogue_at(connection, keeping=Keeping(abandoned_s=0)).sweep()
        assert facts.size
        assert await whole(catalogue, key("kept")) == DATA


async def test_nobody_has_an_archive_removed_by_naming_it(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        catalogue = catalogue_at(connection)
        theirs = key(container="db")
        facts = await catalogue.store(theirs, archive(DATA), upload="a-1", tell=unheard)
        await catalogue.put(record(theirs, facts))
        there = await connection.jetstream.get_last_msg(f"OBJ_{BUCKET}", meta_subject(BUCKET, theirs.token))
        stolen = json.loads(there.data or b"") | {"name": key().token}
        await published(connection, meta_subject(BUCKET, key().token), json.dumps(stolen).encode())

        await catalogue.remove(key())
        assert await whole(catalogue, theirs) == DATA
        await published(connection, meta_subject(BUCKET, key().token), json.dumps(stolen).encode())
        await catalogue.store(key(), archive(text(100)), upload="a-2", tell=unheard)
        assert await whole(catalogue, theirs) == DATA


async def test_an_archive_encrypted_is_of_no_use_without_its_key_or_in_anothers_place(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        catalogue = catalogue_at(connection, SECRET)
        facts = await catalogue.store(key(), archive(DATA), upload="a-1", tell=unheard)
        assert (facts.key, facts.size > len(DATA)) == (SECRET.fingerprint, True)
        for secret, said in ((None, "none is given"), (CheckpointSecret.of(bytes(32)), "what is given is")):
            _, failure = await until_it_fails(catalogue_at(connection, secret).load(key()))
            assert (failure.code, said in failure.message) == ("failed_precondition", True)
            assert "checkpoint_key" in failure.message
            assert SECRET.fingerprint in failure.message
        newer = catalogue_at(connection, CheckpointSecret.of(bytes(32)), SECRET)
        assert await whole(newer, key()) == DATA
        again = await newer.store(key("c3"), archive(text(100)), upload="a-3", tell=unheard)
        assert again.key == CheckpointSecret.of(bytes(32)).fingerprint
        store = await connection.jetstream.object_store(BUCKET)
        stored = (await store.get(key().token)).data or b""
        assert not any(DATA[start : start + 32] in stored for start in range(0, len(DATA) - 32, 4096))

        # All that stands in the store put under another name: it says itself what it is, and it is not that.
        there = await connection.jetstream.get_last_msg(f"OBJ_{BUCKET}", meta_subject(BUCKET, key().token))
        moved = json.loads(there.data or b"") | {"name": key("c2").token}
        await published(connection, meta_subject(BUCKET, key("c2").token), json.dumps(moved).encode())
        read, failure = await until_it_fails(catalogue.load(key("c2")))
        assert (read, failure.code) == (b"", "failed_precondition")


async def test_a_piece_that_is_not_ours_is_not_gone_on_behind(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        catalogue = catalogue_at(connection)
        await catalogue.ensure()
        await published(connection, f"$O.{BUCKET}.C.{nuid_of(key(), 'a-1')}", b"somebody else's")
        await catalogue.store(key(), archive(DATA), upload="a-1", tell=unheard)
        assert await whole(catalogue, key()) == DATA


async def test_what_the_server_answers_somebody_is_neither_record_nor_object(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        catalogue = catalogue_at(connection)
        facts = await catalogue.store(key(), archive(DATA), upload="a-1", tell=unheard)
        await catalogue.put(record(key(), facts, imported=True))
        # As for whoever may use direct gets of a stream that allows them.
        for stream in (f"KV_{BUCKET}", f"OBJ_{BUCKET}"):
            there = (await api(connection, f"STREAM.INFO.{stream}"))["config"]
            assert not there.get("allow_direct")
            await api(connection, f"STREAM.UPDATE.{stream}", there | {"allow_direct": True})
        for stream, source, target in (
            (f"KV_{BUCKET}", f"$KV.{BUCKET}.imported.{key().token}", f"$KV.{BUCKET}.{key().token}"),
            (f"OBJ_{BUCKET}", meta_subject(BUCKET, key().token), meta_subject(BUCKET, key("copy").token)),
        ):
            await answered(connection, target, f"$JS.API.DIRECT.GET.{stream}.{source}")

        assert [one.imported for one in await catalogue.list()] == [True]
        assert (await catalogue.get(key())).imported
        _, failure = await until_it_fails(catalogue.load(key("copy")))
        assert "as the answer to somebody's question" in failure.message


@pytest.mark.parametrize("version", ["2.15", "2.10", "2.9"])
async def test_what_is_stored_over_a_record_hides_nothing_and_stops_nothing(
    nats_server_factory: NatsServerFactory, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(nats_server_factory(version=version).url) as connection:
        catalogue = catalogue_at(connection)
        facts = await catalogue.store(key(), archive(DATA), upload="a-1", tell=unheard)
        subject = f"$KV.{BUCKET}.{key().token}"
        await answered(connection, subject)  # it may be there before
        made = await catalogue.put(record(key(), facts))
        for _ in range(3):
            await answered(connection, subject)
        assert await catalogue_at(connection, filtered=True).get(key()) == made
        caplog.clear()
        assert await catalogue.list() == [made]
        assert f"under {key().token} stand messages (3) that no bridge has written" in caplog.text
        assert await whole(catalogue, key()) == DATA
        assert await catalogue_at(connection, keeping=Keeping(abandoned_s=0)).sweep() == 0
        # Once more by the one who made it, and by another one.
        assert await catalogue.put(record(key(), facts)) == made
        with pytest.raises(CommandFailed, match="there is a checkpoint"):
            await catalogue.put(record(key(), facts, upload="a-2"))
        assert await catalogue.remove(key()) == len(DATA)
        assert await catalogue.list() == []
        assert await stands_under(connection, subject) == 0


async def stands_under(connection: Connection, subject: str) -> int:
    """How many messages stand there."""
    stream = f"{subject[1:].partition('.')[0].replace('O', 'OBJ')}_{BUCKET}"
    info = await api(connection, f"STREAM.INFO.{stream}", {"subjects_filter": subject})
    return int((info["state"].get("subjects") or {}).get(subject, 0))


async def answered(connection: Connection, subject: str, question: str = "$JS.API.INFO") -> None:
    """Have nats-server answer there."""
    before = await stands_under(connection, subject)
    await connection.client.publish(question, b"", reply=subject)
    async with asyncio.timeout(90):
        while await stands_under(connection, subject) == before:
            await asyncio.sleep(0.01)


async def test_a_record_that_somebody_overwrote_costs_no_archive(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        catalogue = catalogue_at(connection)
        facts = await catalogue.store(key(), archive(DATA), upload="a-1", tell=unheard)
        await catalogue.put(record(key(), facts))
        await published(connection, f"$KV.{BUCKET}.{key().token}", b"nothing")
        assert await catalogue_at(connection, keeping=Keeping(abandoned_s=0)).sweep() == 0
        objects = Objects(connection, BUCKET)
        assert await objects.count(nuid_of(key(), "a-1")) > 0


async def test_an_object_that_was_touched_meanwhile_is_not_taken_away(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        catalogue, objects = catalogue_at(connection), Objects(connection, BUCKET)
        digest = f"sha256:{'ab' * 32}"
        await catalogue.store_image(digest, archive(DATA), upload="a-1", tell=unheard)
        [before] = await objects.all()
        await catalogue.store_image(digest, archive(DATA), upload="a-2", tell=unheard)
        assert await objects.remove(before) == 0
        assert b"".join([piece async for piece in catalogue.load_image(digest)]) == DATA


async def test_an_image_whose_key_was_changed_is_stored_anew(nats_url: str) -> None:
    """Checkpoints of later name it too, and who has the new key alone could restore none of them elsewhere."""
    async with connected(nats_url) as connection:
        old, new = CheckpointSecret.of(bytes(32)), CheckpointSecret.of(bytes(range(32)))
        digest, objects = f"sha256:{'ab' * 32}", Objects(connection, BUCKET)
        await catalogue_at(connection, old).store_image(digest, archive(DATA), upload="a-1", tell=unheard)
        nuids: list[str] = []
        # Who has no key may not be meant to read it, nor to open it to all; and a new one is only read with at first.
        for secrets in ([], [old, new], [new, old], [new]):
            await catalogue_at(connection, *secrets).store_image(
                digest, archive(DATA), upload=f"a-{len(nuids) + 2}", tell=unheard
            )
            [standing] = await objects.all()
            nuids.append(standing.info.nuid)
        assert [nuids[0] == one for one in nuids] == [True, True, False, False]
        assert nuids[2] == nuids[3]
        assert await objects.count(nuids[0]) == 0
        assert b"".join([piece async for piece in catalogue_at(connection, new).load_image(digest)]) == DATA


async def test_nobody_fills_a_quota_by_what_he_says(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        catalogue = catalogue_at(connection, keeping=Keeping(max_bytes=4 * MIB))
        await catalogue.ensure()
        nuid = nuid_of(key("huge"), "a-1")
        body = {"name": key("huge").token, "nuid": nuid, "size": 10**18, "chunks": 1}
        await published(connection, meta_subject(BUCKET, key("huge").token), json.dumps(body).encode())
        await catalogue.store(key(), archive(DATA), upload="a-1", tell=unheard)


# -- full, weak, gone


async def test_a_store_that_is_full_says_what_to_do_and_keeps_nothing_of_it(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        catalogue = catalogue_at(connection, making=CheckpointMaking(max_bytes=4 * MIB))
        await catalogue.store(key("c0"), archive(text(MIB)), upload="a-0", tell=unheard)
        with pytest.raises(CommandFailed, match="checkpoint rm") as failed:
            await catalogue.store(key(), archive(text(5 * MIB)), upload="a-1", tell=unheard)
        assert failed.value.code == "exhausted"
        objects = Objects(connection, BUCKET)
        assert await objects.count(nuid_of(key(), "a-1")) == 0
        await catalogue.store(key("c2"), archive(text(2 * MIB)), upload="a-2", tell=unheard)


@pytest.mark.parametrize(
    ("stream", "change", "said"),
    [
        (f"OBJ_{BUCKET}", {"allow_rollup_hdrs": False}, "allow_rollup_hdrs is "),
        (f"OBJ_{BUCKET}", {"max_age": 3600 * 10**9}, "max_age is 3600 s, needed is unset"),
        (f"OBJ_{BUCKET}", {"max_bytes": MIB, "discard": "old"}, "discard is old, needed is new"),
        (f"KV_{BUCKET}", {"max_age": 3600 * 10**9}, "max_age is 3600 s, needed is unset"),
    ],
)
async def test_what_is_too_weak_is_refused(nats_url: str, stream: str, change: dict[str, Any], said: str) -> None:
    async with connected(nats_url) as connection:
        await ensure_checkpoints(connection, SUBJECTS, CheckpointMaking())
        there = (await api(connection, f"STREAM.INFO.{stream}"))["config"]
        await api(connection, f"STREAM.UPDATE.{stream}", there | change)
        with pytest.raises(ConfigError) as refused:
            await ensure_checkpoints(connection, SUBJECTS, CheckpointMaking())
        assert said in str(refused.value)
        with pytest.raises(CommandFailed, match="is not strong enough") as failed:
            await catalogue_at(connection).store(key(), archive(DATA), upload="a-1", tell=unheard)
        assert failed.value.code == "failed_precondition"


async def test_a_bus_without_a_catalogue_has_no_checkpoints(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        reading = JetStreamCheckpoints(connection, SUBJECTS, filtered=True)
        assert await reading.list() == []
        with pytest.raises(CommandFailed) as failed:
            await reading.get(key())
        assert failed.value.code == "not_found"
        _, failure = await until_it_fails(reading.load(key()))
        assert failure.code == "not_found"


async def test_a_store_that_is_deleted_meanwhile_is_made_again(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        catalogue = catalogue_at(connection)
        await catalogue.store(key(), archive(DATA), upload="a-1", tell=unheard)
        await api(connection, f"STREAM.DELETE.OBJ_{BUCKET}")
        await catalogue.store(key(), archive(DATA), upload="a-1", tell=unheard)
        assert await whole(catalogue, key()) == DATA


# -- as the daemon has it


async def test_a_bridge_keeps_what_its_settings_say(nats_url: str, tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(bytes(range(32)).hex())
    key_file.chmod(0o600)
    config = Config(
        node="n1",
        checkpoint_key=key_file,
        checkpoints_quota=Size(4 * MIB),
        checkpoints_max_bytes=Size(64 * MIB),
        checkpoints_max_age_s=60,
        checkpoints_keep=1,
    )
    async with connected(nats_url) as connection:
        catalogue = open_checkpoints(connection, config)
        await catalogue.ensure()
        assert (await api(connection, f"STREAM.INFO.OBJ_{BUCKET}"))["config"]["max_bytes"] == 64 * MIB
        facts = await catalogue.store(key(), archive(DATA), upload="a-1", tell=unheard)
        assert facts.key == SECRET.fingerprint
        assert (await catalogue.put(record(key(), facts))).expires_at == 1 + 60 * 10**9
        with pytest.raises(CommandFailed, match="checkpoints_quota"):
            await catalogue.store(key("c2"), archive(DATA), upload="a-2", tell=unheard)
        read = read_checkpoints(connection, SUBJECTS, key_file)
        assert await whole(read, key()) == DATA
        key_file.chmod(0o644)
        with pytest.raises(ConfigError, match="is open to others"):
            open_checkpoints(connection, config)


async def test_it_sweeps_while_it_has_its_node_and_goes_on_when_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints_module, "SWEEP_S", 0)
    held = False
    swept: list[bool] = []
    enough = asyncio.Event()

    class Swept(MemoryCheckpoints):
        async def sweep(self) -> int:
            swept.append(held)
            if len(swept) == 2:
                raise CommandFailed("unavailable", "the bus is away")
            if len(swept) == 3:
                enough.set()
            return 7

    asked = 0

    def allowed() -> bool:
        nonlocal held, asked
        asked += 1
        held = asked > 3
        return held

    sweeping_ = asyncio.create_task(sweeping(Swept(), allowed))
    await enough.wait()
    sweeping_.cancel()
    assert swept[:3] == [True] * 3
