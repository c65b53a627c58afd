"""Which containers somebody means: by label, name, image, and how they ended.

The same words choose events and states. As docker has it, several values of one option are alternatives, and every option
that is given has to hold. Labels go by their keys: values of one key are alternatives, different keys have to hold
all, and what a label must not be holds always.

What nobody has told matches nothing: of a container whose labels are unknown it is not claimed that it lacks one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from fnmatch import translate
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from bridge.model.anomalies import is_lost
from bridge.model.envelope import Event, Recorded, Unrecognized
from bridge.model.events import ContainerEvent, TaskDelete, TaskExecExit, TaskExit
from bridge.model.outcomes import ContainerInfo
from bridge.model.state import ContainerState

__all__ = ["ENDINGS", "Names", "Selection", "familiar", "names"]

Names: TypeAlias = str | Collection[str]
"""One name or several; none of them means all."""

ENDINGS = (TaskExit.word, TaskExecExit.word, TaskDelete.word)
"""Words of the events that say how something ended."""

UNKNOWN = "unknown"
HIGHEST = 0xFFFF_FFFF
"""Exit statuses are unsigned 32-bit numbers in containerd."""


def names(given: Names) -> tuple[str, ...]:
    """Return the names without repetitions, in their order."""
    return tuple(dict.fromkeys((given,) if isinstance(given, str) else given))


class _LabelTest(NamedTuple):
    """`key`, `key=value` or `key!=value`."""

    key: str
    value: str | None
    negated: bool


class _StatusTest(NamedTuple):
    """A status, `!=` a status, or None for one that nobody knows."""

    status: int | None
    negated: bool

    def holds(self, status: int | None) -> bool:
        if self.negated:
            return status is not None and status != self.status
        return status == self.status


class Selection:
    """A choice of containers. Without any option it admits everything."""

    def __init__(self, *, label: Names = (), name: Names = (), image: Names = (), exit_status: Names = ()) -> None:
        """Take the choice.

        Args:
            label: `key`, `key=value` or `key!=value` (absent is not equal).
            name: patterns with `*`, `?` and `[...]` for the container's name; for its id where it has no name.
            image: patterns for the image: as it stands there, as people write it (`nginx:1.27`), or without tag (`nginx`).
            exit_status: `0`, another number, `!=0`, or `unknown` for what ended and nobody knows how.

        Raises:
            ValueError: one of them makes no sense; the sentence says which and gives the forms.
        """
        self._must: dict[str, list[_LabelTest]] = {}
        self._must_not: list[_LabelTest] = []
        for test in map(_label_test, names(label)):
            if test.negated:
                self._must_not.append(test)
            else:
                self._must.setdefault(test.key, []).append(test)
        self._names = _pattern(names(name), "name")
        self._images = _pattern(names(image), "image")
        self._statuses = [_status_test(text) for text in names(exit_status)]
        self._described = bool(self._must or self._must_not or self._names or self._images)

    def __bool__(self) -> bool:
        """Whether anything was chosen."""
        return self._described or bool(self._statuses)

    @property
    def by_ending(self) -> bool:
        """Whether it chooses by exit status, so that only ends can match."""
        return bool(self._statuses)

    def admits_event(self, recorded: Recorded[Event] | Recorded[Unrecognized]) -> bool:
        """Tell whether the event is one of those that are meant, by what it says itself of its container.

        Events that belong to no container, and those of a version to come, match nothing that is chosen.
        """
        event = recorded.data
        if self._described and not (
            isinstance(event, ContainerEvent)
            and self.describes(event.labels, event.name or recorded.container, event.image)
        ):
            return False
        return not self._statuses or self._ends(event)

    def admits_state(self, state: ContainerState) -> bool:
        """Tell whether the container is one of those that are meant, as this state knows it."""
        if self._described and not self.describes(state.labels, state.name or state.container, state.image):
            return False
        if not self._statuses:
            return True
        return (state.exited or state.exit_status is not None) and self._holds(state.exit_status)

    def admits_container(self, one: ContainerInfo) -> bool:
        """Tell whether the container is one of those that are meant, as containerd lists it."""
        if self._described and not self.describes(one.labels, one.name or one.id, one.image or None):
            return False
        if not self._statuses:
            return True
        return one.task is not None and one.task.status == "stopped" and self._holds(one.task.exit_status)

    def describes(self, labels: Mapping[str, str] | None, name: str | None, image: str | None) -> bool:
        """Tell whether a container of this description is one of those that are meant, however it ended."""
        if self._names and not (name is not None and self._names.fullmatch(name)):
            return False
        if self._images and not (image is not None and any(map(self._images.fullmatch, familiar(image)))):
            return False
        return not (self._must or self._must_not) or (labels is not None and self._labelled(labels))

    # -- inside

    def _labelled(self, labels: Mapping[str, str]) -> bool:
        for key, tests in self._must.items():
            value = labels.get(key)
            if value is None or not any(test.value in (None, value) for test in tests):
                return False
        return all(labels.get(test.key) != test.value for test in self._must_not)

    def _ends(self, event: Event | Unrecognized) -> bool:
        match event:
            case TaskDelete(exited_at=None):
                return False  # of a task that never ran
            case TaskExit() | TaskDelete():
                return self._holds(None if is_lost(event) else event.exit_status)
            case TaskExecExit(exit_status=status):
                return self._holds(status)
            case _:
                return False

    def _holds(self, status: int | None) -> bool:
        return any(test.holds(status) for test in self._statuses)


@lru_cache(maxsize=1024)  # the same few images come with every event
def familiar(image: str) -> tuple[str, ...]:
    """Return the ways to write an image: in full, as people write it, and that without tag and digest."""
    host, slash, rest = image.partition("/")
    short = rest.removeprefix("library/") if slash and host == "docker.io" else image
    tagged = short.partition("@")[0]
    repository, colon, tag = tagged.rpartition(":")
    bare = repository if colon and "/" not in tag else tagged  # else it is the port of a registry
    return tuple(dict.fromkeys((image, short, tagged, bare)))


def _label_test(text: str) -> _LabelTest:
    key, equals, value = text.partition("=")
    negated = bool(equals) and key.endswith("!")
    key = key.removesuffix("!") if negated else key
    if not key:
        raise ValueError(f"{text!r} chooses by no label: give key, key=value or key!=value")
    return _LabelTest(key, value if equals else None, negated)


def _status_test(text: str) -> _StatusTest:
    if text == UNKNOWN:
        return _StatusTest(None, negated=False)
    number = text.removeprefix("!=")
    if not (number.isascii() and number.isdigit() and len(number) <= 10 and int(number) <= HIGHEST):
        raise ValueError(f"{text!r} is no exit status: give a number such as 0 or 137, !=0, or {UNKNOWN}")
    return _StatusTest(int(number), negated=number != text)


def _pattern(patterns: Iterable[str], what: str) -> re.Pattern[str] | None:
    given = list(patterns)
    if "" in given:
        raise ValueError(f"an empty pattern chooses no {what}: leave it out to have them all")
    return re.compile("|".join(map(translate, given))) if given else None
