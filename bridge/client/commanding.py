"""How one node is sent commands: now or as durable jobs, with remarks beside them; and what its answers become."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Self, TypeVar

from msgspec import Struct, structs

from bridge.client.jobs import Accepted, Jobs
from bridge.client.remarks import NONE, Judgement, Remarks
from bridge.client.sending import AT_ONCE, Sending
from bridge.client.timeouts import timeout_of
from bridge.errors import CODES, BadEnvelope, CommandFailed
from bridge.model import commands, outcomes
from bridge.model.codec import decode_as, encode_any
from bridge.model.commands import Command
from bridge.model.events import Failure
from bridge.model.identity import check_identifier, check_node
from bridge.model.outcomes import Outcome
from bridge.model.subjects import CommandSubject, Subjects
from bridge.ports import CommandSender, StdioClient

__all__ = ["AWAY", "TakesCommands", "failed"]

R = TypeVar("R", bound=Struct)

AWAY: Final[Collection[str]] = {"unavailable", "deadline_exceeded"}
"""Codes of a node that does not answer."""


class TakesCommands:
    """The part of `bridge.client.Node` that sends."""

    def __init__(
        self,
        name: str,
        sender: CommandSender,
        subjects: Subjects,
        jobs: Jobs | None = None,
        *,
        sending: Sending = AT_ONCE,
        remarks: Remarks = NONE,
        stdio: StdioClient | None = None,
    ) -> None:
        """Take the name, what carries commands there, how they are sent and what is said beside each, and what carries stdio.

        Raises:
            ValueError: it cannot be a node's name.
        """
        self.name = check_node(name)
        self._sender = sender
        self._subjects = subjects
        self._jobs = jobs
        self._how = sending
        self._remarks = remarks
        self._stdio = stdio

    def sending(self, how: Sending) -> Self:
        """Return the same node, to which commands that change something are sent like this.

        Its methods raise `Accepted` where a job is durable and not waited for.
        """
        return self._as(sending=how)

    def remarking(self, remarks: Remarks) -> Self:
        """Return the same node, with these remarks on every command to it.

        With `dry_run` its methods do nothing: each raises `Judgement` where the command would be allowed, and `CommandFailed`
        (`refused`) where not; both say which rule decides. That is never a job: it is about now.
        """
        return self._as(remarks=remarks)

    def _as(self, *, sending: Sending | None = None, remarks: Remarks | None = None) -> Self:
        return type(self)(
            self.name,
            self._sender,
            self._subjects,
            self._jobs,
            sending=sending or self._how,
            remarks=remarks or self._remarks,
            stdio=self._stdio,
        )

    # -- any command

    async def send(
        self,
        command: Command,
        *,
        namespace: str | None = None,
        container: str | None = None,
        timeout: float | None = None,
    ) -> Outcome:
        """Send any command and return its outcome, whatever it is: with an id of your own, or where it is needed whole.

        Args:
            command: what to do; its `id`, where it has one, takes effect at most once.
            namespace: containerd namespace, for commands that have one.
            container: container id, for commands that have one.
            timeout: seconds to wait; what suits the verb unless given.

        Raises:
            ValueError: a name cannot be one.
            CommandFailed: no outcome came.
        """
        if namespace is not None:
            check_identifier(namespace, "namespace")
        if container is not None:
            check_identifier(container, "container id")
        given = self._how.timeout if timeout is None else timeout
        seconds = timeout_of(command) if given is None else given
        command = self._how.applied(self._remarks.applied(command), seconds)
        subject = CommandSubject(self.name, namespace, container, command.verb)
        acts = command.group != "observe" and not command.repeatable
        if self._how.durable and acts and not command.dry_run:
            return await self._send_job(subject, command, given)
        try:
            return await self._sender.send(self._subjects.command(*subject), _body(command), timeout=seconds)
        except CommandFailed as error:
            if error.code == "unavailable":
                raise await self._unavailable(command, error) from error
            if error.code == "deadline_exceeded" and command.id is not None:
                sentence = f"{error.message}; `jobs show {command.id}` tells what came of it"
                raise CommandFailed("deadline_exceeded", sentence) from error
            raise

    async def _send_job(self, subject: CommandSubject, command: Command, timeout: float | None) -> Outcome:
        if self._jobs is None:
            raise CommandFailed("unimplemented", "this bus has no durable jobs")
        assert command.id is not None
        if commands.credentials_of(type(command), structs.asdict(command)):
            raise CommandFailed(
                "invalid_argument", "a job lies in its stream with all its options, a password too: leave --durable out"
            )
        refused = None
        if not await self._jobs.submit(subject, _body(command), command.id):
            refused = await self._jobs.refusal(command.id, subject)
            if refused is not None:
                await self._jobs.submit(subject, _body(command), command.id, refused=refused)
        if not self._how.wait:
            raise Accepted(command.id, self.name)
        outcome = await self._jobs.outcome(
            command.id,
            self.name,
            namespace=subject.namespace,
            container=subject.container,
            timeout=timeout,
            after=refused,
        )
        if (outcome.verb, outcome.namespace, outcome.container) != (subject.verb, subject.namespace, subject.container):
            sentence = f"the id {command.id} belongs to another command, {outcome.verb}: give this one an id of its own"
            raise CommandFailed("already_exists", sentence)
        return outcome

    async def _ask(self, command: Command, kind: type[R], namespace: str | None, container: str | None) -> R:
        outcome = await self.send(command, namespace=namespace, container=container)
        if outcome.outcome != "ok":
            raise failed(outcome)
        return self._read(outcome, kind)

    def _read(self, outcome: Outcome, kind: type[R]) -> R:
        if outcome.result is None:
            sentence = f"{outcome.verb} has done what it says; its result was too large to be kept"
            raise CommandFailed("exhausted", sentence)
        try:
            if self._remarks.dry_run:
                raise Judgement(decode_as(encode_any(outcome.result), outcomes.Judged))
            return decode_as(encode_any(outcome.result), kind)
        except BadEnvelope as error:
            raise CommandFailed(
                "internal", f"{self.name} answered {outcome.verb} with something else than its result: {error}"
            ) from error

    async def cancel(
        self, command_id: str, *, namespace: str | None = None, container: str | None = None
    ) -> outcomes.Cancelled:
        """Take a command back: out of its queue, or out of what it waits for where its verb can be interrupted.

        A job that waits for a node which does not answer is marked, and the node does not begin it when it comes back. With a
        `namespace`, and a `container`, only a command for that.
        """
        try:
            return await self._ask(commands.Cancel(command=command_id), outcomes.Cancelled, namespace, container)
        except CommandFailed as error:
            if error.code not in AWAY or self._jobs is None or self._remarks.dry_run:
                raise
            return await self._jobs.take_back(command_id, self.name, namespace=namespace, container=container)

    async def _unavailable(self, command: Command, error: CommandFailed) -> CommandFailed:
        """Say why nobody took the command, as far as the nodes that answer can tell."""
        present = {node.node: node for node in await self._sender.nodes()}
        if self.name not in present:
            others = f"these do: {', '.join(present)}" if present else "no other does either"
            sentence = f"node {self.name} does not answer; {others}"
        elif command.group not in present[self.name].groups:
            sentence = (
                f"node {self.name} takes no {command.group} commands: start its bridge with --commands {command.group}"
            )
        else:
            return error
        return CommandFailed("unavailable", sentence)


def _body(command: Command) -> bytes:
    # Only what differs from the default: a bridge that is older than an option still takes a command that leaves it alone.
    untouched = type(command)()
    given = {
        name: getattr(command, name)
        for name in command.__struct_fields__
        if getattr(command, name) != getattr(untouched, name)
    }
    return encode_any(given) if given else b""


def failed(outcome: Outcome) -> CommandFailed:
    """Return what to raise for an outcome that is not `ok`."""
    failure = outcome.error or Failure(code="unknown", message=f"{outcome.verb} ended as {outcome.outcome}")
    code = next((code for code in CODES if code == failure.code), "unknown")
    return CommandFailed(code, failure.message, containerd=failure.containerd)  # type: ignore[arg-type]
