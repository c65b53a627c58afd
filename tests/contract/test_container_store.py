"""The contract of `ContainerStore`: containerd's records of containers."""

import pytest
from msgspec import structs

from tests.contract.failing import code_of
from tests.contract.hosts import ID, Behaviour, Host


async def test_a_record_comes_with_its_spec_and_without_its_task(host: Host) -> None:
    await host.run(Behaviour.STUBBORN)
    info = await host.runtime.containers.get(host.namespace, ID)
    assert (info.namespace, info.id) == (host.namespace, ID)
    assert info.spec is not None
    assert info.spec["ociVersion"]
    assert info.task is None
    assert (info.snapshotter, info.snapshot_key) == ("overlayfs", ID)
    assert info.created_at is not None
    assert info.updated_at is not None


async def test_a_list_has_tasks_and_no_specs(host: Host) -> None:
    await host.run(Behaviour.STUBBORN, "runs")
    await host.stopped("ended")
    await host.make(Behaviour.STUBBORN, "new")
    found = {info.id: info for info in await host.runtime.containers.list(host.namespace)}
    assert {name: info.task and info.task.status for name, info in found.items()} == {
        "runs": "running",
        "ended": "stopped",
        "new": None,
    }
    assert all(info.spec is None for info in found.values())
    assert found["ended"].task == await host.runtime.tasks.get(host.namespace, "ended")


async def test_without_a_namespace_every_one_is_listed(host: Host) -> None:
    await host.make(Behaviour.STUBBORN)
    found = await host.runtime.containers.list(None)
    assert [(info.namespace, info.id) for info in found if info.namespace == host.namespace] == [(host.namespace, ID)]


async def test_a_namespace_that_is_not_there_has_no_containers(host: Host) -> None:
    assert list(await host.runtime.containers.list("nowhere")) == []


async def test_a_namespace_that_cannot_be_is_an_invalid_argument(host: Host) -> None:
    assert await code_of(host.runtime.containers.list("../x")) == "invalid_argument"


FILTERS: list[tuple[list[str], list[str]]] = [
    ([], ["db", "web.1"]),
    ([""], ["db", "web.1"]),
    (['id=="web.1"'], ["web.1"]),
    (["id==web.1"], ["web.1"]),
    ([r'id=="\x77\145b\u002e1"'], ["web.1"]),
    (["id==-x"], []),
    (["id=='web.1'"], []),
    (["labels.app==web"], ["web.1"]),
    (["labels.app"], ["db", "web.1"]),
    (["labels.tier"], ["web.1"]),
    (["labels.none"], []),
    (["labels"], []),
    (["labels.app!=web"], ["db"]),
    (["labels.none!=web"], ["db", "web.1"]),
    (["labels.app~=^w"], ["web.1"]),
    (["labels.app~=/e./"], ["web.1"]),
    ([r"labels.kind~=/a\/b/"], ["db"]),
    (["labels.app~=(?i)WEB"], ["web.1"]),
    ([r"labels.app~=|^(web\|db)$|"], ["db", "web.1"]),
    (["labels.app~=^(web|db)$"], ["db", "web.1"]),
    (["labels.app~=("], []),
    (['labels."com.example/kind"==a'], ["db"]),
    (["labels.com.example==b"], ["db"]),
    (["labels.kind==a/b"], ["db"]),
    (['labels.note=="x, y"'], ["db"]),
    (["runtime.name==io.containerd.runc.v2"], ["db", "web.1"]),
    (["labels.app==web,labels.tier==front"], ["web.1"]),
    (["labels.app == web, labels.tier==back"], []),
    (["labels.app==web", "labels.app==db"], ["db", "web.1"]),
    (["labels.app==web", ""], ["db", "web.1"]),
    (["nosuchfield==x"], []),
]


async def test_a_list_is_filtered_as_containerd_does(host: Host) -> None:
    await host.make(Behaviour.STUBBORN, "web.1", app="web", tier="front")
    labels = {"app": "db", "com.example/kind": "a", "com.example": "b", "kind": "a/b", "note": "x, y"}
    await host.make(Behaviour.STUBBORN, "db", **labels)
    found = [
        (filters, sorted(info.id for info in await host.runtime.containers.list(host.namespace, filters)))
        for filters, _ in FILTERS
    ]
    assert found == FILTERS


BAD_FILTERS = [
    "id==",
    "==x",
    "id=x",
    "id===x",
    "id~==x",
    "id==~",
    "id==.x",
    "a b",
    "labels . app==web",
    "labels.==x",
    "id==x,",
    "id==x,,id==x",
    "id==x ,id==x",
    "id==x ",
    "   ",
    'id=="x',
    'id=="a\nb"',
    r'id=="\q"',
    "id~=/x",
    "id~=/x/y",
    "id==/x/",
    "id~=|a|b|",
]


async def test_a_filter_that_is_none_is_an_invalid_argument(host: Host) -> None:
    await host.make(Behaviour.STUBBORN)
    codes = {bad: await code_of(host.runtime.containers.list(host.namespace, [bad])) for bad in BAD_FILTERS}
    assert codes == dict.fromkeys(BAD_FILTERS, "invalid_argument")


async def test_deleting_removes_record_and_snapshot(host: Host) -> None:
    await host.make(Behaviour.STUBBORN)
    assert await host.snapshots() == {ID}
    await host.runtime.containers.delete(host.namespace, ID)
    assert await host.snapshots() == set()
    assert await code_of(host.runtime.containers.get(host.namespace, ID)) == "not_found"


async def test_a_snapshot_can_be_kept(host: Host) -> None:
    await host.make(Behaviour.STUBBORN)
    await host.runtime.containers.delete(host.namespace, ID, keep_snapshot=True)
    assert await host.snapshots() == {ID}
    assert await code_of(host.runtime.containers.get(host.namespace, ID)) == "not_found"


async def test_a_snapshot_that_another_container_has_too_stays_until_the_last_one_goes(host: Host) -> None:
    await host.make(Behaviour.STUBBORN)
    await host.share("web.2", ID)
    left = await host.runtime.containers.delete(host.namespace, ID)
    assert list(left) == [f"snapshot {ID} stays: container web.2 uses it too"]
    assert await host.snapshots() == {ID}
    assert list(await host.runtime.containers.delete(host.namespace, "web.2")) == []
    assert await host.snapshots() == set()


async def test_a_spec_is_replaced_and_the_rest_of_the_record_stays(host: Host) -> None:
    await host.make(Behaviour.STUBBORN, app="web")
    before = await host.runtime.containers.get(host.namespace, ID)
    assert before.spec is not None
    spec = before.spec | {"annotations": {"a": "b"}, "linux": {"resources": {"memory": {"limit": -1, "swap": 2**62}}}}
    await host.runtime.containers.respec(host.namespace, ID, spec)
    after = await host.runtime.containers.get(host.namespace, ID)
    assert after.spec == spec
    assert after.updated_at is not None
    assert structs.replace(after, spec=before.spec, updated_at=before.updated_at) == before
    assert await code_of(host.runtime.containers.respec(host.namespace, "gone", spec)) == "not_found"


async def test_the_namespaces_are_listed(host: Host) -> None:
    await host.make(Behaviour.STUBBORN)
    found = await host.runtime.containers.namespaces()
    assert host.namespace in found
    assert list(found) == sorted(found)


@pytest.mark.parametrize("state", ["created", "running", "stopped"])
async def test_a_record_is_not_deleted_under_its_task(host: Host, state: str) -> None:
    match state:
        case "created":
            await host.make(Behaviour.STUBBORN)
            await host.runtime.tasks.create(host.namespace, ID)
        case "running":
            await host.run(Behaviour.STUBBORN)
        case _:
            await host.stopped()
    assert await code_of(host.runtime.containers.delete(host.namespace, ID)) == "failed_precondition"
    assert await host.snapshots() == {ID}
    task = await host.runtime.tasks.get(host.namespace, ID)
    assert task is not None
    assert task.status == state


async def test_what_is_not_there_is_not_found(host: Host) -> None:
    assert await code_of(host.runtime.containers.get(host.namespace, "gone")) == "not_found"
    assert await code_of(host.runtime.containers.get("nowhere", "gone")) == "not_found"
    assert await code_of(host.runtime.containers.delete(host.namespace, "gone")) == "not_found"


async def test_without_containerd_it_is_unavailable(own_host: Host) -> None:
    async with own_host.down():
        assert await code_of(own_host.runtime.containers.list(own_host.namespace)) == "unavailable"
        assert await code_of(own_host.runtime.containers.get(own_host.namespace, ID)) == "unavailable"
        assert await code_of(own_host.runtime.version()) == "unavailable"
