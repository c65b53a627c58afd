"""A task in memory: containerd's states, what each of them allows, and the events that tell of it.

    created --start--> running --pause--> paused
       |                 |  ^---resume------|
       |  SIGKILL, ...   |  its end         |  SIGKILL
       +--------------> stopped <-----------+

Codes and events are those of containerd 2.1 with runc; the contract tests hold both to the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from signal import SIGKILL
from typing import Any, Literal

from msgspec import structs

from bridge.errors import Code
from bridge.model.envelope import Event
from bridge.model.events import (
    TaskDelete,
    TaskExecAdded,
    TaskExecExit,
    TaskExecStarted,
    TaskExit,
    TaskOOM,
    TaskPaused,
    TaskResumed,
    TaskStart,
)
from bridge.model.nanos import Nanos, now
from bridge.model.outcomes import ExitInfo, ProcessInfo, TaskInfo, TaskStats
from bridge.ports import Stdio
from bridge.testing.program import KILLED, Program
from bridge.testing.shim import MemoryShim
from bridge.testing.stats import task_stats

__all__ = ["MemoryProcess", "MemoryTask", "Refusal"]

LAST_SIGNAL = 64


class Refusal(Exception):
    """What containerd would answer with: a code of ours, and its words."""

    def __init__(self, code: Code, words: str) -> None:
        super().__init__(words)
        self.code: Code = code


class MemoryProcess:
    """One process. Signals that come while it is frozen wait."""

    def __init__(self, pid: int, program: Program, stdio: Stdio | None = None) -> None:
        self.pid = pid
        self.program = program
        self.status: Literal["created", "running", "paused", "stopped"] = "created"
        self.exit: ExitInfo | None = None
        self.waiting: list[int] = []
        self.stdio = stdio
        self.shim = MemoryShim(stdio, program) if stdio is not None and stdio.stdout else None
        self.size: tuple[int, int] | None = None
        """Width and height of its terminal, once it was given one."""
        self._ended = asyncio.Event()

    @property
    def info(self) -> TaskInfo:
        """The process as `Tasks.Get` tells it."""
        end, stdio = self.exit or ExitInfo(), self.stdio or Stdio()
        return TaskInfo(
            status=self.status,
            pid=self.pid,
            exit_status=end.exit_status,
            exited_at=end.exited_at,
            stdin=stdio.stdin,
            stdout=stdio.stdout,
            stderr=stdio.stderr,
            terminal=stdio.terminal,
        )

    def end(self, ended: ExitInfo) -> None:
        """Note its end."""
        self.status, self.exit = "stopped", ended
        if self.shim is not None:
            self.shim.end()
        self._ended.set()

    async def wait(self) -> ExitInfo:
        """Wait for its end."""
        await self._ended.wait()
        assert self.exit is not None
        return self.exit


class MemoryTask:
    """One task, from its creation to its deletion."""

    def __init__(
        self,
        container: str,
        program: Program,
        pids: Iterator[int],
        emit: Callable[[Event], None],
        spec: Mapping[str, Any] | None = None,
        *,
        stdio: Stdio | None = None,
        restored: bool = False,
    ) -> None:
        """Take what it runs.

        Args:
            container: the container's id.
            program: what its first process does.
            pids: where process ids come from.
            emit: takes the events, in order.
            spec: the container's, for its limits.
            stdio: the FIFOs of its first process, which are opened now.
            restored: it comes from a checkpoint, and has no process until it is started.
        """
        self.resources: dict[str, Any] = _merged({}, ((spec or {}).get("linux") or {}).get("resources") or {})
        """Its limits, as an OCI LinuxResources."""
        self.annotations: dict[str, str] = {}
        """Those that came with updates."""
        self.memory = b""
        """What its processes know: a checkpoint holds it, and a restore brings it back. A test writes what it likes."""
        self._container = container
        self._pids = pids
        self._emit = emit
        self._init = MemoryProcess(0 if restored else next(pids), program, stdio)
        self._execs: dict[str, MemoryProcess] = {}
        self._known: dict[str, MemoryProcess] = {}
        if self._init.shim is not None:
            self._init.shim.open()

    @property
    def pid(self) -> int:
        """Process id of the first process."""
        return self._init.pid

    @property
    def info(self) -> TaskInfo:
        """The task as `Tasks.Get` tells it."""
        return self._init.info

    @property
    def processes(self) -> list[ProcessInfo]:
        """The processes that have not ended."""
        if self._init.status == "stopped":
            return []
        execs = [ProcessInfo(pid=process.pid, exec_id=name) for name, process in self._execs.items()]
        return [ProcessInfo(pid=self.pid), *execs]

    def exec_info(self, exec_id: str) -> TaskInfo | None:
        """An exec as `Tasks.Get` tells it, None where there is none."""
        process = self.find(exec_id) or self._execs.get(exec_id)
        if process is None:
            return None
        # containerd calls the execs of a paused task paused.
        paused = self._init.status == "paused" and process.status in {"created", "running"}
        return structs.replace(process.info, status="paused") if paused else process.info

    def process(self, exec_id: str | None) -> MemoryProcess:
        """Return the first process, or an exec."""
        if exec_id is None:
            return self._init
        process = self._known.get(exec_id) or self._execs.get(exec_id)
        if process is None:
            raise Refusal("not_found", f"exec {exec_id} of {self._container}: not found")
        return process

    def stats(self, namespace: str) -> TaskStats:
        """What it uses, by the count of its processes: nothing is measured here, but the limits are its own."""
        return task_stats(namespace, self._container, len(self.processes), self.resources)

    async def wait(self) -> ExitInfo:
        """Wait for the end of the first process."""
        return await self._init.wait()

    def find(self, exec_id: str | None) -> MemoryProcess | None:
        """Return the first process, or an exec that was registered and not removed."""
        return self._init if exec_id is None else self._known.get(exec_id)

    # -- what containerd is asked to do

    def start(self) -> None:
        """Run it. A program that ends by itself has ended when this returns."""
        self._demand("created", "start")
        self._init.status = "running"
        self._init.pid = self._init.pid or next(self._pids)
        self._emit(TaskStart(container_id=self._container, pid=self.pid))
        if self._init.shim is not None:
            self._init.shim.run(self.end)
        elif self._init.program.exits is not None:
            self.end(self._init.program.exits)

    def pause(self) -> None:
        """Freeze it."""
        self._demand("running", "pause")
        self._init.status = "paused"
        self._emit(TaskPaused(container_id=self._container))

    def resume(self) -> None:
        """Let it run on; the signals that came meanwhile arrive now."""
        self._demand("paused", "resume")
        self._init.status = "running"
        self._emit(TaskResumed(container_id=self._container))
        for name, process in [*self._execs.items(), (None, self._init)]:
            signals, process.waiting = process.waiting, []
            for signal in signals:
                self._signal(name, process, signal)

    def update(self, resources: Mapping[str, Any], annotations: Mapping[str, str]) -> None:
        """Give it other limits. One that is below what it uses is refused, as the kernel does."""
        if self._init.status == "stopped":
            raise Refusal("failed_precondition", f"cannot update a stopped task: {self._container}")
        limit = (resources.get("memory") or {}).get("limit")
        if limit is not None and 0 <= limit < len(self.processes) << 20:
            raise Refusal("unknown", f"the runtime cannot limit {self._container} to {limit} bytes of memory")
        self.resources = _merged(self.resources, resources)
        self.annotations |= annotations

    def signal(self, signal: int, *, all_processes: bool = False, exec_id: str | None = None) -> None:
        """Send a signal to the first process, to every one, or to an exec."""
        if not 0 <= signal <= LAST_SIGNAL:
            raise Refusal("unknown", f"signal {signal}: invalid argument")
        if exec_id is not None:
            if exec_id not in self._execs:
                raise Refusal("not_found", f"exec {exec_id} of {self._container}: no such process")
            self._signal(exec_id, self._execs[exec_id], signal)
            return
        if all_processes:
            for name, process in list(self._execs.items()):
                self._signal(name, process, signal)
        elif self._init.status == "stopped":
            raise Refusal("not_found", f"{self._container}: the process has ended")
        self._signal(None, self._init, signal)

    def delete(self) -> ExitInfo:
        """Check that it may be removed, tell of its removal, return how it ended. One that never ran has no exit."""
        if self._init.status in {"running", "paused"}:
            raise Refusal("failed_precondition", f"cannot delete a {self._init.status} task: {self._container}")
        end = self._init.exit or ExitInfo()
        for process in (self._init, *self._known.values()):
            if process.shim is not None:
                process.shim.close()
        self._emit(
            TaskDelete(
                container_id=self._container,
                pid=self.pid,
                # protobuf has no null: of a task that never ran containerd says that it ended with 0, and at no time.
                exit_status=end.exit_status or 0,
                exited_at=end.exited_at,
            )
        )
        if self._init.exit is None:
            # What runc had made for it is killed in its removal, and its end comes after that.
            self._stop(KILLED, None)
        return end

    # -- what happens in it

    def end(self, status: int) -> None:
        """Let the first process end with `status`; its PID namespace, and with it every exec, ends before it."""
        for name in list(self._execs):
            self._end_exec(name, KILLED)
        self._stop(status, now())

    def exec(self, exec_id: str, program: Program) -> int:
        """Run another process in it; return its pid."""
        if self._init.status != "running":
            raise Refusal("failed_precondition", f"cannot exec in a {self._init.status} task: {self._container}")
        if exec_id in self._execs:
            raise Refusal("already_exists", f"exec {exec_id} of {self._container}: already exists")
        process = MemoryProcess(next(self._pids), program)
        process.status = "running"
        self._emit(TaskExecAdded(container_id=self._container, exec_id=exec_id))
        self._execs[exec_id] = process
        self._emit(TaskExecStarted(container_id=self._container, exec_id=exec_id, pid=process.pid))
        if program.exits is not None:
            self._end_exec(exec_id, program.exits)
        return process.pid

    def register(self, exec_id: str, program: Program, stdio: Stdio) -> None:
        """Make another process known, which `run` runs."""
        if self._init.status != "running":
            raise Refusal("failed_precondition", f"cannot exec in a {self._init.status} task: {self._container}")
        if exec_id in self._known or exec_id in self._execs:
            raise Refusal("already_exists", f"exec {exec_id} of {self._container}: already exists")
        self._known[exec_id] = MemoryProcess(0, program, stdio)
        self._emit(TaskExecAdded(container_id=self._container, exec_id=exec_id))

    def run(self, exec_id: str) -> int:
        """Run what was registered; return its pid."""
        process = self._known.get(exec_id)
        if process is None:
            raise Refusal("not_found", f"exec {exec_id} of {self._container}: not found")
        if process.status != "created":
            raise Refusal("failed_precondition", f"cannot start a {process.status} exec: {exec_id}")
        if process.program.broken is not None:
            raise Refusal("unknown", f"the runtime cannot exec {exec_id}: {process.program.broken}")
        if process.shim is not None:
            process.shim.open()
        process.pid, process.status = next(self._pids), "running"
        self._execs[exec_id] = process
        self._emit(TaskExecStarted(container_id=self._container, exec_id=exec_id, pid=process.pid))
        if process.shim is not None:
            process.shim.run(lambda status: self._end_exec(exec_id, status))
        elif process.program.exits is not None:
            self._end_exec(exec_id, process.program.exits)
        return process.pid

    def forget(self, exec_id: str) -> ExitInfo:
        """Remove an exec that does not run; return how it ended."""
        process = self._known.get(exec_id)
        if process is None:
            raise Refusal("not_found", f"exec {exec_id} of {self._container}: not found")
        if process.status == "running":
            raise Refusal("failed_precondition", f"cannot delete a running exec: {exec_id}")
        del self._known[exec_id]
        if process.shim is not None:
            process.shim.close()
        return process.exit or ExitInfo()

    def oom(self) -> None:
        """Let the kernel kill it for want of memory."""
        self._emit(TaskOOM(container_id=self._container))
        self.end(KILLED)

    # -- inside

    def _demand(self, status: str, doing: str) -> None:
        if self._init.status != status:
            raise Refusal("failed_precondition", f"cannot {doing} a {self._init.status} task: {self._container}")

    def _signal(self, name: str | None, process: MemoryProcess, signal: int) -> None:
        if process.exit is not None:
            return
        frozen = self._init.status == "paused" and not (signal == SIGKILL and name is None)
        if frozen:  # runc thaws a container only to kill its first process
            process.waiting.append(signal)
            return
        status = process.program.answer(signal)
        if status is None:
            return
        if name is None:
            self.end(status)
        else:
            self._end_exec(name, status)

    def _end_exec(self, name: str, status: int) -> None:
        process = self._execs.pop(name, None)
        if process is None:
            return
        moment = now()
        process.end(ExitInfo(exit_status=status, exited_at=moment))
        self._emit(
            TaskExecExit(
                container_id=self._container,
                id=name,
                pid=process.pid,
                exit_status=status,
                exited_at=moment,
            )
        )

    def _stop(self, status: int, moment: Nanos | None) -> None:
        ended = ExitInfo(exit_status=status, exited_at=moment)
        self._init.status, self._init.exit = "stopped", ended
        self._emit(
            TaskExit(
                container_id=self._container, id=self._container, pid=self.pid, exit_status=status, exited_at=moment
            )
        )
        self._init.end(ended)


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return `old` with what `new` says in its place, object by object."""
    return dict(old) | {
        key: _merged(old.get(key) or {}, value) if isinstance(value, Mapping) else value for key, value in new.items()
    }
