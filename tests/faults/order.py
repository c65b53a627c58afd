"""What the checker asks of the stream itself: all that was committed, in its order, once.

I1  what was committed to the outbox is in the stream, as it was committed, and survives a power cut
I2  events of a container, and positions of a log, stand in the stream in their order; never an inversion, and nothing of
    another log behind the lease of its successor
I3  nothing is stored twice, nothing is invented, sequences have no holes, one exit counts for each task
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise

from bridge.model.nanos import parse_rfc3339
from tests.faults.history import History, Outbox
from tests.faults.log import Key, Log, Stored, by_container, key_of, key_seen, places_of_made
from tests.faults.violation import Violation

__all__ = ["COMMITTED", "ONCE", "ORDER"]

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


def _survives_a_power_cut(history: History, _log: Log) -> Iterator[Violation]:
    for cut in history.cuts:
        if cut.damage is not None:
            yield Violation("I1", f"after a power cut the outbox is damaged: {cut.damage}")
        elif cut.kept < cut.said:
            yield Violation(
                "I1",
                f"the metrics told of {cut.said} committed positions, and after a power cut the outbox has {cut.kept}",
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
    for (_, container), events in by_container(log.firsts).items():
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
    places = places_of_made(log)
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
            numbers[key_seen(seen)].append(number)
        newest: dict[tuple[str, str], tuple[int, Stored]] = {}
        for one in log.firsts:
            key = key_of(one)
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
    for (_, container), events in by_container(log.firsts).items():
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
    stored = Counter(key for key in map(key_of, log.firsts) if key is not None)
    seen: Counter[Key] = Counter()
    for watch in history.watches:
        seen |= Counter(map(key_seen, watch.seen))
    for key, times in seen.items():
        if stored[key] > times:
            yield Violation(
                "I3",
                f"container {key[1]}: containerd sent one {key[2]} {times} times, and the log has it {stored[key]} times",
            )
    for made_key, places in places_of_made(log).items():
        if len(places) > 1 and made_key in {
            (one.namespace, one.container, one.word, one.status) for one in history.made
        }:
            namespaced = f"container {made_key[1]}: {made_key[2]} {made_key[3]}"
            yield Violation(
                "I3", f"{namespaced} was made once, and the log has it at {' and at '.join(map(str, places))}"
            )


def _not_invented(history: History, log: Log) -> Iterator[Violation]:
    known = {key for watch in history.watches for key in map(key_seen, watch.seen)}
    seen_at_all = {key[:2] for key in known}
    for one in log.firsts:
        key = key_of(one)
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


COMMITTED = (_committed, _survives_a_power_cut)
ORDER = (_order, _sequences_in_order, _one_writer, _made_in_order, _seen_in_order)
ONCE = (_once, _without_holes, _seen_once, _not_invented, _one_exit_for_each_task)
