"""The recorder writes down what it is given, in order, and tells of it only afterwards."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from bridge.capture import recorder as recorder_module
from bridge.capture.outbox import Outbox, OutboxError, OutboxReader
from bridge.capture.recorder import Recorder
from bridge.model.events import TaskStart
from bridge.model.nanos import Nanos
from bridge.model.outcomes import ContainerInfo
from bridge.model.state import ContainerState
from bridge.model.subjects import Subjects
from bridge.ports import Entry, Observed


class NoLookup:
    def describe(self, containers: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], ContainerInfo]:
        return {}


class Witness:
    """Keeps what the recorder tells, and what was on disk at that moment."""

    def __init__(self, path: Path) -> None:
        self.reader = OutboxReader(path)
        self.entries: list[Entry] = []
        self.states: dict[str, ContainerState] = {}
        self.batches: list[int] = []
        self.early: list[Entry] = []
        self.failure: BaseException | None = None
        self.failed = threading.Event()

    def committed(self, entries: Sequence[Entry], states: Sequence[ContainerState]) -> None:
        self.states |= {state.container: state for state in states}
        on_disk = {entry.n for entry in self.reader.after(entries[0].n - 1, len(entries))}
        self.early += [entry for entry in entries if entry.n not in on_disk]
        self.entries += entries
        self.batches.append(len(entries))

    def fail(self, error: BaseException) -> None:
        self.failure = error
        self.failed.set()


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "outbox.db") as box:
        yield box


@pytest.fixture
def witness(outbox: Outbox) -> Iterator[Witness]:
    witness = Witness(outbox.path)
    yield witness
    witness.reader.close()


def make(outbox: Outbox, witness: Witness, acknowledged: int = 0) -> Recorder:
    return Recorder(
        outbox,
        "node",
        Subjects(),
        NoLookup(),
        committed=witness.committed,
        acknowledged=lambda: acknowledged,
        failed=witness.fail,
    )


def start(pid: int, container: str = "web") -> Observed:
    event = TaskStart(container_id=container, pid=pid)
    return Observed(event=event, namespace="default", container=container, time=Nanos(1), recorded=Nanos(2))


def test_it_tells_of_events_only_when_they_are_on_disk(outbox: Outbox, witness: Witness) -> None:
    recorder = make(outbox, witness)
    recorder.start()
    for pid in range(500):
        recorder.submit(start(pid))
    assert recorder.stop(10)
    assert witness.early == []
    assert [entry.n for entry in witness.entries] == list(range(1, 501))
    assert recorder.recorded == outbox.last_n == 500


def test_events_of_one_thread_keep_their_order_beside_those_of_others(outbox: Outbox, witness: Witness) -> None:
    recorder = make(outbox, witness)
    recorder.start()

    def submit(container: str) -> None:
        for pid in range(200):
            recorder.submit(start(pid, container))

    threads = [threading.Thread(target=submit, args=(f"c{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recorder.stop(10)
    for number in range(4):
        pids = [
            entry.body.split(b'"pid":')[1].split(b"}")[0]
            for entry in witness.entries
            if f".c{number}." in entry.subject
        ]
        assert [int(pid) for pid in pids] == list(range(200))


def test_no_transaction_is_larger_than_its_bound(
    outbox: Outbox, witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "BATCH", 10)
    recorder = make(outbox, witness)
    for pid in range(25):
        recorder.submit(start(pid))
    recorder.start()
    assert recorder.stop(10)
    assert witness.batches == [10, 10, 5]


def test_acknowledgements_are_written_down_without_an_event_to_carry_them(
    outbox: Outbox, witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox.commit([Entry(n=1, id="a", subject="s", body=b"")], [], 0, None)
    monkeypatch.setattr(recorder_module, "IDLE_S", 0.001)
    recorder = make(outbox, witness, acknowledged=1)
    recorder.start()
    deadline = time.monotonic() + 10
    while witness.reader.after(0, 1):
        assert time.monotonic() < deadline, "the acknowledgement was not written down"
    assert recorder.stop(10)
    assert outbox.acknowledged == 1


def test_a_proof_is_kept_with_what_was_submitted_before_it_and_no_earlier(outbox: Outbox, witness: Witness) -> None:
    kept: list[tuple[int, Nanos | None]] = []

    class Remembering(Outbox):
        def commit(self, entries: Sequence[Entry], *rest: Any) -> None:
            super().commit(entries, *rest)
            kept.append((self.last_n, self.proven))

    outbox.__class__ = Remembering
    recorder = make(outbox, witness)
    for pid in range(2 * recorder_module.BATCH):
        recorder.submit(start(pid))
    recorder.prove(Nanos(42))
    recorder.submit(start(0))
    recorder.start()
    assert recorder.stop(30)
    assert [proven for last_n, proven in kept if last_n <= recorder_module.BATCH] == [None]
    assert kept[-1] == (2 * recorder_module.BATCH + 1, 42)
    outbox.close()
    outbox.open()
    assert outbox.proven == 42


def test_a_disk_that_fails_is_reported_and_nothing_is_taken_for_written(outbox: Outbox, witness: Witness) -> None:
    recorder = make(outbox, witness)
    assert outbox._db is not None
    outbox._db.execute("PRAGMA query_only = 1")
    recorder.start()
    recorder.submit(start(1))
    assert witness.failed.wait(10)
    assert isinstance(witness.failure, OutboxError)
    assert witness.entries == []
    assert recorder.stop(10)
