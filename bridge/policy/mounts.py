"""What a spec asks of the host's file systems: what it binds into the container, and what else it mounts."""

from __future__ import annotations

import posixpath
from typing import Final

from bridge.policy.asks import Asks, shown

__all__ = ["judge_mounts", "judge_path"]

_KNOWN: Final = frozenset({"destination", "options", "source", "type"})
_HARMLESS: Final = frozenset({"devpts", "mqueue", "tmpfs"})
_BIND: Final = frozenset({"bind", "rbind"})
_PASSED_ON: Final = frozenset({"shared", "rshared"})
_FINDING: Final = frozenset({"/etc/hosts", "/etc/resolv.conf"})
"""Files of the host that say how to find others, and no secrets: read-only they may be mounted by everybody."""
_PLACES: Final = {"proc": "/proc", "sysfs": "/sys"}
"""Where the paths are masked that these show: anywhere else they would show everything."""


def judge_mounts(asks: Asks, mounts: object) -> None:
    """Note what a spec's mounts ask."""
    for each in asks.entries(mounts, "mounts"):
        mount = asks.table(each, "mounts")
        asks.leave(mount, _KNOWN, "mounts")
        kind = asks.text(mount.get("type"), "mounts.type")
        source = asks.text(mount.get("source"), "mounts.source")
        target = asks.text(mount.get("destination"), "mounts.destination")
        options = {option.strip().lower() for option in asks.texts(mount.get("options"), "mounts.options")}
        if options & _PASSED_ON:
            asks.add("propagation", f"passes mounts below {shown(target)} on to the host")
        # The last of `ro` and `rw` holds, so only a mount that says nothing else counts as read-only.
        read_only = bool(options & {"ro", "rro"}) and not options & {"rw", "rrw"}
        if kind in _BIND or options & _BIND:
            if read_only and source in _FINDING:
                continue
            # `ro` is about the topmost mount alone: what is mounted below it comes along with rbind, and stays writable.
            below = read_only and "rro" not in options and (kind == "rbind" or "rbind" in options)
            judge_path(asks, source, "binds", write=not read_only or below, below=below)
        elif kind in _PLACES:
            if posixpath.normpath(target) != _PLACES[kind]:
                asks.add("masked_paths", f"sees all of {kind} at {shown(target)}", kind)
            if kind == "sysfs" and not read_only:
                asks.add("writable_cgroups", "may write to the host's /sys", "sysfs")
        elif kind in {"cgroup", "cgroup2"}:
            if not read_only:
                asks.add("writable_cgroups", f"may write to control groups at {shown(target)}", "cgroup")
        elif kind not in _HARMLESS:
            asks.add("file_systems", f"mounts a file system of type {shown(kind)} from {shown(source)}", kind)


def judge_path(asks: Asks, path: str, what: str, *, write: bool, below: bool = False) -> None:
    """Note a path of the host. One that is not absolute, or goes up again, means what nobody can tell: no rule allows it."""
    clean = path.startswith("/") and ".." not in path.split("/") and "\0" not in path
    normal = "/" + posixpath.normpath(path).lstrip("/") if clean else path
    how = "writable" if write else "read-only"
    if below:
        how = "with other mounts below it writable (rbind without rro)"
    asks.add("host_mounts", f"{what} {shown(path)} of the host, {how}", normal, write=write, grantable=clean)
