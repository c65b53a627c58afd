"""The process that enters containerd's namespaces, as far as it can be tried without entering any."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bridge.containerd import visitor
from bridge.containerd.visits import Unseen, Visits

TABLE = """\
-P INPUT ACCEPT
-N CRIU
-N DOCKER
-A INPUT -j CRIU
-A INPUT -j DOCKER
-A INPUT -s 127.0.0.1/32 -p tcp -m mark ! --mark 0xc114 -m tcp --sport 5 -j DROP
-A OUTPUT -j CRIU
-A OUTPUT -m mark ! --mark 0xc115 -j DROP
-A CRIU -m mark --mark 0xc114 -j ACCEPT
-A CRIU -j DROP
-A CRIUS -j DROP
"""
CRIUS = [
    "-N CRIU",
    "-A INPUT -j CRIU",
    "-A INPUT -s 127.0.0.1/32 -p tcp -m mark ! --mark 0xc114 -m tcp --sport 5 -j DROP",
    "-A OUTPUT -j CRIU",
    "-A CRIU -m mark --mark 0xc114 -j ACCEPT",
    "-A CRIU -j DROP",
]


class Programs:
    """Stands for the programs that there are, and what they were asked to do."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def __call__(self, *argv: str) -> list[Any]:
        line = " ".join(argv)
        if line == "iptables -w -S":
            return [0, TABLE]
        if line == "nft list tables":
            return [0, "table inet CRIU-77\ntable ip filter\n"]
        if argv[0] == "ip6tables":
            return [127, "ip6tables: not found"]
        self.done.append(line)
        return [0, ""]


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Programs:
    programs = Programs()
    monkeypatch.setattr(visitor, "run", programs)
    return programs


def test_the_rules_of_criu_are_told_from_all_others(programs: Programs) -> None:
    assert visitor.rules() == {"iptables": CRIUS, "nft": ["table inet CRIU-77"]}


def test_only_what_was_not_there_before_is_removed(programs: Programs) -> None:
    visitor.unlock({"iptables": CRIUS, "nft": ["table inet CRIU-77"]})
    assert programs.done == []
    visitor.unlock({"iptables": [line for line in CRIUS if "OUTPUT" not in line]})
    assert programs.done == ["iptables -w -D OUTPUT -j CRIU", "nft delete table inet CRIU-77"]


class Rules:
    """A network's rules, as iptables has them; only this program is there."""

    def __init__(self) -> None:
        self.there = ["-P INPUT ACCEPT", "-A INPUT -j OTHERS"]

    def __call__(self, *argv: str) -> list[Any]:
        if argv[0] != "iptables":
            return [127, ""]
        word, *rest = argv[2:]
        rule = " ".join(rest)
        match word:
            case "-S":
                return [0, "\n".join(self.there)]
            case "-N":
                self.there.append(f"-N {rule}")
            case "-A" | "-I":
                self.there.append(f"-A {rule}")
            case "-D":
                self.there.remove(f"-A {rule}")
            case "-F":
                self.there = [line for line in self.there if not line.startswith(f"-A {rule} ")]
            case "-X":
                self.there.remove(f"-N {rule}")
        return [0, ""]


def test_a_network_is_held_once_and_released_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = Rules()
    monkeypatch.setattr(visitor, "run", rules)
    before = list(rules.there)
    visitor.release()
    assert rules.there == before
    assert (visitor.hold(others=True), visitor.hold(others=True)) == ("", "")
    assert sorted(set(rules.there) - set(before)) == [
        "-A CONTAINERD-BRIDGE -j DROP",
        "-A INPUT -j CONTAINERD-BRIDGE",
        "-A OUTPUT -j CONTAINERD-BRIDGE",
        "-N CONTAINERD-BRIDGE",
    ]
    assert len(rules.there) == len(set(rules.there))
    visitor.release()
    assert rules.there == before


def test_where_only_nft_is_a_table_holds_it_and_where_nothing_is_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def nft(*argv: str) -> list[Any]:
        if argv[0] != "nft":
            return [127, ""]
        done.append(" ".join(argv[1:]))
        return [0, "table inet containerd-bridge\n"]

    monkeypatch.setattr(visitor, "run", nft)
    assert not visitor.hold(others=True)
    assert visitor.release()
    assert [line.split(" {")[0] for line in done] == [
        "add table inet containerd-bridge",
        "add chain inet containerd-bridge input",
        "add chain inet containerd-bridge output",
        "list tables",
        "delete table inet containerd-bridge",
    ]
    monkeypatch.setattr(visitor, "run", lambda *_: [127, ""])
    assert "install iptables" in visitor.hold(others=True)


@pytest.mark.parametrize("network", ["", "/proc/self/ns/net"])
def test_what_all_hangs_on_is_never_held(network: str) -> None:
    """A spec may name the host's network by its path. No program is found here, so that nothing happens where this fails."""
    request = json.dumps({"namespaces": {}, "network": network, "steps": [["hold"]]})
    argv = [sys.executable, "-I", "-S", visitor.__file__, request]
    answer = json.loads(subprocess.run(argv, capture_output=True, check=True, env={"PATH": "/nowhere"}).stdout)
    if os.geteuid() and network:
        pytest.skip("nobody but root enters a network")
    assert "it is the network of containerd's host, or the bridge's own" in answer["results"][0]


def test_a_network_that_is_not_opened_again_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = Rules()
    monkeypatch.setattr(visitor, "run", rules)
    assert not visitor.hold(others=True)
    monkeypatch.setattr(visitor, "run", lambda *argv: [4, ""] if argv[2] == "-X" else rules(*argv))
    assert not visitor.release()


def test_the_connections_of_a_process_are_counted_and_of_nobody_else() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as one:
        before = visitor.connections([os.getpid(), 2**22 + 1])  # others of ours too
        assert before >= 1
        accepted, _ = server.accept()  # nobody's until now
        with accepted:
            assert visitor.connections([os.getpid()]) == before + 1
        one.close()
        assert visitor.connections([os.getpid()]) < before + 1


def test_the_chain_goes_when_all_that_leads_to_it_has_gone(programs: Programs) -> None:
    visitor.unlock({})
    assert programs.done[:5] == [f"iptables -w -D {line[3:]}" for line in CRIUS[1:]]
    assert programs.done[5:] == ["iptables -w -X CRIU", "nft delete table inet CRIU-77"]


def test_it_answers_in_one_line_whatever_comes() -> None:
    def ask(request: dict[str, Any]) -> dict[str, Any]:
        argv = [sys.executable, "-I", "-S", visitor.__file__, json.dumps({"network": "", **request})]
        ran = subprocess.run(argv, capture_output=True, check=True)
        answer: dict[str, Any] = json.loads(ran.stdout)
        return answer

    steps = [["run", "sh", "-c", "echo out; echo err >&2; exit 3"], ["run", "no-such-program"]]
    assert ask({"namespaces": {}, "steps": steps}) == {
        "results": [[3, "out\nerr\n"], [127, "no-such-program: not found"]]
    }
    assert "No such file" in ask({"namespaces": {"net": "/proc/0/ns/net"}, "steps": []})["error"]
    assert ask({"namespaces": {}, "network": "/dev/null", "steps": []})["error"] == "Invalid argument (/dev/null)"

    with socket.create_server(("127.0.0.1", 0)) as one:
        port = ["tcp", "127.0.0.1", one.getsockname()[1]]
        everybodys, ours, nobodys = ask(
            {"namespaces": {}, "steps": [["listening"], ["listening", os.getpid()], ["listening", 2**22 + 1]]}
        )["results"]
        assert (port in everybodys, port in ours, nobodys) == (True, True, [])
    assert ask({"namespaces": {}, "steps": [["missing", "/", "/nowhere"]]})["results"] == [["/nowhere"]]


async def test_where_nobody_listens_nothing_is_visited(tmp_path: Path) -> None:
    with pytest.raises(Unseen, match="out of sight"):
        await Visits(tmp_path / "containerd.sock").do(("run", "true"))


async def test_what_is_longer_than_can_be_asked_is_not_seen(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "containerd.sock"))
        listening.listen()
        with pytest.raises(Unseen, match="Argument list too long"):
            await Visits(tmp_path / "containerd.sock").do(("missing", *["/x" * 1000] * 200))


@pytest.mark.parametrize(
    ("kernels", "ours"),
    [
        ("0100007F", "127.0.0.1"),
        ("00000000", "0.0.0.0"),
        ("0000000000000000FFFF00000100007F", "127.0.0.1"),
        ("00000000000000000000000001000000", "::1"),
    ],
)
@pytest.mark.skipif(sys.byteorder != "little", reason="these are of processors that have the last byte first")
def test_addresses_are_read_as_the_kernel_shows_them(kernels: str, ours: str) -> None:
    assert visitor._address(kernels) == ours
