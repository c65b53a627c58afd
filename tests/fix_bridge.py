"""The real daemon for tests: `containerd-bridge serve` as a process of its own, and its stream read by another client."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import nats
import pytest
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from tests import valid
from tests.testbed import Containerd

LAST = 60
"""Lines of a bridge's log that are shown where a test has failed."""

STARTED: list[Bridge] = []
"""The bridges of the test that is under way, and those that run on from one to the next; see `pytest_runtest_makereport`."""

WITHIN_S = 90.0
"""Patience with what has to come, also on a machine that does much else. It costs only the test that fails."""

UNHURRIED = ("-m", "tests.faults.broken", "unhurried")
UNHURRIED_S = 60.0
"""A bridge that takes so long for a stop where there is something to wait for, and what it is."""

WORDS = {
    "/containers/create": "container-create",
    "/containers/update": "container-update",
    "/containers/delete": "container-delete",
    "/tasks/create": "create",
    "/tasks/start": "start",
    "/tasks/exit": "exit",
    "/tasks/oom": "oom",
    "/tasks/exec-added": "exec-added",
    "/tasks/exec-started": "exec-started",
    "/tasks/paused": "paused",
    "/tasks/resumed": "resumed",
    "/tasks/delete": "delete",
}
"""containerd's topics -> the bridge's words."""


class Bridge:
    """One daemon; a context manager that starts it and, in the end, kills what is left of it."""

    program: Sequence[str] = ("-m", "bridge")
    """What Python runs."""

    prefix: Sequence[str] = ()
    """What Python is run by; it has to become Python's process, not to start one."""

    def __init__(
        self,
        *options: str | Path,
        environ: Mapping[str, str] | None = None,
        program: Sequence[str] | None = None,
    ) -> None:
        if program is not None:
            self.program = program
        self.options = [str(option) for option in options]
        self.environ = environ
        self.lines: list[dict[str, Any]] = []
        self._news = threading.Condition()
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()

    def last_words(self) -> str:
        """The end of its log, for whoever asks why a test has failed."""
        words = [f"{line.get('time', '')} {line['message']}" for line in self.lines[-LAST:]]
        status = None if self._process is None else self._process.poll()
        return "\n".join([*words, "it runs" if status is None else f"it ended with status {status}"])

    def start(self) -> None:
        """Start it, again after a `stop` or `kill`; the log goes on."""
        STARTED.append(self)
        self._process = subprocess.Popen(
            [*self.prefix, sys.executable, *self.program, "serve", *self.options],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environ,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        with process.stderr:
            for line in process.stderr:
                try:
                    entry = json.loads(line)
                except ValueError:
                    entry = {"message": line.rstrip()}
                with self._news:
                    self.lines.append(entry)
                    self._news.notify_all()

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process is not None
        return self._process

    @property
    def log(self) -> list[str]:
        """The sentences that it has logged so far."""
        return [line["message"] for line in self.lines]

    def until_logged(self, text: str, *, after: int = 0, within: float = WITHIN_S) -> int:
        """Wait until a sentence with `text` stands in the log behind line `after`; return the number of lines up to it."""
        deadline = time.monotonic() + within
        with self._news:
            while True:
                for number, line in enumerate(self.lines[after:], after + 1):
                    if text in line["message"]:
                        return number
                left = deadline - time.monotonic()
                assert left > 0, f"{text!r} was not logged, but: {self.log[after:]}"
                assert self.process.poll() is None or self._news.wait(1.0), f"it ended: {self.log[after:]}"
                self._news.wait(min(left, 1.0))

    def live(self, *, after: int = 0) -> int:
        """Wait until its subscription is proven live, and it takes commands where it is to take some."""
        live = self.until_logged("following containerd", after=after)
        if "--commands" in self.options and "none" not in self.options:
            self.until_logged("taking commands", after=after)
        return live

    def stop(self, *, within: float = WITHIN_S) -> int:
        """SIGTERM, and the exit status."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(within)
        self._reader.join()
        return status

    def until_ended(self) -> None:
        """Wait until all that it logged before its end has been read."""
        self._reader.join()

    def kill(self) -> None:
        """`kill -9`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._reader.join()


class Stored:
    """One message of the stream as a client that is not ours reads it."""

    def __init__(self, subject: str, headers: Mapping[str, str], body: bytes, sequence: int, at: int) -> None:
        self.subject = subject
        self.headers = headers
        self.body = body
        self.stream_sequence = sequence
        self.stored_at = at
        self.event: dict[str, Any] = json.loads(body)
        valid.event(self.event)
        self.data: dict[str, Any] = self.event["data"]
        self.word = subject.rsplit(".", 1)[1]

    def __repr__(self) -> str:
        return f"{self.subject} {self.data}"


def stored(url: str, subject: str = ">", *, stream: str = "CONTAINERD_EVENTS") -> list[Stored]:
    """Read the stream from its first message to the one that was its last when this began."""
    return asyncio.run(_stored(url, subject, stream))


async def _stored(url: str, subject: str, stream: str) -> list[Stored]:
    client = await nats.connect(url)
    try:
        js = client.jetstream(timeout=60)
        try:
            await js.stream_info(stream)
        except NotFoundError:
            return []
        config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.NONE)
        consumer = await js.pull_subscribe(subject, stream=stream, config=config)
        found: list[Stored] = []
        pending = (await consumer.consumer_info()).num_pending or 0
        while pending:
            for message in await consumer.fetch(min(500, pending), timeout=60):
                told = message.metadata
                at = round(told.timestamp.timestamp() * 1e6) * 1000
                found.append(Stored(message.subject, message.headers or {}, message.data, told.sequence.stream, at))
                pending = told.num_pending
        name = (await consumer.consumer_info()).name
        await consumer.unsubscribe()
        await js.delete_consumer(stream, name)
        return found
    finally:
        await client.close()


def is_end(message: Stored) -> bool:
    """Tell whether this is the event of a command's end."""
    return message.word == "command" and message.data["phase"] == "finished"


def until_stored(
    url: str, wanted: Callable[[Stored], bool], subject: str = ">", *, within: float = WITHIN_S
) -> list[Stored]:
    """Read the stream again and again until one of its messages is `wanted`; return them all."""
    deadline = time.monotonic() + within
    while True:
        found = stored(url, subject)
        if any(wanted(message) for message in found):
            return found
        assert time.monotonic() < deadline, f"it is not in the stream: {found[-20:]}"
        time.sleep(0.05)


BridgeFactory = Callable[..., Bridge]


@pytest.fixture
def bridge_factory() -> Iterator[BridgeFactory]:
    """`bridge_factory("--nats", url, ...)`: a started daemon of this test's own."""
    with ExitStack() as closing:
        yield lambda *options, **more: closing.enter_context(Bridge(*options, **more))


@pytest.fixture
def bridge(bridge_factory: BridgeFactory, containerd: Containerd, nats_url: str, tmp_path: Path) -> Bridge:
    """A live daemon on containerd 2.1 with every command group on, as node `n1`."""
    daemon = bridge_factory(
        *("--containerd", containerd.address, "--nats", nats_url, "--node", "n1"),
        *("--state-dir", tmp_path / "state", "--commands", "all", "--fifo-dir", containerd.fifo_dir),
        *("--checkpoint-dir", containerd.shared / "checkpoints"),
    )
    daemon.live()
    return daemon


def pytest_runtest_setup(item: pytest.Item) -> None:
    STARTED[:] = {id(bridge): bridge for bridge in STARTED if bridge.runs}.values()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where a test has failed, what its bridges logged stands beside what it printed."""
    report = yield
    if report.failed:
        for bridge in {id(bridge): bridge for bridge in STARTED}.values():
            report.sections.append(("the bridge's last words", bridge.last_words()))
    return report
