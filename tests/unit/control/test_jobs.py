"""The worker: jobs through the dispatcher, out of their stream only when everybody can see what came of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bridge.control.dispatch import Dispatcher
from bridge.control.jobs import ATTEMPTS, Worker
from bridge.control.memory import MemoryJournal
from bridge.control.policy import Policy
from bridge.control.record import CommandRecord
from bridge.control.telling import Teller
from bridge.model.commands import GROUPS
from bridge.model.events import Failure
from bridge.model.outcomes import CommandState, Outcome
from bridge.model.subjects import CommandSubject, Subjects
from bridge.policy import NO_RULES, RuleBook
from bridge.ports import JournalRow
from bridge.testing import MemoryCommands, MemoryJobs
from tests.unit.control.small_runtime import SmallRuntime, SmallTask
from tests.unit.control.turns import settle, until

TERM = 15
SUBJECTS = Subjects()


class Node:
    def __init__(self) -> None:
        self.runtime = SmallRuntime()
        self.jobs = MemoryJobs()
        self.journal = MemoryJournal()
        self.states = MemoryCommands()
        self.held = True
        self.policy = Policy(groups=GROUPS)

    @asynccontextmanager
    async def running(self, journal: MemoryJournal | None = None, **bounds: int) -> AsyncIterator[Dispatcher]:
        journal = journal or self.journal
        teller = Teller(self.states, node="web1", written=journal.told, allowed=lambda: self.held, moment_s=0.001)
        dispatcher = Dispatcher(
            "web1",
            self.runtime,
            policy=self.policy,
            record=CommandRecord(lambda *_: None),
            journal=journal,
            standing=teller.tell,
            bus=teller,
            allowed=lambda: self.held,
        )
        source = self.jobs.source("web1")
        worker = Worker(
            source, dispatcher.carry_out, node="web1", subjects=SUBJECTS, journal=journal, teller=teller, **bounds
        )
        await dispatcher.recover()
        tasks = [asyncio.create_task(teller.run()), asyncio.create_task(worker.run())]
        try:
            yield dispatcher
        finally:
            tasks[1].cancel()
            await dispatcher.stop(within=0.01)
            async with asyncio.timeout(90):
                await worker.finish()
            tasks[0].cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def send(self, verb: str, name: str, *, container: str = "web.1", body: bytes = b"", **more: Any) -> None:
        subject = SUBJECTS.job(SUBJECTS.command("web1", "default", container, verb))
        body = body or f'{{"id":"{name}"}}'.encode()
        await self.jobs.submit(subject, body, command_id=name, name=f"web1.{name}", **more)

    async def outcome(self, name: str) -> Outcome:
        return await self.states.wait(name, "web1", timeout=90)

    async def until(self, count: int) -> None:
        await until(lambda: len(self.jobs.jobs) == count)


async def test_a_job_leaves_its_stream_when_its_outcome_is_on_disk_and_told() -> None:
    node = Node()
    node.runtime.add(task=SmallTask("running"))
    async with node.running():
        await node.send("pause", "a-1")
        await node.until(0)
    assert node.states.history == [("a-1", "started"), ("a-1", "finished")]
    row = node.journal.rows["a-1"]
    assert row.outcome is not None
    assert row.outcome.outcome == "ok"


async def test_without_the_bucket_it_neither_begins_nor_ends() -> None:
    node = Node()
    node.runtime.add(task=SmallTask("running"))
    async with node.running():
        with node.states.down():
            await node.send("pause", "a-1")
            await settle()
            assert node.runtime.status() == "running"
        await node.until(0)
    assert node.runtime.status() == "paused"


async def test_it_stays_in_its_stream_until_its_outcome_is_told() -> None:
    node = Node()
    node.runtime.add(task=SmallTask("running"))
    node.runtime.gates["pause"] = gate = asyncio.Event()
    async with node.running():
        await node.send("pause", "a-1")
        await until(lambda: "pause" in node.runtime.calls)
        with node.states.down():
            gate.set()
            await until(lambda: node.journal.rows["a-1"].outcome is not None)
            await settle()
            assert len(node.jobs.jobs) == 1
        await node.until(0)


async def test_without_the_lease_nothing_begins() -> None:
    node = Node()
    node.runtime.add(task=SmallTask("running"))
    node.held = False
    async with node.running():
        await node.send("pause", "a-1")
        await settle()
        assert "pause" not in node.runtime.calls
        node.held = True
        await node.until(0)
    assert node.runtime.status() == "paused"


async def test_a_job_that_is_delivered_twice_at_the_same_time_is_one() -> None:
    node = Node()
    node.runtime.add(task=SmallTask("running"))
    node.runtime.gates["pause"] = gate = asyncio.Event()
    async with node.running():
        await node.send("pause", "a-1")
        await until(lambda: "pause" in node.runtime.calls)
        node.jobs.disturb()
        await asyncio.sleep(0)
        gate.set()
        await node.until(0)
    assert node.runtime.calls.count("pause") == 1


async def test_a_bridge_that_stops_leaves_what_has_not_begun_to_the_next_one() -> None:
    node = Node()
    node.runtime.add(task=SmallTask("running", ignores={TERM}))
    async with node.running():
        await node.send("stop", "a-1", body=b'{"id":"a-1","grace":600}')
        await node.send("start", "a-2")
        await until(lambda: any(call.startswith("kill") for call in node.runtime.calls))
    assert [job.sequence for job in node.jobs.jobs.values()] == [2]  # the first is looked at, and open
    assert (await node.outcome("a-1")).outcome == "unknown"
    node.runtime.made["default", "web.1"].end(0)
    async with node.running():
        await node.until(0)
    assert (await node.outcome("a-2")).outcome == "ok"


async def test_a_bridge_with_another_journal_looks_at_what_the_former_one_began() -> None:
    node = Node()
    node.runtime.add(task=SmallTask("running"))
    state = CommandState(
        id="a-1",
        verb="kill",
        node="web1",
        namespace="default",
        container="web.1",
        stage="started",
        via="job",
        journal="the other one's",
    )
    await node.states.write([state])
    await node.send("kill", "a-1")
    async with node.running(MemoryJournal()):
        await node.until(0)
    assert (await node.outcome("a-1")).outcome == "unknown"
    assert not [call for call in node.runtime.calls if call.startswith("kill")]


async def test_a_bridge_that_finds_its_own_mark_believes_its_journal() -> None:
    node = Node()
    node.runtime.add(task=SmallTask("running"))
    state = CommandState(id="a-1", verb="pause", node="web1", stage="started", via="job", journal=node.journal.identity)
    await node.states.write([state])
    await node.send("pause", "a-1")
    async with node.running():
        await node.until(0)
    assert (await node.outcome("a-1")).outcome == "ok"


async def test_one_that_was_received_too_often_is_put_aside_under_its_id() -> None:
    node = Node()
    node.runtime.add(task=SmallTask("running"))
    await node.send("pause", "a-1")
    for _ in range(ATTEMPTS):
        await node.journal.attempt("memory", 1)
    async with node.running():
        await node.until(0)
    [one] = node.jobs.aside.values()
    assert (one.id, one.code, one.attempts) == ("a-1", "exhausted", ATTEMPTS + 1)
    assert node.runtime.status() == "running"
    assert (await node.outcome("a-1")).outcome == "error"


async def test_jobs_that_are_too_big_together_wait_in_the_stream() -> None:
    node = Node()
    node.runtime.add(task=SmallTask("running", ignores={TERM}))
    many = [node.send("stop", f"a-{number}", body=b'{"id":"a-%d"%s}' % (number, b" " * 2_000)) for number in range(30)]
    await asyncio.gather(*many)
    async with node.running(bytes_held=10_000) as dispatcher:
        await settle(300)
        assert dispatcher.statistics().under_way == 5
        node.runtime.made["default", "web.1"].end(0)
        await node.until(0)


async def test_what_started_and_failed_is_an_outcome_and_no_poison() -> None:
    node = Node()
    node.runtime.add(task=SmallTask("running"))
    async with node.running():
        await node.send("kill", "a-1", body=b'{"id":"a-1","signal":"NONSENSE"}')
        await node.until(0)
    outcome = await node.outcome("a-1")
    assert outcome.error is not None
    assert outcome.error.code == "invalid_argument"
    assert node.jobs.aside == {}


class Reluctant(MemoryJournal):
    """A journal whose disk fails once."""

    failing = True

    async def look(self, command_id: str) -> JournalRow | None:
        from bridge.errors import CommandFailed

        if self.failing:
            self.failing = False
            raise CommandFailed("unavailable", "the disk fails")
        return await super().look(command_id)


async def test_a_disk_that_fails_leaves_the_job_where_it_is() -> None:
    node = Node()
    node.journal = Reluctant()
    node.runtime.add(task=SmallTask("running"))
    async with node.running():
        await node.send("pause", "a-1")
        await settle()
        assert len(node.jobs.jobs) == 1
        node.jobs.disturb()
        await node.until(0)
    assert (await node.outcome("a-1")).outcome == "ok"


async def test_a_job_that_is_refused_leaves_its_stream_and_may_be_sent_again() -> None:
    node = Node()
    node.runtime.add(task=SmallTask("running"))
    node.policy.book = RuleBook(default="deny", source="p.toml")
    async with node.running():
        await node.send("pause", "a-1")
        await node.until(0)
        assert (await node.outcome("a-1")).outcome == "refused"
        assert (node.journal.rows, node.jobs.aside) == ({}, {})
        node.policy.book = NO_RULES
        subject = SUBJECTS.job(SUBJECTS.command("web1", "default", "web.1", "pause"))
        # The stream remembers the name of a job for half an hour.
        await node.jobs.submit(subject, b'{"id":"a-1"}', command_id="a-1", name="later")
        await node.until(0)
    assert (await node.outcome("a-1")).outcome == "ok"


async def test_what_another_bridge_refused_is_judged_here_anew() -> None:
    node = Node()
    node.runtime.add(task=SmallTask("running"))
    outcome = Outcome(
        id="a-1", verb="pause", node="web1", outcome="refused", error=Failure(code="refused", message="no")
    )
    state = CommandState(
        id="a-1", verb="pause", node="web1", stage="finished", via="job", journal="the other one's", outcome=outcome
    )
    await node.states.write([state])
    await node.send("pause", "a-1")
    async with node.running():
        await node.until(0)
    assert node.runtime.status() == "paused"


async def test_a_dry_run_is_no_job() -> None:
    node = Node()
    node.runtime.add(task=SmallTask("running"))
    async with node.running():
        await node.send("pause", "a-1", body=b'{"id":"a-1","dry_run":true}')
        await node.until(0)
    outcome = await node.outcome("a-1")
    assert outcome.error is not None
    assert outcome.error.message.startswith("a dry run of pause is for now or not at all")
    assert (node.runtime.status(), node.journal.rows) == ("running", {})


async def test_a_job_that_was_taken_back_while_nobody_was_there_never_begins() -> None:
    node = Node()
    node.runtime.add(task=SmallTask("running"))
    await node.send("pause", "a-1")
    await node.send("stop", "a-2")
    await node.states.take_back("a-1", CommandSubject("web1", "default", "web.1", "pause"))
    async with node.running():
        first, second = await node.outcome("a-1"), await node.outcome("a-2")
    assert first.error is not None
    assert (first.outcome, first.error.code, second.outcome) == ("error", "cancelled", "ok")
    assert not any(call.startswith("pause") for call in node.runtime.calls)
    assert list(await node.jobs.waiting()) == []


async def test_a_job_takes_nothing_from_the_command_whose_id_it_bears() -> None:
    node = Node()
    node.runtime.add(task=SmallTask("running"))
    node.runtime.add("web.2", task=SmallTask("running"))
    async with node.running():
        await node.send("pause", "a-1")
        await node.until(0)
        [before] = await node.states.get("a-1")
        await node.jobs.submit(
            SUBJECTS.job(SUBJECTS.command("web1", "default", "web.1", "inspect")),
            b'{"id":"a-1"}',
            command_id="a-1",
            name="1",
        )
        await node.jobs.submit(
            SUBJECTS.job(SUBJECTS.command("web1", "default", "web.1", "nonsense")),
            b'{"id":"a-1"}',
            command_id="a-1",
            name="2",
        )
        await node.until(0)
        assert await node.states.get("a-1") == [before]
        # What is for another container stands elsewhere, so its sender hears of it.
        await node.jobs.submit(
            SUBJECTS.job(SUBJECTS.command("web1", "default", "web.2", "pause")),
            b'{"id":"a-1"}',
            command_id="a-1",
            name="3",
        )
        await node.until(0)
        outcome = await node.states.wait("a-1", "web1", namespace="default", container="web.2", timeout=90)
    assert outcome.error is not None
    assert (outcome.outcome, outcome.error.code) == ("refused", "already_exists")
    assert await node.states.get("a-1", namespace="default", container="web.1") == [before]
    assert (node.runtime.status("web.1"), node.runtime.status("web.2")) == ("paused", "running")


async def test_what_no_sender_of_jobs_has_sent_is_none() -> None:
    node = Node()
    node.runtime.add(task=SmallTask("running"))
    async with node.running():
        subject = SUBJECTS.job(SUBJECTS.command("web1", "default", "web.1", "pause"))
        await node.jobs.submit(subject, b"", command_id="no id", name="1")  # as a server's answer is
        await node.until(0)
    assert (node.runtime.status(), node.journal.rows, node.states.states, node.jobs.aside) == ("running", {}, {}, {})


@pytest.mark.parametrize(("first", "second"), [("inspect", "pause"), ("pause", "resume")])
async def test_the_outcome_of_another_command_under_its_id_is_not_a_job_s_own(first: str, second: str) -> None:
    node = Node()
    node.runtime.add(task=SmallTask("running"))
    async with node.running():
        await node.send(first, "a-1")
        await node.until(0)
    async with node.running(MemoryJournal()):  # another bridge of the node, or one whose disk was lost
        subject = SUBJECTS.job(SUBJECTS.command("web1", "default", "web.1", second))
        await node.jobs.submit(subject, b'{"id":"a-1"}', command_id="a-1", name="2")
        await node.until(0)
    # What was never carried out has not used the id up; what was has.
    assert node.runtime.status() == "paused"
