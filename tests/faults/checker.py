"""The checker: holds the history of a trial against what the bridge promises, and says in sentences where it is not so.

It is offline: it reads a `History` and nothing else, so it can be tried on histories that were made up. The invariants are the
project's, by their numbers:

    I1  what was committed to the outbox is in the stream, as it was committed
    I2  events of a container, and positions of a log, stand in the stream in their order; never an inversion, and nothing of
        another log behind the lease of its successor
    I3  nothing is stored twice, nothing is invented, sequences have no holes, one exit counts for each task
    I4  what is missing lies in a gap that the log tells of; the fold of the log is what containerd's lists say, and what stands
        under the containers' keys
    I7  the bridge stays within its bounds
    I8  the bridge leaves no litter

An event that containerd sent and that the log lacks is judged by time: it was published between its own time and the moment
when the witness read it, so a gap that excuses it has to touch that span.
"""

from __future__ import annotations

import math
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any, Final, NamedTuple

from bridge.model.codec import decode, decode_as
from bridge.model.envelope import WORDS
from bridge.model.fold import evolve
from bridge.model.nanos import parse_rfc3339
from bridge.model.state import ContainerState
from tests.faults.history import Dark, History, Kept, Listed, Lists, Made, Message, Outbox, Seen, Watch

__all__ = ["Log", "Violation", "agrees", "check", "folded"]

MOST: Final = 5
"""Sentences of one kind; a log that is out of order is so in a thousand places."""

_WORD_OF: Final = {kind.type: word for word, kind in WORDS.items()}


Whose = tuple[str | None, str | None]
"""Namespace and container."""


class Violation(NamedTuple):
    """A promise that was not kept: which one, and a sentence with the container and the positions."""

    invariant: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.sentence}"


def check(history: History) -> list[Violation]:
    """Return every violation in a history; empty when all that was promised was kept."""
    log = Log(history.stream)
    found: list[Violation] = []
    for judge in _JUDGES:
        found += _few(judge(history, log))
    return found


def _few(violations: Iterator[Violation]) -> list[Violation]:
    found = list(islice(violations, MOST))
    more = sum(1 for _ in violations)
    return [*found, Violation(found[-1].invariant, f"... and {more} more of this kind")] if more else found


# -- the stream, read once


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A message of the stream, with what the checker needs of it taken out."""

    at: int
    id: str
    log: str
    n: int
    word: str
    message: Message
    event: dict[str, Any]
    namespace: str | None
    container: str | None
    sequence: int | None

    def __str__(self) -> str:
        return f"position {self.n} (stream sequence {self.at})"


class Log:
    """The stream as events; `unreadable` are messages that are no event of the bridge's."""

    def __init__(self, stream: Sequence[Message]) -> None:
        self.stored: list[Stored] = []
        self.unreadable: list[Message] = []
        self.leases: list[tuple[int, str]] = []
        """Where a lease stands, and the log that alone may go on behind it."""
        for message in stream:
            try:
                if message.word == "lease" and "position" not in message.event:
                    self.leases.append((message.sequence, message.event["data"]["log"]))
                else:
                    self.stored.append(_stored(message))
            except (KeyError, ValueError, TypeError):
                self.unreadable.append(message)
        self.gaps = [(_since(one), parse_rfc3339(one.event["data"]["until"])) for one in self.stored if is_gap(one)]
        self.firsts: list[Stored] = []
        """The first copy of each event."""
        seen: set[str] = set()
        for one in self.stored:
            if one.id not in seen:
                seen.add(one.id)
                self.firsts.append(one)

    def touches_a_gap(self, since: int, until: int) -> bool:
        """Whether something that was published from `since` to `until` may have been in a gap."""
        return any(begin <= until and since <= end for begin, end in self.gaps)

    def is_in_a_gap(self, since: int, until: int) -> bool:
        """Whether one gap covers all of this time."""
        return any(begin <= since and until <= end for begin, end in self.gaps)


def is_gap(one: Stored) -> bool:
    """Whether this is the node's word that there was no subscription; other gaps tell of other losses."""
    return one.word == "gap" and one.container is None


def _since(gap: Stored) -> float:
    since = gap.event["data"]["since"]
    return -math.inf if since is None else parse_rfc3339(since)


def _stored(message: Message) -> Stored:
    event = message.event
    log, _, n = event["position"].rpartition(":")
    source = event["source"].split("/")
    numbered = "sequence" in event
    return Stored(
        at=message.sequence,
        id=event["id"],
        log=log,
        n=int(n),
        word=message.word,
        message=message,
        event=event,
        namespace=source[3] if len(source) > 3 else None,
        container=event["subject"] if numbered else None,
        sequence=int(event["sequence"]) if numbered else None,
    )


# -- I1


def _committed(history: History, log: Log) -> Iterator[Violation]:
    stored: dict[str, dict[int, Stored]] = defaultdict(dict)
    for one in log.firsts:
        stored[one.log].setdefault(one.n, one)
    for outbox in history.outboxes:
        excused = {n for each in history.excuses if each.log == outbox.log for n in range(each.first, each.last + 1)}
        there = stored[outbox.log]
        for first, last in _runs(n for n in range(1, outbox.last_n + 1) if n not in there and n not in excused):
            lost = f"positions {first} to {last} are" if last > first else f"position {first} is"
            yield Violation(
                "I1", f"{lost} committed in outbox {outbox.log} (last {outbox.last_n}) and not in the stream"
            )
        yield from _as_committed(outbox, there)
    for message in log.unreadable:
        yield Violation("I1", f"stream sequence {message.sequence} on {message.subject} is no event of the bridge's")


def _as_committed(outbox: Outbox, there: dict[int, Stored]) -> Iterator[Violation]:
    for entry in outbox.entries:
        one = there.get(entry.n)
        if one is not None and (one.id, one.message.subject, one.message.body) != (entry.id, entry.subject, entry.body):
            yield Violation(
                "I1", f"{one} is not what outbox {outbox.log} holds there: {one.id}, committed as {entry.id}"
            )


def _runs(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    first = last = 0
    for n in numbers:
        if first and n == last + 1:
            last = n
            continue
        if first:
            yield first, last
        first = last = n
    if first:
        yield first, last


# -- I2


def _order(history: History, log: Log) -> Iterator[Violation]:
    newest: dict[tuple[str, str | None, str | None], Stored] = {}
    for one in log.firsts:
        keys = [(one.log, one.namespace, one.container)]
        if history.in_one_order and one.container is not None:
            keys.append((one.log, None, None))
        for key in keys:
            before = newest.get(key)
            if before is not None and one.n < before.n:
                whose = f"container {one.container}" if key[2] is not None else f"log {one.log}"
                yield Violation("I2", f"{whose}: {one} stands behind {before}")
                break
            newest[key] = one


def _sequences_in_order(_history: History, log: Log) -> Iterator[Violation]:
    for (_, container), events in _by_container(log.firsts).items():
        for before, after in pairwise(events):
            if after.log == before.log and (after.sequence or 0) <= (before.sequence or 0):
                yield Violation(
                    "I2", f"container {container}: event {after.sequence} at {after} stands behind {before.sequence}"
                )


def _one_writer(_history: History, log: Log) -> Iterator[Violation]:
    for (at, whose), (until, _) in pairwise([*log.leases, (sys.maxsize, "")]):
        for one in log.stored:
            if at < one.at < until and one.log != whose:
                yield Violation(
                    "I2", f"{one} is of log {one.log}, behind the lease of log {whose} at stream sequence {at}"
                )


def _made_in_order(history: History, log: Log) -> Iterator[Violation]:
    places = _places_of_made(log)
    newest: dict[tuple[str, str, str], tuple[int, Stored]] = {}
    for made in sorted(history.made, key=lambda made: made.status):
        whose = (made.namespace, made.container, made.word)
        for one in places.get((*whose, made.status), [])[:1]:
            if whose in newest and newest[whose][1].at > one.at:
                status, other = newest[whose]
                yield Violation(
                    "I2",
                    f"container {made.container}: {made.word} {made.status} at {one} was made after {status} at {other}",
                )
            newest[whose] = (made.status, one)


def _seen_in_order(history: History, log: Log) -> Iterator[Violation]:
    for watch in history.watches:
        numbers: dict[Key, list[int]] = defaultdict(list)  # containerd may send an event twice
        for number, seen in enumerate(watch.seen):
            numbers[_key(seen)].append(number)
        newest: dict[tuple[str, str], tuple[int, Stored]] = {}
        for one in log.firsts:
            key = _key_of(one)
            if key is None or key not in numbers:
                continue
            at, other = newest.get(key[:2], (-1, one))
            following = next((number for number in numbers[key] if number > at), None)
            if following is None:
                yield Violation(
                    "I2", f"container {one.container}: {one} stands behind {other}; containerd sent it before"
                )
            else:
                newest[key[:2]] = (following, one)


# -- I3


def _once(_history: History, log: Log) -> Iterator[Violation]:
    ids: dict[str, Stored] = {}
    positions: dict[tuple[str, int], Stored] = {}
    for one in log.stored:
        if one.id in ids:
            yield Violation(
                "I3", f"container {one.container}: event {one.id} is stored twice, as {ids[one.id]} and as {one}"
            )
        elif (one.log, one.n) in positions:
            other = positions[one.log, one.n]
            yield Violation("I3", f"position {one.n} of log {one.log} is given twice: {other.id} and {one.id}")
        ids.setdefault(one.id, one)
        positions.setdefault((one.log, one.n), one)


def _without_holes(history: History, log: Log) -> Iterator[Violation]:
    taken_away = {each.log for each in history.excuses}
    for (_, container), events in _by_container(log.firsts).items():
        for whose in dict.fromkeys(one.log for one in events):
            numbers = sorted({one.sequence or 0 for one in events if one.log == whose})
            if whose in taken_away:
                continue
            # A later log may go on counting where the one before it ended.
            first = numbers[0] if whose != events[0].log else 1
            for before, after in pairwise([first - 1, *numbers]):
                if after != before + 1:
                    yield Violation(
                        "I3", f"container {container}: its events go from {before} to {after} in log {whose}"
                    )


def _seen_once(history: History, log: Log) -> Iterator[Violation]:
    stored = Counter(key for key in map(_key_of, log.firsts) if key is not None)
    seen: Counter[Key] = Counter()
    for watch in history.watches:
        seen |= Counter(map(_key, watch.seen))
    for key, times in seen.items():
        if stored[key] > times:
            yield Violation(
                "I3",
                f"container {key[1]}: containerd sent one {key[2]} {times} times, and the log has it {stored[key]} times",
            )
    for made_key, places in _places_of_made(log).items():
        if len(places) > 1 and made_key in {
            (one.namespace, one.container, one.word, one.status) for one in history.made
        }:
            namespaced = f"container {made_key[1]}: {made_key[2]} {made_key[3]}"
            yield Violation(
                "I3", f"{namespaced} was made once, and the log has it at {' and at '.join(map(str, places))}"
            )


def _not_invented(history: History, log: Log) -> Iterator[Violation]:
    known = {key for watch in history.watches for key in map(_key, watch.seen)}
    seen_at_all = {key[:2] for key in known}
    for one in log.firsts:
        key = _key_of(one)
        if key is None or key in known or key[:2] not in seen_at_all:
            continue
        recorded = parse_rfc3339(one.event["recordedtime"])
        if any(watch.complete and watch.since < key[3] and recorded < watch.until for watch in history.watches):
            yield Violation(
                "I3", f"container {one.container}: {one} tells of a {one.word} that containerd did not send"
            )


def _one_exit_for_each_task(_history: History, log: Log) -> Iterator[Violation]:
    exits: dict[tuple[str | None, str | None, str], Stored] = {}
    for one in log.firsts:
        incarnation = one.event.get("incarnation")
        if one.word == "exit" and incarnation is not None:
            other = exits.setdefault((one.namespace, one.container, incarnation), one)
            if other is not one:
                yield Violation(
                    "I3", f"container {one.container}: its task {incarnation} ends at {other} and again at {one}"
                )


# -- I4


def _made_is_stored(history: History, log: Log) -> Iterator[Violation]:
    places = _places_of_made(log)
    for made in history.made:
        stored = places.get((made.namespace, made.container, made.word, made.status))
        knowable = made.kept and history.repaired
        if not stored and (knowable or not log.touches_a_gap(made.began, made.ended)):
            yield Violation("I4", f"container {made.container}: {_told(made)} is not in the log, and no gap tells why")


def _seen_is_stored(history: History, log: Log) -> Iterator[Violation]:
    stored: dict[Key, Stored] = {}
    for one in log.firsts:
        key = _key_of(one)
        if key is not None:
            stored.setdefault(key, one)
    for watch in history.watches:
        for seen in watch.seen:
            there = stored.get(_key(seen))
            if there is not None:
                yield from _as_sent(seen, there)
            elif not log.touches_a_gap(seen.time, seen.seen):
                yield Violation(
                    "I4",
                    f"container {seen.container}: containerd sent {seen.word} {_moment(seen.time)}, the log does not have it, "
                    "and no gap tells why",
                )


def _as_sent(seen: Seen, one: Stored) -> Iterator[Violation]:
    data = _data_of(one)
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
        if (odd.topic, odd.sha256) not in raw and not log.touches_a_gap(odd.began, odd.ended):
            yield Violation(
                "I4",
                f"what was published on {odd.topic!r} at {_moment(odd.began)} is not in the log, and no gap tells why",
            )


def _darkness_is_told(history: History, log: Log) -> Iterator[Violation]:
    for dark in history.darks:
        if not log.is_in_a_gap(dark.since, dark.until):
            yield Violation("I4", f"no gap covers {_span(dark)}, when {dark.why}")


def _no_connection_without_gap(_history: History, log: Log) -> Iterator[Violation]:
    for whose in dict.fromkeys(one.log for one in log.firsts):
        told = True
        for one in sorted((one for one in log.firsts if one.log == whose), key=lambda one: one.n):
            if one.word in {"started", "disconnected"} and one.container is None:
                told = False
            elif is_gap(one):
                told = True
            elif one.word == "connected" and not told:
                yield Violation("I4", f"node: it is connected again at {one}, and no gap says since when it was not")


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


# -- I7, I8


def _bounded(history: History, _log: Log) -> Iterator[Violation]:
    for measure in history.measures:
        if measure.value > measure.limit:
            yield Violation("I7", f"{measure.what}: {measure.value:g}, the limit is {measure.limit:g}")


def _no_litter(history: History, _log: Log) -> Iterator[Violation]:
    for left in history.litter:
        yield Violation("I8", left)


_JUDGES: Final[Sequence[Callable[[History, Log], Iterator[Violation]]]] = (
    *(_committed, _order, _sequences_in_order, _one_writer, _made_in_order, _seen_in_order),
    *(_once, _without_holes, _seen_once, _not_invented, _one_exit_for_each_task),
    *(_made_is_stored, _seen_is_stored, _odd_is_stored),
    *(_darkness_is_told, _no_connection_without_gap, _fold_is_what_the_lists_say, _states_are_the_fold),
    *(_bounded, _no_litter),
)


# -- recognising an event that was seen elsewhere

Key = tuple[str, str, str, int]
"""Namespace, container, word, and the time that containerd or the shim gave it: to the nanosecond, the same for everybody."""


def _key(seen: Seen) -> Key:
    return seen.namespace, seen.container, seen.word, seen.time


def _key_of(one: Stored) -> Key | None:
    """The key of an event as containerd sent it; None for what the bridge says by itself."""
    if one.container is None or one.namespace is None or one.event["origin"] != "live":
        return None
    word = one.word
    if word == "anomaly":
        word = _WORD_OF.get(one.event["data"]["event_type"], word)
    return one.namespace, one.container, "create" if word == "restored" else word, parse_rfc3339(one.event["time"])


def _data_of(one: Stored) -> dict[str, Any]:
    data: dict[str, Any] = one.event["data"]
    return data["event"] if one.word == "anomaly" else data


def _places_of_made(log: Log) -> dict[tuple[str, str, str, int], list[Stored]]:
    places: dict[tuple[str, str, str, int], list[Stored]] = defaultdict(list)
    for one in log.firsts:
        if one.word in {"exit", "exec-exit"} and one.namespace and one.container:
            status = one.event["data"]["exit_status"]
            if status is not None:
                places[one.namespace, one.container, one.word, status].append(one)
    return places


def _by_container(events: Iterable[Stored]) -> dict[tuple[str | None, str], list[Stored]]:
    found: dict[tuple[str | None, str], list[Stored]] = defaultdict(list)
    for one in events:
        if one.container is not None:
            found[one.namespace, one.container].append(one)
    return found


def _told(made: Made) -> str:
    return f"{made.word} {made.status}, made {_moment(made.began)} to {_moment(made.ended)},"


def _moment(nanos: int) -> str:
    return f"{nanos / 1e9:.6f}"


def _span(span: Dark | Watch) -> str:
    return f"{_moment(span.since)} to {_moment(span.until)}"
