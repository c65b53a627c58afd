"""Processes in real containers with their stdio on a real bus: every byte, in order, whatever happens on the way."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path

import nats
import pytest

from bridge.client import Bus, CommandFailed, Node, Process, Sending, connect
from bridge.model import commands
from bridge.model.outcomes import ExecResult
from tests.fix_bridge import Bridge, BridgeFactory
from tests.fix_nats import NatsServerFactory
from tests.testbed import BUSYBOX, Containerd, Ctr

SIZES = [2**n + d for n in (10, 16, 18, 20, 22) for d in (-1, 0, 1)]


@pytest.fixture
def web(ctr: Ctr) -> str:
    """A container that runs."""
    ctr("run", "--detach", BUSYBOX, "web", "sleep", "1000")
    return "web"


@pytest.fixture
async def bus(bridge: Bridge, nats_url: str) -> AsyncIterator[Bus]:
    bridge.until_logged("is up")
    async with connect(nats_url) as opened:
        yield opened


@pytest.fixture
async def node(bus: Bus) -> Node:
    return await bus.node("n1")


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def pattern(size: int) -> bytes:
    """What `numbers` writes: no two places of it look the same."""
    lines = b"".join(b"%d\n" % n for n in range(size // 6 + 2))
    return lines[:size]


def numbers(size: int) -> list[str]:
    """A program that writes the first `size` bytes of the numbers from 0 on."""
    return ["sh", "-c", f"i=0; while :; do echo $i; i=$((i+1)); done | head -c {size}"]


def zeros(size: int) -> list[str]:
    return ["sh", "-c", f"head -c {size} /dev/zero"]


async def text_of(process: Process) -> dict[str, bytes]:
    """Everything that it writes."""
    read = {"stdout": b"", "stderr": b""}
    async with aclosing(process.output()) as pieces:
        async for piece in pieces:
            assert piece.offset == len(read[piece.stream])
            assert not piece.missing
            read[piece.stream] += piece.data
    return read


def leftovers(containerd: Containerd, tmp_path: Path) -> list[str]:
    """What of sessions is still there, but for the records of those that have ended; other tests' namespaces are theirs."""
    spools = [str(path) for path in (tmp_path / "state" / "stdio").glob("*/std*")]
    return spools + [name for name in os.listdir(containerd.fifo_dir) if not name.startswith("t-")]


async def execs(ctr: Ctr) -> list[str]:
    """What containerd still has of execs, as its shims' bundles tell."""
    listed = await asyncio.to_thread(ctr, "tasks", "ps", "web")
    return [line for line in listed.splitlines()[1:] if "exec_id" in line]


# -- output


async def test_output_and_exit_status_of_a_process_are_in_the_outcome(node: Node, web: str, ctr: Ctr) -> None:
    found = await node.capture(web, ["sh", "-c", "echo out; echo err >&2; exit 3"], namespace=ctr.namespace)
    assert found.exit_status == 3
    assert found.stdout.captured == b"out\n"
    assert found.stdout.sha256 == digest(b"out\n")
    assert found.stderr is not None
    assert found.stderr.captured == b"err\n"
    assert (found.stdout.truncated, found.stderr.truncated) == (None, None)


@pytest.mark.parametrize("size", SIZES)
async def test_output_of_any_size_is_there_to_its_last_byte(node: Node, web: str, ctr: Ctr, size: int) -> None:
    found = await node.capture(web, zeros(size), namespace=ctr.namespace)
    assert found.stdout.size == size
    assert found.stdout.sha256 == digest(bytes(size))
    assert found.stdout.captured == bytes(min(size, 256 * 1024))


async def test_a_reader_sees_both_streams_and_their_ends(node: Node, web: str, ctr: Ctr) -> None:
    script = "i=0; while [ $i -lt 500 ]; do echo o$i; echo e$i >&2; i=$((i+1)); done; exit 4"
    process = await node.exec(web, ["sh", "-c", script], namespace=ctr.namespace)
    read = await text_of(process)
    assert read["stdout"] == b"".join(b"o%d\n" % n for n in range(500))
    assert read["stderr"] == b"".join(b"e%d\n" % n for n in range(500))
    ended = await process.wait()
    assert ended.exit_status == 4
    assert ended.stdout.sha256 == digest(read["stdout"])


async def test_nothing_is_left_of_processes_that_have_ended(
    node: Node, web: str, ctr: Ctr, containerd: Containerd, tmp_path: Path
) -> None:
    for n in range(5):
        found = await node.capture(web, ["sh", "-c", f"exit {n}"], namespace=ctr.namespace)
        assert found.exit_status == n
    with pytest.raises(CommandFailed) as failed:
        await node.capture(web, ["nosuchprogram"], namespace=ctr.namespace)
    assert failed.value.code == "invalid_argument"
    assert "there is no such program" in failed.value.message
    while leftovers(containerd, tmp_path):
        await asyncio.sleep(0.02)
    assert await execs(ctr) == []


async def test_a_slow_reader_loses_nothing_and_holds_the_process_up(node: Node, web: str, ctr: Ctr, bus: Bus) -> None:
    size = 24 << 20
    process = await node.exec(web, zeros(size), namespace=ctr.namespace, window=1 << 20)
    found, count = hashlib.sha256(), 0
    async with aclosing(process.output()) as pieces:
        async for piece in pieces:
            assert piece.offset == count
            found.update(piece.data)
            count += len(piece.data)
            if count < 4 << 20:
                there = await node.attach(web, process.exec_id, namespace=ctr.namespace)
                assert there.started.stdout.size <= count + (1 << 20)
    assert count == size
    assert found.hexdigest() == (await process.wait()).stdout.sha256


async def test_two_readers_and_a_late_one_from_an_offset_read_the_same(node: Node, web: str, ctr: Ctr) -> None:
    size = 300_000
    process = await node.exec(web, numbers(size), namespace=ctr.namespace)
    other = await node.attach(web, process.exec_id, namespace=ctr.namespace)
    first, second = await asyncio.gather(text_of(process), text_of(other))
    assert first == second
    late = await node.attach(web, process.exec_id, namespace=ctr.namespace)
    rest = b""
    async with aclosing(late.output(since={"stdout": 123_456})) as pieces:
        async for piece in pieces:
            rest += piece.data
    assert rest == first["stdout"][123_456:]
    assert len(first["stdout"]) == size


async def test_a_child_that_holds_the_pipe_is_not_waited_for_and_that_is_said(node: Node, web: str, ctr: Ctr) -> None:
    found = await node.capture(web, ["sh", "-c", "sleep 100 & echo done"], namespace=ctr.namespace)
    assert found.exit_status == 0
    assert found.stdout.captured == b"done\n"
    assert found.stdout.truncated == "held"


async def test_time_that_is_up_kills_and_is_said(node: Node, web: str, ctr: Ctr) -> None:
    found = await node.capture(web, ["sleep", "100"], namespace=ctr.namespace, timeout=0.5)
    assert (found.timed_out, found.exit_status) == (True, 137)


async def test_a_command_that_is_sent_twice_runs_once(node: Node, web: str, ctr: Ctr) -> None:
    command = commands.Exec(id="once.1", args=["sh", "-c", "echo x >> /ran; wc -l < /ran"])
    first, again = [await node.send(command, namespace=ctr.namespace, container=web) for _ in range(2)]
    assert first.result["exec_id"] == "once.1"
    assert again.result["session"] == first.result["session"]
    counted = await node.capture(web, ["cat", "/ran"], namespace=ctr.namespace)
    assert counted.stdout.captured == b"x\n"


async def test_a_long_exec_holds_nobody_up_who_wants_to_stop_the_container(node: Node, web: str, ctr: Ctr) -> None:
    process = await node.exec(web, ["sleep", "1000"], namespace=ctr.namespace)
    waiting = asyncio.create_task(process.wait())
    await node.pause(web, namespace=ctr.namespace)
    await node.resume(web, namespace=ctr.namespace)
    await node.stop(web, namespace=ctr.namespace, grace=0)
    assert (await waiting).exit_status == 137


async def test_what_is_asked_for_replaces_what_the_container_has(node: Node, web: str, ctr: Ctr) -> None:
    async def output(args: Sequence[str], **options: object) -> str:
        found = await node.capture(web, args, namespace=ctr.namespace, **options)
        assert found.stdout.captured is not None
        assert found.exit_status == 0, found
        return found.stdout.captured.decode()

    assert await output(["sh", "-c", "echo $COLOUR; pwd"], env={"COLOUR": "blue"}, cwd="/tmp") == "blue\n/tmp\n"
    assert await output(["id"], user="12:34") == "uid=12 gid=34 groups=34\n"
    await output(
        ["sh", "-c", "mkdir -p /etc; echo me:x:77:88::/:/bin/sh > /etc/passwd; echo them:x:99:me > /etc/group"]
    )
    assert (await output(["id"], user="me")).startswith("uid=77(me) gid=88 groups=88,99(them)")
    assert (await output(["id"], user="me:them")).startswith("uid=77(me) gid=99(them) groups=99(them)")
    none = await output(["sh", "-c", "grep CapEff /proc/self/status"], capabilities=[])
    assert none.split() == ["CapEff:", "0000000000000000"]
    with pytest.raises(CommandFailed) as failed:
        await output(["id"], user="nobody-here")
    assert failed.value.code == "invalid_argument"


async def test_links_lead_where_they_lead_for_the_container_when_names_are_looked_up(
    node: Node, web: str, ctr: Ctr
) -> None:
    theirs = ctr.host.shared / f"{ctr.namespace}.passwd"
    theirs.write_text("stranger:x:55:55::/:/bin/sh\n")
    files = f"mkdir -p /etc /usr/lib{theirs.parent}; ln -s ../usr/lib/passwd /etc/passwd; echo me:x:77:88::/: > /usr/lib/passwd"
    await node.capture(web, ["sh", "-c", files], namespace=ctr.namespace)
    assert await _identity(node, web, ctr, "me") == "uid=77(me) gid=88 groups=88\n"
    for link in (theirs, f"../../../../../..{theirs}"):
        await node.capture(web, ["sh", "-c", f"ln -sf {link} /etc/passwd"], namespace=ctr.namespace)
        with pytest.raises(CommandFailed, match="there is no user 'stranger' in /etc/passwd of container web"):
            await _identity(node, web, ctr, "stranger")


@pytest.mark.parametrize("user", ["1000", "1000:1000", "tom", "tom:toms"])
async def test_an_exec_is_in_the_groups_that_a_new_container_would_be_in(
    node: Node, web: str, ctr: Ctr, user: str
) -> None:
    lists = "echo tom:x:1000:1000::/: > /etc/passwd; printf 'toms:x:1000:\\nmore:x:2000:tom\\n' > /etc/group"
    await node.capture(web, ["sh", "-c", f"mkdir -p /etc; {lists}"], namespace=ctr.namespace)
    found = await node.capture(
        web, ["sh", "-c", "exec grep Groups /proc/self/status"], namespace=ctr.namespace, user=user
    )
    assert found.stdout.captured is not None
    assert found.stdout.captured.split()[1:] == ([b"1000"] if ":" in user else [b"1000", b"2000"])


async def _identity(node: Node, web: str, ctr: Ctr, user: str) -> str:
    found = await node.capture(web, ["id"], namespace=ctr.namespace, user=user)
    assert found.stdout.captured is not None
    return found.stdout.captured.decode()


# -- input


@pytest.mark.parametrize("size", [0, 1, 65_536, 1_000_000])
async def test_input_arrives_and_ends(node: Node, web: str, ctr: Ctr, size: int) -> None:
    data = pattern(size)
    for _ in range(5):
        process = await node.exec(web, ["cat"], namespace=ctr.namespace, stdin=True)
        reading = asyncio.create_task(text_of(process))
        await process.write(data)
        await process.close_stdin()
        async with asyncio.timeout(90):
            assert (await reading)["stdout"] == data
            assert (await process.wait()).exit_status == 0


async def test_a_process_that_does_not_read_holds_its_writer_up(node: Node, web: str, ctr: Ctr) -> None:
    process = await node.exec(web, ["sleep", "1000"], namespace=ctr.namespace, stdin=True)
    writing = asyncio.create_task(process.write(bytes(500_000)))
    _, waiting = await asyncio.wait({writing}, timeout=3.0)
    assert waiting
    await process.kill("SIGKILL")
    with pytest.raises(CommandFailed):
        await writing


async def test_input_that_nobody_asked_for_is_at_its_end(node: Node, web: str, ctr: Ctr) -> None:
    found = await node.capture(web, ["cat"], namespace=ctr.namespace)
    assert (found.exit_status, found.stdout.size) == (0, 0)


async def test_a_terminal_has_one_stream_and_a_size(node: Node, web: str, ctr: Ctr) -> None:
    script = "tty; read line; busybox stty size; echo err >&2"
    process = await node.exec(
        web, ["sh", "-c", script], namespace=ctr.namespace, tty=True, stdin=True, width=91, height=33
    )
    await process.resize(width=132, height=50)
    await process.write(b"go\n")
    read = await text_of(process)
    assert read["stderr"] == b""
    lines = read["stdout"].decode().split("\r\n")
    assert any(
        line.startswith("/dev/pts/") for line in lines
    )  # what was typed is shown when it comes, which may be first
    assert lines[-3:] == ["50 132", "err", ""]


# -- the container's own process


async def test_the_container_s_own_output_goes_to_the_bus_where_asked_for(node: Node, ctr: Ctr) -> None:
    ctr("containers", "create", BUSYBOX, "job", "sh", "-c", "cat; echo done; exit 5")
    started = await node.start("job", namespace=ctr.namespace, stdio="bus", stdin=True)
    assert started.session is not None
    process = await node.attach("job", namespace=ctr.namespace, owned=True)
    await process.write(b"to the first process\n")
    await process.close_stdin()
    assert (await text_of(process))["stdout"] == b"to the first process\ndone\n"
    assert (await process.wait()).exit_status == 5
    again = await node.start("job", namespace=ctr.namespace, stdio="bus")
    assert again.session != started.session
    second = await node.attach("job", namespace=ctr.namespace)
    assert (await text_of(second))["stdout"] == b"done\n"


async def test_output_without_end_of_somebody_else_is_not_ours_to_show(node: Node, web: str, ctr: Ctr) -> None:
    with pytest.raises(CommandFailed) as failed:
        await node.attach(web, namespace=ctr.namespace)
    assert failed.value.code == "not_found"


# -- in trouble


async def test_kill_9_of_the_bridge_loses_and_repeats_nothing(
    node: Node, web: str, ctr: Ctr, bridge: Bridge, containerd: Containerd, tmp_path: Path
) -> None:
    size = 8 << 20
    process = await node.exec(web, numbers(size), namespace=ctr.namespace, window=None)
    read, kills = b"", 0
    async with aclosing(process.output()) as pieces:
        async for piece in pieces:
            assert piece.offset == len(read)
            assert not piece.missing
            read += piece.data
            if kills < 4 and len(read) > (kills + 1) * size // 6:
                kills += 1
                await asyncio.to_thread(bridge.kill)
                bridge.start()
    assert kills == 4
    assert len(read) == size
    assert read[: size // 2] == pattern(size)[: size // 2]
    ended = await process.wait()
    assert (ended.exit_status, ended.stdout.sha256, ended.stdout.truncated) == (0, digest(read), None)
    bridge.until_logged("is up")
    while leftovers(containerd, tmp_path):
        await asyncio.sleep(0.05)
    assert await execs(ctr) == []


GATED = "echo early; while [ ! -e /go ]; do sleep 0.05; done; echo late; exit 6"


async def test_what_ended_while_the_bridge_was_away_is_said_to_be_perhaps_more(
    node: Node, web: str, ctr: Ctr, bridge: Bridge
) -> None:
    process = await node.exec(web, ["sh", "-c", GATED], namespace=ctr.namespace)
    reading = asyncio.create_task(text_of(process))
    while not (await node.attach(web, process.exec_id, namespace=ctr.namespace)).started.stdout.size:
        await asyncio.sleep(0.02)
    await asyncio.to_thread(bridge.kill)
    await asyncio.to_thread(ctr, "tasks", "exec", "--exec-id", "go", "web", "touch", "/go")
    while await execs(ctr):
        await asyncio.sleep(0.1)
    bridge.start()
    async with asyncio.timeout(90):
        read = await reading
        ended = await process.wait()
    assert read["stdout"] == b"early\n"
    assert (ended.exit_status, ended.stdout.truncated) == (6, "away")
    assert ended.stdout.sha256 == digest(b"early\n")


async def test_input_goes_on_after_a_restart_of_the_bridge(node: Node, web: str, ctr: Ctr, bridge: Bridge) -> None:
    process = await node.exec(web, ["cat"], namespace=ctr.namespace, stdin=True)
    reading = asyncio.create_task(text_of(process))
    await process.write(b"before ")
    await asyncio.to_thread(bridge.kill)
    bridge.start()
    await process.write(b"after")
    await process.close_stdin()
    async with asyncio.timeout(90):
        assert (await reading)["stdout"] == b"before after"
        ended = await process.wait()
    # It had nothing to say when the bridge came back, and is believed all the same.
    assert (ended.exit_status, ended.stdout.truncated) == (0, None)


async def test_a_restart_of_nats_in_the_middle_loses_nothing(
    bridge_factory: BridgeFactory,
    nats_server_factory: NatsServerFactory,
    containerd: Containerd,
    ctr: Ctr,
    web: str,
    tmp_path: Path,
) -> None:
    server = nats_server_factory()
    daemon = bridge_factory(
        *("--containerd", containerd.address, "--nats", server.url, "--node", "n1"),
        *("--state-dir", tmp_path / "state", "--commands", "all", "--fifo-dir", containerd.fifo_dir),
    )
    daemon.until_logged("is up")
    size = 6 << 20
    async with connect(server.url) as bus:
        process = await (await bus.node("n1")).exec(web, numbers(size), namespace=ctr.namespace)
        read, stopped = b"", 0
        async with aclosing(process.output()) as pieces:
            async for piece in pieces:
                assert piece.offset == len(read)
                read += piece.data
                if stopped < 2 and len(read) > (stopped + 1) * size // 4:
                    stopped += 1
                    await asyncio.to_thread(server.kill)
                    await asyncio.to_thread(server.start)
        ended = await process.wait()
    assert stopped == 2
    assert (len(read), ended.stdout.sha256, ended.stdout.truncated) == (size, digest(read), None)


async def test_an_outcome_says_where_the_output_is(node: Node, web: str, ctr: Ctr) -> None:
    found = await node.capture(web, ["echo", "hi"], namespace=ctr.namespace)
    attached = await node.attach(web, found.exec_id, namespace=ctr.namespace)
    assert isinstance(attached.started, ExecResult)
    assert not attached.started.running
    assert (await text_of(attached))["stdout"] == b"hi\n"


async def stored_of(node: Node, ctr: Ctr, container: str, exec_id: str) -> int:
    """How much of its output is stored; 0 too while it does not run yet."""
    try:
        return (await node.attach(container, exec_id, namespace=ctr.namespace)).started.stdout.size
    except CommandFailed:
        return 0


@pytest.mark.parametrize("by", ["kill", "stop"])
@pytest.mark.parametrize("durable", [False, True])
async def test_whoever_waits_for_an_exec_hears_of_its_end_from_the_next_bridge(
    node: Node, web: str, ctr: Ctr, bridge: Bridge, bus: Bus, by: str, durable: bool
) -> None:
    """Its command is open until then, and has one outcome: its process's."""
    script = "echo x >> /ran; echo before; while [ ! -e /go ]; do sleep 0.05; done; echo after; exit 9"
    command = commands.Exec(id="e-1", args=["sh", "-c", script], mode="captured")
    sender = node.sending(Sending(durable=durable, wait=durable))
    sending = asyncio.create_task(sender.send(command, namespace=ctr.namespace, container=web, timeout=90))
    async with asyncio.timeout(90):
        while not (found := await bus.jobs.states("e-1")) or found[0].stage != "started":
            await asyncio.sleep(0.02)
        while await stored_of(node, ctr, web, "e-1") < 7:
            await asyncio.sleep(0.02)
    if by == "kill":
        await asyncio.to_thread(bridge.kill)
    else:
        assert await asyncio.to_thread(bridge.stop) == 0
    before = len(bridge.lines)
    bridge.start()
    await asyncio.to_thread(bridge.until_logged, "command e-1 of an earlier run goes on", after=before)
    await asyncio.to_thread(bridge.live, after=before)
    assert (await bus.jobs.states("e-1"))[0].outcome is None
    await node.capture(web, ["touch", "/go"], namespace=ctr.namespace)
    outcome = await sending
    assert outcome.outcome == "ok", outcome
    output = b"before\nafter\n"
    stdout = outcome.result["stdout"]
    assert (outcome.result["exit_status"], stdout["size"], stdout["truncated"]) == (9, len(output), None)
    assert stdout["sha256"] == digest(output)
    if durable:
        assert stdout["captured"] is None
    else:
        assert base64.b64decode(stdout["captured"]) == output
    again = await node.send(command, namespace=ctr.namespace, container=web)
    assert (again.outcome, again.finished_at) == ("ok", outcome.finished_at)
    # What is kept of a job is without it, so it is read from the bus.
    counted = await node.sending(Sending(durable=True, wait=True)).capture(
        web, ["cat", "/ran"], namespace=ctr.namespace
    )
    assert counted.stdout.captured == b"x\n"


@pytest.mark.parametrize("made_anew", [False, True])
async def test_a_stream_that_is_deleted_in_the_middle_is_said_with_how_much_is_missing(
    node: Node, web: str, ctr: Ctr, nats_url: str, made_anew: bool
) -> None:
    """The process goes on, and so does the stream, from there; what it had before is gone, and nobody is told otherwise."""
    script = "echo before; while [ ! -e /go ]; do sleep 0.05; done; echo after"
    process = await node.exec(web, ["sh", "-c", script], namespace=ctr.namespace, window=None)
    while (await node.attach(web, process.exec_id, namespace=ctr.namespace)).started.stdout.size < 7:
        await asyncio.sleep(0.02)
    client = await nats.connect(nats_url)
    try:
        config = (await client.jetstream(timeout=60).stream_info("CONTAINERD_STDIO")).config
        await client.jetstream(timeout=60).delete_stream("CONTAINERD_STDIO")
        if made_anew:
            await client.jetstream(timeout=60).add_stream(config)
    finally:
        await client.close()
    await node.capture(web, ["touch", "/go"], namespace=ctr.namespace)
    late = await node.attach(web, process.exec_id, namespace=ctr.namespace)
    while late.started.running:
        late = await node.attach(web, process.exec_id, namespace=ctr.namespace)
    assert (late.started.exit_status, late.started.stdout.size, late.started.stdout.truncated) == (0, 13, "lost")
    pieces = [piece async for piece in late.output()]
    assert [(piece.offset, piece.data, piece.missing) for piece in pieces] == [(7, b"after\n", 7)]
