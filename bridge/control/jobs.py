"""The worker: carries out the jobs of this node, each once at the most, and keeps them in their stream until that is certain.

Jobs go through the same lanes and the same journal as requests, in the order of their stream. A job leaves the stream when
its outcome is on disk and in the bucket of commands; whatever crashes before that, it comes again and the journal knows it. While
it waits or is carried out it is renewed, so that it does not come to anybody else. What nobody can carry out (it cannot be
read, its verb does not exist, the bridge died over it again and again) has its outcome too, and a copy in the quarantine.

How often a job was received counts the journal and not the server, whose own limit would leave the job in the stream, unseen.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Final, NamedTuple, NoReturn

from bridge.control.order import read_order
from bridge.control.telling import Teller
from bridge.errors import CommandFailed, LogError
from bridge.failpoint import failpoint
from bridge.model.commands import is_command_id
from bridge.model.events import Failure
from bridge.model.nanos import now
from bridge.model.outcomes import CommandState, Outcome
from bridge.model.subjects import CommandSubject, Subjects
from bridge.ports import CommandJournal, CommandRequest, Job, JobBacklog, JobSource, Quarantined
from bridge.ports.jobs import AGAIN, ID, TO_BLAME

__all__ = ["JobStatistics", "Worker"]

log = logging.getLogger(__name__)

ATTEMPTS: Final = 5
"""How often a job is received whose bridge died before it understood it."""

HELD: Final = 2_000
"""Jobs in the bridge at the same time; the others wait in the stream."""

BYTES_HELD: Final = 64 * 1024 * 1024
"""Bytes of them."""

LOOK_S: Final = 10.0
"""How often the stream is asked how many jobs it has, for the figures alone."""

CarryOut = Callable[[CommandRequest], Awaitable[Outcome | None]]


class JobStatistics(NamedTuple):
    """The worker in numbers."""

    held: int
    done: int
    quarantined: int
    backlog: JobBacklog | None
    """As of some seconds ago; None where nobody could tell."""


class _Held:
    """A job in the bridge; its receipt is that of the last delivery."""

    def __init__(self, job: Job) -> None:
        self.job = job


class Worker:
    """Takes jobs for one node. `run` is a task of the event loop."""

    def __init__(
        self,
        source: JobSource,
        carry_out: CarryOut,
        *,
        node: str,
        subjects: Subjects,
        journal: CommandJournal,
        teller: Teller,
        most: int = HELD,
        bytes_held: int = BYTES_HELD,
    ) -> None:
        """Take where jobs come from and what carries them out.

        Args:
            source: the jobs.
            carry_out: the dispatcher's.
            node: this node's name.
            subjects: the subjects of the bus.
            journal: counts how often a job was received.
            teller: knows when an outcome stands in the bucket.
            most: jobs in the bridge at the same time.
            bytes_held: and their bytes.
        """
        self._source = source
        self._carry_out = carry_out
        self._node = node
        self._subjects = subjects
        self._journal = journal
        self._teller = teller
        self._most = most
        self._most_bytes = bytes_held
        self._bytes = 0
        self._held: dict[int, _Held] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()
        self._done = self._quarantined = 0
        self._backlog: JobBacklog | None = None

    async def run(self) -> NoReturn:
        """Carry out jobs for ever. Cancelled, it takes none any more; `finish` waits for those that it has."""
        beside = [asyncio.create_task(self._renew()), asyncio.create_task(self._look())]
        try:
            async with aclosing(self._source.jobs()) as jobs:
                async for job in jobs:
                    self._take(job)
                    while len(self._held) >= self._most or self._bytes >= self._most_bytes:
                        self._room.clear()
                        await self._room.wait()
            raise AssertionError("the stream of jobs ended")
        finally:
            for task in beside:
                task.cancel()

    async def finish(self) -> None:
        """Wait until every job in the bridge has its outcome or is left in its stream."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def statistics(self) -> JobStatistics:
        """Return it in numbers."""
        return JobStatistics(len(self._held), self._done, self._quarantined, self._backlog)

    # -- one job

    def _take(self, job: Job) -> None:
        held = self._held.get(job.sequence)
        if held is not None:
            held.job = job  # it is here already; only the newest delivery can be acknowledged
            return
        held = self._held[job.sequence] = _Held(job)
        self._bytes += len(job.body)
        task = asyncio.create_task(self._see_to(held), name=f"job {job.sequence}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _see_to(self, held: _Held) -> None:
        job = held.job
        try:
            # Tasks begin in the order in which they are made, and the journal answers in the order in which it is asked.
            attempts = await self._journal.attempt(self._source.stream, job.sequence)
            failpoint("job-received")
            if await self._brought_to_its_end(held, attempts):
                failpoint("before-ack")
                await self._source.done(held.job)
                self._done += 1
            await self._journal.drop_attempt(job.sequence)
        except (LogError, CommandFailed) as error:
            log.warning("job %d stays in its stream and comes again: %s", job.sequence, error)
        except Exception:
            log.exception("job %d stays in its stream and comes again", job.sequence)
        finally:
            del self._held[job.sequence]
            self._bytes -= len(job.body)
            self._room.set()

    async def _brought_to_its_end(self, held: _Held, attempts: int) -> bool:
        """Return whether it has its outcome, for everybody to see."""
        job = held.job
        if not job.body and not is_command_id(job.headers.get(ID, "")):
            # A server's answers have no body, and come wherever whoever asks wants them.
            log.warning(
                "job %d on %s is by no sender of jobs: it has neither a body nor an id", job.sequence, job.subject
            )
            return True
        request = self._request(job)
        if attempts > ATTEMPTS:
            sentence = f"the bridge ended {ATTEMPTS} times when it had received it: the job is put aside"
            outcome = await self._refusal(request, "exhausted", sentence)
        elif request.subject.node != self._node:
            sentence = f"{job.subject!r} is not the subject of a job for node {self._node}"
            outcome = await self._refusal(request, "invalid_argument", sentence)
        else:
            found = await self._carry_out(request)
            if found is None:
                return False
            outcome = found
        await self._teller.told(outcome.id)
        error = outcome.error
        if (
            error is not None
            and (attempts > ATTEMPTS or error.code in TO_BLAME)
            and not await self._started(outcome.id)
        ):
            log.warning("job %d (%s) is put aside: %s", job.sequence, outcome.id, error.message)
            await self._source.put_aside(held.job, self._quarantine(job, outcome, error, attempts))
            self._quarantined += 1
        return True

    async def _started(self, command_id: str) -> bool:
        row = await self._journal.look(command_id)
        return row is not None and row.started_at is not None

    def _request(self, job: Job) -> CommandRequest:
        try:
            subject = self._subjects.parse_job(job.subject)
        except ValueError:
            subject = CommandSubject("", None, None, "invalid")
        return CommandRequest(
            subject=subject,
            body=job.body,
            headers=job.headers,
            via="job",
            delivery=job.sequence,
            again=AGAIN in job.headers,
            name=job.name,
        )

    async def _refusal(self, request: CommandRequest, code: str, sentence: str) -> Outcome:
        """Make the outcome of a job that does not even come to the dispatcher; tell it unless its id is another command's."""
        moment = now()
        command_id = read_order(request, moment).id if code != "exhausted" else request.name
        outcome = Outcome(
            id=command_id,
            verb=request.subject.verb,
            node=self._node,
            outcome="error",
            namespace=request.subject.namespace,
            container=request.subject.container,
            error=Failure(code=code, message=sentence),
            received_at=moment,
            finished_at=moment,
        )
        row = await self._journal.look(command_id)
        if row is not None and (row.namespace, row.container) == request.subject[1:3]:
            return outcome
        self._teller.tell(
            CommandState(
                id=command_id,
                verb=outcome.verb,
                node=self._node,
                stage="finished",
                via="job",
                namespace=outcome.namespace,
                container=outcome.container,
                received_at=moment,
                outcome=outcome,
            )
        )
        return outcome

    def _quarantine(self, job: Job, outcome: Outcome, error: Failure, attempts: int) -> Quarantined:
        return Quarantined(
            id=outcome.id,
            node=self._node,
            subject=job.subject,
            body=read_order(self._request(job), now()).kept,
            code=error.code,
            why=error.message,
            at=now(),
            attempts=attempts,
            job=job.sequence,
        )

    # -- while they are here

    async def _look(self) -> NoReturn:
        while True:
            try:
                self._backlog = await self._source.backlog()
            except LogError as error:
                log.debug("how many jobs there are is not known: %s", error)
                self._backlog = None
            await asyncio.sleep(LOOK_S)

    async def _renew(self) -> NoReturn:
        while True:
            await asyncio.sleep(self._source.ack_wait_s / 3)
            await self._source.progress([held.job for held in self._held.values()])
