"""The daemon as a command: its settings are read, it logs, and it runs until it is told to stop.

Nothing here, and nothing that it imports, knows typer: what reads a command line takes more memory than what the daemon
knows of ten thousand containers.
"""

from __future__ import annotations

import asyncio
import faulthandler
import json
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bridge.config import Config, load
from bridge.model.nanos import Nanos, format_rfc3339

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
    _configure_logging(settings)
    faulthandler.enable()  # a signal that ends it leaves more than its number
    asyncio.run(daemon.run(settings))


def _configure_logging(config: Config) -> None:
    """Log to standard error: for people on a terminal, one JSON object per line elsewhere."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines() if sys.stderr.isatty() else _Json())
    logging.basicConfig(level=config.log_level.upper(), handlers=[handler], force=True)
    for chatty in ("asyncio", "uvicorn.error", "nats"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _time(record: logging.LogRecord) -> str:
    return format_rfc3339(Nanos(int(record.created * 1e9)))[:23] + "Z"


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = f"{_time(record)} {record.levelname.lower():7} {record.getMessage()}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)
