"""Durable jobs in memory: a stream of them, the quarantine, and the source of a node.

    jobs = MemoryJobs()
    await jobs.submit("containerd.jobs.web1.default.db.stop", b"{}", command_id="a-1", name="web1.a-1")
    source = jobs.source("web1")

`disturb` does to a source what a lost connection does: it begins again with the oldest job that is not done.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from msgspec.structs import replace

from bridge.model.nanos import now
from bridge.model.subjects import Subjects, quote
from bridge.ports import Job, JobBacklog, Quarantined
from bridge.ports.jobs import AGAIN, ID

__all__ = ["MemoryJobs", "MemorySource"]


class MemoryJobs:
    """Implements `bridge.ports.JobStore`, and makes sources."""

    def __init__(self, subjects: Subjects | None = None) -> None:
        """Take the subjects of the bus; those under `containerd` unless given."""
        self.subjects = subjects or Subjects()
        self.jobs: dict[int, Job] = {}
        """Jobs that are not done, by their places."""
        self.aside: dict[int, Quarantined] = {}
        self._names: set[str] = set()
        self._last = self._last_aside = 0
        self._news = asyncio.Event()
        self._disturbances = 0

    def source(self, node: str, *, ack_wait_s: float = 30.0) -> MemorySource:
        """Return the jobs of a node."""
        return MemorySource(self, node, ack_wait_s)

    def disturb(self) -> None:
        """Let every source begin again with the oldest job that is not done."""
        self._disturbances += 1
        self.tell()

    # -- JobStore

    async def submit(self, subject: str, body: bytes, *, command_id: str, name: str, again: bool = False) -> bool:
        """Store a job; see the port."""
        if name in self._names:
            return False
        self._names.add(name)
        self._last += 1
        headers = {ID: command_id} | ({AGAIN: "1"} if again else {})
        self.jobs[self._last] = Job(
            subject=subject,
            body=body,
            headers=headers,
            stream=MemorySource.stream,
            sequence=self._last,
            stored_at=now(),
        )
        self.tell()
        return True

    async def waiting(self, *, node: str | None = None) -> Sequence[Job]:
        """Return the jobs that are not done; see the port."""
        return [job for job in self.jobs.values() if node is None or self.is_for(job, node)]

    async def quarantined(self, *, node: str | None = None) -> Sequence[Quarantined]:
        """Return the jobs that were put aside; see the port."""
        return [one for one in self.aside.values() if node in {None, one.node}]

    async def drop(self, found: Quarantined) -> None:
        """Take a job out of the quarantine; see the port."""
        self.aside.pop(found.sequence, None)

    # -- for the sources

    def is_for(self, job: Job, node: str) -> bool:
        """Tell whether a job is for this node."""
        return job.subject.split(".")[2] == quote(node)

    def put_aside(self, job: Job, found: Quarantined) -> None:
        """Keep a job in the quarantine, once."""
        if all(one.job != job.sequence for one in self.aside.values()):
            self._last_aside += 1
            self.aside[self._last_aside] = replace(found, sequence=self._last_aside)

    def tell(self) -> None:
        """Wake the sources."""
        news, self._news = self._news, asyncio.Event()
        news.set()

    @property
    def news(self) -> asyncio.Event:
        """Set at the next change."""
        return self._news

    @property
    def disturbances(self) -> int:
        """How often the sources were disturbed."""
        return self._disturbances


class MemorySource:
    """Implements `bridge.ports.JobSource`. Made by `MemoryJobs.source`."""

    stream = "memory"

    def __init__(self, store: MemoryJobs, node: str, ack_wait_s: float) -> None:
        self._store = store
        self._node = node
        self.ack_wait_s = ack_wait_s
        self.renewed: list[int] = []
        """Places of the jobs that were renewed."""

    async def jobs(self) -> AsyncGenerator[Job, None]:
        """Iterate over the jobs; see the port."""
        while True:
            session, last = self._store.disturbances, 0
            while session == self._store.disturbances:
                news = self._store.news
                due = [
                    job
                    for job in self._store.jobs.values()
                    if job.sequence > last and self._store.is_for(job, self._node)
                ]
                if not due:
                    await news.wait()
                for job in due:
                    if session != self._store.disturbances:
                        break
                    last = job.sequence
                    yield job

    async def backlog(self) -> JobBacklog:
        """Return how many jobs there are; see the port."""
        waiting = await self._store.waiting(node=self._node)
        return JobBacklog(len(waiting), len(await self._store.quarantined(node=self._node)))

    async def progress(self, jobs: Sequence[Job]) -> None:
        """Say of these that they are being carried out; see the port."""
        self.renewed += [job.sequence for job in jobs]

    async def done(self, job: Job) -> None:
        """Take the job out of the stream; see the port."""
        self._store.jobs.pop(job.sequence, None)

    async def put_aside(self, job: Job, found: Quarantined) -> None:
        """Keep a copy of the job in the quarantine; see the port."""
        self._store.put_aside(job, found)
