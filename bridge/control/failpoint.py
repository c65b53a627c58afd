"""Places where a test lets the bridge die, or stand still, to see what it makes of that afterwards.

    BRIDGE_FAILPOINT=after-effect          the process kills itself (SIGKILL) there
    BRIDGE_FAILPOINT=after-effect:stop     it stops itself (SIGSTOP), until somebody lets it go on

Without the variable, as everywhere but in tests, `failpoint` is a function that does nothing.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Final

__all__ = ["VARIABLE", "failpoint"]

VARIABLE: Final = "BRIDGE_FAILPOINT"


def _armed(setting: str) -> Callable[[str], None]:
    place, _, how = setting.partition(":")
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
