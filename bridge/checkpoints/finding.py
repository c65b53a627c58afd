"""Findings of a verdict, and what both verdicts look at: CRIU, the room on the disk, and what a spec says.

What cannot be seen from here is `unknown` and never `ok`. `blocks` is kept for what is known to fail, because it refuses the
command unless its sender insists.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, Protocol, TypeAlias

from bridge.checkpoints.layout import shown
from bridge.model.checkpoints import Finding, HostFacts

__all__ = [
    "CriuSays",
    "HOST_NETWORK",
    "Network",
    "binds_of",
    "blocks",
    "devices_of",
    "fine",
    "found_criu",
    "found_space",
    "host_paths",
    "mapping",
    "namespaces_of",
    "network_of",
    "network_path",
    "numbers",
    "plain",
    "risk",
    "some",
    "unknown",
]

Network: TypeAlias = Literal["own", "path", "host", "unknown"]
"""Its own, one that somebody made, or the host's."""

HOST_NETWORK: Final = "the container is in the host's network, which CRIU would lock for everybody"


INIT_NETWORK: Final = "/proc/1/ns/net"
"""The host's network by its path, as the host's own tools write it."""


class CriuSays(Protocol):
    """What CRIU says of its host (`bridge.ports.CriuCheck`). `works` is null where it could not be asked."""

    @property
    def version(self) -> str:
        """Its version, empty where it is not there."""
        ...

    @property
    def works(self) -> bool | None:
        """Whether it can do its work here."""
        ...

    @property
    def says(self) -> str:
        """What it says, where it cannot."""
        ...


def fine(check: str, says: str) -> Finding:
    """Return what was looked at and is as it should be."""
    return Finding(check=check, level="ok", says=says)


def unknown(check: str, says: str, way_out: str) -> Finding:
    """Return what cannot be seen from here."""
    return Finding(check=check, level="unknown", says=says, way_out=way_out)


def risk(check: str, says: str, way_out: str) -> Finding:
    """Return what may fail."""
    return Finding(check=check, level="risk", says=says, way_out=way_out)


def blocks(check: str, says: str, way_out: str) -> Finding:
    """Return what will fail."""
    return Finding(check=check, level="blocks", says=says, way_out=way_out)


def numbers(version: str) -> tuple[int, ...]:
    """Return the first numbers of a version, `6.18.1-fc` as (6, 18, 1); none where it is not known."""
    found = re.match(r"v?(\d{1,6})(?:\.(\d{1,6}))?(?:\.(\d{1,6}))?", version, re.ASCII)
    return () if found is None else tuple(int(part) for part in found.groups() if part is not None)


def some(names: list[str], most: int = 5) -> str:
    """Return a few of many names for a sentence."""
    rest = len(names) - most
    return ", ".join(plain(name) for name in names[:most]) + (f" and {rest} more" if rest > 0 else "")


def mapping(value: object, *path: str) -> Mapping[str, Any]:
    """Return what stands there in a spec, empty where it is no object: specs come from elsewhere."""
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def plain(text: str) -> str:
    """Return text from elsewhere as part of a sentence."""
    return shown(text)[1:-1]


def found_criu(host: HostFacts, criu: CriuSays) -> Finding:
    """Judge CRIU itself: whether it is there, whether it works here, and whether it knows this kernel."""
    version = plain(criu.version or host.criu)
    if not version and criu.works is False:
        return blocks(
            "criu", "there is no CRIU on the host", "install CRIU 4.1 or later where containerd's shims find it"
        )
    # Linux 6.13 gave x86 processes one mapping more; older versions fail on it when they look at the first process.
    if host.arch == "amd64" and numbers(host.kernel) >= (6, 13) and () < numbers(version) < (4, 1):
        return blocks("criu", f"CRIU {version} does not know Linux {plain(host.kernel)}", "install CRIU 4.1 or later")
    if criu.works is False:
        said = plain(criu.says) or "nothing more"
        return blocks("criu", f"CRIU cannot work on this host; it says: {said}", "give the kernel what it names")
    if criu.works is None:
        says = f"CRIU {version} is there" if version else "whether CRIU is there is not known"
        return unknown("criu", f"{says}; it could not be asked whether it works here", "run `criu check` on the host")
    return fine("criu", f"CRIU {version} says that it works here" if version else "CRIU says that it works here")


def found_space(what: str, needed: int | None, free: int | None) -> Finding:
    """Judge whether `what` has room on the disk."""
    if needed is None or free is None:
        return unknown("space", f"whether there is room for {what} is not known", "look with `df`")
    if needed > free:
        says = f"there is no room for {what}: it takes {needed} bytes, and {free} are free"
        return blocks("space", says, "make room, or let checkpoint_dir be where there is more")
    return fine("space", f"there is room for {what}")


def network_of(spec: Mapping[str, Any] | None) -> Network:
    """Return in which network a spec puts its container."""
    if spec is None:
        return "unknown"
    for one in objects(mapping(spec, "linux").get("namespaces")):
        if one.get("type") == "network":
            path = one.get("path")
            return "own" if not path else "host" if path == INIT_NETWORK else "path"
    return "host"


def namespaces_of(spec: Mapping[str, Any] | None) -> list[str]:
    """Return the paths of the namespaces that a spec's container is to join."""
    paths = [one.get("path") for one in objects(mapping(spec, "linux").get("namespaces"))]
    return [str(path) for path in paths if path]


def binds_of(spec: Mapping[str, Any]) -> list[str]:
    """Return where a spec mounts something of the host's in its container."""
    return [str(one.get("destination", "")) for one in objects(spec.get("mounts")) if _bound(one)]


def host_paths(spec: Mapping[str, Any]) -> list[str]:
    """Return the paths of the host that a spec needs: of what it binds into the container, of namespaces it joins, of devices.

    Which of them are not there is `ToRestore.missing`.
    """
    binds = [str(one.get("source", "")) for one in objects(spec.get("mounts")) if _bound(one)]
    return [path for path in dict.fromkeys([*binds, *namespaces_of(spec), *devices_of(spec)]) if path.startswith("/")]


def network_path(spec: Mapping[str, Any]) -> str:
    """Return the path of the network that a spec's container joins, empty where it joins none."""
    for one in objects(mapping(spec, "linux").get("namespaces")):
        if one.get("type") == "network":
            return str(one.get("path") or "")
    return ""


def devices_of(spec: Mapping[str, Any] | None) -> dict[str, str]:
    """Return what devices a spec gives its container, by where the kernel shows them: runc makes nodes of any numbers."""
    found = {}
    for one in objects(mapping(spec, "linux").get("devices")):
        kind, major, minor = one.get("type"), one.get("major"), one.get("minor")
        if kind in {"b", "c", "u"} and isinstance(major, int) and isinstance(minor, int):
            found[f"/sys/dev/{'block' if kind == 'b' else 'char'}/{major}:{minor}"] = str(one.get("path", ""))
    return found


def _bound(mount: Mapping[str, Any]) -> bool:
    options = mount.get("options")
    return mount.get("type") == "bind" or (isinstance(options, list) and ("bind" in options or "rbind" in options))


def objects(value: object) -> list[Mapping[str, Any]]:
    """Return the objects of a list, as far as it is one."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []
