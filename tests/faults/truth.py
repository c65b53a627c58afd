"""What the checker asks of the log as an account of what happened (I4): holes are told, and its fold is what containerd lists.

An event that containerd sent and that the log lacks is judged by time: it was published between its own time and the moment
when the witness read it, so a gap that excuses it has to touch that span.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from bridge.model.codec import decode, decode_as
from bridge.model.fold import evolve
from bridge.model.state import ContainerState
from tests.faults.history import Dark, History, Kept, Listed, Lists, Made, Seen
from tests.faults.log import Key, Log, Stored, data_of, is_gap, key_of, key_seen, moment, places_of_made
from tests.faults.violation import Violation

__all__ = ["TOLD", "TRUE", "agrees", "folded"]

Whose: TypeAlias = tuple[str | None, str | None]
"""Namespace and container."""


def _excused(history: History, log: Log, since: int, until: int) -> bool:
    """Tell whether what was sent in this time may be missing: the log tells of a gap then."""
    return log.touches_a_gap(since, until) if history.true_clock else len(log.gaps) > 1


def _made_is_stored(history: History, log: Log) -> Iterator[Violation]:
    places = places_of_made(log)
    for made in history.made:
        stored = places.get((made.namespace, made.container, made.word, made.status))
        knowable = made.kept and history.repaired
        if not stored and (knowable or not _excused(history, log, made.began, made.ended)):
            yield Violation(
                "I4", f"container {made.container}: {told_of(made)} is not in the log, and no gap tells why"
            )


def _seen_is_stored(history: History, log: Log) -> Iterator[Violation]:
    stored: dict[Key, Stored] = {}
    for one in log.firsts:
        key = key_of(one)
        if key is not None:
            stored.setdefault(key, one)
    for watch in history.watches:
        for seen in watch.seen:
            there = stored.get(key_seen(seen))
            if there is not None:
                yield from _as_sent(seen, there)
            elif not _excused(history, log, seen.time, seen.seen):
                yield Violation(
                    "I4",
                    f"container {seen.container}: containerd sent {seen.word} {moment(seen.time)}, the log does not have it, "
                    "and no gap tells why",
                )


def _as_sent(seen: Seen, one: Stored) -> Iterator[Violation]:
    data = data_of(one)
    for field in ("pid", "exit_status"):
        sent, told = getattr(seen, field), data.get(field)
        if sent is not None and told is not None and sent != told:
            yield Violation("I4", f"container {seen.container}: {one} has {field} {told}, and containerd sent {sent}")
    process = data.get("exec_id") or (data.get("id") if seen.word in {"exit", "exec-exit"} else None)
    if seen.process is not None and process is not None and seen.process != process:
        yield Violation(
            "I4", f"container {seen.container}: {one} is of process {process}, and containerd's of {seen.process}"
        )


def _odd_is_stored(history: History, log: Log) -> Iterator[Violation]:
    raw = {(one.event["data"]["topic"], one.event["data"]["sha256"]) for one in log.firsts if one.word == "raw"}
    for odd in history.odd:
        if (odd.topic, odd.sha256) not in raw and not _excused(history, log, odd.began, odd.ended):
            yield Violation(
                "I4",
                f"what was published on {odd.topic!r} at {moment(odd.began)} is not in the log, and no gap tells why",
            )


def _darkness_is_told(history: History, log: Log) -> Iterator[Violation]:
    for dark in history.darks if history.true_clock else ():
        if not log.is_in_a_gap(dark.since, dark.until):
            yield Violation("I4", f"no gap covers {span_of(dark)}, when {dark.why}")


def _no_connection_without_gap(_history: History, log: Log) -> Iterator[Violation]:
    for whose in dict.fromkeys(one.log for one in log.firsts):
        told = 1  # gaps since there was no subscription
        for one in sorted((one for one in log.firsts if one.log == whose), key=lambda one: one.n):
            if one.word in {"started", "disconnected"} and one.container is None:
                told = 0
            elif is_gap(one):
                told += one.event["data"].get("cause") is not None  # others are about the log and not the subscription
            elif one.word == "connected" and told != 1:
                how_many = "no gap says" if not told else f"{told} gaps say"
                yield Violation("I4", f"node: it is connected again at {one}, and {how_many} since when it was not")


def _fold_is_what_the_lists_say(history: History, log: Log) -> Iterator[Violation]:
    if not history.repaired and len(log.gaps) > 1:
        return
    states = folded(log)
    for lists in history.lists:
        there = {container: state for (namespace, container), state in states.items() if namespace == lists.namespace}
        yield from _compare(lists, there, repaired=history.repaired)


def agrees(history: History) -> bool:
    """Tell whether the log, containerd's lists and the states under their keys say the same."""
    log = Log(history.stream)
    return not any((*_fold_is_what_the_lists_say(history, log), *_states_are_the_fold(history, log)))


def _states_are_the_fold(history: History, log: Log) -> Iterator[Violation]:
    if history.states is not None:
        for sentence in _behind(history.states, folded(log)):
            yield Violation("I4", sentence)


def _behind(states: Iterable[Kept], by_container: Mapping[Whose, ContainerState]) -> Iterator[str]:
    """Say where what stands under the keys is not what the log says. One that is gone, or was never seen, need not be there."""
    kept = {(one.namespace, one.container): decode_as(one.value, ContainerState) for one in states}
    for whose, there in kept.items():
        state = by_container.get(whose)
        if state is None or (there.position, there.status) != (state.position, state.status):
            told = "nothing" if state is None else f"{state.status} at {state.position}"
            yield f"container {whose[1]}: its key says {there.status} at {there.position}, and the log says {told}"
    for key, state in by_container.items():
        if state.status != "gone" and state.seen and key not in kept:
            yield f"container {key[1]}: by the log it is {state.status}, and there is no key for it"


def folded(log: Log) -> dict[Whose, ContainerState]:
    """Return the state of every container as whoever reads the log comes to it."""
    states: dict[Whose, ContainerState] = {}
    for one in log.firsts:
        if one.container is not None:
            whose = (one.namespace, one.container)
            states[whose] = evolve(states.get(whose), decode(one.message.body))
    return states


def _compare(lists: Lists, folded: dict[str | None, ContainerState], *, repaired: bool) -> Iterator[Violation]:
    for container, listed in lists.containers.items():
        state = folded.get(container)
        if state is None or state.status == "gone":
            yield Violation("I4", f"container {container}: containerd has it, and by the log it is {_status(state)}")
        elif not _agree(listed, state, repaired=repaired):
            yield Violation(
                "I4",
                f"container {container}: containerd says {listed.status} (pid {listed.pid}), the log up to {state.position} says "
                f"{state.status} (pid {state.pid})",
            )
    for name, state in folded.items():
        # Without a word of its record there is nothing to say of a container that is not there.
        known = state.status not in {"unknown", "gone"}
        if known and name not in lists.containers:
            yield Violation(
                "I4", f"container {name}: containerd does not have it, and by the log it is {_status(state)}"
            )


def _agree(listed: Listed, state: ContainerState, *, repaired: bool) -> bool:
    if listed.status != state.status:
        # containerd 2.1 does not always say that a task is deleted; only who looks at the lists can know.
        return listed.status == "none" and (state.status == "unknown" or (state.status == "stopped" and not repaired))
    return listed.pid is None or state.pid is None or listed.pid == state.pid


def _status(state: ContainerState | None) -> str:
    return "unknown" if state is None else state.status


def told_of(made: Made) -> str:
    return f"{made.word} {made.status}, made {moment(made.began)} to {moment(made.ended)},"


def span_of(span: Dark) -> str:
    return f"{moment(span.since)} to {moment(span.until)}"


TOLD = (_made_is_stored, _seen_is_stored, _odd_is_stored, _darkness_is_told, _no_connection_without_gap)
TRUE = (_fold_is_what_the_lists_say, _states_are_the_fold)
