"""How CRIU is to work, in the two languages that it is told so: containerd's for a dump, and CRIU's own for a restore. Pure.

containerd passes nothing on to a restore but two directories (runc's shim, createdCheckpointState). runc reads a file of CRIU's
options whose path stands in the spec's annotation `org.criu.config`, at the time of the dump or of the restore; one that is not
there is as good as an empty one. What it says goes before what runc says. See docs/decisions/0034.
"""

from __future__ import annotations

from typing import cast, get_args

from bridge._pb.containerd.runc_pb2 import CheckpointOptions as WireOptions
from bridge.model.checkpoints import CgroupsMode, CheckpointOptions, EmptyNamespace

__all__ = ["criu_config", "read_options", "wire_options"]


def wire_options(options: CheckpointOptions, *, ends: bool) -> WireOptions:
    """Return what containerd's API can say of these options at a dump: all but `link_remap` and `tcp_skip_in_flight`."""
    return WireOptions(
        exit=ends,
        open_tcp=options.tcp_established or options.tcp_close,  # what is closed at the restore has to be dumped
        external_unix_sockets=options.ext_unix,
        terminal=options.terminal,
        file_locks=options.file_locks,
        empty_namespaces=options.empty_ns,
        cgroups_mode=options.cgroups_mode,
    )


def read_options(wire: WireOptions) -> CheckpointOptions:
    """Return the options that others have dumped with. Modes and namespaces that there are not, are left out."""
    network: list[EmptyNamespace] = ["network"] if "network" in wire.empty_namespaces else []
    mode = wire.cgroups_mode if wire.cgroups_mode in get_args(CgroupsMode) else ""
    return CheckpointOptions(
        tcp_established=wire.open_tcp,
        ext_unix=wire.external_unix_sockets,
        terminal=wire.terminal,
        file_locks=wire.file_locks,
        empty_ns=network,
        cgroups_mode=cast("CgroupsMode", mode),
    )


def criu_config(options: CheckpointOptions) -> str:
    """Return the text of a configuration file with these options, for a dump as for a restore.

    `tcp-close` goes before `tcp-established` for CRIU, too: it restores none of them. An option with an argument that may be left
    out takes it behind `=` only; behind a blank it would be passed over.
    """
    lines = ["# Written by containerd-bridge, which removes it again."]
    lines += [
        name
        for name, wanted in (
            ("tcp-established", options.tcp_established and not options.tcp_close),
            ("tcp-close", options.tcp_close),
            ("skip-in-flight", options.tcp_skip_in_flight),
            ("file-locks", options.file_locks),
            ("ext-unix-sk", options.ext_unix),
            ("shell-job", options.terminal),
            ("link-remap", options.link_remap),
        )
        if wanted
    ]
    if options.cgroups_mode:
        lines.append(f"manage-cgroups={options.cgroups_mode}")
    return "\n".join(lines) + "\n"
