"""The contract of `CommandInbox` and `CommandSender`, each held against the other."""

import asyncio

import pytest

from bridge.errors import CommandFailed
from bridge.model.codec import decode_as, encode_any
from bridge.model.events import Failure
from bridge.model.nanos import Nanos
from bridge.model.outcomes import ContainerInfo, ContainerList, Outcome, TaskInfo
from bridge.model.subjects import CommandSubject, Subjects
from bridge.ports import CommandRequest, NodePresence
from tests.contract.buses import Bus, Gate, done, succeed


def failure(outcome: Outcome) -> Failure:
    assert outcome.error is not None
    return outcome.error


# -- there and back


async def test_a_command_arrives_as_it_was_sent(bus: Bus) -> None:
    gate = Gate()
    gate.open.set()
    async with bus.serving(gate.handle):
        await bus.send("pause", b'{"id":"mine-1"}')
    (request,) = gate.came
    assert request.subject == CommandSubject("web1", "k8s.io", "web.1", "pause")
    assert request.body == b'{"id":"mine-1"}'


@pytest.mark.parametrize("body", [b"", b"\x00\xff garbage", b"x" * 100_000])
async def test_nobody_looks_at_a_body_on_the_way(bus: Bus, body: bytes) -> None:
    gate = Gate()
    gate.open.set()
    async with bus.serving(gate.handle):
        await bus.send("pause", body)
    assert gate.came[0].body == body


async def test_a_command_may_be_for_no_container_and_no_namespace(bus: Bus) -> None:
    came: list[CommandRequest] = []

    async def handle(request: CommandRequest) -> Outcome:
        came.append(request)
        return done(request, result=ContainerList(containers=[]))

    async with bus.serving(handle):
        await bus.sender.send(Subjects().command("web1", None, None, "list"), b"", timeout=90)
    assert came[0].subject == CommandSubject("web1", None, None, "list")


async def test_an_outcome_comes_back_whole(bus: Bus) -> None:
    sent: list[Outcome] = []

    async def handle(request: CommandRequest) -> Outcome:
        task = TaskInfo(status="stopped", pid=7, exit_status=3, exited_at=Nanos(1_795_470_228_000_000_001))
        info = ContainerInfo(namespace="k8s.io", id="web.1", labels={"a": "b"}, task=task)
        moment = Nanos(5)
        result = ContainerList(containers=[info])
        sent.append(done(request, id="mine-1", result=result, received_at=moment, finished_at=moment))
        return sent[0]

    async with bus.serving(handle):
        outcome = await bus.send("list")
    result = decode_as(encode_any(outcome.result), ContainerList)
    assert result == sent[0].result
    assert encode_any(outcome) == encode_any(sent[0])


@pytest.mark.parametrize("word", ["error", "refused", "stale", "unknown"])
async def test_a_failure_is_an_outcome_like_others(bus: Bus, word: str) -> None:
    error = Failure(code="failed_precondition", message="container web.1 is „paused“\nnow", containerd="words")

    async def handle(request: CommandRequest) -> Outcome:
        return done(request, outcome=word, result=None, error=error)

    async with bus.serving(handle):
        outcome = await bus.send("pause")
    assert (outcome.outcome, outcome.error, outcome.result) == (word, error, None)


# -- what does not come to the handler


async def test_a_verb_that_is_not_taken_is_unimplemented(bus: Bus) -> None:
    async with bus.serving(succeed):
        outcome = await bus.send("exec", b'{"id":"mine-1"}')
    assert (outcome.outcome, outcome.verb, outcome.id) == ("error", "exec", "mine-1")
    assert failure(outcome).code == "unimplemented"
    assert "list, pause, resume, stop" in failure(outcome).message


@pytest.mark.parametrize("subject", ["containerd.commands.web1.k8s=2eio.x.pause", "containerd.commands.web1.a.=.pause"])
async def test_a_subject_that_is_none_is_an_invalid_argument(bus: Bus, subject: str) -> None:
    async with bus.serving(succeed):
        outcome = await bus.sender.send(subject, b'{"id":"mine-1"}', timeout=90)
    assert (outcome.outcome, outcome.id, outcome.node) == ("error", "mine-1", "web1")
    assert failure(outcome).code == "invalid_argument"


async def test_a_handler_that_breaks_its_promise_gives_an_internal_error(bus: Bus) -> None:
    async def handle(request: CommandRequest) -> Outcome:
        raise KeyError(request.subject.verb)

    async with bus.serving(handle):
        outcome = await bus.send("pause")
    assert (outcome.outcome, failure(outcome).code) == ("error", "internal")


async def test_too_many_at_the_same_time_are_exhausted(bus: Bus) -> None:
    gate = Gate()
    async with bus.serving(gate.handle, under_way=3), asyncio.TaskGroup() as group:
        waiting = [group.create_task(bus.send("pause")) for _ in range(3)]
        await gate.until(3)
        outcome = await bus.send("pause", b'{"id":"mine-1"}')
        assert (failure(outcome).code, outcome.id) == ("exhausted", "mine-1")
        gate.open.set()
        assert [(await one).outcome for one in waiting] == ["ok"] * 3
        assert (await bus.send("pause")).outcome == "ok"


async def test_what_nobody_takes_is_unavailable(bus: Bus) -> None:
    async with bus.serving(succeed):
        with pytest.raises(CommandFailed) as failed:
            await bus.send("pause", node="web2")
    assert failed.value.code == "unavailable"


# -- several at once


async def test_a_slow_command_holds_up_no_other(bus: Bus) -> None:
    gate = Gate()

    async def handle(request: CommandRequest) -> Outcome:
        return await (gate.handle if request.subject.verb == "stop" else succeed)(request)

    async with bus.serving(handle):
        slow = asyncio.ensure_future(bus.send("stop"))
        await gate.until(1)
        assert (await bus.send("pause")).outcome == "ok"
        assert not slow.done()
        gate.open.set()
        assert (await slow).outcome == "ok"


async def test_commands_come_in_the_order_in_which_they_were_sent(bus: Bus) -> None:
    gate = Gate()
    async with bus.serving(gate.handle), asyncio.TaskGroup() as group:
        for number in range(50):
            group.create_task(bus.send(("pause", "resume", "stop")[number % 3], str(number).encode()))
        await gate.until(50)
        assert [int(request.body) for request in gate.came] == list(range(50))
        gate.open.set()


async def test_each_sender_gets_the_outcome_of_its_own(bus: Bus) -> None:
    async def handle(request: CommandRequest) -> Outcome:
        return done(request, id=f"c{request.body.decode()}")

    async with bus.serving(handle):
        outcomes = await asyncio.gather(*[bus.send("pause", str(number).encode()) for number in range(50)])
    assert [outcome.id for outcome in outcomes] == [f"c{number}" for number in range(50)]


async def test_each_node_takes_its_own(bus: Bus) -> None:
    async with bus.serving(succeed, "web1"), bus.serving(succeed, "web.2"):
        assert (await bus.send("pause", node="web1")).node == "web1"
        assert (await bus.send("pause", node="web.2")).node == "web.2"


# -- giving up, and the end


async def test_giving_up_waiting_leaves_the_effect_open_and_the_command_goes_on(bus: Bus) -> None:
    gate = Gate()
    async with bus.serving(gate.handle):
        with pytest.raises(CommandFailed) as failed:
            await bus.send("pause", timeout=0.2)
        assert failed.value.code == "deadline_exceeded"
        await gate.until(1)
        gate.open.set()
    assert (gate.left, gate.interrupted) == (1, 0)


async def test_at_the_end_those_under_way_finish(bus: Bus) -> None:
    gate = Gate()
    async with bus.serving(gate.handle):
        sent = asyncio.ensure_future(bus.send("pause"))
        await gate.until(1)
        asyncio.get_running_loop().call_later(0.1, gate.open.set)
    assert (await sent).outcome == "ok"


async def test_what_does_not_finish_in_time_is_interrupted_and_unknown(bus: Bus) -> None:
    gate = Gate()
    async with bus.serving(gate.handle, finish=0.05):
        sent = asyncio.ensure_future(bus.send("pause", b'{"id":"mine-1"}'))
        await gate.until(1)
    outcome = await sent
    assert (outcome.outcome, outcome.id, failure(outcome).code) == ("unknown", "mine-1", "unknown")
    assert gate.interrupted == 1


async def test_after_the_end_nobody_takes_commands(bus: Bus) -> None:
    async with bus.serving(succeed):
        pass
    with pytest.raises(CommandFailed) as failed:
        await bus.send("pause")
    assert failed.value.code == "unavailable"


async def test_an_inbox_can_be_opened_again(bus: Bus) -> None:
    for _ in range(2):
        async with bus.serving(succeed):
            assert (await bus.send("pause")).outcome == "ok"


# -- who is there


async def test_without_nodes_there_is_nobody(bus: Bus) -> None:
    assert list(await bus.sender.nodes(wait=0.2)) == []


async def test_nodes_are_told_by_name_with_version_and_groups(bus: Bus) -> None:
    async with (
        bus.serving(succeed, "web.2", version="0.2.0", groups=["observe"]),
        bus.serving(succeed, "web1", version="0.1.0", groups=["observe", "lifecycle"]),
    ):
        async with asyncio.timeout(90):
            while len(found := await bus.sender.nodes(wait=0.2)) < 2:
                pass
    assert list(found) == [
        NodePresence(node="web.2", version="0.2.0", groups=["observe"]),
        NodePresence(node="web1", version="0.1.0", groups=["observe", "lifecycle"]),
    ]


async def test_a_node_that_has_left_is_not_told(bus: Bus) -> None:
    async with bus.serving(succeed):
        pass
    assert list(await bus.sender.nodes(wait=0.2)) == []
