"""What running processes in a task, and looking after their stdio, needs of containerd."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from msgspec import Struct

__all__ = ["Processes", "Stdio", "UserIds"]


class Stdio(Struct, frozen=True, kw_only=True):
    """Paths of the FIFOs that a process's shim opens; empty is none. They are there, and their readers have them open.

    Without a terminal it is both `stdout` and `stderr` or neither; with one there is no `stderr`.
    """

    stdin: str = ""
    stdout: str = ""
    stderr: str = ""
    terminal: bool = False


class UserIds(NamedTuple):
    """A user of a container by numbers, and all groups that it is in, `gid` among them."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


class Processes(Protocol):
    """More processes in a task, and the stdio of each: execs by their id, the task's own with None. Errors are `CommandFailed`.

    From here on an exec has the life of a task: `Tasks` starts, watches, ends and deletes it by its id.
    """

    async def exec(self, namespace: str, container: str, exec_id: str, spec: Mapping[str, Any], stdio: Stdio) -> None:
        """Register a process; `start` runs it. `spec` is an OCI process.

        `already_exists` where there is one of this id, ended or not; `not_found` without a task, `failed_precondition` if
        that does not run.
        """
        ...

    async def resize(self, namespace: str, container: str, exec_id: str | None, *, width: int, height: int) -> None:
        """Give its terminal a size. Lost before `start`."""
        ...

    async def close_stdin(self, namespace: str, container: str, exec_id: str | None) -> None:
        """Let the shim close its own end of stdin, so that the process sees the end when ours is closed too.

        Lost before `start`; an error where there is no such process.
        """
        ...

    async def user(self, namespace: str, container: str, user: str) -> UserIds:
        """Return who `user` is in a running container: `uid`, `uid:gid`, `name` or `name:group`.

        Names are looked up in the container's own files. `invalid_argument` where there is none of this name, or where the
        text is none of these forms; `failed_precondition` where its files cannot be looked into.
        """
        ...
