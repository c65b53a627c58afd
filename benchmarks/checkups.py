"""The other load: containers that run for good, and the health checks that are executed in them.

A container is met by three events, as it is created and started. From then on it only has checks, an exec that is added,
started, and ends: what the containers of an ordinary host have nothing but, for days. Checks come in rounds: those of a
round go to so many containers in turns, step by step, so that three events of a container never stand side by side.

The number of a check stands in its exec's id, and the time of an event is the moment at which it is sent. So what is
streamed in which order is known to everybody who knows the rounds, and how long an event was under way to whoever gets it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, Final, NamedTuple

from google.protobuf.message import Message

from benchmarks.lifecycles import LIFE, NAMESPACE, Moment, container_id, moment, pid_of, wrapped
from benchmarks.streamed import Place
from bridge._pb.containerd import events_pb2 as events

__all__ = ["CHECK", "MEETING", "Checkups", "Round", "Step", "check", "meeting", "step_of"]

MEETING: Final = LIFE[:3]
"""How a container is met: created, its task created and started."""

CHECK: Final = ("exec-added", "exec-started", "exec-exit")
"""The steps of a check, as the bridge calls them."""

_STEPS: Final = {word: step for step, word in enumerate(CHECK)}
_MET: Final = {step.word: number for number, step in enumerate(MEETING)}
_NUMBER_DIGITS: Final = 56  # of 64, which an exec's id has as Docker makes them; the others hold the round


class Round(NamedTuple):
    """So many events of checks, spread evenly over the first `busy` containers."""

    busy: int
    events: int

    @classmethod
    def of(cls, busy: int, events: int) -> Round:
        """Return the shortest round of at least so many events in which every check comes to its end."""
        turn = busy * len(CHECK)
        return cls(busy, -(-events // turn) * turn)


class Step(NamedTuple):
    """One event of a check: the number of its container, its step, and the exec's id."""

    container: int
    step: int
    exec_id: str


def meeting(number: int, time_ns: int) -> bytes:
    """Return the event of this number among those by which containers are met, as containerd sends it."""
    container, at = divmod(number, len(MEETING))
    step, time = MEETING[at], moment(time_ns)
    return wrapped(time, step.topic, step.payload(Moment(container_id(container), pid_of(container), "", time)))


def step_of(place: int, busy: int, number: int) -> Step:
    """Return what the event of this number is.

    Args:
        place: which round it is of, from 0.
        busy: containers of the round.
        number: from 0.
    """
    turn, rest = divmod(number, busy * len(CHECK))
    step, container = divmod(rest, busy)
    return Step(container, step, f"{place:08x}{turn * busy + container:0{_NUMBER_DIGITS}x}")


def check(one: Step, time_ns: int) -> bytes:
    """Return an event of a check that is sent at this time, as containerd sends it."""
    name, pid, time = container_id(one.container), pid_of(one.container) + 1, moment(time_ns)
    payload: Message
    match CHECK[one.step]:
        case "exec-added":
            topic, payload = "/tasks/exec-added", events.TaskExecAdded(container_id=name, exec_id=one.exec_id)
        case "exec-started":
            topic = "/tasks/exec-started"
            payload = events.TaskExecStarted(container_id=name, exec_id=one.exec_id, pid=pid)
        case _:
            topic = "/tasks/exit"
            payload = events.TaskExit(container_id=name, id=one.exec_id, pid=pid, exit_status=0, exited_at=time)
    return wrapped(time, topic, payload)


class Checkups:
    """What was streamed, for whoever looks at what has arrived; see `benchmarks.streamed.Streamed`."""

    def __init__(self, met: int, rounds: Sequence[Round]) -> None:
        """Take how many containers were met, and the rounds that came then."""
        self._met = met * len(MEETING)
        self._rounds = list(rounds)
        self._begins = list(accumulate((one.events for one in rounds), initial=self._met))
        self._names = [container_id(container) for container in range(met)]
        self._numbers = {name: number for number, name in enumerate(self._names)}

    def __len__(self) -> int:
        return self._begins[-1]

    def number(self, container: str, word: str, event: Mapping[str, Any]) -> int | None:
        """Return the number of an event: that in its exec's id, or where it stands among the first of its container."""
        which = self._numbers.get(container)
        if which is None:
            return None
        if word in _MET:
            return which * len(MEETING) + _MET[word]
        step, data = _STEPS.get(word), event["data"]
        name = data.get("exec_id") or data.get("id") or ""
        if step is None or len(name) != 64:
            return None
        place, number = int(name[:-_NUMBER_DIGITS], 16), int(name[-_NUMBER_DIGITS:], 16)
        if place >= len(self._rounds):
            return None
        busy, length = self._rounds[place]
        turn, rest = divmod(number, busy)
        found = turn * busy * len(CHECK) + step * busy + rest
        return self._begins[place] + found if found < length else None

    def place(self, number: int) -> Place:
        """Return where the event of this number belongs."""
        if number < self._met:
            which, at = divmod(number, len(MEETING))
            return Place(NAMESPACE, self._names[which], MEETING[at].word, at + 1)
        at = bisect_right(self._begins, number) - 1
        busy, within = self._rounds[at].busy, number - self._begins[at]
        turn, which = divmod(within, busy)
        before = len(MEETING) + sum(_share(one, which) for one in self._rounds[:at])
        return Place(NAMESPACE, self._names[which], CHECK[turn % len(CHECK)], before + turn + 1)


def _share(one: Round, container: int) -> int:
    """Return how many events of a round are of a container."""
    return 0 if container >= one.busy else (one.events - container + one.busy - 1) // one.busy
