"""The daemon on a real containerd and a real nats-server: order, names, hostile input, outages, and a clean stop."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from base64 import b64decode
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fix_bridge import UNHURRIED, UNHURRIED_S, WORDS, Bridge, BridgeFactory, Stored, stored, until_stored
from tests.fix_containerd import ContainerdFactory
from tests.fix_nats import NatsServerFactory
from tests.testbed import Ctr, NatsServer
from tests.testbed.ctr import SeenEvent

ENDLESS = ("sh", "-c", "trap 'exit 0' TERM; while true; do sleep 1; done")

Told = tuple[str, Any, Any, Any]


def told_by_ctr(seen: list[SeenEvent]) -> dict[str, list[Told]]:
    """Per container what `ctr events` saw, as word, process id, exit status and exec."""
    found: dict[str, list[Told]] = defaultdict(list)
    for event in seen:
        word = WORDS.get(event.topic)
        if word is None:
            continue
        data = event.data
        container = data.get("container_id") or data["id"]
        if word == "exit" and data.get("id") != container:
            word = "exec-exit"
        exit_status = data.get("exit_status", 0) if word in {"exit", "exec-exit", "delete"} else None
        found[container].append((word, data.get("pid"), exit_status, data.get("exec_id")))
    return found


def told_by_us(messages: list[Stored]) -> dict[str, list[Told]]:
    """Per container what the stream holds, in the same form."""
    found: dict[str, list[Told]] = defaultdict(list)
    for message in messages:
        if message.word not in {*WORDS.values(), "exec-exit"}:
            continue
        data = message.data
        exit_status = data["exit_status"] if message.word in {"exit", "exec-exit", "delete"} else None
        found[message.event["subject"]].append((message.word, data.get("pid"), exit_status, data.get("exec_id")))
    return found


def gapless(messages: list[Stored], *, in_one_order: bool = True) -> None:
    """Sequences per container and positions per node count from 1 without holes, in the order of the stream.

    On a server before fast ingest only those of a container are in order. Lease events have no position.
    """
    sequences: dict[tuple[str, str], list[int]] = defaultdict(list)
    for message in messages:
        if "sequence" in message.event:
            sequences[message.event["source"], message.event["subject"]].append(int(message.event["sequence"]))
    for numbers in sequences.values():
        assert numbers == list(range(1, len(numbers) + 1))
    numbered = [message.event["position"] for message in messages if message.word != "lease"]
    positions = [int(position.rpartition(":")[2]) for position in numbered]
    assert (positions if in_one_order else sorted(positions)) == list(range(1, len(positions) + 1))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_300_containers_as_fast_as_ctr_can_are_in_the_stream_as_ctr_events_saw_them(
    bridge: Bridge, ctr: Ctr, nats_url: str
) -> None:
    """Shows that order and completeness per container hold under a burst (guarantee 1)."""
    churn = (
        'export CONTAINERD_NAMESPACE=$1; seq 300 | xargs -P 8 -I{} sh -c "'
        "ctr run --rm --null-io docker.io/library/busybox:local c{} sh -c 'exit \\$(({} % 100))' || true\""
    )
    with ctr.events() as events:
        ctr.host.run("sh", "-c", churn, "churn", ctr.namespace, check=True, timeout=500)
        for _ in range(300):
            events.until_topic("/containers/delete")
    expected = told_by_ctr(events.seen)
    assert len(expected) == 300
    last = events.seen[-1].data["id"]
    messages = until_stored(nats_url, lambda m: m.word == "container-delete" and m.event["subject"] == last, ">")
    assert told_by_us([m for m in messages if m.event["source"].endswith("/" + ctr.namespace)]) == expected
    gapless(messages)


# Side by side these would share control groups, which are the machine's and named after namespace and container.
@pytest.mark.xdist_group("well-known namespaces")
@pytest.mark.parametrize("namespace", ["k8s.io", "a.b"])
def test_ids_and_namespaces_with_dots_are_found_again_under_their_own_names(
    bridge_factory: BridgeFactory, containerd_factory: ContainerdFactory, nats_url: str, tmp_path: Path, namespace: str
) -> None:
    host = containerd_factory()
    bridge = bridge_factory(
        *("--containerd", host.address, "--nats", nats_url, "--node", "n1", "--state-dir", tmp_path / "state"),
        *("--namespace", namespace),
    )
    bridge.live()
    ctr = host.namespace(namespace)
    other = host.namespace("other")
    other.run("web.1", "true")
    ctr.run("web.1", *ENDLESS)
    ctr("tasks", "exec", "--exec-id", "probe.1.2", "web.1", "true")
    quoted = namespace.replace(".", "=2E")
    messages = until_stored(nats_url, lambda m: m.word == "exec-exit")
    words = [m.word for m in messages if m.subject.startswith(f"containerd.events.n1.{quoted}.web=2E1.")]
    assert words[:6] == ["container-create", "create", "start", "exec-added", "exec-started", "exec-exit"]
    assert not [m for m in messages if m.event["source"].endswith("/other")]
    exited = next(m for m in messages if m.word == "exec-exit")
    assert (exited.event["subject"], exited.data["id"]) == ("web.1", "probe.1.2")
    asked = ("--container", "web.1", "--since", "1", "--no-follow", "--format", "json")
    found = subprocess.run(
        [sys.executable, "-m", "bridge", "events", "--nats", nats_url, *asked],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    assert len(found) == len([m for m in messages if m.event.get("subject") == "web.1"])


def publish(ctr: Ctr, topic: str, type_url: str, value: bytes) -> None:
    """Publish an event as any client of containerd's socket may."""
    import grpc

    from bridge._pb.containerd.services import events_pb2
    from bridge._pb.google.protobuf.any_pb2 import Any as AnyMessage

    options = [("grpc.default_authority", "localhost"), ("grpc.max_send_message_length", 16 << 20)]
    with grpc.insecure_channel(f"unix://{ctr.host.address}", options=options) as channel:
        stub = events_pb2.EventsBlockingStub(channel)
        stub.Publish(
            events_pb2.PublishRequest(topic=topic, event=AnyMessage(type_url=type_url, value=value)),
            metadata=[("containerd-namespace", ctr.namespace)],
            timeout=90,
        )


def test_five_megabytes_and_garbage_are_kept_and_flagged_and_the_next_good_event_arrives(
    bridge: Bridge, ctr: Ctr, nats_url: str
) -> None:
    big = bytes(range(256)) * (5 * 1024 * 4)
    publish(ctr, "/tasks/big", "nobody.knows.This", big)
    publish(ctr, "/tasks/exit", "containerd.events.TaskExit", b"\xff\xff\xff garbage")
    ctr.run("web.1", "true")
    messages = until_stored(nats_url, _exit_of("web.1"))
    raw = [m for m in messages if m.word == "raw" and m.event["source"].endswith("/" + ctr.namespace)]
    parts = [m for m in raw if m.data["topic"] == "/tasks/big"]
    assert len(parts) == parts[0].data["parts"] > 1
    assert b"".join(b64decode(m.data["value"]) for m in parts) == big
    assert {m.data["sha256"] for m in parts} == {hashlib.sha256(big).hexdigest()}
    assert {m.data["reason"] for m in parts} <= {"unknown-type", "unknown-topic"}
    [garbage] = [m for m in raw if m.data["topic"] == "/tasks/exit"]
    assert (garbage.data["reason"], b64decode(garbage.data["value"])) == ("undecodable", b"\xff\xff\xff garbage")
    assert messages.index(garbage) < messages.index(next(m for m in messages if m.word == "exit"))
    gapless(messages)


def test_kill_9_of_containerd_is_said_in_the_log_and_as_a_gap_and_the_bridge_goes_on(
    bridge_factory: BridgeFactory, containerd_factory: ContainerdFactory, nats_url: str, tmp_path: Path
) -> None:
    host = containerd_factory()
    bridge = bridge_factory(
        *("--containerd", host.address, "--nats", nats_url, "--node", "n1", "--state-dir", tmp_path / "state")
    )
    bridge.live()
    live = bridge.until_logged("the log says what containerd lists")
    host.kill()
    lost = bridge.until_logged("lost containerd", after=live)
    threading.Event().wait(5)  # the five seconds: the outage itself, no wait for a condition
    host.start()
    bridge.live(after=lost)
    host.namespace("after").run("web.1", "true")
    messages = until_stored(nats_url, lambda m: m.word == "exit")
    words = [
        m.word for m in messages if m.subject.startswith("containerd.nodes.") and m.word not in {"heartbeat", "lease"}
    ]
    assert [word for word in words if not word.startswith("image-")] == [
        *("started", "gap", "connected", "reconciled", "disconnected", "gap", "connected", "reconciled")
    ]
    gap = [m for m in messages if m.word == "gap"][-1]
    assert gap.data["since"] < gap.data["until"]
    assert gap.data["reason"]
    gapless(messages)


def test_kill_9_of_nats_loses_nothing_and_keeps_the_order(
    bridge_factory: BridgeFactory, ctr: Ctr, nats_server_factory: NatsServerFactory, tmp_path: Path
) -> None:
    server: NatsServer = nats_server_factory()
    bridge = bridge_factory(
        *("--containerd", ctr.host.address, "--nats", server.url, "--node", "n1", "--state-dir", tmp_path / "state")
    )
    live = bridge.live()
    with ctr.events() as events:
        ctr.run("before", "true")
        events.until_topic("/tasks/exit", "before")
        server.kill()
        for number in range(5):
            ctr.run(f"during.{number}", "sh", "-c", f"exit {number}")
            events.until_topic("/tasks/exit", f"during.{number}")
        bridge.until_logged("events wait in the outbox", after=live)
        server.start()
        bridge.until_logged("the log takes events again", after=live)
        ctr.run("after", "true")
        events.until_topic("/tasks/exit", "after")
    messages = until_stored(server.url, _exit_of("after"))
    assert told_by_us([m for m in messages if m.event["source"].endswith("/" + ctr.namespace)]) == told_by_ctr(
        events.seen
    )
    gapless(messages)


def _exit_of(container: str) -> Callable[[Stored], bool]:
    return lambda message: message.word == "exit" and message.event["subject"] == container


def test_kill_9_of_the_bridge_repeats_nothing_and_renumbers_nothing(
    bridge_factory: BridgeFactory, ctr: Ctr, nats_url: str, tmp_path: Path
) -> None:
    bridge = bridge_factory(
        *("--containerd", ctr.host.address, "--nats", nats_url, "--node", "n1", "--state-dir", tmp_path / "state")
    )
    live = bridge.live()
    for container in ("a", "b", "c"):
        ctr.run(container, "true")
        until_stored(nats_url, _exit_of(container))
        bridge.kill()
        bridge.start()
        live = bridge.live(after=live)
    starts = set[str]()

    def fourth_start(message: Stored) -> bool:
        if message.word == "connected":
            starts.add(message.event["id"])
        return len(starts) == 4

    messages = until_stored(nats_url, fourth_start)
    gapless(messages)
    assert len({m.event["id"] for m in messages}) == len(messages)
    assert [m.data["reason"] for m in messages if m.word == "gap"][1:] == ["the bridge was not running"] * 3


def test_sigterm_stops_it_in_order_with_everything_in_the_log(bridge: Bridge, ctr: Ctr, nats_url: str) -> None:
    ctr.run("web.1", "true")
    until_stored(nats_url, lambda m: m.word == "exit")
    assert bridge.stop() == 0
    assert bridge.log[-1] == "stopped"
    messages = stored(nats_url)
    assert messages[-1].word == "stopped"
    gapless(messages)


def test_sigterm_while_nats_is_away_stops_it_too_and_the_next_start_delivers(
    bridge_factory: BridgeFactory, ctr: Ctr, nats_server_factory: NatsServerFactory, tmp_path: Path
) -> None:
    server: NatsServer = nats_server_factory()
    bridge = bridge_factory(
        *("--containerd", ctr.host.address, "--nats", server.url, "--node", "n1", "--state-dir", tmp_path / "state")
    )
    live = bridge.live()
    server.kill()
    ctr.run("web.1", "true")
    bridge.until_logged("events wait in the outbox", after=live)
    assert bridge.stop() == 0
    server.start()
    bridge.start()
    messages = until_stored(server.url, lambda m: m.word == "connected" and int(m.event["position"].split(":")[1]) > 5)
    words = [m.word for m in messages if m.word != "lease"]
    assert words.index("create") < words.index("stopped") < words.index("started", 1)
    gapless(messages)


def test_labels_and_image_are_in_the_events_of_a_container(bridge: Bridge, ctr: Ctr, nats_url: str) -> None:
    ctr.run("web.1", "true", options=("--label", "app=shop"))
    ctr.delete("web.1")
    messages = until_stored(nats_url, lambda m: m.word == "container-delete")
    for message in messages:
        if message.event.get("subject") == "web.1":
            assert message.data["labels"]["app"] == "shop"
            assert message.data["image"] == "docker.io/library/busybox:local"
            assert message.data["runtime"] == "io.containerd.runc.v2"


def test_sigterm_during_the_start_ends_it_at_once(
    bridge_factory: BridgeFactory, ctr: Ctr, nats_server_factory: NatsServerFactory, tmp_path: Path
) -> None:
    server: NatsServer = nats_server_factory()
    server.freeze()  # accepts, and never says a word
    bridge = bridge_factory(
        *("--containerd", ctr.host.address, "--nats", server.url, "--node", "n1", "--state-dir", tmp_path / "state"),
        program=UNHURRIED,
    )
    bridge.until_logged("containerd ")
    assert bridge.stop(within=UNHURRIED_S - 10) == 0
    server.thaw()


def test_a_start_that_fails_while_events_come_in_is_a_sentence_and_no_crash(
    bridge_factory: BridgeFactory, ctr: Ctr, nats_server_factory: NatsServerFactory, tmp_path: Path
) -> None:
    denied = 'deny: ["containerd.commands.>"]'
    server: NatsServer = nats_server_factory(
        config="authorization { users: [{ user: u, password: p, "
        f'permissions: {{ subscribe: {{ allow: [">"], {denied} }}, publish: ">" }} }}] }}'
    )
    for attempt in range(5):
        bridge = bridge_factory(
            *("--containerd", ctr.host.address, "--nats", server.url.replace("//", "//u:p@"), "--node", "n1"),
            *("--state-dir", tmp_path / "state", "--commands", "all"),
        )
        ctr.run(f"c{attempt}", "true")
        assert bridge.process.wait(90) == 2
        bridge.until_ended()
        assert "may not" in bridge.log[-1] or "permi" in bridge.log[-1]
