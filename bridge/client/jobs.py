"""Durable jobs, and how every command stands: sent, waited for, listed, and what was put aside tried again or dropped."""

from __future__ import annotations

import builtins
import logging
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import Struct

from bridge.errors import CommandFailed, LogError, LogRefused
from bridge.model.commands import OF_EVERY, id_in
from bridge.model.identity import new_ulid
from bridge.model.nanos import Nanos
from bridge.model.outcomes import Cancelled, CommandState, Outcome
from bridge.model.selection import Names, names
from bridge.model.subjects import CommandSubject, Subjects
from bridge.ports import CommandStates, Job, JobStore, Quarantined

__all__ = ["Accepted", "JobView", "Jobs", "Standing"]

log = logging.getLogger(__name__)

Standing: TypeAlias = Literal["waiting", "accepted", "started", "finished", "quarantined"]
"""Waiting: in the stream, no bridge has taken it yet. Quarantined: put aside, see `retry` and `drop`. The rest as in `Stage`."""


class Accepted(Exception):
    """A job is stored and will be carried out; its sender did not want to wait for the outcome."""

    def __init__(self, command_id: str, node: str) -> None:
        super().__init__(f"job {command_id} for node {node} is accepted")
        self.command_id = command_id
        self.node = node


class JobView(Struct, frozen=True, kw_only=True):
    """One command as it stands. `why` is why it was put aside."""

    id: str
    node: str
    verb: str
    standing: Standing
    namespace: str | None = None
    container: str | None = None
    via: str = "job"
    received_at: Nanos | None = None
    started_at: Nanos | None = None
    outcome: Outcome | None = None
    why: str | None = None


class Jobs:
    """The jobs of a bus. Made by `bridge.client.connect`."""

    def __init__(
        self, subjects: Subjects, *, store: JobStore | None = None, states: CommandStates | None = None
    ) -> None:
        """Take where jobs go, and where it stands what became of them."""
        self._subjects = subjects
        self._jobs = store
        self._states = states

    async def states(
        self, command_id: str, *, node: str | None = None, namespace: str | None = None, container: str | None = None
    ) -> Sequence[CommandState]:
        """Return how the command of this id stands: on each node that was given it, mostly one; empty where nobody knows it.

        Raises:
            LogUnavailable: what is kept of commands does not answer.
            LogRefused: nothing is kept of commands, or it may not be read.
        """
        return await self._kept.get(command_id, node=node, namespace=namespace, container=container)

    async def submit(
        self, subject: CommandSubject, body: bytes, command_id: str, *, refused: Outcome | None = None
    ) -> bool:
        """Store a job; return whether it is new: one of the same id that was sent a moment ago is not stored twice.

        With `refused`, the outcome of that one, it is: what was refused has not used up its id.

        Raises:
            CommandFailed: it is not stored, or that is open (`deadline_exceeded`): send it again under the same id.
        """
        where = self._subjects.job(self._subjects.command(*subject))
        # Another command under this id is another message, which its node refuses; lost here, nobody would hear of that.
        name = f"{subject.node}.{command_id}.{_digest(where, body)}"
        if refused is not None:
            # Another name, or the stream would take it for the one before; the same for whoever sends this one again.
            name = f"{name}.{int(refused.finished_at or 0)}"
        return await self._store.submit(where, body, command_id=command_id, name=name)

    async def refusal(self, command_id: str, subject: CommandSubject) -> Outcome | None:
        """Return the outcome of a command that was refused: it may be sent again under its id. None of any other."""
        with suppress(LogError):
            for state in await self._about(command_id, subject):
                if state.outcome is not None and state.outcome.outcome == "refused":
                    return state.outcome
        return None

    async def take_back(
        self, command_id: str, node: str, *, namespace: str | None = None, container: str | None = None
    ) -> Cancelled:
        """Take back a job that waits for a node which cannot be asked to: when it comes it does not begin it.

        With a `namespace`, and a `container`, one for that.

        Raises:
            CommandFailed: `not_found`: no such job waits; `failed_precondition`: it has begun, or may have.
            LogUnavailable: it is open whether it is taken back.
            LogRefused: this login may not write beside how commands stand.
        """
        subject = await self._demand_waiting(command_id, node, namespace, container)
        await self._kept.take_back(command_id, subject)
        for state in await self._about(command_id, subject):
            ended = state.outcome.error if state.outcome is not None else None
            if ended is None or ended.code != "cancelled":  # else it is back already, and has heard of it
                await self._demand_waiting(command_id, node, namespace, container)
        return Cancelled(began=False)

    async def _about(self, command_id: str, subject: CommandSubject) -> Sequence[CommandState]:
        return await self._kept.get(
            command_id, node=subject.node, namespace=subject.namespace, container=subject.container
        )

    async def _demand_waiting(
        self, command_id: str, node: str, namespace: str | None, container: str | None
    ) -> CommandSubject:
        found = await self.show(command_id, node=node, namespace=namespace, container=container)
        if not found:
            raise CommandFailed("not_found", f"no job {command_id} waits for node {node}")
        view = found[0]
        if view.via != "job":
            raise CommandFailed("unavailable", f"node {node} does not answer, and {command_id} is a request to it")
        if view.standing not in {"waiting", "accepted"}:
            sentence = (
                f"node {node} does not answer, and job {command_id} is {view.standing} there: it cannot be taken back"
            )
            raise CommandFailed("failed_precondition", sentence)
        return CommandSubject(view.node, view.namespace, view.container, view.verb)

    async def outcome(
        self,
        command_id: str,
        node: str,
        *,
        namespace: str | None = None,
        container: str | None = None,
        timeout: float | None = None,
        after: Outcome | None = None,
    ) -> Outcome:
        """Wait for the outcome of a command, or for another one than `after`; for ever without `timeout`.

        Raises:
            CommandFailed: `deadline_exceeded`: it has none yet.
            LogRefused: nothing is kept of commands, or it may not be read.
        """
        return await self._kept.wait(
            command_id, node, namespace=namespace, container=container, timeout=timeout, after=after
        )

    async def list(
        self, *, node: Names = (), namespace: str | None = None, container: str | None = None
    ) -> Sequence[JobView]:
        """Return all that is known: what waits, what is under way, what has ended, what was put aside; in this order.

        With a `namespace`, and a `container`, only of commands for that; whoever may read no others sees then what bridges have
        told of them, and neither what still waits for its node nor what was put aside.

        Raises:
            LogUnavailable: the bus does not answer.
            LogRefused: something of it may not be read.
        """
        chosen = names(node)

        def wanted(view: JobView | None) -> bool:
            return view is not None and (
                (not chosen or view.node in chosen)
                and namespace in {None, view.namespace}
                and container in {None, view.container}
            )

        kept = [_known(state) async for state in self._kept.list(namespace=namespace, container=container)]
        known = [view for view in kept if wanted(view)]
        waits, aside = await self._in_streams(scoped=namespace is not None)
        there = {(view.node, view.id) for view in known}
        put_aside = {(view.node, view.id) for view in aside}
        return [
            *[view for view in waits if wanted(view) and (view.node, view.id) not in there],
            *[view for view in known if (view.node, view.id) not in put_aside],
            *filter(wanted, aside),
        ]

    async def show(
        self, command_id: str, *, node: str | None = None, namespace: str | None = None, container: str | None = None
    ) -> Sequence[JobView]:
        """Return what is known of one id, on every node that was given it; empty where nobody knows it; see `list`."""
        states = await self._kept.get(command_id, node=node, namespace=namespace, container=container)
        waits, aside = await self._in_streams(node, scoped=namespace is not None)
        found = [view for view in aside if view.id == command_id]
        put_aside = {view.node for view in found}
        found += [_known(state) for state in states if state.node not in put_aside]
        return found or [view for view in waits if view.id == command_id]

    async def retry(self, command_id: str, *, node: str | None = None) -> Accepted:
        """Send a job that was put aside once more: under its own id if it never started, else under a new one; return that.

        Under its own id its former outcome stands until it has the new one.

        Raises:
            CommandFailed: `not_found`, or it is not stored.
            LogUnavailable: the bus does not answer.
        """
        one = await self._quarantined(command_id, node)
        started = any(state.started_at is not None for state in await self._kept.get(command_id, node=one.node))
        name = new_ulid() if started else command_id
        body = _named(one.body, name)
        await self._store.submit(one.subject, body, command_id=name, name=f"again-{one.sequence}", again=not started)
        await self._store.drop(one)
        return Accepted(name, one.node)

    async def drop(self, command_id: str, *, node: str | None = None) -> None:
        """Take a job out of the quarantine; raises as `retry` does."""
        await self._store.drop(await self._quarantined(command_id, node))

    # -- inside

    @property
    def _store(self) -> JobStore:
        if self._jobs is None:
            raise LogRefused("this bus has no durable jobs")
        return self._jobs

    @property
    def _kept(self) -> CommandStates:
        if self._states is None:
            raise LogRefused("nothing is kept of commands on this bus")
        return self._states

    async def _in_streams(
        self, node: str | None = None, *, scoped: bool
    ) -> tuple[builtins.list[JobView], builtins.list[JobView]]:
        """Return what waits and what was put aside; with `scoped` nothing where that may not be read: it is everybody's."""
        try:
            waits = [self._waiting(job) for job in await self._store.waiting(node=node)]
            aside = [self._aside(one) for one in await self._store.quarantined(node=node)]
        except LogRefused as error:
            if not scoped:
                raise
            log.debug("jobs that no bridge has taken yet, and those that were put aside, are not seen: %s", error)
            return [], []
        return [view for view in waits if view is not None], aside

    async def _quarantined(self, command_id: str, node: str | None) -> Quarantined:
        for one in await self._store.quarantined(node=node):
            if one.id == command_id:
                return one
        raise CommandFailed("not_found", f"no job {command_id} is in the quarantine: `jobs` lists what is there")

    def _waiting(self, job: Job) -> JobView | None:
        try:
            subject = self._subjects.parse_job(job.subject)
        except ValueError:
            return None  # its bridge will put it aside
        return JobView(
            id=id_in(job.body) or job.name,
            node=subject.node,
            verb=subject.verb,
            standing="waiting",
            namespace=subject.namespace,
            container=subject.container,
            received_at=job.stored_at,
        )

    def _aside(self, one: Quarantined) -> JobView:
        try:
            subject = self._subjects.parse_job(one.subject)
        except ValueError:
            subject = CommandSubject(one.node, None, None, "?")
        return JobView(
            id=one.id,
            node=one.node,
            verb=subject.verb,
            standing="quarantined",
            namespace=subject.namespace,
            container=subject.container,
            received_at=one.at,
            why=one.why,
        )


def _known(state: CommandState) -> JobView:
    return JobView(
        id=state.id,
        node=state.node,
        verb=state.verb,
        standing=state.stage,
        namespace=state.namespace,
        container=state.container,
        via=state.via,
        received_at=state.received_at,
        started_at=state.started_at,
        outcome=state.outcome,
    )


def _named(body: bytes, command_id: str) -> bytes:
    """Return the options under another id; as they are where they cannot be read."""
    try:
        options: dict[str, Any] = msgspec.json.decode(body or b"{}", type=dict[str, Any])
    except msgspec.DecodeError:
        return body
    return msgspec.json.encode(options | {"id": command_id})


def _digest(subject: str, body: bytes) -> str:
    """Return what is the same for the same command, sent again with more time or another remark."""
    options: dict[str, Any] = msgspec.json.decode(body or b"{}", type=dict[str, Any])
    said = {name: value for name, value in options.items() if name not in (*OF_EVERY, "not_after")}
    return sha256(msgspec.json.encode([subject, said], order="deterministic")).hexdigest()[:16]
