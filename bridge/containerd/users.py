"""Who a user is inside a running container, by its own `/etc/passwd` and `/etc/group` (`bridge.model.users` reads them).

These files belong to whoever wrote the image, so they are looked for below the container's root, as `FileTree` does: a link leads
where it leads for the container, and never out of it.

The root is that of the task's first process, `/proc/<pid>/root`. The pid is one of containerd's own PID namespace; seen from
here the process may have another number, and the number may be another process's. So the process is looked for by its number
in any namespace that it is in, and counts only if its control group is named after the container.
"""

from __future__ import annotations

import os
import re
from typing import Any, Final

from bridge.containerd.file_tree import FileTree, TooLong
from bridge.errors import CommandFailed
from bridge.model.users import GROUP, LARGEST_LIST, PASSWD, process_user
from bridge.ports.processes import UserIds

__all__ = ["lookup_user"]

_FORM: Final = re.compile(r"[^:\0\n]+(:[^:\0\n]+)?")


def lookup_user(user: str, container: str, pid: int) -> UserIds:
    """Return who `user` is; see `bridge.ports.Processes.user`. Blocks for as long as the files take."""
    if _FORM.fullmatch(user) is None:
        raise CommandFailed("invalid_argument", f"user {user!r} is not valid: give uid, uid:gid, name or name:group")
    whose, alone = f"container {container}", ":" in user
    try:
        passwd, group = _lists(container, pid)
    except (OSError, TooLong) as error:
        try:
            return _ids(process_user(user, None, None, alone=alone))  # numbers will do
        except CommandFailed:
            why = f"a list is longer than {LARGEST_LIST} bytes" if isinstance(error, TooLong) else error.strerror
            raise CommandFailed(
                "failed_precondition",
                f"the files of {whose} cannot be looked into ({why}): give user {user!r} as uid:gid",
            ) from error
    return _ids(process_user(user, passwd, group, alone=alone, whose=whose))


def _ids(user: dict[str, Any]) -> UserIds:
    return UserIds(user["uid"], user["gid"], tuple(user["additionalGids"]))


def _lists(container: str, pid: int) -> tuple[bytes | None, bytes | None]:
    root = _root_of(container, pid)
    try:
        tree = FileTree([root])
        return tree.read(PASSWD, most=LARGEST_LIST), tree.read(GROUP, most=LARGEST_LIST)
    finally:
        os.close(root)


def _root_of(container: str, pid: int) -> int:
    # The same number first, and then whoever has it in another namespace.
    for candidate in (str(pid), *(name for name in os.listdir("/proc") if name.isdigit())):
        try:
            if _is(container, pid, candidate):
                root = os.open(f"/proc/{candidate}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                if _is(container, pid, candidate):  # the number is still the same process's
                    return root
                os.close(root)
        except OSError:
            continue
    raise FileNotFoundError(2, "its process is not to be seen from here")


def _is(container: str, pid: int, candidate: str) -> bool:
    with open(f"/proc/{candidate}/status", encoding="ascii", errors="replace") as status:
        numbers = next((line.split()[1:] for line in status if line.startswith("NSpid:")), [candidate])
    if str(pid) not in numbers:
        return False
    with open(f"/proc/{candidate}/cgroup", encoding="utf-8", errors="replace") as groups:
        return any(container in line.rstrip().rpartition("/")[2] for line in groups)
