"""The groups that commands are in: what a node lets itself be told is switched on by group."""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = ["GROUPS", "Group", "groups_from"]

Group: TypeAlias = Literal["observe", "lifecycle", "exec", "create", "checkpoint"]
GROUPS: tuple[Group, ...] = ("observe", "lifecycle", "exec", "create", "checkpoint")


def groups_from(text: str) -> frozenset[Group]:
    """Read the value of `--commands`: group names separated by commas, or `all`, or `none`.

    Raises:
        ValueError: a name is no group; the sentence gives the choices.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if names == ["all"]:
        return frozenset(GROUPS)
    if names in ([], ["none"]):
        return frozenset()
    chosen: set[Group] = set()
    for name in names:
        if name in {"all", "none"}:
            raise ValueError(f"command group {name!r} stands alone: give it without {', '.join(GROUPS)}")
        group = next((group for group in GROUPS if group == name), None)
        if group is None:
            raise ValueError(f"command group {name!r} does not exist: choose from {', '.join(GROUPS)}, all, none")
        chosen.add(group)
    return frozenset(chosen)
