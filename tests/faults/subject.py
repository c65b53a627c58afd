"""The daemon under trial: broken or impatient where that is asked for, on a disk, under a clock and in a boot of its own."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.fix_bridge import Bridge
from tests.testbed import UnavailableError

__all__ = ["Boot", "Clock", "Subject"]

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
    """The wall clock of the bridge alone: right at first, and whatever it is `set` to. Its monotonic clock goes on."""

    def __init__(self, path: Path) -> None:
        libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        if not libraries:
            raise UnavailableError("a clock of the bridge's own needs libfaketime: `apt-get install libfaketime`")
        self._path = path
        self._library = libraries[0]
        self.set(0)

    def set(self, seconds: int) -> None:
        """Be so far ahead of the machine's clock, or behind it, from now on: a step."""
        partial = self._path.with_suffix(".partial")
        partial.write_text(f"{seconds:+d}\n")
        partial.rename(self._path)

    @property
    def environ(self) -> dict[str, str]:
        """What a program has to be told that is to have this clock."""
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._path),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }


class Subject(Bridge):
    """One bridge; `patches` are names of `tests.faults.broken`, joined by "+"."""

    def __init__(
        self, patches: str, boot: Boot, *options: str | Path, environ: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(*options, environ={**os.environ, **(environ or {})})
        self.prefix = boot.prefix
        if patches:
            self.program = ("-m", "tests.faults.broken", patches)
