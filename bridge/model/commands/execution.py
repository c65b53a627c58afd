"""The commands that run processes in containers, and that look after the stdio of what runs."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

from msgspec import Meta, Struct

from bridge.model import outcomes
from bridge.model.commands.command import Cells, Command, Seconds, WindowSize
from bridge.model.commands.groups import Group

__all__ = ["EXECUTION", "Attach", "CloseStdin", "Exec", "ExecMode", "Resize"]

ExecMode: TypeAlias = Literal["attached", "detached", "captured"]


class Exec(Command, frozen=True, kw_only=True):
    """Run another process in a running container, with its stdio on the bus.

    The process is the container's own in everything that is not asked for here: environment, directory, user, capabilities,
    limits. Its output goes to `containerd.stdio.<node>.<namespace>.<container>.<exec id>.stdout` and `.stderr`, whatever
    the mode; with a terminal there is only stdout.

    Attributes:
        args: the program and its arguments; no shell is put between.
        env: variables that are added or replaced.
        cwd: working directory; the container's own unless given.
        user: `uid`, `uid:gid`, `name` or `name:group`, as the container's own files name them.
        tty: give it a terminal.
        width: the terminal's columns, 0 for as it is.
        height: its lines.
        capabilities: exactly these, such as `CAP_NET_ADMIN`; the container's own unless given.
        stdin: keep its standard input open for what is sent on the bus; else it is at its end from the beginning.
        mode: `detached` answers when the process runs; `attached` when it has ended and all its output is stored;
            `captured` too, with the output in the answer, up to 256 KiB for each stream.
        timeout: seconds after which it is killed.
        exec_id: its name; the command's id unless given. One command runs it once, however often it is sent.
        window: bytes of output that may be stored before somebody has read them, for an owner who tells what he has read;
            without it output is stored as it comes.
    """

    verb: ClassVar[str] = "exec"
    group: ClassVar[Group] = "exec"
    result: ClassVar[type[Struct]] = outcomes.ExecResult

    args: list[str] = []  # noqa: RUF012 - msgspec copies it for each
    env: dict[str, str] = {}  # noqa: RUF012
    cwd: str | None = None
    user: str | None = None
    tty: bool = False
    width: Cells = 0
    height: Cells = 0
    capabilities: list[str] | None = None
    stdin: bool = False
    mode: ExecMode = "captured"
    timeout: Seconds | None = None
    exec_id: str | None = None
    window: WindowSize | None = None


class Attach(Command, frozen=True, kw_only=True):
    """Tell where the stdio of a process is on the bus: of an exec, or of the container's own process.

    Only of processes that this bridge started with their stdio on the bus; those of others have theirs elsewhere. Of a container
    that was created to have it there and was not started, the process is the one to come: what is sent to it follows it.
    """

    verb: ClassVar[str] = "attach"
    repeatable: ClassVar[bool] = True
    follows: ClassVar[bool] = True
    group: ClassVar[Group] = "exec"
    result: ClassVar[type[Struct]] = outcomes.ExecResult

    exec_id: str | None = None


class Resize(Command, frozen=True, kw_only=True):
    """Give the terminal of a process another size."""

    verb: ClassVar[str] = "resize"
    repeatable: ClassVar[bool] = True
    follows: ClassVar[bool] = True
    group: ClassVar[Group] = "exec"
    result: ClassVar[type[Struct]] = outcomes.Done

    width: Annotated[int, Meta(ge=1, le=65535)] = 80
    height: Annotated[int, Meta(ge=1, le=65535)] = 24
    exec_id: str | None = None


class CloseStdin(Command, frozen=True, kw_only=True):
    """End the standard input of a process; ended already is success. It may end before its container is started."""

    verb: ClassVar[str] = "close-stdin"
    repeatable: ClassVar[bool] = True
    follows: ClassVar[bool] = True
    group: ClassVar[Group] = "exec"
    result: ClassVar[type[Struct]] = outcomes.Done

    exec_id: str | None = None


EXECUTION: tuple[type[Command], ...] = (Exec, Attach, Resize, CloseStdin)
