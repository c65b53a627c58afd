"""What a node lets itself be told: command groups, namespaces, and containers that belong to somebody else.

This is the second line of defence. The first is NATS's own permissions on the subjects; what is refused here would have
been allowed there. Every sentence names the switch of `serve` that would allow it.
"""

from __future__ import annotations

from msgspec import Struct

from bridge.errors import CommandFailed
from bridge.model.commands import GROUPS, Command, Group

__all__ = ["FOREIGN", "Policy"]

FOREIGN = {"moby": "dockerd", "k8s.io": "the kubelet"}
"""Namespace -> whose containers are in it. Their owners keep state of their own, which a command from here goes behind."""


class Policy(Struct, frozen=True, kw_only=True):
    """What this node allows. No `namespaces` means every one; observing is never foreign."""

    groups: frozenset[Group]
    foreign: bool = False
    namespaces: frozenset[str] = frozenset()

    def check(self, command: type[Command], namespace: str | None) -> None:
        """Let the command pass or not.

        Raises:
            CommandFailed: `refused`; the sentence says what would allow it.
        """
        if command.group not in self.groups:
            wanted = ",".join(group for group in GROUPS if group in self.groups or group == command.group)
            raise CommandFailed(
                "refused",
                f"{command.verb} belongs to the command group {command.group}, which is off on this node: "
                f"`serve --commands {wanted}` switches it on",
            )
        if namespace is None:
            return
        if self.namespaces and namespace not in self.namespaces:
            raise CommandFailed(
                "refused",
                f"namespace {namespace} is none of those that this node follows ({', '.join(sorted(self.namespaces))}): "
                f"`serve --namespace {namespace}` adds it",
            )
        if command.group != "observe" and namespace in FOREIGN and not self.foreign:
            raise CommandFailed(
                "refused",
                f"the containers of namespace {namespace} belong to {FOREIGN[namespace]}: "
                "`serve --foreign` lets commands change them all the same",
            )
