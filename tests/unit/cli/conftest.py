"""The command line on a bus of a few lines."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bridge.cli import main
from bridge.client.checkpoints import Checkpoints
from bridge.config import NatsConfig
from bridge.errors import LogError
from bridge.model.nodes import NodeRecord
from bridge.ports import BusInspector, JobStore, StateStore, StdioClient, StoredEvent
from bridge.ports.checkpoints import CheckpointCatalogue
from tests.unit.client.small_bus import Answer, SmallReader, SmallSender, bus

__all__ = ["Cli", "Said"]


class Said(NamedTuple):
    """What a command came to."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


Cli = Callable[..., Said]


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("CONFIG", "NATS", "STATE_DIR"):
        monkeypatch.delenv(f"CONTAINERD_BRIDGE_{variable}", raising=False)


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    # A command sends its log to the standard error of its time, which the next test does not have any more.
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """`cli("ps", "--all", answer=...)`: status, standard output and standard error of one command."""

    def run(
        *arguments: str,
        answer: Answer = lambda *_: {},
        nodes: Sequence[str] = ("n1",),
        events: Sequence[StoredEvent] = (),
        sender: SmallSender | None = None,
        records: Sequence[NodeRecord] | LogError = (),
        states: StateStore | None = None,
        inspector: BusInspector | None = None,
        reader: SmallReader | None = None,
        stdio: StdioClient | None = None,
        store: JobStore | None = None,
        checkpoints: CheckpointCatalogue | None = None,
    ) -> Said:
        @asynccontextmanager
        async def connect(
            nats: NatsConfig, *, root: str, state_dir: Path, checkpoint_key: Path | None
        ) -> AsyncIterator[Any]:
            log, nodes_ = reader or SmallReader(events), sender or SmallSender(answer, nodes)
            given = bus(log, nodes_, records, states, inspector, stdio, store)
            given.checkpoints = Checkpoints(None if checkpoints is None else lambda _: checkpoints)
            yield given

        capsys.readouterr()
        return Said(main(arguments, connect=connect), *capsys.readouterr())

    return run
