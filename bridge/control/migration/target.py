"""What the target of a migration does next, from what it knows. Pure: nothing is done here, and nothing is remembered.

The container is the target's from `taken` on, which it writes itself, and no process of it begins here before that stands in the
register. What it has taken it answers for: either its task runs here, or nothing of it is left here and `failed` is written, in this
order. A bridge that comes back does not begin once more: what runs, runs, and what does not has failed.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, assert_never

from msgspec import Struct

from bridge.model.migrations import MigrationState

__all__ = ["SWEPT", "Copy", "TargetAct", "TargetView", "target_next"]

Copy: TypeAlias = Literal["none", "half", "running"]
"""What is here of it: nothing; something, of which no process runs; its task runs."""

TargetAct: TypeAlias = Literal["read", "look", "wait", "take", "restore", "confirm", "clean", "fail", "settle", "end", "stuck"]
"""`read` the register, `look` at what is here, `wait` for the source, write `take`, `confirm` (`running`) or `fail` into the register,
`restore` the container, `clean` away what is here of it, `settle` what is needed no more once it runs, `end`. `stuck` waits
for an operator: what would decide is gone."""


class TargetView(Struct, frozen=True, kw_only=True):
    """What the target knows.

    Attributes:
        register: as it was read or written last; None where it has to be read; `absent` where there is no entry.
        copy: as it was seen last; None where it has to be looked at.
        ready: everything that a restore needs was taken in by this run of the bridge.
        tried: this run of the bridge has begun to restore it, or another one may have.
        settled: nothing is here but the container itself.
    """

    register: MigrationState | Literal["absent"] | None = None
    copy: Copy | None = None
    ready: bool = False
    tried: bool = False
    settled: bool = False


SWEPT: Final = TargetView(tried=True)
"""What is known after a crash, and of what nobody here looks after: nothing, and so nothing begins."""


def target_next(view: TargetView) -> TargetAct:
    """Return what the target does next."""
    if view.register is None:
        return "read"
    if view.copy is None:
        return "look"
    match view.register:
        case "absent":
            if view.copy == "running":
                return "stuck"
            return "clean" if view.copy == "half" else "end"
        case "reserved":
            return "wait"
        case "offered":
            return "take" if view.ready else "wait"
        case "taken":
            return _answer(view)
        case "running" | "released":
            return "end" if view.settled else "settle"
        case "withdrawn" | "failed":
            return "end" if view.copy == "none" else "clean"
        case state:
            assert_never(state)


def _answer(view: TargetView) -> TargetAct:
    if view.copy == "running":
        return "confirm"
    if view.ready and not view.tried:
        return "restore"
    return "clean" if view.copy == "half" else "fail"
