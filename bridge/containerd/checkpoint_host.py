"""What of containerd's host decides whether a checkpoint can be restored on it. What cannot be seen from here stays empty.

The kernel and the processor are ours too: a unix socket leads to nobody else's. The operating system, runc and CRIU are those
where containerd runs, which may be another file system than the bridge's.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal, cast

from bridge.containerd.host import listener
from bridge.containerd.manifests import host_platform
from bridge.containerd.visits import Unseen, Visits
from bridge.model.checkpoints import HostFacts, Listening
from bridge.model.kinds import convert
from bridge.ports.checkpoints import CriuCheck

__all__ = ["CheckpointHost"]

log = logging.getLogger(__name__)

FIELDS: Final = Listening.__struct_fields__
RUNC: Final = "io.containerd.runc.v2"
_CRIU_VERSION: Final = re.compile(r"^Version:\s*(\S+)", re.MULTILINE)
_RUNC_VERSION: Final = re.compile(r"^runc version (\S+)", re.MULTILINE)
_MOST_SAID: Final = 1024


class CheckpointHost:
    """The host of one containerd."""

    def __init__(self, address: Path, visits: Visits) -> None:
        self._address = address
        self._visits = visits

    async def facts(self, containerd: str, runtime: str) -> HostFacts:
        """Return what the host is; `containerd` is its version, `runtime` the name of a container's runtime."""
        seen = await asyncio.to_thread(_seen, self._address)
        steps = [("run", "criu", "--version"), ("run", "runc", "--version")]
        try:
            criu, runc = [said if not status else "" for status, said in await self._visits.do(*steps)]
        except Unseen:
            criu = runc = ""
        return HostFacts(
            **seen,
            criu=_found(_CRIU_VERSION, criu),
            containerd=containerd.removeprefix("v"),
            runtime=runtime,
            runtime_version=_found(_RUNC_VERSION, runc) if runtime in {"", RUNC} else "",
        )

    async def check(self) -> CriuCheck:
        """Ask CRIU whether it can work; see the port."""
        try:
            version, check = await self._visits.do(("run", "criu", "--version"), ("run", "criu", "check"))
        except Unseen as why:
            return CriuCheck("", works=None, says=f"CRIU cannot be asked from here: {why}")
        if version[0] == 127:
            return CriuCheck(
                "", works=False, says="there is no CRIU on containerd's host: install it there (package criu)"
            )
        says = " ".join(check[1].split())[-_MOST_SAID:]
        return CriuCheck(_found(_CRIU_VERSION, version[1]), works=check[0] == 0, says=says)

    async def missing(self, paths: Sequence[str]) -> list[str] | None:
        """Return which paths lead to nothing; see the port."""
        return cast("list[str] | None", await self._asked("missing", *paths)) if paths else []

    async def listening(self, network: str, pids: Sequence[int] = ()) -> list[Listening] | None:
        """Return where anybody listens in a network, or where these processes do."""
        found = await self._asked("listening", *pids, net=network)
        return (
            None if found is None else convert([dict(zip(FIELDS, one, strict=True)) for one in found], list[Listening])
        )

    async def _asked(self, *step: Any, net: str = "") -> list[Any] | None:
        try:
            (found,) = await self._visits.do(step, net=net)
        except Unseen as why:
            log.debug("containerd's host cannot be asked: %s", why)
            return None
        return cast("list[Any]", found)


def _found(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match[1] if match else ""


def _seen(address: Path) -> dict[str, Any]:
    process = Path("/proc") / str(listener(address))
    root = process / "root" if os.access(process / "root/.", os.R_OK | os.X_OK) else None
    cpu = _processor()
    return {
        "hostname": _hostname(process, root),
        "os": _system(root),
        "arch": host_platform().architecture,
        "kernel": platform.release(),
        "cpu_model": cpu.get("model name", "").strip(),
        "cpu_flags": sorted(cpu.get("flags", cpu.get("Features", "")).split()),
        "cgroup": _cgroup(root or Path("/")),
        "lsm": [name for name in _read((root or Path("/")) / "sys/kernel/security/lsm").strip().split(",") if name],
    }


def _processor() -> dict[str, str]:
    """Return the lines about the first processor."""
    first = _read(Path("/proc/cpuinfo")).split("\n\n", 1)[0]
    return {name.strip(): value for name, _, value in (line.partition(":") for line in first.splitlines())}


def _hostname(process: Path, root: Path | None) -> str:
    try:
        if os.readlink(process / "ns/uts") == os.readlink("/proc/self/ns/uts"):
            return platform.node()
    except OSError:
        pass
    return _read(root / "etc/hostname").strip() if root else ""


def _system(root: Path | None) -> str:
    for path in ("etc/os-release", "usr/lib/os-release"):
        for line in _read(root / path).splitlines() if root else []:
            if line.startswith("PRETTY_NAME="):
                return " ".join(shlex.split(line.partition("=")[2]))[:256]
    return ""


def _cgroup(root: Path) -> Literal["", "v1", "v2"]:
    """Return what runc goes by: which of the two file systems the directory of control groups itself is."""
    groups = root / "sys/fs/cgroup"
    if (groups / "cgroup.controllers").exists():
        return "v2"
    return "v1" if (groups / "freezer").exists() or (groups / "memory").exists() else ""


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(1 << 16).decode("utf-8", "replace")
    except OSError:
        return ""
