"""One node's command plane: a method per verb, returning what the verb returns or raising why it failed."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import TypeVar

import msgspec
from msgspec import Struct

from bridge.client.remarks import NONE, Judgement, Remarks
from bridge.errors import CODES, BadEnvelope, CommandFailed
from bridge.model import commands, outcomes
from bridge.model.codec import decode_as, encode_any
from bridge.model.commands import Command, signal_number
from bridge.model.events import Failure
from bridge.model.identity import check_identifier, check_node
from bridge.model.outcomes import ContainerInfo, ImageInfo, Outcome, ProcessInfo
from bridge.model.subjects import Subjects
from bridge.ports import CommandSender

__all__ = ["Node", "timeout_of"]

R = TypeVar("R", bound=Struct)

_TIMEOUTS = {
    "list": 30.0,
    "inspect": 15.0,
    "pids": 15.0,
    "version": 10.0,
    "start": 60.0,
    "pause": 30.0,
    "resume": 30.0,
    "kill": 30.0,
    "delete": 60.0,
    "create": 900.0,
    "run": 900.0,
    "images": 60.0,
    "pull": 3600.0,
    "import": 3600.0,
    "rmi": 120.0,
}
"""Seconds to wait for an outcome. Commands on one container run one after another, so each may have to wait for another."""

_STOP_MARGIN = 15.0
"""Seconds beyond the grace time of a `stop`: to kill what is left, and to see it end."""


def timeout_of(command: Command) -> float:
    """Return how long the outcome of `command` may take, in seconds."""
    return command.grace + _STOP_MARGIN if isinstance(command, commands.Stop) else _TIMEOUTS[command.verb]


class Node:
    """A node by its name; nothing is sent until a method is called.

    Every method raises `CommandFailed`: with the node's own code and sentence where it failed there, `unavailable` where nobody
    took the command, `deadline_exceeded` where no outcome came in time and it is open whether there was an effect. What
    cannot be right whatever the node says, such as a signal that does not exist, is a ValueError and is not sent.
    """

    def __init__(self, name: str, sender: CommandSender, subjects: Subjects, remarks: Remarks = NONE) -> None:
        """Take the name, what carries commands there, and what is said beside each of them.

        Raises:
            ValueError: it cannot be a node's name.
        """
        self.name = check_node(name)
        self._sender = sender
        self._subjects = subjects
        self._remarks = remarks

    def remarking(self, remarks: Remarks) -> Node:
        """Return the same node, with these remarks on every command to it.

        With `dry_run` its methods do nothing: each raises `Judgement` where the command would be allowed, and `CommandFailed`
        (`refused`) where not; both say which rule decides.
        """
        return Node(self.name, self._sender, self._subjects, remarks)

    async def list(self, namespace: str | None = None, *, filters: Sequence[str] = ()) -> list[ContainerInfo]:
        """Return the containers of a namespace, or of all, with the state of their tasks."""
        command = commands.List(filters=builtins.list(filters))
        found = await self._ask(command, outcomes.ContainerList, namespace, None)
        return [self._own(container) for container in found.containers]

    async def inspect(self, container: str, *, namespace: str = "default") -> outcomes.InspectResult:
        """Return everything about one container."""
        found = await self._ask(commands.Inspect(), outcomes.InspectResult, namespace, container)
        return msgspec.structs.replace(found, container=self._own(found.container))

    async def pids(self, container: str, *, namespace: str = "default") -> builtins.list[ProcessInfo]:
        """Return the processes of a running container."""
        return (await self._ask(commands.Pids(), outcomes.PidList, namespace, container)).processes

    async def version(self) -> outcomes.VersionInfo:
        """Return the versions of the bridge and of its containerd."""
        return await self._ask(commands.Version(), outcomes.VersionInfo, None, None)

    async def start(self, container: str, *, namespace: str = "default") -> outcomes.TaskStarted:
        """Run the container."""
        return await self._ask(commands.Start(), outcomes.TaskStarted, namespace, container)

    async def pause(self, container: str, *, namespace: str = "default") -> outcomes.Done:
        """Freeze the container's processes."""
        return await self._ask(commands.Pause(), outcomes.Done, namespace, container)

    async def resume(self, container: str, *, namespace: str = "default") -> outcomes.Done:
        """Let the container's processes run on."""
        return await self._ask(commands.Resume(), outcomes.Done, namespace, container)

    async def kill(
        self,
        container: str,
        *,
        namespace: str = "default",
        signal: str | int = "SIGTERM",
        all: bool = False,  # noqa: A002 - the word of the contract
        exec_id: str | None = None,
    ) -> outcomes.Done:
        """Send a signal to the init process, to all processes, or to one exec."""
        signal_number(signal)
        command = commands.Kill(signal=signal, all=all, exec_id=exec_id)
        return await self._ask(command, outcomes.Done, namespace, container)

    async def stop(
        self, container: str, *, namespace: str = "default", grace: float = 10.0, signal: str | int | None = None
    ) -> outcomes.ExitInfo:
        """Ask the container to end, kill it after `grace` seconds, return how it ended."""
        if signal is not None:
            signal_number(signal)
        return await self._ask(commands.Stop(grace=grace, signal=signal), outcomes.ExitInfo, namespace, container)

    async def delete(
        self, container: str, *, namespace: str = "default", force: bool = False, keep_snapshot: bool = False
    ) -> outcomes.ExitInfo:
        """Remove the container, its ended task and its snapshot."""
        command = commands.Delete(force=force, keep_snapshot=keep_snapshot)
        return await self._ask(command, outcomes.ExitInfo, namespace, container)

    # -- containers and images

    async def create(self, container: str, command: commands.Create, *, namespace: str = "default") -> outcomes.Created:
        """Make a container of this id, as `command` says."""
        return await self._ask(command, outcomes.Created, namespace, container)

    async def run(self, container: str, command: commands.Run, *, namespace: str = "default") -> outcomes.Ran:
        """Make a container of this id and start it, as `command` says; how it ends, the log of events tells."""
        return await self._ask(command, outcomes.Ran, namespace, container)

    async def images(
        self, *, namespace: str = "default", filters: Sequence[str] = (), sizes: bool = True
    ) -> builtins.list[ImageInfo]:
        """Return the images of a namespace."""
        command = commands.Images(filters=builtins.list(filters), sizes=sizes)
        return (await self._ask(command, outcomes.ImageList, namespace, None)).images

    async def pull(self, command: commands.Pull, *, namespace: str = "default") -> ImageInfo:
        """Fetch an image from its registry; `Bus.transport.progress` tells how far it has come, where `command` has an id."""
        return (await self._ask(command, outcomes.Pulled, namespace, None)).image

    async def import_archive(self, command: commands.Import, *, namespace: str = "default") -> builtins.list[ImageInfo]:
        """Take in the images of an archive that lies in an object store; `Bus.transport.archive` puts it there."""
        return (await self._ask(command, outcomes.Imported, namespace, None)).images

    async def rmi(
        self, image: str, *, namespace: str = "default", force: bool = False, sync: bool = False
    ) -> outcomes.ImageRemoved:
        """Remove an image's name."""
        command = commands.Rmi(image=image, force=force, sync=sync)
        return await self._ask(command, outcomes.ImageRemoved, namespace, None)

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
        command = self._remarks.applied(command)
        subject = self._subjects.command(self.name, namespace, container, command.verb)
        seconds = timeout_of(command) if timeout is None else timeout
        try:
            return await self._sender.send(subject, _body(command), timeout=seconds)
        except CommandFailed as error:
            if error.code == "unavailable":
                raise await self._unavailable(command, error) from error
            raise

    async def _ask(self, command: Command, kind: type[R], namespace: str | None, container: str | None) -> R:
        outcome = await self.send(command, namespace=namespace, container=container)
        if outcome.outcome != "ok":
            raise _failed(outcome)
        try:
            if self._remarks.dry_run:
                raise Judgement(decode_as(encode_any(outcome.result), outcomes.Judged))
            return decode_as(encode_any(outcome.result), kind)
        except BadEnvelope as error:
            raise CommandFailed(
                "internal", f"{self.name} answered {command.verb} with something else than its result: {error}"
            ) from error

    def _own(self, container: ContainerInfo) -> ContainerInfo:
        return container if container.node else msgspec.structs.replace(container, node=self.name)

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


def _failed(outcome: Outcome) -> CommandFailed:
    failure = outcome.error or Failure(code="unknown", message=f"{outcome.verb} ended as {outcome.outcome}")
    code = next((code for code in CODES if code == failure.code), "unknown")
    return CommandFailed(code, failure.message, containerd=failure.containerd)  # type: ignore[arg-type]
