"""Containers that are run with their stdio on the bus, on a containerd in memory: made, started again, removed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bridge.control import creation, execution, lifecycle
from bridge.control.recovery import NotDone, recover
from bridge.control.removal import Removal
from bridge.control.verb import Place
from bridge.errors import CommandFailed, LogUnavailable
from bridge.model.commands import Attach, CloseStdin, Create, Restart, Run, Start, Stop
from bridge.model.nanos import now
from bridge.model.outcomes import ExecResult
from bridge.model.stdio import StreamEnd, piece_from
from bridge.ports import SessionOrder, Stdio
from bridge.stdio import beginning, output
from bridge.testing import Program
from bridge.testing.images import memory_image
from tests.unit.policy.specs import anything
from tests.unit.stdio.conftest import House, until

IMAGE = "docker.io/library/job:1"
ON_THE_BUS = Run(image=IMAGE, stdio="bus")


class Yard(House):
    """A house in which containers are made."""

    def place(self, command_id: str = "c1", **more: Any) -> Place:
        more = {"sessions": self.sessions, "permit": anything, "container": "job", **more}
        return Place(runtime=self.containerd.runtime, node="n1", namespace="default", command_id=command_id, **more)

    async def said(self, process: ExecResult | None) -> tuple[bytes, StreamEnd | None]:
        assert process is not None
        subject = self.subject()._replace(container="job", process=None)
        data, end = b"", None
        async for one in self.bus.read(subject, process.session, after=process.after, follow=False):
            if one.stream == "stdout":
                end = one.piece if isinstance(one.piece, StreamEnd) else None
                data += b"" if isinstance(one.piece, StreamEnd) else one.piece.data
        return data, end


@pytest.fixture
async def yard(tmp_path: Path) -> AsyncIterator[Yard]:
    one = Yard(tmp_path)
    await one.open()
    one.containerd.put_image("default", memory_image(IMAGE, {"Cmd": ["job"]}, {}))
    one.containerd.programs["job"] = Program(says=b"hello", exits=3)
    try:
        yield one
    finally:
        await one.close()
        for container in one.containerd.containers.values():
            if container.task is not None and container.task.info.status != "stopped":
                container.task.end(0)


async def test_what_is_run_there_is_told_of_as_an_exec_is(yard: Yard) -> None:
    ran = await creation.run(yard.place(), ON_THE_BUS)
    assert ran.process is not None
    assert (ran.process.exec_id, ran.process.stdin, ran.process.pid) == (None, False, ran.pid)
    session = yard.sessions.find("default", "job", None)
    assert session is not None
    ended = await session.ended()
    assert (ended.exit_status, await yard.said(ran.process)) == (3, (b"hello", StreamEnd(
        session=ran.process.session, size=5, sha256=ended.stdout.sha256, exit_status=3
    )))  # fmt: skip


async def test_every_later_task_has_its_stdio_where_the_container_was_created_to_have_it(yard: Yard) -> None:
    yard.containerd.programs["job"] = Program(echoes=True)
    await creation.create(yard.place(), Create(image=IMAGE, stdio="bus", stdin=True))
    first = await lifecycle.start(yard.place("c2"), Start())
    assert first.process is not None
    assert first.process.stdin
    await lifecycle.restart(yard.place("c3"), Restart(grace=0))
    second = yard.sessions.find("default", "job", None)
    assert second is not None
    assert second.id != first.process.session
    assert second.result().stdin


async def test_a_restart_keeps_the_stdio_that_the_task_had(yard: Yard) -> None:
    yard.containerd.programs["job"] = Program(echoes=True)
    await creation.create(yard.place(), Create(image=IMAGE))
    first = await lifecycle.start(yard.place("c2"), Start(stdio="bus", stdin=True))
    await lifecycle.restart(yard.place("c3"), Restart(grace=0))
    second = await execution.attach(yard.place("c4"), Attach())
    assert (second.running, second.stdin, second.session == first.session) == (True, True, False)


async def test_who_attaches_is_not_told_of_a_run_before(yard: Yard) -> None:
    yard.containerd.programs["job"] = Program()
    await creation.create(yard.place(), Create(image=IMAGE))
    first = await lifecycle.start(yard.place("c2"), Start(stdio="bus", stdin=True))
    await lifecycle.stop(yard.place("c3"), Stop(grace=0))
    assert (await execution.attach(yard.place("c4"), Attach())).session == first.session
    await lifecycle.start(yard.place("c5"), Start())
    with pytest.raises(CommandFailed, match="was not started with it there"):
        await execution.attach(yard.place("c6"), Attach())
    with pytest.raises(CommandFailed, match="was not started with it there"):
        await execution.close_stdin(yard.place("c7"), CloseStdin())
    await lifecycle.restart(yard.place("c8"), Restart(grace=0))
    session = yard.sessions.find("default", "job", None)
    assert session is not None
    assert session.command_id == "c2"


async def test_where_no_stdio_is_on_the_bus_nothing_is_made_and_nothing_is_ended(yard: Yard) -> None:
    with pytest.raises(CommandFailed, match="puts no stdio on the bus"):
        await creation.run(yard.place(sessions=None), ON_THE_BUS)
    assert ("default", "job") not in yard.containerd.containers

    yard.containerd.programs["job"] = Program()
    await creation.run(yard.place(), ON_THE_BUS)
    with pytest.raises(CommandFailed, match="puts no stdio on the bus"):
        await lifecycle.restart(yard.place("c2", sessions=None), Restart(grace=0))
    task = yard.containerd.containers["default", "job"].task
    assert task is not None
    assert task.info.status == "running"


async def test_input_that_can_come_from_nowhere_is_refused(yard: Yard) -> None:
    with pytest.raises(CommandFailed, match='give stdio "bus" too'):
        await creation.create(yard.place(), Create(image=IMAGE, stdin=True))


async def test_the_same_run_again_tells_of_the_same_process(yard: Yard) -> None:
    first = await creation.run(yard.place(), ON_THE_BUS)
    again = await creation.run(yard.place(), ON_THE_BUS)
    assert first.process is not None
    assert again.process is not None
    assert (again.already, again.process.session) == (True, first.process.session)


async def test_what_cannot_be_run_leaves_no_session(yard: Yard) -> None:
    yard.containerd.programs["job"] = Program(broken="exec: no such file or directory")
    with pytest.raises(CommandFailed, match="no such file"):
        await creation.run(yard.place(), ON_THE_BUS)
    assert ("default", "job") not in yard.containerd.containers
    assert (yard.sessions.find("default", "job", None), yard.leftovers()) == (None, [])


async def test_fifos_that_the_shims_do_not_see_are_told_of(yard: Yard) -> None:
    create = yard.containerd.runtime.tasks.create

    async def blind(namespace: str, container: str, *, stdio: Stdio | None = None) -> int:
        assert stdio is not None
        words = f"open {stdio.stdout}: no such file or directory"
        raise CommandFailed("unknown", "cannot create a task", containerd=words)

    yard.containerd.runtime.tasks.create = blind  # type: ignore[method-assign]
    with pytest.raises(CommandFailed, match="give `serve --fifo-dir` a directory") as failed:
        await creation.run(yard.place(), ON_THE_BUS)
    assert failed.value.code == "failed_precondition"
    yard.containerd.runtime.tasks.create = create  # type: ignore[method-assign]
    assert ("default", "job") not in yard.containerd.containers


async def test_the_size_of_the_terminal_is_there_from_the_beginning(yard: Yard) -> None:
    yard.containerd.programs["job"] = Program()
    await creation.run(yard.place(), Run(image=IMAGE, stdio="bus", tty=True, width=90, height=30))
    container = yard.containerd.containers["default", "job"]
    assert container.record.spec is not None
    assert container.record.spec["process"]["consoleSize"] == {"width": 90, "height": 30}
    await until(lambda: container.task is not None and container.task.process(None).size == (90, 30))


async def test_what_is_removed_after_its_end_is_removed_once_its_output_is_taken(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "HELD", 1000)
    left = bytes(range(256)) * 600
    yard.containerd.programs["job"] = Program(says=b"hello", leaves=left, exits=3)
    async with Removal("n1", yard.containerd.runtime, sessions=yard.sessions) as removal:
        await removal.swept()
        with yard.bus.down():
            ran = await creation.run(yard.place(removing=removal), Run(image=IMAGE, stdio="bus", rm=True))
            await until(lambda: ("default", "job") not in yard.containerd.containers)
        session = yard.sessions.find("default", "job", None)
        assert session is not None
        ended = await session.ended()
    assert ended.stdout.truncated is None
    data, end = await yard.said(ran.process)
    assert (data, end is not None and end.exit_status) == (b"hello" + left, 3)


async def test_a_task_that_is_made_in_place_of_another_one_takes_nothing_of_its_output_away(yard: Yard) -> None:
    left = bytes(range(256)) * 600
    yard.containerd.programs["job"] = Program(says=b"hello", leaves=left)
    ran = await creation.run(yard.place(), ON_THE_BUS)
    assert ran.process is not None
    session = yard.sessions.find("default", "job", None)
    assert session is not None
    await until(lambda: session.result().stdout.size == 5)
    await lifecycle.restart(yard.place("c2"), Restart(grace=0))
    ended = await session.ended()
    assert (ended.stdout.truncated, (await yard.said(ran.process))[0]) == (None, b"hello" + left)


async def test_a_bridge_that_comes_back_sees_the_end_before_it_removes_the_container(yard: Yard) -> None:
    yard.containerd.programs["job"] = Program(says=b"hello")
    async with Removal("n1", yard.containerd.runtime, sessions=yard.sessions) as removal:
        ran = await creation.run(yard.place(removing=removal), Run(image=IMAGE, stdio="bus", rm=True))
    await yard.restart(meanwhile=lambda: yard.containerd.end("default", "job", 7))
    async with Removal("n1", yard.containerd.runtime, sessions=yard.sessions):
        await until(lambda: ("default", "job") not in yard.containerd.containers)
    _, end = await yard.said(ran.process)
    assert end is not None
    assert end.exit_status == 7


async def died_before_the_start(yard: Yard, label: bool) -> None:
    """Leave what a bridge leaves that dies when it has made a task again and not started it."""
    yard.containerd.programs["job"] = Program(says=b"hello", exits=3)
    await creation.create(yard.place(), Create(image=IMAGE, stdio="bus" if label else ""))
    order = SessionOrder(namespace="default", container="job", exec_id=None, command_id="c2")
    session = await yard.sessions.open(order)
    await yard.containerd.runtime.tasks.create("default", "job", stdio=session.stdio)
    await yard.restart()
    await until(lambda: yard.sessions.find("default", "job", None) is None)


@pytest.mark.parametrize("label", [True, False])
async def test_a_task_that_nobody_would_read_is_not_started(yard: Yard, label: bool) -> None:
    await died_before_the_start(yard, label)
    started = await lifecycle.start(yard.place("c3"), Start())
    assert started.process is not None
    session = yard.sessions.find("default", "job", None)
    assert session is not None
    await session.ended()
    assert (await yard.said(started.process))[0] == b"hello"


@pytest.mark.parametrize("label", [True, False])
@pytest.mark.parametrize("command", [Restart(), Start(stdio="bus"), Start()])
async def test_nothing_is_left_of_a_task_whose_session_is_gone(
    yard: Yard, command: Start | Restart, label: bool
) -> None:
    await died_before_the_start(yard, label)
    with pytest.raises(NotDone, match="it is taken away, and no other is there"):
        await recover(yard.place("c2"), command, now())
    assert yard.containerd.containers["default", "job"].task is None


async def test_a_task_that_somebody_else_made_is_started_as_it_is(yard: Yard) -> None:
    await creation.create(yard.place(), Create(image=IMAGE, stdio="bus"))
    await yard.containerd.runtime.tasks.create("default", "job")
    assert (await lifecycle.start(yard.place("c3"), Start())).session is None


async def test_a_bus_that_refuses_holds_up_no_restart_and_each_run_s_output_comes_whole_and_in_its_turn(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beginning, "LOCATED_S", 0.05)
    yard.containerd.programs["job"] = Program(says=b"hello")
    with yard.bus.down():
        runs = [(await creation.run(yard.place(), ON_THE_BUS)).process]
        for number in range(2):
            await lifecycle.restart(yard.place(f"again-{number}"), Restart(grace=0))
            newest = yard.sessions.find("default", "job", None)
            assert newest is not None
            runs.append(newest.result())
            stdout = next(iter(newest.outputs))
            await until(lambda: stdout.spooled == 5)  # noqa: B023
        await yard.restart()  # in the order in which they ran, also for the next bridge
        assert yard.sessions.statistics().open == 3
        for _ in range(2):  # those who try first do not come through
            yard.bus.fail(LogUnavailable("the answer was lost"), stored=False)
    yard.containerd.end("default", "job", 7)
    newest = yard.sessions.find("default", "job", None)
    assert newest is not None
    await newest.ended()
    assert [(await yard.said(process))[0] for process in runs] == [b"hello"] * 3
    subject = yard.bus.subjects.stdio(yard.subject()._replace(container="job", process=None))
    stored = [piece_from(one.headers, one.data).session for one in yard.bus.messages if one and one.subject == subject]
    assert stored == [process.session for process in runs if process is not None for _ in range(2)]
