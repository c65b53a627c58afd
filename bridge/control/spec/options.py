"""What the options of `create` and `run` change in a spec. The words are docker's, what they do is what `ctr run` does."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, Final

from bridge.errors import CommandFailed
from bridge.model.commands import Create, MountOption, Run
from bridge.model.commands.amounts import CPU_PERIOD_US, quota_of
from bridge.model.confinement import EVERY_CAPABILITY
from bridge.ports import HostDevice, Privileges

__all__ = ["NO_PRIVILEGES", "apply_options", "asks_privileges"]

HOST_FILES: Final = ("/etc/hosts", "/etc/resolv.conf")
"""What a container on the host's network needs of the host to find anybody."""

_BIND: Final = {"bind", "rbind"}


NO_PRIVILEGES: Final = Privileges((), ())
"""For a command that asks for none."""


def asks_privileges(command: Create) -> bool:
    """Tell whether a command needs to know what root may on the host."""
    return command.privileged or any(name.upper() in {"ALL", "CAP_ALL"} for name in command.cap_add)


def apply_options(spec: dict[str, Any], command: Create, privileges: Privileges = NO_PRIVILEGES) -> None:
    """Change the spec as the command asks.

    Args:
        spec: a new one, whose process is the image's.
        command: asks.
        privileges: those of root on the host, of which `privileged` and the capability ALL are made.

    Raises:
        CommandFailed: `invalid_argument`: an option cannot be what it is.
    """
    process = spec["process"]
    if command.tty:
        process["terminal"] = True
    if command.tty and isinstance(command, Run) and command.width and command.height:
        process["consoleSize"] = {"width": command.width, "height": command.height}
    if command.hostname is not None:
        spec["hostname"] = command.hostname
    if command.annotations:
        spec["annotations"] = dict(command.annotations)
    if command.read_only:
        spec["root"]["readonly"] = True
    spec["mounts"] += [_mount(each) for each in command.mounts]
    _network(spec, command.network)
    _resources(spec["linux"]["resources"], command)
    if command.privileged:
        _privilege(spec, privileges)
    _capabilities(process["capabilities"], command, privileges.capabilities)


def _mount(wanted: MountOption) -> dict[str, Any]:
    options = list(wanted.options)
    if wanted.type == "tmpfs":
        if wanted.source not in {"", "tmpfs"}:
            raise CommandFailed("invalid_argument", f"a tmpfs has no source: leave {wanted.source!r} out")
        source, options = "tmpfs", ["nosuid", "nodev", *options]
    else:
        source = wanted.source
        if not source.startswith("/") or "\0" in source:
            raise CommandFailed(
                "invalid_argument",
                f"the source of a bind mount is an absolute path of the host, and {source!r} is none",
            )
        if not _BIND & set(options):
            options.insert(0, "rbind")
    return {"destination": wanted.target, "type": wanted.type, "source": source, "options": options}


def _network(spec: dict[str, Any], wanted: str) -> None:
    if wanted == "none":  # a network namespace of its own with nothing in it: whoever wants to, puts something there
        return
    namespaces = spec["linux"]["namespaces"]
    if wanted != "host":
        next(one for one in namespaces if one["type"] == "network")["path"] = wanted.removeprefix("ns:")
        return
    namespaces[:] = [one for one in namespaces if one["type"] != "network"]
    spec["mounts"] += [
        {"destination": path, "type": "bind", "source": path, "options": ["rbind", "ro"]} for path in HOST_FILES
    ]
    host = f"HOSTNAME={os.uname().nodename}"
    if not any(each.startswith("HOSTNAME=") for each in spec["process"]["env"]):
        spec["process"]["env"].append(host)


def _resources(resources: dict[str, Any], command: Create) -> None:
    if command.memory is not None:
        resources["memory"] = {"limit": command.memory}
    if command.cpus is not None:
        resources["cpu"] = {"quota": quota_of(command.cpus), "period": CPU_PERIOD_US}
    if command.pids_limit is not None:
        resources["pids"] = {"limit": command.pids_limit}


def _privilege(spec: dict[str, Any], privileges: Privileges) -> None:
    """Take away what keeps the process from the host: it may then do there what root may.

    As `ctr run --privileged` with `--allow-new-privs`, from where containerd runs.
    """
    process, linux = spec["process"], spec["linux"]
    process["capabilities"] = {kind: list(privileges.capabilities) for kind in process["capabilities"]}
    process["noNewPrivileges"] = False
    linux["maskedPaths"], linux["readonlyPaths"] = [], []
    linux["resources"]["devices"] = [{"allow": True, "access": "rwm"}]
    if privileges.devices:
        linux["devices"] = [_node(device) for device in privileges.devices]
    for mount in spec["mounts"]:
        if mount["type"] in {"sysfs", "cgroup"}:
            mount["options"] = ["rw" if option == "ro" else option for option in mount["options"]]


def _node(device: HostDevice) -> dict[str, Any]:
    return {
        "path": device.path,
        "type": device.type,
        "major": device.major,
        "minor": device.minor,
        "fileMode": device.mode,
        "uid": device.uid,
        "gid": device.gid,
    }


def _capabilities(capabilities: dict[str, list[str]], command: Create, every: Sequence[str]) -> None:
    added, dropped = _names(command.cap_add), _names(command.cap_drop)
    for kind, present in capabilities.items():
        kept = [] if "CAP_ALL" in dropped else [name for name in present if name not in dropped]
        # ALL is all but what is dropped by its name, as docker has it.
        more = [name for name in every if name not in dropped] if "CAP_ALL" in added else added
        capabilities[kind] = [*kept, *(name for name in more if name not in kept)]


def _names(wanted: Iterable[str]) -> list[str]:
    names = []
    for text in wanted:
        name = text.upper()
        name = name if name.startswith("CAP_") else f"CAP_{name}"
        if name not in EVERY_CAPABILITY and name != "CAP_ALL":
            raise CommandFailed(
                "invalid_argument", f"capability {text!r} does not exist: give a name such as NET_ADMIN, or ALL"
            )
        names.append(name)
    return names
