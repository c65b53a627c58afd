"""Every subject of the contract, built and taken apart in one place.

Tokens that come from outside are quoted (`bridge.model.quoting`), and `-` alone stands for "no container".
"""

from __future__ import annotations

import re
from typing import NamedTuple

from bridge.model.quoting import NONE, joined, parted, quote, unquote

__all__ = [
    "NONE",
    "joined",
    "parted",
    "quote",
    "unquote",
    "ContainerKey",
    "Subjects",
    "EventSubject",
    "NodeSubject",
    "CommandSubject",
    "StdioSubject",
]

_WORD = re.compile(r"[a-z0-9-]+", re.ASCII)


class EventSubject(NamedTuple):
    """What the subject of a container event says; None stands for "no namespace" or "no container" (raw events)."""

    node: str
    namespace: str | None
    container: str | None
    event: str


class NodeSubject(NamedTuple):
    """What the subject of a node event says."""

    node: str
    event: str


class CommandSubject(NamedTuple):
    """What the subject of a command says; None stands for "no namespace" or "no container"."""

    node: str
    namespace: str | None
    container: str | None
    verb: str

    def includes(self, other: CommandSubject) -> bool:
        """Tell whether what the other one is for is part of what this one is for."""
        return self.namespace in {None, other.namespace} and self.container in {None, other.container}


class StdioSubject(NamedTuple):
    """One line of a process's stdio; None stands for the container's own process.

    `line` is `stdin`, `stdout` or `stderr`, or `credit`, on which its owner says how much of the output he has read.
    """

    node: str
    namespace: str
    container: str
    process: str | None
    line: str


class ContainerKey(NamedTuple):
    """A container, as the key of its state names it."""

    node: str
    namespace: str
    container: str


class Subjects:
    """The subjects under one root token (`containerd` unless configured otherwise)."""

    def __init__(self, root: str = "containerd") -> None:
        """Take the root token.

        Raises:
            ValueError: `root` is not one plain token of `[A-Za-z0-9_-]`.
        """
        if not re.fullmatch(r"[A-Za-z0-9_-]+", root, re.ASCII):
            raise ValueError(f"subject root {root!r} is not valid: one token of letters, digits, '_' and '-'")
        self.root = root

    # -- events: <root>.events.<node>.<namespace>.<container>.<event>, <root>.nodes.<node>.<event>

    def event(self, node: str, namespace: str | None, container: str | None, event: str) -> str:
        """Return the subject of one container event."""
        return f"{self.container_prefix(node, namespace, container)}.{_word(event)}"

    def container_prefix(self, node: str, namespace: str | None, container: str | None) -> str:
        """Return the subject of a container's events up to, and without, the last dot."""
        return f"{self.root}.events.{quote(node)}.{_or_none(namespace)}.{_or_none(container)}"

    def node(self, node: str, event: str) -> str:
        """Return the subject of one node event."""
        return f"{self.root}.nodes.{quote(node)}.{_word(event)}"

    def stream_subjects(self) -> list[str]:
        """Return the subjects that the stream of events takes in."""
        return [f"{self.root}.events.>", f"{self.root}.nodes.>"]

    def event_filter(
        self,
        node: str | None = None,
        namespace: str | None = None,
        container: str | None = None,
        event: str | None = None,
    ) -> str:
        """Return the filter for container events; what is None matches everything in its place."""
        return ".".join(
            (
                self.root,
                "events",
                quote(node) if node else "*",
                quote(namespace) if namespace else "*",
                quote(container) if container else "*",
                _word(event) if event else "*",
            )
        )

    def node_filter(self, node: str | None = None, event: str | None = None) -> str:
        """Return the filter for node events; what is None matches everything in its place."""
        return f"{self.root}.nodes.{quote(node) if node else '*'}.{_word(event) if event else '*'}"

    def parse_event(self, subject: str) -> EventSubject | NodeSubject:
        """Take the subject of an event apart.

        Raises:
            ValueError: `subject` is not one of ours.
        """
        match subject.split("."):
            case [self.root, "events", node, namespace, container, event]:
                return EventSubject(unquote(node), _from_none(namespace), _from_none(container), _word(event))
            case [self.root, "nodes", node, event]:
                return NodeSubject(unquote(node), _word(event))
            case _:
                raise ValueError(f"{subject!r} is not the subject of an event under {self.root!r}")

    # -- commands: <root>.commands.<node>.<namespace>.<container>.<verb>

    def command(self, node: str, namespace: str | None, container: str | None, verb: str) -> str:
        """Return the subject of a command; None stands for "no namespace" or "no container"."""
        return f"{self.root}.commands.{quote(node)}.{_or_none(namespace)}.{_or_none(container)}.{_word(verb)}"

    def command_filter(self, node: str, verb: str | None = None) -> str:
        """Return the subject on which a node takes commands, of one verb or, with None, of any."""
        return f"{self.root}.commands.{quote(node)}.*.*.{_word(verb) if verb else '*'}"

    def parse_command(self, subject: str) -> CommandSubject:
        """Take the subject of a command apart.

        Raises:
            ValueError: `subject` is not one of ours.
        """
        match subject.split("."):
            case [self.root, "commands", node, namespace, container, verb]:
                return CommandSubject(unquote(node), _from_none(namespace), _from_none(container), _word(verb))
            case _:
                raise ValueError(f"{subject!r} is not the subject of a command under {self.root!r}")

    def progress(self, node: str, command_id: str) -> str:
        """Return the subject on which a node tells how far a command has come."""
        return f"{self.root}.progress.{quote(node)}.{quote(command_id)}"

    # -- jobs: <root>.jobs.<node>.<namespace>.<container>.<verb>, and the same behind `quarantine`

    def job(self, command: str) -> str:
        """Return the subject under which a command is a durable job, from its subject as a request."""
        return f"{self.root}.jobs{command.removeprefix(f'{self.root}.commands')}"

    def job_filter(self, node: str | None = None) -> str:
        """Return the filter for the jobs of a node, or of all; whatever follows the node, also what is no command."""
        return f"{self.root}.jobs.{quote(node)}.>" if node else f"{self.root}.jobs.>"

    def parse_job(self, subject: str) -> CommandSubject:
        """Take the subject of a job apart.

        Raises:
            ValueError: `subject` is not one of ours.
        """
        try:
            return self.parse_command(f"{self.root}.commands{subject.removeprefix(f'{self.root}.jobs')}")
        except ValueError as error:
            raise ValueError(f"{subject!r} is not the subject of a job under {self.root!r}") from error

    def quarantine(self, node: str) -> str:
        """Return the subject of the jobs of a node that were put aside."""
        return f"{self.root}.quarantine.{quote(node)}"

    def quarantine_filter(self) -> str:
        """Return the filter for the jobs of all nodes that were put aside."""
        return f"{self.root}.quarantine.*"

    # -- stdio: <root>.stdio.<node>.<namespace>.<container>.<process>.<line>

    def stdio(self, subject: StdioSubject) -> str:
        """Return the subject of one line of a process's stdio."""
        node, namespace, container, process, line = subject
        return (
            f"{self.root}.stdio.{quote(node)}.{quote(namespace)}.{quote(container)}.{_or_none(process)}.{_word(line)}"
        )

    def stdio_filter(self, node: str, line: str) -> str:
        """Return the subject of one line of every process of a node."""
        return f"{self.root}.stdio.{quote(node)}.*.*.*.{_word(line)}"

    def stdio_stream_subjects(self) -> list[str]:
        """Return the subjects that the stream of output takes in."""
        return [f"{self.root}.stdio.*.*.*.*.{line}" for line in ("stdout", "stderr")]

    def parse_stdio(self, subject: str) -> StdioSubject:
        """Take the subject of a line of stdio apart.

        Raises:
            ValueError: `subject` is not one of ours.
        """
        match subject.split("."):
            case [self.root, "stdio", node, namespace, container, process, line]:
                return StdioSubject(
                    unquote(node), unquote(namespace), unquote(container), _from_none(process), _word(line)
                )
            case _:
                raise ValueError(f"{subject!r} is not the subject of a process's stdio under {self.root!r}")

    # -- schemas: <root>.schemas.<name>, and of one node's bridge <root>.schemas.<name>.<node>

    def schema(self, name: str, node: str | None = None) -> str:
        """Return the subject on which a schema is asked for, of any bridge or of a node's; `*` is every one."""
        asked = f"{self.root}.schemas.{name if name == '*' else quote(name)}"
        return f"{asked}.{quote(node)}" if node else asked

    def schema_filter(self) -> str:
        """Return the filter for requests for schemas, of whichever bridge."""
        return f"{self.root}.schemas.>"

    def parse_schema(self, subject: str) -> tuple[str, str | None]:
        """Return the name of the schema that is asked for, and the node that is to answer; None for any.

        Raises:
            ValueError: `subject` is not one of ours.
        """
        match subject.split("."):
            case [self.root, "schemas", name]:
                return unquote(name), None
            case [self.root, "schemas", name, node]:
                return unquote(name), unquote(node)
            case _:
                raise ValueError(f"{subject!r} is not the subject of a schema under {self.root!r}")

    # -- keys: <node>.<namespace>.<container> in bucket <root>-state, <node> in bucket <root>-nodes

    @property
    def state_bucket(self) -> str:
        """The key-value bucket with the state of every container."""
        return f"{self.root}-state"

    @property
    def node_bucket(self) -> str:
        """The key-value bucket with the record of every node."""
        return f"{self.root}-nodes"

    @property
    def command_bucket(self) -> str:
        """The key-value bucket with how each command stands."""
        return f"{self.root}-commands"

    @property
    def migration_bucket(self) -> str:
        """The key-value bucket with how each migration is, which decides where its container runs."""
        return f"{self.root}-migrations"

    @staticmethod
    def command_key(node: str, namespace: str | None, container: str | None, command_id: str) -> str:
        """Return the key of a command: `<node>.<namespace>.<container>.<id>`, so that NATS can permit one's own alone."""
        return f"{quote(node)}.{_or_none(namespace)}.{_or_none(container)}.{quote(command_id)}"

    @staticmethod
    def command_keys(
        node: str | None = None,
        command_id: str | None = None,
        *,
        namespace: str | None = None,
        container: str | None = None,
    ) -> str:
        """Return the pattern for the keys of commands; what is None matches everything in its place."""
        return ".".join(quote(name) if name else "*" for name in (node, namespace, container, command_id))

    @staticmethod
    def taken_back_key(node: str, namespace: str | None, container: str | None, command_id: str) -> str:
        """Return the key that says that a job was taken back: that of the command and `.taken-back`."""
        return f"{Subjects.command_key(node, namespace, container, command_id)}.taken-back"

    @property
    def archive_bucket(self) -> str:
        """The object store in which archives of images lie on their way to a node."""
        return f"{self.root}-archives"

    @property
    def checkpoint_bucket(self) -> str:
        """The key-value bucket of checkpoints' records, and the object store of their archives."""
        return f"{self.root}-checkpoints"

    @staticmethod
    def state_key(key: ContainerKey) -> str:
        """Return the key of a container's state."""
        return joined(key)

    @staticmethod
    def state_keys(node: str | None = None, namespace: str | None = None) -> str:
        """Return the pattern for the keys of states; what is None matches everything in its place."""
        return f"{quote(node) if node else '*'}.{quote(namespace) if namespace else '*'}.*"

    @staticmethod
    def parse_state_key(key: str) -> ContainerKey:
        """Take the key of a container's state apart.

        Raises:
            ValueError: `key` is not one of ours.
        """
        return ContainerKey(*parted(key, 3, "is not the key of a container's state"))


def _or_none(text: str | None) -> str:
    return NONE if text is None else quote(text)


def _from_none(token: str) -> str | None:
    return None if token == NONE else unquote(token)


def _word(word: str) -> str:
    # Event words and verbs are ours; this keeps a mistake of ours from becoming a wildcard.
    if not _WORD.fullmatch(word):
        raise ValueError(f"{word!r} is not an event or verb: lower-case letters, digits and '-'")
    return word
