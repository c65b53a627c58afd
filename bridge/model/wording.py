"""What the parts of a message mean, in words: taken from where the structs say it, for people who see only the schemas.

A struct tells of its fields in its docstring, in a list `Attributes` or in a sentence that names the field. What is called the
same in many structs is told once, in `FIELDS`; the end of a name says its unit. What a test finds without words fails it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

from msgspec import Struct

__all__ = ["FIELDS", "UNITS", "meaning", "structs_in", "summary"]

FIELDS: Final[Mapping[str, str]] = {
    "already": "It was so before, and nothing had to be done.",
    "annotations": "Annotations of the OCI spec, by name.",
    "archive": "The archive as it is stored.",
    "args": "The program and its arguments.",
    "began": "Whether the command had begun, and so what it did until then stays done.",
    "binary_name": "Name or path of the runtime's program.",
    "boot_id": "The kernel's id of the host's boot, new at every boot.",
    "bridge": "Version of the bridge.",
    "bundle": "Directory of the task's OCI bundle on the host.",
    "cap_add": "Capabilities to add, such as NET_ADMIN.",
    "cap_drop": "Capabilities to take away.",
    "capabilities": "Capabilities that the process has, in place of the container's.",
    "cgroup": "The control group.",
    "check": "Only judge whether it would succeed, and do nothing.",
    "checkpoint": "The checkpoint: a path of containerd's, or its key in the catalogue; empty where there is none.",
    "command": "The program and its arguments, in place of the image's.",
    "container": "Id of the container.",
    "container_id": "Id of the container.",
    "containerd": "Version of containerd.",
    "containerd_revision": "Revision that containerd was built from.",
    "containerd_version": "Version of containerd.",
    "containers": "The containers.",
    "cpu": "Use of processors.",
    "cpus": "Processors that may be used, such as 1.5.",
    "cpu_period": "Microseconds in which the quota of processor time holds.",
    "cpu_quota": "Microseconds of processor time in each period; -1 for no limit.",
    "cpu_shares": "Weight among others that want processors.",
    "cpuset_cpus": "Processors that may be used, such as 0-3,7.",
    "cpuset_mems": "Memory nodes that may be used.",
    "blkio_weight": "Weight among others that read and write block devices.",
    "created_at": "When it was made.",
    "current": "How many there are.",
    "cwd": "Working directory.",
    "device_read_bps": "Bytes a second that may be read, by device.",
    "device_read_iops": "Reads a second, by device.",
    "device_write_bps": "Bytes a second that may be written, by device.",
    "device_write_iops": "Writes a second, by device.",
    "digest": "Digest of the content, sha256: and 64 hex digits.",
    "entrypoint": "The image's entrypoint is replaced by this.",
    "empty_ns": "Namespaces of the kernel that are not dumped.",
    "env": "Environment variables.",
    "error": "Why it failed; null where it did not.",
    "event": "The event as containerd told it.",
    "event_type": "Type of the event.",
    "exec_id": "Id of an additional process (exec) of the container; null for its own process.",
    "execs": "Additional processes of the container.",
    "exit_status": "Status with which the process ended, 128 + n after signal n; null where nobody knows it.",
    "exited_at": "When the process ended; null where nobody knows it.",
    "expires_at": "When it is removed.",
    "findings": "Everything that was looked at.",
    "force": "Also where something speaks against it.",
    "freed": "Bytes that were freed.",
    "groups": "The groups of commands.",
    "height": "Lines of the terminal, 0 for as it is.",
    "host": "The host.",
    "hostname": "The host's name in the container.",
    "id": "Its id.",
    "image": "Name of the image.",
    "image_digest": "Digest of the image.",
    "images": "The images.",
    "incarnation": "Which life of the container's task: new at every task.",
    "io": "Where the stdio of the task goes; null where it was not told.",
    "io_gid": "Group that owns the stdio of the process.",
    "io_uid": "User who owns the stdio of the process.",
    "keep_snapshot": "Leave the container's file system where it is.",
    "killed": "Whether it had to be killed because it did not end by itself in time.",
    "labels": "Labels, by name; null where they were never seen.",
    "limit": "The limit; null where there is none.",
    "log": "UUID of the node's log, the first half of its events' positions.",
    "media_type": "Its media type.",
    "memory": "Memory in bytes.",
    "memory_reservation": "Bytes of memory that the container is held to where memory is short.",
    "memory_swap": "Bytes of memory and swap together; -1 for no limit.",
    "mounts": "What is mounted into the container.",
    "name": "A name that people gave, such as that of nerdctl or of compose; null where there is none.",
    "namespace": "The containerd namespace.",
    "namespaces": "Namespaces of containerd.",
    "network": "Traffic of each network interface.",
    "no_new_keyring": "Do not make a new session keyring.",
    "no_pivot_root": "Do not use pivot_root.",
    "node": "Name of the node.",
    "object": "Name of the object in the object store of archives.",
    "options": "Options.",
    "parent": "What it was made of.",
    "password": "Password at the registry.",
    "phase": "`started` right before it could have an effect, `finished` with its outcome.",
    "pid": "Process id on the host, 0 where there is none.",
    "pids": "Number of processes.",
    "pids_limit": "Processes that may be at the same time; -1 for no limit.",
    "plain_http": "Speak to the registry without TLS.",
    "privileged": "All capabilities and devices of the host.",
    "probe_ns": "How long the probe took from the bridge through containerd and back.",
    "processes": "The processes.",
    "read_only": "The container's root file system may not be written.",
    "reads": "Operations that read.",
    "reason": "Why.",
    "record": "The record of it.",
    "rm": "Delete the container once it has ended.",
    "root": "The runtime's own state directory.",
    "rootfs": "Mounts that make the task's root file system.",
    "rule": "What decided whether it is allowed, by its name in the node's policy.",
    "runc": "Options of runc.",
    "runtime": "Name of the runtime, such as io.containerd.runc.v2; null where it was never seen.",
    "runtime_options": "The runtime's own options.",
    "session": "Id of the process's stdio on the bus; null where it is not there.",
    "sha256": "SHA-256, 64 hex digits.",
    "shim_cgroup": "Control group of the shim.",
    "signal": "A signal by name, with or without SIG, or by number.",
    "size": "Size in bytes.",
    "snapshot_key": "The snapshot that is its file system.",
    "snapshotter": "The snapshotter.",
    "source": "What is mounted.",
    "spec": "The OCI spec.",
    "status": "How it stands, in containerd's words.",
    "stderr": "Where stderr goes; empty for nowhere.",
    "stdin": "Where stdin comes from; empty for nowhere.",
    "stdout": "Where stdout goes; empty for nowhere.",
    "stdio": "Where its stdio goes.",
    "swap": "Bytes of swap in use.",
    "swap_limit": "Bytes of swap that may be used; null for no limit.",
    "systemd_cgroup": "Let systemd make the control group.",
    "target": "Where it is mounted.",
    "task": "The task; null where there is none.",
    "terminal": "Whether it has a terminal.",
    "topic": "containerd's topic.",
    "tty": "Whether it has a terminal.",
    "type": "Which type it is.",
    "type_url": "Type of the encoded bytes.",
    "updated_at": "When it last changed.",
    "usage": "In use.",
    "user": "As which user, by name or number, and group behind a colon.",
    "username": "User at the registry.",
    "value": "The encoded bytes.",
    "verb": "The verb.",
    "verdict": "What was found before.",
    "version": "Version of the bridge.",
    "via": "Whether it came as a request or as a durable job.",
    "width": "Columns of the terminal, 0 for as it is.",
    "window": "Bytes of output that may be stored before somebody has read them.",
    "writes": "Operations that write.",
    "account": "The account in NATS.",
    "added_at": "When it was registered.",
    "bucket": "Name of the object store.",
    "bytes": "How many bytes.",
    "cgroups_mode": "What is done about control groups at restore; empty for the runtime's own default.",
    "command_id": "Id of the command.",
    "datacontenttype": "Media type of `data`.",
    "ended": "How it ended.",
    "ext_unix": "Also dump unix sockets whose other end is outside of the container.",
    "file_locks": "Also dump locks on files.",
    "finished_at": "When it was finished.",
    "grace": "Seconds that it may take to end by itself, before it is killed.",
    "left": "What could not be taken away.",
    "link_remap": "Also dump open files that have no name any more.",
    "made_at": "When it was made.",
    "outcome": "How the command ended: `ok` done, `error` failed, `refused` not allowed, `stale` meant for a state that is past, "
    "`unknown` undecidable after a crash; null until then.",
    "parents": "The layers, or parts, that this is one of.",
    "platform": "Operating system and architecture, such as linux/amd64.",
    "received_at": "When it came.",
    "resources": "What is set now.",
    "rx_dropped": "Packets that were dropped on their way in.",
    "rx_errors": "Errors on the way in.",
    "rx_packets": "Packets that came in.",
    "specversion": "Version of CloudEvents.",
    "stage": "How far it has come.",
    "started_at": "When it began to run; null where it has not, or nobody knows.",
    "stats": "What was measured.",
    "tcp_close": "At restore, let established TCP connections be closed.",
    "tcp_established": "Dump established TCP connections, which stop until they are restored.",
    "tcp_skip_in_flight": "Leave out TCP connections that are not established yet.",
    "tx_dropped": "Packets that were dropped on their way out.",
    "tx_errors": "Errors on the way out.",
    "tx_packets": "Packets that went out.",
    "wants_image": "Whether the image has to be sent first.",
    "Command.id": "Names the command for ever; the bridge makes one (a ULID) where the sender gives none.",
    "Command.dry_run": "Judge it and do nothing: the outcome says which rule of the node's policy decides.",
    "Command.purpose": "Why it is sent; it goes into the record, and nothing depends on it.",
    "Command.sender": "Who the sender says to be; it goes into the record, and nothing depends on it.",
    "ContainerEvent.image": "Name of the container's image at that time; null where it was never seen.",
    "ContainerEvent.labels": "Labels of the container at that time; null where they were never seen.",
    "ContainerEvent.name": "Name that people gave the container, at that time; null where it was never seen.",
    "ContainerEvent.runtime": "Name of the container's runtime, such as io.containerd.runc.v2; null where it was never seen.",
    "CheckpointRemove.name": "Its name among the container's checkpoints.",
    "ContainerCreate.id": "Id of the container.",
    "ContainerDelete.id": "Id of the container.",
    "ContainerInfo.id": "Id of the container.",
    "ContainerUpdate.id": "Id of the container.",
    "ImageCreate.labels": "Labels of the image, by name.",
    "ImageCreate.name": "Name of the image.",
    "ImageDelete.name": "Name of the image.",
    "ImageInfo.labels": "Labels of the image, by name.",
    "ImageInfo.name": "Name of the image.",
    "ImageUpdate.labels": "Labels of the image, by name.",
    "ImageUpdate.name": "Name of the image.",
    "NetworkStats.name": "Name of the interface.",
    "TaskExecExit.id": "Id of the process (exec).",
    "TaskExit.id": "Id of the process: that of the container.",
    "CommandState.stage": "`accepted`: it waits for its turn. `started`: it may have had an effect. `finished`: it has its "
    "outcome.",
    "Create.network": "`none`, `host`, or `ns:/PATH` of a network namespace.",
}
"""What a field of this name is, where its struct does not say; under `Struct.field` of that struct, and of those made from it."""

UNITS: Final[Mapping[str, str]] = {"_ns": "Nanoseconds.", "_us": "Microseconds.", "_s": "Seconds.", "_bytes": "Bytes."}
"""End of a field's name -> its unit."""

_ENTRY: Final = re.compile(r"^    (\w+): ", re.MULTILINE)
_SENTENCE: Final = re.compile(r"(?<=[.:;])\s+(?=[A-Z`])")


def summary(kind: type[Any]) -> str:
    """Return what a struct is: the first paragraph of its docstring. The rest is about its fields, or about Python."""
    return " ".join(_docstring(kind).split("\n\n")[0].split())


def meaning(kind: type[Any], field: str) -> str:
    """Return what a field of a struct is; empty where nobody says."""
    own = next((FIELDS[name] for each in kind.__mro__ if (name := f"{each.__name__}.{field}") in FIELDS), "")
    said = own or _said(kind, field) or FIELDS.get(field, "")
    for end, unit in UNITS.items():
        if field.endswith(end) and field != "empty_ns" and unit.lower().rstrip(".") not in said.lower():
            said = f"{said} {unit}".strip()
    return said[:1].upper() + said[1:] if said[:1].isalpha() else said


def structs_in(kind: Any) -> Iterator[type[Struct]]:
    """Iterate over the structs that a type is made of, itself included; each once."""
    seen: set[Any] = set()
    waiting = [kind]
    while waiting:
        hint = waiting.pop()
        origin = get_origin(hint)
        if origin is Annotated:
            waiting.append(get_args(hint)[0])
            continue
        waiting += get_args(hint)
        found = origin or hint
        if isinstance(found, type) and issubclass(found, Struct) and found not in seen:
            seen.add(found)
            yield found
            waiting += [hint for name, hint in get_type_hints(found).items() if name in found.__struct_fields__]


def _docstring(kind: type[Any]) -> str:
    lines = (kind.__doc__ or "").split("\n")
    indent = min((len(line) - len(line.lstrip()) for line in lines[1:] if line.strip()), default=0)
    return "\n".join([lines[0], *(line[indent:] for line in lines[1:])]).strip()


def _said(kind: type[Any], field: str) -> str:
    """Return what a struct, or else one that it is made from, says of a field: in its list, or in a sentence."""
    for each in kind.__mro__:
        if each is Struct or not issubclass(each, Struct):
            continue
        prose, _, listed = _docstring(each).partition("Attributes:\n")
        entries = _entries(listed)
        if field in entries:
            return entries[field]
        for text in [*entries.values(), *prose.split("\n\n")]:
            for sentence in _SENTENCE.split(" ".join(text.split())):
                if f"`{field}`" in sentence:
                    return sentence
    return ""


def _entries(listed: str) -> dict[str, str]:
    parts = _ENTRY.split(listed)
    return {name: " ".join(text.split()) for name, text in zip(parts[1::2], parts[2::2], strict=True)}
