"""Who a container's process is: `USER[:GROUP]` by the /etc/passwd and /etc/group of its own files (containerd, pkg/oci).

One reading for new containers and for execs in those that run. Both files are foreign data: a line that is none is passed over,
as libc does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from bridge.errors import CommandFailed

__all__ = ["GROUP", "LARGEST_LIST", "PASSWD", "process_user"]

PASSWD = "/etc/passwd"  # noqa: S105 - a path
GROUP = "/etc/group"

LARGEST_LIST = 1 << 20
"""Bytes of either file that are read."""

LARGEST_ID = 2**31 - 1


class _User(NamedTuple):
    name: str
    uid: int
    gid: int


class _Group(NamedTuple):
    name: str
    gid: int
    members: list[str]


def process_user(
    wanted: str, passwd: bytes | None, group: bytes | None, *, alone: bool = False, whose: str = "the image"
) -> dict[str, Any]:
    """Return `process.user` of the spec.

    Args:
        wanted: `USER` or `USER:GROUP`, names or numbers; empty for root.
        passwd: the container's /etc/passwd, None where it has none.
        group: its /etc/group likewise.
        alone: whether the user is in no other groups, whatever /etc/group says.
        whose: whose files these are, for sentences about them.

    Raises:
        CommandFailed: `invalid_argument`: a name is not there, or a number is none.
    """
    name, colon, of = wanted.partition(":")
    if not wanted:
        return _with_groups({"uid": 0, "gid": 0}, "root", group)
    number = _number(name)
    if number is None:
        user: _User | None = _find(_users(passwd), lambda one: one.name == name)
        if user is None:
            raise CommandFailed(
                "invalid_argument", f"there is no user {name!r} in {PASSWD} of {whose}: give a number, or UID:GID"
            )
    else:
        user = _find(_users(passwd), lambda one: one.uid == number) or _User("", number, 0)
    gid = _group_id(of, group, whose) if colon else user.gid
    return _with_groups({"uid": user.uid, "gid": gid}, "" if alone else user.name, group)


def _group_id(name: str, group: bytes | None, whose: str) -> int:
    number = _number(name)
    if number is not None:
        return number
    found: _Group | None = _find(_groups(group), lambda one: one.name == name)
    if found is None:
        raise CommandFailed(
            "invalid_argument", f"there is no group {name!r} in {GROUP} of {whose}: give its number instead"
        )
    return found.gid


def _with_groups(user: dict[str, Any], name: str, group: bytes | None) -> dict[str, Any]:
    # The first group stands among the additional ones too: CVE-2022-2989 and its like.
    more = [one.gid for one in _groups(group) if name and one.name != name and name in one.members]
    gids = list(dict.fromkeys(more))
    return {**user, "additionalGids": gids if user["gid"] in gids else [user["gid"], *gids]}


def _number(text: str) -> int | None:
    if not (text.isascii() and text.isdigit()):
        return None
    if len(text) > 10 or int(text) > LARGEST_ID:
        raise CommandFailed("invalid_argument", f"{text} is no user or group: give a number from 0 to {LARGEST_ID}")
    return int(text)


def _users(passwd: bytes | None) -> Iterator[_User]:
    for name, _, uid, gid, *_ in _lines(passwd, 4):
        if _is_id(uid) and _is_id(gid):
            yield _User(name, int(uid), int(gid))


def _groups(group: bytes | None) -> Iterator[_Group]:
    for name, _, gid, *rest in _lines(group, 3):
        if _is_id(gid):
            yield _Group(name, int(gid), rest[0].split(",") if rest else [])


def _lines(text: bytes | None, least: int) -> Iterator[list[str]]:
    for line in (text or b"").decode("utf-8", "surrogateescape").split("\n"):
        fields = line.strip().split(":")
        if fields[0] and not fields[0].startswith("#") and len(fields) >= least:
            yield fields


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= LARGEST_ID


def _find(entries: Iterator[Any], fits: Callable[[Any], bool]) -> Any:
    return next((entry for entry in entries if fits(entry)), None)
