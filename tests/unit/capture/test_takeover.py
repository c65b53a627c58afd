"""A new outbox goes on where the log of its node ends."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from bridge.capture.ledger import Ledger
from bridge.capture.outbox import Outbox
from bridge.capture.takeover import take_over, taken_over
from bridge.model.codec import decode, decode_as
from bridge.model.events import ContainerCreate, ContainerDelete, RawEvent, TaskCreate, TaskExit, TaskStart
from bridge.model.nanos import Nanos
from bridge.model.node_events import NodeHeartbeat
from bridge.model.outcomes import ContainerInfo
from bridge.model.state import ContainerState
from bridge.model.subjects import Subjects
from bridge.ports import Observed
from bridge.testing import MemoryLog, Scribe

LABELS = {"app": "shop"}


async def recorded_before() -> MemoryLog:
    log = MemoryLog()
    scribe, other = Scribe(log, "n1"), Scribe(log, "n2")
    web: dict[str, Any] = {"namespace": "k8s.io", "container": "web.1"}
    await scribe.record(ContainerCreate(id="web.1", image="i", runtime="r", labels=LABELS, name="shop"), **web)
    await scribe.record(TaskCreate(container_id="web.1", image="i", labels=LABELS, name="shop", runtime="r"), **web)
    await scribe.record(TaskStart(container_id="web.1", labels=None), **web)
    await other.record(TaskStart(container_id="web.1"), **web)
    await scribe.record(ContainerCreate(id="gone"), namespace="default", container="gone")
    await scribe.record(ContainerDelete(id="gone"), namespace="default", container="gone")
    raw = RawEvent(topic="/x", type_url="y", value=b"", reason="unknown-topic", size=0, sha256="")
    await scribe.record(raw, namespace="default")
    await scribe.record(NodeHeartbeat(probe_ns=5), time=Nanos(10**18))
    return log


async def test_counters_incarnations_and_descriptions_are_those_of_the_newest_events() -> None:
    log = await recorded_before()
    found = await taken_over(log, "n1")
    web, gone = sorted(found.containers, key=lambda row: row.container, reverse=True)
    created = next(decode(message.body) for message in log.messages if message.subject.endswith(".create"))
    state = decode_as(web.state, ContainerState)
    assert (web.namespace, web.container, state.sequence, state.incarnation) == ("k8s.io", "web.1", 3, created.id)
    assert (state.image, state.labels, state.name, state.runtime) == ("i", LABELS, "shop", "r")
    assert state.status == "running"
    assert web.deleted_at is None
    assert (gone.container, decode_as(gone.state, ContainerState).sequence) == ("gone", 2)
    assert gone.deleted_at is not None
    assert found.proven == 10**18 - 10 * 10**9


async def test_a_container_that_was_made_anew_has_nothing_of_the_one_before() -> None:
    log = MemoryLog()
    scribe = Scribe(log, "n1")
    there: dict[str, Any] = {"namespace": "default", "container": "a"}
    await scribe.record(ContainerCreate(id="a", labels=LABELS), **there)
    await scribe.record(TaskExit(container_id="a", id="a", labels=LABELS), **there)
    await scribe.record(ContainerDelete(id="a", labels=LABELS), **there)
    await scribe.record(ContainerCreate(id="a", labels=None), **there)
    [row] = (await taken_over(log, "n1")).containers
    state = decode_as(row.state, ContainerState)
    assert (state.sequence, row.deleted_at) == (4, None)
    assert (state.status, state.labels, state.image) == ("none", None, None)


async def test_the_next_event_has_the_next_number_and_says_what_the_container_is(tmp_path: Path) -> None:
    log = await recorded_before()
    with Outbox(tmp_path / "outbox.db") as outbox:
        await take_over(log, "n1", outbox)
        ledger = Ledger("n1", Subjects(), outbox.log, outbox.last_n, outbox)
        event = TaskExit(container_id="web.1", id="web.1")
        observed = Observed(event=event, namespace="k8s.io", container="web.1", time=Nanos(1), recorded=Nanos(2))
        asked: list[tuple[str, str]] = []

        def describe(containers: Collection[tuple[str, str]]) -> dict[tuple[str, str], ContainerInfo]:
            asked.extend(containers)
            return {}

        [entry] = ledger.place([observed], ledger.open([observed]), describe)
        assert asked == []
        recorded = decode(entry.body)
        assert recorded.sequence == 4
        assert recorded.data.labels == LABELS  # type: ignore[union-attr]
        assert recorded.position == f"{outbox.log}:1"


async def test_an_outbox_that_has_events_of_its_own_is_left_as_it_is(tmp_path: Path) -> None:
    log = await recorded_before()
    with Outbox(tmp_path / "outbox.db") as outbox:
        outbox.commit([], [], 0, Nanos(7))
        outbox.last_n = 1
        await take_over(log, "n1", outbox)
        assert outbox.container("k8s.io", "web.1") is None
        assert outbox.proven == 7
