"""The verb that makes a container whose task goes on where a checkpoint was made: restore.

What a checkpoint says of itself is judged, by CRIU's needs and by the policy, before the rest of it is brought and anything is
made; the command begins with that answer. The container is made as `create` makes one, or is the one that is there without a
task, made from the same image. **Whatever fails, nothing is left**, and what was there is as it was.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from msgspec import structs

from bridge.control.checkpoint import bench_of, refuse
from bridge.control.checkpoint_dump import checkpointing_at
from bridge.control.checkpoint_verdict import verdict_of_restore
from bridge.control.execution import sessions_at
from bridge.control.leases import held
from bridge.control.restore_container import Plan, carried_out, plan_of
from bridge.control.restore_source import bring, look_at, source_of
from bridge.control.verb import Place, Verb
from bridge.errors import CommandFailed
from bridge.failpoint import failpoint
from bridge.model import labels
from bridge.model.checkpoints import Verdict
from bridge.model.commands import Restore
from bridge.model.outcomes import ContainerInfo, Restored
from bridge.policy import RUNTIME

__all__ = ["VERBS", "permit_plan", "restored_by"]

log = logging.getLogger(__name__)

CANCELLED: Final = "restore was cancelled: nothing of it is left"


async def restore(place: Place, command: Restore) -> Restored:
    """Restore a checkpoint as this container."""
    kit = checkpointing_at(place)
    if (again := await restored_by(place, place.command_id)) is not None:
        await place.permit()  # it was allowed when it was restored
        return again
    source = await source_of(place, command)
    there = await _without_task(place)
    taken = await place.interruption.through(
        look_at(place, command, source, kit.workshop.bench(place.command_id)), otherwise=CANCELLED
    )
    plan = await plan_of(place, command, taken, there)
    if plan.stdio == labels.ON_THE_BUS:
        sessions_at(place)
    verdict = await verdict_of_restore(place, plan)
    await permit_plan(place, plan)
    if command.check:
        return Restored(verdict=verdict, checkpoint=source.name)
    refuse(place, verdict, force=command.force)
    async with bench_of(place, kit) as bench, held(place, place.command_id) as lease:
        brought = await place.interruption.through(bring(place, command, taken), otherwise=CANCELLED)
        failpoint("unpacked")
        restored = await carried_out(place, structs.replace(plan, taken=brought), bench, lease)
        failpoint("restored")
    return structs.replace(restored, verdict=verdict)


async def restored_by(place: Place, command_id: str) -> Restored | None:
    """Return what a `restore` of this id has made at this place, None where it has made nothing that runs."""
    try:
        record = await place.runtime.containers.get(*place.target)
    except CommandFailed as error:
        if error.code != "not_found":
            raise
        return None
    if record.labels.get(labels.RESTORE) != command_id:
        return None
    task = await place.runtime.tasks.get(*place.target)
    if task is None or task.status == "created" or not task.pid:
        return None
    session = place.sessions.find(*place.target, None) if place.sessions is not None else None
    ours = session is not None and session.command_id == command_id
    return Restored(
        verdict=Verdict(findings=[]),
        container=record.id,
        pid=task.pid,
        checkpoint=record.labels.get(labels.CHECKPOINT, ""),
        parent=record.labels.get(labels.PARENT) or None,
        process=session.result() if session is not None and ours else None,
        already=True,
    )


async def _without_task(place: Place) -> ContainerInfo | None:
    """Return the container of this id that has no task, None where there is none of this id."""
    try:
        record = await place.runtime.containers.get(*place.target)
    except CommandFailed as error:
        if error.code == "not_found":
            return None
        raise
    task = await place.runtime.tasks.get(*place.target)
    if task is not None and task.status != "stopped":
        raise CommandFailed(
            "failed_precondition", f"{place} is {task.status}: stop it first, or restore under another id"
        )
    return record


async def permit_plan(place: Place, plan: Plan) -> None:
    """Ask whether what the container asks of the host may be had: it was made elsewhere, or by somebody who may do more.

    Raises:
        CommandFailed: `refused`.
    """
    namespace, _ = place.target
    default = (await place.runtime.containers.defaults(namespace)).runtime
    runtime = "" if plan.wanted.runtime in {"", RUNTIME, default} else plan.wanted.runtime
    there = plan.there
    await place.permit(
        spec=plan.wanted.spec,
        labels=plan.wanted.labels,
        image=plan.content or plan.wanted.image,
        runtime=runtime,
        runtime_options=None if there is None else there.runtime_options,
        output="" if plan.stdio in {"", "null", labels.ON_THE_BUS} else plan.stdio,
        # Whoever made the container wanted what its spec asks; not that somebody else's program has it.
        existing=plan.same,
        ours=there is None or labels.COMMAND in there.labels,
    )


VERBS: Mapping[str, Verb] = MappingProxyType({Restore.verb: restore})
"""Verb -> coroutine."""
