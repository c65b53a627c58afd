"""One session: a process's run with its stdio on the bus, from its FIFOs to its end.

The order at the end is what makes the outcome true: the exit is seen (asked for before the start), the output is taken to its
end, all of it and the marks of its end are stored, the exec is removed from containerd, and only then is the session over.
Every step can be done again, so a bridge that comes back begins with the first one that it cannot see done.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Collection, Mapping
from typing import Final

from msgspec import structs

from bridge.errors import CommandFailed
from bridge.failpoint import failpoint
from bridge.model.nanos import Nanos, now
from bridge.model.outcomes import ExecResult, ExitInfo
from bridge.model.stdio import OutputStream
from bridge.ports import Stdio, Tasks
from bridge.stdio.awaited import Awaited
from bridge.stdio.beginning import after, find_out, has_run, located
from bridge.stdio.fifos import Fifos
from bridge.stdio.input import Input
from bridge.stdio.journal import Journal, SessionRecord
from bridge.stdio.leaving import Leaving
from bridge.stdio.output import Output
from bridge.stdio.report import result_of
from bridge.stdio.traffic import Traffic
from bridge.stdio.watched import watched
from bridge.stdio.window import Window

__all__ = ["Session"]

log = logging.getLogger(__name__)

CLEANUP_S: Final = 45.0
"""What removing an exec that could not be started may take."""

DOUBT_S: Final = 30.0
"""Patience with a containerd that went away when it was asked to start a process: as a rule it is started anew in a second."""


class Session:
    """One run of one process; `bridge.ports.StdioSession`. Made by `Sessions`."""

    def __init__(
        self,
        record: SessionRecord,
        *,
        fifos: Fifos,
        outputs: Mapping[OutputStream, Output],
        stdin: Input | None,
        window: Window,
        tasks: Tasks,
        traffic: Traffic,
        journal: Journal,
        over: Callable[[Session], None],
        before: Collection[Session] = (),
    ) -> None:
        self.record = record
        self.stdin = stdin
        self.window = window
        self._fifos = fifos
        self._outputs = outputs
        self._traffic = traffic
        self._tasks = tasks
        self._process = Awaited(tasks, *self.key)
        self.leaving = Leaving(self._process, window, outputs.values())
        self._journal = journal
        self._over = over
        self._before = before
        self._storing: list[asyncio.Task[None]] = []
        self._life: asyncio.Task[None] | None = None
        self._done: asyncio.Future[ExecResult] = asyncio.get_running_loop().create_future()
        self._size = (0, 0)
        self._rebooted, self._unread_s = False, 0.0
        self._ran: asyncio.Future[bool | None] = asyncio.get_running_loop().create_future()
        if record.stage not in {"made", "starting"}:
            self._ran.set_result(has_run(record, None, ()))

    # -- what control asks

    @property
    def id(self) -> str:
        """Tells it from every other one."""
        return self.record.session

    @property
    def command_id(self) -> str:
        """Whose command it is."""
        return self.record.command_id

    @property
    def secret(self) -> str:
        """What input and credits have to carry."""
        return self.record.key

    @property
    def key(self) -> tuple[str, str, str | None]:
        """Namespace, container and exec, by which containerd knows the process."""
        return self.record.namespace, self.record.container, self.record.exec_id

    @property
    def stdio(self) -> Stdio:
        """The paths of its FIFOs."""
        return Stdio(
            stdin=self._fifos.path("stdin") if self.record.stdin else "",
            stdout=self._fifos.path("stdout"),
            stderr="" if self.record.terminal else self._fifos.path("stderr"),
            terminal=self.record.terminal,
        )

    async def start(self, *, width: int = 0, height: int = 0) -> int:
        """Run the process and look after it from here on; see the port."""
        self._size = (width, height)
        if self.record.exec_id is None:  # its terminal is there; an exec's comes with its process, in its spec's size
            await self._resize()
        exited = asyncio.create_task(self._process.exit(), name="exit")
        await asyncio.sleep(0)  # its call is under way now
        try:
            self.record = await self._journal.starting(self.record, str(self))
            pid = await self._tasks.start(*self.key)
        except CommandFailed as error:
            exited.cancel()
            pid = await self._started_all_the_same(error)
            exited = asyncio.create_task(self._process.exit(), name="exit")
        except BaseException:
            # Nobody can say whether it was started: who comes back looks.
            exited.cancel()
            self._life = watched(self._go_on(), f"session of {self}")
            raise
        failpoint("process-started")
        await self._note(stage="started", pid=pid)
        if await located(self._outputs.values()):
            await self._note(after=self._after())
        else:
            log.warning("%s: the bus does not say where its output begins: it is looked for from the beginning", self)
        self._settle(ran=True)
        self._begin(exited)
        return pid

    async def abandon(self, *, keep_exec: bool = False) -> None:
        """Leave nothing of a session whose process has never run; see the port."""
        for task in self._storing:
            task.cancel()
        if self._life is not None and self._life is not asyncio.current_task():
            self._life.cancel()
        if self.record.exec_id is not None and not keep_exec:
            await self._process.delete(within=CLEANUP_S)
        self._remove()
        self.record = self._journal.give_back(self.record)
        self._over(self)
        self._settle(ran=False)
        if not self._done.done():
            self._done.cancel()

    async def ran(self) -> bool | None:
        """Wait until it is known whether its process has ever run, or that nobody can say; return that."""
        return await asyncio.shield(self._ran)

    async def ended(self) -> ExecResult:
        """Wait until it has ended and all of its output is stored."""
        if self._done.cancelled():
            raise CommandFailed("failed_precondition", f"{self}: its process never ran")
        return await asyncio.shield(self._done)

    async def over(self) -> None:
        """Wait until nothing more of it is stored: all of it is, or it never ran."""
        await asyncio.wait({self._done})

    def result(self) -> ExecResult:
        """Return how it stands now."""
        return result_of(self.record, self._outputs)

    async def close_stdin(self) -> bool:
        """End its input; return whether that was new."""
        if self.stdin is None:
            raise CommandFailed("failed_precondition", f"{self} takes no input: run it with stdin")
        return await self.stdin.end_kept()

    @property
    def made_at(self) -> Nanos | None:
        """When the container was made whose own process it is."""
        return self.record.made_at

    @property
    def outputs(self) -> Collection[Output]:
        """Its streams, for their figures."""
        return self._outputs.values()

    def __str__(self) -> str:
        _, container, exec_id = self.key
        return f"container {container}" if exec_id is None else f"exec {exec_id} of container {container}"

    # -- what its maker asks

    async def open(self) -> None:
        """Make the FIFOs and begin to take what comes; the record is written first.

        Raises:
            OSError: it cannot be done; nothing is left.
        """
        try:
            await asyncio.to_thread(self._journal.begin, self.record)
            names = ["stdout", *([] if self.record.terminal else ["stderr"]), *(["stdin"] if self.record.stdin else [])]
            self._fifos.make(names)
            for stream, output in self._outputs.items():
                output.open(self._fifos.open(stream, os.O_RDONLY))
            if self.stdin is not None:
                self.stdin.open()
        except OSError:
            self._remove()
            self.record = self._journal.give_back(self.record)
            raise
        self._store()

    def resume(self, boot: str | None) -> None:
        """Go on with a session of a bridge that is no more."""
        rebooted = self._rebooted = None not in {boot, self.record.boot} and boot != self.record.boot
        self._unread_s = (now() - (self.record.starting_at or 0)) / 1e9
        for stream, output in self._outputs.items():
            fifo: int | None = None
            if not rebooted:
                try:
                    fifo = self._fifos.open(stream, os.O_RDONLY)
                except OSError as error:
                    log.warning("%s: its %s cannot be opened again: %s", self, stream, error.strerror)
            output.open(fifo, resumed=True, awaited=self.record.stage in {"made", "starting"})
            output.first_place = self.record.after
            if rebooted:
                output.truncate("restarted")
        if self.stdin is not None and not rebooted:
            self.stdin.reopen()
        self._store()
        self._life = watched(self._go_on(), f"session of {self}")

    def recall(self, result: ExecResult) -> None:
        """Be one that has ended before."""
        self._done.set_result(result)

    async def stop(self) -> None:
        """Let go of it without ending it: whoever comes back goes on with it."""
        tasks = [task for task in (self._life, *self._storing) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.stdin is not None:
            self.stdin.close("the bridge stops")
        for output in self._outputs.values():
            output.close()
        self._done.cancel()
        self._ran.cancel()

    # -- its life

    def _settle(self, *, ran: bool | None) -> None:
        if not self._ran.done():
            self._ran.set_result(ran)

    def _store(self) -> None:
        self._storing = [watched(self._stored(output), f"output of {self}") for output in self._outputs.values()]

    async def _stored(self, output: Output) -> None:
        # One session at a time writes to a subject: what stands last there is then of this one, or of none that goes on.
        for session in self._before:
            await session.over()
        self._before = ()
        await output.run()

    def _begin(self, exited: asyncio.Task[ExitInfo]) -> None:
        if self.stdin is not None:
            self.stdin.started()
        self._life = watched(self._live(exited), f"session of {self}")

    async def _go_on(self) -> None:
        """Find out how far it has come, and go on from there."""
        if self.record.stage == "exited":
            known = ExitInfo(exit_status=self.record.exit_status, exited_at=self.record.exited_at)
            self.leaving.exited()
            await self._finish(known)
            return
        process = None if self._rebooted else self._process
        ran, there = await find_out(process, self.record, self.outputs, unread_s=self._unread_s)
        if ran is False:
            log.info("%s was never started: it is removed", self)
            await self.abandon()
            return
        for output in self.outputs:
            output.begin()
        if ran is None:
            log.warning("%s was about to be started and is gone: nobody can say whether it ran", self)
            await self._note(stage="exited", doubtful=True)
            self._settle(ran=None)
            await self._finish(ExitInfo())
            return
        if self.stdin is not None:
            self.stdin.started()
        if self.record.stage in {"made", "starting"}:
            await self._note(stage="started", pid=there.pid if there is not None else 0, after=self._after())
        self._settle(ran=True)
        log.info("%s: going on with its stdio", self)
        await self._live(asyncio.create_task(self._process.exit(), name="exit"))

    async def _live(self, exited: asyncio.Task[ExitInfo]) -> None:
        try:
            await self._resize()
            await self._in_time(exited)
            ended = await exited
        finally:
            exited.cancel()
        await self._note(stage="exited", exit_status=ended.exit_status, exited_at=ended.exited_at)
        failpoint("process-ended")
        self.leaving.exited()
        await self._finish(ended)

    async def _finish(self, ended: ExitInfo) -> None:
        if self.stdin is not None:
            self.stdin.close()
        await asyncio.gather(*(output.drain() for output in self._outputs.values()))
        for output in self._outputs.values():
            output.finish(ended.exit_status, timed_out=self.record.timed_out)
        await asyncio.gather(*self._storing)
        failpoint("output-stored")
        reports = {stream: output.report() for stream, output in self._outputs.items()}
        self._traffic.truncated.update(report.truncated for report in reports.values() if report.truncated)
        if any(report.truncated == "held" for report in reports.values()):
            # Its shim waits for whoever holds the stream, ten seconds: there is nothing in that for who waits for us.
            self._tell()
        if self.record.exec_id is not None:
            await self._process.delete()
        # Captured output is in the answer to this command only; who asks again finds it on the bus.
        bare = {stream: structs.replace(report, captured=None) for stream, report in reports.items()}
        await self._note(stage="ended", after=self._after(), ended_at=now(), **bare)
        failpoint("session-ended")
        self._tell()
        self._remove()
        self._journal.strip(self.record.session)
        self._over(self)

    def _tell(self) -> None:
        if not self._done.done():
            self._done.set_result(structs.replace(self.result(), running=False, after=self._after() or 0))

    async def _in_time(self, exited: asyncio.Task[ExitInfo]) -> None:
        if self.record.kill_at is None:
            return
        left = (self.record.kill_at - now()) / 1e9
        done, _ = await asyncio.wait({exited}, timeout=max(0.0, left))
        if not done:
            log.info("%s is killed: its time is up", self)
            await self._note(timed_out=True)
            await self._process.kill(exited)

    async def _started_all_the_same(self, error: CommandFailed) -> int:
        """Return the pid of a process whose start failed for us but not for containerd, which may have to come back first.

        Raises:
            CommandFailed: it does not run.
        """
        try:
            async with asyncio.timeout(DOUBT_S):
                ran, there = await find_out(self._process, self.record, self.outputs)
        except BaseException as doubt:
            self._life = watched(self._go_on(), f"session of {self}")
            if not isinstance(doubt, TimeoutError):
                raise
            sentence = f"{error.message}; whether it runs is open: containerd did not say so in {DOUBT_S:.0f} s"
            raise CommandFailed("unknown", sentence) from error
        if ran and there is not None and there.pid:
            return there.pid
        await self.abandon()
        raise error

    async def _resize(self) -> None:
        width, height = self._size
        if not (self.record.terminal and width and height):
            return
        try:
            await self._tasks.resize(*self.key, width=width, height=height)
        except CommandFailed as error:
            log.info("%s: its terminal keeps its size: %s", self, error)

    def _after(self) -> int | None:
        return after(self._outputs.values())

    async def _note(self, **changes: object) -> None:
        self.record = structs.replace(self.record, **changes)
        await self._journal.keep(self.record)

    def _remove(self) -> None:
        if self.stdin is not None:
            self.stdin.close()
        for output in self._outputs.values():
            output.remove()
        self._fifos.remove()
