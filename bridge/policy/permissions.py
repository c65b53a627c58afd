"""What a rule lets a command ask of the host: the table `[rules.spec]`. Everything is off unless it is given.

A path is compared after its symbolic links have been followed, where somebody can follow them: the daemon can, on its host; the
command line takes paths as they stand.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta, Struct

from bridge.policy.asks import Ask

__all__ = ["NOTHING", "HostMount", "Permissions", "Resolve", "as_it_stands"]

Resolve: TypeAlias = Callable[[str], str]
"""Follows the symbolic links of a path of the host."""

HostPath: TypeAlias = Annotated[str, Meta(pattern=r"^/[^\x00]*$", max_length=4095)]
Device: TypeAlias = Annotated[str, Meta(pattern=r"^(\*|[bc*] ([0-9]{1,10}|\*):([0-9]{1,10}|\*))(?!\n)$")]
Capability: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Z_]+(?!\n)$")]
Pattern: TypeAlias = Annotated[str, Meta(min_length=1, max_length=4096)]
Namespace: TypeAlias = Literal["net", "pid", "ipc", "uts", "mount"]

GUARDED: Final = (
    *("/proc", "/sys", "/dev", "/boot", "/etc", "/root"),
    *("/run/containerd", "/var/run/containerd", "/var/lib/containerd", "/run/containerd-bridge"),
    *("/run/docker.sock", "/var/run/docker.sock", "/run/docker", "/var/lib/docker", "/var/lib/kubelet"),
    *("/run/crio", "/var/run/crio", "/run/podman", "/var/run/podman", "/var/lib/containerd-bridge"),
    *("/run/systemd", "/var/run/systemd", "/run/dbus", "/var/run/dbus", "/run/k3s", "/var/lib/rancher"),
)
"""Whoever writes there, or speaks to the sockets there, is root on the host: an entry that lies above is not enough for them."""


def as_it_stands(path: str) -> str:
    """Follow no links."""
    return path


class HostMount(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A path of the host that may be mounted, and everything below it; read-only unless `write`."""

    source: HostPath
    write: bool = False


class Permissions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a spec may ask beyond containerd's default. Lists hold patterns with `*` where nothing else is said."""

    privileged: bool = False
    """Every capability and device, unmasked paths, new privileges, no profile, writable control groups, root. No mounts,
    namespaces or hooks: those are asked for one by one."""
    host_mounts: list[HostMount] = []
    host_namespaces: list[Namespace] = []
    namespace_paths: list[HostPath] = []
    """Where namespaces of others may be joined: a path, or everything below it."""
    devices: list[Device] = []
    """`c 10:229`, `b 8:*`, or `*` for all of them."""
    capabilities: list[Capability] = []
    """`CAP_NET_ADMIN`, or `ALL`."""
    root_user: bool = False
    """Execs as root in a container that does not run as root itself."""
    new_privileges: bool = False
    masked_paths: bool = False
    unconfined: bool = False
    writable_cgroups: bool = False
    propagation: bool = False
    hooks: bool = False
    oom_score: bool = False
    file_systems: list[Pattern] = []
    cgroup_paths: list[Pattern] = []
    sysctls: list[Pattern] = []
    annotations: list[Pattern] = []
    runtimes: list[Pattern] = []
    runtime_options: list[Pattern] = []
    log_files: list[HostPath] = []
    """Where output may be written to: a file, or everything below a directory."""
    log_programs: list[HostPath] = []
    """Programs of the host that may take output, letter for letter; whoever asks for one chooses its arguments."""
    labels: list[Pattern] = []
    """Labels on which containerd or another client acts, such as `containerd.io/restart.*`."""
    hosts_dirs: list[HostPath] = []
    """Directories that may say how `pull` reaches registries."""
    checkpoint_paths: list[HostPath] = []
    """Where checkpoints may be written to, and restored from: a file or directory, or everything below it."""
    checkpoints: list[Pattern] = []
    """Checkpoints of other namespaces that may be restored, as `NAMESPACE/CONTAINER`: who restores one can read its memory."""
    trust: bool = False
    """Restoring what the catalogue does not vouch for: what is in a checkpoint is run, by CRIU, which is root."""
    fields: list[Pattern] = []
    """Fields of the spec that are not judged here, by their full name such as `linux.timeOffsets`."""
    existing: bool = False
    """Whatever containers ask that are there already, so that they can be started as whoever made them wanted."""

    def allows(self, ask: Ask, resolve: Resolve = as_it_stands, *, existing: bool = False) -> bool:
        """Tell whether this lets a spec ask that; `existing` where it is the spec of a container that is there already."""
        if (existing or ask.inherited) and self.existing:
            return ask.kind != "moved"
        if not ask.grantable or ask.kind == "moved":
            return False
        if self.privileged and ask.kind in _OF_PRIVILEGED:
            return True
        given: bool | Sequence[object] = getattr(self, ask.kind)
        return given if isinstance(given, bool) else self._lists(ask, given, resolve)

    def _lists(self, ask: Ask, given: Sequence[object], resolve: Resolve) -> bool:
        match ask.kind:
            case "host_mounts":
                found = _reaches(
                    ask, [each.source for each in self.host_mounts if each.write or not ask.write], resolve
                )
            case "log_files" | "checkpoint_paths":
                found = _reaches(ask, [str(each) for each in given], resolve)
            case "log_programs":
                # Links are not followed: many programs may be one file that goes by its name.
                found = ask.value in map(posixpath.normpath, self.log_programs)
            case "namespace_paths" | "hosts_dirs":
                real = resolve(ask.value)
                found = any(_within(real, resolve(str(each))) for each in given)
            case "capabilities":
                found = bool({ask.value, "ALL"}.intersection(self.capabilities))
            case "devices":
                found = any(_device_within(ask.value, each) for each in self.devices)
            case _:
                found = any(fnmatchcase(ask.value, str(pattern)) for pattern in given)
        return found


NOTHING: Final = Permissions()

_OF_PRIVILEGED: Final = frozenset(
    {"capabilities", "devices", "masked_paths", "new_privileges", "root_user", "unconfined", "writable_cgroups"}
)


def _reaches(ask: Ask, allowed: Sequence[str], resolve: Resolve) -> bool:
    """Tell whether the path that is asked for is one of these or lies below; what is the host itself only where it is one."""
    real = resolve(ask.value)
    exactly = any(_touches(path, guarded) for path in (ask.value, real) for guarded in GUARDED)
    sources = (resolve(posixpath.normpath(each)) for each in allowed)
    return any(real == source or (not exactly and _within(real, source)) for source in sources)


def _within(path: str, directory: str) -> bool:
    directory = posixpath.normpath(directory)
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def _touches(path: str, guarded: str) -> bool:
    """Tell whether a mount of `path` shows something of `guarded`: it is that, lies in it, or lies above it."""
    return _within(path, guarded) or _within(guarded, path)


def _device_within(asked: str, allowed: str) -> bool:
    if allowed == "*":
        return True
    kind, _, numbers = asked.partition(" ")
    allowed_kind, _, allowed_numbers = allowed.partition(" ")
    pairs = zip((kind, *numbers.split(":")), (allowed_kind, *allowed_numbers.split(":")), strict=True)
    return all(there in ("*", here) for here, there in pairs)
