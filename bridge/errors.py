"""Every error of ours, in one tree, split by whose fault it is and what the caller should do.

    BridgeError
      ConfigError          the operator's: mend the named setting; the daemon ends with status 2
      BadEnvelope          the sender's: park the message, its bytes are in `data`
      CommandFailed        the command came to no effect; `code` tells the caller why, in words of ours
        BadMoment          a dump met a process at a moment at which nobody can stop it: the same one a moment later may go well
      SourceLost           containerd's stream ended: connect again, and mark the gap
      InventoryFailed      containerd does not list what there is: ask again later
      EngineLost           dockerd's API cannot be reached, or its events ended: connect again; nothing of ours waits for it
      LogError
        LogUnavailable     unknown whether stored: append the same entries again
        LogRefused         the log will not take them as it is: say so, mend its settings, then append again
        LogWentBack        it lacks what it has acknowledged: read its end, and append what it lacks once more
        LogConflict        somebody else writes as this node: stop

Messages are one sentence: what is wrong, with which value, and what to do.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

__all__ = [
    "BadEnvelope",
    "BadMoment",
    "BridgeError",
    "CODES",
    "Code",
    "CommandFailed",
    "ConfigError",
    "EngineLost",
    "InventoryFailed",
    "LogConflict",
    "LogError",
    "LogRefused",
    "LogUnavailable",
    "LogWentBack",
    "PASSING",
    "SourceLost",
    "Trouble",
]

Code: TypeAlias = Literal[
    "not_found",
    "already_exists",
    "failed_precondition",
    "invalid_argument",
    "unavailable",
    "refused",
    "deadline_exceeded",
    "unimplemented",
    "exhausted",
    "cancelled",
    "internal",
    "unknown",
]
"""Why a command failed.

`not_found`, `already_exists`, `failed_precondition` (the container is in the wrong state), `invalid_argument` (the request
is wrong whatever the state) and `unimplemented` (this containerd cannot) are final; `unavailable` and `exhausted` may pass;
`refused` is ours: policy; `cancelled` was taken back by somebody; `deadline_exceeded` and `unknown` leave open whether there
was an effect; `internal` is our bug.
"""

CODES: Final[tuple[str, ...]] = get_args(Code)


Trouble: TypeAlias = Literal[
    "unavailable",
    "no_leader",
    "no_stream",
    "denied",
    "full",
    "too_large",
    "wrong_stream",
    "went_back",
    "conflict",
    "refused",
]
"""What is wrong with a log, to count by.

`unavailable` and `no_leader` pass; `no_stream` is mended by the bridge itself where it may; `denied` (a permission), `full` (the
stream's or the account's limits), `too_large`, `wrong_stream` (it does not take our subjects, or another one answers) and
`refused` (all the rest) last until somebody mends them, and the events wait in the outbox.
"""


PASSING: Final[frozenset[Trouble]] = frozenset({"unavailable", "no_leader", "no_stream", "went_back"})
"""Troubles that may be over within seconds, without anybody's help: a stream that is gone is made anew by then."""


class BridgeError(Exception):
    """The root of the tree; never raised itself."""


class ConfigError(BridgeError):
    """A setting, or what it points at, is wrong. The command line ends with this sentence and status 2."""


class BadEnvelope(BridgeError):
    """Bytes from the bus are not what they should be."""

    def __init__(self, message: str, *, data: bytes) -> None:
        super().__init__(message)
        self.data = data


class CommandFailed(BridgeError):
    """A command did not do what it says."""

    def __init__(self, code: Code, message: str, *, containerd: str | None = None) -> None:
        """Take what went wrong.

        Args:
            code: ours and stable.
            message: one sentence for people.
            containerd: containerd's own words, where it said something.
        """
        super().__init__(message)
        self.code: Code = code
        self.message = message
        self.containerd = containerd


class BadMoment(CommandFailed):
    """A task could not be dumped just then, and is as it was before. What was met has to run on before the next try."""


class SourceLost(BridgeError):
    """The stream of containerd's events ended, for whatever reason; what happens until the next one is a gap."""


class InventoryFailed(BridgeError):
    """containerd did not list what there is. Its stream of events may live on; the same may be asked again."""


class EngineLost(BridgeError):
    """dockerd's API does not answer, or its stream of events has ended: connect again."""


class LogError(BridgeError):
    """Entries could not be appended to the log. `trouble` is what is wrong, in one word."""

    trouble: Trouble = "refused"

    def __init__(self, message: str, trouble: Trouble | None = None) -> None:
        super().__init__(message)
        if trouble is not None:
            self.trouble = trouble


class LogUnavailable(LogError):
    """It is unknown whether the entries were stored, or nobody was there to store them. The same entries may be tried again."""

    trouble = "unavailable"


class LogRefused(LogError):
    """The log answers, and refuses: full, forbidden, or no such stream. Trying again helps only once that is mended."""


class LogWentBack(LogError):
    """The log does not have what it acknowledged: restored from an older copy, purged, deleted or made anew."""

    trouble = "went_back"


class LogConflict(LogError):
    """Another writer appends as this node."""

    trouble = "conflict"
