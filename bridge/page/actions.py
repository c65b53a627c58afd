"""The commands of the page: which of them a container's node would carry out now, and carrying one out.

Whether a command is allowed the node itself says: it judges it by its policy, and does nothing (a dry run). That leaves an event,
so it is asked when somebody wants to act and not when he looks. A command goes out under an id of the browser's, so that one that
is sent twice takes effect once, and only for the life of the container that was on the screen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from msgspec import Struct

from bridge.client import Bus, CommandFailed, Container, Judgement, Remarks, Sending
from bridge.model.codec import to_builtins
from bridge.model.commands import COMMANDS

__all__ = ["VERBS", "Actions", "Asked", "Choice", "Ending"]

SENDER: Final = "containerd-bridge page"
PATIENCE_S: Final = 5.0
"""How long a node may think about whether it would: the turn of a container may be somebody else's."""

_ALIVE: Final = frozenset({"created", "running", "paused", "unknown"})
VERBS: Final[dict[str, frozenset[str]]] = {
    "pause": frozenset({"running", "unknown"}),
    "resume": frozenset({"paused", "unknown"}),
    "start": frozenset({"none", "created", "stopped", "unknown"}),
    "stop": _ALIVE,
    "restart": _ALIVE | {"stopped", "none"},
    "kill": _ALIVE,
    "delete": _ALIVE | {"stopped", "none"},
    "exec": frozenset({"running", "unknown"}),
}
"""The verbs of the page, and the statuses in which each makes sense."""


class Asked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a browser asks for. `id` makes it happen once; `incarnation` is the life that it is meant for."""

    id: str
    incarnation: str | None = None
    signal: str | None = None
    grace: float = 10.0
    force: bool = False


class Choice(Struct, frozen=True, kw_only=True):
    """One verb: whether it can be had now, and the sentence why, or why not."""

    verb: str
    allowed: bool
    reason: str


class Ending(Struct, frozen=True, kw_only=True):
    """What came of a command: `code` is `ok` or why not, `message` a sentence; `result` what it returned."""

    code: str
    message: str = ""
    result: Any = None


class Actions:
    """Asks nodes, and commands them."""

    def __init__(self, bus: Bus) -> None:
        """Take the bus, whose login decides what may be done."""
        self._bus = bus

    async def container(self, node: str, namespace: str, container: str) -> Container:
        """Return a container to command.

        Raises:
            ValueError: a name cannot be one.
        """
        found = await self._bus.container(container, node=node, namespace=namespace)
        return found.remarking(Remarks(sender=SENDER))

    async def choices(self, target: Container) -> list[Choice]:
        """Return what can be done with a container as it is, in the order of `VERBS`; what makes no sense now is left out.

        Raises:
            CommandFailed: nothing is known of it.
            LogUnavailable: its state cannot be had.
            LogRefused: likewise.
        """
        status = (await target.state()).status
        taken = next((one.groups for one in await self._bus.nodes() if one.node == target.node.name), None)
        verbs = [verb for verb, statuses in VERBS.items() if status in statuses]
        return list(await asyncio.gather(*(self._choice(target, verb, taken, status) for verb in verbs)))

    async def carry_out(self, target: Container, verb: str, asked: Asked) -> Ending:
        """Carry a command out.

        Raises:
            ValueError: there is no such verb, or one of its options makes no sense.
        """
        sending = Sending(id=asked.id, if_incarnation=None if verb == "start" else asked.incarnation)
        try:
            result = await _calls(target.sending(sending), verb, asked)()
        except CommandFailed as error:
            return Ending(code=error.code, message=_sentence(error))
        return Ending(code="ok", result=to_builtins(result))

    async def _choice(self, target: Container, verb: str, taken: list[str] | None, status: str) -> Choice:
        group = COMMANDS[verb].group
        if taken is None:
            return Choice(
                verb=verb, allowed=False, reason=f"node {target.node.name} takes no commands, or does not answer"
            )
        if group not in taken:
            return Choice(verb=verb, allowed=False, reason=f"node {target.node.name} takes no {group} commands")
        judged = target.remarking(Remarks(sender=SENDER, dry_run=True)).sending(Sending(timeout=PATIENCE_S))
        asked = Asked(id="", force=verb == "delete" and status in _ALIVE)
        try:
            await _calls(judged, verb, asked)()
        except Judgement as judgement:
            return Choice(verb=verb, allowed=True, reason=judgement.judged.reason)
        except CommandFailed as error:
            return Choice(verb=verb, allowed=False, reason=_sentence(error))
        return Choice(
            verb=verb, allowed=False, reason="the node did it instead of judging it: it is older than this page"
        )


def _calls(target: Container, verb: str, asked: Asked) -> Callable[[], Awaitable[Any]]:  # noqa: PLR0911 - one line per verb
    match verb:
        case "pause":
            return target.pause
        case "resume":
            return target.resume
        case "start":
            return target.start
        case "stop":
            return lambda: target.stop(grace=asked.grace, signal=asked.signal)
        case "restart":
            return lambda: target.restart(grace=asked.grace, signal=asked.signal)
        case "kill":
            return lambda: target.kill(signal=asked.signal or "SIGTERM")
        case "delete":
            return lambda: target.delete(force=asked.force)
        case "exec":
            return lambda: target.capture(["true"])
        case _:
            raise ValueError(f"there is no action {verb!r}: choose from {', '.join(VERBS)}")


def _sentence(error: CommandFailed) -> str:
    words = error.containerd
    return f"{error} (containerd: {words})" if words and words not in str(error) else str(error)
