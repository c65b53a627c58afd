"""The contract of `ContainerLookup`."""

import asyncio
import time
from collections.abc import Mapping

from bridge.model.outcomes import ContainerInfo
from tests.contract.hosts import ID, Behaviour, Host


async def describe(host: Host, *containers: tuple[str, str]) -> Mapping[tuple[str, str], ContainerInfo]:
    return await asyncio.to_thread(host.lookup.describe, containers)


async def test_records_come_without_spec_and_task(host: Host) -> None:
    await host.make(Behaviour.STUBBORN, app="web", **{"nerdctl/name": "shop"})
    found = await describe(host, (host.namespace, ID))
    info = found[host.namespace, ID]
    assert (info.namespace, info.id, info.name, info.labels["app"]) == (host.namespace, ID, "shop", "web")
    assert info.image
    assert info.runtime == "io.containerd.runc.v2"
    assert info.created_at is not None
    assert info.spec is None
    assert info.task is None


async def test_what_is_not_there_is_left_out(host: Host) -> None:
    await host.make(Behaviour.STUBBORN)
    asked = [(host.namespace, ID), (host.namespace, "gone"), ("nowhere", ID)]
    assert set(await describe(host, *asked)) == {(host.namespace, ID)}


async def test_names_that_cannot_be_are_left_out(host: Host) -> None:
    assert await describe(host, ("", ""), ("../x", "a b"), (host.namespace, "é")) == {}


async def test_asking_for_nothing_gives_nothing(host: Host) -> None:
    assert await describe(host) == {}


async def test_without_containerd_it_neither_raises_nor_waits(own_host: Host) -> None:
    await own_host.make(Behaviour.STUBBORN)
    async with own_host.down():
        began = time.monotonic()
        assert await describe(own_host, *[(own_host.namespace, f"c{number}") for number in range(20)]) == {}
        assert time.monotonic() - began < 60  # a quarter of a second, however busy the machine is
    async with asyncio.timeout(90):
        while not await describe(own_host, (own_host.namespace, ID)):
            await asyncio.sleep(0.02)
