"""The daemon with every generation of containerd and of nats-server that is supported: the same log from each."""

from __future__ import annotations

from pathlib import Path

from tests.fix_bridge import BridgeFactory, until_stored
from tests.integration.test_serve import ENDLESS, gapless, told_by_ctr, told_by_us
from tests.testbed import Ctr, NatsServer


def live_a_whole_life(ctr: Ctr, container: str) -> None:
    """Make, run, exec, pause, resume, kill and delete a container."""
    ctr.run(container, *ENDLESS, options=("--label", "app=shop"))
    ctr("tasks", "exec", "--exec-id", "check.1", container, "sh", "-c", "exit 4", check=False)
    ctr("tasks", "pause", container)
    ctr("tasks", "resume", container)
    ctr.kill(container)


def test_a_whole_life_and_an_oom_are_in_the_log_as_ctr_events_saw_them(
    bridge_factory: BridgeFactory, every_ctr: Ctr, nats_url: str, tmp_path: Path
) -> None:
    ctr = every_ctr
    bridge = bridge_factory(
        *("--containerd", ctr.host.address, "--nats", nats_url, "--node", "n1", "--state-dir", tmp_path / "state"),
        *("--namespace", ctr.namespace),
    )
    bridge.live()
    with ctr.events() as events:
        live_a_whole_life(ctr, "web.1")
        events.until(lambda event: event.topic == "/tasks/exit" and event.data["id"] == "web.1")
        ctr.delete("web.1")
        events.until_topic("/containers/delete", "web.1")
        ctr.run(
            "greedy", "sh", "-c", "x=xxxxxxxx; while true; do x=$x$x$x; done", options=("--memory-limit", "16777216")
        )
        events.until_topic("/tasks/exit", "greedy")
    expected = told_by_ctr(events.seen)
    messages = until_stored(nats_url, lambda m: m.word == "exit" and m.event["subject"] == "greedy")
    assert told_by_us(messages) == expected
    words = [word for word, *_ in expected["web.1"]]
    assert words[:6] == ["container-create", "create", "start", "exec-added", "exec-started", "exec-exit"]
    assert {"paused", "resumed", "exit"} <= set(words)
    gapless(messages)


def test_servers_before_fast_ingest_hold_the_same_log(
    bridge_factory: BridgeFactory, ctr: Ctr, older_nats_server: NatsServer, tmp_path: Path
) -> None:
    server = older_nats_server
    bridge = bridge_factory(
        *("--containerd", ctr.host.address, "--nats", server.url, "--node", "n1", "--state-dir", tmp_path / "state"),
        *("--namespace", ctr.namespace),
    )
    live = bridge.live()
    with ctr.events() as events:
        ctr.run("before", "true")
        events.until_topic("/tasks/exit", "before")
        server.kill()
        for number in range(3):
            ctr.run(f"during.{number}", "sh", "-c", f"exit {number}")
            events.until_topic("/tasks/exit", f"during.{number}")
        bridge.until_logged("events wait in the outbox", after=live)
        server.start()
        bridge.until_logged("the log takes events again", after=live)
        ctr.run("after", "true")
        events.until_topic("/tasks/exit", "after")
    messages = until_stored(server.url, lambda m: m.word == "exit" and m.event["subject"] == "after")
    assert told_by_us(messages) == told_by_ctr(events.seen)
    gapless(messages, in_one_order=False)
