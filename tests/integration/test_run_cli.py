"""`containerd-bridge run`, `start -a` and `attach` as a person uses them: as if the container were a program of this terminal."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fix_bridge import Bridge
from tests.integration.test_creation import NOTHING, left
from tests.terminal import PROGRAM, WITHIN_S, screen
from tests.testbed import Ctr

IMAGE = "busybox:local"
CTRL_C, LEAVE = "\x03", "\x10\x11"


@pytest.fixture
def place(bridge: Bridge, nats_url: str, ctr: Ctr) -> list[str]:
    """Options that say where containers are made."""
    bridge.until_logged("is up")
    return ["--nats", nats_url, "--node", "n1", "--namespace", ctr.namespace]


def cli(place: list[str], *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command, *rest = words
    return subprocess.run([*PROGRAM, command, *place, *rest], input=stdin, capture_output=True, timeout=90, check=False)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.05)


def running(place: list[str], *words: str) -> subprocess.Popen[bytes]:
    command, *rest = words
    return subprocess.Popen([*PROGRAM, command, *place, *rest], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


# -- pipes


def test_output_status_and_arguments_are_the_containers_own(place: list[str], ctr: Ctr) -> None:
    ran = cli(place, "run", "--rm", IMAGE, "sh", "-c", "echo $0 $1; echo err >&2; exit 7", "-x", "--help")
    assert (ran.returncode, ran.stdout, ran.stderr) == (7, b"-x --help\n", b"err\n")
    until(lambda: left(ctr) == NOTHING)


def test_a_pipe_is_its_input_to_the_last_byte(place: list[str]) -> None:
    for data in (b"", b"hi\n", bytes(range(256)) * 5_000):
        ran = cli(place, "run", "-i", "--rm", IMAGE, "cat", stdin=data)
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, data, b"")


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["nosuchimage", "true"], 125, b"there is no image docker.io/library/nosuchimage:latest"),
        ([IMAGE, "nosuchprogram"], 127, b"executable file not found"),
        ([IMAGE, "/tmp"], 126, b"is a directory"),
    ],
)
def test_what_does_not_come_to_run_ends_as_with_docker(
    place: list[str], ctr: Ctr, words: list[str], status: int, sentence: bytes
) -> None:
    ran = cli(place, "run", *words)
    assert (ran.returncode, ran.stdout) == (status, b"")
    assert sentence in ran.stderr
    assert left(ctr) == NOTHING


def test_what_runs_detached_is_seen_later_from_any_byte_on(place: list[str]) -> None:
    script = "echo early; read line; echo late $line; exit 3"
    assert cli(place, "run", "-d", "-i", "--id", "job", IMAGE, "sh", "-c", script).stdout == b"job\n"
    with running(place, "attach", "--no-stdin", "--from", "0", "job") as looking:
        assert looking.stdout is not None
        assert looking.stdout.read(6) == b"early\n"
        ran = cli(place, "attach", "--from", "2", "job", stdin=b"night\n")
        assert (ran.returncode, ran.stdout) == (3, b"rly\nlate night\n")
        assert (looking.stdout.read(), looking.wait(WITHIN_S)) == (b"late night\n", 3)
    ended = cli(place, "attach", "job")
    assert (ended.returncode, ended.stdout) == (3, b"early\nlate night\n")


def test_what_is_started_again_is_seen_as_before(place: list[str]) -> None:
    assert cli(place, "create", "--id", "job", IMAGE, "sh", "-c", "echo once; exit 4").returncode == 0
    for _ in range(2):
        ran = cli(place, "start", "-a", "job")
        assert (ran.returncode, ran.stdout, ran.stderr) == (4, b"once\n", b"")


def test_input_of_a_started_container(place: list[str]) -> None:
    assert cli(place, "create", "-i", "--id", "cat", IMAGE, "cat").returncode == 0
    ran = cli(place, "start", "-i", "cat", stdin=b"in and out")
    assert (ran.returncode, ran.stdout) == (0, b"in and out")


def test_input_may_come_and_end_before_its_container_is_started(
    place: list[str], bridge: Bridge, tmp_path: Path
) -> None:
    assert cli(place, "create", "-i", "--id", "cat", IMAGE, "cat").returncode == 0
    with subprocess.Popen(
        [*PROGRAM, "attach", *place, "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as early:
        assert early.stdin is not None
        early.stdin.write(b"early\n")
        early.stdin.close()
        until(lambda: [*(tmp_path / "state" / "stdio").glob("*/stdin.end")])
        bridge.kill()
        after = len(bridge.lines)
        bridge.start()
        bridge.live(after=after)
        assert cli(place, "start", "cat").returncode == 0
        assert early.stdout is not None
        assert (early.stdout.read(), early.wait(WITHIN_S)) == (b"early\n", 0)


def test_who_reads_no_more_leaves_it_running_and_is_told(place: list[str], ctr: Ctr) -> None:
    with running(place, "run", "--rm", "--id", "yes", IMAGE, "yes") as yes:
        assert yes.stdout is not None
        assert yes.stderr is not None
        assert yes.stdout.read(4) == b"y\ny\n"
        yes.stdout.close()
        assert yes.wait(WITHIN_S) == 141
        assert b"nobody reads the output of yes any more" in yes.stderr.read()
    assert ctr.status("yes") == "RUNNING"


# -- signals


def test_signals_are_sent_on(place: list[str]) -> None:
    script = "trap 'echo int' INT; trap 'echo term; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    with running(place, "run", "--rm", IMAGE, "sh", "-c", script) as process:
        assert process.stdout is not None
        assert process.stdout.read(6) == b"ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.read(4) == b"int\n"
        process.send_signal(signal.SIGTERM)
        assert (process.stdout.read(), process.wait(WITHIN_S)) == (b"term\n", 5)


def pending(pid: int, number: signal.Signals) -> bool:
    """Tell whether this process has not looked at a signal yet."""
    status = Path(f"/proc/{pid}/status").read_text()
    return any(
        int(bits, 16) >> (number - 1) & 1 for bits in re.findall(r"^S(?:ig|hd)Pnd:\s*(\w+)$", status, re.MULTILINE)
    )


def test_the_third_interrupt_leaves_what_takes_no_notice(place: list[str], ctr: Ctr) -> None:
    with running(place, "run", "--id", "deaf", IMAGE, "sh", "-c", "echo ready; sleep 1000") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(6) == b"ready\n"
        for _ in range(3):
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            until(lambda: not pending(process.pid, signal.SIGINT))  # two that wait together are one to the kernel
        assert process.wait(WITHIN_S) == 130
        assert b"'containerd-bridge attach deaf' comes back to it" in process.stderr.read()
    assert ctr.status("deaf") == "RUNNING"


def test_without_the_proxy_an_interrupt_is_ours(place: list[str], ctr: Ctr) -> None:
    words = ("--no-sig-proxy", "--id", "job", IMAGE, "sh", "-c", "echo ready; sleep 1000")
    with running(place, "run", *words) as process:
        assert process.stdout is not None
        assert process.stdout.read(6) == b"ready\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(WITHIN_S) == 130
    assert ctr.status("job") == "RUNNING"


def test_rm_is_the_nodes_affair_also_when_we_are_killed(place: list[str], ctr: Ctr) -> None:
    script = "echo ready; while [ ! -e /stop ]; do sleep 0.05; done"
    with running(place, "run", "--rm", "--id", "job", IMAGE, "sh", "-c", script) as process:
        assert process.stdout is not None
        assert process.stdout.read(6) == b"ready\n"
        process.kill()
    assert ctr.status("job") == "RUNNING"
    assert cli(place, "exec", "job", "touch", "/stop").returncode == 0
    until(lambda: left(ctr) == NOTHING)


# -- a terminal


def test_a_shell_in_a_terminal(place: list[str], ctr: Ctr) -> None:
    with screen("run", *place, "-it", "--rm", IMAGE, "sh") as shell:
        shell.until(r"# ")
        shell.type("tty; busybox stty size\n")
        shell.until(r"/dev/pts/\d+\r\n30 90\r\n")
        assert shell.settings != shell.before
        shell.resize(120, 40)
        os.kill(shell.process.pid, signal.SIGWINCH)
        shell.type("until busybox stty size | grep 120; do sleep 0.1; done\n")
        shell.until(r"40 120\r\n")
        # What says so is in the foreground by then; between two words of its own line a shell takes the key for itself.
        shell.type("sh -c 'echo asleep; exec sleep 100'\n")
        shell.until(r"\nasleep\r\n")
        shell.type(CTRL_C)
        shell.until(r"\^C\r\n")
        shell.type("exit 12\n")
        assert shell.ends() == 12
        assert shell.settings == shell.before
    until(lambda: left(ctr) == NOTHING)


def test_the_size_is_there_before_the_first_look(place: list[str]) -> None:
    with screen("run", *place, "-t", "--rm", IMAGE, "busybox", "stty", "size") as looking:
        looking.until(r"30 90\r")
        assert looking.ends() == 0


def test_one_leaves_comes_back_and_goes_on(place: list[str]) -> None:
    with screen("run", *place, "-it", "--name", "shop", "--id", "sh.1", IMAGE, "sh") as shell:
        shell.until(r"# ")
        shell.type("A=still\n")
        shell.type(LEAVE)
        assert shell.ends() == 0
        assert shell.settings == shell.before
        shell.until(r"left shop, which goes on: 'containerd-bridge attach sh.1' comes back to it")
    with screen("attach", *place, "--detach-keys", "ctrl-x,q", "sh.1") as shell:
        shell.type("echo $A there\n")
        shell.until(r"still there\r\n")
        shell.type("\x18q")
        assert shell.ends() == 0
    with screen("attach", *place, "sh.1") as shell:
        shell.type("echo $A here; exit 6\n")
        shell.until(r"still here\r\n")
        assert shell.ends() == 6


def test_a_created_shell_is_started_in_a_terminal(place: list[str]) -> None:
    assert cli(place, "create", "-it", "--id", "sh.1", IMAGE, "sh").returncode == 0
    with screen("start", *place, "-ai", "sh.1") as shell:
        shell.until(r"# ")
        shell.type("until busybox stty size | grep 90; do sleep 0.1; done\n")
        shell.until(r"30 90\r\n")
        shell.type("exit 4\n")
        assert shell.ends() == 4
        assert shell.settings == shell.before


def test_while_the_bridge_is_away_what_is_typed_waits_and_one_can_leave(place: list[str], bridge: Bridge) -> None:
    with screen("run", *place, "-it", "--id", "sh.1", IMAGE, "sh") as shell:
        shell.until(r"# ")
        bridge.kill()
        shell.type("echo the other side\n")
        shell.until(r"its node does not answer: what is sent to it waits, and ctrl-p ctrl-q leaves\r\n")
        bridge.start()
        shell.until(r"\nthe other side\r\n")
        bridge.kill()
        shell.type("exit 3\n")
        shell.type(LEAVE)
        assert shell.ends() == 0
        assert shell.settings == shell.before
    after = len(bridge.lines)
    bridge.start()
    bridge.live(after=after)
    with screen("attach", *place, "sh.1") as shell:
        shell.type("exit 5\n")
        assert shell.ends() in {3, 5}  # what was typed before one left may have come, or not


@pytest.mark.parametrize("words", [["nosuchimage"], [IMAGE, "nosuchprogram"]])
def test_a_terminal_is_given_back_where_nothing_came_to_run(place: list[str], words: list[str]) -> None:
    with screen("run", *place, "-it", *words) as shell:
        assert shell.ends() == (125 if words == ["nosuchimage"] else 127)
        assert shell.settings == shell.before


def test_a_terminal_is_asked_of_us_where_one_is_wanted(place: list[str]) -> None:
    ran = cli(place, "run", "-it", IMAGE, "sh")
    assert (ran.returncode, b"the input is no terminal" in ran.stderr) == (2, True)
