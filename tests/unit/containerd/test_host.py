"""What the kernel says of processes, and that nothing is said of those that are out of sight."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.containerd import host
from bridge.containerd.host import HostProcesses, Process, _described, _interfaces
from bridge.model.nanos import now
from bridge.model.outcomes import ProcessInfo

NET_DEV = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
  eth0: 5000000      40    1    2    0     0          0         0  6000000      50    3    4    0     0       0          0
eth1:7 8 0 0 0 0 0 0 9 10 0 0 0 0 0 0
"""


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Path]:
    """A socket on which we listen ourselves: as a containerd that has our pids."""
    address = tmp_path / "containerd.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(address))
        server.listen()
        yield address


def test_the_interfaces_are_those_but_the_loopback() -> None:
    first, second = _interfaces(NET_DEV)
    assert (first.name, first.rx_bytes, first.rx_packets, first.rx_errors, first.rx_dropped) == (
        "eth0",
        5000000,
        40,
        1,
        2,
    )
    assert (first.tx_bytes, first.tx_packets, first.tx_errors, first.tx_dropped) == (6000000, 50, 3, 4)
    assert (second.name, second.rx_bytes, second.tx_bytes) == ("eth1", 7, 9)


def test_a_process_of_a_host_that_is_ours_is_described(listening: Path) -> None:
    before = now()
    with subprocess.Popen(["sleep", "1000"]) as process:
        try:
            while Path(f"/proc/{process.pid}/comm").read_text() != "sleep\n":
                pass  # the kernel lets us go on a moment before it has renamed the process
            [found] = HostProcesses(listening).described([ProcessInfo(pid=process.pid, exec_id="e")])
        finally:
            process.kill()
    assert (found.pid, found.exec_id, found.parent, found.uid) == (process.pid, "e", os.getpid(), os.getuid())
    assert (found.name, found.command) == ("sleep", ["sleep", "1000"])
    assert found.started_at is not None
    assert abs(found.started_at - before) < 5 * 10**9
    assert found.memory


def test_a_process_that_has_ended_is_what_containerd_said(listening: Path) -> None:
    gone = ProcessInfo(pid=2**22 + 7)
    assert HostProcesses(listening).described([gone]) == [gone]


def test_a_process_in_the_hosts_network_has_none_of_its_own(listening: Path) -> None:
    seen = HostProcesses(listening).networks({"web.1": Process(os.getpid())})
    assert seen is not None
    assert (seen["web.1"].process.pid, seen["web.1"].network) == (os.getpid(), None)


def test_a_pid_that_another_process_has_now_is_not_taken_for_the_old_one(listening: Path) -> None:
    host = HostProcesses(listening)
    found = host.networks({"web.1": Process(os.getpid())})
    assert found is not None
    seen = found["web.1"]
    assert host.networks({"web.1": seen.process}) == {"web.1": seen}
    assert seen.process.began is not None
    assert host.networks({"web.1": Process(os.getpid(), seen.process.began + 1)}) == {}


def test_where_nobody_listens_nothing_is_said(tmp_path: Path) -> None:
    ours = ProcessInfo(pid=os.getpid())
    assert HostProcesses(tmp_path / "none.sock").described([ours]) == [ours]
    assert HostProcesses(tmp_path / "none.sock").networks({"web.1": Process(os.getpid())}) is None


def test_a_host_whose_pids_cannot_be_seen_is_not_taken_for_ours(
    listening: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "listener", lambda _: 0)  # what the kernel says of a peer in a namespace above ours
    ours = ProcessInfo(pid=os.getpid())
    assert HostProcesses(listening).described([ours]) == [ours]


@pytest.mark.parametrize("line", [b"a\0b c\0", b"", b"\xff\0"])
def test_a_command_line_is_read_as_it_is(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "status").write_text("Name:\ta) (b\nPPid:\t7\nUid:\t5\t6\t7\t8\n")
    (tmp_path / "stat").write_text(f"9 (a) (b) S {' '.join(map(str, range(4, 53)))}\n")
    (tmp_path / "cmdline").write_bytes(line)
    found = _described(tmp_path, ProcessInfo(pid=9), 0, 100)
    assert (found.name, found.parent, found.uid, found.memory) == ("a) (b", 7, 5, None)
    assert found.cpu_ns == (14 + 15) * 10**9 // os.sysconf("SC_CLK_TCK")
    assert found.command == [part.decode("utf-8", "replace") for part in line.split(b"\0")[:-1]]


def test_a_long_command_line_is_cut(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("Name:\ta\nPPid:\t7\nUid:\t5\t6\t7\t8\n")
    (tmp_path / "stat").write_text(f"9 (a) S {' '.join(map(str, range(4, 53)))}\n")
    (tmp_path / "cmdline").write_bytes(b"x" * 1000)
    assert _described(tmp_path, ProcessInfo(pid=9), 0, 100).command == ["x" * 100]
