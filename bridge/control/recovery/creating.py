"""What became of create and run: what they make carries their id, and under their lease it is kept until they came to an end."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import NoReturn

from bridge.control import lifecycle
from bridge.control.creation import created_by
from bridge.control.leases import lease_of
from bridge.control.recovery.finding import (
    GoesOn,
    NotDone,
    Recover,
    Undecided,
    absent,
    begun,
    leased,
    seen,
    session_of,
    task_of,
)
from bridge.control.recovery.lifecycle import pid_of
from bridge.control.verb import Place
from bridge.model.commands import Create, Delete, Run
from bridge.model.nanos import Nanos
from bridge.model.outcomes import Created, Ran, TaskInfo
from bridge.ports import StdioSession

__all__ = ["CREATING"]


async def recover_create(place: Place, _: Create, _started_at: Nanos) -> Created:
    """The container is there under this command's id, or was never made: its lease is still there, and takes all along.

    Without either it is undecided: it may have been deleted again.
    """
    created = await created_by(place, place.command_id)
    if created is None:
        await _not_made(place)
    assert created is not None
    await _give_up_lease(place)  # the record holds what it is made of
    return created


async def _not_made(place: Place) -> NoReturn:
    if not await leased(place):
        raise Undecided(f"there is no container {place.container} that this command made")
    await _give_up_lease(place)
    raise NotDone(f"the bridge ended before {place} was made: nothing of it is left")


async def _give_up_lease(place: Place) -> None:
    assert place.namespace is not None
    await place.runtime.leases.delete(place.namespace, lease_of(place.command_id), sync=True)


async def recover_run(place: Place, command: Run, started_at: Nanos) -> Ran:
    """The container is there under this command's id and was started; one that was not is taken away again."""
    created = await created_by(place, place.command_id)
    if created is None:
        pid = await begun(place, started_at) if command.rm else None
        if pid is None:
            await _not_made(place)
        assert pid is not None
        return Ran(container=place.target[1], pid=pid, image=command.image or "", already=True)
    held = await leased(place)
    await _give_up_lease(place)
    session = session_of(place, None)
    if session is not None:
        raise GoesOn(partial(_run_with, place, created, session, started_at), place.interruption)
    task = await task_of(place)
    if task is not None and task.status != "created":
        return Ran(container=created.container, pid=task.pid, image=created.image, already=True)
    pid = await begun(place, started_at)
    if pid is not None:
        # It has run, and somebody has deleted its task since.
        return Ran(container=created.container, pid=pid, image=created.image, already=True)
    if task is None and not held:
        # Its lease goes before its task comes: it may have run, and be gone. With a session that would be known.
        doubt = (
            absent(place, f"the task of {place}", started_at)
            if command.stdio == "bus"
            else Undecided(seen(place, task))
        )
        if isinstance(doubt, Undecided):
            raise doubt
    raise await _taken_away(place, task)


async def _run_with(place: Place, created: Created, session: StdioSession, started_at: Nanos) -> Ran:
    """Return the process of a session as soon as it is known whether it runs; without one, the container is taken away."""
    pid = await pid_of(place, session, started_at)
    if pid is None:
        raise await _taken_away(place, await task_of(place))
    return Ran(container=created.container, pid=pid, image=created.image, already=True, process=session.result())


async def _taken_away(place: Place, task: TaskInfo | None) -> NotDone:
    what = seen(place, task)
    await lifecycle.delete(place, Delete(force=True))
    return NotDone(f"the bridge ended when {place} was made and not started ({what}): it is taken away again")


CREATING: Mapping[str, Recover] = MappingProxyType({Create.verb: recover_create, Run.verb: recover_run})
"""Verb -> how its outcome is found."""
