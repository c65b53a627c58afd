"""What a checkpoint's archive is made of: the names in it, how large each may be, and how a refused one is told.

The layout is the one that `checkpointctl` reads, with one file more, `bridge.json`, which is the record. A name that is not
in it is refused, so nothing is ever written whose purpose is not known.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Container
from typing import Final, Literal, NamedTuple, TypeAlias

from msgspec import Struct

from bridge.errors import CommandFailed

__all__ = [
    "ARCHIVE",
    "CONFIG",
    "CONTAINERD",
    "DELETED",
    "FACTS",
    "IMAGES",
    "INVENTORY",
    "LAYER",
    "LIMITS",
    "LOG",
    "Kind",
    "Limits",
    "NETWORK",
    "Place",
    "SPEC",
    "STATS",
    "STATUS",
    "check_dump",
    "is_image_name",
    "place",
    "place_in_directory",
    "refusal",
    "shown",
    "trouble",
]

FACTS: Final = "bridge.json"
CONFIG: Final = "config.dump"
SPEC: Final = "spec.dump"
STATUS: Final = "status.dump"
CONTAINERD: Final = "status"
"""The state as Kubernetes' part of containerd writes it: what tells `checkpointctl` that the container was containerd's."""
NETWORK: Final = "network.status"
DELETED: Final = "deleted.files"
LOG: Final = "dump.log"
STATS: Final = "stats-dump"
IMAGES: Final = "checkpoint"
LAYER: Final = "rootfs-diff.tar"
INVENTORY: Final = "inventory.img"
"""The file that every dump has; CRIU writes it last, so one that was broken off has none."""

ARCHIVE: Final = "the archive"
"""What is read, in sentences about it, unless it is something else."""

Kind: TypeAlias = Literal["table", "log", "stats", "image", "layer", "directory"]
"""What a file in an archive is, by which its size is bounded."""

_KINDS: Final[dict[str, Kind]] = {
    FACTS: "table",
    CONFIG: "table",
    SPEC: "table",
    STATUS: "table",
    CONTAINERD: "table",
    NETWORK: "table",
    DELETED: "table",
    LOG: "log",
    STATS: "stats",
    LAYER: "layer",
    IMAGES: "directory",
}

# CRIU's names are like `core-1.img`, `tmpfs-dev-108.tar.gz.img`; runc's is `descriptors.json`. None begins with a dot.
_IMAGE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)

_LONGEST_SHOWN: Final = 80


class Limits(Struct, frozen=True, kw_only=True):
    """How much is taken from whoever brings an archive.

    Attributes:
        whole: bytes of all that comes out of it.
        entries: files and directories in it, and again in the layer.
        table: bytes of each JSON file; `log` of CRIU's log, `stats` of its figures.
    """

    whole: int = 1 << 40
    entries: int = 100_000
    table: int = 4 << 20
    log: int = 64 << 20
    stats: int = 64 << 10

    def most(self, kind: Kind) -> int:
        """Return how many bytes a file of this kind may have."""
        match kind:
            case "table":
                return self.table
            case "log":
                return self.log
            case "stats":
                return self.stats
            case "image" | "layer":
                return self.whole
            case "directory":
                return 0


LIMITS: Final = Limits()
"""For whoever has nothing to add."""


class Place(NamedTuple):
    """Where an entry belongs: `name` alone, or within the directory of CRIU's images."""

    directory: str
    name: str
    kind: Kind

    @property
    def path(self) -> str:
        """Its name in the archive."""
        return f"{self.directory}/{self.name}" if self.directory else self.name


def is_image_name(name: str) -> bool:
    """Tell whether a file of CRIU's or runc's may be called so."""
    return _IMAGE.fullmatch(name) is not None


def place(name: bytes, *, directory: bool, what: str = ARCHIVE) -> Place | None:
    """Return where an entry of an archive belongs; None for the archive's own directory, `./`.

    Raises:
        CommandFailed: `invalid_argument`: there is no such place.
    """
    if directory and name in (b".", b"./"):
        return None
    plain = name.removeprefix(b"./")
    plain = plain.removesuffix(b"/") if directory else plain
    text = plain.decode("ascii", "replace")
    head, slash, tail = text.partition("/")
    if slash and head == IMAGES and not directory and is_image_name(tail):
        return Place(IMAGES, tail, "image")
    kind = _KINDS.get(text)
    if kind is None:
        raise refusal(f"{what} has {shown(name)}, which is no part of a checkpoint")
    if directory != (kind == "directory"):
        raise refusal(f"{what} has {shown(name)} as {'a directory' if directory else 'a file'}, which it is not")
    return Place("", text, kind)


def place_in_directory(name: str, *, what: str) -> Place:
    """Return where a file belongs that lies beside all others of a checkpoint, CRIU's included.

    Raises:
        CommandFailed: `invalid_argument`: there is no such place.
    """
    kind = _KINDS.get(name)
    if kind is not None and kind != "directory":
        return Place("", name, kind)
    if not is_image_name(name) or kind is not None:
        raise refusal(f"{what} has {shown(name)}, which is no part of a checkpoint")
    return Place(IMAGES, name, "image")


def check_dump(images: Container[str], what: str) -> None:
    """Refuse what has not the file that every dump has."""
    if INVENTORY not in images:
        raise refusal(f"{what} holds no dump of CRIU's: there is no {INVENTORY} in it")


def shown(name: bytes | str) -> str:
    """Return a name from elsewhere so that it can stand in a sentence: nothing in it steers a terminal or fills a page."""
    text = name if isinstance(name, str) else name.decode("utf-8", "backslashreplace")
    text = text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
    return ascii(text)


def refusal(sentence: str) -> CommandFailed:
    """Return the error for what came from outside and is not taken."""
    return CommandFailed("invalid_argument", sentence)


def trouble(error: OSError, doing: str) -> CommandFailed:
    """Return the error for a file system that does not do what it should."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    why = error.strerror or str(error)
    if full:
        return CommandFailed("exhausted", f"{doing}: {why}: make room on that disk")
    return CommandFailed("failed_precondition", f"{doing}: {why}")
