"""The contract of `MigrationRegister`: of two changes that were decided by the same entry one is made."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from bridge.jetstream.api import api
from bridge.jetstream.buckets import bucket_stream, ensure_buckets, key_subject
from bridge.jetstream.connection import Connection
from bridge.jetstream.migrations import JetStreamMigrations
from bridge.model.checkpoints import ArchiveFacts, CheckpointRecord
from bridge.model.migrations import Migration, MigrationKey
from bridge.model.nanos import Nanos
from bridge.model.subjects import Subjects
from bridge.ports import MigrationRegister, MovedOn, Registered
from bridge.testing import MemoryMigrations
from tests.contract.conftest import NATS, OLDER_NATS, OLDEST_NATS
from tests.integration.jetstream_entries import connected

AT = Nanos(1_795_470_228_000_000_001)
ENTRY = Migration(
    id="a.1",
    state="reserved",
    source="n.1",
    target="n2",
    namespace="k8s.io",
    container="web.1",
    born=AT,
    began_at=AT,
    changed_at=AT,
    record=CheckpointRecord(
        id="a.1",
        node="n.1",
        namespace="k8s.io",
        container="web.1",
        name="m",
        created_at=AT,
        archive=ArchiveFacts(size=0, digest="", unpacked=0),
    ),
)
NOTHING = Registered(None, 0)
BUCKET = Subjects().migration_bucket


class Kept:
    """A register, and how nats-server is made to store something under its keys."""

    def __init__(self, register: MigrationRegister, connection: Connection | None = None) -> None:
        self.register = register
        self._connection = connection

    async def overwrite(self, times: int = 1) -> None:
        """Have something stored under the entry's key that nobody has written there."""
        for _ in range(times):
            if isinstance(self.register, MemoryMigrations):
                self.register.overwrite(ENTRY.key)
            else:
                await self._answered()

    async def _answered(self) -> None:
        """Whoever asks chooses where the answer goes."""
        assert self._connection is not None
        subject = key_subject(BUCKET, ENTRY.key.token)
        before = await self._count(subject)
        await self._connection.client.publish("$JS.API.INFO", b"", reply=subject)
        async with asyncio.timeout(90):
            while await self._count(subject) == before:
                await asyncio.sleep(0.01)

    async def _count(self, subject: str) -> int:
        assert self._connection is not None
        info = await api(self._connection, f"STREAM.INFO.{bucket_stream(BUCKET)}", {"subjects_filter": subject})
        return int((info["state"].get("subjects") or {}).get(subject, 0))


@pytest.fixture(params=["memory", NATS, OLDER_NATS, OLDEST_NATS])
async def kept(request: pytest.FixtureRequest) -> AsyncIterator[Kept]:
    """An empty register, and what can be stored there."""
    if request.param == "memory":
        yield Kept(MemoryMigrations())
        return
    server = request.getfixturevalue("nats_server_factory")(version=request.param)
    async with connected(server.url) as connection:
        await ensure_buckets(connection, Subjects())
        yield Kept(JetStreamMigrations(connection, Subjects()), connection)


@pytest.fixture
def register(kept: Kept) -> MigrationRegister:
    return kept.register


async def test_an_entry_goes_its_way_step_by_step(register: MigrationRegister) -> None:
    assert await register.get(ENTRY.key) == NOTHING
    standing = await register.change(NOTHING, ENTRY)
    for state, by in (("offered", "source"), ("taken", "target"), ("running", "target"), ("released", "source")):
        wanted = replace(ENTRY, state=state, by=by)
        standing = await register.change(standing, wanted)
        assert standing.migration == wanted
        assert await register.get(ENTRY.key) == standing
    await register.forget(ENTRY.key)
    assert await register.get(ENTRY.key) == NOTHING
    await register.forget(ENTRY.key)


async def test_of_two_that_decide_by_the_same_entry_one_is_refused(register: MigrationRegister) -> None:
    made = await register.change(NOTHING, ENTRY)
    offered = await register.change(made, replace(ENTRY, state="offered"))

    async def decide(wanted: Migration) -> str:
        try:
            await register.change(offered, wanted)
        except MovedOn:
            return ""
        return wanted.state

    ends = [replace(ENTRY, state="withdrawn"), replace(ENTRY, state="taken", by="target")]
    decided = sorted(await asyncio.gather(*map(decide, ends)))
    standing = (await register.get(ENTRY.key)).migration
    assert standing is not None
    assert decided == ["", standing.state]


async def test_an_entry_is_made_once(register: MigrationRegister) -> None:
    await register.change(NOTHING, ENTRY)
    with pytest.raises(MovedOn):
        await register.change(NOTHING, ENTRY)


async def test_what_was_decided_by_an_older_entry_is_refused(register: MigrationRegister) -> None:
    made = await register.change(NOTHING, ENTRY)
    await register.change(made, replace(ENTRY, state="offered"))
    with pytest.raises(MovedOn):
        await register.change(made, replace(ENTRY, state="withdrawn"))


@pytest.mark.parametrize(
    "wanted",
    [
        replace(ENTRY, state="taken", by="target"),
        replace(ENTRY, state="offered", by="target"),
        replace(ENTRY, state="reserved"),
        replace(ENTRY, state="released"),
        replace(ENTRY, state="offered", container="db"),
    ],
)
async def test_what_nobody_may_do_is_not_even_tried(register: MigrationRegister, wanted: Migration) -> None:
    made = await register.change(NOTHING, ENTRY)
    with pytest.raises(ValueError, match=r"may not change reserved to"):
        await register.change(made, wanted)
    assert await register.get(ENTRY.key) == made


async def test_each_node_finds_what_comes_and_what_goes(register: MigrationRegister) -> None:
    back = replace(ENTRY, id="a.2", source="n2", target="n3")
    for entry in (ENTRY, back):
        await register.change(NOTHING, entry)
    found = {node: sorted(entry.id for entry, _ in await register.list(node)) for node in ("n.1", "n2", "n3", "n4")}
    assert found == {"n.1": ["a.1"], "n2": ["a.1", "a.2"], "n3": ["a.2"], "n4": []}
    # That they say that they are of some year has nothing to do with how old they are.
    assert {0 <= age_s < 3600 for _, age_s in await register.list("n2")} == {True}


@pytest.mark.parametrize("times", [1, 40])
async def test_what_nobody_has_written_hides_no_entry_and_stops_none(kept: Kept, times: int) -> None:
    register = kept.register
    standing = NOTHING
    for state, by in (("reserved", "source"), ("offered", "source"), ("taken", "target"), ("running", "target")):
        await kept.overwrite(times)
        before = standing.migration
        standing = await register.get(ENTRY.key)
        assert standing.migration == before
        assert [entry.state for entry, _ in await register.list("n2")] == ([before.state] if before else [])
        standing = await register.change(standing, replace(ENTRY, state=state, by=by))
        assert await register.get(ENTRY.key) == standing
    await register.forget(ENTRY.key)
    assert await register.get(ENTRY.key) == NOTHING


async def test_what_was_decided_before_something_was_stored_is_decided_again(kept: Kept) -> None:
    register = kept.register
    made = await register.change(NOTHING, ENTRY)
    await kept.overwrite()
    with pytest.raises(MovedOn):
        await register.change(made, replace(ENTRY, state="offered"))
    standing = await register.get(ENTRY.key)
    await register.change(standing, replace(ENTRY, state="offered"))


async def test_of_two_that_decide_above_what_nobody_has_written_one_is_refused(kept: Kept) -> None:
    register = kept.register
    await register.change(await register.change(NOTHING, ENTRY), replace(ENTRY, state="offered"))
    await kept.overwrite(3)
    standing = await register.get(ENTRY.key)
    await register.change(standing, replace(ENTRY, state="taken", by="target"))
    await kept.overwrite()
    with pytest.raises(MovedOn):
        await register.change(standing, replace(ENTRY, state="withdrawn"))
    found = (await register.get(ENTRY.key)).migration
    assert found is not None
    assert found.state == "taken"


def test_a_key_can_be_read_back() -> None:
    assert MigrationKey.parse(ENTRY.key.token) == ENTRY.key
    assert ENTRY.key.token == "n=2E1.n2.k8s=2Eio.web=2E1.a=2E1"
    with pytest.raises(ValueError, match=r"is no migration"):
        MigrationKey.parse("a.b.c")
