"""What becomes of a process of the command line when something happens to it or to its owner."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bridge.jetstream.permissions import listed, permitted
from bridge.model.subjects import Subjects
from tests.fix_bridge import Bridge
from tests.fix_nats import NatsServerFactory
from tests.testbed import BUSYBOX, Containerd, Ctr

PROGRAM = [sys.executable, "-m", "bridge"]


@pytest.fixture
def place(bridge: Bridge, nats_url: str, ctr: Ctr) -> list[str]:
    """Options that lead to the container `web`, which runs."""
    bridge.until_logged("is up")
    ctr("run", "--detach", BUSYBOX, "web", "sleep", "1000")
    return ["--nats", nats_url, "--node", "n1", "--namespace", ctr.namespace]


def run(*words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*PROGRAM, *words], input=stdin, capture_output=True, timeout=90, check=False)


def test_who_is_killed_because_the_time_was_up_is_said_to_be(place: list[str]) -> None:
    ran = run("exec", *place, "--timeout", "1", "web", "sleep", "100")
    assert ran.returncode == 137
    assert b"of web was killed: its time was up" in ran.stderr
    assert run("exec", *place, "--timeout", "50", "web", "true").stderr == b""


@pytest.mark.parametrize(
    ("command", "denied"),
    [
        ("exec", "STREAM.INFO.CONTAINERD_STDIO"),
        ("exec", "CONSUMER.CREATE.CONTAINERD_STDIO.>"),
        ("exec", "CONSUMER.MSG.NEXT.CONTAINERD_STDIO.>"),
        ("run", "STREAM.INFO.CONTAINERD_STDIO"),
        ("start", "STREAM.INFO.CONTAINERD_STDIO"),
    ],
)
def test_who_could_not_read_it_runs_nothing(
    nats_server_factory: NatsServerFactory, containerd: Containerd, ctr: Ctr, tmp_path: Path, command: str, denied: str
) -> None:
    users = f"""
      {{ user: node, password: x }}
      {{ user: ops, password: x, permissions: {{ publish: {{ allow: ">", deny: ["$JS.API.{denied}"] }} }} }}
    """
    server = nats_server_factory(config=f"authorization {{ users: [{users}] }}")
    place = ["--nats", server.url, "--node", "n1", "--namespace", ctr.namespace]
    place += ["--nats-user", "ops", "--nats-password", "x"]
    daemon = Bridge(
        *("--containerd", containerd.address, "--nats", server.url, "--nats-user", "node", "--nats-password", "x"),
        *("--node", "n1", "--state-dir", tmp_path / "state", "--commands", "all", "--fifo-dir", containerd.fifo_dir),
    )
    with daemon:
        daemon.live()
        daemon.until_logged("is up")
        ctr("run", "--detach", BUSYBOX, "web", "sleep", "1000")
        ctr("containers", "create", BUSYBOX, "made", "sleep", "1000")
        words = {
            "exec": ["exec", *place, "web", "sh", "-c", "touch /ran; sleep 100"],
            "run": ["run", *place, "--name", "new", BUSYBOX, "sleep", "100"],
            "start": ["start", *place, "--attach", "made"],
        }[command]
        ran = run(*words)
        assert ran.returncode in {1, 125}, ran
        assert b"not permit" in ran.stderr, ran
        assert [line.split()[0] for line in ctr("tasks", "list").splitlines()[1:]] == ["web"]
        assert len(ctr("tasks", "ps", "web").splitlines()) == 2
        assert "ran" not in ctr("tasks", "exec", "--exec-id", "look", "web", "ls", "/").split()
        assert "new" not in ctr("containers", "list", "--quiet").split()


def test_an_operator_whose_set_has_the_group_runs_reads_and_types(
    nats_server_factory: NatsServerFactory, containerd: Containerd, ctr: Ctr, tmp_path: Path
) -> None:
    found = permitted(
        "namespace",
        Subjects(),
        inbox="_INBOX.op",
        namespace=ctr.namespace,
        groups=("observe", "lifecycle", "exec"),
    )
    users = "{ user: node, password: x }, { user: ops, password: x, permissions: $OPS }"
    server = nats_server_factory(config=f"{listed('OPS', found)}authorization {{ users: [{users}] }}")
    daemon = Bridge(
        *("--containerd", containerd.address, "--nats", server.url, "--nats-user", "node", "--nats-password", "x"),
        *("--node", "n1", "--state-dir", tmp_path / "state", "--commands", "all", "--fifo-dir", containerd.fifo_dir),
    )
    place = ["--nats", server.url, "--node", "n1", "--namespace", ctr.namespace]
    place += ["--nats-user", "ops", "--nats-password", "x", "--nats-inbox", "_INBOX.op"]
    with daemon:
        daemon.live()
        daemon.until_logged("is up")
        ctr("run", "--detach", BUSYBOX, "web", "sleep", "1000")
        ran = run("exec", *place, "-i", "web", "sh", "-c", "cat; exit 4", stdin=b"typed\n")
        assert (ran.returncode, ran.stdout, ran.stderr) == (4, b"typed\n", b"")
        name = run("exec", "-d", *place, "web", "sh", "-c", "echo out; exit 3").stdout.decode().strip()
        ran = run("attach", *place, "web", "--exec", name, "--from-start")
        assert (ran.returncode, ran.stdout) == (3, b"out\n")
