"""A containerd in memory: containers, their tasks, and the events that tell of them; no root, no processes, no images.

    containerd = MemoryContainerd()
    containerd.add("default", "web.1", image="docker.io/library/nginx:1", labels={"app": "web"})
    await containerd.runtime.tasks.create("default", "web.1")
    await containerd.runtime.tasks.start("default", "web.1")
    containerd.end("default", "web.1", 3)

The ways in that the bridge uses are `runtime`, `lookup`, `inventory` and `source()`, behind the ports of the same names. What the
world does to a containerd (a client makes a container, a process ends, the daemon goes down) are methods of this class;
call them from the event loop's thread. It follows containerd 2.1, codes and events and their order, as far as the contract
tests can see; two things are kinder here: the events of a call are there when it returns, and none is ever lost
while containerd is up (the real one loses the `/tasks/delete` of a shim that is quicker to exit than to publish).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from msgspec import structs

from bridge.errors import SourceLost
from bridge.model.codec import decode_as, encode_any
from bridge.model.confinement import EVERY_CAPABILITY
from bridge.model.envelope import Event
from bridge.model.events import (
    ContainerCreate,
    ContainerDelete,
    ContainerUpdate,
    Mount,
    RuntimeOptions,
    TaskCreate,
    TaskIO,
    TaskRestored,
)
from bridge.model.foreign_checkpoints import foreign_checkpoint
from bridge.model.identity import check_identifier
from bridge.model.naming import name_from_labels
from bridge.model.nanos import Nanos, now
from bridge.model.node_events import ImageCreate, ImageDelete, ImageUpdate
from bridge.model.outcomes import ContainerInfo
from bridge.ports import HostDevice, Observed, Privileges, RuntimeVersion, Stdio, UserIds
from bridge.testing.criu import MemoryCriu
from bridge.testing.exchange import MemoryExchange
from bridge.testing.images import GC_ROOT, MemoryImage, MemorySnapshot
from bridge.testing.inventory import MemoryInventory
from bridge.testing.lookup import MemoryLookup
from bridge.testing.program import RUNS, Program
from bridge.testing.runtime import MemoryRuntime
from bridge.testing.source import MemorySource
from bridge.testing.specs import plain_spec
from bridge.testing.task import MemoryTask, Refusal

__all__ = ["MemoryContainer", "MemoryContainerd"]

RUNC = "io.containerd.runc.v2"
RUNC_OPTIONS = "containerd.runc.v1.Options"


class MemoryContainer:
    """A container's record, what its program does, and its task where it has one."""

    def __init__(self, record: ContainerInfo, program: Program) -> None:
        self.record = record
        self.program = program
        self.task: MemoryTask | None = None


class MemoryContainerd:
    """One containerd with everything in it."""

    def __init__(self, *, version: str = "2.1.0", revision: str = "memory") -> None:
        self.about = RuntimeVersion(version, revision)
        self.containers: dict[tuple[str, str], MemoryContainer] = {}
        """By namespace and id."""
        self.snapshots: dict[tuple[str, str], MemorySnapshot] = {}
        """By namespace and key."""
        self.images: dict[tuple[str, str], MemoryImage] = {}
        """By namespace and name; see `put_image`."""
        self.registry: dict[str, MemoryImage] = {}
        """What can be pulled, by its whole name."""
        self.leases: dict[tuple[str, str], dict[str, str]] = {}
        """Labels by namespace and id."""
        self.content: dict[tuple[str, str], bytes] = {}
        """Blobs by namespace and digest, as far as they are anybody's bytes: those of checkpoints."""
        self.criu = MemoryCriu()
        """How its CRIU works, and where it fails."""
        self.exchange = MemoryExchange()
        self.up = True
        self.starts = 1
        self.runtime = MemoryRuntime(self)
        self.lookup = MemoryLookup(self)
        self.inventory = MemoryInventory(self)
        self.programs: dict[str, Program] = {}
        """What a process runs, by its first argument: of containers made through `runtime` else `RUNS`; execs run no others."""
        null = HostDevice(path="/dev/null", type="c", major=1, minor=3, mode=0o666, uid=0, gid=0)
        self.privileges = Privileges(EVERY_CAPABILITY, (null,))
        self.users: dict[str, UserIds] = {"root": UserIds(0, 0, (0,))}
        """Whom the containers know, by name."""
        self._pids = itertools.count(1001)

    def source(self, namespaces: Sequence[str] = (), *, probe_timeout_s: float = 5.0) -> MemorySource:
        """Return this containerd as a source of events, of some namespaces or of all.

        Raises:
            ValueError: one of `namespaces` is no identifier.
        """
        return MemorySource(self, namespaces, probe_timeout_s=probe_timeout_s)

    # -- what other clients of containerd do

    def add(
        self,
        namespace: str,
        container: str,
        program: Program = RUNS,
        *,
        image: str = "docker.io/library/busybox:latest",
        labels: Mapping[str, str] | None = None,
        spec: dict[str, Any] | None = None,
    ) -> None:
        """Make a container's record and snapshot; it has no task yet.

        Raises:
            ValueError: a name cannot be one, or there is one of this name.
        """
        check_identifier(namespace, "namespace")
        check_identifier(container, "container id")
        if (namespace, container) in self.containers:
            raise ValueError(f"there is a container {container!r} in {namespace!r} already: take another name")
        moment, labels = now(), dict(labels or {})
        record = ContainerInfo(
            namespace=namespace,
            id=container,
            image=image,
            name=name_from_labels(labels),
            labels=labels,
            runtime=RUNC,
            snapshotter="overlayfs",
            snapshot_key=container,
            created_at=moment,
            updated_at=moment,
            spec=spec or plain_spec(namespace, container),
        )
        self.containers[namespace, container] = MemoryContainer(record, program)
        self.snapshots[namespace, container] = MemorySnapshot()
        options = RuntimeOptions(type_url=RUNC_OPTIONS, value=b"")
        self.emit(
            ContainerCreate(id=container, image=image or None, runtime=RUNC, runtime_options=options),
            namespace=namespace,
            container=container,
        )

    async def run(self, namespace: str, container: str, program: Program = RUNS, **record: Any) -> int:
        """`add` a container, make its task and start it; return its pid. Takes what `add` takes."""
        self.add(namespace, container, program, **record)
        await self.runtime.tasks.create(namespace, container)
        return await self.runtime.tasks.start(namespace, container)

    def put_image(self, namespace: str, image: MemoryImage) -> None:
        """Make an image's record, from `bridge.testing.images.memory_image`; one of the same name is replaced."""
        key = (namespace, image.info.name)
        kind = ImageUpdate if key in self.images else ImageCreate
        self.images[key] = image
        event = kind(name=image.info.name, labels=image.info.labels)
        self.emit(event, namespace=namespace)
        if (checkpointed := foreign_checkpoint(event)) is not None:
            self.emit(checkpointed, namespace=namespace, container=checkpointed.container_id)

    def label(self, namespace: str, container: str, labels: Mapping[str, str]) -> None:
        """Add labels to a container; an empty value takes one away."""
        found = self._container(namespace, container)
        merged = {key: value for key, value in {**found.record.labels, **labels}.items() if value}
        name = name_from_labels(merged)
        found.record = structs.replace(found.record, labels=merged, name=name, updated_at=now())
        self.emit(
            ContainerUpdate(
                id=container,
                image=found.record.image or None,
                labels=merged,
                name=name,
                snapshot_key=found.record.snapshot_key,
            ),
            namespace=namespace,
            container=container,
        )

    def exec(self, namespace: str, container: str, exec_id: str, program: Program = RUNS) -> int:
        """Run another process in a running container; return its pid.

        Raises:
            ValueError: there is no such container, it does not run, or it has such an exec.
        """
        try:
            return self._task(namespace, container).exec(check_identifier(exec_id, "exec id"), program)
        except Refusal as refusal:
            raise ValueError(str(refusal)) from refusal

    # -- what happens by itself

    def end(self, namespace: str, container: str, status: int) -> None:
        """Let a container's process end by itself.

        Raises:
            ValueError: there is no such container, or it does not run.
        """
        self._running(namespace, container).end(status)

    def oom(self, namespace: str, container: str) -> None:
        """Let the kernel kill a container for want of memory.

        Raises:
            ValueError: there is no such container, or it does not run.
        """
        self._running(namespace, container).oom()

    def emit(
        self, event: Event, *, namespace: str | None, container: str | None = None, time: Nanos | None = None
    ) -> None:
        """Publish any event, as it comes out of a source: an image's, a raw one, one that contradicts the others."""
        if not self.up:
            return
        moment = now()
        self.exchange.publish(
            Observed(event=event, namespace=namespace, container=container, time=time or moment, recorded=moment)
        )

    @contextmanager
    def down(self, reason: str = "containerd is down") -> Iterator[None]:
        """Be down for the length of the block: streams end, calls fail, and what happens is not told.

        Containers live on, as they do under shims of their own, and may be told to `end`.
        """
        self.up = False
        self.exchange.end(reason)
        self.runtime.break_off(reason)
        try:
            yield
        finally:
            self.up = True
            self.starts += 1

    # -- for the ways in

    def demand_up(self) -> None:
        """Raise `SourceLost` while it is down."""
        if not self.up:
            raise SourceLost("containerd cannot be reached: it is down")

    def make_task(
        self, namespace: str, container: str, stdio: Stdio | None = None, *, checkpoint: str = ""
    ) -> MemoryTask:
        """Make a container's task; from a checkpoint it is one that has no process yet.

        Raises:
            Refusal: there is one, or the program cannot be run.
        """
        found = self.containers[namespace, container]
        if found.task is not None:
            raise Refusal("already_exists", f"task {container}: already exists")
        if found.program.broken is not None:
            raise Refusal("unknown", f"the runtime cannot create {container}: {found.program.broken}")

        def emit(event: Event) -> None:
            self.emit(event, namespace=namespace, container=container)

        given = stdio or Stdio()
        task = found.task = MemoryTask(
            container, found.program, self._pids, emit, found.record.spec or {}, stdio=stdio, restored=bool(checkpoint)
        )
        directory = f"/run/containerd/io.containerd.runtime.v2.task/{namespace}/{container}"
        upper = f"upperdir=/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/{container}/fs"
        kind = TaskRestored if checkpoint else TaskCreate
        emit(
            kind(
                container_id=container,
                bundle=directory,
                rootfs=[Mount(type="overlay", source="overlay", options=[upper])],
                io=TaskIO(stdin=given.stdin, stdout=given.stdout, stderr=given.stderr, terminal=given.terminal),
                checkpoint=checkpoint,
                pid=task.pid,
            )
        )
        return task

    def respec(
        self, found: MemoryContainer, spec: Mapping[str, Any], labels: Mapping[str, str], snapshot_key: str | None
    ) -> None:
        """Give a container's record another spec, which is JSON like any other, more labels, and another snapshot."""
        found.record = structs.replace(
            found.record,
            spec=decode_as(encode_any(spec), dict[str, Any]),
            labels={key: value for key, value in {**found.record.labels, **labels}.items() if value},
            snapshot_key=snapshot_key or found.record.snapshot_key,
            updated_at=now(),
        )
        self.emit(
            ContainerUpdate(
                id=found.record.id,
                image=found.record.image or None,
                labels=found.record.labels or None,
                snapshot_key=found.record.snapshot_key,
            ),
            namespace=found.record.namespace,
            container=found.record.id,
        )

    def remove(self, namespace: str, container: str) -> None:
        """Remove a container's record."""
        del self.containers[namespace, container]
        self.emit(ContainerDelete(id=container), namespace=namespace, container=container)

    def remove_image(self, namespace: str, name: str) -> None:
        """Remove an image's record."""
        del self.images[namespace, name]
        self.emit(ImageDelete(name=name), namespace=namespace)

    def make_record(self, record: ContainerInfo) -> None:
        """Make a container's record, whose snapshot is there already; what it runs, `programs` says by its first argument."""
        arguments = ((record.spec or {}).get("process") or {}).get("args") or [""]
        program = self.programs.get(arguments[0], RUNS)
        self.containers[record.namespace, record.id] = MemoryContainer(record, program)
        self.emit(
            ContainerCreate(id=record.id, image=record.image or None, runtime=record.runtime, runtime_options=None),
            namespace=record.namespace,
            container=record.id,
        )

    def collect_garbage(self, namespace: str) -> None:
        """Remove the snapshots and blobs of a namespace that no record and no image refers to, unless there is a lease."""
        if any(where == namespace for where, _ in self.leases):
            return
        used = {one.record.snapshot_key for (where, _), one in self.containers.items() if where == namespace}
        for (where, key), snapshot in list(self.snapshots.items()):
            if where == namespace and key not in used and GC_ROOT not in snapshot.labels:
                del self.snapshots[where, key]
        held = {digest for (where, _), one in self.images.items() if where == namespace for digest in one.holds}
        for where, digest in list(self.content):
            if where == namespace and digest not in held:
                del self.content[where, digest]

    # -- inside

    def _container(self, namespace: str, container: str) -> MemoryContainer:
        found = self.containers.get((namespace, container))
        if found is None:
            raise ValueError(f"there is no container {container!r} in {namespace!r}: add it first")
        return found

    def _task(self, namespace: str, container: str) -> MemoryTask:
        task = self._container(namespace, container).task
        if task is None:
            raise ValueError(f"container {container!r} in {namespace!r} has no task: create one first")
        return task

    def _running(self, namespace: str, container: str) -> MemoryTask:
        task = self._task(namespace, container)
        if task.info.status == "stopped":
            raise ValueError(f"container {container!r} in {namespace!r} has ended already: start it again first")
        return task
