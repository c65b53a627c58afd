"""`containerd-bridge checkpoint keygen`: the file with the keys that checkpoints are encrypted with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bridge.cli.options import Json
from bridge.cli.terminal import Terminal
from bridge.client.checkpoint_keys import key_added, key_made

__all__ = ["keygen"]


def keygen(
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", readable=False, help="File to make; for checkpoint_key.")],
    add: Annotated[
        bool, typer.Option("--add", help="Put one more key behind those in FILE, which reads and does not encrypt.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a key that checkpoints are encrypted with, in a file that only its owner can read; say its fingerprint.

    A file that is there is never written over. Archives are encrypted with the key in its first line, and read with any. To
    change the key, put a new one behind it (--add) in everybody's file, and once all have it, move its line to the top.
    """
    fingerprint = key_added(file) if add else key_made(file)
    terminal = Terminal()
    if as_json:
        terminal.json({"file": str(file), "fingerprint": fingerprint})
    else:
        terminal.line(fingerprint)
