"""What a container's process does in memory: how it ends, and what it makes of signals."""

from __future__ import annotations

from collections.abc import Mapping
from signal import SIGINT, SIGKILL, SIGTERM

from msgspec import Struct, field

__all__ = ["KILLED", "RUNS", "Program"]

KILLED = 128 + SIGKILL
"""Exit status of a process that was killed: no program can do otherwise."""


class Program(Struct, frozen=True, kw_only=True):
    """A program as far as containerd gets to see it.

        Program()                 runs until SIGTERM or SIGINT, and then ends with 143 or 130
        Program(exits=3)          ends with 3 as soon as it is started
        Program(ends_on={})       takes notice of SIGKILL only, as most programs do that are a container's first process
        Program(broken="exec: no such file")   cannot be run: no task is made
        Program(says=b"hi", exits=0)           writes to its FIFO, and ends once somebody has made room for all of it

    Attributes:
        exits: status with which it ends by itself at once; None to run on.
        ends_on: signal -> status with which it then ends. Signals that are not there do nothing; SIGKILL always ends it.
        broken: why it cannot be run, None where it can.
        says: what it writes to its standard output, as soon as it is started and before it ends by itself.
        complains: what it writes to its standard error.
        leaves: what its shim has taken of its standard output and passed on to nobody when it ends, also where it is killed.
        echoes: whether it writes what it reads, and ends with 0 when that ends.
    """

    exits: int | None = None
    ends_on: Mapping[int, int] = field(default_factory=lambda: {int(SIGTERM): 128 + SIGTERM, int(SIGINT): 128 + SIGINT})
    broken: str | None = None
    says: bytes = b""
    complains: bytes = b""
    leaves: bytes = b""
    echoes: bool = False

    def answer(self, signal: int) -> int | None:
        """Return the status with which `signal` ends it, None where it runs on."""
        return KILLED if signal == SIGKILL else self.ends_on.get(signal)


RUNS = Program()
"""The program of every container that is given no other."""
