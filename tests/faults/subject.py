"""The daemon under trial: broken or impatient where that is asked for, on a disk, under a clock and in a boot of its own."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.fix_bridge import Bridge

__all__ = ["CLOCK", "Boot", "Clock", "Subject"]

CLOCK: Final = "TRIAL_CLOCK"
"""Names the file that says by how many seconds the bridge's clock is wrong."""

ENTER: Final = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"'
"""In a mount namespace of its own: from then on the kernel tells the id of the boot that stands in a file."""


class Boot:
    """The boot of the host as the bridge sees it: the kernel's id of it comes from a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.again()

    def again(self) -> None:
        """Be another boot, for bridges that are started from now on."""
        self._path.write_text(f"{uuid.uuid4()}\n")

    @property
    def prefix(self) -> tuple[str, ...]:
        """What a program is run by that is to live in this boot; it becomes the program."""
        return ("unshare", "--mount", "--propagation", "private", "sh", "-c", ENTER, str(self._path))


class Clock:
    """The wall clock of the bridge alone: right at first, and whatever it is `set` to. Its monotonic clock goes on.

    Its process reads the file whenever it looks at the clock (`stepped` in `tests.faults.broken`). libfaketime does that for C
    code too, but under it waiting by the monotonic clock goes wrong (`time.sleep` fails), and so may anything.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.set(0)

    def set(self, seconds: int) -> None:
        """Be so far ahead of the machine's clock, or behind it, from now on: a step."""
        partial = self._path.with_suffix(".partial")
        partial.write_text(f"{seconds:+d}\n")
        partial.rename(self._path)

    @property
    def environ(self) -> dict[str, str]:
        """What a program has to be told that is to have this clock."""
        return {CLOCK: str(self._path)}


class Subject(Bridge):
    """One bridge; `patches` are names of `tests.faults.broken`, joined by "+"."""

    def __init__(
        self, patches: str, boot: Boot, *options: str | Path, environ: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(*options, environ={**os.environ, **(environ or {})})
        self.prefix = boot.prefix
        if patches:
            self.program = ("-m", "tests.faults.broken", patches)
