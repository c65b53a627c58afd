"""What the prepared containerd answers to those who ask what there is: records of containers, their tasks, the namespace.

Records of running containers carry a specification of the size that real ones have, because that is most of what a list of
them weighs. No other filter than `id==...` is understood.
"""

from __future__ import annotations

import re
from typing import Final

from google.protobuf.message import Message

from benchmarks import lifecycles
from benchmarks.checkups import CHECK, Step
from benchmarks.http2 import NOT_FOUND, Call, Handler
from bridge._pb.containerd import task_pb2
from bridge._pb.containerd.runc_pb2 import ProcessDetails
from bridge._pb.containerd.services.containers_pb2 import (
    Container,
    Containers,
    GetContainerRequest,
    GetContainerResponse,
    ListContainerMessage,
    ListContainersRequest,
    ListContainersResponse,
)
from bridge._pb.containerd.services.namespaces_pb2 import ListNamespacesResponse, Namespace, Namespaces
from bridge._pb.containerd.services.tasks_pb2 import (
    GetRequest,
    GetResponse,
    ListPidsRequest,
    ListPidsResponse,
    ListTasksResponse,
    Tasks,
)
from bridge._pb.google.protobuf.any_pb2 import Any

__all__ = ["Inventory", "answer"]

SPEC: Final = b'{"ociVersion":"1.2.0","process":{"env":[' + b",".join([b'"NAME=value of a variable"'] * 360) + b"]}}"
"""Ten kilobytes, as Docker and Kubernetes write them."""

_ID_FILTER = re.compile(r'id==("?)([A-Za-z0-9._-]+)\1')


class Inventory:
    """The containers that there are."""

    def __init__(self, *, lives: int, running: int) -> None:
        """Take how many containers live, of which records are there and no list tells, and how many run."""
        self._records = {
            name: lifecycles.record(name) for name in (lifecycles.container_id(number) for number in range(lives))
        }
        self._running: list[str] = []
        self._numbers: dict[str, int] = {}
        self._execs: dict[int, set[str]] = {}
        self.running = running
        self.asked = 0
        """How often somebody asked for the tasks."""
        self.handlers: dict[str, Handler] = {
            Containers.Get.path: self._get,
            Containers.List.path: self._list,
            Containers.ListStream.path: self._list_stream,
            Tasks.List.path: self._tasks,
            Tasks.Get.path: self._task,
            Tasks.ListPids.path: self._pids,
            Namespaces.List.path: self._namespaces,
        }

    @property
    def running(self) -> int:
        """How many containers run; it only grows."""
        return len(self._running)

    @running.setter
    def running(self, number: int) -> None:
        for each in range(len(self._running), number):
            name = lifecycles.container_id(each)
            self._running.append(name)
            self._numbers[name] = each

    def checked(self, step: Step) -> None:
        """Take what happens to an exec: it is there from its being added until it ends."""
        execs = self._execs.setdefault(step.container, set())
        if CHECK[step.step] == "exec-exit":
            execs.discard(step.exec_id)
        else:
            execs.add(step.exec_id)

    # -- calls

    def _get(self, call: Call, body: bytes) -> None:
        container = GetContainerRequest.FromString(body).id
        found = self._record(container) if call.namespace == lifecycles.NAMESPACE else None
        if found is None:
            call.finish(NOT_FOUND, f'container "{container}" in namespace "{call.namespace}": not found')
        else:
            answer(call, GetContainerResponse(container=found))

    def _list(self, call: Call, body: bytes) -> None:
        answer(call, ListContainersResponse(containers=self._chosen(body, call)))

    def _list_stream(self, call: Call, body: bytes) -> None:
        chosen = self._chosen(body, call)
        call.send(*(ListContainerMessage(container=container).SerializeToString() for container in chosen))
        call.finish()

    def _tasks(self, call: Call, _: bytes) -> None:
        self.asked += 1
        names = self._running if call.namespace == lifecycles.NAMESPACE else []
        answer(call, ListTasksResponse(tasks=[_process(name, number) for number, name in enumerate(names)]))

    def _task(self, call: Call, body: bytes) -> None:
        name = GetRequest.FromString(body).container_id
        number = self._number(name, call)
        if number is not None:
            answer(call, GetResponse(process=_process(name, number)))

    def _pids(self, call: Call, body: bytes) -> None:
        number = self._number(ListPidsRequest.FromString(body).container_id, call)
        if number is not None:
            init = task_pb2.ProcessInfo(pid=lifecycles.pid_of(number))
            execs = [_exec(number, exec_id) for exec_id in self._execs.get(number, ())]
            answer(call, ListPidsResponse(processes=[init, *execs]))

    def _namespaces(self, call: Call, _: bytes) -> None:
        answer(call, ListNamespacesResponse(namespaces=[Namespace(name=lifecycles.NAMESPACE)]))

    # -- inside

    def _chosen(self, body: bytes, call: Call) -> list[Container]:
        """Return the containers that the filters of a ListContainersRequest name, or all that run."""
        if call.namespace != lifecycles.NAMESPACE:
            return []
        filters = ListContainersRequest.FromString(body).filters
        names = [match[2] for match in map(_ID_FILTER.fullmatch, filters) if match] if filters else self._running
        return [record for record in map(self._record, names) if record is not None]

    def _number(self, name: str, call: Call) -> int | None:
        """Return a running container's number, or tell the caller that there is none."""
        number = self._numbers.get(name) if call.namespace == lifecycles.NAMESPACE else None
        if number is None:
            call.finish(NOT_FOUND, f'task of container "{name}" in namespace "{call.namespace}": not found')
        return number

    def _record(self, name: str) -> Container | None:
        return lifecycles.record(name, spec=SPEC) if name in self._numbers else self._records.get(name)


def _process(name: str, number: int) -> task_pb2.Process:
    return task_pb2.Process(id=name, pid=lifecycles.pid_of(number), status=task_pb2.RUNNING)


def _exec(number: int, exec_id: str) -> task_pb2.ProcessInfo:
    details = ProcessDetails(exec_id=exec_id)
    info = Any(type_url=ProcessDetails.DESCRIPTOR.full_name, value=details.SerializeToString())
    return task_pb2.ProcessInfo(pid=lifecycles.pid_of(number) + 1, info=info)


def answer(call: Call, response: Message) -> None:
    """Answer a call with its one message."""
    call.send(response.SerializeToString())
    call.finish()
