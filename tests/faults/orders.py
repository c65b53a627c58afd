"""Commands under trouble: sent as requests and as jobs, sent again, and every effect of theirs leaves a line that can be counted.

An exec writes a line into a file of its own on the host, and so does a container for each signal that it is sent; each signal
number is sent to a container once. So what was done is known without asking the bridge or containerd. What is sent goes to the
server directly and not through the network that faults break: what is tried is the bridge.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from bridge.client import Accepted, Bus, CommandFailed, Node, Sending, connect
from bridge.errors import LogError
from bridge.model.commands import Command, Exec, Kill, Pause, Resume
from bridge.model.nanos import Nanos, now
from bridge.model.outcomes import Outcome
from tests.faults.history import Ordered, Printed
from tests.testbed import Ctr, CtrFailedError

__all__ = ["Orders"]

SIGNALS: Final = range(35, 63)

LIFE: Final = """
for s in $(seq 35 62); do trap "echo x >> /out/$0.k$s" $s; done
trap 'exit 0' TERM
while true; do sleep 0.05; done
"""

PATIENCE_S: Final = 8.0
INPUT_S: Final = 60.0
"""How long a process may take to give back what it was given."""

ANSWERED_S: Final = 180.0
"""How long a job may take to its outcome once everything can be reached again."""


class Orders:
    """A client in a thread of its own."""

    def __init__(self, ctr: Ctr, url: Callable[[], str], lot: random.Random, node: str) -> None:
        self._ctr = ctr
        self._url = url
        self._lot = random.Random(lot.random())
        self._node = node
        self._out = ctr.host.shared / f"out-{ctr.namespace}"
        self._signals: dict[str, Iterator[int]] = {}
        self._sent: dict[str, Ordered] = {}
        self._replies: dict[str, list[Outcome]] = {}
        self._files: dict[str, str] = {}
        self._quiet = ""
        self._echoes: list[Ordered] = []
        self._stored: set[str] = set()
        self._count = 0
        self.done = 0

    @contextmanager
    def load(self, *, rate: float = 6, containers: int = 3) -> Iterator[None]:
        """Send so many commands a second for the length of the block; behind it everything has come to its end or to none."""
        for number in range(containers):
            self._run(f"o{number}")
        end = threading.Event()
        failed: list[BaseException] = []

        def work() -> None:
            try:
                asyncio.run(self._go(end, rate))
            except BaseException as error:  # noqa: BLE001 - whatever it is, who waits has to hear of it
                failed.append(error)

        thread = threading.Thread(target=work, name="orders", daemon=True)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()
        if failed:
            raise failed[0]

    @contextmanager
    def writing(self, size: int) -> Iterator[Callable[[], str]]:
        """Run a process that has begun and waits; the function lets it write so much, and returns its name when it has.

        Behind the block its outcome is there, or is missing.
        """
        container = self._own()
        self._count += 1
        name = f"w-{self._count}"
        go, done = self._out / f"{name}.go", self._out / f"{name}.done"
        script = (
            f"echo x >> /out/{name}; while [ ! -e /out/{name}.go ]; do sleep 0.05; done; "
            f"seq 1 100000000 | head -c {size}; touch /out/{name}.done; exit 7"
        )
        printed = Printed(size=size, sha256=hashlib.sha256(_numbers(size)).hexdigest())
        self._files[name] = name
        self._sent[name] = Ordered(id=name, verb="exec", container=container, job=True, printed=printed)
        asyncio.run(self._submit(Exec(id=name, args=["sh", "-c", script], mode="attached"), container))
        _until(lambda: _lines(self._out / name) == 1)

        def write() -> str:
            go.touch()
            _until(done.exists)
            return name

        yield write
        _until(done.exists)
        asyncio.run(self._ended(name))

    def input(self, times: int) -> None:
        """Open the input of a process, write to it and end it, so often; what came back is held against what was written."""
        asyncio.run(self._inputs(times, self._own()))

    def told(self) -> list[Ordered]:
        """Return every command with what came of it, once nothing is under way."""
        if not self._sent:
            return [*self._echoes]
        over = threading.Event()

        def resume() -> None:
            # What waits in a paused container ends when it goes on, and what pauses it may still be on its way.
            while not over.wait(0.5):
                _resume_all(self._ctr)

        resuming = threading.Thread(target=resume, name="resuming", daemon=True)
        resuming.start()
        try:
            return [*asyncio.run(self._told()), *self._echoes]
        finally:
            over.set()
            resuming.join()
            _resume_all(self._ctr)

    # -- containers

    def _own(self) -> str:
        """Return a container that nobody pauses."""
        if not self._quiet:
            self._quiet = "w0"
            self._run(self._quiet)
            del self._signals[self._quiet]
        return self._quiet

    def _run(self, name: str) -> None:
        if name in self._signals:
            return
        self._out.mkdir(mode=0o777, exist_ok=True)
        self._out.chmod(0o777)
        mount = ("--mount", f"type=bind,src={self._out},dst=/out,options=rbind:rw")
        self._ctr.run(name, "sh", "-c", LIFE, name, options=mount)
        self._signals[name] = iter(SIGNALS)

    # -- sending

    async def _go(self, end: threading.Event, rate: float) -> None:
        async with connect(self._url()) as bus, asyncio.TaskGroup() as group:
            node = await bus.node(self._node)
            while not end.is_set():
                command, container = self._next()
                group.create_task(self._one(node, command, container))
                await asyncio.sleep(self._lot.uniform(0, 2 / rate))

    def _next(self) -> tuple[Command, str]:
        self._count += 1
        name = f"o-{self._count}"
        container = self._lot.choice(list(self._signals))
        signal = next(self._signals[container], None) if self._lot.random() < 0.3 else None
        printed = None
        command: Command
        if signal is not None:
            command, self._files[name] = Kill(id=name, signal=signal), f"{container}.k{signal}"
        elif self._lot.random() < 0.2:
            command = self._lot.choice([Pause(id=name), Resume(id=name)])
        else:
            lines = self._lot.choice([0, 1, 3_000, 40_000])
            text = b"".join(b"%d\n" % number for number in range(1, lines + 1))
            printed = Printed(size=len(text), sha256=hashlib.sha256(text).hexdigest())
            mode = self._lot.choice(["captured", "attached"])
            script = f"echo x >> /out/{name}; seq {lines}"
            command, self._files[name] = Exec(id=name, args=["sh", "-c", script], mode=mode), name  # type: ignore[arg-type]
        job = self._lot.random() < 0.5
        self._sent[name] = Ordered(id=name, verb=command.verb, container=container, job=job, printed=printed)
        return command, container

    async def _one(self, node: Node, command: Command, container: str) -> None:
        assert command.id is not None
        sent = self._sent[command.id]
        times = self._lot.choice([1, 1, 2, 3])
        for _ in range(times if sent.job else 2 * times):
            late = Nanos(now() + 600 * 10**9)
            how = Sending(durable=sent.job, timeout=PATIENCE_S, not_after=late)
            try:
                outcome = await node.sending(how).send(command, namespace=self._ctr.namespace, container=container)
            except Accepted:
                self._stored.add(command.id)
            except CommandFailed:
                await asyncio.sleep(self._lot.uniform(0.1, 1.0))
                continue
            else:
                self._replies.setdefault(command.id, []).append(outcome)
                if outcome.error is not None and outcome.error.code == "exhausted":
                    break  # it was not accepted; who wants it done sends it under another id
            self.done += 1
            await asyncio.sleep(self._lot.uniform(0, 0.5))

    async def _submit(self, command: Command, container: str) -> None:
        async with connect(self._url()) as bus:
            node = (await bus.node(self._node)).sending(Sending(durable=True))
            try:
                await node.send(command, namespace=self._ctr.namespace, container=container)
            except Accepted as accepted:
                self._stored.add(accepted.command_id)

    async def _ended(self, name: str) -> None:
        async with connect(self._url()) as bus:
            with suppress(CommandFailed):
                await bus.jobs.outcome(name, self._node, timeout=ANSWERED_S)

    async def _inputs(self, times: int, container: str) -> None:
        async with connect(self._url()) as bus:
            node = await bus.node(self._node)
            for _ in range(times):
                self._count += 1
                name = f"i-{self._count}"
                data = self._lot.randbytes(self._lot.choice([0, 0, 1, 4_096, 65_536, 65_537, 200_000]))
                printed = Printed(size=len(data), sha256=hashlib.sha256(data).hexdigest())
                sent = Ordered(id=name, verb="exec", container=container, printed=printed)
                try:
                    async with asyncio.timeout(INPUT_S):
                        came = await self._echoed(node, name, container, data)
                except TimeoutError:
                    came = Printed(size=-1, sha256=None)  # it hangs
                self._echoes.append(_echo(sent, came))

    async def _echoed(self, node: Node, name: str, container: str, data: bytes) -> Printed:
        process = await node.exec(container, ["cat"], namespace=self._ctr.namespace, stdin=True, exec_id=name)
        if not data and self._lot.random() < 0.5:
            await process.close_stdin()
        cut = self._lot.randint(0, len(data))
        for piece in (data[:cut], data[cut:]):
            if piece:
                await process.write(piece)
        await process.close_stdin()
        ended = await process.wait()
        return Printed(size=ended.stdout.size, sha256=ended.stdout.sha256, truncated=ended.stdout.truncated)

    # -- what came of it

    async def _told(self) -> list[Ordered]:
        async with connect(self._url()) as bus:
            return list(await asyncio.gather(*[self._told_of(bus, sent) for sent in self._sent.values()]))

    async def _told_of(self, bus: Bus, sent: Ordered) -> Ordered:
        kept: Outcome | None = None
        with suppress(CommandFailed, LogError):
            if sent.id in self._stored and not self._replies.get(sent.id):
                kept = await bus.jobs.outcome(sent.id, self._node, timeout=ANSWERED_S)
            else:
                found = list(await bus.jobs.states(sent.id, node=self._node))
                kept = found[0].outcome if found else None
        outcomes = [*self._replies.get(sent.id, ()), *([kept] if kept is not None else [])]
        file = self._files.get(sent.id)
        return Ordered(
            id=sent.id,
            verb=sent.verb,
            container=sent.container,
            job=sent.job,
            stored=sent.id in self._stored,
            words=tuple(outcome.outcome for outcome in outcomes),
            codes=tuple(outcome.error.code for outcome in outcomes if outcome.error is not None),
            kept=None if kept is None else kept.outcome,
            effects=None if file is None else _lines(self._out / file),
            printed=sent.printed,
            reported=tuple(_reported(outcome) for outcome in outcomes if sent.printed and outcome.outcome == "ok"),
        )


def _echo(sent: Ordered, came: Printed) -> Ordered:
    return replace(sent, reported=(came,), words=("ok",), kept="ok")


def _numbers(size: int) -> bytes:
    """What `seq` writes, up to so many bytes."""
    lines, length, number = [], 0, 1
    while length < size:
        lines.append(b"%d\n" % number)
        length += len(lines[-1])
        number += 1
    return b"".join(lines)[:size]


def _until(true: Callable[[], object], *, within: float = 180.0) -> None:
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)


def _reported(outcome: Outcome) -> Printed:
    result: Any = outcome.result
    stdout = result["stdout"]
    return Printed(size=stdout["size"], sha256=stdout["sha256"], truncated=stdout["truncated"])


def _lines(path: Path) -> int:
    try:
        return len(path.read_text().splitlines())
    except FileNotFoundError:
        return 0


def _resume_all(ctr: Ctr) -> None:
    """Let every paused container run on."""
    with suppress(CtrFailedError):
        for line in ctr("tasks", "ls").splitlines()[1:]:
            name, _, status = line.split()
            if status == "PAUSED":
                ctr("tasks", "resume", name)
