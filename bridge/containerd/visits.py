"""Visits to where containerd runs: its file system, its processes, its tasks' networks. Only where that can be seen from here.

CRIU, runc and iptables are the host's, and so is what they do. The bridge may be in a container of its own, so who listens on
containerd's socket is looked for, and a process of its own (`visitor`) enters his namespaces: the bridge itself never does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from bridge.containerd import visitor
from bridge.containerd.host import listener
from bridge.model.kinds import decoder

__all__ = ["Visits", "Unseen"]

log = logging.getLogger(__name__)

WITHIN_S: Final = 30.0
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Unseen(Exception):
    """containerd's host cannot be reached from here; says why."""


class _Answer(Struct):
    results: list[Any] | None = None
    error: str = ""


class Visits:
    """Visits to the host of one containerd."""

    def __init__(self, address: Path) -> None:
        """Take the path of containerd's socket."""
        self._address = address

    async def do(self, *steps: Sequence[Any], net: str = "") -> list[Any]:
        """Return what comes of some steps of `visitor`.

        Args:
            steps: each the name of a function there, and its arguments.
            net: the network namespace to do them in, by its path as containerd sees it; empty for containerd's own.

        Raises:
            Unseen: containerd's process is out of sight, or its namespaces cannot be entered.
        """
        peer = await asyncio.to_thread(listener, self._address)
        if not peer:
            raise Unseen("who listens on containerd's socket is out of sight from here")
        process = Path("/proc") / str(peer)
        namespaces = {kind: str(process / "ns" / kind) for kind in visitor.ORDER}
        request = msgspec.json.encode({"namespaces": namespaces, "network": net, "steps": steps})
        return await _visit(request, await asyncio.to_thread(_path_of, process))


async def _visit(request: bytes, path: str) -> list[Any]:
    try:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", visitor.__file__, request),
            env={"PATH": path, "LC_ALL": "C"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # what it has started ends with it
        )
    except OSError as error:  # what is asked may be longer than arguments can be: a spec names any number of paths
        raise Unseen(f"nobody can be sent there: {error.strerror}") from error
    try:
        async with asyncio.timeout(WITHIN_S):
            out, err = await child.communicate()
    except TimeoutError:
        raise Unseen(f"what was asked there did not come to an end within {WITHIN_S:g} s") from None
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            await child.wait()
    try:
        answer = decoder(_Answer).decode(out)
    except msgspec.DecodeError:
        raise Unseen(f"its namespaces cannot be entered: {err.decode('utf-8', 'replace').strip()[-200:]}") from None
    if answer.results is None:
        raise Unseen(f"its namespaces cannot be entered: {answer.error}")
    return answer.results


def _path_of(process: Path) -> str:
    """Return where a process looks for programs."""
    try:
        variables = (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return PATH
    return next((os.fsdecode(one[5:]) for one in variables if one.startswith(b"PATH=")), PATH)
