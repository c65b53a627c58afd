"""The tar of a dump as it lies in containerd's content store: CRIU's files, in no directory, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Final

from bridge.checkpoints.landing import Landing
from bridge.checkpoints.layout import LIMITS, Limits, check_dump, is_image_name, refusal, shown
from bridge.checkpoints.packing import Unpacked
from bridge.checkpoints.pump import consumed
from bridge.checkpoints.tar import Entry, TarReader

__all__ = ["read_criu_tar"]

WHAT: Final = "the dump's tar"


async def read_criu_tar(
    tar: AsyncIterator[bytes], directory: int, *, limits: Limits = LIMITS, what: str = WHAT
) -> dict[str, int]:
    """Unpack such a tar into an empty directory, of which a descriptor is given.

    Returns:
        The names and sizes of its files.

    Raises:
        CommandFailed: `invalid_argument`: it is refused; `exhausted`: there is no room for it. Nothing of it is left.
    """

    def work(more: Callable[[], bytes]) -> dict[str, int]:
        found: dict[str, int] = {}
        with Landing(directory, what=what) as landing:
            reader = TarReader(Unpacked(more, what).read, entries=limits.entries, whole=limits.whole, what=what)
            for entry in reader:
                name = _name(entry, what)
                if name is not None:
                    found[name] = landing.write("", name, reader.content())
            check_dump(found, what)
        return found

    return await consumed(tar, work)


def _name(entry: Entry, what: str) -> str | None:
    """Return a file's name, None for the directory that all of them are in."""
    if entry.kind == "directory" and entry.name in (b"/", b".", b"./"):
        return None
    if entry.kind != "file":
        raise refusal(f"{what} has {shown(entry.name)}, a {entry.kind}: there are files in a dump, and nothing else")
    name = entry.name.removeprefix(b"./").decode("ascii", "replace")
    if not is_image_name(name):
        raise refusal(f"{what} has {shown(entry.name)}, which is no name of a file of CRIU's")
    return name
