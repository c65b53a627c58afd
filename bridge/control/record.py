"""The record of commands: one event before a command can have an effect, one with its outcome, refused and failed ones too.

Commands that only look leave none unless they are refused (a monitoring program would drown the log), or unless the node is
told to record them too. What may be secret stays out of the events unless `full`: see `bridge.model.commands.redaction`. A
hash of the body is always in them.

The event before is handed over right after the journal has the command as started, and before it is carried out; it reaches the
disk of the log within milliseconds, and is not waited for.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Literal, TypeAlias

from msgspec import structs

from bridge import trace
from bridge.control.order import Order
from bridge.model.commands import OF_EVERY, redacted, scrubbed, secrets_of
from bridge.model.events import CommandRecorded, Failure, TaskCheckpointed
from bridge.model.identity import is_identifier
from bridge.model.nanos import now
from bridge.model.outcomes import Outcome
from bridge.ports import Observed

__all__ = ["CommandRecord", "Detail", "Take", "observed"]

log = logging.getLogger(__name__)

Detail: TypeAlias = Literal["redacted", "full"]

Take: TypeAlias = Callable[[str | None, str | None, CommandRecorded, str], None]
"""Takes namespace, container, event and the id it is told under, for the log; None for what it is not about. Returns at once."""


def observed(
    namespace: str | None, container: str | None, event: CommandRecorded | TaskCheckpointed, command_id: str
) -> Observed:
    """Return what a command tells of itself, as of this moment, for the log."""
    moment = now()
    return Observed(
        event=event,
        namespace=namespace,
        container=container,
        time=moment,
        recorded=moment,
        origin="command",
        correlation_id=command_id,
        traceparent=trace.current().parent,
    )


class CommandRecord:
    """Makes the events of commands and hands them on."""

    def __init__(self, take: Take, *, detail: Detail = "redacted", observing: bool = False) -> None:
        """Take where events go.

        Args:
            take: takes them.
            detail: `full` tells options as they were sent, secrets and all.
            observing: whether commands that only look are recorded too.
        """
        self._take = take
        self._detail = detail
        self._observing = observing

    def started(self, order: Order) -> None:
        """Record that a command is about to be carried out."""
        if order.is_act or self._observing:
            self._leave(order, self._event(order))

    def finished(self, order: Order, outcome: Outcome) -> None:
        """Record what came of a command."""
        if not (order.is_act or self._observing or outcome.outcome == "refused"):
            return
        event = structs.replace(
            self._event(order),
            phase="finished",
            outcome=outcome.outcome,
            error=self.told(order, outcome.error),
            finished_at=outcome.finished_at,
            duration_ns=max(0, time.monotonic_ns() - order.arrived_ns) if order.arrived_ns else None,
        )
        self._leave(order, event)

    def told(self, order: Order, failure: Failure | None) -> Failure | None:
        """Return why a command failed as everybody may read it."""
        # What the policy says names paths and keys, which is what it is about, and no values that could be secret.
        if failure is None or order.kind is None or self._detail == "full" or _is_ours(failure):
            return failure
        secrets = secrets_of(order.kind, order.options)
        if not secrets:
            return failure
        return structs.replace(
            failure,
            message=scrubbed(failure.message, secrets),
            containerd=None if failure.containerd is None else scrubbed(failure.containerd, secrets),
        )

    # -- inside

    def _event(self, order: Order) -> CommandRecorded:
        command, options = order.command, order.options
        if order.kind is None or self._detail == "full":
            told: dict[str, Any] = {name: value for name, value in options.items() if name not in OF_EVERY}
        else:
            told = redacted(order.kind, options)
        return CommandRecorded(
            container_id=order.subject.container,
            command_id=order.id,
            verb=order.subject.verb,
            phase="started",
            options=told,
            who=order.request.who,
            claimed=command.sender if command is not None else None,
            purpose=command.purpose if command is not None else None,
            rule=order.rule,
            dry_run=order.dry_run,
            sha256=sha256(order.kept).hexdigest(),
            received_at=order.received_at,
        )

    def _leave(self, order: Order, event: CommandRecorded) -> None:
        namespace, container = order.subject.namespace, order.subject.container
        valid = order.target is not None
        known = namespace if namespace is not None and is_identifier(namespace) else None
        try:
            self._take(known, container if valid else None, event, order.story)
        except Exception:
            log.exception("command %s is not recorded", order)


def _is_ours(failure: Failure) -> bool:
    return failure.code == "refused" and failure.containerd is None
