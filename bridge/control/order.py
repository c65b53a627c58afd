"""An order: what a request says, read as far as it can be read, before anybody judges it."""

from __future__ import annotations

import time
from functools import cached_property
from hashlib import sha256
from typing import Any, Final

import msgspec
from msgspec import Struct, structs

from bridge.errors import BadEnvelope, CommandFailed
from bridge.model.codec import decode_as, to_builtins
from bridge.model.commands import (
    COMMANDS,
    HIDDEN,
    OF_EVERY,
    PRECONDITIONS,
    Command,
    Delete,
    Kill,
    Stop,
    blanked,
    credentials_of,
    explained,
    id_in,
)
from bridge.model.identity import check_identifier, is_identifier, new_ulid
from bridge.model.nanos import Nanos
from bridge.model.subjects import CommandSubject
from bridge.ports import CommandRequest, JournalRow

__all__ = ["Order", "read_order"]


LONGEST: Final = 300
"""Characters of what is said to be wrong with options."""


class Order(Struct, kw_only=True, dict=True):
    """One command on its way from the request to the outcome.

    Attributes:
        kind: the verb's struct; None where there is no such verb.
        command: the options; None where they cannot be read, and `flaw` says why.
        id: the sender's, where a valid one could be read, else a new one.
        request: what it was read from.
        arrived_ns: when it came, by a clock that nobody sets; 0 where it came to an earlier run of the bridge.
        began: whether the command was carried out; from then on it may have had an effect. `started_at` is when.
        parted: whether it has left its lane: it waits for a process of its own, which outlives the bridge.
        rule: what decided whether it is allowed.
    """

    subject: CommandSubject
    kind: type[Command] | None
    command: Command | None
    flaw: CommandFailed | None
    id: str
    received_at: Nanos
    request: CommandRequest
    arrived_ns: int = 0
    began: bool = False
    parted: bool = False
    started_at: Nanos | None = None
    rule: str | None = None

    def __str__(self) -> str:
        # Nothing of this may have been checked yet: repr keeps it one line of the log file.
        return f"{self.subject.verb!r} on {self.subject.namespace!r}, {self.subject.container!r} ({self.id})"

    @property
    def changes(self) -> bool:
        """Whether the command would change something: neither does it only look, nor is it judged only."""
        return self.is_act and not self.dry_run

    @property
    def is_act(self) -> bool:
        """Whether the verb is one that changes something."""
        return self.kind is not None and self.kind.group != "observe"

    @property
    def dry_run(self) -> bool:
        """Whether it is to be judged and not done."""
        return self.command is not None and self.command.dry_run

    @property
    def lasting(self) -> bool:
        """Whether the verb only waits."""
        return self.kind is not None and self.kind.lasting

    @property
    def queues(self) -> bool:
        """Whether it takes its turn among the commands that change the same, be it only to be judged there."""
        return self.is_act and self.kind is not None and not self.kind.repeatable

    @property
    def passes(self) -> bool:
        """Whether it wants something of the container at once, and passes a command that only waits for its end."""
        return isinstance(self.command, Kill) or (isinstance(self.command, Delete) and self.command.force)

    @property
    def passable(self) -> bool:
        """Whether nothing changes for it where such a one goes before: it asks for the end, too."""
        return isinstance(self.command, Stop)

    @property
    def once(self) -> bool:
        """Whether its id takes effect at most once, and so is journaled."""
        return self.queues and not self.dry_run

    @property
    def target(self) -> tuple[str, str] | None:
        """Namespace and container, where the subject names one that could exist."""
        namespace, container = self.subject.namespace, self.subject.container
        if namespace is None or container is None or not (is_identifier(namespace) and is_identifier(container)):
            return None
        return namespace, container

    @property
    def options(self) -> dict[str, Any]:
        """The options as they would stand in JSON; defaults too, which may be others in the next version."""
        if self.command is None:
            return {}
        options: dict[str, Any] = to_builtins(structs.replace(self.command, id=None))
        del options["id"]
        for name in PRECONDITIONS:
            if options[name] is None:
                del options[name]
        return options

    @property
    def story(self) -> str:
        """The id under which its events are told: its own, or that of the migration which it is a part of."""
        return getattr(self.command, "migration", "") or self.id

    @property
    def credentials(self) -> list[str]:
        """What of its options is for a registry alone, and is kept nowhere."""
        return [] if self.kind is None else credentials_of(self.kind, self.options)

    @cached_property
    def kept(self) -> bytes:
        """The body as it may be kept: as it came, without credentials."""
        return blanked(self.kind, self.request.body)

    @cached_property
    def digest(self) -> str:
        """What tells this command from another one under its id. Again it may have more time, other remarks, other passwords."""
        secret = self.credentials
        options = {
            name: HIDDEN if secret and value in secret else value
            for name, value in self.options.items()
            if name not in (*OF_EVERY, "not_after")
        }
        said = [*self.subject, options if self.command is not None else self.kept.hex()]
        return sha256(msgspec.json.encode(said, order="deterministic")).hexdigest()

    @property
    def row(self) -> JournalRow:
        """What the journal is to remember of it."""
        return JournalRow(
            id=self.id,
            digest=self.digest,
            verb=self.subject.verb,
            received_at=self.received_at,
            namespace=self.subject.namespace,
            container=self.subject.container,
            body=self.kept,
            reply=self.request.reply,
            via=self.request.via,
            delivery=self.request.delivery,
            who=self.request.who,
            rule=self.rule,
        )

    def check_target(self, kind: type[Command]) -> None:
        """See that the subject names what the verb is for, in containerd's grammar.

        Raises:
            CommandFailed: `invalid_argument`.
        """
        verb, namespace, container = kind.verb, self.subject.namespace, self.subject.container
        if kind.targets == "container" and (namespace is None or container is None):
            raise CommandFailed("invalid_argument", f"{verb} is for one container: name its namespace and its id")
        if kind.targets in {"node", "namespace"} and container is not None:
            raise CommandFailed("invalid_argument", f"{verb} is for no single container: leave {container!r} out")
        if container is not None and namespace is None:
            raise CommandFailed("invalid_argument", f"container {container!r} is in a namespace: name that too")
        if kind.targets == "node" and namespace is not None:
            raise CommandFailed("invalid_argument", f"{verb} is for the whole node: leave namespace {namespace!r} out")
        try:
            if namespace is not None:
                check_identifier(namespace, "namespace")
            if container is not None:
                check_identifier(container, "container id")
        except ValueError as error:
            raise CommandFailed("invalid_argument", str(error)) from error


def _short(text: str) -> str:
    """Return what is wrong with options as a line of bearable length: it may repeat a name of any length, with anything in it."""
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    return text if text.isprintable() else ascii(text)[1:-1]


def read_order(request: CommandRequest, received_at: Nanos) -> Order:
    """Read a request; an empty body is an object without members. Never raises."""
    kind = COMMANDS.get(request.subject.verb)
    body = request.body or b"{}"
    command: Command | None = None
    flaw: CommandFailed | None = None
    if kind is not None:
        try:
            command = decode_as(body, kind)
        except BadEnvelope as error:
            words = _short(explained(kind, str(error)))
            flaw = CommandFailed("invalid_argument", f"the options of {kind.verb} are not valid: {words}")
    return Order(
        subject=request.subject,
        kind=kind,
        command=command,
        flaw=flaw,
        id=(command.id if command else id_in(body)) or request.name or new_ulid(),
        received_at=received_at,
        request=request,
        arrived_ns=time.monotonic_ns(),
    )
