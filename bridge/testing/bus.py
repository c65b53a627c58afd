"""The command plane in memory: inboxes of nodes, and who sends to them. Commands and outcomes really are bytes on the way.

bus = MemoryBus()
async with bus.inbox("web1", groups=["observe"]).serve(["list"], handle):
    outcome = await bus.send(bus.subjects.command("web1", None, None, "list"), b"", timeout=5)
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bridge.errors import CommandFailed
from bridge.model.codec import decode_as
from bridge.model.outcomes import Outcome
from bridge.model.subjects import Subjects
from bridge.ports import NodePresence
from bridge.testing.inbox import MemoryInbox

__all__ = ["MemoryBus"]


class MemoryBus:
    """Implements `bridge.ports.CommandSender`, and makes inboxes."""

    def __init__(self, subjects: Subjects | None = None) -> None:
        """Take the subjects of the bus; those under `containerd` unless given."""
        self.subjects = subjects or Subjects()
        self.denied: set[str] = set()
        """Subjects that this sender is not permitted to send to."""
        self._inboxes: list[MemoryInbox] = []

    def inbox(
        self,
        node: str,
        *,
        version: str = "0.0.0",
        groups: Sequence[str] = (),
        under_way: int = 2_048,
        finish: float = 10.0,
    ) -> MemoryInbox:
        """Return the inbox of a node.

        Args:
            node: the node's name.
            version: the version of its bridge.
            groups: the command groups that are switched on.
            under_way: requests at the same time; what comes on top is answered with `exhausted`.
            finish: seconds that the requests under way may still take when the inbox closes; then they are interrupted.
        """
        inbox = MemoryInbox(
            self.subjects,
            NodePresence(node=node, version=version, groups=list(groups)),
            under_way=under_way,
            finish=finish,
        )
        self._inboxes.append(inbox)
        return inbox

    async def send(self, subject: str, body: bytes, *, timeout: float) -> Outcome:
        """Send one command and return its outcome; see the port."""
        await asyncio.sleep(0)
        if subject in self.denied:
            raise CommandFailed("refused", f"this login is not permitted to send to {subject}")
        inbox = next((inbox for inbox in self._inboxes if inbox.hears(subject)), None)
        if inbox is None:
            raise CommandFailed(
                "unavailable", f"nobody takes commands on {subject}: the node is down, or that group is off"
            )
        # Whoever gives up waiting takes nothing back: the command goes on.
        reply = asyncio.shield(inbox.take(subject, body))
        try:
            async with asyncio.timeout(timeout):
                return decode_as(await reply, Outcome)
        except TimeoutError as error:
            raise CommandFailed(
                "deadline_exceeded", "no outcome came, it is open whether there was an effect: no answer in time"
            ) from error

    async def nodes(self, *, wait: float = 0.5) -> Sequence[NodePresence]:  # noqa: ARG002 - they all answer at once
        """Return the nodes that take commands now; see the port."""
        await asyncio.sleep(0)
        return sorted((inbox.presence for inbox in self._inboxes if inbox.open), key=lambda node: node.node)
