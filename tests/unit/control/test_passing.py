"""Who kills a container passes a command that only waits for its end, and overtakes nobody else by that."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.control.lanes import Lane, Lanes
from bridge.model.nanos import Nanos
from bridge.model.outcomes import Deleted, ExitInfo
from tests.unit.control.small_runtime import KILL, SmallTask
from tests.unit.control.test_dispatch import TERM, Asked
from tests.unit.control.turns import settle

ENDLESS = 86_400


class Waiting:
    """Commands for one container, in a lane of their own, and what has come in so far."""

    def __init__(self) -> None:
        self.lane = Lane("container web.1", waiting=99)
        self.inside: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def add(self, name: str, *, rests: bool = False, **how: Any) -> None:
        gate = self.gates[name] = asyncio.Event()

        async def command() -> None:
            async with self.lane.turn(**how) as rest:
                self.inside.append(name)
                if rests:
                    async with rest():
                        await gate.wait()
                    self.inside.append(f"{name} goes on")
                else:
                    await gate.wait()

        self.tasks[name] = asyncio.create_task(command())
        await settle()

    async def end(self, name: str) -> None:
        self.gates[name].set()
        await settle()


async def test_who_passes_is_let_in_beside_whoever_rests_one_at_a_time() -> None:
    there = Waiting()
    await there.add("stop", rests=True)
    await there.add("kill", passes=True)
    await there.add("kill again", passes=True)
    assert there.inside == ["stop", "kill"]
    await there.end("kill")
    assert there.inside[2:] == ["kill again"]
    await there.end("kill again")
    await there.end("stop")
    assert there.inside[3:] == ["stop goes on"]
    assert there.lane.idle


async def test_nobody_is_overtaken_but_who_may_be() -> None:
    there = Waiting()
    await there.add("stop", rests=True)
    await there.add("stop again", passable=True)
    await there.add("kill", passes=True)
    await there.add("start")
    await there.add("late kill", passes=True)
    assert there.inside == ["stop", "kill"]
    for name in ("kill", "stop", "stop again", "start", "late kill"):
        await there.end(name)
    assert there.inside == ["stop", "kill", "stop goes on", "stop again", "start", "late kill"]


async def test_nobody_passes_who_works() -> None:
    there = Waiting()
    await there.add("delete")
    await there.add("kill", passes=True)
    assert there.inside == ["delete"]
    await there.end("delete")
    await there.end("kill")


async def test_whoever_rested_goes_on_alone() -> None:
    there = Waiting()
    await there.add("restart", rests=True)
    await there.add("kill", passes=True)
    await there.end("restart")
    assert there.inside == ["restart", "kill"]  # its rest is over, and not yet its waiting
    await there.add("late kill", passes=True)
    assert there.inside == ["restart", "kill"]
    await there.end("kill")
    assert there.inside[2:] == ["restart goes on", "late kill"]
    await there.end("late kill")


async def test_who_passes_is_alone_to_its_end_though_whoever_rested_gives_up() -> None:
    there = Waiting()
    await there.add("stop", rests=True)
    await there.add("kill", passes=True)
    await there.add("start")
    there.tasks["stop"].cancel()
    await settle()
    there.tasks["stop"].cancel()  # while it waits to be alone
    await settle()
    assert there.inside == ["stop", "kill"]
    await there.end("kill")
    assert there.inside == ["stop", "kill", "start"]
    await there.end("start")
    assert there.lane.idle


async def test_who_gives_up_waiting_holds_back_nobody_who_passes() -> None:
    there = Waiting()
    await there.add("stop", rests=True)
    await there.add("start")
    await there.add("kill", passes=True)
    there.tasks["start"].cancel()
    await settle()
    assert there.inside == ["stop", "kill"]
    await there.end("kill")
    await there.end("stop")


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(["stop", "kill", "start"]), max_size=12))
def test_those_that_neither_pass_nor_may_be_passed_keep_their_place(kinds: list[str]) -> None:
    async def scenario() -> None:
        lanes = Lanes(waiting_per_lane=40)
        began: list[int] = []
        working = 0

        async def command(number: int, kind: str) -> None:
            nonlocal working
            turn = lanes.turn("default", "web.1", passes=kind == "kill", passable=kind == "stop")
            async with turn as rest:
                began.append(number)
                if kind == "stop":
                    async with rest():
                        for _ in range(3):
                            await asyncio.sleep(0)
                assert working == 0
                working += 1
                await asyncio.sleep(0)
                working -= 1

        await asyncio.gather(*(command(number, kind) for number, kind in enumerate(kinds)))
        assert sorted(began) == list(range(len(kinds)))
        for at, number in enumerate(began):
            overtaken = [before for before in range(number) if before in began[at:]]
            assert not overtaken or (kinds[number] == "kill" and {kinds[before] for before in overtaken} == {"stop"})

    asyncio.run(scenario())


# -- the verbs


@pytest.fixture
def ask() -> Asked:
    return Asked()


async def stopping(ask: Asked, verb: str = "stop") -> asyncio.Task[Any]:
    """Begin to end a container that does not end of itself."""
    ask.runtime.add(task=SmallTask("running", ignores={TERM}))
    slow = asyncio.create_task(ask(verb, grace=ENDLESS))
    await settle()
    assert f"kill {TERM}" in ask.runtime.calls
    return slow


async def test_a_kill_ends_a_container_that_a_stop_waits_for_and_the_stop_is_ok(ask: Asked) -> None:
    slow = await stopping(ask)
    async with asyncio.timeout(90):
        assert (await ask("kill", signal="KILL")).outcome == "ok"
        outcome = await slow
    assert (outcome.outcome, outcome.result) == (
        "ok",
        ExitInfo(exit_status=128 + KILL, exited_at=Nanos(5), killed=False),
    )


async def test_a_deletion_with_force_passes_and_one_without_does_not(ask: Asked) -> None:
    slow = await stopping(ask)
    patient = asyncio.create_task(ask("delete"))
    await settle()
    assert not patient.done()
    patient.cancel()
    await asyncio.gather(patient, return_exceptions=True)
    async with asyncio.timeout(90):
        deleted = await ask("delete", force=True)
        assert (deleted.outcome, type(deleted.result)) == ("ok", Deleted)
        assert (await slow).outcome == "ok"
    assert not ask.runtime.records


async def test_a_restart_that_is_passed_by_a_kill_runs_the_new_task(ask: Asked) -> None:
    slow = await stopping(ask, "restart")
    async with asyncio.timeout(90):
        assert (await ask("kill", signal="KILL")).outcome == "ok"
        assert (await slow).outcome == "ok"
    assert ask.runtime.status() == "running"


async def test_a_restart_whose_container_was_deleted_meanwhile_says_so(ask: Asked) -> None:
    slow = await stopping(ask, "restart")
    async with asyncio.timeout(90):
        assert (await ask("delete", force=True)).outcome == "ok"
        outcome = await slow
    assert (outcome.outcome, outcome.error.code) == ("error", "not_found")
    assert "create" not in [call.split()[0] for call in ask.runtime.calls]


async def test_a_kill_behind_a_start_waits_for_its_turn(ask: Asked) -> None:
    slow = await stopping(ask)
    starting = asyncio.create_task(ask("start"))
    await settle()
    killing = asyncio.create_task(ask("kill", signal="KILL"))
    await settle()
    assert not killing.done()
    ask.runtime.made["default", "web.1"].end(0)
    assert [(await one).outcome for one in (slow, starting, killing)] == ["ok", "ok", "ok"]
    assert ask.runtime.status() == "stopped"


async def test_after_its_grace_a_stop_lets_nobody_pass(ask: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    ask.runtime.add(task=SmallTask("running", ignores={TERM, KILL}))
    monkeypatch.setattr("bridge.control.lifecycle.KILLED_WITHIN_S", ENDLESS)
    slow = asyncio.create_task(ask("stop", grace=0))
    await settle()
    killing = asyncio.create_task(ask("kill", signal="KILL"))
    await settle()
    assert not killing.done()
    ask.runtime.made["default", "web.1"].end(137)
    assert (await slow).result.killed
    await killing


@pytest.mark.parametrize("verb", ["inspect", "wait", "list"])
async def test_looking_and_waiting_wait_for_no_stop(ask: Asked, verb: str) -> None:
    slow = await stopping(ask)
    options: dict[str, Any] = {"timeout": 0} if verb == "wait" else {}
    async with asyncio.timeout(90):
        assert (await ask(verb, None if verb == "list" else "web.1", **options)).outcome == "ok"
    assert not slow.done()
    ask.runtime.made["default", "web.1"].end(0)
    await slow
