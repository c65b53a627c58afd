"""What a command through the bus costs beside the bare call to containerd, and beside containerd's own command line client.

Each round does the same thing once in each way, one after the other, so that whatever else goes on meets all of them alike. The
bus is a nats-server on the same host and the bridge a process of its own, on a real containerd with real containers; what is
measured is the whole way there and back. Then fifty containers are commanded at once, through the bus and with bare calls.

`bare` is a gRPC channel that is open, to the very calls that the verb is made of: of `inspect` the record, the task and its
processes, of `exec` to register, start, await and remove a process without output. What the bridge does more for `stats` is to
look for the containers' networks, and for `exec` FIFOs, a session that survives it, and two streams with their ends. `ctr` is a
process for each command, as a shell would start it; most of its time is that. The bridge has its journal, a policy with rules
and the log of commands, as a real one.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import grpc.aio

from benchmarks.findings import Finding, Tell, percentile
from benchmarks.measured import Stopwatch
from benchmarks.processes import RunFailed, python, started
from bridge._pb.containerd.services import containers_pb2, tasks_pb2
from bridge._pb.google.protobuf.any_pb2 import Any as Packed
from bridge.client import Node, connect
from bridge.containerd.channel import aio_channel, in_namespace
from bridge.containerd.tasks import PROCESS_TYPE
from bridge.errors import CommandFailed
from tests.testbed import Containerd, Ctr
from tests.testbed.nats import NatsServer

__all__ = ["FULL", "USUAL", "Size", "measure"]

NODE: Final = "bench"
MORE_MS: Final = 3.0
READY_S: Final = 60.0
VERSION: Final = "2.1"

POLICY: Final = """
default = "allow"

[[rules]]
name = "nothing that a container of the system needs"
effect = "deny"
namespaces = ["k8s.io", "moby"]

[[rules]]
name = "whoever comes from outside only looks"
effect = "deny"
containers = ["db-*"]
verbs = ["exec", "delete", "kill"]
"""
"""Rules that are looked at and decide nothing here."""


class Size(NamedTuple):
    """How much is measured: rounds of each command, rounds that `ctr` takes part in, and containers at once."""

    rounds: int
    by_ctr: int
    containers: int = 50


USUAL = Size(200, 10)
FULL = Size(1_000, 50)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What is on it: a bridge between a bus and a containerd, and the ways around it."""

    ctr: Ctr
    node: Node
    channel: grpc.aio.Channel
    process: bytes
    """The OCI process of `true` in one of the containers."""
    pids: Mapping[str, int]

    @property
    def where(self) -> Any:
        """The namespace, as the client takes it."""
        return {"namespace": self.ctr.namespace}


@dataclass(frozen=True, kw_only=True)
class Way:
    """One command in the three ways; each is given the stage and a container."""

    name: str
    bus: Callable[[Stage, str], Awaitable[object]]
    bare: Callable[[Stage, str], Awaitable[object]]
    ctr: Sequence[Sequence[str]]


async def _inspect(stage: Stage, container: str) -> None:
    tasks, records = tasks_pb2.TasksStub(stage.channel), containers_pb2.ContainersStub(stage.channel)
    namespace = in_namespace(stage.ctr.namespace)
    await records.Get(containers_pb2.GetContainerRequest(id=container), metadata=namespace)
    await tasks.Get(tasks_pb2.GetRequest(container_id=container), metadata=namespace)
    await tasks.ListPids(tasks_pb2.ListPidsRequest(container_id=container), metadata=namespace)


async def _metrics(stage: Stage, _: str) -> None:
    tasks, namespace = tasks_pb2.TasksStub(stage.channel), in_namespace(stage.ctr.namespace)
    await tasks.Metrics(tasks_pb2.MetricsRequest(), metadata=namespace)


async def _metrics_of_one(stage: Stage, container: str) -> None:
    tasks, namespace = tasks_pb2.TasksStub(stage.channel), in_namespace(stage.ctr.namespace)
    await tasks.Metrics(tasks_pb2.MetricsRequest(filters=[f'id=="{container}"']), metadata=namespace)


async def _exec(stage: Stage, container: str) -> None:
    tasks, namespace = tasks_pb2.TasksStub(stage.channel), in_namespace(stage.ctr.namespace)
    which: Any = {"container_id": container, "exec_id": "bare"}
    spec = Packed(type_url=PROCESS_TYPE, value=stage.process)
    await tasks.Exec(tasks_pb2.ExecProcessRequest(**which, spec=spec), metadata=namespace)
    ended = tasks.Wait(tasks_pb2.WaitRequest(**which), metadata=namespace)
    await tasks.Start(tasks_pb2.StartRequest(**which), metadata=namespace)
    if (await ended).exit_status:
        raise RunFailed("true ended with another status than 0")
    await tasks.DeleteProcess(tasks_pb2.DeleteProcessRequest(**which), metadata=namespace)


async def _exec_by_bus(stage: Stage, container: str) -> None:
    ended = await stage.node.capture(container, ["true"], **stage.where)
    if ended.exit_status:
        raise RunFailed(f"true ended with status {ended.exit_status}")


async def _pause_and_resume(stage: Stage, container: str) -> None:
    tasks, namespace = tasks_pb2.TasksStub(stage.channel), in_namespace(stage.ctr.namespace)
    await tasks.Pause(tasks_pb2.PauseTaskRequest(container_id=container), metadata=namespace)
    await tasks.Resume(tasks_pb2.ResumeTaskRequest(container_id=container), metadata=namespace)


async def _pause_and_resume_by_bus(stage: Stage, container: str) -> None:
    await stage.node.pause(container, **stage.where)
    await stage.node.resume(container, **stage.where)


WAYS: Final[Sequence[tuple[Way, int]]] = (
    (
        Way(
            name="inspect",
            bus=lambda stage, container: stage.node.inspect(container, **stage.where),
            bare=_inspect,
            ctr=[("containers", "info", "@"), ("tasks", "ps", "@")],
        ),
        1,
    ),
    (
        Way(
            name="stats of all",
            bus=lambda stage, _: stage.node.stats(**stage.where),
            bare=_metrics,
            ctr=[("tasks", "metrics", "@")],
        ),
        1,
    ),
    (
        Way(
            name="stats of one",
            bus=lambda stage, container: stage.node.stats(container, **stage.where),
            bare=_metrics_of_one,
            ctr=[("tasks", "metrics", "@")],
        ),
        1,
    ),
    (
        Way(
            name="exec true",
            bus=_exec_by_bus,
            bare=_exec,
            ctr=[("tasks", "exec", "--exec-id", "ctr", "@", "true")],
        ),
        1,
    ),
    (
        Way(
            name="pause and resume",
            bus=_pause_and_resume_by_bus,
            bare=_pause_and_resume,
            ctr=[("tasks", "pause", "@"), ("tasks", "resume", "@")],
        ),
        2,
    ),
)
"""What is measured, and how many commands each is: the aim is for one."""


async def measure(size: Size, tell: Tell) -> list[Finding]:
    """Measure and return what was found.

    Raises:
        RunFailed: a command failed, or the bridge did not come up.
    """
    async with _staged(size.containers) as stage:
        try:
            findings = [await _compared(stage, way, commands, size, tell) for way, commands in WAYS]
            findings.append(await _at_once(stage, size, tell))
        except (CommandFailed, grpc.aio.AioRpcError) as error:
            raise RunFailed(f"a command failed: {error}") from error
    return findings


async def _compared(stage: Stage, way: Way, commands: int, size: Size, tell: Tell) -> Finding:
    took: dict[str, list[float]] = {"bus": [], "bare": [], "ctr": []}
    stopwatch = Stopwatch(stage.pids)
    for number in range(size.rounds):
        container = f"c{number % size.containers}"
        took["bare"].append(await _timed(way.bare(stage, container)))
        took["bus"].append(await _timed(way.bus(stage, container)))
        if number < size.by_ctr:
            took["ctr"].append(await _timed(_by_ctr(stage, way, container)))
    measured = stopwatch.stop(way.name, size.rounds)
    medians = {name: percentile(sorted(times), 0.5) for name, times in took.items()}
    slowest = {name: percentile(sorted(times), 0.99) for name, times in took.items()}
    for name, times in took.items():
        tell(f"{way.name}, {name}: p50 {medians[name]:.2f} ms, p99 {slowest[name]:.2f} ms, {len(times)} times")
    more = (medians["bus"] - medians["bare"]) / commands
    return Finding(
        what=f"{way.name} through the bus beside bare gRPC, {size.rounds:,} rounds",
        aim=f"p50 <= {MORE_MS:g} ms more for a command",
        figure=f"{more:+.2f} ms: {medians['bus']:.2f} ms, bare {medians['bare']:.2f} ms, ctr {medians['ctr']:.0f} ms; "
        f"p99 {slowest['bus']:.1f} ms, bare {slowest['bare']:.1f} ms",
        met=more <= MORE_MS,
        numbers={
            "rounds": size.rounds,
            "commands": commands,
            "p50_ms": {name: round(value, 3) for name, value in medians.items()},
            "p99_ms": {name: round(value, 3) for name, value in slowest.items()},
            "cpu_us_per_round": {part: round(cost.cpu_us, 1) for part, cost in measured.parts.items()},
        },
        others=measured.others,
    )


async def _at_once(stage: Stage, size: Size, tell: Tell) -> Finding:
    names = [f"c{number}" for number in range(size.containers)]
    took: dict[str, list[float]] = {"bus": [], "bare": []}
    stopwatch = Stopwatch(stage.pids)
    for _ in range(3):
        took["bare"].append(await _timed(_all([_pause_and_resume(stage, name) for name in names])))
        took["bus"].append(await _timed(_all([_pause_and_resume_by_bus(stage, name) for name in names])))
    measured = stopwatch.stop("at once", 3)
    best = {name: min(times) for name, times in took.items()}
    ratio = best["bus"] / best["bare"]
    tell(f"{size.containers} at once: bus {best['bus']:.0f} ms, bare {best['bare']:.0f} ms")
    return Finding(
        what=f"{size.containers} containers paused and resumed at once",
        aim="<= 1.5 times the bare calls",
        figure=f"{ratio:.2f} times: {best['bus']:.0f} ms, bare {best['bare']:.0f} ms",
        met=ratio <= 1.5,
        numbers={"containers": size.containers, "ms": {name: round(value, 1) for name, value in best.items()}},
        others=measured.others,
    )


async def _timed(work: Awaitable[object]) -> float:
    began = time.perf_counter()
    await work
    return (time.perf_counter() - began) * 1e3


async def _all(work: Sequence[Awaitable[None]]) -> None:
    await asyncio.gather(*work)


async def _by_ctr(stage: Stage, way: Way, container: str) -> None:
    for words in way.ctr:
        named = [container if word == "@" else word for word in words]
        process = stage.ctr.host.popen("ctr", "--namespace", stage.ctr.namespace, *named, stdout=-3)
        if await asyncio.to_thread(process.wait):
            raise RunFailed(f"ctr {' '.join(named)} failed")


@asynccontextmanager
async def _staged(containers: int) -> AsyncIterator[Stage]:
    with (
        tempfile.TemporaryDirectory() as directory,
        Containerd(VERSION) as host,
        host.fresh_namespace() as ctr,
        NatsServer() as server,
    ):
        state = Path(directory)
        where = ["--containerd", str(host.address), "--nats", server.url, "--state-dir", str(state / "state")]
        policy = state / "policy.toml"
        policy.write_text(POLICY)
        serve = python(
            *("bridge", "serve", *where, "--node", NODE, "--commands", "observe,lifecycle,exec"),
            *("--policy", str(policy), "--fifo-dir", str(host.fifo_dir)),
        )
        async with started("bridge", serve, state) as running, connect(server.url) as bus:
            await running.while_running(_up(bus))
            for number in range(containers):
                await asyncio.to_thread(ctr.run, f"c{number}", "sleep", "100000")
            pids = {"bridge": running.pid, "nats-server": server.pid, "containerd": host.pid}
            channel = aio_channel(host.address)
            try:
                process = await _process(channel, ctr.namespace)
                yield Stage(ctr=ctr, node=await bus.node(NODE), channel=channel, process=process, pids=pids)
            finally:
                await channel.close()


async def _process(channel: grpc.aio.Channel, namespace: str) -> bytes:
    records = containers_pb2.ContainersStub(channel)
    request = containers_pb2.GetContainerRequest(id="c0")
    found = await records.Get(request, metadata=in_namespace(namespace))
    process = json.loads(found.container.spec.value)["process"]
    return json.dumps(process | {"args": ["true"], "terminal": False}).encode()


async def _up(bus: Any) -> None:
    deadline = time.monotonic() + READY_S
    while NODE not in [node.node for node in await bus.nodes(wait=0.2)]:
        if time.monotonic() > deadline:
            raise RunFailed("the bridge takes no commands")
