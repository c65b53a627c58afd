"""Places where a test lets the bridge die, or stand still, to see what it makes of that afterwards.

    BRIDGE_FAILPOINT=after-effect          the process kills itself (SIGKILL) there
    BRIDGE_FAILPOINT=after-effect:stop     it stops itself (SIGSTOP), until somebody lets it go on

Without the variable, as everywhere but in tests, `failpoint` is a function that does nothing. `FAILPOINTS` is all of them: a
place that is not in it, or that no test dies at, fails a test.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["FAILPOINTS", "VARIABLE", "failpoint"]

VARIABLE: Final = "BRIDGE_FAILPOINT"

FAILPOINTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "job-received": "a job was counted, and nobody has looked at it",
        "received": "a command was read, and nothing stands anywhere",
        "accepted": "it is in the journal and waits for its turn",
        "before-effect": "its verb is about to be called",
        "journaled": "it is on disk as started",
        "leased": "create, run, pull, import: its lease is there",
        "snapshot-made": "create, run: its snapshot is there",
        "record-made": "create, run: its record is there, and its lease still too",
        "task-made": "start, restart, run: the task is there and was not started",
        "fetched": "pull, import: the image's record is there, and the lease still too",
        "task-updated": "update: the task has the limits, and the record not yet",
        "session-made": "a process's session is on disk and its FIFOs are there",
        "exec-made": "exec: containerd knows the process, and it was not started",
        "process-started": "it runs, and its session does not say so",
        "process-ended": "its session says that it has ended, and not how its output did",
        "output-stored": "all of its output is on the bus, and its exec is still there",
        "session-ended": "its session says that all is done, and its FIFOs are still there",
        **{
            f"migrate-{act}": f"migrate, at its source: {done}"
            for act, done in {
                "read": "the register was read",
                "look": "it was looked how the container stands",
                "reserve": "the entry is in the register",
                "ask": "the target has promised",
                "part": "a part of it is on the bus",
                "send": "image and rounds are there",
                "freeze": "the container stands still",
                "dump": "the last dump is on the bus",
                "offer": "the register says offered",
                "hand_over": "the target is asked to take it",
                "wait": "the target was waited for",
                "withdraw": "the register says withdrawn",
                "resume": "the container runs on",
                "remove": "the container is removed",
                "release": "the register says released",
                "tell": "the target is told that nothing comes",
                "tidy": "nothing is left on the bus",
            }.items()
        },
        **{
            f"receive-{act}": f"migrate, at its target: {done}"
            for act, done in {
                "promise": "it has promised",
                "prepare": "it has a part of what comes",
                "read": "the register was read",
                "look": "it was looked what is here",
                "take": "the register says taken",
                "restore": "the container was restored",
                "confirm": "the register says running",
                "clean": "what came is taken away",
                "fail": "the register says failed",
                "settle": "nothing is here but the container",
            }.items()
        },
        "paused": "checkpoint: its task is frozen, and a note says by whom",
        "dumped": "checkpoint: its memory is in the directory, and it is frozen still",
        "resumed": "checkpoint: it runs on, and nothing of its dump is stored",
        "archived": "checkpoint: the archive is stored, and no record names it",
        "recorded": "checkpoint: the record is there, and the directory and the lease still too",
        "unpacked": "restore: the dump is in the directory",
        "restored": "restore: the task runs, and the directory and the lease are still there",
        "removed": "checkpoint-remove: its record and its archive are gone",
        "after-effect": "the verb has come to its end",
        "before-result": "the outcome is made",
        "result-on-disk": "it is on disk, and nobody has heard of it",
        "before-ack": "everybody has heard of a job's outcome, and it is still in its stream",
    }
)
"""Name -> what has just been done there, in the order in which a command comes to them."""


def _armed(setting: str) -> Callable[[str], None]:
    place, _, how = setting.partition(":")
    if place not in FAILPOINTS:
        raise ValueError(f"{VARIABLE}={setting}: there is no such place, choose from {', '.join(FAILPOINTS)}")
    number = signal.SIGSTOP if how == "stop" else signal.SIGKILL
    left = [1]

    def strike(name: str) -> None:
        if name == place and left:
            left.clear()
            os.kill(os.getpid(), number)

    return strike


def _nothing(name: str) -> None:
    """Do nothing."""


failpoint: Final[Callable[[str], None]] = _armed(os.environ[VARIABLE]) if VARIABLE in os.environ else _nothing
"""Called with the name of the place."""
