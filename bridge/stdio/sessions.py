"""The sessions of a node: made, found again after a restart, fed with what comes from the bus.

A bridge that starts goes on with every session in the journal whose end is not written down. Nothing else is touched: FIFOs and
execs of others are theirs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Collection
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from msgspec import structs

from bridge.errors import CommandFailed, ConfigError
from bridge.model.events import Failure, Who
from bridge.model.identity import new_ulid
from bridge.model.nanos import Nanos
from bridge.model.outcomes import StreamReport
from bridge.model.stdio import OUTPUTS, Credit, InputPiece, InputReply, OutputStream
from bridge.model.subjects import StdioSubject
from bridge.ports import OnInputTold, OutputLog, SessionOrder, StdioLines, StdioStatistics, Tasks
from bridge.stdio.expected import Expected, mark_deleted
from bridge.stdio.fifos import Fifos, prepare
from bridge.stdio.input import Input
from bridge.stdio.journal import Journal, SessionRecord, kill_at, outdated
from bridge.stdio.output import Output
from bridge.stdio.room import MOST
from bridge.stdio.session import Session
from bridge.stdio.spool import Spool
from bridge.stdio.traffic import Traffic
from bridge.stdio.window import Window
from bridge.stdio.witness import Witness

__all__ = ["Sessions"]

log = logging.getLogger(__name__)

DRAIN_S: Final = 10.0
"""Patience with the output of processes whose task is to be deleted: as a rule it takes milliseconds."""

KEY_BYTES: Final = 16

MOST_EXPECTED: Final = 200
"""Containers that somebody is attached to before their start: each may have a quarter of a MiB on disk."""

MARKED_S: Final = 2.0
"""Patience with the bus when those are told who read what will never come."""


class Sessions:
    """The sessions of one node; `bridge.ports.StdioSessions`. Entered, it goes on with those of before."""

    def __init__(
        self,
        node: str,
        *,
        directory: Path,
        fifo_dir: Path,
        boot: str | None,
        tasks: Tasks,
        bus: OutputLog,
        lines: StdioLines,
        told: OnInputTold = lambda _: None,
        most: int = MOST,
    ) -> None:
        """Take where things are.

        Args:
            node: this node's name on the bus.
            directory: where records and spools are.
            fifo_dir: where FIFOs are, which containerd's shims see under the same path.
            boot: the kernel's id of this boot, None where it tells none.
            tasks: of its containerd.
            bus: where output is stored.
            lines: where input comes from.
            told: takes what is to be recorded of input.
            most: how many there may be at the same time; those that are found again are taken in all the same.
        """
        self._node = node
        self._journal = Journal(directory)
        self._fifo_dir = fifo_dir
        self._boot = boot
        self._tasks = tasks
        self._bus = bus
        self._lines = lines
        self._told = told
        self._most = most
        self._live: dict[str, Session] = {}
        self._newest: dict[tuple[str, str, str | None], Session] = {}
        self._expected: dict[tuple[str, str, str | None], Expected] = {}
        self._ended: list[SessionRecord] = []
        self._traffic = Traffic()
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            records = await asyncio.to_thread(self._journal.open)
        except OSError as error:
            raise ConfigError(f"the records of stdio sessions cannot be read: {error}") from error
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self._lines.serve(self._on_input, self._on_credit))
            for record in records:
                self._find_again(record)
            self._forget()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._stack.aclose()
        await asyncio.gather(*(session.stop() for session in list(self._live.values())))

    # -- what control asks

    async def open(self, order: SessionOrder) -> Session:
        """Write a new session down and make its FIFOs; see the port."""
        if len(self._live) >= self._most:
            remedy = "" if self._most >= MOST else "; more open files (LimitNOFILE) make room for more"
            sentence = f"{self._most} processes have their stdio on the bus already: try again later{remedy}"
            raise CommandFailed("exhausted", sentence)
        prepare(self._fifo_dir)
        record = structs.replace(_record(order), boot=self._boot, kill_at=kill_at(order.timeout))
        expected = self._expected.get((order.namespace, order.container, order.exec_id))
        if expected is not None and expected.made_at != order.made_at:
            await self.forget(order.namespace, order.container)
        elif expected is not None:
            record = structs.replace(record, session=expected.id, key=expected.secret, expected=True)
            del self._expected[expected.key]
        session = self._session(
            record, window=order.window, stdin=expected.stdin if record.expected and expected else None
        )
        self._remember(session)
        try:
            await session.open()
        except OSError as error:
            self._over(session)
            self._newest.pop(session.key, None)
            raise CommandFailed(
                "failed_precondition",
                f"the stdio of {session} cannot be set up: {error.strerror or error} ({error.filename})",
            ) from error
        return session

    async def expect(self, order: SessionOrder) -> Expected | None:
        """Keep input for a process that is not there yet; see the port."""
        key = (order.namespace, order.container, None)
        there = self._expected.get(key)
        if there is not None and there.made_at == order.made_at:
            return there
        await self.forget(order.namespace, order.container)
        if any(session.key == key for session in self._live.values()):
            return None
        if len(self._expected) >= MOST_EXPECTED:
            sentence = f"{MOST_EXPECTED} containers are attached to before their start already: start or delete some"
            raise CommandFailed("exhausted", sentence)
        record = structs.replace(_record(order), stage="expected", expected=True)
        try:
            await asyncio.to_thread(self._journal.begin, record)
            if key in self._expected or any(session.key == key for session in self._live.values()):
                self._journal.remove(record.session)  # somebody was quicker
                return self._expected.get(key)
            expected = self._expected[key] = self._kept(record, fresh=True)
        except OSError as error:
            self._journal.remove(record.session)
            sentence = f"what is for container {order.container} cannot be kept: {error.strerror}"
            raise CommandFailed("exhausted", sentence) from error
        return expected

    def expected(self, namespace: str, container: str) -> Expected | None:
        """Return the session of a container's next process; see the port."""
        return self._expected.get((namespace, container, None))

    def all_expected(self) -> Collection[tuple[str, str, Nanos | None]]:
        """Return whose next processes are expected; see the port."""
        return [(*one.key[:2], one.made_at) for one in self._expected.values()]

    async def forget(self, namespace: str, container: str) -> None:
        """Give up what was kept for a container's next process; see the port."""
        expected = self._expected.pop((namespace, container, None), None)
        if expected is None:
            return
        self._journal.remove(expected.id)

        def busy() -> bool:
            return any(session.key == expected.key for session in self._live.values())

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(MARKED_S):
                await mark_deleted(self._node, self._bus, expected, busy)

    async def drain(self, namespace: str, container: str) -> None:
        """Take what all processes of a container have left; see the port."""
        ours = [session for session in self._live.values() if session.key[:2] == (namespace, container)]
        await asyncio.gather(*(session.leaving.drain(within=DRAIN_S) for session in ours))

    def find(self, namespace: str, container: str, exec_id: str | None) -> Session | None:
        """Return the newest session of a process; see the port."""
        return self._newest.get((namespace, container, exec_id))

    def made(self, path: str) -> bool:
        """Tell whether a FIFO of this path is, or was, one of ours; see the port."""
        return Path(path).is_relative_to(self._fifo_dir)

    def statistics(self) -> StdioStatistics:
        """Return them in numbers; see the port."""
        outputs = [output for session in self._live.values() for output in session.outputs]
        return StdioStatistics(
            open=len(self._live),
            waiting=sum(output.waits for output in outputs),
            spooled=sum(output.spooled for output in outputs),
            passed=dict(self._traffic.passed),
            truncated=dict(self._traffic.truncated),
        )

    # -- what comes from the bus

    async def _on_input(self, subject: StdioSubject, piece: InputPiece, who: Who | None) -> InputReply:
        session = self._of(subject, piece.session)
        if session is None:
            code, why = "not_found", "there is no such session here"
        elif session.stdin is None:
            code, why = "failed_precondition", "it takes none: run it with stdin"
        elif not _fits(piece.key, session.secret):
            code, why = "refused", "its key is not the session's: the reply to exec, run, start or attach tells it"
        else:
            return await session.stdin.write(piece, who)
        sentence = f"input for a process of container {subject.container} is not taken: {why}"
        return InputReply(error=Failure(code=code, message=sentence))

    def _on_credit(self, subject: StdioSubject, credit: Credit) -> None:
        session = self._of(subject, credit.session)
        if isinstance(session, Session) and _fits(credit.key, session.secret):
            session.window.hear(credit)

    def _of(self, subject: StdioSubject, name: str) -> Session | Expected | None:
        # The subject is what NATS permits by, so the session has to be that subject's.
        key = (subject.namespace, subject.container, subject.process)
        session = self._live.get(name) or self._expected.get(key)
        return session if session and session.id == name and session.key == key else None

    # -- inside

    def _find_again(self, record: SessionRecord) -> None:
        if record.stage == "expected":
            self._expect_again(record)
            return
        session = self._session(record)
        if record.stage == "ended":
            session.recall(session.result())
            self._newest[session.key] = session
            self._ended.append(record)
            Fifos(self._fifo_dir, record.session).remove()
            self._journal.strip(record.session)
            return
        self._remember(session)
        try:
            session.resume(self._boot)
        except OSError as error:
            self._over(session)
            log.warning("%s: its stdio cannot go on: %s", session, error)

    def _expect_again(self, record: SessionRecord) -> None:
        try:
            expected = self._kept(record)
        except OSError as error:
            log.warning("what was kept for container %s cannot be had: %s", record.container, error)
            return
        self._expected[expected.key] = expected

    def _kept(self, record: SessionRecord, *, fresh: bool = False) -> Expected:
        stdin = self._input(record, fresh=fresh) if record.stdin else None
        if stdin is not None:
            stdin.expect()
        return Expected(record, stdin)

    def _input(self, record: SessionRecord, *, fresh: bool) -> Input:
        key = (record.namespace, record.container, record.exec_id)
        close: Callable[[], object] = lambda: self._tasks.close_stdin(*key)  # noqa: E731
        return Input(
            Fifos(self._fifo_dir, record.session),
            self._journal.directory(record.session),
            container=record.container,
            close_stdin=close,  # type: ignore[arg-type]
            traffic=self._traffic,
            witness=Witness(record, self._told, resumed=not fresh),
        )

    def _session(self, record: SessionRecord, *, window: int | None = None, stdin: Input | None = None) -> Session:
        directory = self._journal.directory(record.session)
        fifos = Fifos(self._fifo_dir, record.session)
        opening = Window(window)
        key = (record.namespace, record.container, record.exec_id)

        def output(stream: OutputStream) -> Output:
            return Output(
                StdioSubject(self._node, *key, stream),
                record.session,
                stream=stream,
                spool=Spool(directory / stream),
                bus=self._bus,
                window=opening,
                traffic=self._traffic,
                capture=record.capture,
            )

        streams = [] if record.stage == "ended" else OUTPUTS[:1] if record.terminal else OUTPUTS
        if stdin is None and record.stdin and record.stage != "ended":
            stdin = self._input(record, fresh=record.stage == "made" and not record.expected)
        return Session(
            record,
            fifos=fifos,
            outputs={stream: output(stream) for stream in streams},
            stdin=stdin,
            window=opening,
            tasks=self._tasks,
            traffic=self._traffic,
            journal=self._journal,
            over=self._over,
            before=[session for session in self._live.values() if session.key == key],
        )

    def _remember(self, session: Session) -> None:
        self._live[session.record.session] = session
        self._newest[session.key] = session

    def _over(self, session: Session) -> None:
        self._live.pop(session.record.session, None)
        if session.record.stage == "ended":
            self._ended.append(session.record)
            self._forget()
            return
        if self._newest.get(session.key) is session:
            del self._newest[session.key]
        if session.record.stage == "expected":
            self._expect_again(session.record)

    def _forget(self) -> None:
        for name in outdated(self._ended, time.time()):
            record = next(record for record in self._ended if record.session == name)
            self._ended.remove(record)
            self._journal.remove(name)
            newest = self._newest.get((record.namespace, record.container, record.exec_id))
            if newest is not None and newest.record.session == name:
                del self._newest[newest.key]


def _record(order: SessionOrder) -> SessionRecord:
    return SessionRecord(
        session=new_ulid(),
        namespace=order.namespace,
        container=order.container,
        exec_id=order.exec_id,
        command_id=order.command_id,
        terminal=order.terminal,
        stdin=order.stdin,
        key=secrets.token_hex(KEY_BYTES),
        made_at=order.made_at,
        capture=order.capture,
        stderr=None if order.terminal else StreamReport(),
    )


def _fits(given: str, key: str) -> bool:
    return not key or secrets.compare_digest(given.encode("utf-8", "replace"), key.encode())
