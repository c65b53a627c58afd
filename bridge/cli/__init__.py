"""The command line: `serve` is the daemon, everything else is a client of the bus that works from any machine."""

from bridge.cli.entry import main

__all__ = ["main"]
