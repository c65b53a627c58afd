"""A checkpoint that arrives, from an archive or from a directory: each file to its place, and at the end the whole looked at.

However it comes, it lies there as `layout` says: CRIU's files in `checkpoint`, the rest beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from bridge.checkpoints import layout
from bridge.checkpoints.facts import Told, told
from bridge.checkpoints.landing import Landing
from bridge.checkpoints.layer import check_layer
from bridge.checkpoints.layout import Limits, Place, check_dump, refusal
from bridge.model.checkpoints import ArchiveFacts

__all__ = ["Arrived", "Intake"]


class Arrived(Struct, frozen=True, kw_only=True):
    """A checkpoint that was taken.

    Attributes:
        told: what it says of itself; without record, spec and config where it is nothing but a dump.
        archive: its size and digest as they were read; for a directory only the size of its files.
        images: names and sizes of CRIU's files, in the directory `checkpoint`.
        layer: bytes of `rootfs-diff.tar`, null where there is none.
        log: whether CRIU's log came along, as `dump.log`; `stats` whether its figures, as `stats-dump`.
    """

    told: Told
    archive: ArchiveFacts
    images: dict[str, int]
    layer: int | None = None
    log: bool = False
    stats: bool = False


class Intake:
    """What has arrived so far, and lies in a landing.

    Attributes:
        total: bytes of all files.
    """

    def __init__(self, landing: Landing, limits: Limits, what: str) -> None:
        self.total = 0
        self._landing = landing
        self._limits = limits
        self._what = what
        self._tables: dict[str, bytes] = {}
        self._sizes: dict[str, int] = {}
        self._images: dict[str, int] = {}

    def take(self, where: Place, size: int, pieces: Iterable[bytes]) -> None:
        """Take a file that is said to have `size` bytes, and has no more."""
        most = self._limits.most(where.kind)
        if size > most:
            raise refusal(f"{self._what} has {where.path} of {size} bytes, more than {most}")
        if where.kind == "table":
            pieces = self._kept(where.name, pieces)
        taken = self._landing.write(where.directory, where.name, pieces)
        (self._images if where.kind == "image" else self._sizes)[where.name] = taken
        self.total += taken

    def arrived(self, directory: int, archive: ArchiveFacts, *, bare: bool = False) -> Arrived:
        """Return what it all is. With `bare` it may be nothing but a dump.

        Raises:
            CommandFailed: `invalid_argument`: it is no checkpoint, or what it says of itself cannot be.
        """
        check_dump(self._images, self._what)
        if layout.LAYER in self._sizes:
            check_layer(directory, layout.LAYER, self._limits)
        nothing = bare and not self._tables
        return Arrived(
            told=Told(record=None, spec={}, config={}) if nothing else told(self._tables, archive, what=self._what),
            archive=archive,
            images=self._images,
            layer=self._sizes.get(layout.LAYER),
            log=layout.LOG in self._sizes,
            stats=layout.STATS in self._sizes,
        )

    def _kept(self, name: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
        kept = []
        for piece in pieces:
            kept.append(piece)
            yield piece
        self._tables[name] = b"".join(kept)
