"""The contract of `Processes`: execs from their registration to their removal, and the FIFOs as shims use them."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from bridge.model.outcomes import ExitInfo
from bridge.ports import Stdio, UserIds
from tests.contract.failing import code_of
from tests.contract.hosts import ID, Behaviour, Host

EXEC = "look.1"


class Pipes:
    """The FIFOs of a process, with our ends open."""

    def __init__(self, directory: Path, *, stdin: bool = False, terminal: bool = False) -> None:
        self.directory = directory / uuid4().hex[:12]
        self.directory.mkdir()
        names = ["stdout", *([] if terminal else ["stderr"]), *(["stdin"] if stdin else [])]
        for name in names:
            os.mkfifo(self.directory / name, 0o600)
        self.open = {
            name: os.open(self.directory / name, os.O_RDONLY | os.O_NONBLOCK) for name in names if name != "stdin"
        }
        if stdin:
            self.open["stdin"] = os.open(self.directory / "stdin", os.O_RDWR | os.O_NONBLOCK)
        paths = {name: str(self.directory / name) for name in names}
        self.stdio = Stdio(terminal=terminal, **paths)

    async def until_end(self, name: str) -> bytes:
        """Everything that comes on one of them, until nobody can write to it any more."""
        read, ready, loop = b"", asyncio.Event(), asyncio.get_running_loop()
        loop.add_reader(self.open[name], ready.set)
        try:
            async with asyncio.timeout(90):
                while True:
                    await ready.wait()
                    ready.clear()
                    try:
                        data = os.read(self.open[name], 65_536)
                    except BlockingIOError:
                        continue
                    if not data:
                        return read
                    read += data
        finally:
            loop.remove_reader(self.open[name])

    def close_stdin(self) -> None:
        os.close(self.open.pop("stdin"))

    def close(self) -> None:
        for descriptor in self.open.values():
            os.close(descriptor)
        shutil.rmtree(self.directory)


@contextmanager
def pipes(host: Host, **options: bool) -> Iterator[Pipes]:
    one = Pipes(host.fifo_dir, **options)
    try:
        yield one
    finally:
        one.close()


async def spec_of(host: Host, behaviour: Behaviour, **changes: Any) -> dict[str, Any]:
    record = await host.runtime.containers.get(host.namespace, ID)
    assert record.spec is not None
    return {**record.spec["process"], "args": host.args(behaviour), "terminal": False, **changes}


async def register(host: Host, behaviour: Behaviour, stdio: Stdio, exec_id: str = EXEC) -> None:
    spec = await spec_of(host, behaviour, terminal=stdio.terminal)
    await host.runtime.tasks.exec(host.namespace, ID, exec_id, spec, stdio)


async def status(host: Host, exec_id: str | None = EXEC) -> str | None:
    found = await host.runtime.tasks.get(host.namespace, ID, exec_id)
    return None if found is None else found.status


async def test_an_exec_is_registered_runs_ends_and_is_removed(host: Host) -> None:
    tasks = host.runtime.tasks
    await host.run(Behaviour.STUBBORN)
    with pipes(host) as fifos:
        await register(host, Behaviour.SPEAKS, fifos.stdio)
        assert await status(host) == "created"
        ended = asyncio.ensure_future(tasks.wait(host.namespace, ID, EXEC))
        await asyncio.sleep(0)
        assert await tasks.start(host.namespace, ID, EXEC) > 0
        assert await fifos.until_end("stdout") == b"out\n"
        assert await fifos.until_end("stderr") == b"err\n"
        assert (await ended).exit_status == 5
        assert await status(host) == "stopped"
        assert (await tasks.delete(host.namespace, ID, EXEC)).exit_status == 5
    assert await status(host) is None
    assert await status(host, None) == "running"


async def test_an_id_is_taken_until_its_exec_is_removed(host: Host) -> None:
    tasks = host.runtime.tasks
    await host.run(Behaviour.STUBBORN)
    with pipes(host) as fifos:
        await register(host, Behaviour.SPEAKS, fifos.stdio)
        assert await code_of(register(host, Behaviour.SPEAKS, fifos.stdio)) == "already_exists"
        await tasks.start(host.namespace, ID, EXEC)
        await tasks.wait(host.namespace, ID, EXEC)
        assert await code_of(register(host, Behaviour.SPEAKS, fifos.stdio)) == "already_exists"
        await tasks.delete(host.namespace, ID, EXEC)
    with pipes(host) as fifos:
        await register(host, Behaviour.SPEAKS, fifos.stdio)
        await tasks.delete(host.namespace, ID, EXEC)


async def test_what_is_not_there_is_not_found(host: Host) -> None:
    tasks, key = host.runtime.tasks, (host.namespace, ID, EXEC)
    with pipes(host) as fifos:
        stdio = fifos.stdio
        assert await code_of(tasks.exec(host.namespace, ID, EXEC, {"args": ["x"]}, stdio)) == "not_found"
        assert await tasks.get(*key) is None
        await host.run(Behaviour.STUBBORN)
        assert await tasks.get(*key) is None
        for call in (
            tasks.start(*key),
            tasks.wait(*key),
            tasks.delete(*key),
            tasks.kill(host.namespace, ID, 9, exec_id=EXEC),
        ):
            assert await code_of(call) == "not_found"
        assert await code_of(tasks.close_stdin(*key)) == "not_found"
        assert await code_of(tasks.resize(*key, width=80, height=24)) == "not_found"


async def test_a_program_that_is_not_there_is_not_started_and_can_be_removed(host: Host) -> None:
    tasks = host.runtime.tasks
    await host.run(Behaviour.STUBBORN)
    with pipes(host) as fifos:
        await register(host, Behaviour.BROKEN, fifos.stdio)
        assert await code_of(tasks.start(host.namespace, ID, EXEC)) == "unknown"
        assert await status(host) != "running"
        assert await code_of(tasks.delete(host.namespace, ID, EXEC)) is None
    assert await status(host) is None


async def test_a_running_exec_is_not_removed_and_can_be_killed(host: Host) -> None:
    tasks = host.runtime.tasks
    await host.run(Behaviour.STUBBORN)
    with pipes(host) as fifos:
        await register(host, Behaviour.STUBBORN, fifos.stdio)
        await tasks.start(host.namespace, ID, EXEC)
        assert await code_of(tasks.delete(host.namespace, ID, EXEC)) is not None
        await tasks.kill(host.namespace, ID, 9, exec_id=EXEC)
        assert (await tasks.wait(host.namespace, ID, EXEC)).exit_status == 137
        assert await fifos.until_end("stdout") == b""
        assert await code_of(tasks.kill(host.namespace, ID, 9, exec_id=EXEC)) == "not_found"
        await tasks.delete(host.namespace, ID, EXEC)


async def test_input_ends_when_both_ends_of_it_are_closed(host: Host) -> None:
    tasks = host.runtime.tasks
    await host.run(Behaviour.STUBBORN)
    with pipes(host, stdin=True) as fifos:
        await register(host, Behaviour.ECHOES, fifos.stdio)
        await tasks.start(host.namespace, ID, EXEC)
        os.write(fifos.open["stdin"], b"hello")
        ended = asyncio.ensure_future(tasks.wait(host.namespace, ID, EXEC))
        await tasks.close_stdin(host.namespace, ID, EXEC)
        assert await status(host) == "running"
        fifos.close_stdin()
        assert await fifos.until_end("stdout") == b"hello"
        assert (await ended).exit_status == 0
        await tasks.delete(host.namespace, ID, EXEC)


async def test_a_task_has_stdio_where_it_was_created_with_it(host: Host) -> None:
    await host.make(Behaviour.SPEAKS)
    with pipes(host) as fifos:
        await host.runtime.tasks.create(host.namespace, ID, stdio=fifos.stdio)
        ended = asyncio.ensure_future(host.runtime.tasks.wait(host.namespace, ID, None))
        await host.runtime.tasks.start(host.namespace, ID, None)
        assert await fifos.until_end("stdout") == b"out\n"
        assert await fifos.until_end("stderr") == b"err\n"
        assert (await ended).exit_status == 5
    assert await host.runtime.tasks.delete(host.namespace, ID) == await ended


async def test_a_terminal_takes_a_size_while_its_process_runs(host: Host) -> None:
    tasks = host.runtime.tasks
    await host.run(Behaviour.STUBBORN)
    with pipes(host, terminal=True) as fifos:
        await register(host, Behaviour.STUBBORN, fifos.stdio)
        await tasks.start(host.namespace, ID, EXEC)
        await tasks.resize(host.namespace, ID, EXEC, width=132, height=50)
        await tasks.kill(host.namespace, ID, 9, exec_id=EXEC)
        assert isinstance(await tasks.wait(host.namespace, ID, EXEC), ExitInfo)
        await tasks.delete(host.namespace, ID, EXEC)


@pytest.mark.parametrize(("user", "expected"), [("7", 7), ("7:8", 7), ("no-such-user", None), ("a:b:c", None)])
async def test_a_user_is_told_by_numbers(host: Host, user: str, expected: int | None) -> None:
    await host.run(Behaviour.STUBBORN)
    found = host.runtime.tasks.user(host.namespace, ID, user)
    if expected is None:
        assert await code_of(found) == "invalid_argument"
    else:
        gid = 8 if ":" in user else 0
        assert await found == UserIds(7, gid, (gid,))


async def test_in_a_paused_container_what_is_only_registered_is_paused_and_has_no_pid(host: Host) -> None:
    await host.run(Behaviour.STUBBORN)
    with pipes(host) as ours:
        await register(host, Behaviour.EXITS, ours.stdio)
        await host.runtime.tasks.pause(host.namespace, ID)
        found = await host.runtime.tasks.get(host.namespace, ID, EXEC)
        assert found is not None
        assert (found.status, found.pid) == ("paused", 0)
        await host.runtime.tasks.delete(host.namespace, ID, EXEC)
        assert await host.runtime.tasks.get(host.namespace, ID, EXEC) is None
