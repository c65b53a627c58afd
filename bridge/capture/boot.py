"""The boot of the host that the bridge last worked in: whether a gap was only ours, or the whole host's.

The kernel has a new id for each boot. The one in which the log was last put right with what containerd lists stands in a file of
the state directory. After another boot every task of before has ended, even where a process has the same number again.

That holds until the repair is committed, however often the bridge ends before. So the file also says where the log ended when the
first bridge of the new boot began: what stands behind that is of this boot.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

__all__ = ["Boot"]

log = logging.getLogger(__name__)


class _Begun(NamedTuple):
    """A boot in which a bridge has begun, and nothing is repaired yet: the outbox then, and its last position."""

    boot: str
    log: str
    last_n: int


class Boot:
    """This boot of the host, and the one before as far as there is a note of it."""

    def __init__(self, path: Path, now: str | None, *, log: str, last_n: int) -> None:
        """Read the note.

        Args:
            path: the file that it is in.
            now: the kernel's id of this boot, None where it tells none.
            log: UUID of the outbox.
            last_n: position of its last event, before anything of this run.
        """
        self._path = path
        self._beside = path.with_name(f"{path.name}.new")
        self._now = now
        self._kept, self._begun = _read(path)
        if now is not None and (self._begun is None or self._begun[:2] != (now, log)):
            self._begun = _Begun(now, log, last_n)

    @property
    def ended_before(self) -> int | None:
        """Position in the log up to which every task has ended, since the host was rebooted after it.

        None where the host was not rebooted, or the log knows of it (`keep`).
        """
        rebooted = None not in {self._now, self._kept} and self._now != self._kept
        return self._begun.last_n if rebooted and self._begun is not None else None

    def begin(self) -> None:
        """Note that this boot begins behind the last position; before anything of it is recorded."""
        with suppress(OSError):
            self._beside.unlink(missing_ok=True)  # what a crash left
        if self.ended_before is not None:
            self._write(f"{self._kept}\n{' '.join(map(str, self._begun or ()))}\n")

    def keep(self) -> None:
        """Note this boot: what the one before it left is in the log, or there was none."""
        if self._now is None or self._now == self._kept:
            return
        self._kept = self._now
        self._write(f"{self._now}\n")

    def _write(self, text: str) -> None:
        # A disk that does not take it costs no more than the next gap's cause. Half a note would cost the reboot.
        try:
            with self._beside.open("w", encoding="ascii") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            self._beside.replace(self._path)
        except OSError as error:
            log.warning("the id of this boot cannot be written to %s: %s", self._path, error.strerror)


def _read(path: Path) -> tuple[str | None, _Begun | None]:
    try:
        kept, *more = path.read_text(encoding="ascii", errors="replace").splitlines() or [""]
    except OSError:
        return None, None
    begun = more[0].split() if more else []
    if len(begun) != len(_Begun._fields) or not begun[2].isdecimal():
        return kept.strip() or None, None
    return kept.strip() or None, _Begun(begun[0], begun[1], int(begun[2]))
