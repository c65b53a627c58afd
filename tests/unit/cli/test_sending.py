"""How commands that change something are sent from the command line: ids, conditions, deadlines, by label, as jobs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from bridge.client import Accepted, Jobs, Judgement, Node, Remarks, Sending, derived_id
from bridge.errors import CommandFailed
from bridge.model.codec import encode_any
from bridge.model.commands import Pause, is_command_id
from bridge.model.nanos import now, parse_rfc3339
from bridge.model.outcomes import Judged
from bridge.model.state import ContainerState
from bridge.model.subjects import ContainerKey
from bridge.ports import Change
from bridge.testing import MemoryStates
from tests.unit.cli.conftest import Cli
from tests.unit.client.small_bus import SUBJECTS, SmallSender, SmallStore, containers_at, info

KNOWN = containers_at({"n1": [info("one"), info("two")]})


def answer(at: Any, options: dict[str, Any]) -> Any:
    return KNOWN(at, options) if at.verb == "list" else {}


def sent(sender: SmallSender) -> list[Any]:
    return [asked for asked in sender.asked if asked.subject.verb != "list"]


async def states() -> MemoryStates:
    kept = MemoryStates()
    for node, container, label, status in (
        ("n1", "a", "web", "running"),
        ("n2", "b", "web", "running"),
        ("n1", "c", "db", "running"),
        ("n1", "d", "web", "gone"),
    ):
        state = ContainerState(
            node=node,
            namespace="default",
            container=container,
            labels={"app": label},
            status=status,  # type: ignore[arg-type]
        )
        await kept.write([Change(key=ContainerKey(node, "default", container), value=encode_any(state))])
    return kept


def test_every_command_has_an_id_and_is_not_carried_out_after_its_sender_has_given_up(cli: Cli) -> None:
    sender = SmallSender(answer)
    before = now()
    assert cli("pause", "one", "two", "--timeout", "7", sender=sender).status == 0
    first, second = sent(sender)
    assert is_command_id(first.by_default["id"])
    assert first.by_default["id"] != second.by_default["id"]
    assert 6.9e9 < parse_rfc3339(first.by_default["not_after"]) - before < 30e9
    assert first.timeout == 7


def test_what_only_looks_has_neither(cli: Cli) -> None:
    sender = SmallSender(answer)
    cli("list", sender=sender)
    assert [asked.by_default for asked in sender.asked] == [{}]


def test_conditions_are_sent_as_they_are_called_on_the_bus(cli: Cli) -> None:
    sender = SmallSender(answer)
    said = cli(
        *("stop", "one", "--id", "a-1", "--if-incarnation", "I1", "--if-status", "running", "--if-sequence", "7"),
        *("--not-after", "2030-01-01T00:00:00Z"),
        sender=sender,
    )
    assert said.status == 0
    [asked] = sent(sender)
    assert asked.options == {"expected_incarnation": "I1", "expected_status": "running", "expected_sequence": 7}
    assert asked.by_default == {"id": "a-1", "not_after": "2030-01-01T00:00:00.000000000Z"}


def test_one_id_for_several_containers_is_another_one_for_each_and_the_same_every_time(cli: Cli) -> None:
    first, second = SmallSender(answer), SmallSender(answer)
    cli("stop", "one", "two", "--id", "a-1", sender=first)
    cli("stop", "two", "one", "--id", "a-1", sender=second)
    ids = {asked.subject.container: asked.by_default["id"] for asked in sent(first)}
    assert ids == {asked.subject.container: asked.by_default["id"] for asked in sent(second)}
    assert len(set(ids.values())) == 2
    assert all(is_command_id(each) for each in ids.values())


@pytest.mark.parametrize("base", ["a", "x" * 64])
def test_a_derived_id_is_one(base: str) -> None:
    assert is_command_id(derived_id(base, "n1", "default", "web.1"))
    assert derived_id(base, "n1", "a") != derived_id(base, "n1", "b")


async def test_a_label_chooses_on_every_node_and_each_is_told_of(cli: Cli) -> None:
    import asyncio

    sender, kept = SmallSender(lambda *_: {}, nodes=("n1", "n2")), await states()
    said = await asyncio.to_thread(cli, "stop", "--label", "app=web", sender=sender, states=kept)
    assert (said.status, sorted(said.lines)) == (0, ["n1/default/a", "n2/default/b"])
    assert {(asked.subject.node, asked.subject.container) for asked in sent(sender)} == {("n1", "a"), ("n2", "b")}


async def test_a_label_that_nobody_has_is_said(cli: Cli) -> None:
    import asyncio

    said = await asyncio.to_thread(cli, "stop", "--label", "app=none", states=await states())
    assert (said.status, said.err) == (1, "containerd-bridge: no container has the label app=none\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["one", "--wait"], "--wait is for jobs"),
        (["one", "--durable", "--dry-run"], "leave --durable out"),
        (["one", "--id", "a b"], "'a b' is no id"),
        (["one", "--if-status", "dead"], "'dead' is no status"),
        (["one", "--not-after", "17"], "'17' is no time"),
        (["one", "--timeout", "0"], "0 is no time to wait"),
        (["one", "--label", "a=b"], "give one of them"),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(cli: Cli, arguments: list[str], sentence: str) -> None:
    sender = SmallSender(answer)
    said = cli("stop", *arguments, sender=sender)
    assert said.status == 2
    assert sentence in said.err
    assert sent(sender) == []


def test_remarks_go_with_the_conditions(cli: Cli) -> None:
    sender = SmallSender(answer)
    said = cli(
        "stop", "one", "--id", "a-1", "--if-status", "running", "--reason", "it hangs", "--as", "me", sender=sender
    )
    assert said.status == 0
    [asked] = sent(sender)
    assert asked.options == {"expected_status": "running", "purpose": "it hangs", "sender": "me"}
    assert asked.by_default["id"] == "a-1"


def test_what_changes_nothing_has_no_options_of_sending(cli: Cli) -> None:
    sender = SmallSender(answer)
    for option in ("--dry-run", "--durable"):
        assert cli("wait", "one", option, sender=sender).status == 2
    assert sent(sender) == []


def test_without_jobs_a_durable_command_is_refused_with_a_sentence(cli: Cli) -> None:
    assert cli("stop", "one", "--durable", answer=answer) == (
        1,
        "",
        "containerd-bridge: this bus has no durable jobs\n",
    )


async def test_a_job_is_accepted_and_has_no_deadline() -> None:
    store = SmallStore()
    jobs = Jobs(SUBJECTS, store=store)  # type: ignore[arg-type]
    node = Node("n1", SmallSender(answer), SUBJECTS, jobs).sending(Sending(durable=True, id="a-1"))
    with pytest.raises(Accepted, match="job a-1 for node n1 is accepted"):
        await node.pause("web.1")
    [(subject, body, name)] = store.submitted
    assert (subject, body, name[:7]) == ("containerd.jobs.n1.default.web=2E1.pause", b'{"id":"a-1"}', "n1.a-1.")


async def test_a_job_is_the_same_message_only_where_it_is_the_same_command() -> None:
    store = SmallStore()
    jobs = Jobs(SUBJECTS, store=store)  # type: ignore[arg-type]
    node = Node("n1", SmallSender(answer), SUBJECTS, jobs).sending(Sending(durable=True, id="a-1"))
    again = node.remarking(Remarks(purpose="again"))
    sends: list[Callable[[], Awaitable[object]]] = [
        partial(node.stop, "web.1", grace=5),
        partial(again.stop, "web.1", grace=5),
        partial(node.stop, "web.1", grace=6),
        partial(node.stop, "web.2", grace=5),
        partial(node.pause, "web.1"),
    ]
    for send in sends:
        with pytest.raises(Accepted):
            await send()
    names = [name for _, _, name in store.submitted]
    assert (names[0] == names[1], len(set(names))) == (True, 4)


async def test_a_dry_run_is_never_a_job() -> None:
    def judge(_at: Any, options: dict[str, Any]) -> Any:
        return Judged(rule="mine", reason="mine allows it") if options.get("dry_run") else {}

    store, sender = SmallStore(), SmallSender(judge)
    jobs = Jobs(SUBJECTS, store=store)  # type: ignore[arg-type]
    node = Node("n1", sender, SUBJECTS, jobs).sending(Sending(durable=True)).remarking(Remarks(dry_run=True))
    with pytest.raises(Judgement, match="mine allows it"):
        await node.pause("web.1")
    assert (store.submitted, len(sender.asked)) == ([], 1)
    with pytest.raises(Accepted):
        await node.remarking(Remarks(purpose="later")).pause("web.1")
    assert b'"purpose":"later"' in store.submitted[0][1]


async def test_a_sender_that_gave_up_is_told_how_to_find_out() -> None:
    class Deaf(SmallSender):
        async def send(self, subject: str, body: bytes, *, timeout: float) -> Any:
            raise CommandFailed("deadline_exceeded", "no answer in time")

    with pytest.raises(CommandFailed, match="no answer in time; `jobs show a-1` tells what came of it"):
        await Node("n1", Deaf(answer), SUBJECTS).send(Pause(id="a-1"), namespace="default", container="web.1")
