"""What became of exec: its process outlives the bridge, and its session knows how it ends."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from bridge.control.execution import outcome_of
from bridge.control.recovery.finding import GoesOn, NotDone, Recover, Undecided, absent, session_of
from bridge.control.verb import Place
from bridge.model.commands import Exec
from bridge.model.nanos import Nanos
from bridge.model.outcomes import ExecResult
from bridge.ports import StdioSession

__all__ = ["EXECUTION"]


async def recover_exec(place: Place, command: Exec, started_at: Nanos) -> ExecResult:
    """Its session says how it ended, and how it will; without one it was never run: the session comes first."""
    exec_id = command.exec_id or place.command_id
    session = session_of(place, exec_id)
    if session is None:
        raise absent(place, f"exec {exec_id} in {place}", started_at)
    result = session.result()
    if result.pid and (not result.running or command.mode == "detached"):
        return result
    raise GoesOn(partial(_outlived, place, session, command), place.interruption)


async def _outlived(place: Place, session: StdioSession, command: Exec) -> ExecResult:
    exec_id = command.exec_id or place.command_id
    ran = await session.ran()
    if ran is None:
        raise Undecided(f"exec {exec_id} in {place} was about to be started, and is gone")
    if not ran:
        raise NotDone(f"the bridge ended before exec {exec_id} in {place} was started: nothing of it is left")
    return session.result() if command.mode == "detached" else await outcome_of(place, session)


EXECUTION: Mapping[str, Recover] = MappingProxyType({Exec.verb: recover_exec})
"""Verb -> how its outcome is found."""
