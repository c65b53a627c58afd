"""Input that comes before its process: kept through restarts of bridge and host, given to the first process, and to no other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bridge.control import creation, execution, lifecycle
from bridge.control.keys import with_key
from bridge.errors import CommandFailed
from bridge.model.commands import Attach, CloseStdin, Create, Delete, Start, Stop
from bridge.model.nanos import Nanos
from bridge.model.outcomes import ExecResult, Outcome
from bridge.model.stdio import InputPiece, InputReply
from bridge.stdio import ahead, sessions
from bridge.testing import Program
from bridge.testing.images import memory_image
from tests.unit.stdio.conftest import until
from tests.unit.stdio.test_running import IMAGE, Yard

WAITS = Create(image=IMAGE, stdio="bus", stdin=True)


class Waiting(Yard):
    """A yard with a container that was created and not started."""

    async def create(self, command: Create = WAITS) -> None:
        await creation.create(self.place("made"), command)

    async def attach(self, command_id: str = "a1") -> ExecResult:
        return await execution.attach(self.place(command_id), Attach())

    async def start(self, command_id: str = "c1") -> ExecResult:
        started = await lifecycle.start(self.place(command_id), Start())
        assert started.process is not None
        return started.process

    async def send(
        self, process: ExecResult, offset: int, data: bytes, *, end: bool = False, **more: Any
    ) -> InputReply:
        there = self.sessions.find("default", "job", None)
        expected = self.sessions.expected("default", "job")
        key = expected.secret if expected is not None else there.secret if there is not None else ""
        piece = InputPiece(session=process.session, offset=offset, data=data, end=end, key=key, **more)
        return await self.bus.write(self.subject("stdin")._replace(container="job", process=None), piece, timeout=90)

    async def over(self) -> ExecResult:
        session = self.sessions.find("default", "job", None)
        assert session is not None
        async with asyncio.timeout(90):
            return await session.ended()


@pytest.fixture
async def yard(tmp_path: Path) -> AsyncIterator[Waiting]:
    one = Waiting(tmp_path)
    await one.open()
    one.containerd.put_image("default", memory_image(IMAGE, {"Cmd": ["job"]}, {}))
    one.containerd.programs["job"] = Program(echoes=True)
    try:
        yield one
    finally:
        await one.close()
        for container in one.containerd.containers.values():
            if container.task is not None and container.task.info.status != "stopped":
                container.task.end(0)


@pytest.mark.parametrize("restarted", ["not at all", "bridge", "host"])
async def test_what_is_sent_and_ended_before_the_start_is_what_the_process_reads(yard: Waiting, restarted: str) -> None:
    await yard.create()
    there = await yard.attach()
    assert (there.stdin, there.running, there.pid, there.exec_id) == (True, True, 0, None)
    assert (await yard.send(there, 0, b"before ")).accepted == 7
    if restarted != "not at all":
        await yard.restart(boot="boot-2" if restarted == "host" else None)
    assert (await yard.attach()).session == there.session
    reply = await yard.send(there, 7, b"the start", end=True)
    assert (reply.accepted, reply.closed, reply.error) == (16, True, None)
    assert (await execution.close_stdin(yard.place(), CloseStdin())).already
    started = await yard.start()
    assert started.session == there.session
    assert (await yard.over()).exit_status == 0
    assert (await yard.said(there))[0] == b"before the start"
    assert yard.leftovers() == []


async def test_an_end_alone_is_kept_too(yard: Waiting) -> None:
    await yard.create()
    assert not (await execution.close_stdin(yard.place(), CloseStdin())).already
    await yard.restart()
    assert (await execution.close_stdin(yard.place(), CloseStdin())).already
    await yard.start()
    assert (await yard.over()).stdout.size == 0


async def test_input_goes_on_in_the_process_and_the_bridge_may_be_started_in_between(yard: Waiting) -> None:
    await yard.create()
    there = await yard.attach()
    await yard.send(there, 0, b"before ")
    await yard.start()
    assert (await yard.send(there, 7, b"and ")).accepted == 11
    await yard.restart()
    assert (await yard.send(there, 11, b"after", end=True)).closed
    await yard.over()
    assert (await yard.said(there))[0] == b"before and after"


async def test_more_than_there_is_room_for_waits_for_the_process(
    yard: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "MOST", 100)
    monkeypatch.setattr("bridge.stdio.input.ANSWER_S", 0.01)
    await yard.create()
    there = await yard.attach()
    data = bytes(range(250))
    assert (await yard.send(there, 0, data)).accepted == 100
    assert (await yard.send(there, 100, data[100:])).accepted == 100
    monkeypatch.setattr("bridge.stdio.input.ANSWER_S", 90)
    sending = asyncio.create_task(yard.send(there, 100, data[100:], end=True))
    await asyncio.sleep(0)
    await yard.start()
    assert (await sending).closed
    await yard.over()
    assert (await yard.said(there))[0] == data


async def test_what_a_process_has_not_read_yet_is_given_to_it_by_the_next_bridge(yard: Waiting) -> None:
    yard.containerd.programs["job"] = Program()  # it reads nothing
    await yard.create()
    there = await yard.attach()
    data = bytes(range(256)) * 1000  # more than a pipe that was not made larger has room for
    for offset in range(0, len(data), 64_000):
        await yard.send(there, offset, data[offset : offset + 64_000])
    await yard.start()
    note = yard.directory / "stdio" / there.session / "stdin"
    await until(lambda: int.from_bytes(note.read_bytes()[:8], "little") > 0)
    await yard.restart()
    reply = await yard.send(there, len(data), b"")
    assert (reply.accepted, reply.error) == (len(data), None)


async def test_a_bridge_that_was_killed_while_it_wrote_gives_no_part_for_the_whole(yard: Waiting) -> None:
    yard.containerd.programs["job"] = Program()
    await yard.create()
    there = await yard.attach()
    await yard.send(there, 0, b"all of this", end=True)
    await yard.start()
    note = yard.directory / "stdio" / there.session / "stdin"
    await until(lambda: note.read_bytes()[:8] == (11).to_bytes(8, "little"))

    def cut_off() -> None:
        note.write_bytes((4).to_bytes(8, "little") + (11).to_bytes(8, "little"))

    await yard.restart(meanwhile=cut_off)
    asked = await yard.send(there, 4, b"")
    assert (asked.accepted, asked.closed) == (4, False)
    refused = await yard.send(there, 4, b"of this")
    assert refused.error is not None
    assert refused.error.code == "unknown"


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_start_that_fails_leaves_the_input_to_the_next_one(yard: Waiting, restarted: bool) -> None:
    await yard.create()
    there = await yard.attach()
    await yard.send(there, 0, b"patient", end=True)
    container = yard.containerd.containers["default", "job"]
    program, container.program = container.program, Program(broken="exec: no such file")
    with pytest.raises(CommandFailed):
        await lifecycle.start(yard.place("c1"), Start())
    if restarted:
        await yard.restart()
    container.program = program
    assert (await yard.attach()).session == there.session
    await yard.start("c2")
    await yard.over()
    assert (await yard.said(there))[0] == b"patient"


async def test_a_bridge_that_dies_before_the_process_is_started_leaves_the_input_to_the_next_start(
    yard: Waiting,
) -> None:
    await yard.create()
    there = await yard.attach()
    await yard.send(there, 0, b"patient", end=True)
    record = await yard.containerd.runtime.containers.get("default", "job")
    await execution.session_for_task(yard.place("c1"), record, Start())
    assert yard.sessions.expected("default", "job") is None
    await yard.restart()
    await until(lambda: yard.sessions.expected("default", "job"))
    await yard.start("c2")
    await yard.over()
    assert (await yard.said(there))[0] == b"patient"


@pytest.mark.parametrize("attached", [True, False])
async def test_a_container_of_the_same_name_does_not_get_what_was_for_another(yard: Waiting, attached: bool) -> None:
    await yard.create()
    there = await yard.attach()
    await yard.send(there, 0, b"for another", end=True)
    yard.containerd.remove("default", "job")  # by somebody else
    await yard.create()
    if attached:
        assert (await yard.attach()).session != there.session
        assert (await execution.close_stdin(yard.place(), CloseStdin())).already is False
    started = await yard.start()
    assert started.session != there.session
    await yard.send(started, 0, b"", end=True)
    assert (await yard.over()).stdout.size == 0


async def test_who_reads_what_was_deleted_before_its_start_is_told(yard: Waiting) -> None:
    await yard.create()
    there = await yard.attach()
    await lifecycle.delete(yard.place("c1"), Delete())
    _, end = await yard.said(there)
    assert end is not None
    assert (end.size, end.truncated, end.exit_status) == (0, "deleted", None)
    refused = await yard.send(there, 0, b"x")
    assert refused.error is not None
    assert refused.error.code == "not_found"
    with pytest.raises(CommandFailed, match="is not on the bus"):
        await yard.attach()
    assert yard.leftovers() == []


async def test_what_has_run_tells_of_its_last_run_and_a_new_container_of_its_own(yard: Waiting) -> None:
    await yard.create()
    first = await yard.start()
    await lifecycle.stop(yard.place("c2"), Stop(grace=0))
    await yard.over()
    assert (await yard.attach()).session == first.session
    await lifecycle.delete(yard.place("c3"), Delete())
    await yard.create(Create(image=IMAGE, stdio="bus", stdin=True))
    assert (await yard.attach()).session != first.session


async def test_what_has_its_stdio_elsewhere_or_takes_no_input_says_so(yard: Waiting) -> None:
    await yard.create(Create(image=IMAGE))
    with pytest.raises(CommandFailed, match="is not on the bus"):
        await execution.close_stdin(yard.place(), CloseStdin())
    await lifecycle.delete(yard.place("c1"), Delete())
    await yard.create(Create(image=IMAGE, stdio="bus"))
    with pytest.raises(CommandFailed, match="container job takes no input: create it with stdin"):
        await execution.close_stdin(yard.place(), CloseStdin())
    there = await yard.attach()
    assert not there.stdin
    assert (await yard.start()).session == there.session


async def test_who_asks_gets_the_key_and_nobody_else_writes(yard: Waiting) -> None:
    await yard.create()
    there = await yard.attach()
    outcome = Outcome(
        id="a",
        verb="attach",
        node="n1",
        outcome="ok",
        namespace="default",
        container="job",
        result=there,
        received_at=Nanos(1),
        finished_at=Nanos(2),
    )
    keyed: Any = with_key(outcome, yard.sessions).result
    expected = yard.sessions.expected("default", "job")
    assert expected is not None
    assert keyed.key == expected.secret != ""
    piece = InputPiece(session=there.session, offset=0, data=b"x", key="0" * 32)
    reply = await yard.bus.write(yard.subject("stdin")._replace(container="job", process=None), piece, timeout=90)
    assert reply.error is not None
    assert reply.error.code == "refused"


async def test_there_is_room_for_so_many_and_those_of_deleted_containers_make_some(
    yard: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MOST_EXPECTED", 1)
    await yard.create()
    await yard.attach()
    await creation.create(yard.place("made-2", container="other"), WAITS)
    with pytest.raises(CommandFailed, match="1 containers are attached to before their start already") as failed:
        await execution.attach(yard.place(container="other"), Attach())
    assert failed.value.code == "exhausted"
    yard.containerd.remove("default", "job")
    assert (await execution.attach(yard.place(container="other"), Attach())).running
