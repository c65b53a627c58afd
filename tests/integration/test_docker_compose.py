"""compose.yaml on the real Docker Engine: the image, the log by Docker's names, health, commands on Docker's containers."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.fix_bridge import WITHIN_S, Bridge, BridgeFactory
from tests.fix_engine import ENGINE
from tests.pages import blocks, differs, shown
from tests.testbed import Engine

pytestmark = [pytest.mark.containerd, pytest.mark.nats, ENGINE, pytest.mark.timeout(600)]

OF_PROJECT = "com.docker.compose.project"
OF_SERVICE = "com.docker.compose.service"
EXAMPLES = ("examples/compose/audit.yaml", "examples/compose/grow.yaml")
FILES = tuple(option for name in ("compose.yaml", *EXAMPLES) for option in ("--file", name))
CLAIMED = blocks("docs/docker.md", "console")
ASIDE = {
    "docker compose up": "the fixture has done it, with an image that was built without network",
    "docker compose down": "the last test does it",
}
"""Lines that are not typed here, and why."""
NUMBER = "com.docker.compose.container-number"


def read(engine: Engine, *args: str) -> list[dict[str, Any]]:
    """What the client prints, asked beside the subscriber and with its login."""
    told = engine.compose("exec", "--no-TTY", "subscriber", "containerd-bridge", *args, "--namespace", "moby", "--json")
    return [json.loads(line) for line in told.splitlines()]


def command(engine: Engine, *args: str) -> subprocess.CompletedProcess[str]:
    """Send a command as compose.yaml says it is done."""
    return engine.run("compose", "run", "--rm", "--no-TTY", "ctl", *args, "--namespace", "moby", check=False)


def events(engine: Engine, name: str, *options: str) -> list[dict[str, Any]]:
    return read(engine, "events", "--since", "1h", "--no-follow", "--no-node-events", "--name", name, *options)


def until(
    engine: Engine, name: str, wanted: Callable[[list[dict[str, Any]]], bool], *options: str
) -> list[dict[str, Any]]:
    """Read the log again and again until it has what is wanted."""
    deadline = time.monotonic() + WITHIN_S
    while not wanted(found := events(engine, name, *options)):
        assert time.monotonic() < deadline, f"it is not in the log: {found[-20:]}"
    return found


def words(found: list[dict[str, Any]]) -> list[str]:
    return [one["type"] for one in found]


def test_the_image_is_small_and_nobody_s_in_particular(engine: Engine) -> None:
    config = json.loads(engine("image", "inspect", "containerd-bridge"))[0]
    base = json.loads(engine("image", "inspect", "python:3.13-slim"))[0]
    assert config["Config"]["User"] == "10001:10001"
    assert config["Size"] - base["Size"] < 120e6
    assert config["Config"]["Labels"]["org.opencontainers.image.title"] == "containerd-bridge"
    assert engine("run", "--rm", "--network", "none", "containerd-bridge", "--version").startswith("containerd-bridge ")


def test_a_service_is_in_the_log_by_its_name_from_its_first_event_on(project: Engine) -> None:
    found = until(project, "containerd-bridge-web-1", lambda told: "io.containerd.task.start.v1" in words(told))
    assert words(found)[:3] == [
        "io.containerd.container.create.v1",
        "io.containerd.task.create.v1",
        "io.containerd.task.start.v1",
    ]
    identity = project("inspect", "--format", "{{.Id}}", "containerd-bridge-web-1")
    for one in found:
        assert one["subject"] == identity
        assert one["data"]["name"] == "containerd-bridge-web-1"
        assert one["data"]["image"] == "busybox:1.37"
        labels = one["data"]["labels"]
        assert (labels[OF_PROJECT], labels[OF_SERVICE], labels[NUMBER]) == ("containerd-bridge", "web", "1")
    [row] = read(project, "ps", "--label", f"{OF_SERVICE}=web")
    assert (row["name"], row["container"], row["status"]) == ("containerd-bridge-web-1", identity, "running")


def test_what_a_health_check_says_is_an_event_and_stands_in_the_state(project: Engine) -> None:
    def said(found: list[dict[str, Any]]) -> list[str]:
        return [one["data"]["status"] for one in found]

    web = "containerd-bridge-web-1"
    found = until(project, web, lambda told: said(told)[:2] == ["starting", "healthy"], "--type", "health")
    assert [one["data"]["labels"][OF_SERVICE] for one in found] == ["web"] * len(found)
    project.compose("exec", "web", "rm", "/tmp/ready")
    until(project, web, lambda told: said(told)[-1:] == ["unhealthy"], "--type", "health")
    deadline = time.monotonic() + WITHIN_S
    while (row := read(project, "ps", "--name", web)[0])[
        "health"
    ] != "unhealthy":  # states are kept soon behind the log
        assert time.monotonic() < deadline, row
    project.compose("exec", "web", "touch", "/tmp/ready")
    until(project, web, lambda told: said(told)[-1:] == ["healthy"], "--type", "health")
    assert "health" not in {one["type"] for one in events(project, "containerd-bridge-hungry-1")}


def test_a_service_that_fails_is_seen_to_fail_and_to_be_started_again(project: Engine) -> None:
    name = "containerd-bridge-flaky-1"
    ends = until(project, name, lambda told: len(told) >= 2, "--type", "exit")
    assert {one["data"]["exit_status"] for one in ends} == {3}
    starts = until(project, name, lambda told: len(told) >= 2, "--type", "start")
    assert len({one["incarnation"] for one in starts}) == len(starts)


def test_a_service_that_runs_out_of_memory_is_seen_to(project: Engine) -> None:
    name = "containerd-bridge-hungry-1"
    found = until(project, name, lambda told: "io.containerd.task.exit.v1" in words(told))
    assert "io.containerd.task.oom.v1" in words(found)
    [end] = [one for one in found if one["type"] == "io.containerd.task.exit.v1"]
    assert end["data"]["exit_status"] == 137


def test_a_command_reaches_a_demo_container_and_nothing_else(project: Engine) -> None:
    def state(field: str) -> str:
        return project("inspect", "--format", f"{{{{.State.{field}}}}}", "containerd-bridge-web-1")

    assert command(project, "pause", "containerd-bridge-web-1").returncode == 0
    soon(lambda: state("Paused") == "true")
    assert command(project, "resume", "containerd-bridge-web-1").returncode == 0
    soon(lambda: state("Paused") == "false")
    until(project, "containerd-bridge-web-1", lambda told: len(told) == 2, "--type", "paused", "--type", "resumed")

    ran = command(project, "pause", "containerd-bridge-nats-1")
    assert ran.returncode != 0
    assert "no rule of /etc/containerd-bridge/policy.toml allows pause" in ran.stderr + ran.stdout
    assert project("inspect", "--format", "{{.State.Paused}}", "containerd-bridge-nats-1") == "false"


def test_another_name_is_told_at_once(project: Engine) -> None:
    project("rename", "containerd-bridge-web-1", "shop-front")
    try:
        found = until(project, "shop-front", bool)
        assert words(found)[0] == "io.containerd.container.update.v1"
    finally:
        project("rename", "shop-front", "containerd-bridge-web-1")
    until(project, "containerd-bridge-web-1", lambda told: words(told).count("io.containerd.container.update.v1") == 1)


def test_the_examples_keep_an_audit_trail_and_give_memory(project: Engine) -> None:
    project.compose(*FILES, "up", "--detach", "audit", "grow", "growing")
    soon(
        lambda: "it was enough" in project.compose(*FILES, "logs", "growing"),
        why=lambda: project.compose(*FILES, "logs", "grow", "growing"),
    )
    said = project.compose(*FILES, "logs", "--no-log-prefix", "grow")
    assert "16777216 bytes are not enough" in said
    assert "raised to" in said
    ends = "select count(*) from exits where name = 'containerd-bridge-growing-1' and exit_status = 137"
    asked = (
        f"import sqlite3; print(sqlite3.connect('/var/lib/containerd-bridge/audit.db').execute({ends!r}).fetchone()[0])"
    )
    soon(lambda: int(project.compose(*FILES, "exec", "--no-TTY", "audit", "python3", "-c", asked)) >= 1)


def outside(factory: BridgeFactory, engine: Engine, nats_url: str, state_dir: Path) -> Bridge:
    """A second bridge, outside of Docker, on the same containerd and the same dockerd."""
    bridge = factory(
        *("--containerd", engine.containerd, "--docker", f"unix://{engine.socket}", "--nats", nats_url, "--node", "n1"),
        *("--state-dir", state_dir, "--namespace", "moby", "--commands", "lifecycle,observe"),
    )
    bridge.live()
    return bridge


def ask(nats_url: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run the client outside of Docker."""
    return subprocess.run(
        [sys.executable, "-m", "bridge", *args, "--nats", nats_url], capture_output=True, text=True, check=False
    )


def test_a_bridge_without_the_switch_for_moby_changes_nothing(
    project: Engine, bridge_factory: BridgeFactory, nats_url: str, tmp_path: Path
) -> None:
    outside(bridge_factory, project, nats_url, tmp_path / "state")
    refused = ask(nats_url, "pause", "containerd-bridge-web-1")
    assert refused.returncode != 0
    assert "foreign" in refused.stderr
    assert project("inspect", "--format", "{{.State.Paused}}", "containerd-bridge-web-1") == "false"


def _shows(project: Engine, lines: list[str], args: list[str]) -> bool:
    return not differs(lines, project(*args).splitlines())


LOOK = """
import json
from urllib.error import HTTPError
from urllib.request import Request, urlopen

def ask(path):
    asked = Request(f"http://127.0.0.1:9465/api/{path}", headers={"Authorization": "Bearer change-me-change-me"})
    return urlopen(asked, timeout=60)

found = {}
try:
    rows = json.loads(ask("states?at=0s").read())["rows"]
    found["rows"] = [row.get("name") for row in rows]
    found["first"] = json.loads(ask("extent").read())["first"]
    web = [row["key"] for row in rows if row.get("name") == "containerd-bridge-web-1"]
    life = json.loads(ask(f"containers/{web[0]}/history").read()) if web else {"steps": []}
    found["steps"] = [step["event"]["word"] for step in life["steps"]]
    with ask("stream") as stream:
        messages = (json.loads(line[6:]) for line in stream if line.startswith(b"data: "))
        for message in messages:
            found["trouble"] = message.get("trouble")
            found["events"] = [event["word"] for event in message.get("events", [])]
            if found["trouble"] or found["events"]:
                break
except HTTPError as error:
    found["error"] = f"{error} {error.read().decode()}"
print(json.dumps(found))
"""
"""What the page says of a point, of its reach, of a container's life, and of events: the first message that has any."""


def test_the_page_in_the_browser_is_served_with_what_is_there(project: Engine) -> None:
    def look() -> str:
        ran = project.run("compose", "exec", "--no-TTY", "page", "python3", "-c", LOOK, check=False)
        return ran.stdout + ran.stderr

    def is_whole() -> bool:
        said = look()
        found = json.loads(said) if said.startswith("{") else {}
        return (
            "containerd-bridge-web-1" in found.get("rows", [])
            and "start" in found.get("steps", [])
            and found["first"] is not None
            and bool(found.get("events"))
            and found["trouble"] is None
        )

    soon(is_whole, why=lambda: look() + project.compose("logs", "page"))


def test_the_page_of_the_docs_shows_what_happens(project: Engine) -> None:
    for block in CLAIMED:
        for one in shown(block):
            if any(one.command.startswith(line) for line in ASIDE):
                continue
            program, *args = shlex.split(one.command)
            assert program == "docker"
            if args[0] == "inspect":  # dockerd hears of it a moment later
                soon(partial(_shows, project, one.lines, args))
                continue
            ran = project.run(*args)
            assert not one.lines or differs(one.lines, ran.stdout.splitlines()) == "", one.command


def test_down_leaves_nothing_but_the_log(
    project: Engine, bridge_factory: BridgeFactory, nats_url: str, tmp_path: Path
) -> None:
    """The last one: the project is gone after it."""
    web = "containerd-bridge-web-1"
    outside(bridge_factory, project, nats_url, tmp_path / "state")
    # What ran before this bridge is told with all that Docker says of it, health too.
    soon(lambda: "running (healthy)" in ask(nats_url, "ps", "--name", web).stdout)
    project.compose(*FILES, "down", "--volumes", "--timeout", "1")
    ours = f"label={OF_PROJECT}=containerd-bridge"
    assert project("ps", "--all", "--quiet", "--filter", ours) == ""
    assert project("network", "ls", "--quiet", "--filter", ours) == ""
    assert project("volume", "ls", "--quiet", "--filter", ours) == ""

    def told() -> list[dict[str, Any]]:
        asked = ask(nats_url, "events", "--since", "1h", "--no-follow", "--no-node-events", "--json", "--name", web)
        return [json.loads(line) for line in asked.stdout.splitlines()]

    soon(lambda: "io.containerd.container.delete.v1" in words(told()))
    assert {one["data"]["labels"][OF_SERVICE] for one in told()} == {"web"}


def soon(true: Callable[[], bool], *, why: Callable[[], str] = str) -> None:
    """Wait until it is true; `why` may say why it is not."""
    deadline = time.monotonic() + WITHIN_S
    while not true():
        assert time.monotonic() < deadline, why()
        time.sleep(0.05)
