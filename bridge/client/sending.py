"""How a command is sent: under which id, on which conditions, until when, and whether its sender waits."""

from __future__ import annotations

from hashlib import sha256

from msgspec import Struct
from msgspec.structs import replace

from bridge.model.commands import Command
from bridge.model.identity import new_ulid
from bridge.model.lifecycle import Status
from bridge.model.nanos import Nanos, now

__all__ = ["AT_ONCE", "Sending", "derived_id"]


class Sending(Struct, frozen=True, kw_only=True):
    """How commands that change something are sent.

    Attributes:
        id: the command's; a new one for each unless given. The same id takes effect once at the most.
        if_incarnation: only for this life of the container's task.
        if_status: only while the container stands so.
        if_sequence: only if the container's newest event in the log has this number.
        not_after: not carried out later than this. A request whose sender waits is not carried out after he has given up, unless
            another time is given; that takes clocks that agree better than this.
        timeout: seconds to wait for the outcome; what suits the verb unless given, for a job for ever.
        durable: as a job, which waits in its stream until the node has carried it out.
        wait: for a job, wait for its outcome.
    """

    id: str | None = None
    if_incarnation: str | None = None
    if_status: Status | None = None
    if_sequence: int | None = None
    not_after: Nanos | None = None
    timeout: float | None = None
    durable: bool = False
    wait: bool = False

    def applied(self, command: Command, seconds: float) -> Command:
        """Return the command as it is to be sent by somebody who waits so long for its outcome."""
        if command.group == "observe" or command.repeatable:
            return command
        deadline = command.not_after or self.not_after
        if deadline is None and not self.durable:
            deadline = Nanos(now() + int(seconds * 1e9))
        return replace(
            command,
            id=command.id or self.id or new_ulid(),
            expected_incarnation=command.expected_incarnation or self.if_incarnation,
            expected_status=command.expected_status or self.if_status,
            expected_sequence=self.if_sequence if command.expected_sequence is None else command.expected_sequence,
            not_after=deadline,
        )


AT_ONCE = Sending()
"""As a request, under an id of its own, without conditions."""

_LONGEST = 47


def derived_id(base: str, *place: str) -> str:
    """Return an id for one of several commands that were given one id: another for each place, the same for the same one."""
    short = base if len(base) <= _LONGEST else sha256(base.encode()).hexdigest()[:32]
    return f"{short}-{sha256(' '.join(place).encode()).hexdigest()[:16]}"
