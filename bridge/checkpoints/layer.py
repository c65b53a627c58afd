"""What a container wrote on top of its image: a layer, on its way between containerd's store and an archive.

In an archive it is a plain tar; containerd gives and takes it packed. There may be anything in a layer (links, devices, the marks
of deleted files), and containerd applies it from inside the new container's root, so a link leads nowhere else. What is looked at
here is what could hurt before that: names that climb, more entries or bytes than allowed, a tar that readers take differently.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from typing import Final, Literal

from bridge.checkpoints import layout
from bridge.checkpoints.landing import Landing
from bridge.checkpoints.layout import LIMITS, Limits, refusal, shown, trouble
from bridge.checkpoints.packing import Unpacked, packer
from bridge.checkpoints.pump import consumed, produced
from bridge.checkpoints.tar import Entry, TarReader

__all__ = ["LAYER_TYPES", "check_layer", "keep_layer", "layer_stream"]

PIECE: Final = 1 << 20
WHAT: Final = "the layer"

LAYER_TYPES: Final[dict[Literal["gzip", "none"], str]] = {
    "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "none": "application/vnd.oci.image.layer.v1.tar",
}
"""What containerd calls a layer that is packed so. `ctr container restore` knows the first one alone."""

_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


async def keep_layer(
    layer: AsyncIterator[bytes], directory: int, *, name: str = layout.LAYER, limits: Limits = LIMITS
) -> int:
    """Write a layer, packed as containerd gives it, as a plain tar into a directory, and return its size.

    Raises:
        CommandFailed: `invalid_argument`: it is damaged, or refused; `exhausted`: there is no room. Nothing of it is left.
    """

    def work(more: Callable[[], bytes]) -> int:
        with Landing(directory, what=WHAT) as landing:
            source = Unpacked(more, WHAT)
            size = landing.write("", name, _bounded(source, limits.whole))
            check_layer(directory, name, limits)
        return size

    return await consumed(layer, work)


def _bounded(source: Unpacked, most: int) -> Generator[bytes, None, None]:
    total = 0
    while piece := source.read(PIECE):
        total += len(piece)
        if total > most:
            raise refusal(f"{WHAT} holds more than {most} bytes")
        yield piece


def check_layer(directory: int, name: str, limits: Limits) -> None:
    """Read a layer's tar from its first to its last byte. Blocks.

    Raises:
        CommandFailed: `invalid_argument`: it is refused.
    """
    try:
        with open(os.open(name, _READ, dir_fd=directory), "rb", buffering=0) as file:
            for entry in TarReader(file.read, entries=limits.entries, whole=limits.whole, what=WHAT):
                _check(entry)
    except OSError as error:
        raise trouble(error, f"{WHAT} cannot be read") from error


def _check(entry: Entry) -> None:
    parts = entry.name.removesuffix(b"/").split(b"/")
    if entry.name.startswith(b"/") or b".." in parts:
        raise refusal(f"{WHAT} has {shown(entry.name)}, which leads out of the container's files")
    if entry.kind == "hard link" and (entry.link.startswith(b"/") or b".." in entry.link.split(b"/")):
        raise refusal(
            f"{WHAT} has {shown(entry.name)}, linked with {shown(entry.link)} outside of the container's files"
        )


def layer_stream(
    directory: int, *, name: str = layout.LAYER, packing: Literal["gzip", "none"] = "gzip"
) -> AsyncGenerator[bytes, None]:
    """Return a layer that was checked, packed as `LAYER_TYPES` says; the same bytes each time.

    The descriptor of the directory has to stay open until the end.
    """
    return produced(_packed(directory, name, packing))


def _packed(directory: int, name: str, packing: Literal["gzip", "none"]) -> Generator[bytes, None, None]:
    pack = packer(packing)
    try:
        with open(os.open(name, _READ, dir_fd=directory), "rb", buffering=0) as file:
            while piece := file.read(PIECE):
                if data := pack.compress(piece):
                    yield data
    except OSError as error:
        raise trouble(error, f"{WHAT} cannot be read") from error
    yield pack.flush()
