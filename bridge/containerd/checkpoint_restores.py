"""Making a task from a dump, with CRIU, out of a directory that containerd's host sees under the same path.

The directory is named by runc's options, which go before a checkpoint in the content store: nothing is unpacked into a temporary
directory that containerd would forget. Options of a request replace those of the container's record as a whole, so all of the
record's are sent along.

`Tasks.Create` only makes the bundle: there is a task without a process, pid 0. CRIU runs in `Tasks.Start`, and that is also when
the shim opens the FIFOs. Where the first process had a pipe for its output, the new one gets the new pipe; where it had
/dev/null it keeps that, whatever is given now. A terminal goes to a terminal. A call without an answer may go on behind
containerd's back, so a task that is not to be is removed only when nobody works on it any more.

CRIU makes the container's network namespace anew where its spec names none by path, and runc leaves its loopback interface down,
which it brings up in every other container; so that is done here (`Networks`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import msgspec
from google.protobuf.message import DecodeError

from bridge._pb.containerd import runc_pb2
from bridge._pb.containerd.services import containers_pb2, tasks_pb2
from bridge._pb.google.protobuf.any_pb2 import Any as Packed
from bridge.containerd.channel import in_namespace
from bridge.containerd.checkpoint_dumps import WORK, criu_failed, make_private, read_log
from bridge.containerd.checkpoint_networks import Network, Networks
from bridge.containerd.container_records import ContainerRecords
from bridge.containerd.deadlines import CRIU_S, MOUNT_S
from bridge.containerd.errors import command_errors
from bridge.containerd.tasks import Tasks
from bridge.containerd.to_the_end import AWAY_S, PAUSE_S, is_open, to_the_end
from bridge.containerd.visits import Unseen, Visits
from bridge.errors import CommandFailed
from bridge.ports import Stdio

__all__ = ["Restores"]

SIGKILL: Final = 9
RUNC_ROOT: Final = "/run/containerd/runc"
"""Where runc's shim has it keep what it knows of containers, by namespace, unless the options say otherwise."""

DISCARD: Final = "file:///dev/null"
"""Where the shim takes what comes out of a pipe that nobody wants."""

LARGEST: Final = 64 * 1024


class Restores:
    """Restores tasks of one containerd."""

    def __init__(
        self,
        channel: Any,
        *,
        records: ContainerRecords,
        tasks: Tasks,
        networks: Networks,
        visits: Visits,
        until_over: Callable[[Path], Awaitable[object]],
    ) -> None:
        self._stub = tasks_pb2.TasksStub(channel)
        self._records = records
        self._tasks = tasks
        self._networks = networks
        self._visits = visits
        self._until_over = until_over

    async def restore(
        self,
        namespace: str,
        container: str,
        directory: Path,
        *,
        stdio: Stdio | None = None,
        start: Callable[[], Awaitable[int]] | None = None,
        before: Callable[[], Awaitable[None]] | None = None,
    ) -> int:
        """Make a task from a dump and start it; see the port."""
        record = await self._records.one(namespace, container)
        work = directory.parent / WORK
        try:
            await asyncio.to_thread(work.mkdir, mode=0o700, exist_ok=True)
            await asyncio.to_thread(
                (work / "restore.log").unlink, missing_ok=True
            )  # of an earlier one: it would be told
        except OSError as error:
            raise CommandFailed(
                "failed_precondition", f"cannot restore {container} in {namespace} from {directory}: {error.strerror}"
            ) from error
        if await self._tasks.get(namespace, container) is not None:
            raise CommandFailed("already_exists", f"container {container} in {namespace} has a task: delete that first")
        request = await self._tasks.request(namespace, record, stdio)
        if await asyncio.to_thread(_wants_pipes, request, directory):
            request.stdout = request.stderr = DISCARD
        request.options.CopyFrom(_options(record, directory, work))
        network = await self._networks.look(namespace, record)
        starts = start or self._starts(namespace, container)

        async def begin() -> int:
            if before is not None:
                await before()
            return await starts()

        restoring = self._restore(request, directory, network, begin)
        try:
            return await to_the_end(restoring)
        except asyncio.CancelledError:
            await self._take_away(namespace, request, directory)
            raise

    def _starts(self, namespace: str, container: str) -> Callable[[], Awaitable[int]]:
        async def start() -> int:
            request = tasks_pb2.StartRequest(container_id=container)
            with command_errors(f"restore {container} in {namespace}"):
                answer = await self._stub.Start(request, timeout=CRIU_S, metadata=in_namespace(namespace))
            pid: int = answer.pid
            return pid

        return start

    async def _restore(
        self,
        request: tasks_pb2.CreateTaskRequest,
        directory: Path,
        network: Network,
        start: Callable[[], Awaitable[int]],
    ) -> int:
        namespace, container, work = network.namespace, network.container, directory.parent / WORK
        doing = f"restore {container} in {namespace}"
        made = started = False
        try:
            with command_errors(doing):
                await self._stub.Create(request, timeout=MOUNT_S, metadata=in_namespace(namespace))
            made = True
            pid = await start()
            if not pid:
                raise CommandFailed("failed_precondition", f"cannot {doing}: the runtime gave it no process")
            started = True
        except CommandFailed as error:
            made = made or is_open(error)
            raise criu_failed(doing, error, await asyncio.to_thread(read_log, work / "restore.log")) from error
        finally:
            if made and not started:
                await self._take_away(namespace, request, directory)
                await self._networks.put_back(network, 0)
            await asyncio.to_thread(make_private, work)
        await self._networks.open_up(network, pid)
        return pid

    async def _take_away(self, namespace: str, request: tasks_pb2.CreateTaskRequest, directory: Path) -> None:
        """Remove a task that is not to be, once nobody is at work on it any more.

        A runc that went on while containerd was killed has restored a task of which containerd's new shim knows no process: it is
        `created` for ever, runs, and can neither be killed nor deleted that way. So runc is told to do both.

        A runc that was killed, as containerd's end does it, leaves word of a container that is none, which would be in the way of
        every other task of this id; and the container's root mounted there. That goes first, because `runc delete` removes
        everything below. (containerd, when it starts again, has most often done so already: what the container wrote is gone.)

        Raises:
            CommandFailed: `unavailable`: it cannot be removed, and may run.
        """
        container, loop = request.container_id, asyncio.get_running_loop()
        until = loop.time() + AWAY_S
        await self._until_over(directory)
        options = runc_pb2.Options.FromString(request.options.value)
        root = f"{options.root or RUNC_ROOT}/{namespace}"
        remove = ("run", options.binary_name or "runc", "--root", root, "delete", "--force", container)
        while True:
            task = None
            try:
                task = await self._tasks.get(namespace, container)
                await self._on_host("run", "umount", "-l", f"{root}/{container}/criu-root")
                if task is None:
                    break
                if task.pid and task.status != "stopped":
                    await self._tasks.kill(namespace, container, SIGKILL, all_processes=True)
                    await self._tasks.wait(namespace, container)
                await self._tasks.delete(namespace, container)
            except CommandFailed as error:
                if loop.time() > until:
                    raise CommandFailed(
                        "unavailable",
                        f"what is left of a restore of {container} in {namespace} cannot be removed, and may run: {error}; "
                        "look at its task",
                    ) from error
                if task is not None and not task.pid:
                    await self._on_host(*remove)
                await asyncio.sleep(PAUSE_S)
        await self._on_host(*remove)

    async def _on_host(self, *step: str) -> None:
        with contextlib.suppress(Unseen):  # then it stays, and most often there is nothing
            await self._visits.do(step)


def _wants_pipes(request: tasks_pb2.CreateTaskRequest, directory: Path) -> bool:
    """Tell whether a task that is to have no output had a pipe for it.

    CRIU would give it the shim's /dev/null then, which lies outside of the container: it could not be dumped a second time.
    """
    if request.terminal or request.stdout or request.stderr:
        return False
    try:
        with (directory / "descriptors.json").open("rb") as file:
            had = msgspec.json.decode(file.read(LARGEST), type=list[str])
    except (OSError, msgspec.DecodeError):
        return False  # runc will say what is wrong
    return any(one.startswith("pipe:") for one in had[1:3])


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
