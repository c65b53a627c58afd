"""What the source of a migration does next, from what it knows. Pure: nothing is done here, and nothing is remembered.

The container is the source's until the register says `taken`, and again from `failed` or `withdrawn` on; only then may it run
here. While it may be the target's it stands still, for however long that takes: no clock decides.

A write whose answer is lost may still come to pass, even after the register was read again. So who has tried to offer, or may
have before a crash, takes that back by compare-and-set before the container runs on; who never has lets it run at once, and the
bus may be away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from bridge.model.migrations import MigrationState

__all__ = ["AFTER_A_CRASH", "Here", "SourceAct", "SourceView", "Step", "source_next"]

Here: TypeAlias = Literal["running", "paused", "gone"]
"""The container's task at the source, as it was seen last."""

Step: TypeAlias = Literal["begun", "promised", "sent", "dumped"]
"""How far this run of the bridge has come: the target has promised; image, layer and rounds are there; the last dump too."""

SourceAct: TypeAlias = Literal[
    "read",
    "look",
    "reserve",
    "ask",
    "send",
    "freeze",
    "dump",
    "offer",
    "hand_over",
    "wait",
    "withdraw",
    "resume",
    "remove",
    "release",
    "tell",
    "tidy",
    "end",
    "stuck",
]
"""`read` the register and `look` at the task; write `reserve`, `offer`, `withdraw` or `release` into the register.

`ask` the target for its promise, `send` what can be sent while it runs, `freeze` it, `dump` it and send that, ask the target to
take it (`hand_over`), `wait` for the register; `resume` or `remove` the container, `tell` the target that nothing comes, `tidy`
the bus, `end`. `stuck` waits for an operator: what would decide is gone.
"""


class SourceView(Struct, frozen=True, kw_only=True):
    """What the source knows.

    Attributes:
        register: as it was read or written last; None where it has to be read; `absent` where there is no entry.
        task: as it was seen last; None where it has to be looked at.
        step: how far this run of the bridge has come with preparing.
        back: it is given up, as far as that is still the source's to say: something failed, or somebody took it back.
        may_have_reserved: an entry was tried to be made; it is not made twice, else a register that was lost would begin anew.
        may_have_offered: an offer was tried, or may have been before a crash.
        asked: the target was asked to take it.
        told: the target was told that nothing comes, or cannot be reached.
        tidy: nothing is left on the bus.
        refused: the register refused what it was asked last; nothing of that was written, and nothing will be.
    """

    register: MigrationState | Literal["absent"] | None = None
    task: Here | None = None
    step: Step = "begun"
    back: bool = False
    may_have_reserved: bool = False
    may_have_offered: bool = False
    asked: bool = False
    told: bool = False
    tidy: bool = False
    refused: bool = False


AFTER_A_CRASH: Final = SourceView(back=True, may_have_reserved=True, may_have_offered=True)
"""What is known after a crash: nothing, and so it is given up where it is not offered yet."""


_Rules: TypeAlias = Sequence[tuple[Callable[[SourceView], bool], SourceAct]]


def _always(_view: SourceView) -> bool:
    return True


def _still(view: SourceView) -> bool:
    return view.task == "paused"


RULES: Final[Mapping[MigrationState | Literal["absent"], _Rules]] = MappingProxyType(
    {
        "absent": (
            (_still, "stuck"),
            (lambda view: view.back or view.may_have_reserved or view.task == "gone", "end"),
            (_always, "reserve"),
        ),
        "reserved": (
            # Nobody but us can have given it away, and we have not: it need not wait for the bus.
            (lambda view: view.back and _still(view) and not view.may_have_offered, "resume"),
            (lambda view: view.back, "withdraw"),
            (lambda view: view.step == "begun", "ask"),
            (lambda view: view.step == "promised", "send"),
            (lambda view: view.step == "sent" and not _still(view), "freeze"),
            (lambda view: view.step == "sent", "dump"),
            (_still, "offer"),
            (_always, "withdraw"),  # somebody has let it run on since: the dump is too old
        ),
        "offered": (
            (lambda view: view.back, "withdraw"),
            (lambda view: not view.asked, "hand_over"),
            (_always, "wait"),
        ),
        "taken": ((_always, "wait"),),
        "running": (
            (lambda view: view.task != "gone", "remove"),
            (lambda view: not view.tidy, "tidy"),
            (_always, "release"),
        ),
        "failed": (
            (_still, "resume"),
            (lambda view: not view.told, "tell"),
            (lambda view: not view.tidy, "tidy"),
            (_always, "end"),
        ),
        "withdrawn": (
            (_still, "resume"),
            (lambda view: not view.told, "tell"),
            (lambda view: not view.tidy, "tidy"),
            (_always, "end"),
        ),
        "released": ((_always, "end"),),
    }
)
"""State of the entry -> what to do, the first that applies."""


def source_next(view: SourceView) -> SourceAct:
    """Return what the source does next."""
    if view.refused and view.back and view.task != "paused":
        # It runs here, or is no more, and the register is not to be had: nothing here hangs on what is written there next.
        return "look" if view.task is None else "end"
    if view.register is None:
        return "read"
    if view.task is None:
        return "look"
    return next(act for applies, act in RULES[view.register] if applies(view))
