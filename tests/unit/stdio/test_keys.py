"""Who may write: whoever was told the session's key. Who wrote first, and how much it was, is recorded."""

from __future__ import annotations

import hashlib
from signal import SIGKILL

import pytest
from msgspec import structs

from bridge.control.keys import with_key
from bridge.model.codec import to_builtins
from bridge.model.events import Who
from bridge.model.outcomes import ExecResult, Outcome, Ran, TaskStarted
from bridge.model.stdio import Credit, InputPiece, InputReply
from bridge.stdio import output
from bridge.stdio.session import Session
from bridge.testing import Program
from tests.unit.stdio.conftest import House, until

ANNA, BERT = Who(account="ops", user="anna"), Who(account="ops", user="bert")


async def typed(house: House, session: Session, key: str, data: bytes = b"rm -rf /\n") -> InputReply:
    piece = InputPiece(session=session.id, offset=0, data=data, key=key)
    return await house.bus.write(house.subject("stdin"), piece, timeout=90)


@pytest.mark.parametrize("key", ["", "x", "\udce9"])
async def test_who_has_not_the_key_writes_nothing(house: House, key: str) -> None:
    session = await house.run(Program(echoes=True), stdin=True)
    reply = await house.sessions._on_input(
        house.subject("stdin"), InputPiece(session=session.id, offset=0, data=b"rm -rf /\n", end=True, key=key), ANNA
    )
    assert reply.error is not None
    assert (reply.error.code, reply.accepted, reply.closed) == ("refused", 0, False)
    assert house.told == []
    assert (await typed(house, session, session.secret, b"mine")).accepted == 4
    await house.write(session, 4, b"", end=True)
    await session.ended()
    assert (await house.stored(session.id))[0] == b"mine"


async def test_who_has_not_the_key_holds_nobody_up(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "HELD", 1000)
    session = await house.made(Program(says=bytes(300_000)))
    stranger = Credit(session=session.id, owner="me", window=1)
    await house.bus.credit(house.subject("credit"), stranger)
    await session.start()
    await until(lambda: session.result().stdout.size == 300_000)


async def test_the_key_is_the_same_for_the_next_bridge_and_no_two_sessions_share_one(house: House) -> None:
    session = await house.run(Program(echoes=True), stdin=True)
    other = await house.run(Program(echoes=True), "e2", stdin=True)
    await house.restart()
    assert len(session.secret) == 32
    assert house.found().secret == session.secret != other.secret


async def test_who_wrote_and_how_much_is_told_and_never_what(house: House) -> None:
    session = await house.run(Program(echoes=True), stdin=True)

    async def write(who: Who | None, offset: int, data: bytes, *, end: bool = False) -> None:
        piece = InputPiece(session=session.id, offset=offset, data=data, end=end, key=session.secret)
        assert (await house.sessions._on_input(house.subject("stdin"), piece, who)).error is None

    await write(ANNA, 0, b"secret ")
    await write(ANNA, 7, b"secret ")
    await write(BERT, 14, b"word")
    await write(ANNA, 18, b"", end=True)
    await session.ended()
    assert [(one.phase, one.who, one.size) for one in house.told] == [
        ("started", ANNA, None),
        ("started", BERT, None),
        ("finished", None, 18),
    ]
    assert house.told[-1].sha256 == hashlib.sha256(b"secret secret word").hexdigest()
    assert {(one.session, one.command_id, one.exec_id) for one in house.told} == {(session.id, "c1", "e1")}


async def test_an_end_that_nobody_asks_for_is_told_too_and_a_sum_only_where_all_came_here(house: House) -> None:
    session = await house.run(Program(), stdin=True)
    await house.write(session, 0, b"one")
    await house.restart()
    await house.write(session, 3, b"two")
    await house.containerd.runtime.tasks.kill("default", "web", SIGKILL, exec_id="e1")
    await house.found().ended()
    assert [(one.phase, one.size, one.sha256) for one in house.told] == [
        ("started", None, None),
        ("started", None, None),
        ("finished", 6, None),
    ]


async def test_input_that_never_came_is_not_told_of(house: House) -> None:
    session = await house.run(Program(exits=0), stdin=True)
    await session.ended()
    assert house.told == []


async def test_the_key_is_put_into_every_reply_that_tells_of_a_process(house: House) -> None:
    session = await house.run(Program(), stdin=True)
    process = session.result()
    assert process.key is None

    def asked(result: object) -> object:
        outcome = Outcome(
            id="c", verb="v", node="n1", outcome="ok", namespace="default", container="web", result=result
        )
        return with_key(outcome, house.sessions).result

    keyed = structs.replace(process, key=session.secret)
    assert asked(process) == keyed
    assert asked(to_builtins(process)) == to_builtins(keyed)
    assert asked(TaskStarted(pid=1, process=process)) == TaskStarted(pid=1, process=keyed)
    ran = Ran(container="web", pid=1, process=process)
    assert asked(to_builtins(ran)) == to_builtins(structs.replace(ran, process=keyed))
    another = ExecResult(exec_id="e1", session="of another run")
    for unchanged in (another, TaskStarted(pid=1), Ran(container="web", pid=1), None, {"session": "a"}, ["x"]):
        assert asked(unchanged) == unchanged
