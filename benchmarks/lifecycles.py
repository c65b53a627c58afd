"""The events that are streamed: whole lives of containers, as containerd with runc would tell them, many at a time.

Each container is created, run, and deleted again; in between health checks are executed in it, it is paused and resumed, and
a process of it is killed for want of memory. The lives are mixed, a fixed number of them under way at any moment, in an
order that is random and the same for everybody who asks for the same number of containers: so the process that streams them
and the one that checks what arrived need not talk about them.

An event has a number, and the number stands in its time: `START_NS` plus `STEP_NS` for each event before it. It is the one
field that every event has and that every way of publishing carries along.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any as Anything
from typing import Final, NamedTuple

from google.protobuf.message import Message

from benchmarks.streamed import Place
from bridge._pb.containerd import events_pb2 as events
from bridge._pb.containerd.runc_pb2 import Options
from bridge._pb.containerd.services.containers_pb2 import Container
from bridge._pb.containerd.types_pb2 import Envelope, Mount
from bridge._pb.google.protobuf.any_pb2 import Any
from bridge._pb.google.protobuf.timestamp_pb2 import Timestamp
from bridge.model.nanos import parse_rfc3339

__all__ = [
    "LIFE",
    "NAMESPACE",
    "Happening",
    "Lives",
    "Moment",
    "container_id",
    "envelope",
    "happenings",
    "moment",
    "number_of",
    "pid_of",
    "record",
    "wrapped",
]

NAMESPACE: Final = "default"
IMAGE: Final = "registry.example/shop/checkout:2026.4.1"
RUNTIME: Final = "io.containerd.runc.v2"
EXECS: Final = 5
ALIVE: Final = 100
"""Containers whose lives are under way at the same time."""

START_NS: Final = 1_767_225_600_000_000_000
STEP_NS: Final = 10_000

_SECOND: Final = 1_000_000_000
_SPEC: Final = "types.containerd.io/opencontainers/runtime-spec/1/Spec"


class Step(NamedTuple):
    """What happens once in a life: the word that the bridge has for it, containerd's topic, and the event's fields."""

    word: str
    topic: str
    payload: Callable[[Moment], Message]


class Moment(NamedTuple):
    """Where a step stands: of which container, when, and in or after which exec of its life."""

    container: str
    pid: int
    exec_id: str
    time: Timestamp


class Happening(NamedTuple):
    """One event: the number of its container, its step in that container's life, and its own number."""

    container: int
    step: int
    number: int

    @property
    def word(self) -> str:
        """What the bridge calls it: the last token of its subject."""
        return LIFE[self.step].word


def _container_create(moment: Moment) -> Message:
    options = Any(type_url=Options.DESCRIPTOR.full_name, value=Options(systemd_cgroup=True).SerializeToString())
    runtime = events.ContainerCreate.Runtime(name=RUNTIME, options=options)
    return events.ContainerCreate(id=moment.container, image=IMAGE, runtime=runtime)


def _task_create(moment: Moment) -> Message:
    layers = ":".join(
        f"/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/{number}/fs"
        for number in range(41, 36, -1)
    )
    upper = f"/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/{1000 + moment.pid}"
    rootfs = Mount(
        type="overlay",
        source="overlay",
        options=["index=off", f"workdir={upper}/work", f"upperdir={upper}/fs", f"lowerdir={layers}"],
    )
    fifo = f"/run/containerd/fifo/{moment.pid}/{moment.container}"
    return events.TaskCreate(
        container_id=moment.container,
        bundle=f"/run/containerd/io.containerd.runtime.v2.task/{NAMESPACE}/{moment.container}",
        rootfs=[rootfs],
        io=events.TaskIO(stdout=f"{fifo}-stdout", stderr=f"{fifo}-stderr"),
        pid=moment.pid,
    )


def _task_start(moment: Moment) -> Message:
    return events.TaskStart(container_id=moment.container, pid=moment.pid)


def _exec_added(moment: Moment) -> Message:
    return events.TaskExecAdded(container_id=moment.container, exec_id=moment.exec_id)


def _exec_started(moment: Moment) -> Message:
    return events.TaskExecStarted(container_id=moment.container, exec_id=moment.exec_id, pid=moment.pid + 1)


def _exec_exit(moment: Moment) -> Message:
    return events.TaskExit(
        container_id=moment.container, id=moment.exec_id, pid=moment.pid + 1, exit_status=0, exited_at=moment.time
    )


def _paused(moment: Moment) -> Message:
    return events.TaskPaused(container_id=moment.container)


def _resumed(moment: Moment) -> Message:
    return events.TaskResumed(container_id=moment.container)


def _oom(moment: Moment) -> Message:
    return events.TaskOOM(container_id=moment.container)


def _exit(moment: Moment) -> Message:
    return events.TaskExit(
        container_id=moment.container, id=moment.container, pid=moment.pid, exit_status=137, exited_at=moment.time
    )


def _task_delete(moment: Moment) -> Message:
    return events.TaskDelete(container_id=moment.container, pid=moment.pid, exit_status=137, exited_at=moment.time)


def _container_delete(moment: Moment) -> Message:
    return events.ContainerDelete(id=moment.container)


_EXEC = (
    Step("exec-added", "/tasks/exec-added", _exec_added),
    Step("exec-started", "/tasks/exec-started", _exec_started),
    Step("exec-exit", "/tasks/exit", _exec_exit),
)

LIFE: Final = (
    Step("container-create", "/containers/create", _container_create),
    Step("create", "/tasks/create", _task_create),
    Step("start", "/tasks/start", _task_start),
    *_EXEC * EXECS,
    Step("paused", "/tasks/paused", _paused),
    Step("resumed", "/tasks/resumed", _resumed),
    Step("oom", "/tasks/oom", _oom),
    Step("exit", "/tasks/exit", _exit),
    Step("delete", "/tasks/delete", _task_delete),
    Step("container-delete", "/containers/delete", _container_delete),
)
"""A container's life in order: 24 events."""


def happenings(containers: int) -> Iterator[Happening]:
    """Iterate over the events of so many containers' lives, in the order in which they are streamed."""
    chance = random.Random(containers)
    waiting = iter(range(containers))
    alive = [[container, 0] for container in islice(waiting, ALIVE)]
    number = 0
    while alive:
        place = chance.randrange(len(alive))
        life = alive[place]
        container, step = life
        yield Happening(container, step, number)
        number += 1
        life[1] += 1
        if life[1] == len(LIFE):
            following = next(waiting, None)
            if following is None:
                alive.pop(place)
            else:
                alive[place] = [following, 0]


def container_id(container: int) -> str:
    """Return a container's id: 64 hexadecimal digits, as Docker and Kubernetes make them."""
    return hashlib.sha256(b"container %d" % container).hexdigest()


def pid_of(container: int) -> int:
    """Return the process id of a container's task; those of its execs follow it."""
    return 2000 + container * 16


def moment(nanos: int) -> Timestamp:
    """Return a time as containerd sends it."""
    return Timestamp(seconds=nanos // _SECOND, nanos=nanos % _SECOND)


def wrapped(time: Timestamp, topic: str, payload: Message) -> bytes:
    """Return an event as containerd sends it."""
    event = Any(type_url=payload.DESCRIPTOR.full_name, value=payload.SerializeToString())
    return Envelope(timestamp=time, namespace=NAMESPACE, topic=topic, event=event).SerializeToString()


def envelope(happening: Happening) -> bytes:
    """Return the event as containerd sends it."""
    container, number = happening.container, happening.number
    time = moment(START_NS + number * STEP_NS)
    execs = happening.step // len(_EXEC)
    exec_id = hashlib.sha256(b"exec %d of container %d" % (execs, container)).hexdigest()
    step = LIFE[happening.step]
    return wrapped(time, step.topic, step.payload(Moment(container_id(container), pid_of(container), exec_id, time)))


def record(container: str, *, spec: bytes = b"") -> Container:
    """Return what containerd has on a container; `spec` stands for the JSON of its runtime's specification."""
    return Container(
        id=container,
        image=IMAGE,
        labels={
            "com.example.service": "checkout",
            "com.example.team": "shop",
            "nerdctl/name": f"checkout-{container[:8]}",
        },
        runtime=Container.Runtime(name=RUNTIME),
        spec=Any(type_url=_SPEC, value=spec) if spec else None,
        snapshotter="overlayfs",
        snapshot_key=container,
        created_at=Timestamp(seconds=START_NS // _SECOND),
        updated_at=Timestamp(seconds=START_NS // _SECOND),
    )


def number_of(time_ns: int) -> int | None:
    """Return the number of the event with this time; None where no event of ours has it."""
    number, rest = divmod(time_ns - START_NS, STEP_NS)
    return None if rest or number < 0 else number


class Lives:
    """What was streamed, for whoever looks at what has arrived; see `benchmarks.streamed.Streamed`."""

    def __init__(self, containers: int) -> None:
        """Take whose lives were streamed."""
        self._events = list(happenings(containers))
        self._names = [container_id(container) for container in range(containers)]

    def __len__(self) -> int:
        return len(self._events)

    def number(self, _container: str, _word: str, event: Mapping[str, Anything]) -> int | None:
        """Return the number that stands in an event's time."""
        number = number_of(parse_rfc3339(event["time"]))
        return None if number is None or number >= len(self) else number

    def place(self, number: int) -> Place:
        """Return where the event of this number belongs."""
        happening = self._events[number]
        return Place(NAMESPACE, self._names[happening.container], happening.word, happening.step + 1)
