"""What Docker Engine's API answers, as structs of `bridge.ports`. Pure; no calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from msgspec import Struct

from bridge.model.kinds import convert, decoder
from bridge.model.nanos import Nanos
from bridge.ports.engine import EngineContainer

__all__ = ["CHANGES", "HEALTH", "Change", "change", "containers", "ids"]

HEALTH: Final = ("starting", "healthy", "unhealthy")
"""What a check says; dockerd's list can be filtered by these words, and tells them in no field of its own before API 1.52."""

CHANGES: Final = ("create", "rename", "start", "die", "health_status", "destroy")
"""Events after which dockerd says something else of a container than before."""

Action: TypeAlias = Literal["look", "start", "health", "end", "gone"]

_ACTIONS: Final[dict[str, Action]] = {
    "create": "look",
    "rename": "look",
    "start": "start",
    "die": "end",
    "destroy": "gone",
}


class _Summary(Struct, frozen=True):
    """One container of `GET /containers/json`. A container that is linked to has more names, with a slash in them."""

    Id: str
    Names: list[str] | None = None
    Image: str = ""
    Labels: dict[str, str] | None = None


class _Actor(Struct, frozen=True):
    ID: str = ""


class _Event(Struct, frozen=True):
    Action: str = ""
    Actor: _Actor = _Actor()
    timeNano: int = 0  # noqa: N815 - Docker's name


class Change(NamedTuple):
    """An event of a container: whose, what it means, when, and what its check says where it says that."""

    container: str
    action: Action
    time: Nanos
    health: str | None = None


def containers(answer: Any, health: str | None = None) -> Iterator[EngineContainer]:
    """Iterate over the containers of a list.

    Raises:
        msgspec.ValidationError: it is no list of containers.
    """
    for one in convert(answer, list[_Summary]):
        names = [name.removeprefix("/") for name in one.Names or ()]
        yield EngineContainer(
            id=one.Id,
            name=next((name for name in names if "/" not in name), ""),
            image=one.Image,
            labels=one.Labels or {},
            health=health,
        )


def ids(answer: Any) -> Iterable[str]:
    """Return the ids of a list.

    Raises:
        msgspec.ValidationError: it is no list of containers.
    """
    return [one.Id for one in convert(answer, list[_Summary])]


def change(line: bytes) -> Change | None:
    """Return what a line of `GET /events` says, None for what is none of `CHANGES`.

    Raises:
        msgspec.DecodeError: it is no event.
    """
    event = decoder(_Event).decode(line)
    word, _, told = event.Action.partition(": ")
    if word == "health_status":
        return Change(event.Actor.ID, "health", Nanos(event.timeNano), told) if told in HEALTH else None
    action = _ACTIONS.get(word)
    return None if action is None else Change(event.Actor.ID, action, Nanos(event.timeNano))
