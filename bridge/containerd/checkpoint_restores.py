"""Making a task from a dump, with CRIU, out of a directory that containerd's host sees under the same path.

The directory is named by runc's options, which go before a checkpoint in the content store: nothing is unpacked into a temporary
directory that containerd would forget. Options of a request replace those of the container's record as a whole, so all of the
record's are sent along.

`Tasks.Create` only makes the bundle: there is a task without a process, pid 0. CRIU runs in `Tasks.Start`, and that is also when
the shim opens the FIFOs. Where the first process had a pipe for its output, the new one gets the new pipe; where it had
/dev/null it keeps that, whatever is given now. A terminal goes to a terminal.

CRIU makes the container's network namespace anew where its spec names none by path, and runc leaves its loopback interface down,
which it brings up in every other container; so that is done here. And a network that was locked by a dump which ended its task
stays so until the restore, which locks it once more and unlocks it once: what is left of its rules is taken away here, too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

from google.protobuf.message import DecodeError

from bridge._pb.containerd import runc_pb2
from bridge._pb.containerd.services import containers_pb2, tasks_pb2
from bridge._pb.google.protobuf.any_pb2 import Any as Packed
from bridge.containerd.channel import in_namespace
from bridge.containerd.checkpoint_dumps import WORK, criu_failed, make_private, read_log
from bridge.containerd.container_records import ContainerRecords
from bridge.containerd.deadlines import CRIU_S, MOUNT_S
from bridge.containerd.errors import command_errors
from bridge.containerd.records import spec_of
from bridge.containerd.tasks import Tasks
from bridge.containerd.to_the_end import to_the_end
from bridge.containerd.visits import Unseen, Visits
from bridge.errors import CommandFailed
from bridge.ports import Stdio

__all__ = ["Restores"]

log = logging.getLogger(__name__)

SIGKILL: Final = 9


class Restores:
    """Restores tasks of one containerd."""

    def __init__(self, channel: Any, records: ContainerRecords, tasks: Tasks, visits: Visits) -> None:
        self._stub = tasks_pb2.TasksStub(channel)
        self._records = records
        self._tasks = tasks
        self._visits = visits

    async def restore(
        self,
        namespace: str,
        container: str,
        directory: Path,
        *,
        stdio: Stdio | None = None,
        start: Callable[[], Awaitable[int]] | None = None,
    ) -> int:
        """Make a task from a dump and start it; see the port."""
        record = await self._records.one(namespace, container)
        work = directory.parent / WORK
        await asyncio.to_thread(work.mkdir, mode=0o700, exist_ok=True)
        request = await self._tasks.request(namespace, record, stdio)
        request.options.CopyFrom(_options(record, directory, work))
        return await to_the_end(self._restore(namespace, container, request, work, _network(record), start))

    async def _restore(
        self,
        namespace: str,
        container: str,
        request: tasks_pb2.CreateTaskRequest,
        work: Path,
        network: str | None,
        start: Callable[[], Awaitable[int]] | None,
    ) -> int:
        of, doing = in_namespace(namespace), f"restore {container} in {namespace}"
        with command_errors(doing):
            await self._stub.Create(request, timeout=MOUNT_S, metadata=of)
        try:
            with command_errors(doing):
                if start is not None:
                    pid = await start()
                else:
                    request_ = tasks_pb2.StartRequest(container_id=container)
                    pid = (await self._stub.Start(request_, timeout=CRIU_S, metadata=of)).pid
            if not pid:
                raise CommandFailed("failed_precondition", f"cannot {doing}: the runtime gave it no process")
        except CommandFailed as error:
            told = criu_failed(doing, error, await asyncio.to_thread(read_log, work / "restore.log"))
            await self._take_away(namespace, container)
            if network:
                await self._open_up(namespace, container, network, [("unlock",)])
            raise told from error
        finally:
            await asyncio.to_thread(make_private, work)
        if network is not None:
            own = [] if network else [("loopback",)]
            await self._open_up(namespace, container, network or f"/proc/{pid}/ns/net", [*own, ("unlock",)])
        return pid

    async def _open_up(self, namespace: str, container: str, network: str, steps: Sequence[Sequence[Any]]) -> None:
        """Let the network of a container be used: what CRIU leaves of a restore, it does not itself put in order."""
        try:
            await self._visits.do(*steps, net=network)
        except Unseen as why:
            log.warning("the network of %s in %s stays as CRIU left it: %s", container, namespace, why)

    async def _take_away(self, namespace: str, container: str) -> None:
        """Remove what is left of a task that could not be restored. Whatever happens here, the first error is the one to tell."""
        try:
            task = await self._tasks.get(namespace, container)
            if task is not None and task.pid:
                await self._tasks.kill(namespace, container, SIGKILL, all_processes=True)
                await self._tasks.wait(namespace, container)
            await self._tasks.delete(namespace, container)
        except CommandFailed as error:
            log.warning("what is left of a restore of %s in %s stays: %s", container, namespace, error)


def _network(record: containers_pb2.Container) -> str | None:
    """Return the network namespace that a container's spec names by path; empty for a new one of its own, None for the host's."""
    spec = spec_of(record) or {}
    for one in (spec.get("linux") or {}).get("namespaces") or []:
        if one.get("type") == "network":
            return str(one.get("path") or "")
    return None


def _options(record: containers_pb2.Container, directory: Path, work: Path) -> Packed:
    """Return runc's options of the record, and where the dump is."""
    there = record.runtime.options
    kind = runc_pb2.Options.DESCRIPTOR.full_name
    if there.type_url.rpartition("/")[2] not in {"", kind}:
        raise CommandFailed(
            "unimplemented",
            f"container {record.id} has options of {there.type_url}, and only runc's tell where a dump is: it cannot be restored",
        )
    try:
        options = runc_pb2.Options.FromString(there.value)
    except DecodeError as error:
        raise CommandFailed(
            "failed_precondition", f"the runtime options of container {record.id} cannot be read: make it anew"
        ) from error
    options.criu_image_path, options.criu_work_path = str(directory), str(work)
    return Packed(type_url=kind, value=options.SerializeToString())
