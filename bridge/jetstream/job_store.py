"""All jobs: sent to their stream, and looked after there and in the quarantine."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
import nats.errors

from bridge.errors import Code, CommandFailed, LogUnavailable
from bridge.jetstream.api import api
from bridge.jetstream.connection import Connection
from bridge.jetstream.errors import NATS_ERRORS, ApiError, Denied, LinkLost, explain, log_error, log_errors
from bridge.jetstream.job_streams import jobs_stream, quarantine_stream
from bridge.jetstream.publisher import Reply
from bridge.jetstream.quarantine import read_quarantined
from bridge.jetstream.streams import NO_MESSAGE, NO_STREAM
from bridge.model.kinds import decoder
from bridge.model.nanos import parse_rfc3339
from bridge.model.subjects import Subjects
from bridge.ports import Job, Quarantined
from bridge.ports.jobs import AGAIN, ID
from bridge.trace import carried

__all__ = ["JetStreamJobStore"]

_replies: Final = decoder(Reply)


class JetStreamJobStore:
    """Implements `bridge.ports.JobStore`."""

    def __init__(self, connection: Connection, subjects: Subjects) -> None:
        self._connection = connection
        self._subjects = subjects
        self._jobs = jobs_stream(subjects)
        self._quarantine = quarantine_stream(subjects)

    async def submit(self, subject: str, body: bytes, *, command_id: str, name: str, again: bool = False) -> bool:
        """Store a job; see the port.

        Raises:
            CommandFailed: it is not stored, or that is open.
        """
        headers = {"Nats-Msg-Id": name, "Nats-Expected-Stream": self._jobs, ID: command_id, **carried()}
        if again:
            headers[AGAIN] = "1"
        try:
            answer = await self._connection.request(subject, body, headers=headers)
            reply = _replies.decode(answer.data)
        except nats.errors.NoRespondersError as error:
            raise CommandFailed(
                "unavailable", f"no stream takes jobs on {subject}: a bridge that takes commands makes it at its start"
            ) from error
        except Denied as error:
            raise CommandFailed("refused", str(error)) from error
        except (nats.errors.TimeoutError, LinkLost, TimeoutError) as error:
            sentence = f"it is open whether the job was stored ({explain(error)}): send it again under the same id"
            raise CommandFailed("deadline_exceeded", sentence) from error
        except (*NATS_ERRORS, msgspec.DecodeError) as error:
            raise CommandFailed("unavailable", f"the job is not stored: {error}") from error
        if reply.error is not None:
            failure = log_error(reply.error, self._jobs)
            code: Code = "unavailable" if isinstance(failure, LogUnavailable) else "exhausted"
            raise CommandFailed(code, f"the job is not stored: {failure}")
        if reply.stream != self._jobs:
            raise CommandFailed("unavailable", f"something else than stream {self._jobs} answers on {subject}")
        return not reply.duplicate

    async def waiting(self, *, node: str | None = None) -> list[Job]:
        """Return the jobs that are not done; see the port.

        Raises:
            LogUnavailable: the stream does not answer.
            LogRefused: it may not be read.
        """
        with log_errors(self._jobs):
            return [
                Job(
                    subject=message["subject"],
                    body=base64.b64decode(message.get("data") or ""),
                    headers=_headers(message),
                    stream=self._jobs,
                    sequence=int(message["seq"]),
                    stored_at=parse_rfc3339(message["time"]),
                )
                async for message in self._messages(self._jobs, self._subjects.job_filter(node))
            ]

    async def quarantined(self, *, node: str | None = None) -> list[Quarantined]:
        """Return the jobs that were put aside; see the port.

        Raises:
            LogUnavailable: the stream does not answer.
            LogRefused: it may not be read.
        """
        subject = self._subjects.quarantine(node) if node else self._subjects.quarantine_filter()
        found = []
        with log_errors(self._quarantine):
            async for message in self._messages(self._quarantine, subject):
                body = base64.b64decode(message.get("data") or "")
                one = read_quarantined(_headers(message), body, int(message["seq"]))
                if one is not None:
                    found.append(one)
        return found

    async def drop(self, found: Quarantined) -> None:
        """Take a job out of the quarantine; see the port.

        Raises:
            LogUnavailable: it is open whether it is there still.
            LogRefused: it may not be taken out.
        """
        with log_errors(self._quarantine):
            await api(self._connection, f"STREAM.MSG.DELETE.{self._quarantine}", {"seq": found.sequence})

    async def _messages(self, stream: str, subject: str) -> AsyncIterator[dict[str, Any]]:
        # One by one: a work queue has no second consumer, and there are few.
        sequence = 1
        while True:
            request = {"seq": sequence, "next_by_subj": subject}
            try:
                found = await api(self._connection, f"STREAM.MSG.GET.{stream}", request)
            except ApiError as error:
                if error.err_code in {NO_MESSAGE, NO_STREAM}:
                    return
                raise
            message = found["message"]
            yield message
            sequence = int(message["seq"]) + 1


def _headers(message: dict[str, Any]) -> dict[str, str]:
    lines = base64.b64decode(message.get("hdrs") or "").decode("utf-8", "replace").splitlines()[1:]
    pairs = (line.partition(":") for line in lines)
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}
