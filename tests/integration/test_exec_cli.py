"""`containerd-bridge exec` and `attach` as a person uses them: pipes, a terminal, keys, signals, exit statuses."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.fix_bridge import Bridge
from tests.terminal import PROGRAM, WITHIN_S, screen
from tests.testbed import BUSYBOX, Ctr


@pytest.fixture
def place(bridge: Bridge, nats_url: str, ctr: Ctr) -> list[str]:
    """Options that say where the container `web` is."""
    ctr("run", "--detach", BUSYBOX, "web", "sleep", "1000")
    bridge.until_logged("is up")
    return ["--nats", nats_url, "--node", "n1", "--namespace", ctr.namespace]


def run(place: list[str], *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command, *rest = words
    return subprocess.run([*PROGRAM, command, *place, *rest], input=stdin, capture_output=True, timeout=90, check=False)


# -- pipes


def test_output_status_and_arguments_are_the_program_s_own(place: list[str]) -> None:
    ran = run(place, "exec", "web", "sh", "-c", "echo $0 $1; echo err >&2; exit 7", "-x", "--help")
    assert (ran.returncode, ran.stdout, ran.stderr) == (7, b"-x --help\n", b"err\n")


@pytest.mark.parametrize("data", [b"", b"x", b"hi\n", bytes(range(256)) * 5_000])
def test_a_pipe_is_its_input_to_the_last_byte(place: list[str], data: bytes) -> None:
    ran = run(place, "exec", "-i", "web", "cat", stdin=data)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, data, b"")


def test_a_file_can_be_its_input(place: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"in a file\n")
    with open(tmp_path / "file", "rb") as file:
        ran = subprocess.run(
            [*PROGRAM, "exec", *place, "-i", "web", "cat"], stdin=file, capture_output=True, timeout=90, check=True
        )
    assert ran.stdout == b"in a file\n"


def test_a_program_that_is_not_there_ends_as_in_a_shell(place: list[str]) -> None:
    ran = run(place, "exec", "web", "nosuchprogram")
    assert ran.returncode == 127
    assert b"cannot run 'nosuchprogram' in container web: there is no such program in it" in ran.stderr
    assert run(place, "exec", "web", "/tmp").returncode == 126


def test_who_reads_no_more_ends_the_process_too(place: list[str], ctr: Ctr) -> None:
    yes = subprocess.Popen([*PROGRAM, "exec", *place, "web", "yes"], stdout=subprocess.PIPE)
    assert yes.stdout is not None
    assert yes.stdout.read(4) == b"y\ny\n"
    yes.stdout.close()
    assert yes.wait(WITHIN_S) == 141
    deadline = time.monotonic() + WITHIN_S
    while len(ctr("tasks", "ps", "web").splitlines()) > 2:
        assert time.monotonic() < deadline, ctr("tasks", "ps", "web")
        time.sleep(0.05)


def test_ctrl_c_interrupts_the_process(place: list[str]) -> None:
    script = "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.05; done"
    process = subprocess.Popen([*PROGRAM, "exec", *place, "web", "sh", "-c", script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.read(6) == b"ready\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.read() == b"caught\n"
    assert process.wait(WITHIN_S) == 9
    process.stdout.close()


def test_a_detached_one_is_attached_to_later(place: list[str]) -> None:
    started = run(place, "exec", "-d", "web", "sh", "-c", "echo early; sleep 2; echo late; exit 3")
    name = started.stdout.decode().strip()
    ran = run(place, "attach", "web", "--exec", name, "--from-start")
    assert (ran.returncode, ran.stdout) == (3, b"early\nlate\n")


# -- with nobody there


def test_one_is_captured_or_a_job(place: list[str]) -> None:
    script = "head -c 300000 /dev/zero; echo err >&2; exit 3"
    ran = run(place, "exec", "--capture", "--exec-id", "big", "web", "sh", "-c", script)
    assert (ran.returncode, len(ran.stdout)) == (3, 256 * 1024)
    assert ran.stderr.splitlines()[-1] == b"err"
    assert (
        b"stdout has 37856 bytes more: 'containerd-bridge attach web --exec big --from-start' shows all" in ran.stderr
    )
    ran = run(place, "exec", "--json", "--cap", "chown", "web", "busybox", "grep", "CapEff", "/proc/self/status")
    assert (ran.returncode, ran.stderr) == (0, b"")
    told = json.loads(ran.stdout)
    assert base64.b64decode(told["stdout"]["captured"]).split() == [b"CapEff:", b"0000000000000001"]
    job = ["exec", "--durable", "--id", "job-1"]
    assert run(place, *job, "web", "sh", "-c", "echo done; exit 4").stdout == b"web job-1\n"
    ran = run(place, *job, "--wait", "web", "sh", "-c", "echo done; exit 4")
    assert (ran.returncode, ran.stdout, ran.stderr) == (4, b"done\n", b"")


def test_somebody_else_sizes_its_terminal_and_ends_its_input(place: list[str]) -> None:
    waits = "until busybox stty size 2>/dev/null | grep '7 90'; do sleep 0.05; done"
    assert run(place, "exec", "-dt", "--exec-id", "sized", "web", "sh", "-c", waits).stdout == b"sized\n"
    assert run(place, "resize", "--width", "90", "--height", "7", "--exec", "sized", "web").stdout == b"web\n"
    ran = run(place, "attach", "--no-stdin", "--from-start", "--exec-id", "sized", "web")
    assert (ran.returncode, ran.stdout[-6:]) == (0, b"7 90\r\n")
    assert run(place, "exec", "-di", "--exec-id", "fed", "web", "cat").stdout == b"fed\n"
    assert run(place, "close-stdin", "--exec", "fed", "web").stdout == b"web\n"
    ran = run(place, "attach", "--exec", "fed", "web", stdin=b"too late")
    assert (ran.returncode, ran.stdout) == (0, b"")


# -- a terminal


def test_a_shell_in_a_terminal(place: list[str]) -> None:
    with screen("exec", *place, "-it", "web", "sh") as shell:
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
        shell.type("\x03")  # for the process there, not for us
        shell.until(r"\^C\r\n")
        shell.type("exit 12\n")
        assert shell.ends() == 12
        assert shell.settings == shell.before


def test_the_detach_keys_leave_it_running(place: list[str]) -> None:
    with screen("exec", *place, "-it", "web", "sh") as shell:
        shell.until(r"# ")
        shell.type("A=still\n")
        shell.type("echo name $HOSTNAME\x10\x10x\n")  # ctrl-p alone is the process's
        shell.type("\x10\x11")
        assert shell.ends() == 0
        assert shell.settings == shell.before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_terminal_is_given_back_whatever_ends_us(place: list[str], number: signal.Signals) -> None:
    with screen("exec", *place, "-it", "web", "sh") as shell:
        shell.until(r"# ")
        assert shell.settings != shell.before
        shell.process.send_signal(number)
        assert shell.ends() == 128 + number
        assert shell.settings == shell.before


def test_a_terminal_is_asked_of_us_where_one_is_wanted(place: list[str]) -> None:
    ran = run(place, "exec", "-it", "web", "sh")
    assert ran.returncode == 2
    assert b"the input is no terminal" in ran.stderr


def test_the_container_s_own_terminal(place: list[str], ctr: Ctr) -> None:
    ctr("containers", "create", "--tty", BUSYBOX, "shell", "sh")
    assert run(place, "start", "--stdin", "shell").returncode == 0
    with screen("attach", *place, "--from-start", "shell") as shell:
        shell.until(r"# ")
        shell.type(
            "until busybox stty size | grep '30 90'; do sleep 0.1; done\n"
        )  # a redraw is a resize and another one
        shell.until(r"30 90\r\n")
        shell.type("exit 4\n")
        assert shell.ends() == 4


def test_a_hundred_thousand_lines_are_shown_as_they_are(place: list[str]) -> None:
    script = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done"
    ran = run(place, "exec", "web", "sh", "-c", script)
    expected = b"".join(b"line %d\n" % n for n in range(20_000))
    assert hashlib.sha256(ran.stdout).digest() == hashlib.sha256(expected).digest()
