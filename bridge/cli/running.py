"""The daemon as a command: its settings are read, it logs, and it runs until it is told to stop.

Nothing here, and nothing that it imports, knows typer: what reads a command line takes more memory than what the daemon
knows of ten thousand containers.
"""

from __future__ import annotations

import asyncio
import faulthandler
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bridge.cli.log_lines import configure_logging
from bridge.config import load

__all__ = ["run"]


def run(options: Mapping[str, Any], file: Path | None) -> None:
    """Be the bridge of this host until SIGTERM or SIGINT.

    Args:
        options: what the command line gave, as `bridge.config.load` takes it.
        file: the TOML file that it named.

    Raises:
        BridgeError: it cannot start, or had to stop by itself.
    """
    from bridge import daemon  # noqa: PLC0415 - the other commands need neither gRPC nor the daemon

    settings = load(options, file=file)
    configure_logging(settings)
    faulthandler.enable()  # where every thread was, should a signal end it
    asyncio.run(daemon.run(settings))
