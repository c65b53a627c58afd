"""Sessions: every byte once and in order, through doubt, restarts and slow readers; and nothing left behind."""

from __future__ import annotations

import asyncio
import hashlib
from signal import SIGKILL

import pytest

from bridge.errors import CommandFailed, LogRefused, LogUnavailable
from bridge.model.outcomes import ExitInfo
from bridge.model.stdio import Credit, StreamEnd
from bridge.ports import SessionOrder
from bridge.stdio import fifos, output, spool
from bridge.testing import Program
from tests.unit.stdio.conftest import House, until

LINES = b"".join(b"%d\n" % n for n in range(60_000))


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def test_all_that_a_process_writes_is_stored_before_it_is_said_to_have_ended(house: House) -> None:
    session = await house.run(Program(says=LINES, complains=b"oh", exits=3))
    ended = await session.ended()
    assert (ended.exit_status, ended.running, ended.stdout.size) == (3, False, len(LINES))
    expected = StreamEnd(session=session.id, size=len(LINES), sha256=sha(LINES), exit_status=3)
    assert await house.stored(session.id) == (LINES, expected)
    data, end = await house.stored(session.id, "stderr")
    assert (data, end and end.sha256) == (b"oh", sha(b"oh"))
    assert house.leftovers() == []
    assert house.execs() == []


async def test_the_first_bytes_are_captured_where_asked_for(house: House) -> None:
    session = await house.run(Program(says=LINES, exits=0), capture=1000)
    ended = await session.ended()
    assert ended.stdout.captured == LINES[:1000]
    assert ended.stderr is not None
    assert ended.stderr.captured == b""


@pytest.mark.parametrize("stored", [True, False])
async def test_a_piece_of_which_nobody_knows_whether_it_is_stored_is_stored_once(house: House, stored: bool) -> None:
    for _ in range(3):
        house.bus.fail(LogUnavailable("the answer was lost"), stored=stored)
    session = await house.run(Program(says=LINES, exits=0))
    ended = await session.ended()
    data, end = await house.stored(session.id)
    assert data == LINES
    assert end is not None
    assert end.sha256 == ended.stdout.sha256 == sha(LINES)


async def test_what_somebody_else_came_between_is_given_again_and_stored_once(house: House) -> None:
    house.bus.largest = 7_000
    house.bus.come_between(5)
    session = await house.run(Program(says=LINES, exits=0))
    ended = await session.ended()
    assert (await house.stored(session.id))[0] == LINES
    assert ended.stdout.sha256 == sha(LINES)


async def test_output_that_went_from_the_disk_is_said_to_be_lost(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool.Spool, "read", lambda *_: b"")
    session = await house.run(Program(says=LINES, exits=0))
    ended = await session.ended()
    assert (ended.stdout.size, ended.stdout.truncated, ended.stdout.sha256) == (len(LINES), "lost", None)


async def test_a_bus_that_refuses_for_a_while_holds_the_process_up_and_nothing_is_lost(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "HELD", 100_000)
    says = LINES * 3
    with house.bus.down():
        session = await house.made(Program(says=says, exits=0))
        starting = asyncio.create_task(session.start())
        spool = house.directory / "stdio" / session.id / "stdout"
        await until(lambda: sum(path.stat().st_size for path in spool.glob("0*")) == 100_000)
        await starting
        assert session.result().stdout.size == 0
    assert (await session.ended()).stdout.sha256 == sha(says)
    assert (await house.stored(session.id))[0] == says


async def test_an_owner_who_reads_slowly_holds_the_process_up(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "HELD", 100_000)
    session = await house.run(Program(says=LINES * 3, exits=0), window=70_000)
    await until(lambda: session.result().stdout.size == 70_000)
    credit = Credit(session=session.id, key=session.secret, owner="me", stdout=30_000, window=70_000)
    await house.bus.credit(house.subject("credit"), credit)
    await until(lambda: session.result().stdout.size == 100_000)
    await asyncio.sleep(0.05)
    assert session.result().stdout.size == 100_000
    gone = Credit(session=session.id, key=session.secret, owner="me", window=0)
    await house.bus.credit(house.subject("credit"), gone)
    assert (await session.ended()).stdout.sha256 == sha(LINES * 3)


async def test_a_restart_goes_on_behind_what_is_stored(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "HELD", 50_000)
    monkeypatch.setattr(fifos, "PIPE", 65_536)
    house.bus.largest = 10_000
    session = await house.run(Program(says=LINES, exits=4), window=65_536)
    await until(lambda: session.result().stdout.size == 65_536)
    await house.restart()
    again = house.found()
    assert again.id == session.id
    ended = await again.ended()
    assert (ended.exit_status, ended.stdout.truncated) == (4, None)
    data, end = await house.stored(session.id)
    assert data == LINES
    assert end is not None
    assert end.sha256 == sha(LINES)
    assert house.leftovers() == []


async def test_restarts_at_every_moment_lose_and_repeat_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "HELD", 30_000)
    house.bus.largest = 5_000
    session = await house.run(Program(says=LINES))
    for n in range(20):
        if n % 3 == 0:
            house.bus.fail(LogUnavailable("the answer was lost"), stored=n % 2 == 0)
        size = house.found().result().stdout.size
        await until(lambda: house.found().result().stdout.size in range(size + 1, len(LINES) + 1) or size == len(LINES))  # noqa: B023
        await house.restart()
    await until(lambda: house.found().result().stdout.size == len(LINES))
    await house.containerd.runtime.tasks.kill("default", "web", SIGKILL, exec_id="e1")
    ended = await house.found().ended()
    assert (ended.stdout.sha256, ended.stdout.truncated) == (sha(LINES), None)
    assert (await house.stored(session.id))[0] == LINES


async def test_a_restart_behind_the_end_s_mark_says_what_the_mark_says(house: House) -> None:
    session = await house.made(Program(says=b"all", exits=6))
    delete, gate = house.containerd.runtime.tasks.delete, asyncio.Event()

    async def held(namespace: str, container: str, exec_id: str | None = None) -> ExitInfo:
        await gate.wait()
        return await delete(namespace, container, exec_id)

    house.containerd.runtime.tasks.delete = held  # type: ignore[method-assign]
    await session.start()
    await until(lambda: session.result().stdout.ended)
    house.containerd.runtime.tasks.delete = delete  # type: ignore[method-assign]
    await house.restart()
    ended = await house.found().ended()
    assert (ended.exit_status, ended.stdout.size) == (6, 3)
    assert (ended.stdout.sha256, ended.stdout.truncated) == (sha(b"all"), None)
    assert house.execs() == []


async def test_what_ended_while_we_were_away_is_said_to_be_perhaps_more(house: House) -> None:
    session = await house.run(Program(says=b"early"))
    await until(lambda: session.result().stdout.size == 5)

    async def die() -> None:
        await house.containerd.runtime.tasks.kill("default", "web", SIGKILL, exec_id="e1")

    await house.restart(meanwhile=die)
    ended = await house.found().ended()
    assert (ended.exit_status, ended.stdout.truncated, ended.stdout.sha256) == (137, "away", sha(b"early"))
    data, end = await house.stored(session.id)
    assert (data, end and end.truncated) == (b"early", "away")
    assert house.execs() == []


async def test_no_process_outlives_its_host_and_its_last_output_is_said_to_be_missing(house: House) -> None:
    session = await house.run(Program(says=b"early"))
    await until(lambda: session.result().stdout.size == 5)

    async def die() -> None:
        await house.containerd.runtime.tasks.kill("default", "web", SIGKILL, exec_id="e1")
        await house.containerd.runtime.tasks.delete("default", "web", "e1")

    await house.restart(boot="boot-2", meanwhile=die)
    ended = await house.found().ended()
    assert (ended.exit_status, ended.stdout.truncated) == (None, "restarted")
    assert house.sessions.statistics().truncated == {"held": 0, "away": 0, "restarted": 2, "lost": 0, "deleted": 0}


async def test_what_was_never_started_is_removed(house: House) -> None:
    await house.made(Program(exits=0))
    await house.restart()
    await until(lambda: house.execs() == [] and house.leftovers() == [])
    assert house.sessions.find("default", "web", "e1") is None


async def test_a_sha_that_nobody_can_know_is_left_out(house: House) -> None:
    house.bus.largest = 10_000
    session = await house.run(Program(says=LINES), window=65_536)
    await until(lambda: session.result().stdout.size == 65_536)

    def expire() -> None:
        house.bus.expire(1)
        for segment in (house.directory / "stdio" / session.id / "stdout").glob("0*"):
            segment.rename(segment.with_name(f"{int(segment.name) + 10_000:020d}"))

    await house.restart(meanwhile=expire)
    await house.containerd.runtime.tasks.kill("default", "web", SIGKILL, exec_id="e1")
    ended = await house.found().ended()
    assert ended.stdout.sha256 is None


async def test_one_that_ended_answers_who_asks_again_after_a_restart_too(house: House) -> None:
    session = await house.run(Program(says=b"once", exits=9))
    ended = await session.ended()
    await house.restart()
    again = await house.found().ended()
    assert (again.session, again.exit_status, again.stdout.sha256) == (ended.session, 9, sha(b"once"))
    assert again.running is False


async def test_time_that_is_up_is_up_after_a_restart_too(house: House) -> None:
    session = await house.run(Program(ends_on={}), timeout=2.0)
    await house.restart()
    ended = await house.found().ended()
    assert (ended.timed_out, ended.exit_status) == (True, 137)
    _, end = await house.stored(session.id)
    assert end is not None
    assert (end.timed_out, end.exit_status) == (True, 137)


async def test_a_program_that_cannot_be_run_leaves_nothing(house: House) -> None:
    session = await house.made(Program(broken="no such program"))
    with pytest.raises(CommandFailed) as failed:
        await session.start()
    assert failed.value.code == "unknown"
    assert house.leftovers() == []
    assert house.execs() == []
    assert list((house.directory / "stdio").iterdir()) == []


async def test_a_directory_that_others_may_write_to_is_refused(house: House) -> None:
    (house.directory / "fifo").mkdir(exist_ok=True)
    (house.directory / "fifo").chmod(0o777)
    with pytest.raises(CommandFailed) as failed:
        await house.sessions.open(SessionOrder(namespace="d", container="web", exec_id="e1", command_id="c"))
    assert "only this user can write to" in failed.value.message


async def test_a_stream_that_refuses_is_told_of_and_tried_again(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.bus.fail(LogRefused("the stream is full"))
    session = await house.run(Program(says=b"hi", exits=0))
    assert (await session.ended()).stdout.sha256 == sha(b"hi")
    assert "its output waits: the stream is full" in caplog.text


# -- input


@pytest.mark.parametrize("size", [0, 1, 200_000])
async def test_input_reaches_the_process_and_ends(house: House, size: int) -> None:
    session = await house.run(Program(echoes=True), stdin=True)
    offset, data = 0, LINES[:size]
    while offset < size:
        offset = (await house.write(session, offset, data[offset : offset + 50_000])).accepted
    reply = await house.write(session, size, b"", end=True)
    assert (reply.accepted, reply.closed, reply.error) == (size, True, None)
    assert (await session.ended()).stdout.sha256 == sha(data)


async def test_the_end_may_be_told_before_the_start(house: House) -> None:
    session = await house.made(Program(echoes=True), stdin=True)
    assert (await house.write(session, 0, b"early", end=True)).closed
    await session.start()
    async with asyncio.timeout(90):
        assert (await session.ended()).stdout.sha256 == sha(b"early")


async def test_a_piece_that_comes_twice_is_written_once(house: House) -> None:
    session = await house.run(Program(echoes=True), stdin=True)
    for _ in range(3):
        assert (await house.write(session, 0, b"once")).accepted == 4
    assert (await house.write(session, 2, b"ceand")).accepted == 7
    ahead = await house.write(session, 9, b"x")
    assert (ahead.accepted, ahead.error and ahead.error.code) == (7, "invalid_argument")
    await house.write(session, 7, b"", end=True)
    await session.ended()
    assert (await house.stored(session.id))[0] == b"onceand"


async def test_input_for_another_session_of_that_name_is_refused(house: House) -> None:
    session = await house.run(Program(echoes=True), stdin=True)
    other = await house.run(Program(echoes=True), "e2", stdin=True)
    reply = await house.write(session, 0, b"x", exec_id="e2")
    assert reply.error is not None
    assert reply.error.code == "not_found"
    for one, name in ((session, "e1"), (other, "e2")):
        await house.write(one, 0, b"", end=True, exec_id=name)
        await one.ended()


async def test_input_goes_on_after_a_restart(house: House) -> None:
    session = await house.run(Program(echoes=True), stdin=True)
    await house.write(session, 0, b"before ")
    await house.restart()
    assert (await house.write(house.found(), 0, b"before after", end=True)).accepted == 12
    await house.found().ended()
    assert (await house.stored(session.id))[0] == b"before after"


async def test_an_end_that_was_asked_for_is_told_after_a_restart(house: House) -> None:
    session = await house.run(Program(echoes=True), stdin=True)
    close = house.containerd.runtime.tasks.close_stdin

    async def fail(namespace: str, container: str, exec_id: str | None) -> None:
        raise CommandFailed("unavailable", f"containerd is away, and {exec_id} of {container} in {namespace} is not")

    house.containerd.runtime.tasks.close_stdin = fail  # type: ignore[method-assign]
    await house.write(session, 0, b"x", end=True)
    house.containerd.runtime.tasks.close_stdin = close  # type: ignore[method-assign]
    await house.restart()
    async with asyncio.timeout(90):
        assert (await house.found().ended()).exit_status == 0


async def test_an_end_waits_for_a_containerd_that_is_away_however_long(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.stdio.input.CLOSE_S", 0.0)
    monkeypatch.setattr("bridge.stdio.input.CLOSE_PAUSE_S", 0.0)
    session = await house.run(Program(echoes=True), stdin=True)
    close, away = house.containerd.runtime.tasks.close_stdin, iter(range(20))

    async def fail(namespace: str, container: str, exec_id: str | None) -> None:
        if next(away, None) is not None:
            raise CommandFailed("unavailable", "containerd is away")
        await close(namespace, container, exec_id)

    monkeypatch.setattr(house.containerd.runtime.tasks, "close_stdin", fail)
    await house.write(session, 0, b"x", end=True)
    async with asyncio.timeout(90):
        assert (await session.ended()).exit_status == 0


async def test_a_write_that_was_cut_off_half_way_is_not_done_again(house: House) -> None:
    session = await house.run(Program(echoes=True), stdin=True)
    await house.write(session, 0, b"sure")

    def cut_off() -> None:
        note = house.directory / "stdio" / session.id / "stdin"
        note.write_bytes((4).to_bytes(8, "little") + (10).to_bytes(8, "little"))

    await house.restart(meanwhile=cut_off)
    reply = await house.write(house.found(), 4, b"perhaps")
    assert reply.error is not None
    assert reply.error.code == "unknown"
    assert (await house.write(house.found(), 4, b"", end=True)).closed
    assert (await house.found().ended()).exit_status == 0


# -- figures


async def test_the_sessions_in_numbers(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "HELD", 100_000)
    nothing = {"stdin": 0, "stdout": 0, "stderr": 0}
    whole = {"held": 0, "away": 0, "restarted": 0, "lost": 0, "deleted": 0}
    assert house.sessions.statistics() == (0, 0, 0, nothing, whole)
    session = await house.run(Program(says=LINES * 3, exits=0), window=70_000, stdin=True)
    await until(lambda: house.sessions.statistics() == (1, 1, 100_000, nothing | {"stdout": 70_000}, whole))
    await house.write(session, 0, b"12345")
    await house.bus.credit(house.subject("credit"), Credit(session=session.id, owner="me", window=0))
    await session.ended()
    size = len(LINES) * 3
    assert house.sessions.statistics() == (0, 0, 0, {"stdin": 5, "stdout": size, "stderr": 0}, whole)
