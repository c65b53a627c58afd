"""Bundle directories that another client made for a container, and named in a label: they go with the container.

The label is anybody's to write, and what it names is removed with everything in it. So the container has to be in one of
dockerd's namespaces and none of our own making; and it has to be a directory of this very container, right in the one directory
that this node allows, reached without a symbolic link; and while something is mounted in it, it stays, for what is mounted there
may be everybody's. Why it stays is said.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bridge.model.labels import COMMAND

__all__ = ["BUNDLE_LABEL", "NAMESPACES", "Bundles"]

log = logging.getLogger(__name__)

BUNDLE_LABEL: Final = "com.docker/engine.bundle.path"
"""Where dockerd says which directory is the container's (moby, daemon/internal/libcontainerd/remote)."""

NAMESPACES: Final = frozenset({"moby", "plugins.moby"})
"""Where dockerd has its containers, and those of its plugins. An id of one there may be in any other namespace as well."""

_MOUNTS: Final = Path("/proc/self/mountinfo")


class Bundles:
    """The bundles in one directory."""

    def __init__(self, root: Path | None) -> None:
        """Take the only directory in which bundles are removed; None for none."""
        self._root = root

    def remove(self, namespace: str, container: str, labels: Mapping[str, str]) -> str | None:
        """Remove the container's bundle where its labels name one; return why it stays, None where nothing of it does.

        Blocks while files are removed.
        """
        named = labels.get(BUNDLE_LABEL)
        if not named:
            return None
        try:
            why = _not_of_dockerd(namespace, labels) or self._objection(container, named) or self._gone(Path(named))
        except (OSError, ValueError) as error:
            why = str(error)
        if why is None:
            return None
        log.warning("container %s is deleted, its bundle %r stays: %s", container, named, why)
        return f"bundle {named} stays: {why}"

    def _objection(self, container: str, named: str) -> str | None:
        if self._root is None:
            return "this node removes no bundles"
        path = Path(named)
        if not path.is_absolute() or ".." in path.parts:
            return "it is no absolute path without `..`"
        # dockerd adds the two ids of a user namespace: <container>.<uid>.<gid>.
        if path.name != container and path.name.rpartition(".")[0].rpartition(".")[0] != container:
            return "it is not named after the container"
        if path.parent.resolve() != self._root.resolve():
            return f"it is not right in {self._root}"
        return None

    def _gone(self, path: Path) -> str | None:
        whole = path.parent.resolve() / path.name
        if whole.is_symlink():
            return "it is a symbolic link"
        if not whole.exists():
            return None
        if not whole.is_dir():
            return "it is no directory"
        mounted = next((mount for mount in _mount_points() if mount == whole or whole in mount.parents), None)
        if mounted is not None:
            return f"something is mounted on {mounted}"
        shutil.rmtree(
            whole
        )  # follows no links, neither those that are there nor those that somebody puts there meanwhile
        return None


def _not_of_dockerd(namespace: str, labels: Mapping[str, str]) -> str | None:
    if namespace not in NAMESPACES:
        return f"dockerd has no containers in namespace {namespace}"
    if COMMAND in labels:
        return "the container was made by a command, and not by dockerd"
    return None


def _mount_points() -> list[Path]:
    """Return where file systems are mounted; blanks and the like stand there in octal (proc(5))."""
    lines = _MOUNTS.read_bytes().splitlines()
    return [
        Path(line.split()[4].decode("unicode_escape").encode("latin-1").decode("utf-8", "replace")) for line in lines
    ]
