"""What a spec asks of the host's file systems: what it binds into the container, and what else it mounts."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from bridge.policy.asks import Ask, Asks, shown

__all__ = ["anchored", "judge_mounts", "judge_path", "moved"]

_KNOWN: Final = frozenset({"destination", "options", "source", "type"})
_HARMLESS: Final = frozenset({"devpts", "mqueue", "tmpfs"})
_BIND: Final = frozenset({"bind", "rbind"})
_OF_PROCESS: Final = re.compile(r"/proc/+(self|thread-self|[0-9]+)(/|$)")
"""What lies there depends on who looks, and the number belongs to another process soon."""
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
    """Note a path of the host.

    One that is not absolute, goes up again, or is a process's in /proc, means what nobody can tell: no rule allows it.
    """
    clean = _is_clean(path)
    how = "writable" if write else "read-only"
    if below:
        how = "with other mounts below it writable (rbind without rro)"
    asks.add(
        "host_mounts",
        f"{what} {shown(path)} of the host, {how}",
        _normal(path) if clean else path,
        write=write,
        grantable=clean,
    )


# -- what is judged is what is mounted


def anchored(spec: Mapping[str, Any], resolve: Callable[[str], str]) -> dict[str, Any]:
    """Return a spec that names the paths of the host to which the symbolic links in its own lead now.

    What is judged is then what is mounted, and a link that somebody puts in its place later is seen by `moved`.
    """
    found = dict(spec)
    if isinstance(mounts := spec.get("mounts"), list):
        found["mounts"] = [
            mount if (source := _bound(mount)) is None else {**mount, "source": resolve(source)} for mount in mounts
        ]
    if (path := _root(spec)) is not None:
        found["root"] = {**spec["root"], "path": resolve(path)}
    return found


def moved(spec: Mapping[str, Any], resolve: Callable[[str], str]) -> tuple[Ask, ...]:
    """Return what an `anchored` spec names that leads elsewhere by now. No rule allows it: nobody has judged what is there."""
    mounts = spec.get("mounts")
    paths = [_bound(mount) for mount in mounts] if isinstance(mounts, list) else []
    return tuple(
        Ask(
            kind="moved",
            value=path,
            grantable=False,
            text=f"names {shown(path)} of the host, which leads to {shown(real)} now",
        )
        for path in dict.fromkeys([*paths, _root(spec)])
        if path is not None and (real := resolve(path)) != _normal(path)
    )


def _bound(mount: object) -> str | None:
    """Return what a mount binds, where that is a path whose links can be followed."""
    if not isinstance(mount, Mapping):
        return None
    source, options = mount.get("source"), mount.get("options")
    words = {each.strip().lower() for each in options if isinstance(each, str)} if isinstance(options, list) else set()
    binds = mount.get("type") in ("bind", "rbind") or bool(words & _BIND)
    if not binds or not isinstance(source, str) or source in _FINDING:
        return None
    return source if _is_clean(source) else None


def _root(spec: Mapping[str, Any]) -> str | None:
    root = spec.get("root")
    path = root.get("path") if isinstance(root, Mapping) else None
    return path if isinstance(path, str) and _is_clean(path) else None


def _is_clean(path: str) -> bool:
    above = ".." in path.split("/")
    return path.startswith("/") and not above and "\0" not in path and not _OF_PROCESS.match(path)


def _normal(path: str) -> str:
    return "/" + posixpath.normpath(path).lstrip("/")
