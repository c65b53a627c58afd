"""What containerd lists, on its generations: many at once, and tasks that fit nowhere."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from bridge._pb.containerd.services import containers_pb2
from bridge._pb.google.protobuf.any_pb2 import Any as AnyMessage
from bridge.containerd.channel import aio_channel, in_namespace
from bridge.containerd.inventory import ContainerdInventory
from tests.testbed import Containerd, Ctr

GENERATIONS = [pytest.param("2.1"), *(pytest.param(version, marks=pytest.mark.older) for version in ("1.7", "1.6"))]


@pytest.fixture(params=GENERATIONS)
def any_ctr(request: pytest.FixtureRequest, _containerds: Callable[[str], Containerd]) -> Iterator[Ctr]:
    """`ctr` in a fresh namespace of containerd 2.1, and with `-m older` of 1.7 and 1.6."""
    with _containerds(request.param).fresh_namespace() as ctr:
        yield ctr


@pytest.fixture
async def inventory(any_ctr: Ctr) -> AsyncIterator[ContainerdInventory]:
    async with ContainerdInventory(any_ctr.host.address) as inventory:
        yield inventory


async def test_more_than_one_message_holds_is_listed(any_ctr: Ctr, inventory: ContainerdInventory) -> None:
    spec = AnyMessage(type_url="types.containerd.io/opencontainers/runtime-spec/1/Spec", value=b" " * (100 << 10))
    channel = aio_channel(any_ctr.host.address)
    stub = containers_pb2.ContainersStub(channel)
    for number in range(200):  # 20 MB, where a message has 16 at the most
        record = containers_pb2.Container(
            id=f"c{number}", spec=spec, runtime=containers_pb2.Container.Runtime(name="io.containerd.runc.v2")
        )
        await stub.Create(
            containers_pb2.CreateContainerRequest(container=record),
            metadata=in_namespace(any_ctr.namespace),
            timeout=90,
        )
    await channel.close()
    found = await inventory.take([any_ctr.namespace])
    assert {container for _, container in found.containers} == {f"c{number}" for number in range(200)}


async def test_a_task_whose_record_was_deleted_is_told_as_bare(any_ctr: Ctr, inventory: ContainerdInventory) -> None:
    any_ctr.run("web.1", "sleep", "1000")
    channel = aio_channel(any_ctr.host.address)
    await containers_pb2.ContainersStub(channel).Delete(
        containers_pb2.DeleteContainerRequest(id="web.1"), metadata=in_namespace(any_ctr.namespace), timeout=90
    )
    await channel.close()
    found = await inventory.take([any_ctr.namespace])
    assert found.containers == {}
    assert found.bare == {(any_ctr.namespace, "web.1")}


async def test_a_task_whose_shim_was_killed_while_containerd_was_down_is_not_listed(
    any_ctr: Ctr, inventory: ContainerdInventory
) -> None:
    host = any_ctr.host
    any_ctr.run("web.1", "sleep", "1000")
    host.kill()
    assert host.kill_shims(any_ctr.namespace) == 1
    host.start()
    info = (await inventory.take([any_ctr.namespace])).containers[any_ctr.namespace, "web.1"]
    assert info.task is None
