"""A recorded log, replayed: as it was, and with what can befall its readers."""

from __future__ import annotations

from collections import Counter
from contextlib import aclosing
from pathlib import Path

import pytest

from bridge.client import Bus, NodeGap, StoredEvent, TaskStart, Unrecognized
from bridge.errors import BadEnvelope
from bridge.model.events import TaskExit
from bridge.model.node_events import ImageCreate, NodeHeartbeat
from bridge.testing import Faults, MemoryBus, MemoryLog, Recording, Scribe


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    """What `events --json` wrote of 300 events: of three containers of two nodes, the nodes themselves, and a newer bridge."""
    log = MemoryLog()
    scribes = [Scribe(log, node) for node in ("n1", "n2")]
    for number in range(98):
        for container, scribe in (("web.1", scribes[0]), ("db", scribes[0]), ("job", scribes[1])):
            event = TaskStart(container_id=container, pid=number)
            await scribe.record(event, namespace="default", container=container)
    await scribes[0].record(NodeHeartbeat(probe_ns=1))
    await scribes[0].record(ImageCreate(name="busybox"), namespace="default")
    last = await scribes[1].record(TaskExit(container_id="job", id="job"), namespace="default", container="job")
    lines = [message.body for message in log.messages]
    lines[-1] = lines[-1].replace(b"task.exit.v1", b"task.moved.v2").replace(last.id.encode(), b"01ZZ")
    path = tmp_path / "incident.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


async def replayed(file: Path, faults: Faults | None = None) -> list[StoredEvent]:
    log = MemoryLog()
    await Recording.read(file).replay(log, faults or Faults())
    bus = Bus(log, MemoryBus(), log.subjects)
    async with aclosing(bus.events(follow=False, node_events=True)) as events:
        return [event async for event in events]


def numbers(events: list[StoredEvent]) -> dict[str, list[int]]:
    """The numbers of each container's events, in the log's order."""
    found: dict[str, list[int]] = {}
    for event in events:
        if event.container is not None and event.recorded.sequence is not None:
            found.setdefault(event.container, []).append(event.recorded.sequence)
    return found


async def test_without_faults_it_is_the_log_that_it_was(file: Path) -> None:
    events = await replayed(file)

    assert [event.body for event in events] == [one for one in Recording.read(file).bodies if b"heartbeat" not in one]
    assert isinstance(events[-1].data, Unrecognized)
    assert events[-1].subject == "containerd.events.n2.default.job.moved"
    assert events[-2].subject == "containerd.nodes.n1.image-create"
    assert [event.stored_at for event in events] == sorted(event.recorded.recordedtime for event in events)


async def test_repeated_events_have_the_id_of_the_first(file: Path) -> None:
    plain, events = await replayed(file), await replayed(file, Faults(seed=3, repeated=0.2))

    often = Counter(event.id for event in events)
    assert set(often) == {event.id for event in plain}
    assert set(often.values()) == {1, 2}
    assert list(dict.fromkeys(event.id for event in events)) == [event.id for event in plain]


async def test_late_events_keep_the_order_of_each_container(file: Path) -> None:
    plain, events = await replayed(file), await replayed(file, Faults(seed=3, late=0.5))

    assert [event.id for event in events] != [event.id for event in plain]
    assert numbers(events) == numbers(plain)
    assert Counter(event.id for event in events) == Counter(event.id for event in plain)
    assert [event.stored_at for event in events] == sorted(event.stored_at for event in events)


async def test_gaps_are_told_and_leave_no_hole_in_the_numbers(file: Path) -> None:
    events = await replayed(file, Faults(seed=3, gaps=4))

    gaps = [event.data for event in events if isinstance(event.data, NodeGap)]
    assert 1 <= len(gaps) <= 4
    assert all(gap.since is not None and gap.since < gap.until for gap in gaps)
    assert all(own == list(range(1, len(own) + 1)) for own in numbers(events).values())
    assert 296 - 6 * 4 <= sum(map(len, numbers(events).values())) < 296


async def test_the_same_seed_is_the_same_log(file: Path) -> None:
    recording, every = Recording.read(file), Faults(seed=9, repeated=0.1, late=0.3, gaps=3)

    assert recording.messages(every) == recording.messages(every)
    assert recording.messages(every) != recording.messages(Faults(seed=10, repeated=0.1, late=0.3, gaps=3))


async def test_what_is_no_recording_is_told(file: Path) -> None:
    with pytest.raises(BadEnvelope, match="event 2 of the recording: not a CloudEvent"):
        Recording([Recording.read(file).bodies[0], b"{}", b""])
    with pytest.raises(ValueError, match=r"1\.5 is no share"):
        Recording([]).messages(Faults(late=1.5))
    assert Recording([]).messages(Faults(gaps=3)) == []
