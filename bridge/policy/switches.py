"""The switches of `serve`: the outer bound of what a node lets itself be told. No rule allows what they refuse."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from bridge.model.commands import GROUPS, Command, Group

__all__ = ["FOREIGN", "SWITCH", "Switches"]

FOREIGN: Final = {"moby": "dockerd", "plugins.moby": "dockerd", "k8s.io": "the kubelet"}
"""Namespace -> whose containers are in it. Their owners keep state of their own, which a command from here goes behind."""

SWITCH: Final = "switch"
"""Names what decides where a switch refuses."""


class Switches(Struct, frozen=True, kw_only=True):
    """What is switched on. No `namespaces` means every one; observing is never foreign."""

    groups: frozenset[Group]
    foreign: bool = False
    namespaces: frozenset[str] = frozenset()

    def refusal(self, command: type[Command], namespace: str | None) -> str | None:
        """Return None where the command may pass, else the sentence that says which switch would let it."""
        if command.group not in self.groups:
            wanted = ",".join(group for group in GROUPS if group in self.groups or group == command.group)
            return (
                f"{command.verb} belongs to the command group {command.group}, which is off on this node: "
                f"`serve --commands {wanted}` switches it on"
            )
        if namespace is not None and self.namespaces and namespace not in self.namespaces:
            return (
                f"namespace {namespace} is none of those that this node follows ({', '.join(sorted(self.namespaces))}): "
                f"`serve --namespace {namespace}` adds it"
            )
        if command.group != "observe" and namespace in FOREIGN and not self.foreign:
            return (
                f"the containers of namespace {namespace} belong to {FOREIGN[namespace]}: "
                "`serve --foreign` lets commands change them all the same"
            )
        return None
