"""The catalogue of checkpoints on real nats-servers that permit each login only its set: what it reads, and what it writes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge.client import Bus, connect
from bridge.config import NatsConfig
from bridge.errors import CommandFailed
from bridge.jetstream.checkpoint_buckets import CheckpointMaking
from bridge.jetstream.checkpoint_objects import nuid_of
from bridge.jetstream.checkpoints import JetStreamCheckpoints
from bridge.jetstream.connection import connect as connect_to
from bridge.jetstream.permissions import ROLES as PERMITTED_ROLES
from bridge.jetstream.permissions import listed, permitted
from bridge.model.checkpoints import CheckpointKey
from bridge.model.commands import GROUPS
from bridge.model.subjects import Subjects
from tests.contract.catalogues import MIB, archive, broken_off, record, text, unheard, until_it_fails, whole
from tests.fix_nats import NatsServerFactory
from tests.integration.test_permissions import raw, until
from tests.testbed import NatsServer
from tests.unit.checkpoints.archives import RECORD, contents, packed

pytestmark = pytest.mark.nats

SUBJECTS = Subjects()
BUCKET = "containerd-checkpoints"
DATA = text(MIB)
ROLES: dict[str, tuple[Any, dict[str, Any]]] = {
    "n1": ("node", {"node": "n1"}),
    "n2": ("node", {"node": "n2"}),
    "shop": ("namespace", {"namespace": "shop", "groups": ["observe", "checkpoint"]}),
    "web": ("container", {"namespace": "shop", "container": "web.1", "groups": ["checkpoint"]}),
    "plain": ("namespace", {"namespace": "shop"}),
    "reader": ("reader", {}),
}
IMPORTING = [
    f"$JS.API.STREAM.INFO.KV_{BUCKET}",
    f"$JS.API.CONSUMER.MSG.NEXT.KV_{BUCKET}.*",
    f"$JS.API.CONSUMER.DELETE.KV_{BUCKET}.*",
    f"$JS.API.CONSUMER.CREATE.KV_{BUCKET}.>",
    f"$JS.API.STREAM.INFO.OBJ_{BUCKET}",
    f"$JS.API.CONSUMER.CREATE.OBJ_{BUCKET}.*.$O.{BUCKET}.M.*",
    f"$JS.API.CONSUMER.CREATE.OBJ_{BUCKET}.*.$O.{BUCKET}.C.*.*.*.*",
    f"$JS.API.CONSUMER.MSG.NEXT.OBJ_{BUCKET}.*",
    f"$JS.API.CONSUMER.DELETE.OBJ_{BUCKET}.*",
    f"$KV.{BUCKET}.imported.*.*.*.*",
    f"$O.{BUCKET}.>",
]
"""As docs/security.md says."""


def config() -> str:
    sets, users = [], []
    for user, (role, names) in ROLES.items():
        found = permitted(role, SUBJECTS, inbox=f"_INBOX.{user}", **names)
        sets.append(listed(f"OF_{user}", found))
        users.append(f'{{ user: "{user}", password: "x", permissions: $OF_{user} }}')
    importing = ", ".join(f'"{subject}"' for subject in IMPORTING)
    users.append(
        f'{{ user: "importer", password: "x", permissions: {{ publish: [{importing}], subscribe: ["_INBOX.importer.>"] }} }}'
    )
    return "".join(sets) + f"authorization {{ users: [ {', '.join(users)} ] }}\n"


def login(server: NatsServer, user: str) -> NatsConfig:
    return NatsConfig(url=server.url, user=user, password="x", inbox=f"_INBOX.{user}")


@asynccontextmanager
async def node(server: NatsServer, name: str) -> AsyncIterator[JetStreamCheckpoints]:
    async with connect_to(login(server, name), name="test") as connection:
        yield JetStreamCheckpoints(connection, SUBJECTS, node=name, making=CheckpointMaking())


@asynccontextmanager
async def client(server: NatsServer, user: str) -> AsyncIterator[Bus]:
    async with connect(login(server, user)) as bus:
        yield bus


@pytest.fixture(params=["2.15", "2.10"])
def server(request: pytest.FixtureRequest, nats_server_factory: NatsServerFactory) -> NatsServer:
    return nats_server_factory(version=request.param, config=config())


WEB, DB, OTHER = (
    CheckpointKey("n1", "shop", "web.1", "c1"),
    CheckpointKey("n1", "shop", "db", "c1"),
    CheckpointKey("n1", "other", "web.1", "c1"),
)


async def test_each_reads_what_is_his_and_no_more(server: NatsServer, tmp_path: Path) -> None:
    async with node(server, "n1") as catalogue, node(server, "n2") as other:
        await broken_off(catalogue, WEB, DATA, upload="a-1")
        for each in (WEB, DB, OTHER):
            facts = await catalogue.store(each, archive(DATA), upload="a-1", tell=unheard)
            await catalogue.put(record(each, facts))
        await catalogue.sweep()
        # A node reads, and removes, those of others: it restores them, and what made them may be gone.
        assert await whole(other, WEB) == DATA
        assert len(await other.list()) == 3

    async with client(server, "reader") as bus:
        assert len(await bus.checkpoints.list()) == 3
        with pytest.raises(CommandFailed) as failed:
            await bus.checkpoints.export(await bus.checkpoints.get(WEB), tmp_path / "reader")
        assert failed.value.code == "refused"

    for user, may, may_not in (("shop", (WEB, DB), (OTHER,)), ("web", (WEB,), (DB, OTHER))):
        async with client(server, user) as bus:
            container = "web.1" if user == "web" else None
            found = await bus.checkpoints.list(namespace="shop", container=container)
            assert [one.key for one in found] == sorted(may)
            for each in may:
                assert await bus.checkpoints.export(await bus.checkpoints.get(each), tmp_path / "file") == len(DATA)
            with pytest.raises(CommandFailed) as failed:
                await bus.checkpoints.list()
            assert failed.value.code == "refused"
            for each in may_not:
                with pytest.raises(CommandFailed) as failed:
                    await bus.checkpoints.get(each)
                assert failed.value.code == "refused"

    async with client(server, "plain") as bus:
        with pytest.raises(CommandFailed) as failed:
            await bus.checkpoints.list(namespace="shop")
        assert failed.value.code == "refused"
    assert not (tmp_path / "reader").exists()


async def test_nobody_but_its_node_vouches_for_a_checkpoint(server: NatsServer) -> None:
    async with node(server, "n1") as catalogue:
        await catalogue.ensure()
    forbidden = {
        "n2": [f"$KV.{BUCKET}.{WEB.token}", f"$KV.{BUCKET}.imported.{WEB.token}", f"$O.{BUCKET}.C.{nuid_of(WEB, 'a')}"],
        "shop": [
            f"$KV.{BUCKET}.{WEB.token}",
            f"$KV.{BUCKET}.imported.{WEB.token}",
            f"$O.{BUCKET}.C.{nuid_of(WEB, 'a')}",
            f"$O.{BUCKET}.M.eA==",
            f"$JS.API.STREAM.PURGE.OBJ_{BUCKET}",
            f"$JS.API.STREAM.MSG.GET.OBJ_{BUCKET}",
            f"$JS.API.DIRECT.GET.OBJ_{BUCKET}",
            f"$JS.API.DIRECT.GET.OBJ_{BUCKET}.$O.{BUCKET}.C.{nuid_of(WEB, 'a')}",
            f"$JS.API.CONSUMER.CREATE.OBJ_{BUCKET}.c.$O.{BUCKET}.C.{nuid_of(OTHER, 'a')}",
            f"$JS.API.CONSUMER.CREATE.OBJ_{BUCKET}.c",
            f"$JS.API.CONSUMER.CREATE.KV_{BUCKET}.c.$KV.{BUCKET}.{OTHER.token}",
        ],
        "reader": [
            f"$KV.{BUCKET}.{WEB.token}",
            f"$JS.API.CONSUMER.CREATE.OBJ_{BUCKET}.c.$O.{BUCKET}.C.{nuid_of(WEB, 'a')}",
            f"$JS.API.DIRECT.GET.KV_{BUCKET}.$KV.{BUCKET}.{WEB.token}",
        ],
        "importer": [f"$KV.{BUCKET}.{WEB.token}", f"$JS.API.DIRECT.GET.KV_{BUCKET}.$KV.{BUCKET}.imported.{WEB.token}"],
    }
    for user, subjects in forbidden.items():
        for subject in subjects:
            async with raw(server, user) as (each, refused):
                await each.publish(subject, b"{}")
                await each.flush()
                await until(lambda told=refused: told)  # type: ignore[misc]
                assert "permissions violation for publish" in refused[0], (user, subject, refused)


async def test_who_may_import_brings_what_nobody_vouches_for(server: NatsServer, tmp_path: Path) -> None:
    data, _ = await packed(contents(tmp_path))
    (tmp_path / "file").write_bytes(data)
    async with node(server, "n1") as catalogue:
        await catalogue.ensure()
        async with client(server, "importer") as bus:
            brought = await bus.checkpoints.bring(tmp_path / "file")
        assert brought.imported
        assert await catalogue.get(RECORD.key) == brought
        assert await whole(catalogue, RECORD.key) == data
        async with node(server, "n2") as other:
            assert await other.remove(RECORD.key) == len(data)
        _, failure = await until_it_fails(catalogue.load(RECORD.key))
        assert failure.code == "not_found"


@pytest.mark.parametrize("role", PERMITTED_ROLES)
def test_nobody_may_use_direct_gets(role: Any) -> None:
    # Their answer goes wherever whoever asks says, and is what somebody else may have written.
    assert "DIRECT.GET" not in "".join(permitted(role, SUBJECTS, inbox="_INBOX", groups=GROUPS).publish)
