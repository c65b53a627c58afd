"""Whether a process has run, as a bridge that comes back sees it: no only where the disk says so, and else it is open."""

from __future__ import annotations

import asyncio
from signal import SIGKILL

import pytest
from msgspec import structs

from bridge.errors import CommandFailed
from bridge.model.nanos import Nanos
from bridge.model.outcomes import TaskInfo
from bridge.stdio import session as session_module
from bridge.stdio.beginning import UNREAD_S, has_run
from bridge.stdio.journal import Journal, SessionRecord
from bridge.stdio.session import Session
from bridge.testing import Program
from tests.unit.stdio.conftest import House, until


class Died(BaseException):
    """The bridge, at a failpoint."""


@pytest.fixture
def dies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the bridge die when its process was started, and before its record says so."""

    def die(place: str) -> None:
        if place == "process-started":
            raise Died

    monkeypatch.setattr(session_module, "failpoint", die)


async def died_over(house: House, program: Program) -> Session:
    session = await house.made(program)
    with pytest.raises(Died):
        await session.start()
    return session


async def gone(house: House) -> None:
    await house.containerd.runtime.tasks.kill("default", "web", SIGKILL, exec_id="e1")
    await house.containerd.runtime.tasks.delete("default", "web", "e1")


def cut_off(house: House, session: Session, lines: int) -> None:
    """Leave the first lines of its record, as a host that loses its power may."""
    path = house.directory / "stdio" / session.id / "session.json"
    kept = [line for line in path.read_bytes().split(b"\n") if line][:lines]
    path.write_bytes(b"".join(b"\n" + line + b"\n" for line in kept))


@pytest.mark.usefixtures("dies")
async def test_what_was_about_to_be_started_and_is_gone_may_have_run(house: House) -> None:
    session = await died_over(house, Program(ends_on={}))
    await house.restart(meanwhile=lambda: gone(house))
    for _ in range(2):  # the next bridge says the same
        again = house.found()
        assert await again.ran() is None
        ended = await again.ended()
        assert (ended.running, ended.exit_status, ended.stdout.truncated) == (False, None, "away")
        _, end = await house.stored(session.id)
        assert end is not None
        await until(lambda: house.leftovers() == [])
        await house.restart()


@pytest.mark.usefixtures("dies")
async def test_what_has_written_has_run(house: House) -> None:
    session = await died_over(house, Program(says=b"early", ends_on={}))
    await until(lambda: session.result().stdout.size == 5)
    await house.restart(meanwhile=lambda: gone(house))
    assert await house.found().ran() is True


async def test_what_runs_when_the_power_goes_is_never_said_not_to_have_run(house: House) -> None:
    session = await house.run(Program(ends_on={}))

    async def power_cut() -> None:
        await gone(house)
        cut_off(house, session, 2)  # what was synced

    await house.restart(boot="boot-2", meanwhile=power_cut)
    assert await house.found().ran() is None
    assert (await house.found().ended()).stdout.truncated == "restarted"


async def test_what_was_not_even_about_to_be_started_never_ran_whatever_is_there_now(house: House) -> None:
    await house.made(Program())
    await house.restart(boot="boot-2", meanwhile=lambda: house.containerd.runtime.tasks.delete("default", "web", "e1"))
    await until(lambda: house.leftovers() == [])
    assert house.sessions.find("default", "web", "e1") is None


async def test_it_is_on_disk_before_anybody_is_asked(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    session = await house.made(Program(exits=0))
    written, synced = Journal.write, []

    def write(self: Journal, record: SessionRecord, *, sync: bool = False) -> None:
        synced.append((record.stage, sync))
        written(self, record, sync=sync)

    async def start(*_: object) -> int:
        assert synced == [("starting", True)]
        raise CommandFailed("unknown", "no")

    monkeypatch.setattr(Journal, "write", write)
    monkeypatch.setattr(house.containerd.runtime.tasks, "start", start)
    with pytest.raises(CommandFailed, match="no"):
        await session.start()


async def test_where_the_disk_does_not_take_that_nothing_is_started(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await house.made(Program(exits=0))

    def write(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Journal, "write", write)
    with pytest.raises(CommandFailed, match="is not started: its record cannot be written"):
        await session.start()
    assert (house.execs(), house.leftovers()) == ([], [])


async def test_that_it_runs_is_written_before_the_bus_is_waited_for(house: House) -> None:
    session = await house.made(Program(ends_on={}))
    with house.bus.down():
        starting = asyncio.create_task(session.start())
        await until(lambda: session.record.stage == "started")
        assert not starting.done()
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
    await house.restart(meanwhile=lambda: gone(house))
    assert await house.found().ran() is True


async def test_what_is_only_registered_in_a_paused_container_has_not_run(house: House) -> None:
    session = await house.made(Program())
    await house.containerd.runtime.tasks.pause("default", "web")
    there = await house.containerd.runtime.tasks.get("default", "web", "e1")
    assert there is not None
    assert (there.status, there.pid) == ("paused", 0)
    for stage in ("made", "starting"):
        record = structs.replace(session.record, stage=stage)
        assert has_run(record, there, []) is False
        assert has_run(record, structs.replace(there, pid=7), []) is True
    await house.restart()
    await until(lambda: house.leftovers() == [])
    assert house.sessions.find("default", "web", "e1") is None


@pytest.mark.parametrize("runs", [True, False])
async def test_a_start_of_which_containerd_did_not_tell_is_asked_for_when_it_is_back(
    house: House, monkeypatch: pytest.MonkeyPatch, runs: bool
) -> None:
    monkeypatch.setattr("bridge.stdio.awaited.RECONNECT_S", 0.01)
    session = await house.made(Program())
    tasks = house.containerd.runtime.tasks
    start, look, asked = tasks.start, tasks.get, 0

    async def lost(*key: str) -> int:
        if runs:
            await start(*key)
        raise CommandFailed("unavailable", "containerd went away")

    async def away(*key: str) -> TaskInfo | None:
        nonlocal asked
        asked += 1
        if asked < 5:
            raise CommandFailed("unavailable", "containerd is away")
        return await look(*key)

    monkeypatch.setattr(tasks, "start", lost)
    monkeypatch.setattr(tasks, "get", away)
    if runs:
        assert await session.start() == session.result().pid != 0
        await tasks.kill("default", "web", SIGKILL, exec_id="e1")
        assert (await session.ended()).exit_status == 137
    else:
        with pytest.raises(CommandFailed, match="containerd went away"):
            await session.start()
        assert (house.execs(), house.leftovers()) == ([], [])


async def test_a_start_that_nobody_can_ask_about_is_open_and_its_output_is_taken_all_the_same(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "DOUBT_S", 0.01)
    monkeypatch.setattr("bridge.stdio.awaited.RECONNECT_S", 0.01)
    session = await house.made(Program(says=b"hi", exits=0))
    tasks = house.containerd.runtime.tasks
    start, look = tasks.start, tasks.get

    async def lost(*key: str) -> int:
        await start(*key)
        raise CommandFailed("unavailable", "containerd went away")

    async def away(*_: str) -> TaskInfo | None:
        raise CommandFailed("unavailable", "containerd is away")

    monkeypatch.setattr(tasks, "start", lost)
    monkeypatch.setattr(tasks, "get", away)
    with pytest.raises(CommandFailed, match="whether it runs is open: containerd did not say so") as failed:
        await session.start()
    assert failed.value.code == "unknown"
    monkeypatch.setattr(tasks, "get", look)
    assert (await session.ended()).exit_status == 0
    assert (await house.stored(session.id))[0] == b"hi"


class Shim:
    """A start that a bridge has asked for and does not live to hear of: the process runs, its FIFOs are not open yet.

    While it is under way, nobody else gets at the exec; so does runc's shim.
    """

    def __init__(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        self._tasks = house.containerd.runtime.tasks
        self._start, self._get, self._delete = self._tasks.start, self._tasks.get, self._tasks.delete
        self._under_way = asyncio.Event()
        self._through = asyncio.Event()
        self.removals = 0
        for name in ("start", "get", "delete"):
            monkeypatch.setattr(self._tasks, name, getattr(self, name))
        monkeypatch.setattr("bridge.stdio.awaited.RECONNECT_S", 0.01)

    async def dies_over(self, session: Session) -> None:
        starting = asyncio.create_task(session.start())
        await self._under_way.wait()
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)

    async def start(self, *key: str) -> int:
        self._under_way.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def get(self, *key: str) -> TaskInfo | None:
        there = await self._get(*key)
        assert there is not None
        return there if self._through.is_set() else structs.replace(there, status="paused", pid=0)

    async def delete(self, *key: str) -> object:
        self.removals += 1
        if not self._through.is_set():
            raise CommandFailed("deadline_exceeded", "the shim does not answer")
        return await self._delete(*key)

    async def goes_on(self) -> None:
        """Open the FIFOs, which have to have their readers, and copy."""
        await self._start("default", "web", "e1")
        self._through.set()

    def gives_up(self) -> None:
        """Leave the exec as it was registered, and the process to itself."""
        self._through.set()


async def test_a_start_that_is_under_way_when_the_bridge_dies_is_waited_for(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await house.made(Program(says=b"early", complains=b"oh", ends_on={}))
    shim = Shim(house, monkeypatch)
    await shim.dies_over(session)
    await house.restart()
    before = shim.removals
    await until(
        lambda: shim.removals > before + 1
    )  # it has seen that it is not there yet, and that it cannot be removed
    assert house.found().result().stdout.truncated is None
    await shim.goes_on()
    again = house.found()
    assert await again.ran() is True
    await house.containerd.runtime.tasks.kill("default", "web", SIGKILL, exec_id="e1")
    ended = await again.ended()
    assert (ended.exit_status, ended.stdout.size, ended.stdout.truncated) == (137, 5, None)
    assert ended.stderr is not None
    assert (ended.stderr.size, ended.stderr.truncated) == (2, None)


async def test_a_start_whose_shim_may_have_given_up_on_its_fifos_is_open(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await house.made(Program(ends_on={}))
    shim = Shim(house, monkeypatch)
    await shim.dies_over(session)
    late = structs.replace(session.record, starting_at=Nanos((session.record.starting_at or 0) - int(UNREAD_S * 1e9)))
    before = 0

    def long_after() -> None:
        nonlocal before
        before = shim.removals
        Journal(house.directory / "stdio").write(late)

    await house.restart(meanwhile=long_after)
    assert await house.found().ran() is None
    assert shim.removals == before
    shim.gives_up()
    ended = await house.found().ended()
    assert (ended.exit_status, ended.stdout.truncated) == (None, "away")
    assert house.execs() == []
