"""The boot of the host that the bridge last worked in: whether a gap was only ours, or the whole host's.

The kernel has a new id for each boot. The one in which a subscription was last proven live stands in a file of the state
directory. After another boot every task of before has ended, even where a process has the same number again.
"""

from __future__ import annotations

import logging
from pathlib import Path

__all__ = ["Boot"]

log = logging.getLogger(__name__)


class Boot:
    """This boot of the host, and the one before as far as there is a note of it."""

    def __init__(self, path: Path, now: str | None) -> None:
        """Read the note.

        Args:
            path: the file that it is in.
            now: the kernel's id of this boot, None where it tells none.
        """
        self._path = path
        self._now = now
        self._noted = _read(path)

    @property
    def changed(self) -> bool:
        """Whether the note is of another boot than this."""
        return None not in {self._now, self._noted} and self._now != self._noted

    def keep(self) -> None:
        """Note this boot. A disk that does not take it costs no more than the next gap's cause."""
        if self._now is None or self._now == self._noted:
            return
        try:
            self._path.write_text(self._now, encoding="ascii")
        except OSError as error:
            log.warning("the id of this boot cannot be written to %s: %s", self._path, error.strerror)
        self._noted = self._now


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip() or None
    except OSError:
        return None
