"""What would fail, said before anything is tried: what is seen of host, container and checkpoint, and what that comes to.

A finding that `blocks` is refused unless the command is forced. What cannot be seen from here is `unknown`, and blocks nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from bridge.control.checkpoint_dump import CONFIG
from bridge.control.restore_container import Plan
from bridge.control.verb import Place
from bridge.errors import CommandFailed
from bridge.model import labels
from bridge.model.checkpoints import CheckpointRecord, Finding, HostFacts, Verdict
from bridge.model.outcomes import ContainerInfo, TaskInfo
from bridge.ports.checkpoints import CriuCheck

__all__ = ["verdict_of_dump", "verdict_of_restore"]

OF_THE_FILE = ("tcp_skip_in_flight", "link_remap")
"""Options of a dump that containerd's API cannot tell CRIU."""


async def verdict_of_dump(place: Place, record: ContainerInfo, task: TaskInfo, draft: CheckpointRecord) -> Verdict:
    """Look at what a dump of this task would meet."""
    criu, execs = await asyncio.gather(place.runtime.checkpoints.check(), _execs(place))
    return Verdict(findings=[*_criu(criu), *_of_dump(record, task, draft, execs)])


async def _execs(place: Place) -> list[str] | None:
    try:
        found = await place.runtime.tasks.pids(*place.target)
    except CommandFailed:
        return None
    return [one.exec_id for one in found if one.exec_id is not None]


def _criu(criu: CriuCheck) -> Iterator[Finding]:
    if criu.works is False:
        yield Finding(
            check="criu",
            level="blocks",
            says=f"CRIU does not work on this host: {criu.says}",
            way_out="install CRIU 4 or later on containerd's host, and the kernel options that `criu check` names",
        )
    elif criu.works is None:
        yield Finding(
            check="criu",
            level="unknown",
            says=f"whether CRIU works is not seen from here: {criu.says}",
            way_out="run `criu check` on the host",
        )
    else:
        yield Finding(check="criu", level="ok", says=f"CRIU {criu.version} works")


def _of_dump(
    record: ContainerInfo, task: TaskInfo, draft: CheckpointRecord, execs: list[str] | None
) -> Iterator[Finding]:
    if execs:
        yield Finding(
            check="execs",
            level="risk",
            says=f"execs run in it ({', '.join(execs[:3])}), and are not in the checkpoint",
            way_out="wait for their end, or do without them after a restore",
        )
    annotations = (record.spec or {}).get("annotations") or {}
    for name in OF_THE_FILE:
        if getattr(draft.options, name) and CONFIG not in annotations:
            yield Finding(
                check="options",
                level="blocks",
                says=f"{name} cannot be told to CRIU for this container",
                way_out=f"leave it out, or make the container with the annotation {CONFIG}, the path of a file that says so",
            )
    if _on_the_hosts_network(record.spec or {}) and draft.options.tcp_established:
        yield Finding(
            check="tcp",
            level="risk",
            says="it is on the host's network, where its connections are blocked until they are restored",
            way_out="give it a network namespace of its own",
        )
    if draft.stdio == "fifo" and task.stdin:
        yield Finding(
            check="stdio",
            level="risk",
            says="its input comes from a FIFO of somebody else's, which a restore cannot give it back",
            way_out="run it with stdio on the bus",
        )
    if not draft.rw and record.snapshot_key:
        yield Finding(
            check="files",
            level="risk",
            says="what it wrote to its files stays out, so what it has open may not fit",
            way_out="leave no-rw out, unless it writes nothing",
        )


def _on_the_hosts_network(spec: Mapping[str, Any]) -> bool:
    namespaces = (spec.get("linux") or {}).get("namespaces") or []
    return not any(isinstance(one, dict) and one.get("type") == "network" for one in namespaces)


async def verdict_of_restore(place: Place, plan: Plan) -> Verdict:
    """Look at what a restore would meet here."""
    checkpoints = place.runtime.checkpoints
    criu, host = await asyncio.gather(checkpoints.check(), checkpoints.host(place.target[0], plan.wanted.runtime))
    return Verdict(findings=[*_criu(criu), *_of_hosts(plan.taken.record, host), *_of_restore(plan)])


def _of_hosts(record: CheckpointRecord | None, host: HostFacts) -> Iterator[Finding]:
    if record is None:
        return
    there = record.host
    if there.arch and host.arch and there.arch != host.arch:
        yield Finding(
            check="cpu",
            level="blocks",
            says=f"it was made on {there.arch}, and this is {host.arch}",
            way_out=f"restore it on a node that is {there.arch}",
        )
    missing = sorted(set(there.cpu_flags) - set(host.cpu_flags)) if host.cpu_flags else []
    if missing:
        yield Finding(
            check="cpu",
            level="risk",
            says=f"this processor lacks what that one could: {', '.join(missing[:5])}",
            way_out="restore it on a node with the same processor",
        )
    if there.cgroup and host.cgroup and there.cgroup != host.cgroup:
        yield Finding(
            check="cgroup",
            level="risk",
            says=f"it was made with control groups {there.cgroup}, and here they are {host.cgroup}",
            way_out="restore it on a node with the same ones, or with cgroups_mode ignore",
        )


def _of_restore(plan: Plan) -> Iterator[Finding]:
    record = plan.taken.record
    if plan.stdio == labels.ON_THE_BUS and record is not None and record.stdio == "null" and not record.tty:
        yield Finding(
            check="stdio",
            level="risk",
            says="it wrote to nowhere when it was dumped, and goes on doing so",
            way_out="leave stdio out",
        )
    if plan.there is not None and not plan.fresh and not (record is not None and record.exited):
        yield Finding(
            check="files",
            level="risk",
            says="the checkpoint has nothing of its files, and the container's own may have changed since",
            way_out="make checkpoints with rw",
        )
