"""What the target of a migration does next, from what it knows. Pure: nothing is done here, and nothing is remembered.

The container is the target's from `taken` on, which it writes itself, and no process of it begins here before that stands in
the register. What it has taken it answers for: either its task runs here, or nothing of it is left here and `failed` is written,
in this order. A bridge that comes back does not begin once more: what runs, runs, and what does not has failed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from bridge.model.migrations import MigrationState

__all__ = ["SWEPT", "Copy", "TargetAct", "TargetView", "target_next"]

Copy: TypeAlias = Literal["none", "half", "running"]
"""What is here of it: nothing; something, of which no process runs; its task runs."""

TargetAct: TypeAlias = Literal[
    "read", "look", "wait", "take", "restore", "confirm", "clean", "fail", "settle", "end", "stuck"
]
"""`read` the register and `look` at what is here; write `take`, `confirm` (`running`) or `fail` into the register.

`wait` for the source, `restore` the container, `clean` away what is here of it, `settle` what is needed no more once it runs,
`end`. `stuck` waits for an operator: what would decide is gone, or is older than what it has decided.
"""


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


_Rules: TypeAlias = Sequence[tuple[Callable[[TargetView], bool], TargetAct]]


def _always(_view: TargetView) -> bool:
    return True


def _runs(view: TargetView) -> bool:
    return view.copy == "running"


def _half(view: TargetView) -> bool:
    return view.copy == "half"


RULES: Final[Mapping[MigrationState | Literal["absent"], _Rules]] = MappingProxyType(
    {
        "absent": ((_runs, "stuck"), (_half, "clean"), (_always, "end")),
        "reserved": ((_always, "wait"),),
        "offered": ((lambda view: view.ready, "take"), (_always, "wait")),
        "taken": (
            (_runs, "confirm"),
            (lambda view: view.ready and not view.tried, "restore"),
            (_half, "clean"),
            (_always, "fail"),
        ),
        "running": ((lambda view: not view.settled, "settle"), (_always, "end")),
        "released": ((lambda view: not view.settled, "settle"), (_always, "end")),
        "failed": ((lambda view: view.copy != "none", "clean"), (_always, "end")),
        # Nothing runs here before `taken`, and nothing is withdrawn after it: what runs says that the register has gone back.
        "withdrawn": ((_runs, "stuck"), (_half, "clean"), (_always, "end")),
    }
)
"""State of the entry -> what to do, the first that applies."""


def target_next(view: TargetView) -> TargetAct:
    """Return what the target does next."""
    if view.register is None:
        return "read"
    if view.copy is None:
        return "look"
    return next(act for applies, act in RULES[view.register] if applies(view))
