"""The recorder writes down what it is given, in order, and tells of it only afterwards."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from bridge.capture import recorder as recorder_module
from bridge.capture.ledger import Ledger
from bridge.capture.outbox import ContainerRow, Outbox, OutboxDamagedError, OutboxError
from bridge.capture.outbox_reader import OutboxReader
from bridge.capture.recorder import Recorder
from bridge.capture.room import Limits
from bridge.model.codec import decode
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
    until(lambda: outbox.acknowledged == 1)
    assert recorder.stop(10)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


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


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(recorder_module, "PATIENCE_S", 0.0)


def failing(outbox: Outbox, *, fail: bool) -> None:
    assert outbox._db is not None
    outbox._db.execute(f"PRAGMA query_only = {int(fail)}")


@pytest.mark.usefixtures("impatient")
def test_a_disk_that_fails_for_a_while_loses_nothing_and_repeats_nothing(
    outbox: Outbox, witness: Witness, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = make(outbox, witness)
    failing(outbox, fail=True)
    for pid in range(20):
        recorder.submit(start(pid))
    recorder.start()
    until(lambda: recorder.refusal is not None)
    for pid in range(20, 40):
        recorder.submit(start(pid))
    assert "read-only" in (recorder.failure or "")
    assert witness.entries == []
    failing(outbox, fail=False)
    until(lambda: recorder.recorded == 40)
    assert (recorder.failure, recorder.refusal) == (None, None)
    assert recorder.stop(10)
    assert [entry.n for entry in witness.entries] == list(range(1, 41))
    assert witness.reader.after(0, 100) == witness.entries
    said = [record.getMessage() for record in caplog.records]
    assert len([line for line in said if "read-only" in line]) == 1
    assert "can be written again after" in said[-1]


@pytest.mark.usefixtures("impatient")
def test_a_disk_that_fails_for_too_long_is_reported_and_nothing_is_taken_for_written(
    outbox: Outbox, witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "LASTING_S", 0.05)
    recorder = make(outbox, witness)
    failing(outbox, fail=True)
    recorder.start()
    recorder.submit(start(1))
    assert witness.failed.wait(90)
    assert isinstance(witness.failure, OutboxError)
    assert "mend the disk" in str(witness.failure)
    assert witness.entries == []
    assert not recorder.stop(10)


@pytest.mark.usefixtures("impatient")
def test_a_stop_while_the_disk_fails_tries_once_more_and_says_that_it_was_in_vain(
    outbox: Outbox, witness: Witness
) -> None:
    recorder = make(outbox, witness)
    failing(outbox, fail=True)
    recorder.start()
    recorder.submit(start(1))
    until(lambda: recorder.failure is not None)
    assert not recorder.stop(10)
    assert not recorder.alive
    assert isinstance(witness.failure, OutboxError)


def test_damage_ends_it_at_once(outbox: Outbox, witness: Witness) -> None:
    recorder = make(outbox, witness)
    assert outbox._db is not None
    outbox._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with outbox.path.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xa5" * (outbox.path.stat().st_size - 8192))
    outbox._db.execute("PRAGMA shrink_memory")
    outbox.close()
    outbox._db = sqlite3.connect(outbox.path, isolation_level=None, check_same_thread=False)
    recorder.start()
    recorder.submit(start(1))
    assert witness.failed.wait(90)
    assert isinstance(witness.failure, OutboxDamagedError)


@pytest.mark.usefixtures("impatient")
def test_reading_what_is_known_of_containers_may_fail_for_a_while_too(outbox: Outbox, witness: Witness) -> None:
    class Unreadable(Outbox):
        failures = 3

        def container(self, namespace: str, container: str) -> ContainerRow | None:
            if container == "b" and Unreadable.failures:
                Unreadable.failures -= 1
                raise OutboxError("the disk cannot be read")
            return super().container(namespace, container)

    outbox.__class__ = Unreadable
    recorder = make(outbox, witness)
    for container in ("a", "b", "a"):
        recorder.submit(start(1, container))
    recorder.start()
    until(lambda: recorder.recorded == 3)
    assert recorder.stop(10)
    assert [decode(entry.body).sequence for entry in witness.entries] == [1, 1, 2]


def test_a_full_outbox_refuses_and_says_why(tmp_path: Path) -> None:
    with Outbox(tmp_path / "full.db", Limits(max_bytes=1_000, reserve_bytes=0)) as outbox:
        witness = Witness(outbox.path)
        recorder = make(outbox, witness)
        recorder.start()
        for pid in range(10):
            recorder.submit(start(pid))
        until(lambda: recorder.refusal is not None)
        assert "the outbox is full" in str(recorder.refusal)
        assert recorder.stop(10)
        witness.reader.close()


def test_the_outbox_is_tidied_up_now_and_then_when_nothing_waits(
    outbox: Outbox, witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "IDLE_S", 0.001)
    monkeypatch.setattr(recorder_module, "TIDY_S", 0.001)
    tidied: list[int] = []

    class Tidied(Outbox):
        def tidy(self, acknowledged: int) -> None:
            tidied.append(acknowledged)
            if len(tidied) == 1:
                raise OutboxError("the disk is slow to answer")

    outbox.__class__ = Tidied
    recorder = make(outbox, witness)
    recorder.start()
    until(lambda: len(tidied) > 1)
    assert recorder.stop(10)
    assert witness.failure is None


def test_a_question_sees_all_that_was_submitted_before_and_its_answer_comes_before_the_rest(
    outbox: Outbox, witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "BATCH", 10)
    recorder = make(outbox, witness)
    seen: list[int] = []

    def question(ledger: Ledger) -> list[Observed]:
        seen.append(ledger.last_n)
        return [start(100 + n, "answer") for n in range(25)]

    for pid in range(5):
        recorder.submit(start(pid))
    recorder.consult(question)
    recorder.submit(start(99))
    recorder.start()
    assert recorder.stop(10)
    assert seen == [5]
    assert [entry.subject.split(".")[-2] for entry in witness.entries] == ["web"] * 5 + ["answer"] * 25 + ["web"]
    assert witness.batches == [5, 10, 10, 5, 1]
