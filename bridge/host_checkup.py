"""What a bridge needs of its host, looked at from there: containerd, its directories, CRIU, its files.

With the settings that `serve` would have. Nothing is changed, nothing is taken that a running bridge holds, and nothing that does
not answer is waited for longer than a few seconds.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from bridge.client.checkpoint_keys import fingerprints
from bridge.client.finding import Finding, span
from bridge.client.troubles import explained
from bridge.config import Config
from bridge.containerd.channel import check_socket
from bridge.containerd.checkpoint_host import CheckpointHost
from bridge.containerd.source import ContainerdSource
from bridge.containerd.visits import Visits
from bridge.errors import BridgeError, ConfigError
from bridge.model.nanos import now
from bridge.model.nodes import NodeRecord
from bridge.policy import read_policy

__all__ = ["HERE", "Places", "checkup"]

LEAST_VERSION: Final = (1, 6)
"""The oldest containerd that the tests run with."""

LEAST_FILES: Final = 4_096
"""Files that a bridge should be able to open: a process with its stdio takes up to ten."""

GROWN: Final = 0.5
"""The share of its limit at which an outbox is told of; what NATS has already takes a quarter at the most."""

VOLATILE: Final = ("tmpfs", "ramfs")
MIB: Final = 1 << 20


class Places:
    """Where the kernel tells of itself; tests have others."""

    def __init__(self, *, cgroups: Path = Path("/sys/fs/cgroup"), proc: Path = Path("/proc")) -> None:
        self.cgroups, self.proc = cgroups, proc


HERE: Final = Places()


async def checkup(
    config: Config, *, records: Sequence[NodeRecord] = (), within_s: float = 5.0, places: Places = HERE
) -> list[Finding]:
    """Look at everything and say what is in order and what is not.

    Args:
        config: the settings of this host's bridge.
        records: the records of nodes on the bus, as far as they are known.
        within_s: how long containerd, and CRIU, may take for an answer.
        places: where the kernel tells of itself.
    """
    found = [one async for one in _of_containerd(config, within_s)]
    found += _of_state_dir(config, places)
    found += _of_process(config, places)
    found += _of_cgroups(places)
    found += _of_name(config, records, places)
    if config.groups:
        found += _of_policy(config)
        found += _of_directory("fifo-dir", config.fifo_dir)
    if "checkpoint" in config.groups:
        found += _of_key(config)
        if not any(one.level == "fail" and one.area == "containerd" for one in found):
            found += await _of_criu(config, within_s)
    return explained(found)


async def _of_containerd(config: Config, within_s: float) -> AsyncIterator[Finding]:
    path = config.containerd
    trouble = _unreachable(path)
    if trouble is not None:
        yield trouble
        return
    try:
        said = await asyncio.wait_for(ContainerdSource(path).version(), within_s)
    except (BridgeError, TimeoutError):
        yield _failed(
            "containerd",
            f"what listens on {path} has not answered within {within_s:g} s",
            "see what containerd does (journalctl -u containerd; kill -USR1 writes its stacks), or start it again",
            "containerd-hung",
        )
        return
    if _number(said.version) < LEAST_VERSION:
        least = ".".join(map(str, LEAST_VERSION))
        yield _failed("containerd", f"it is {said.version}", f"install {least} or newer", "containerd-old")
    else:
        yield Finding(level="ok", area="containerd", message=f"it is {said.version} and answers on {path}")


def _unreachable(path: Path) -> Finding | None:
    try:
        check_socket(path)
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as client:
            client.settimeout(1)
            client.connect(str(path))
    except ConfigError as error:
        denied = isinstance(error.__cause__, PermissionError)
        message, _, remedy = str(error).partition(": ")
        return _failed("containerd", message, remedy, "containerd-denied" if denied else "containerd-missing")
    except ConnectionRefusedError:
        message = f"nobody listens on {path}"
        return _failed("containerd", message, "start containerd (systemctl start containerd)", "containerd-missing")
    except OSError:
        pass  # so many want in that connecting has to wait: the call will tell
    return None


def _of_state_dir(config: Config, places: Places) -> Iterator[Finding]:
    path = config.state_dir
    wrong = _unusable(path)
    if wrong:
        remedy = f"make it writable for user {os.geteuid()}, or give another --state-dir"
        yield _failed("state-dir", f"{path} cannot be used: {wrong}", remedy, "state-dir-unusable")
        return
    there = _existing(path)
    kind = _file_system(there, places.proc)
    if kind in VOLATILE:
        yield _warned(
            "state-dir",
            f"{path} is on {kind}",
            "give a --state-dir on a disk, which a reboot keeps",
            "state-dir-volatile",
        )
    space = os.statvfs(there)
    free, reserve = space.f_bavail * space.f_frsize, config.outbox_reserve_bytes
    if free < reserve:
        yield _failed(
            "state-dir",
            f"{free // MIB} MiB are free under {path}, and the outbox leaves {reserve // MIB} MiB free",
            "make room there, or lower outbox_reserve_bytes",
            "disk-low",
        )
    waiting = sum(_size(path / name) for name in ("outbox.db", "outbox.db-wal"))
    if config.outbox_max_bytes and waiting > config.outbox_max_bytes * GROWN:
        yield _warned(
            "outbox",
            f"it has {waiting // MIB} MiB of the {config.outbox_max_bytes // MIB} MiB that it may have",
            "see whether NATS takes events (its findings here), or raise outbox_max_bytes",
            "outbox-growing",
        )
    yield Finding(level="ok", area="state-dir", message=f"{path} can be used, {free // MIB} MiB are free there")


def _of_process(config: Config, places: Places) -> Iterator[Finding]:
    """Say how many files the bridge that runs here may open."""
    try:
        pid = int((config.state_dir / "lock").read_text("ascii").strip() or 0)
        limits = (places.proc / str(pid) / "limits").read_text("ascii")
        command = (places.proc / str(pid) / "cmdline").read_bytes()
    except (OSError, ValueError):
        return
    match = re.search(r"^Max open files\s+(\d+)", limits, re.MULTILINE)
    if b"serve" not in command or match is None:
        return
    most = int(match[1])
    if most < LEAST_FILES:
        yield _warned(
            "bridge",
            f"the bridge (pid {pid}) may open {most} files",
            f"raise it to {LEAST_FILES} or more (LimitNOFILE= in its unit, ulimit -n), and start it again",
            "descriptors-few",
        )
    else:
        yield Finding(level="ok", area="bridge", message=f"the bridge (pid {pid}) may open {most} files")


def _of_cgroups(places: Places) -> Iterator[Finding]:
    second = places.cgroups / "cgroup.controllers"
    if second.exists():
        there, version = "memory" in second.read_text("ascii").split(), 2
    else:
        there, version = (places.cgroups / "memory").is_dir(), 1
    if there:
        yield Finding(level="ok", area="cgroups", message=f"control groups of version {version} count memory")
    else:
        yield _warned(
            "cgroups",
            f"{places.cgroups} has no controller for memory",
            "boot with cgroup_enable=memory (and systemd.unified_cgroup_hierarchy=1 where you can)",
            "cgroups-missing",
        )


def _of_name(config: Config, records: Sequence[NodeRecord], places: Places) -> Iterator[Finding]:
    try:
        ours = (places.proc / "sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return
    for record in records:
        age_s = (now() - record.renewed) / 1e9
        if record.node == config.node and record.boot_id not in {None, ours} and age_s < 3 * record.lease_s:
            held = f"{record}, renewed {span(int(age_s * 1e9))} ago"
            yield _failed(
                "node",
                f"node {config.node} is held by a bridge of another host, {held}",
                "give this host's bridge another --node, or stop the other one",
                "name-taken",
            )


def _of_policy(config: Config) -> Iterator[Finding]:
    if config.policy is None:
        return
    try:
        book = read_policy(config.policy)
        if book.asks_who and not config.request_info:
            raise ConfigError(f"{config.policy}: a rule names users: leave users out, or set request_info")
    except ConfigError as error:
        remedy = "mend the file, then see `containerd-bridge policy check`"
        yield _failed("policy", str(error), remedy, "policy-unusable")
        return
    if book.default == "deny" and not any(rule.effect == "allow" for rule in book.rules):
        yield _warned(
            "policy",
            f"{config.policy} has no rule that allows anything",
            'add one (effect = "allow"), or leave --commands out',
            "policy-denies-all",
        )
    else:
        yield Finding(level="ok", area="policy", message=f"{config.policy} has {len(book.rules)} rules")


def _of_directory(area: str, path: Path) -> Iterator[Finding]:
    wrong = _unusable(path)
    if wrong:
        remedy = (
            f"make it writable for user {os.geteuid()}, or give another --{area}; containerd has to see the same path"
        )
        yield _failed(area, f"{path} cannot be used: {wrong}", remedy, "fifo-dir-unusable")
    else:
        yield Finding(level="ok", area=area, message=f"{path} can be used")


def _of_key(config: Config) -> Iterator[Finding]:
    if config.checkpoint_key is None:
        return
    try:
        keys = fingerprints(config.checkpoint_key)
    except ConfigError as error:
        message, _, remedy = str(error).rpartition(": ")
        yield _failed("checkpoints", message, remedy, "key-unusable")
        return
    yield Finding(level="ok", area="checkpoints", message=f"{config.checkpoint_key} has {len(keys)} keys")


async def _of_criu(config: Config, within_s: float) -> Iterable[Finding]:
    host = CheckpointHost(config.containerd, Visits(config.containerd))
    try:
        said = await asyncio.wait_for(host.check(), within_s)
    except TimeoutError:
        return [_warned("criu", f"it has not answered within {within_s:g} s", "run criu check there", "criu-unusable")]
    if said.works:
        return [Finding(level="ok", area="criu", message=f"CRIU {said.version} says that it can work here")]
    remedy = "install CRIU on the host (package criu) and see `criu check` there, or leave checkpoint out of --commands"
    return [_warned("criu", said.says or "CRIU cannot work here", remedy, "criu-unusable")]


# -- what the kernel says of files


def _unusable(path: Path) -> str:
    """Return why nothing can be written in a directory, or it cannot be made; empty if it can."""
    there = _existing(path)
    if not there.is_dir():
        return f"{there} is no directory"
    if not os.access(there, os.W_OK | os.X_OK):
        return f"{there} may not be written"
    if there != path:
        return ""
    probe = path / f".doctor-{uuid.uuid4().hex}"  # a file system may be read-only, whatever the permissions say
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _existing(path: Path) -> Path:
    """Return the path, or the nearest one above it that there is."""
    return next(each for each in (path, *path.parents) if each.exists())


def _file_system(path: Path, proc: Path) -> str:
    """Return the kind of the file system that a path is on."""
    where, kind = "", ""
    real = str(path.resolve())
    try:
        lines = (proc / "self/mountinfo").read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return ""
    for line in lines:
        mount, _, about = line.partition(" - ")
        point = mount.split()[4].replace("\\040", " ")
        inside = real == point or real.startswith(f"{point.rstrip('/')}/")
        if inside and len(point) >= len(where):
            where, kind = point, about.split()[0]
    return kind


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:2]))


def _failed(area: str, message: str, remedy: str, trouble: str) -> Finding:
    return Finding(level="fail", area=area, message=message, remedy=remedy, trouble=trouble)


def _warned(area: str, message: str, remedy: str, trouble: str) -> Finding:
    return Finding(level="warn", area=area, message=message, remedy=remedy, trouble=trouble)
