"""Whatever happens to an outbox, in whatever order, it holds what a list in memory would hold."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bridge.capture.outbox import ContainerRow, Outbox
from bridge.capture.outbox_reader import OutboxReader
from bridge.capture.room import Limits
from bridge.ports import Entry

LIMITS = Limits(max_bytes=400_000, retention_s=60)
RETENTION_S = 60


class OutboxMachine(RuleBasedStateMachine):
    """Commits, acknowledges, lets time pass, crashes, goes back; delivery's position is `self.position`."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="cb-outbox-"))
        self.now = 1_000.0
        self.entries: list[Entry] = []
        self.acknowledged_at: dict[int, float] = {}
        self.sequences: dict[str, int] = {}
        self.position = 0
        self.highest = 0
        self.crashes = 0

    @initialize()
    def begin(self) -> None:
        self._open(self.directory / "outbox.db")
        self.log = self.outbox.log

    def _open(self, path: Path) -> None:
        self.outbox = Outbox(path, LIMITS, clock=lambda: self.now)
        self.outbox.open()
        self.reader = OutboxReader(path)

    @rule(count=st.integers(0, 600), size=st.sampled_from([0, 10, 300]), container=st.sampled_from("abc"))
    def commit(self, count: int, size: int, container: str) -> None:
        first = len(self.entries) + 1
        fresh = [Entry(n=n, id=f"id{n}", subject="s", body=b"b" * size) for n in range(first, first + count)]
        sequence = self.sequences.get(container, 0) + count
        row = ContainerRow(
            namespace="default",
            container=container,
            state=b"%d" % sequence,
            deleted_at=None,
        )
        self.outbox.commit(fresh, [row], self.position, None)
        self.entries += fresh
        self.sequences[container] = sequence
        self._note()

    @rule(part=st.floats(0, 1))
    def acknowledge(self, part: float) -> None:
        self.position += round((len(self.entries) - self.position) * part)

    @rule(part=st.floats(0, 1))
    def go_back(self, part: float) -> None:
        """The log turns out to have less."""
        self.position -= round(self.position * part)
        self.outbox.commit([], [], self.position, None)
        # Delivery goes on behind what is there at all.
        left = self.reader.after(self.position, 1)
        self.position = left[0].n - 1 if left else len(self.entries)
        self._note()

    @rule(seconds=st.sampled_from([1, 30, 59, 61, 1_000]))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def tidy(self) -> None:
        self.outbox.tidy(self.position)

    @precondition(lambda self: self.crashes < 5)
    @rule()
    def crash(self) -> None:
        """`kill -9`: what is on disk at this moment is all that there is."""
        self.crashes += 1
        there, then = self.outbox.path, self.directory / f"after-{self.crashes}.db"
        for end in ("", "-wal"):
            source = there.with_name(there.name + end)
            if source.exists():
                shutil.copyfile(source, then.with_name(then.name + end))
        self.reader.close()
        self.outbox.close()
        self._open(then)
        self.acknowledged_at = dict.fromkeys(range(1, self.outbox.acknowledged + 1), self.now)

    def _note(self) -> None:
        for n in range(self.highest + 1, self.position + 1):
            self.acknowledged_at[n] = self.now
        self.highest = max(self.highest, self.position)

    @invariant()
    def it_knows_how_far_it_is(self) -> None:
        if not hasattr(self, "outbox"):
            return
        assert (self.outbox.log, self.outbox.last_n) == (self.log, len(self.entries))
        assert self.outbox.acknowledged == self.highest
        for container, sequence in self.sequences.items():
            found = self.outbox.container("default", container)
            assert found is not None
            assert found.state == b"%d" % sequence

    @invariant()
    def it_has_all_that_may_be_needed_whole_and_in_order(self) -> None:
        if not hasattr(self, "outbox"):
            return
        there = self.reader.after(0, 1_000_000)
        assert there == self.entries[len(self.entries) - len(there) :]
        gone = len(self.entries) - len(there)
        assert gone <= self.position
        figures = self.outbox.statistics()
        kept_share_may_be_the_reason = figures.kept_bytes > LIMITS.kept_bytes - 256 * 400
        if gone and not kept_share_may_be_the_reason and self.acknowledged_at.get(gone) is not None:
            assert self.now - self.acknowledged_at[gone] >= RETENTION_S - 1 or self._was_over(gone)
        rows = [size for (size,) in self._sizes()]
        assert figures.kept_rows + figures.waiting_rows == len(rows)
        assert figures.kept_bytes + figures.waiting_bytes == sum(rows)

    def _was_over(self, gone: int) -> bool:
        # Let go for its size at an earlier moment, when more was kept.
        return sum(len(entry.body) + 20 for entry in self.entries[:gone]) > LIMITS.kept_bytes // 2

    def _sizes(self) -> list[tuple[int]]:
        assert self.outbox._db is not None
        return self.outbox._db.execute("SELECT length(encoded) FROM entries").fetchall()

    def teardown(self) -> None:
        if hasattr(self, "outbox"):
            self.reader.close()
            self.outbox.close()
        shutil.rmtree(self.directory)


OutboxMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestOutbox = OutboxMachine.TestCase
