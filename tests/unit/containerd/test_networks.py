"""Whose network is looked at for `stats`, and what containerd is asked for that."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from bridge._pb.containerd import cgroups_v2_pb2
from bridge._pb.containerd.services import tasks_pb2
from bridge._pb.containerd.types_pb2 import Metric
from bridge._pb.google.protobuf.any_pb2 import Any as Packed
from bridge.containerd.host import Process, Seen
from bridge.containerd.tasks import Tasks
from bridge.model.outcomes import NetworkStats


def interface(name: str) -> NetworkStats:
    counts = dict.fromkeys(
        [f"{way}_{what}" for way in ("rx", "tx") for what in ("bytes", "packets", "errors", "dropped")], 0
    )
    return NetworkStats(name=name, **counts)


class Channel:
    """A containerd with two tasks; it writes down what it is asked."""

    def __init__(self) -> None:
        self.pids = {"c1": 11, "c2": 12}
        self.asked: list[str] = []

    def unary_unary(self, path: str, **_: Any) -> Any:
        async def call(request: Any, **_: Any) -> Any:
            await asyncio.sleep(0)
            name = path.rpartition("/")[2]
            self.asked.append(name)
            return getattr(self, name)(request)

        return call

    def Metrics(self, request: tasks_pb2.MetricsRequest) -> tasks_pb2.MetricsResponse:  # noqa: N802 - containerd's name
        numbers = cgroups_v2_pb2.Metrics(pids=cgroups_v2_pb2.PidsStat(current=1))
        data = Packed(type_url=cgroups_v2_pb2.Metrics.DESCRIPTOR.full_name, value=numbers.SerializeToString())
        chosen = [name for name in self.pids if not request.filters or any(name in text for text in request.filters)]
        return tasks_pb2.MetricsResponse(metrics=[Metric(id=name, data=data) for name in chosen])

    def Get(self, request: tasks_pb2.GetRequest) -> tasks_pb2.GetResponse:  # noqa: N802
        process: Any = {"id": request.container_id, "pid": self.pids[request.container_id]}
        return tasks_pb2.GetResponse(process=process)

    def List(self, _: tasks_pb2.ListTasksRequest) -> tasks_pb2.ListTasksResponse:  # noqa: N802
        tasks: Any = [{"id": name, "pid": pid} for name, pid in self.pids.items()]
        return tasks_pb2.ListTasksResponse(tasks=tasks)


class Host:
    """A host on which each process has one interface, named by it, and began at ten times its number."""

    def networks(self, processes: Mapping[str, Process]) -> Mapping[str, Seen] | None:
        return {
            key: Seen(Process(pid, pid * 10), [interface(f"eth{pid}")])
            for key, (pid, began) in processes.items()
            if began in {None, pid * 10}
        }


def tasks_of(channel: Channel) -> Tasks:
    nothing: Any = None
    host: Any = Host()
    return Tasks(channel, nothing, nothing, host)


async def names(tasks: Tasks, *containers: str) -> dict[str, list[str]]:
    found = await tasks.metrics("default", containers)
    return {one.container: [interface.name for interface in one.network or ()] for one in found}


async def test_one_container_after_another_is_asked_about_alone_and_once() -> None:
    channel = Channel()
    tasks = tasks_of(channel)
    for _ in range(2):
        assert await names(tasks, "c1") == {"c1": ["eth11"]}
        assert await names(tasks, "c2") == {"c2": ["eth12"]}
    assert channel.asked == ["Metrics", "Get", "Metrics", "Get", "Metrics", "Metrics"]


async def test_all_are_listed_once() -> None:
    channel = Channel()
    tasks = tasks_of(channel)
    for _ in range(3):
        assert await names(tasks) == {"c1": ["eth11"], "c2": ["eth12"]}
    assert channel.asked == ["Metrics", "List", "Metrics", "Metrics"]


async def test_a_process_that_is_another_one_now_is_asked_about_again() -> None:
    channel = Channel()
    tasks = tasks_of(channel)
    await names(tasks)
    tasks._inits["default"]["c2"] = Process(12, 1)
    assert await names(tasks) == {"c1": ["eth11"], "c2": ["eth12"]}
    assert channel.asked == ["Metrics", "List", "Metrics", "Get"]
