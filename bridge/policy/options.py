"""What a command asks of its host beside a spec: where output goes, labels that others act on, how registries are reached.

A logging program runs as root on the host, and a log file is written by root; so is whatever containerd's restart plugin,
dockerd, nerdctl or the kubelet do because a label tells them to. None of that stands in a spec, and all of it leads to the host.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from bridge.model.checkpoints import CheckpointKey
from bridge.model.commands import Checkpoint, Command, Create, Pull, Restore
from bridge.model.labels import OF_OTHERS, ON_THE_BUS
from bridge.policy.asks import Ask, Asks, shown

__all__ = [
    "asks_of_checkpoint",
    "asks_of_hosts",
    "asks_of_labels",
    "asks_of_options",
    "asks_of_output",
    "asks_of_target",
    "asks_of_trust",
]

_FILE: Final = "file://"
_PROGRAM: Final = "binary://"


def asks_of_options(command: Command | None) -> tuple[Ask, ...]:
    """Return what the options of `create`, `run`, `pull`, `checkpoint` and `restore` ask; those of others ask for nothing."""
    match command:
        case Create():
            return asks_of_labels(command.labels) + asks_of_output(command.stdio)
        case Pull():
            return asks_of_labels(command.labels) + asks_of_hosts(command.hosts_dir)
        case Checkpoint():
            return asks_of_target(command.target) if command.to in {"dir", "file"} else ()
        case Restore():
            return asks_of_target(command.dir or command.file, write=False) + asks_of_trust(command.trust)
    return ()


def asks_of_labels(labels: Mapping[str, str]) -> tuple[Ask, ...]:
    """Return what labels ask that somebody gives to what he makes."""
    asks = Asks()
    for key in labels:
        if key.startswith(OF_OTHERS):
            asks.add("labels", f"sets the label {shown(key)}, on which containerd or another client acts", key)
    return asks.every()


def asks_of_output(uri: str) -> tuple[Ask, ...]:
    """Return what it asks that a container's output goes to `uri`, which may be anybody's. Total.

    Read as the shim reads it: what is behind `?` goes to the program as its arguments, and the path may be written with `%`.
    """
    asks = Asks()
    if uri in ("", "null", ON_THE_BUS):
        return ()
    if uri.startswith(_PROGRAM):
        path, clean = _path(uri.removeprefix(_PROGRAM))
        asks.add("log_programs", f"runs the program {shown(path)} on the host, as root", path, grantable=clean)
    elif uri.startswith(_FILE):
        path, clean = _path(uri.removeprefix(_FILE))
        asks.add("log_files", f"writes to {shown(path)} of the host, as root", path, write=True, grantable=clean)
    else:
        asks.add(
            "log_files", f"writes to {shown(uri)}, which is neither file:///… nor binary:///…", uri, grantable=False
        )
    return asks.every()


def asks_of_hosts(directory: str) -> tuple[Ask, ...]:
    """Return what it asks that `pull` finds registries described in a directory of the host; empty for none."""
    if not directory:
        return ()
    asks = Asks()
    path, clean = _cleaned(directory)
    text = f"lets the directory {shown(path)} of the host say how registries are reached"
    asks.add("hosts_dirs", text, path, grantable=clean)
    return asks.every()


def asks_of_target(path: str, *, write: bool = True) -> tuple[Ask, ...]:
    """Return what it asks that a checkpoint is written to a path of the host, or read there; empty for none."""
    if not path:
        return ()
    asks = Asks()
    found, clean = _cleaned(path)
    text = f"{'writes a checkpoint to' if write else 'restores a checkpoint from'} {shown(found)} of the host, as root"
    asks.add("checkpoint_paths", text, found, write=write, grantable=clean)
    return asks.every()


def asks_of_checkpoint(token: str, namespace: str | None) -> tuple[Ask, ...]:
    """Return what it asks to restore a checkpoint of the catalogue into a namespace: nothing, where it is from there. Total."""
    if not token:
        return ()
    asks = Asks()
    try:
        key = CheckpointKey.parse(token)
    except ValueError:
        asks.add("checkpoints", f"restores {shown(token)}, which is no checkpoint", token, grantable=False)
        return asks.every()
    if key.namespace != namespace:
        name = f"{key.namespace}/{key.container}"
        asks.add("checkpoints", f"restores a checkpoint of {shown(name)}, whose memory can be read then", name)
    return asks.every()


def asks_of_trust(trust: bool) -> tuple[Ask, ...]:  # noqa: FBT001 - an option as it is
    """Return what it asks to restore what nobody vouches for."""
    asks = Asks()
    if trust:
        asks.add("trust", "restores what the catalogue does not vouch for, which runs what is in it")
    return asks.every()


def _path(rest: str) -> tuple[str, bool]:
    """Return the path of a URI behind its `//`, and whether it is clear what it means."""
    for end in "#?":
        rest = rest.partition(end)[0]
    try:
        return _cleaned(unquote_to_bytes(rest).decode())
    except UnicodeDecodeError:
        return rest, False


def _cleaned(path: str) -> tuple[str, bool]:
    if not path.startswith("/") or ".." in path.split("/") or not path.isprintable():
        return path, False
    return "/" + posixpath.normpath(path).lstrip("/"), True
