"""How long whoever sends a command waits for its outcome, unless it is said: what the verb needs, and its turn before."""

from __future__ import annotations

from bridge.model import commands
from bridge.model.commands import Command

__all__ = ["timeout_of"]

_TIMEOUTS = {
    "list": 30.0,
    "inspect": 15.0,
    "pids": 15.0,
    "stats": 30.0,
    "version": 10.0,
    "start": 60.0,
    "pause": 30.0,
    "resume": 30.0,
    "kill": 30.0,
    "update": 30.0,
    "delete": 60.0,
    "cancel": 30.0,
    "checkpoint": 3600.0,
    "restore": 3600.0,
    "create": 900.0,
    "run": 900.0,
    "images": 60.0,
    "pull": 3600.0,
    "import": 3600.0,
    "rmi": 120.0,
    "checkpoint-remove": 120.0,
    "attach": 15.0,
    "resize": 30.0,
    "close-stdin": 30.0,
    "migrate": 86_400.0,
    "migrate-abandon": 30.0,
    "receive": 3600.0,
}
"""Seconds to wait for an outcome. Commands on one container run one after another, so each may have to wait for another."""

_STOP_MARGIN = 15.0
"""Seconds beyond the grace time of a `stop`: to kill what is left, and to see it end."""

_WAIT_MARGIN = 10.0
"""Seconds beyond the time of a `wait`: for an end that only the log knows to come there."""

_FOR_EVER = 86_400.0
"""Of a `wait` without a time."""

_TO_ITS_END = 86_400.0
"""Of an exec whose outcome comes at its end."""


def timeout_of(command: Command) -> float:
    """Return how long the outcome of `command` may take, in seconds."""
    match command:
        case commands.Stop(grace=grace):
            return grace + _STOP_MARGIN
        case commands.Restart(grace=grace):
            return grace + _STOP_MARGIN + _TIMEOUTS["start"]
        case commands.Wait(timeout=timeout):
            return (_FOR_EVER if timeout is None else timeout) + _WAIT_MARGIN
        case commands.Exec(mode=mode):
            return 60.0 if mode == "detached" else _TO_ITS_END
        case _:
            return _TIMEOUTS[command.verb]
