"""Who a user is inside a container, by the container's own `/etc/passwd` and `/etc/group`.

These files belong to whoever wrote the image, so they are opened one directory after the other from the container's root, no
symbolic link is followed (an absolute one would lead into the host's files), and only so much of a regular file is read.

The root is that of the task's first process, `/proc/<pid>/root`. The pid is one of containerd's own PID namespace; seen from
here the process may have another number, and the number may be another process's. So the process is looked for by its number
in any namespace that it is in, and counts only if its control group is named after the container.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from typing import Final

from bridge.errors import CommandFailed
from bridge.ports.processes import UserIds

__all__ = ["lookup_user"]

LONGEST: Final = 1 << 20
"""Bytes of either file that are read."""

LARGEST_ID: Final = (1 << 31) - 1
_FORM: Final = re.compile(r"([^:\0\n]+)(?::([^:\0\n]+))?")


def lookup_user(user: str, container: str, pid: int) -> UserIds:
    """Return who `user` is; see `bridge.ports.Processes.user`. Blocks for as long as the files take."""
    form = _FORM.fullmatch(user)
    if form is None:
        raise CommandFailed("invalid_argument", f"user {user!r} is not valid: give uid, uid:gid, name or name:group")
    name, group = form[1], form[2]
    uid, gid = _number(name), None if group is None else _number(group)
    if uid is not None and gid is not None:
        return UserIds(uid, gid)
    try:
        root = _root_of(container, pid)
    except OSError as error:
        if uid is not None and group is None:
            return UserIds(uid, 0)
        raise CommandFailed(
            "failed_precondition",
            f"the files of container {container} cannot be looked into ({error.strerror}): give user {user!r} as uid:gid",
        ) from error
    try:
        return _look_up(root, container, name, group)
    finally:
        os.close(root)


def _look_up(root: int, container: str, name: str, group: str | None) -> UserIds:
    uid = _number(name)
    login, own_gid = name if uid is None else None, 0
    for fields in _lines(root, "passwd", 4):
        number = _number(fields[2])
        if number is not None and (fields[0] == name if uid is None else number == uid):
            uid, login, own_gid = number, fields[0], _number(fields[3]) or 0
            break
    if uid is None:
        raise CommandFailed("invalid_argument", f"container {container} has no user {name!r}: give a uid, or add it")
    if group is not None:
        gid = _number(group)
        for fields in _lines(root, "group", 3) if gid is None else ():
            if fields[0] == group:
                gid = _number(fields[2])
                break
        if gid is None:
            raise CommandFailed("invalid_argument", f"container {container} has no group {group!r}: give a gid")
        return UserIds(uid, gid)
    groups = {
        number
        for fields in _lines(root, "group", 4)
        if login in fields[3].split(",") and (number := _number(fields[2])) is not None
    }
    return UserIds(uid, own_gid, tuple(sorted(groups - {own_gid})))


def _lines(root: int, name: str, fields: int) -> Iterator[list[str]]:
    try:
        for line in _read(root, name).splitlines():
            parts = line.split(":")
            if len(parts) >= fields:
                yield parts
    except OSError:
        return  # an image without such a file has no names


def _read(root: int, name: str) -> str:
    etc = os.open("etc", os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=etc)
    finally:
        os.close(etc)
    with open(file, "rb") as opened:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return ""
        return opened.read(LONGEST).decode("utf-8", "replace")


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


def _number(text: str) -> int | None:
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        return None
    number = int(text)
    return number if number <= LARGEST_ID else None
