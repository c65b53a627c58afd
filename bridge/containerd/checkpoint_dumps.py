"""Dumping a task with CRIU, into a directory that containerd's host sees under the same path.

containerd's `Tasks.Checkpoint` neither pauses nor resumes: CRIU freezes the task itself for as long as it reads, and with a task
that is paused already does the same. What this adds: the log of a failure in its error, the task as it was found, files that only
root reads, and no end half-way. Nothing stops CRIU once it has begun (it goes on when its client is gone), so a cancelled dump
is waited for.

A CRIU that fails puts everything back. One that is killed (the kernel does it for want of memory) leaves a task that is frozen
while containerd says that it runs, or runs while that says that it is paused, and is resumed by nobody either way; and rules in
its network that let nothing pass. All of that is undone here, where containerd's host can be reached.

And one that has met a process in the middle of a `vfork` gives up after ten seconds; a moment later that is over. So a task that
runs is dumped again. A paused one does not come out of it: that is for whoever paused it.

Two things that CRIU does not say. Processes that `Tasks.Exec` started are no children of the container's first one: they are not
dumped, without a word, and are not there after a restore. And a system call that sleeps comes back early (`nanosleep` with
EINTR) in whatever is dumped, whether that goes well or not: a program that takes this for the end of its sleep goes on.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import shutil
import stat
from pathlib import Path
from typing import Any, Final, Literal

from bridge._pb.containerd.services import tasks_pb2
from bridge._pb.google.protobuf.any_pb2 import Any as Packed
from bridge.containerd.channel import in_namespace
from bridge.containerd.checkpoint_log import log_end, unstoppable, verdict
from bridge.containerd.checkpoint_networks import Network, Networks
from bridge.containerd.checkpoint_options import wire_options
from bridge.containerd.container_records import ContainerRecords
from bridge.containerd.deadlines import CRIU_S, UNPACK_S
from bridge.containerd.errors import command_errors
from bridge.containerd.host import listener
from bridge.containerd.tasks import Tasks
from bridge.containerd.to_the_end import is_open, patiently, to_the_end
from bridge.errors import BadMoment, CommandFailed
from bridge.model.checkpoints import CheckpointOptions
from bridge.model.outcomes import TaskInfo
from bridge.ports.checkpoints import TRIES

__all__ = ["Dumps", "WORK", "criu_failed", "make_private", "read_log"]

log = logging.getLogger(__name__)

WORK: Final = "work"
"""Where CRIU's logs and statistics are, beside the directory of its images."""

_INVENTORY: Final = "inventory.img"
"""The file that every dump has."""

_NO_ROOM: Final = os.strerror(errno.ENOSPC)

POLL_S: Final = 0.1

_LARGEST_LOG: Final = 4 << 20


class Dumps:
    """The dumps of one containerd's tasks."""

    def __init__(
        self, channel: Any, address: Path, *, records: ContainerRecords, tasks: Tasks, networks: Networks
    ) -> None:
        self._stub = tasks_pb2.TasksStub(channel)
        self._address = address
        self._records = records
        self._tasks = tasks
        self._networks = networks

    async def dump(
        self, namespace: str, container: str, directory: Path, options: CheckpointOptions, *, ends: bool, lease: str
    ) -> None:
        """Dump a task, running or paused; see the port."""
        work = directory.parent / WORK
        before = await self._tasks.get(namespace, container)
        wire = wire_options(options, ends=ends)
        wire.image_path, wire.work_path = str(directory), str(work)
        request = tasks_pb2.CheckpointTaskRequest(
            container_id=container, options=Packed(type_url=wire.DESCRIPTOR.full_name, value=wire.SerializeToString())
        )
        network = await self._networks.look(namespace, await self._records.one(namespace, container))
        metadata = in_namespace(namespace, lease)
        for left in reversed(range(TRIES if before is not None and before.status == "running" else 1)):
            await asyncio.to_thread(_prepare, directory, work)
            try:
                await to_the_end(self._dump(request, directory, network, before, metadata))
                break
            except BadMoment as error:
                await asyncio.to_thread(_emptied, directory)
                if not left:
                    raise
                log.info("it is dumped again: %s", error)
        if ends:
            await patiently(lambda: self._tasks.wait(namespace, container))

    async def until_over(self, directory: Path) -> Literal["finished", "failed", "unknown"]:
        """Wait until nobody works on a directory, and tell how the dump ended; see the port."""
        try:
            async with asyncio.timeout(UNPACK_S):
                while await asyncio.to_thread(_under_way, self._address, directory):  # noqa: ASYNC110 - it is no child of ours
                    await asyncio.sleep(POLL_S)
        except TimeoutError as error:
            raise CommandFailed(
                "deadline_exceeded", f"CRIU has been at work on {directory} for {UNPACK_S:g} s: end it on the host"
            ) from error
        return verdict(await asyncio.to_thread(read_log, directory.parent / WORK / "dump.log"))

    async def _dump(
        self,
        request: tasks_pb2.CheckpointTaskRequest,
        directory: Path,
        network: Network,
        before: TaskInfo | None,
        metadata: Any,
    ) -> None:
        doing = f"checkpoint {network.container} in {network.namespace}"
        try:
            with command_errors(doing):
                await self._stub.Checkpoint(request, timeout=CRIU_S, metadata=metadata)
        except CommandFailed as error:
            # Without an answer the shim may still be at it.
            ended = await self.until_over(directory)
            if not (is_open(error) and ended == "finished"):
                said = await asyncio.to_thread(read_log, directory.parent / WORK / "dump.log")
                if said or not is_open(error):
                    await self._put_back(network, before)
                full = not is_open(error) and await asyncio.to_thread(_is_full, directory, said)
                raise criu_failed(doing, error, said, gave_up=ended == "failed", full=full) from error
        finally:
            await asyncio.to_thread(make_private, directory.parent)
        if not await asyncio.to_thread((directory / _INVENTORY).is_file):
            raise CommandFailed(
                "failed_precondition",
                f"cannot {doing}: the dump is not in {directory} as it is seen from here: set checkpoint_dir to a directory that "
                "is the same one for containerd's host and for the bridge",
            )

    async def _put_back(self, network: Network, before: TaskInfo | None) -> None:
        """Undo what CRIU may have left of a dump that failed. Whatever happens here, its own error is the one to tell."""
        namespace, container = network.namespace, network.container
        if before is None or before.status not in {"running", "paused"}:
            return
        try:
            task = await patiently(lambda: self._tasks.get(namespace, container))
            if task is None or not task.pid:
                return
            if before.status == "running" and task.status in {"paused", "pausing"}:
                await self._tasks.resume(namespace, container)
            step = "thaw" if before.status == "running" else "freeze" if task.status == "paused" else None
            await self._networks.put_back(network, task.pid, *([(step, task.pid)] if step else []))
        except CommandFailed as error:
            log.warning("what CRIU may have left of %s in %s cannot be looked at: %s", container, namespace, error)


def criu_failed(
    doing: str, error: CommandFailed, log: str, *, gave_up: bool = False, full: bool = False
) -> CommandFailed:
    """Return the error of a dump or restore that failed, with what CRIU says of it; as it is where CRIU had no part in it.

    Without an answer nothing is known, unless CRIU's log says that it `gave_up`, as it does when containerd dies. `BadMoment`
    where it may go well a moment later; `exhausted` where a dump had no room (`full`).
    """
    said = log_end(log)
    if is_open(error):
        return CommandFailed("unavailable", f"{error.message}; CRIU gave up: {said}") if gave_up else error
    if error.code != "unknown" or error.containerd is None:
        return error
    if unstoppable(log):
        why = "a process of it could not be stopped, as while it starts another one: let it run on for a moment, and try again"
        return BadMoment(
            "failed_precondition", f"cannot {doing}: {why}; CRIU says: {said}", containerd=error.containerd
        )
    why = f"CRIU says: {said}" if said else error.containerd
    if full:
        why = f"there is no room left in checkpoint_dir: make room, or let it be where there is more; {why}"
        return CommandFailed("exhausted", f"cannot {doing}: {why}", containerd=error.containerd)
    return CommandFailed("failed_precondition", f"cannot {doing}: {why}", containerd=error.containerd)


def make_private(directory: Path) -> None:
    """Take from everybody but the owner what they may do with the files below a directory: they hold memory."""
    for path, directories, files in os.walk(directory):
        for name in (*directories, *files):
            each = os.path.join(path, name)
            if not os.path.islink(each):
                os.chmod(each, 0o700 if name in directories else 0o600)


def _under_way(address: Path, directory: Path) -> bool:
    """Tell whether somebody works on a directory: runc has its name on the command line, and CRIU has it open."""
    wanted = os.fsencode(directory)
    for process in _processes(address):
        if not process.name.isdigit():
            continue
        try:
            if wanted in (process / "cmdline").read_bytes().split(b"\0"):
                return True
            # CRIU writes what it is about over its command line.
            if (process / "comm").read_bytes().strip() == b"criu" and wanted in _open_in(process):
                return True
        except OSError:
            continue  # it has just ended
    return False


def _processes(address: Path) -> list[Path]:
    """Return the directories of the processes of containerd's host; of our own where that is out of sight, or just gone."""
    try:
        return list(Path(f"/proc/{listener(address) or 'self'}/root/proc").iterdir())
    except OSError:
        return list(Path("/proc").iterdir())


def _open_in(process: Path) -> set[bytes]:
    return {os.fsencode(os.readlink(each)) for each in (process / "fd").iterdir()}


def _prepare(directory: Path, work: Path) -> None:
    try:
        if not stat.S_ISDIR(directory.lstat().st_mode) or os.listdir(directory):
            raise CommandFailed("failed_precondition", f"{directory} is not an empty directory: give one")
        work.mkdir(mode=0o700, exist_ok=True)
        (work / "dump.log").unlink(missing_ok=True)  # of an earlier try: it would be told
    except OSError as error:
        raise CommandFailed("failed_precondition", f"cannot dump into {directory}: {error.strerror}") from error


def _is_full(directory: Path, said: str) -> bool:
    """Tell whether a dump had no room; nothing of it was taken away yet."""
    try:
        found = os.statvfs(directory)
    except OSError:
        return False
    return _NO_ROOM in said or not found.f_bavail


def _emptied(directory: Path) -> None:
    """Take away what a try has left that is to be tried again."""
    for each in directory.iterdir():
        shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()


def read_log(path: Path) -> str:
    """Return the end of a log of CRIU's, empty where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LARGEST_LOG))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""
