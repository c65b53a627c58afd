"""`events --format docker` beside a real Docker Engine: of the same containers both tell the same, field by field."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from bridge.cli import main
from tests.fix_bridge import WITHIN_S, Bridge
from tests.fix_containerd import ContainerdFactory
from tests.testbed import Docker, docker_on

TOLD_BY_BOTH = ("start", "die", "pause", "unpause", "oom", "exec_create", "exec_start", "exec_die")
"""What containerd knows of too. The rest dockerd does by itself: `create` and `destroy`, `attach`, `kill`, `stop`."""

OLDER = ("status", "id", "from")
"""Fields that Docker 29 (API 1.52) has not any more, and the 28 of the test host still has."""

KNOWN_TO_DOCKER = ("name", "image", "app")
"""Attributes that dockerd keeps for itself: the bridge has them where it may ask dockerd."""


def test_the_same_containers_are_told_as_docker_tells_them(
    containerd_factory: ContainerdFactory, nats_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host = containerd_factory("2.1")
    with docker_on(host) as docker:
        options = ("--nats", nats_url, "--containerd", host.address, "--state-dir", tmp_path, "--node", "n1")
        with Bridge(*options, "--namespace", "moby") as bridge:
            bridge.live()
            _live_and_die(docker)
            theirs = _by_docker(docker)
            ours = _by_us(nats_url, capsys, wanted=len([one for one in theirs if one["Action"] == "die"]))

    assert _by_container(ours) == _by_container(theirs)
    assert {one["Action"].partition(":")[0] for one in theirs} == set(TOLD_BY_BOTH)
    assert all(one["time"] == one["timeNano"] // 1_000_000_000 for one in ours)
    assert {tuple(one) for one in ours} == {tuple(name for name in one if name not in OLDER) for one in theirs}


def _live_and_die(docker: Docker) -> None:
    run = ("run", "--detach", "--network", "none", "--security-opt", "seccomp=unconfined", "--label", "app=web")
    docker(*run, "--name", "short", "busybox:local", "sh", "-c", "sleep 0.3; exit 3")
    docker("wait", "short")
    docker(*run, "--name", "long", "busybox:local", "sh", "-c", "while true; do sleep 1; done")
    docker("pause", "long")
    docker("unpause", "long")
    docker("exec", "long", "sh", "-c", "sleep 0.3; exit 5", check=False)
    docker("restart", "--time", "0", "long")
    docker("stop", "--time", "0", "long")
    docker(
        *run,
        "--name",
        "greedy",
        "--memory",
        "8m",
        "--memory-swap",
        "8m",
        "busybox:local",
        "sh",
        "-c",
        "sleep 0.3; tail /dev/zero",
    )
    docker("wait", "greedy")
    docker("rm", "--force", "short", "long", "greedy")


def _by_docker(docker: Docker) -> list[dict[str, Any]]:
    """What it tells afterwards: it keeps the last 256."""
    said = docker("events", "--since", "1", "--until", str(int(time.time()) + 1), "--format", "{{json .}}")
    found = [json.loads(line) for line in said.splitlines()]
    return [one for one in found if one["Type"] == "container" and one["Action"].partition(":")[0] in TOLD_BY_BOTH]


def _by_us(nats_url: str, capsys: pytest.CaptureFixture[str], *, wanted: int) -> list[dict[str, Any]]:
    deadline = time.monotonic() + WITHIN_S
    while True:
        assert main(["events", "--nats", nats_url, "--no-follow", "--format", "docker"]) == 0
        found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        if len([one for one in found if one["Action"] == "die"]) >= wanted:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def _by_container(found: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The events of each container in their order; what happens to several at the same time has none."""
    ids = {one["Actor"]["ID"] for one in found}
    return {each: [_plain(one) for one in found if one["Actor"]["ID"] == each] for each in ids}


def _plain(one: dict[str, Any]) -> dict[str, Any]:
    """An event as far as two clocks, and what containerd is told of, allow: by container and in order."""
    attributes = {key: value for key, value in one["Actor"]["Attributes"].items() if key not in KNOWN_TO_DOCKER}
    if "execDuration" in attributes:  # whole seconds of two clocks: dockerd counts from when it heard of it
        attributes["execDuration"] = ""
    action = one["Action"].partition(":")[0]  # Docker has the command of an exec there, containerd only its id
    return {
        "Type": one["Type"],
        "Action": action,
        "ID": one["Actor"]["ID"],
        "Attributes": attributes,
        "scope": one["scope"],
    }
