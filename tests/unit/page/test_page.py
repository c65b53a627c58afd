"""What the page tells of a bus, and what it does there: over the whole bridge in memory."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bridge.client import Nanos
from bridge.rehearsal import Stage, rehearse
from bridge.testing import Program
from tests.unit.page.served import BEARER, Served, served, stream

WEB = "containers/n1/default/web"


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with rehearse("n1", "n2") as found:
        await found.containerd("n1").run("default", "web", labels={"app": "web"})
        await found.containerd("n2").run("shop", "db", Program())
        await found.settled()
        yield found


@pytest.fixture
async def there(stage: Stage) -> AsyncIterator[Served]:
    async with served(stage.bus) as found:
        yield found


def is_web(status: str) -> Any:
    return lambda row: row["id"] == "web" and row["status"] == status


async def test_a_browser_gets_every_container_of_every_node(there: Served) -> None:
    async with stream(there) as messages:
        kind, everything = await messages.next()
    assert kind == "snapshot"
    assert [(row["key"], row["status"]) for row in everything["rows"]] == [
        ("n1/default/web", "running"),
        ("n2/shop/db", "running"),
    ]
    assert everything["rows"][0]["labels"] == {"app": "web"}
    assert everything["trouble"] is None


async def test_what_changes_comes_by_itself(there: Served, stage: Stage) -> None:
    async with stream(there) as messages:
        await messages.next()
        stage.containerd("n1").end("default", "web", 3)
        row = await messages.until("rows", is_web("stopped"))
        assert row["exit_status"] == 3


async def test_events_come_as_they_happen_and_say_what_matters(there: Served, stage: Stage) -> None:
    async with stream(there) as messages:
        await messages.next()
        stage.containerd("n1").end("default", "web", 137)
        event = await messages.until("events", lambda event: event["word"] == "exit")
    assert event["text"] == "exit status 137 (SIGKILL)"
    assert (event["key"], event["tone"]) == ("n1/default/web", "bad")


async def test_nodes_come_with_what_they_take(there: Served) -> None:
    async with stream(there) as messages:
        nodes: list[Any] = []
        while not nodes:
            _, message = await messages.next()
            nodes = message.get("nodes", [])
    assert [(node["node"], node["condition"]) for node in nodes] == [("n1", "live"), ("n2", "live")]
    assert "lifecycle" in nodes[0]["groups"]


async def test_a_gap_of_a_node_is_told(stage: Stage) -> None:
    with stage.containerd("n1").down():
        pass
    await stage.settled()
    async with served(stage.bus) as there, stream(there) as messages:
        gaps: list[Any] = []
        while not gaps:
            _, message = await messages.next()
            gaps = next((node["gaps"] for node in message.get("nodes", []) if node["node"] == "n1"), [])
    assert gaps[-1]["reason"]


async def test_one_that_comes_back_gets_what_it_missed_and_nothing_twice(there: Served, stage: Stage) -> None:
    async with stream(there) as messages:
        await messages.next()
        last = messages.last
    stage.containerd("n1").end("default", "web", 0)
    async with stream(there, last) as messages:
        kind, _ = await messages.next()
        assert kind == "change"


async def test_only_what_was_chosen_is_shown(stage: Stage) -> None:
    async with served(stage.bus, namespaces=["shop"]) as there:
        async with stream(there) as messages:
            _, everything = await messages.next()
        answer = await there.client.get(f"/api/{WEB}/history", headers=BEARER)
    assert [row["id"] for row in everything["rows"]] == ["db"]
    assert answer.status_code == 400
    assert "does not show 'default'" in answer.json()["error"]


async def test_a_log_that_does_not_answer_is_told_and_tried_again(stage: Stage) -> None:
    async with served(stage.bus) as there:
        with stage.log.down():
            async with stream(there) as messages:
                _, message = await messages.next()
                while not message.get("trouble"):
                    _, message = await messages.next()
                assert "does not answer" in message["trouble"]
            assert (await there.client.get("/readyz")).status_code == 503
        async with stream(there) as messages:
            _, message = await messages.next()
            while message.get("trouble", "") is not None:
                _, message = await messages.next()


# -- what was


async def test_a_life_is_told_with_what_came_of_each_event(there: Served, stage: Stage) -> None:
    stage.containerd("n1").end("default", "web", 1)
    await stage.settled()
    told = await there.get(f"{WEB}/history")
    steps = [(step["event"]["word"], step.get("status")) for step in told["steps"]]
    assert ("start", "running") in steps
    assert steps[-1] == ("exit", "stopped")
    assert told["earlier"] == 0


async def test_the_state_at_an_event_and_at_a_time_is_what_it_was(there: Served, stage: Stage) -> None:
    stage.containerd("n1").end("default", "web", 1)
    await stage.settled()
    steps = (await there.get(f"{WEB}/history"))["steps"]
    start = next(step["event"] for step in steps if step["event"]["word"] == "start")
    assert (await there.get(f"{WEB}/state", at=start["n"]))["row"]["status"] == "running"
    assert (await there.get(f"{WEB}/state", at="0s"))["row"]["status"] == "stopped"
    before = (await there.get("extent"))["first"] - 1000
    at = str(Nanos(before * 1_000_000))
    assert (await there.get(f"{WEB}/state", at=at))["row"] is None


async def test_what_ran_at_a_point_is_folded_for_all(there: Served, stage: Stage) -> None:
    end = await stage.bus.end()
    stage.containerd("n1").end("default", "web", 1)
    await stage.settled()
    rows = (await there.get("states", at=end))["rows"]
    assert [(row["id"], row["status"]) for row in rows] == [("web", "running"), ("db", "running")]


@pytest.mark.parametrize(("path", "at"), [(f"{WEB}/state", "yesterday-ish"), ("states", ""), ("states", "NaN")])
async def test_what_is_no_point_is_told(there: Served, path: str, at: str) -> None:
    answer = await there.client.get(f"/api/{path}", params={"at": at}, headers=BEARER)
    assert answer.status_code == 400
    assert answer.json()["error"]


# -- commands


async def test_what_makes_sense_is_offered_where_the_node_allows_it(there: Served, stage: Stage) -> None:
    choices = (await there.post(f"{WEB}/actions"))["choices"]
    assert {choice["verb"]: choice["allowed"] for choice in choices} == dict.fromkeys(
        ["pause", "stop", "restart", "kill", "delete", "exec"], True
    )
    await stage.settled()
    words = [step["event"]["word"] for step in (await there.get(f"{WEB}/history"))["steps"]]
    assert "command" not in words  # that it was asked is no news
    assert (await there.get(f"{WEB}/state", at="0s"))["row"]["status"] == "running"


async def test_what_a_node_does_not_take_is_not_offered() -> None:
    async with rehearse("n1", commands="observe,lifecycle") as stage:
        await stage.containerd("n1").run("default", "web")
        await stage.settled()
        async with served(stage.bus) as there:
            choices = {choice["verb"]: choice for choice in (await there.post(f"{WEB}/actions"))["choices"]}
    assert choices["pause"]["allowed"]
    assert not choices["exec"]["allowed"]
    assert choices["exec"]["reason"] == "node n1 takes no exec commands"


async def test_a_command_takes_effect(there: Served, stage: Stage) -> None:
    assert (await there.post(f"{WEB}/actions/pause", {"id": "one"}))["code"] == "ok"
    await stage.settled()
    assert (await (await stage.bus.container("web")).state()).status == "paused"


async def test_a_command_that_is_sent_twice_takes_effect_once(there: Served, stage: Stage) -> None:
    body = {"id": "twice"}
    results = [await there.post(f"{WEB}/actions/restart", body) for _ in range(2)]
    await stage.settled()
    assert [result["code"] for result in results] == ["ok", "ok"]
    assert (await (await stage.bus.container("web")).state()).incarnations == 2


async def test_a_command_for_a_life_that_is_over_is_refused(there: Served, stage: Stage) -> None:
    seen = (await (await stage.bus.container("web")).state()).incarnation
    await there.post(f"{WEB}/actions/restart", {"id": "one"})
    await stage.settled()
    ending = await there.post(f"{WEB}/actions/kill", {"id": "two", "incarnation": seen})
    assert ending["code"] == "failed_precondition"
    assert ending["message"]


@pytest.mark.parametrize(
    ("path", "body", "sentence"),
    [
        (f"{WEB}/actions/dance", {"id": "x"}, "there is no action 'dance'"),
        (f"{WEB}/actions/kill", {"id": "x", "signal": "SIGNONE"}, "SIGNONE"),
        (f"{WEB}/actions/kill", {}, "id"),
        (f"{WEB}/actions/kill", {"id": "x", "sudo": True}, "sudo"),
        (f"{WEB}/exec", {"id": "x", "command": "  "}, "there is no command"),
        (f"{WEB}/exec", {"id": "x", "command": "sh -c 'x"}, "no closing quotation"),
        (f"{WEB}/exec", {"id": "x", "command": "x" * 70_000}, "more than 65536 bytes"),
    ],
)
async def test_what_makes_no_sense_is_told(there: Served, path: str, body: Any, sentence: str) -> None:
    answer = await there.client.post(f"/api/{path}", json=body, headers=BEARER)
    assert answer.status_code == 400
    assert sentence in answer.json()["error"]


async def run(there: Served, command: str) -> list[Any]:
    body = {"id": "run-1", "command": command}
    async with there.client.stream("POST", f"/api/{WEB}/exec", json=body, headers=BEARER) as answer:
        return [json.loads(line) async for line in answer.aiter_lines()]


async def test_the_output_of_a_command_comes_with_its_end(there: Served, stage: Stage) -> None:
    stage.containerd("n1").programs["sh"] = Program(says="grüße\n".encode(), complains=b"\xffoh\n", exits=3)
    lines = await run(there, "sh -c 'exit 3'")
    assert "started" in lines[0]
    assert lines[-1] == {"ended": 3, "truncated": False}
    said = {"stdout": "", "stderr": ""}
    for line in lines[1:-1]:
        said[line["stream"]] += line["text"]
    assert said == {"stdout": "grüße\n", "stderr": "\N{REPLACEMENT CHARACTER}oh\n"}


async def test_a_command_that_cannot_run_is_told(there: Served, stage: Stage) -> None:
    stage.containerd("n1").end("default", "web", 0)
    await stage.settled()
    (line,) = await run(there, "true")
    assert line["code"] == "failed_precondition"
    assert line["error"]


async def test_the_end_of_what_has_ended_is_told(there: Served) -> None:
    answer = await there.client.delete("/api/executions/none", headers=BEARER)
    assert (answer.status_code, answer.json()["code"]) == (409, "not_found")
