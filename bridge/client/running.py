"""What a node does with processes: runs them in containers, and finds those that run with their stdio on the bus."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, Self, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from bridge.client.process import Process
from bridge.client.sending import AT_ONCE, Sending
from bridge.errors import ConfigError
from bridge.model import commands, outcomes
from bridge.model.commands import Command
from bridge.model.identity import new_ulid
from bridge.model.limits import CAPTURED
from bridge.model.stdio import WINDOW
from bridge.model.subjects import StdioSubject
from bridge.ports import StdioClient

__all__ = ["RunsProcesses"]

R = TypeVar("R", bound=Struct)


class RunsProcesses(ABC):
    """The part of `bridge.client.Node` that is about processes."""

    name: str
    _stdio: StdioClient | None

    @abstractmethod
    def sending(self, how: Sending) -> Self:
        """Return the same node, to which commands are sent like this."""

    @abstractmethod
    async def _ask(self, command: Command, kind: type[R], namespace: str | None, container: str | None) -> R: ...

    async def capture(
        self, container: str, args: Sequence[str], *, namespace: str = "default", **options: Any
    ) -> outcomes.ExecResult:
        """Run another process in the container to its end; return how it ended, and the first 256 KiB of each output.

        Takes the options of `bridge.model.commands.Exec`. What an answer has no room for, and what of a durable job is kept
        nowhere else, is read from the bus.
        """
        command = commands.Exec(args=list(args), mode="captured", **options)
        found = await self._ask(command, outcomes.ExecResult, namespace, container)
        if self._stdio is None or not any(map(_missing, (found.stdout, found.stderr))):
            return found
        first = {"stdout": b"", "stderr": b""}
        sizes = (found.stdout.size, found.stderr.size if found.stderr else 0)
        async with aclosing(self.process(found, container, namespace=namespace).output()) as pieces:
            async for piece in pieces:
                first[piece.stream] += piece.data[: CAPTURED - len(first[piece.stream])]
                if all(len(data) >= min(size, CAPTURED) for data, size in zip(first.values(), sizes, strict=True)):
                    break
        stderr = found.stderr and replace(found.stderr, captured=first["stderr"])
        return replace(found, stdout=replace(found.stdout, captured=first["stdout"]), stderr=stderr)

    async def exec(
        self,
        container: str,
        args: Sequence[str],
        *,
        namespace: str = "default",
        window: int | None = WINDOW,
        **options: Any,
    ) -> Process:
        """Run another process in the container and return it, running, with its stdio.

        Takes the options of `bridge.model.commands.Exec`. With a `window` it is yours: it waits when so many bytes of its output
        are stored that you have not read. With None it runs on by itself. What is yours is not run where you could not read it.

        Raises:
            CommandFailed: it does not run.
            LogUnavailable: the stream of its output does not answer; nothing was run.
            LogRefused: reading it is not allowed; nothing was run.
        """
        if window is not None:
            name = options.get("exec_id") or options.setdefault("id", new_ulid())
            await self.check_output(container, name, namespace=namespace)
        command = commands.Exec(args=list(args), mode="detached", window=window, **options)
        started = await self._ask(command, outcomes.ExecResult, namespace, container)
        return self.process(started, container, namespace=namespace, owned=window is not None, window=window or WINDOW)

    async def check_output(self, container: str, exec_id: str | None = None, *, namespace: str = "default") -> None:
        """See that what a process is going to write could be read; whoever runs one to be with it asks before.

        Raises:
            LogUnavailable: the stream does not answer.
            LogRefused: there is no such stream, or reading it is not allowed.
            ConfigError: this bus carries no stdio.
        """
        await self._lines().check(StdioSubject(self.name, namespace, container, exec_id, "stdout"))

    async def resize(
        self, container: str, exec_id: str | None = None, *, width: int, height: int, namespace: str = "default"
    ) -> outcomes.Done:
        """Give the terminal of an exec, or of the container's own process, another size."""
        command = commands.Resize(width=width, height=height, exec_id=exec_id)
        return await self._ask(command, outcomes.Done, namespace, container)

    async def close_stdin(
        self, container: str, exec_id: str | None = None, *, namespace: str = "default"
    ) -> outcomes.Done:
        """End the input of an exec, or of the container's own process; ended already is success."""
        return await self._ask(commands.CloseStdin(exec_id=exec_id), outcomes.Done, namespace, container)

    async def attach(
        self, container: str, exec_id: str | None = None, *, namespace: str = "default", owned: bool = False
    ) -> Process:
        """Return a running process with its stdio: an exec, or the container's own; `owned` as if you had started it."""
        command = commands.Attach(exec_id=exec_id)
        found = await self._ask(command, outcomes.ExecResult, namespace, container)
        return self.process(found, container, namespace=namespace, owned=owned, joined=True)

    def process(
        self,
        started: outcomes.ExecResult,
        container: str,
        *,
        namespace: str = "default",
        owned: bool = False,
        window: int = WINDOW,
        joined: bool = False,
    ) -> Process:
        """Return the process that a result tells of: of `exec` and `attach`, and the `process` of `run` and `start`.

        Args:
            started: the result.
            container: whose process it is.
            namespace: the container's.
            owned: whether it waits for us to read.
            window: bytes of output that we may leave unread then.
            joined: whether somebody else may have written to it before.

        Raises:
            ConfigError: this bus carries no stdio.
        """
        stdio = self._lines()
        # The id, the conditions and the deadline were those of the command that began it; a job could not be waited for here.
        ask = self.sending(AT_ONCE)._ask  # noqa: SLF001 - another of us

        async def resize(width: int, height: int) -> None:
            command = commands.Resize(width=width, height=height, exec_id=started.exec_id)
            await ask(command, outcomes.Done, namespace, container)

        async def signal(number: str | int) -> None:
            await ask(commands.Kill(signal=number, exec_id=started.exec_id), outcomes.Done, namespace, container)

        async def attach() -> outcomes.ExecResult:
            command = commands.Attach(exec_id=started.exec_id)
            return await ask(command, outcomes.ExecResult, namespace, container)

        return Process(
            StdioSubject(self.name, namespace, container, started.exec_id, "stdout"),
            started,
            stdio,
            resize=resize,
            signal=signal,
            owned=owned,
            window=window,
            joined=joined,
            attach=attach,
        )

    def _lines(self) -> StdioClient:
        if self._stdio is None:
            raise ConfigError("this bus carries no stdio: make it with bridge.client.connect")
        return self._stdio


def _missing(report: outcomes.StreamReport | None) -> bool:
    return report is not None and report.captured is None and report.size > 0
