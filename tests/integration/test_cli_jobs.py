"""`--durable`, `--label` and `jobs` as somebody types them, with a real bridge, containerd and nats-server behind them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.fix_bridge import Bridge, until_stored
from tests.testbed import Ctr

ENDLESS = ("sh", "-c", "trap 'exit 0' TERM; while true; do sleep 0.1; done")


class Shell:
    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self, *words: str, status: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "bridge", *words, "--nats", self.url],
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == status, (words, done.stdout, done.stderr)
        return done.stdout if status == 0 else done.stderr


@pytest.fixture
def shell(nats_url: str) -> Shell:
    return Shell(nats_url)


def test_a_job_from_its_acceptance_to_its_outcome(bridge: Bridge, ctr: Ctr, shell: Shell) -> None:
    ctr.run("web.1", *ENDLESS)
    where = ("--node", "n1", "-n", ctr.namespace)
    assert shell("pause", "web.1", *where, "--durable", "--wait", "--id", "a-1") == "web.1\n"
    assert shell("resume", "web.1", *where, "--durable", "--id", "a-2") == "web.1 a-2\n"
    assert shell("resume", "web.1", *where, "--durable", "--wait", "--id", "a-2") == "web.1\n"
    shown = json.loads(shell("jobs", "show", "a-1", "--json"))
    assert (shown["standing"], shown["outcome"]["outcome"], shown["via"]) == ("finished", "ok", "job")
    assert "standing   finished: ok" in shell("jobs", "show", "a-2")
    assert "a-1" not in shell("jobs", "list")
    assert "finished: ok" in shell("jobs", "list", "--all")
    assert "nobody knows a command a-9" in shell("jobs", "show", "a-9", status=1)
    assert "command a-1 has ended" in shell("jobs", "cancel", "a-1", status=1)
    assert "is paused" not in shell("stop", "web.1", *where, "--if-status", "paused", status=1)


def test_a_label_reaches_every_container_that_has_it(bridge: Bridge, ctr: Ctr, shell: Shell, nats_url: str) -> None:
    for name, label in (("web.1", "web"), ("web.2", "web"), ("db.1", "db")):
        ctr.run(name, *ENDLESS, options=("--label", f"app={label}"))
    until_stored(nats_url, lambda message: message.word == "start" and message.event["subject"] == "db.1")
    place = f"n1/{ctr.namespace}"

    def stopped() -> list[str]:
        return sorted(shell("stop", "--label", "app=web", "-n", ctr.namespace, "--id", "b-1").splitlines())

    while len(told := stopped()) < 2:  # the states follow the log within a moment
        pass
    assert told == [f"{place}/web.1", f"{place}/web.2"]
    assert (ctr.status("web.1"), ctr.status("web.2"), ctr.status("db.1")) == ("STOPPED", "STOPPED", "RUNNING")
