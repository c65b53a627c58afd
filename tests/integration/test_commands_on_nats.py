"""Commands over a real nats-server: what the contract of inbox and sender leaves to NATS itself."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import nats.errors
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from bridge.config import NatsConfig
from bridge.errors import CommandFailed, ConfigError
from bridge.jetstream.connection import Connection, connect
from bridge.jetstream.inbox import MicroInbox
from bridge.jetstream.micro import semantic_version
from bridge.jetstream.sender import NatsSender
from bridge.model.commands import COMMANDS
from bridge.model.events import Failure
from bridge.model.outcomes import ContainerInfo, ContainerList, Done, Outcome
from bridge.model.subjects import Subjects
from bridge.ports import CommandHandler, CommandRequest, NodePresence
from tests.fix_nats import NatsServerFactory

SUBJECTS = Subjects()
PAUSE = SUBJECTS.command("web1", "default", "web.1", "pause")
RESUME = SUBJECTS.command("web1", "default", "web.1", "resume")
LIST = SUBJECTS.command("web1", None, None, "list")


@asynccontextmanager
async def connected(url: str, **settings: Any) -> AsyncIterator[Connection]:
    async with connect(NatsConfig(url=url, **settings), name="test") as connection:
        yield connection


@asynccontextmanager
async def serving(connection: Connection, handle: CommandHandler, **options: Any) -> AsyncIterator[None]:
    inbox = MicroInbox(connection, SUBJECTS, "web1", version="0.3.0.dev1", groups=["observe", "lifecycle"], **options)
    async with inbox.serve(list(COMMANDS), handle):
        yield


@asynccontextmanager
async def raw_client(url: str) -> AsyncIterator[Client]:
    """A NATS client of its own, that knows nothing of commands. Its flush is mended; nats-py's does not wait for a SUB."""
    async with connected(url) as connection:
        yield connection.client


def done(request: CommandRequest, **fields: Any) -> Outcome:
    where = request.subject
    return msgspec.structs.replace(
        Outcome(id="a-1", verb=where.verb, node=where.node, outcome="ok", result=Done(), container=where.container),
        **fields,
    )


async def succeed(request: CommandRequest) -> Outcome:
    return done(request)


def answering(fields: Mapping[str, Any]) -> CommandHandler:
    async def handle(request: CommandRequest) -> Outcome:
        return done(request, **fields)

    return handle


class Gate:
    """A handler whose requests wait until they are let through."""

    def __init__(self) -> None:
        self.came: list[CommandRequest] = []
        self.interrupted = 0
        self.open = asyncio.Event()
        self._changed = asyncio.Condition()

    async def handle(self, request: CommandRequest) -> Outcome:
        async with self._changed:
            self.came.append(request)
            self._changed.notify_all()
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.interrupted += 1
            raise
        return done(request)

    async def until(self, count: int) -> None:
        """Wait until so many requests have come."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.came) >= count)


# -- the micro service


async def ask(client: Client, subject: str) -> Any:
    return json.loads((await client.request(subject, timeout=90)).data)


async def test_the_node_is_visible_as_a_micro_service(nats_url: str) -> None:
    async with connected(nats_url) as connection, serving(connection, succeed), raw_client(nats_url) as client:
        for subject in ("$SRV.PING", "$SRV.PING.containerd-bridge"):
            ping = await ask(client, subject)
            assert ping.pop("id")
            assert ping == {
                "type": "io.nats.micro.v1.ping_response",
                "name": "containerd-bridge",
                "version": "0.3.0-dev1",
                "metadata": {"node": "web1", "groups": "observe,lifecycle"},
            }


async def test_the_service_tells_its_endpoints(nats_url: str) -> None:
    async with connected(nats_url) as connection, serving(connection, succeed), raw_client(nats_url) as client:
        info = await ask(client, "$SRV.INFO.containerd-bridge")
        assert info["type"] == "io.nats.micro.v1.info_response"
        subjects = {endpoint["name"]: endpoint["subject"] for endpoint in info["endpoints"]}
        assert subjects == {verb: f"containerd.commands.web1.*.*.{verb}" for verb in COMMANDS}
        assert await ask(client, f"$SRV.INFO.containerd-bridge.{info['id']}") == info


async def test_the_service_counts_requests_and_errors(nats_url: str) -> None:
    async def handle(request: CommandRequest) -> Outcome:
        failure = Failure(code="not_found", message="there is no container web.1")
        return done(request, outcome="error", error=failure) if request.subject.verb == "pause" else done(request)

    async with connected(nats_url) as connection, serving(connection, handle), raw_client(nats_url) as client:
        sender = NatsSender(connection, SUBJECTS)
        for subject in (PAUSE, PAUSE, RESUME):
            await sender.send(subject, b"", timeout=90)
        stats = await ask(client, "$SRV.STATS.containerd-bridge")
        assert stats["type"] == "io.nats.micro.v1.stats_response"
        counts = {endpoint["name"]: endpoint for endpoint in stats["endpoints"]}
        assert (counts["pause"]["num_requests"], counts["pause"]["num_errors"]) == (2, 2)
        assert counts["pause"]["last_error"] == "not_found: there is no container web.1"
        assert (counts["resume"]["num_requests"], counts["resume"]["num_errors"]) == (1, 0)
        assert counts["resume"]["average_processing_time"] == counts["resume"]["processing_time"] > 0


async def test_the_service_is_gone_when_the_inbox_is_closed(nats_url: str) -> None:
    async with connected(nats_url) as connection, raw_client(nats_url) as client:
        async with serving(connection, succeed):
            pass
        for subject in ("$SRV.PING", "$SRV.INFO.containerd-bridge", PAUSE):
            with pytest.raises(nats.errors.NoRespondersError):
                await client.request(subject, timeout=90)


@pytest.mark.parametrize(
    ("version", "semantic"),
    [
        ("0.1.0", "0.1.0"),
        ("1.2", "1.2.0"),
        ("0.2.0.dev1", "0.2.0-dev1"),
        ("0.2.0rc1", "0.2.0-rc1"),
        ("0.2.0.dev1+g12ab.d3", "0.2.0-dev1+g12ab.d3"),
    ],
)
def test_a_version_of_python_becomes_a_semantic_one(version: str, semantic: str) -> None:
    assert semantic_version(version) == semantic


# -- failures


async def test_a_failure_stands_in_the_headers_too(nats_url: str) -> None:
    failure = Failure(code="failed_precondition", message="container web.1 is not running")
    handle = answering({"outcome": "error", "result": None, "error": failure})
    async with connected(nats_url) as connection, serving(connection, handle), raw_client(nats_url) as client:
        reply = await client.request(PAUSE, timeout=90)
        assert reply.headers == {
            "Nats-Service-Error-Code": "failed_precondition",
            "Nats-Service-Error": "container web.1 is not running",
        }
        assert json.loads(reply.data)["error"]["message"] == "container web.1 is not running"


@pytest.mark.parametrize(
    ("message", "header"),
    [
        ("two\r\nlines\n\nInjected: yes", "two lines Injected: yes"),
        ("container „wéb“", r"container \u201ew\xe9b\u201c"),
        ("tab\tand \x00 null", "tab and null"),
        ("x" * 5000, "x" * 500),
        ("é" * 5000, r"\xe9" * 125),
    ],
    ids=["lines", "no ASCII", "controls", "long", "long and no ASCII"],
)
async def test_a_sentence_in_a_header_is_one_short_line_of_ascii(nats_url: str, message: str, header: str) -> None:
    handle = answering({"outcome": "error", "result": None, "error": Failure(code="unknown", message=message)})
    async with connected(nats_url) as connection, serving(connection, handle), raw_client(nats_url) as client:
        reply = await client.request(PAUSE, timeout=90)
        assert reply.headers is not None
        assert reply.headers["Nats-Service-Error"] == header
        assert json.loads(reply.data)["error"]["message"] == message


async def test_a_success_has_no_error_headers(nats_url: str) -> None:
    async with connected(nats_url) as connection, serving(connection, succeed), raw_client(nats_url) as client:
        assert (await client.request(PAUSE, timeout=90)).headers is None


@pytest.mark.parametrize("subject", ["containerd.commands.web1.-.=zz.pause", "containerd.commands.web1.a=2e.b.pause"])
async def test_a_malformed_subject_gets_an_outcome_that_says_so(nats_url: str, subject: str) -> None:
    async with connected(nats_url) as connection, serving(connection, succeed):
        outcome = await NatsSender(connection, SUBJECTS).send(subject, b'{"id":"mine-1"}', timeout=90)
        assert outcome.error is not None
        assert (outcome.outcome, outcome.error.code, outcome.id) == ("error", "invalid_argument", "mine-1")
        assert "token" in outcome.error.message


async def test_a_handler_that_breaks_its_promise_still_gives_an_outcome(nats_url: str) -> None:
    async def handle(request: CommandRequest) -> Outcome:
        raise KeyError(request.subject.verb)

    async with connected(nats_url) as connection, serving(connection, handle):
        outcome = await NatsSender(connection, SUBJECTS).send(PAUSE, b"", timeout=90)
        assert outcome.error is not None
        assert (outcome.outcome, outcome.error.code) == ("error", "internal")


def containers(count: int) -> dict[str, Any]:
    listed = [ContainerInfo(namespace="default", id=f"c{n}", labels={"app": "x" * 1000}) for n in range(count)]
    return {"result": ContainerList(containers=listed)}


async def test_a_result_as_large_as_nats_takes_arrives(nats_url: str) -> None:
    async with connected(nats_url) as connection, serving(connection, answering(containers(800))):
        outcome = await NatsSender(connection, SUBJECTS).send(LIST, b"", timeout=90)
        assert len(outcome.result["containers"]) == 800


async def test_a_result_too_large_for_nats_becomes_an_error_that_says_what_to_do(nats_url: str) -> None:
    async with connected(nats_url) as connection, serving(connection, answering(containers(2000))):
        outcome = await NatsSender(connection, SUBJECTS).send(LIST, b"", timeout=90)
        assert outcome.error is not None
        assert (outcome.outcome, outcome.error.code, outcome.result) == ("error", "exhausted", None)
        assert "1048576 in a message: ask for one namespace, or give filters" in outcome.error.message
        assert connection.connected


async def test_an_error_too_large_for_nats_is_cut_and_keeps_its_code(nats_server_factory: NatsServerFactory) -> None:
    server = nats_server_factory(config="max_payload: 16KB")
    failure = Failure(code="unknown", message="é" * 100_000, containerd="OCI " * 100_000)
    handle = answering({"outcome": "error", "result": None, "error": failure})
    async with connected(server.url) as connection, serving(connection, handle):
        outcome = await NatsSender(connection, SUBJECTS).send(PAUSE, b"", timeout=90)
        assert outcome.error is not None
        assert outcome.error.code == "unknown"
        assert outcome.error.message.startswith("ééé")
        assert connection.connected


# -- many at once


async def test_what_is_sent_to_one_node_is_handled_in_the_order_of_sending(nats_url: str) -> None:
    gate = Gate()
    sent = [PAUSE if n % 2 else RESUME for n in range(200)]
    async with connected(nats_url) as connection, serving(connection, gate.handle), raw_client(nats_url) as client:
        for n, subject in enumerate(sent):
            await client.publish(subject, str(n).encode())
        await gate.until(200)
        assert [int(request.body) for request in gate.came] == list(range(200))
        gate.open.set()


async def test_more_requests_than_there_is_room_for_are_exhausted(nats_url: str) -> None:
    gate = Gate()
    async with (
        connected(nats_url) as connection,
        serving(connection, gate.handle, under_way=3),
        asyncio.TaskGroup() as group,
    ):
        sender = NatsSender(connection, SUBJECTS)
        waiting = [group.create_task(sender.send(PAUSE, b"", timeout=90)) for _ in range(3)]
        await gate.until(3)
        outcome = await sender.send(PAUSE, b'{"id":"mine-1"}', timeout=90)
        assert outcome.error is not None
        assert (outcome.error.code, outcome.id) == ("exhausted", "mine-1")
        gate.open.set()
        assert [(await task).outcome for task in waiting] == ["ok"] * 3
        assert (await sender.send(PAUSE, b"", timeout=90)).outcome == "ok"


async def test_a_request_that_wants_no_reply_is_carried_out(nats_url: str) -> None:
    gate = Gate()
    async with connected(nats_url) as connection, serving(connection, gate.handle), raw_client(nats_url) as client:
        await client.publish(PAUSE, b"{}")
        await gate.until(1)
        gate.open.set()


# -- the end


async def test_what_the_server_had_delivered_before_the_end_is_answered(nats_url: str) -> None:
    async with connected(nats_url) as connection, raw_client(nats_url) as client:
        answers = await client.subscribe(client.new_inbox())
        async with serving(connection, succeed):
            for _ in range(50):
                await client.publish(PAUSE, reply=answers.subject)
            await client.flush()  # the server has them all, and we may not have seen one
        assert [json.loads((await answers.next_msg(90)).data)["outcome"] for _ in range(50)] == ["ok"] * 50


async def test_a_request_that_outlasts_the_end_gets_an_unknown_outcome(nats_url: str) -> None:
    gate = Gate()
    async with connected(nats_url) as connection, raw_client(nats_url) as client:
        async with serving(connection, gate.handle, finish=0.05):
            answer = asyncio.ensure_future(client.request(PAUSE, b'{"id":"mine-1"}', timeout=90))
            await gate.until(1)
        outcome = json.loads((await answer).data)
        assert (outcome["outcome"], outcome["error"]["code"], outcome["id"]) == ("unknown", "unknown", "mine-1")
        assert gate.interrupted == 1


async def test_closing_without_a_server_does_not_wait_for_it(nats_server_factory: NatsServerFactory) -> None:
    server = nats_server_factory()
    async with connected(server.url) as connection:
        async with serving(connection, succeed):
            lost = connection.link.lost
            server.kill()
            await lost()
        server.start()
        assert await eventually(lambda: NatsSender(connection, SUBJECTS).nodes(wait=0.2)) == []


async def eventually(ask: Callable[[], Awaitable[Any]]) -> Any:
    """What `ask` returns once there is a connection."""
    async with asyncio.timeout(90):
        while True:
            try:
                return await ask()
            except CommandFailed:
                await asyncio.sleep(0.02)


async def until_there(ask: Callable[[], Awaitable[Any]]) -> Any:
    """What `ask` returns once it is not empty."""
    async with asyncio.timeout(90):
        while True:
            if answer := await ask():
                return answer


async def test_commands_are_taken_again_when_the_server_is_back(nats_server_factory: NatsServerFactory) -> None:
    server = nats_server_factory()
    async with connected(server.url) as connection, serving(connection, succeed):
        server.restart()
        sender = NatsSender(connection, SUBJECTS)
        assert (await eventually(lambda: sender.send(PAUSE, b"", timeout=5))).outcome == "ok"


# -- what NATS does not permit

ACCOUNTS = """
authorization {{
  users = [
    {{ user: all, password: all }},
    {{ user: some, password: some, permissions: {{ {permissions} }} }}
  ]
}}
"""


@asynccontextmanager
async def limited(factory: NatsServerFactory, permissions: str) -> AsyncIterator[tuple[Connection, Connection]]:
    """A connection that may do everything, and one that may not."""
    server = factory(config=ACCOUNTS.format(permissions=permissions))
    async with (
        connected(server.url, user="all", password="all") as free,
        connected(server.url, user="some", password="some") as bound,
    ):
        yield free, bound


async def test_a_command_that_nats_does_not_permit_is_refused_at_once(nats_server_factory: NatsServerFactory) -> None:
    async with (
        limited(nats_server_factory, 'publish: { deny: "containerd.commands.*.*.*.pause" }') as (free, bound),
        serving(free, succeed),
    ):
        with pytest.raises(CommandFailed, match=f"does not permit this login to publish to {PAUSE}") as refusal:
            await NatsSender(bound, SUBJECTS).send(PAUSE, b"", timeout=90)
        assert refusal.value.code == "refused"
        assert (await NatsSender(bound, SUBJECTS).send(RESUME, b"", timeout=90)).outcome == "ok"


async def test_looking_for_nodes_without_permission_is_refused(nats_server_factory: NatsServerFactory) -> None:
    async with limited(nats_server_factory, 'publish: { deny: "$SRV.>" }') as (_, bound):
        with pytest.raises(CommandFailed, match="cannot look for nodes: NATS does not permit") as refusal:
            await NatsSender(bound, SUBJECTS).nodes(wait=60)
        assert refusal.value.code == "refused"


async def test_a_node_that_may_not_take_commands_says_so(nats_server_factory: NatsServerFactory) -> None:
    async with limited(nats_server_factory, 'subscribe: { deny: "containerd.commands.>" }') as (_, bound):
        with pytest.raises(ConfigError, match=r"does not permit .*: allow it for the commands of node web1"):
            async with serving(bound, succeed):
                pass


# -- the sender


async def test_nodes_are_found_with_version_and_groups(nats_url: str) -> None:
    async with connected(nats_url) as connection, serving(connection, succeed):
        found = await until_there(lambda: NatsSender(connection, SUBJECTS).nodes(wait=0.2))
        assert found == [NodePresence(node="web1", version="0.3.0-dev1", groups=["observe", "lifecycle"])]


async def test_no_time_is_spent_waiting_for_nodes_where_there_is_none(nats_url: str) -> None:
    async with connected(nats_url) as connection, asyncio.timeout(90):
        assert await NatsSender(connection, SUBJECTS).nodes(wait=600) == []


async def test_a_node_that_is_too_busy_to_answer_at_once_is_found_all_the_same(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        asked: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()

        async def on_question(message: Msg) -> None:
            asked.set_result(message)

        await connection.client.subscribe("$SRV.INFO.containerd-bridge", cb=on_question)
        looking = asyncio.create_task(NatsSender(connection, SUBJECTS).nodes(wait=0.05))
        question = await asyncio.wait_for(asked, 90)
        assert await asyncio.wait({looking}, timeout=0.2) == (set(), {looking})
        await question.respond(b'{"version":"1.0.0","metadata":{"node":"web1"}}')
        assert [node.node for node in await looking] == ["web1"]


@pytest.mark.parametrize("answer", [b"", b"{}", b"garbage", b'{"version":"1.0.0","metadata":{"node":"../x"}}'])
async def test_what_is_no_node_is_not_found(nats_url: str, answer: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "bridge.jetstream.sender")
    async with connected(nats_url) as connection, raw_client(nats_url) as client:

        async def respond(message: Any) -> None:
            await client.publish(message.reply, answer)
            await client.publish(message.reply, headers={"Status": "503"})  # what ends the waiting at once

        await client.subscribe("$SRV.INFO.containerd-bridge", cb=respond)
        await client.flush()
        assert await NatsSender(connection, SUBJECTS).nodes(wait=60) == []
        assert "is from no node" in caplog.text


async def test_a_command_that_nobody_takes_is_unavailable(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        with pytest.raises(CommandFailed, match="nobody takes commands on") as failure:
            await NatsSender(connection, SUBJECTS).send(PAUSE, b"", timeout=90)
        assert failure.value.code == "unavailable"


async def test_an_outcome_that_does_not_come_in_time_leaves_the_effect_open(nats_url: str) -> None:
    gate = Gate()
    async with connected(nats_url) as connection, serving(connection, gate.handle):
        with pytest.raises(CommandFailed, match="open whether there was an effect") as failure:
            await NatsSender(connection, SUBJECTS).send(PAUSE, b"", timeout=0.05)
        assert failure.value.code == "deadline_exceeded"
        gate.open.set()


async def test_a_connection_lost_meanwhile_leaves_the_effect_open(nats_server_factory: NatsServerFactory) -> None:
    server, gate = nats_server_factory(), Gate()
    async with connected(server.url) as connection, serving(connection, gate.handle):
        command = asyncio.ensure_future(NatsSender(connection, SUBJECTS).send(PAUSE, b"", timeout=90))
        await gate.until(1)
        with server.down():
            with pytest.raises(CommandFailed, match="open whether there was an effect") as failure:
                await command
            assert failure.value.code == "deadline_exceeded"
        gate.open.set()


async def test_without_a_connection_nothing_is_sent(nats_server_factory: NatsServerFactory) -> None:
    server = nats_server_factory()
    async with connected(server.url) as connection:
        lost = connection.link.lost
        with server.down():
            await lost()
            with pytest.raises(CommandFailed, match="not sent") as failure:
                await NatsSender(connection, SUBJECTS).send(PAUSE, b"", timeout=90)
            assert failure.value.code == "unavailable"
            with pytest.raises(CommandFailed, match="cannot look for nodes"):
                await NatsSender(connection, SUBJECTS).nodes(wait=60)


async def test_an_answer_of_somebody_else_is_no_outcome(nats_url: str) -> None:
    async with connected(nats_url) as connection, raw_client(nats_url) as client:

        async def respond(message: Any) -> None:
            await message.respond(b"OK")

        await client.subscribe("containerd.commands.>", cb=respond)
        await client.flush()
        with pytest.raises(CommandFailed, match="is no containerd-bridge") as failure:
            await NatsSender(connection, SUBJECTS).send(PAUSE, b"", timeout=90)
        assert failure.value.code == "internal"


@pytest.mark.parametrize(
    "reply", ["$KV.containerd-nodes.web1", "containerd.events.web1.default.web=2E1.exit", "elsewhere"]
)
async def test_nobody_makes_the_bridge_publish_elsewhere(nats_url: str, reply: str) -> None:
    handled: list[str] = []

    async def handle(request: CommandRequest) -> Outcome:
        handled.append(request.subject.verb)
        return done(request)

    async with connected(nats_url) as connection, serving(connection, handle), raw_client(nats_url) as client:
        came: list[str] = []

        async def on_message(message: Any) -> None:
            came.append(message.subject)

        await client.subscribe(reply, cb=on_message)
        await client.flush()
        for subject in (PAUSE, "$SRV.INFO.containerd-bridge", "$SRV.PING", "containerd.commands.web1.-.-.nonsense"):
            await client.publish(subject, b"{}", reply=reply)
        # What was sent behind them is answered, so they have been looked at; and answers come in the order of their making.
        await client.request("$SRV.PING.containerd-bridge", b"", timeout=90)
        await client.request(RESUME, b"{}", timeout=90)
        await client.flush()
        await connection.client.flush()
        await client.flush()
    assert (came, handled) == ([], ["resume"])


async def test_what_a_server_says_of_itself_is_no_command(nats_url: str) -> None:
    """Whoever may read a stream can have the server answer on any subject, with no body where there is nothing to read."""
    handled: list[str] = []

    async def handle(request: CommandRequest) -> Outcome:
        handled.append(request.subject.verb)
        return done(request)

    async with connected(nats_url) as connection, serving(connection, handle), raw_client(nats_url) as client:
        came: list[Any] = []

        async def on_message(message: Any) -> None:
            came.append(message)

        await client.subscribe(PAUSE, cb=on_message)
        await client.jetstream(timeout=60).add_stream(name="S", subjects=["s.>"])
        await client.jetstream(timeout=60).add_consumer("S", durable_name="c", ack_policy="none")
        await client.publish("$JS.API.CONSUMER.MSG.NEXT.S.c", b'{"batch":1,"no_wait":true}', reply=PAUSE)
        async with asyncio.timeout(90):
            while not came:
                await asyncio.sleep(0.01)
        assert (came[0].data, came[0].headers["Status"]) == (b"", "404")
        await client.publish(PAUSE, b"")  # by nobody who waits
        await client.request(RESUME, b"", timeout=90)
    assert handled == ["resume"]
