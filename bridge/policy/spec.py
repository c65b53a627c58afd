"""What an OCI spec asks of its host beyond containerd's default.

This reads hostile input, is total, and errs on the side of asking: what it does not know is an ask too. It looks at the text of
the spec only; where a path leads on the host is seen by whoever judges (`bridge.policy.permissions`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bridge.model.confinement import MASKED, READ_ONLY
from bridge.policy.asks import Ask, Asks, shown
from bridge.policy.devices import judge_devices, judge_rules
from bridge.policy.mounts import judge_mounts, judge_path
from bridge.policy.process import judge_process

__all__ = ["RUNTIME", "asks_of", "asks_of_runtime"]

RUNTIME: Final = "io.containerd.runc.v2"
"""The runtime that needs no permission."""

_TOP: Final = frozenset(
    {"annotations", "domainname", "hooks", "hostname", "linux", "mounts", "ociVersion", "process", "root"}
)
_LINUX: Final = frozenset(
    {"cgroupsPath", "devices", "maskedPaths", "namespaces", "readonlyPaths", "resources", "rootfsPropagation"}
    | {"seccomp", "sysctl"}
)
_RESOURCES: Final = frozenset({"blockIO", "cpu", "devices", "hugepageLimits", "memory", "pids"})
_SECCOMP: Final = frozenset({"architectures", "defaultAction", "defaultErrnoRet", "flags", "syscalls"})

_SEPARATE: Final = ("pid", "ipc", "uts", "mount", "network")
"""Namespaces that every container of containerd has for itself."""
_OTHER: Final = ("user", "cgroup", "time")
_SHORT: Final = {"network": "net"}

MASKED_LATER: Final = frozenset({"/proc/asound", "/sys/devices/virtual/powercap"})
"""Those that clients of older containerds leave open; what these have made is not refused for it."""

_CONTAINED: Final = frozenset({"private", "rprivate", "slave", "rslave"})


def asks_of(spec: Mapping[str, Any], *, cgroups_path: str | None = None, existing: bool = False) -> tuple[Ask, ...]:
    """Return what a spec asks, in no order that means anything. Total: whatever `spec` is, there is an answer.

    Args:
        spec: the OCI spec of a container.
        cgroups_path: the control group that containerd itself would choose, `/<namespace>/<container>`.
        existing: whether it is the spec of a container that is there, which an older client may have made.
    """
    asks = Asks()
    table = asks.table(spec, "spec")
    asks.leave(table, _TOP, "")
    judge_process(asks, table.get("process"), "process")
    _judge_root(asks, table.get("root"))
    judge_mounts(asks, table.get("mounts"))
    if table.get("hooks") not in (None, {}):
        asks.add("hooks", "runs programs on the host (hooks)")
    for key in asks.table(table.get("annotations"), "annotations"):
        asks.add("annotations", f"gives the runtime the annotation {shown(key)}", key)
    _judge_linux(asks, asks.table(table.get("linux"), "linux"), cgroups_path, MASKED_LATER if existing else frozenset())
    return asks.every()


def asks_of_runtime(name: str, options: Mapping[str, Any] | None = None) -> tuple[Ask, ...]:
    """Return what choosing a runtime asks, and each of its options that is not left at its default."""
    asks = Asks()
    if name not in ("", RUNTIME):
        asks.add("runtimes", f"runs with the runtime {shown(name)}", name)
    for key, value in asks.table(options, "runtime options").items():
        if value not in (None, "", 0, False):
            asks.add("runtime_options", f"sets the runtime's option {shown(key)} to {shown(value)}", key)
    return asks.every()


def _judge_root(asks: Asks, root: object) -> None:
    table = asks.table(root, "root")
    asks.leave(table, frozenset({"path", "readonly"}), "root")
    path = asks.text(table.get("path"), "root.path")
    if path in ("", "rootfs"):
        return
    if path.startswith("/"):
        judge_path(asks, path, "has its root file system at", write=table.get("readonly") is not True)
    else:
        asks.add("host_mounts", f"has its root file system at {shown(path)}", path, write=True, grantable=False)


def _judge_linux(asks: Asks, linux: Mapping[Any, Any], cgroups_path: str | None, left_open: frozenset[str]) -> None:
    asks.leave(linux, _LINUX, "linux")
    _judge_namespaces(asks, linux.get("namespaces"))
    resources = asks.table(linux.get("resources"), "linux.resources")
    asks.leave(resources, _RESOURCES, "linux.resources")
    judge_rules(asks, resources.get("devices"))
    judge_devices(asks, linux.get("devices"))
    for what, kept in (("maskedPaths", MASKED), ("readonlyPaths", READ_ONLY)):
        missing = set(kept).difference(left_open, asks.texts(linux.get(what), f"linux.{what}"))
        if missing:
            text = f"sees what is hidden or protected by default ({', '.join(sorted(missing)[:3])})"
            asks.add("masked_paths", text, what)
    seccomp = asks.table(linux.get("seccomp"), "linux.seccomp")
    asks.leave(seccomp, _SECCOMP, "linux.seccomp")
    for key in asks.table(linux.get("sysctl"), "linux.sysctl"):
        asks.add("sysctls", f"sets {shown(key)}", key)
    path = asks.text(linux.get("cgroupsPath"), "linux.cgroupsPath")
    if path and path != cgroups_path:
        clean = ".." not in path.replace(":", "/").split("/")
        asks.add("cgroup_paths", f"runs in the control group {shown(path)}", path, grantable=clean)
    propagation = asks.text(linux.get("rootfsPropagation"), "linux.rootfsPropagation")
    if propagation and propagation not in _CONTAINED:
        asks.add("propagation", f"passes its mounts on to the host (rootfsPropagation {shown(propagation)})")


def _judge_namespaces(asks: Asks, namespaces: object) -> None:
    own: set[str] = set()
    for each in asks.entries(namespaces, "linux.namespaces"):
        entry = asks.table(each, "linux.namespaces")
        asks.leave(entry, frozenset({"type", "path"}), "linux.namespaces")
        kind = asks.text(entry.get("type"), "linux.namespaces.type")
        if kind not in (*_SEPARATE, *_OTHER):
            asks.unknown("linux.namespaces.type")
            continue
        own.add(kind)
        if path := asks.text(entry.get("path"), "linux.namespaces.path"):
            clean = path.startswith("/") and not {"..", "."}.intersection(path.split("/")) and "\0" not in path
            word = _SHORT.get(kind, kind)
            asks.add("namespace_paths", f"joins the {word} namespace at {shown(path)}", path, grantable=clean)
    for kind in _SEPARATE:
        if kind not in own:
            word = _SHORT.get(kind, kind)
            asks.add("host_namespaces", f"shares the host's {word} namespace", word)
