"""Whether another bridge has ended: believed only where it cannot be otherwise."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bridge.capture.holder import boot_id, has_ended, ourselves
from bridge.model.nodes import NodeRecord


@pytest.fixture
def ours(tmp_path: Path) -> NodeRecord:
    return ourselves("n1", log="ours", state_dir=tmp_path, lease_s=10.0, containerd="2.1.9", groups=["observe"])


@pytest.fixture
def running() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits until it is let go."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.communicate(b"\n")


def other(ours: NodeRecord, **fields: Any) -> NodeRecord:
    """The record of another bridge on this host, with a state directory of its own."""
    return replace(ours, **{"holder": "other", "log": "other", "state_dir": "0:0", **fields})


def gone() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_our_own_record_says_who_we_are(ours: NodeRecord, tmp_path: Path) -> None:
    assert (ours.pid, ours.boot_id, ours.containerd, ours.groups) == (os.getpid(), boot_id(), "2.1.9", ["observe"])
    assert None not in {ours.pid_namespace, ours.pid_started, ours.state_dir, ours.boot_id}
    assert ourselves("n1", log="ours", state_dir=tmp_path, lease_s=10.0).holder != ours.holder


def test_a_process_that_runs_has_not_ended(ours: NodeRecord) -> None:
    assert not has_ended(other(ours), ours)


def test_a_process_that_is_gone_has_ended(ours: NodeRecord) -> None:
    assert has_ended(other(ours, pid=gone()), ours)


def test_a_process_that_ended_and_is_not_waited_for_has_ended(
    ours: NodeRecord, running: subprocess.Popen[bytes]
) -> None:
    theirs = other(ours, pid=running.pid, pid_started=None)
    assert not has_ended(theirs, ours)
    running.kill()
    os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOWAIT)
    assert has_ended(theirs, ours)


def test_a_number_that_is_used_again_is_another_process(ours: NodeRecord) -> None:
    assert ours.pid_started is not None
    assert has_ended(other(ours, pid_started=ours.pid_started - 1), ours)
    assert not has_ended(other(ours, pid_started=None), ours)


@pytest.mark.parametrize(
    "fields", [{"boot_id": "another"}, {"boot_id": None}, {"pid_namespace": 1}, {"pid_namespace": None}]
)
def test_a_number_of_elsewhere_proves_nothing(ours: NodeRecord, fields: dict[str, Any]) -> None:
    assert not has_ended(other(ours, pid=gone(), **fields), ours)


def test_whoever_worked_in_our_directory_has_ended_because_we_have_its_lock(ours: NodeRecord) -> None:
    theirs = other(ours, log=ours.log, state_dir=ours.state_dir, pid_namespace=1)  # a container's, say
    assert has_ended(theirs, ours)


@pytest.mark.parametrize(
    "fields",
    [{"state_dir": "1:2"}, {"state_dir": None}, {"log": "other"}, {"boot_id": "another"}, {"boot_id": None}],
    ids=["a copy of the directory", "unknown", "another outbox in it", "a clone of the machine", "nothing known"],
)
def test_what_only_looks_like_our_directory_proves_nothing(ours: NodeRecord, fields: dict[str, Any]) -> None:
    same = {"log": ours.log, "state_dir": ours.state_dir, "pid_namespace": 1}
    assert not has_ended(other(ours, **{**same, **fields}), ours)
