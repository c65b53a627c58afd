"""The jobs of one node, pulled from their stream while its lease is held.

The consumer is durable and named after the node, and it is made anew whenever anything is in doubt: at the start, after a lost
connection, when a delivery is missing. A work queue keeps what is not acknowledged, so the new one begins with the oldest
job that is not done, in the order of the stream. An old one would hand out new jobs first, and those of before a crash when their
time is over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from typing import Final

from bridge.errors import ConfigError, LogError, LogUnavailable
from bridge.jetstream.api import api
from bridge.jetstream.connection import Connection
from bridge.jetstream.consumer import Consumer, Doubt
from bridge.jetstream.errors import NATS_ERRORS, ApiError, Denied, explain, log_errors
from bridge.jetstream.job_streams import ensure_jobs, jobs_stream, quarantine_stream
from bridge.jetstream.publisher import Reply
from bridge.jetstream.quarantine import headers_of
from bridge.jetstream.reader import FIRST_PAUSE_S, LONGEST_PAUSE_S
from bridge.jetstream.streams import SECOND
from bridge.model.kinds import decoder
from bridge.model.nanos import Nanos
from bridge.model.subjects import Subjects, quote
from bridge.ports import Job, JobBacklog, Quarantined

__all__ = ["JetStreamJobs"]

log = logging.getLogger(__name__)

ACK_WAIT_S: Final = 30.0
PENDING: Final = 2_500
"""Deliveries that are not acknowledged, at the most: more than the worker holds, so that it is the one to stop first."""

NO_CONSUMER: Final = 10014
PROGRESS, DONE = b"+WPI", b"+ACK"
LOOK_S: Final = 0.25
"""How often it is looked whether the lease is held again."""

_replies = decoder(Reply)


class JetStreamJobs:
    """Implements `bridge.ports.JobSource`."""

    def __init__(
        self,
        connection: Connection,
        subjects: Subjects,
        node: str,
        *,
        held: Callable[[], bool],
        replicas: int = 1,
        ack_wait_s: float = ACK_WAIT_S,
    ) -> None:
        """Take whose jobs.

        Args:
            connection: an open one.
            subjects: the subjects of the bus.
            node: the node's name.
            held: tells whether we are the node's bridge now.
            replicas: how many servers have the streams, where they are made.
            ack_wait_s: after how long without a sign of life a job comes again.
        """
        self._connection = connection
        self._subjects = subjects
        self._node = node
        self._held = held
        self._replicas = replicas
        self._stream = jobs_stream(subjects)
        self._created = ""
        self.ack_wait_s = ack_wait_s

    @property
    def stream(self) -> str:
        """When the stream was made; see the port."""
        return self._created

    async def open(self) -> None:
        """Make sure that the streams exist.

        Raises:
            ConfigError: one cannot be made or used.
            LogUnavailable: JetStream does not answer.
        """
        self._created = await ensure_jobs(self._connection, self._subjects, replicas=self._replicas)

    async def jobs(self) -> AsyncGenerator[Job, None]:
        """Iterate over the jobs; see the port."""
        pause, said = FIRST_PAUSE_S, ""
        while True:
            if not self._held():
                await asyncio.sleep(LOOK_S)
                continue
            try:
                async with aclosing(self._session()) as session:
                    async for job in session:
                        pause, said = FIRST_PAUSE_S, ""
                        if not self._held():
                            break
                        yield job
                reason = "the lease is not held"
            except (Doubt, LogError, ConfigError, *NATS_ERRORS) as error:
                reason = str(error) or explain(error)
            if reason != said:
                log.info("jobs are pulled anew: %s", reason)
                said = reason
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)

    async def backlog(self) -> JobBacklog:
        """Return how many jobs there are; see the port."""
        waiting = await self._count(self._stream, self._subjects.job_filter(self._node))
        aside = await self._count(quarantine_stream(self._subjects), self._subjects.quarantine(self._node))
        return JobBacklog(waiting, aside)

    async def progress(self, jobs: Sequence[Job]) -> None:
        """Say of these that they are being carried out; see the port."""
        with suppress(*NATS_ERRORS):
            for job in jobs:
                if self._held():
                    await self._connection.client.publish(job.receipt, PROGRESS)

    async def done(self, job: Job) -> None:
        """Take the job out of the stream; see the port.

        Raises:
            LogUnavailable: it is open whether it is.
        """
        with log_errors(self._stream):
            await self._connection.request(job.receipt, DONE)

    async def put_aside(self, job: Job, found: Quarantined) -> None:
        """Keep a copy of the job in the quarantine; see the port.

        Raises:
            LogUnavailable: it is open whether there is one.
            LogRefused: the quarantine takes none.
        """
        stream = quarantine_stream(self._subjects)
        headers = {"Nats-Msg-Id": f"{self._created}-{job.sequence}", **headers_of(found)}
        with log_errors(stream):
            answer = await self._connection.request(self._subjects.quarantine(self._node), found.body, headers=headers)
            reply = _replies.decode(answer.data)
            if reply.error is not None:
                raise ApiError(reply.error)
        if reply.stream != stream:
            raise LogUnavailable(f"something else than stream {stream} answers")

    # -- inside

    async def _count(self, stream: str, subjects: str) -> int:
        # By subject; of more subjects than a server tells at once, the first hundred thousand.
        with log_errors(stream):
            info = await api(self._connection, f"STREAM.INFO.{stream}", {"subjects_filter": subjects})
        return sum((info["state"].get("subjects") or {}).values())

    async def _session(self) -> AsyncGenerator[Job, None]:
        """One consumer, from its making to the first doubt."""
        link = await self._connection.linked()
        await self.open()
        name = quote(self._node)
        with log_errors(self._stream):
            try:
                await api(self._connection, f"CONSUMER.DELETE.{self._stream}.{name}")
            except ApiError as error:
                if error.err_code != NO_CONSUMER:
                    raise
            consumer = Consumer(self._connection, self._stream, link, name)
        try:
            with log_errors(self._stream):
                await consumer.open(
                    {
                        "durable_name": name,
                        "description": "Jobs of this node (containerd-bridge)",
                        "deliver_policy": "all",
                        "ack_policy": "explicit",
                        "ack_wait": int(self.ack_wait_s * SECOND),
                        "max_deliver": -1,
                        "max_ack_pending": PENDING,
                        "filter_subject": self._subjects.job_filter(self._node),
                        "mem_storage": False,
                        "num_replicas": 0,
                        "inactive_threshold": 0,
                    }
                )
            async with aclosing(consumer.messages(wait=True)) as messages:
                async for message, place in messages:
                    yield Job(
                        subject=message.subject,
                        body=message.data,
                        headers=message.headers or {},
                        stream=self._stream,
                        sequence=place.stream_sequence,
                        stored_at=Nanos(place.stored_at),
                        receipt=message.reply,
                    )
        except Denied as error:
            raise ConfigError(str(error)) from error
        finally:
            await consumer.close(keep=True)
