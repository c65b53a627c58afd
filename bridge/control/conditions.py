"""The conditions under which a command is still meant: looked at in the container's turn, right before it would take effect.

A status is containerd's own, of that moment. Incarnation and sequence number are of the log: the fold of everything that
containerd had told by then is asked, and where its task is not the one that containerd has, the log is behind and the
command is stale, since whoever sent it cannot have seen that task.
"""

from __future__ import annotations

from typing import Final

from bridge.control.verb import Place
from bridge.errors import BridgeError, CommandFailed
from bridge.model.commands import Command
from bridge.model.nanos import Nanos
from bridge.model.state import ContainerState

__all__ = ["Stale", "check", "check_deadline", "check_sense"]


class Stale(BridgeError):
    """The command was meant for a state that is past; it had no effect."""


SENSIBLE_S: Final = 366 * 86_400
"""A deadline that is further away than this, on either side, is no deadline but a mistake, or one of two clocks is wrong."""


def check_sense(command: Command, now: Nanos) -> None:
    """See whether its deadline can be meant.

    Raises:
        CommandFailed: `invalid_argument`.
    """
    if command.not_after is None:
        return
    days = (command.not_after - now) / 86_400e9
    if abs(days) * 86_400 > SENSIBLE_S:
        where = "ahead of" if days > 0 else "behind"
        raise CommandFailed(
            "invalid_argument",
            f"not_after {command.not_after} is {abs(days):.0f} days {where} this node's clock: give a time within a year, or "
            "set the clock that is wrong",
        )


def check_deadline(command: Command, now: Nanos) -> None:
    """See whether it is not too late.

    Raises:
        Stale: it is.
    """
    if command.not_after is not None and now > command.not_after:
        late = (now - command.not_after) / 1e9
        raise Stale(
            f"{command.verb} was not to be carried out after {command.not_after}, and its turn came {late:.3f} s later "
            "by this node's clock"
        )


async def check(place: Place, command: Command, now: Nanos) -> None:
    """See whether everything holds that the command expects.

    Raises:
        Stale: something does not.
        CommandFailed: `invalid_argument` where it expects something of no container; or nobody can tell.
    """
    check_deadline(command, now)
    expected = (command.expected_incarnation, command.expected_status, command.expected_sequence)
    if expected == (None, None, None):
        return
    if place.namespace is None or place.container is None:
        raise CommandFailed(
            "invalid_argument", f"{command.verb} is for no single container: leave out what it expects of one"
        )
    if command.expected_status is not None:
        status, _ = await _status(place)
        if status != command.expected_status:
            raise Stale(f"{place} is {status}, and {command.verb} was meant for it while {command.expected_status}")
    if command.expected_incarnation is not None or command.expected_sequence is not None:
        _compare(place, command, await place.known(*place.target))
    if command.expected_incarnation is not None:
        await _compare_task(place, command, await place.known(*place.target))


def _compare(place: Place, command: Command, state: ContainerState) -> None:
    wanted, sequence = command.expected_incarnation, command.expected_sequence
    if wanted is not None and state.incarnation != wanted:
        there = state.incarnation or "none yet"
        raise Stale(f"{place} has the incarnation {there}, and {command.verb} was meant for {wanted}")
    if sequence is not None and state.sequence != sequence:
        raise Stale(f"{place} is at event {int(state.sequence)}, and {command.verb} was meant for it at {sequence}")


async def _compare_task(place: Place, command: Command, state: ContainerState) -> None:
    # The log may be behind containerd; the process itself is not.
    status, pid = await _status(place)
    if status == "gone" or (pid and state.pid and pid != state.pid):
        raise Stale(
            f"{place} is {status} with process {pid or 'none'}, and {command.verb} was meant for {state.incarnation}, "
            f"whose process is {state.pid}"
        )


async def _status(place: Place) -> tuple[str, int]:
    task = await place.runtime.tasks.get(*place.target)
    if task is not None:
        return "paused" if task.status == "pausing" else task.status, task.pid
    try:
        await place.runtime.containers.get(*place.target)
    except CommandFailed as error:
        if error.code == "not_found":
            return "gone", 0
        raise
    return "none", 0
