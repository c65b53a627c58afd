"""The verb `wait`: until a task or an exec has ended, and how.

containerd tells how a task ended as long as the task is there. Its owner may delete it at once, and then only the log knows; so
what containerd cannot tell any more is taken from the state that the bridge folds from the events, of the same incarnation and
no other; of an exec, from its session. What nobody knows is null.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import MappingProxyType

from bridge.control.ending import exit_of
from bridge.control.verb import Place, Verb, record_at, task_at
from bridge.errors import CommandFailed
from bridge.model.commands import Wait
from bridge.model.identity import check_identifier
from bridge.model.outcomes import ExitInfo, TaskInfo, WaitResult
from bridge.model.state import ContainerState

__all__ = ["VERBS", "state_of"]

TOLD_WITHIN_S = 5.0
"""From the end of a task that is gone to its exit in the log: containerd's shims tell it on their own way."""

LOOK_AGAIN_S = 0.05


async def state_of(place: Place) -> ContainerState | None:
    """Return the container's state as the log has it, None where nobody can say at the moment."""
    try:
        return await place.known(*place.target)
    except CommandFailed as error:
        if error.code != "unavailable":
            raise
        return None


async def wait(place: Place, command: Wait) -> WaitResult:
    """Wait until the task, or one exec, has ended, or the time is over."""
    told = await state_of(place)
    if command.exec_id is not None:
        there = await _exec_at(place, command.exec_id)
        if there is None:
            return await _past_exec(place, command.exec_id)
        task = there
    else:
        found = await place.runtime.tasks.get(*place.target)
        if found is None or _is_past(command.incarnation, told, found):
            return await _past(place, command.incarnation, told)
        task = found
    incarnation = _incarnation(told, None if command.exec_id is not None else task)
    ended = asyncio.create_task(_end(place, command, incarnation, task.pid))
    try:
        done, _ = await asyncio.wait({ended}, timeout=command.timeout)
    finally:
        ended.cancel()
        await asyncio.gather(ended, return_exceptions=True)
    if incarnation is None and command.exec_id is None:  # when this began, its events were still to come
        incarnation = _incarnation(await state_of(place), task)
    if not done:
        return WaitResult(ended=False, incarnation=incarnation)
    exited = ended.result()
    return WaitResult(ended=True, exit_status=exited.exit_status, exited_at=exited.exited_at, incarnation=incarnation)


async def _exec_at(place: Place, exec_id: str) -> TaskInfo | None:
    try:
        check_identifier(exec_id, "exec id")
    except ValueError as error:
        raise CommandFailed("invalid_argument", str(error)) from error
    await task_at(place)
    return await place.runtime.tasks.get(*place.target, exec_id=exec_id)


async def _past_exec(place: Place, exec_id: str) -> WaitResult:
    """Return how an exec ended that containerd knows no more: one with its stdio on the bus goes when its output is stored."""
    exited = await _end_on_the_bus(place, exec_id)
    if exited is None:
        raise CommandFailed("not_found", f"{place} has no exec {exec_id}")
    return WaitResult(ended=True, exit_status=exited.exit_status, exited_at=exited.exited_at)


async def _end_on_the_bus(place: Place, exec_id: str) -> ExitInfo | None:
    session = None if place.sessions is None else place.sessions.find(*place.target, exec_id)
    if session is None:
        return None
    ended = await session.ended()
    return ExitInfo(exit_status=ended.exit_status, exited_at=ended.exited_at)


def _incarnation(told: ContainerState | None, task: TaskInfo | None) -> str | None:
    """Return the incarnation of this task, or of the last that was told; None where its events are still to come."""
    if told is None or (task is not None and told.pid not in {None, task.pid}):
        return None
    return told.incarnation


def _is_past(wanted: str | None, told: ContainerState | None, task: TaskInfo) -> bool:
    """Tell whether the incarnation that is waited for is another one than that of the task that is there."""
    if wanted is None or told is None:
        return False
    return told.incarnation != wanted or _incarnation(told, task) is None


async def _past(place: Place, wanted: str | None, told: ContainerState | None) -> WaitResult:
    """Return how a task ended that is not there any more."""
    incarnation = wanted or _incarnation(told, None)
    if told is None or incarnation is None:
        await record_at(place)
        raise CommandFailed("not_found", f"{place} has no task: start it first")
    exited = await _told_end(place, incarnation, told.pid)
    return WaitResult(ended=True, exit_status=exited.exit_status, exited_at=exited.exited_at, incarnation=incarnation)


async def _end(place: Place, command: Wait, incarnation: str | None, pid: int) -> ExitInfo:
    exited = await exit_of(place, command.exec_id)
    if exited is not None:
        return exited
    if command.exec_id is None:
        return await _told_end(place, incarnation, pid)
    return await _end_on_the_bus(place, command.exec_id) or ExitInfo()


async def _told_end(place: Place, incarnation: str | None, pid: int | None) -> ExitInfo:
    """Return the end of a task that is gone, as its events tell it; without a status where they do not."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + TOLD_WITHIN_S
    while loop.time() < deadline:
        state = await state_of(place)
        if state is not None:
            if incarnation is not None and state.incarnation != incarnation:
                return ExitInfo()  # the next one has begun, and a state is that of the last one
            if (incarnation is not None or state.pid == pid) and (state.exited or state.lost):
                return ExitInfo(exit_status=state.exit_status, exited_at=state.exited_at)
        await asyncio.sleep(LOOK_AGAIN_S)
    return ExitInfo()


VERBS: Mapping[str, Verb] = MappingProxyType({Wait.verb: wait})
"""Verb -> coroutine."""
