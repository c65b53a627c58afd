"""The programs of examples/javascript on a live bridge: the official client of NATS reads log and states, and sends commands."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.interop.conftest import Stage
from tests.testbed import Javascript

pytestmark = [pytest.mark.xdist_group("interop"), pytest.mark.nats, pytest.mark.containerd]


def test_an_ordered_consumer_reads_the_log_in_order(stage: Stage, javascript: Javascript) -> None:
    source = f"/containerd/n1/{stage.ctr.namespace}"
    with javascript.running("follow.mjs", stage.url, "1") as following:
        lines = following.until(lambda lines: any(f"{source} job task.exit status 3" in line for line in lines))
        of_job = [line.split(" ", 3)[3] for line in lines if f" {source} job " in line]
        assert [what.strip() for what in of_job][:4] == [
            "container.create",
            "task.create",
            "task.start",
            "task.exit status 3",
        ]
        assert following.stop() == 0


def test_what_comes_later_is_followed_too(stage: Stage, javascript: Javascript) -> None:
    with javascript.running("follow.mjs", stage.url, "1") as following:
        following.until(lambda lines: any(" job task.exit" in line for line in lines))
        stage.ran("later", 4)
        following.until(lambda lines: any(" later task.exit status 4" in line for line in lines))


def test_a_watcher_sees_states_change(stage: Stage, javascript: Javascript) -> None:
    stage.running("watched")
    with javascript.running("watch.mjs", stage.url, "n1") as watching:
        called = f"n1/{stage.ctr.namespace}/watched"
        watching.until(lambda lines: f"{called} running" in [line.strip() for line in lines])
        stage.ctr("tasks", "kill", "--signal", "KILL", "watched")
        watching.until(lambda lines: f"{called} stopped 137" in lines)
        assert watching.stop() == 0


def outcome(javascript: Javascript, stage: Stage, container: str, verb: str, *options: str) -> tuple[int, Any]:
    ran = javascript.run("command.mjs", stage.url, "n1", stage.ctr.namespace, container, verb, *options)
    return ran.returncode, json.loads(ran.stdout or ran.stderr)


def test_a_command_is_a_request_and_its_outcome_the_reply(stage: Stage, javascript: Javascript) -> None:
    stage.running("k8s.io-1")
    status, told = outcome(javascript, stage, "k8s.io-1", "pause", '{"id": "js-1", "purpose": "to see"}')
    assert (status, told["id"], told["outcome"], told["container"]) == (0, "js-1", "ok", "k8s.io-1")
    assert stage.ctr.status("k8s.io-1") == "PAUSED"
    status, told = outcome(javascript, stage, "k8s.io-1", "pause", '{"misspelt": true}')
    assert (status, told["error"]["code"]) == (1, "invalid_argument")


def test_a_job_is_done_once_and_tells_its_outcome_again(stage: Stage, javascript: Javascript) -> None:
    stage.running("worker")
    asked = ("job.mjs", stage.url, "js-job-1", "n1", stage.ctr.namespace, "worker", "stop", '{"grace": 60}')
    first = javascript.run(*asked)
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines()[-1].startswith('ok {"exit_status":0')
    again = javascript.run(*asked)
    assert (again.returncode, again.stdout.splitlines()[-1]) == (0, first.stdout.splitlines()[-1])


def test_a_process_is_run_and_its_output_read(stage: Stage, javascript: Javascript) -> None:
    script = "echo out; echo err >&2; exit 7"
    ran = javascript.run("exec.mjs", stage.url, "n1", stage.ctr.namespace, "web.1", "sh", "-c", script)
    assert (ran.returncode, ran.stdout, ran.stderr) == (7, "out\n", "err\n")


def test_the_nodes_are_instances_of_a_micro_service(stage: Stage, javascript: Javascript) -> None:
    outcome(javascript, stage, "web.1", "inspect")
    ran = javascript.run("nodes.mjs", stage.url)
    first, *counts = ran.stdout.splitlines()
    assert first.split()[0] == "n1"
    assert "lifecycle" in first
    assert any(line.split()[0] == "inspect" for line in counts), ran.stdout


def test_every_message_of_the_log_is_valid_under_the_schema_that_the_bus_tells(
    stage: Stage, javascript: Javascript
) -> None:
    ran = javascript.run("validate.mjs", stage.url)
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    assert ran.stdout.endswith("messages, all valid\n")
