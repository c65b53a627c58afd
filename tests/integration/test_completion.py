"""Completion in real shells: bash, zsh and fish, with containers of a real bridge."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fix_bridge import WITHIN_S, Bridge
from tests.guards import lacking
from tests.integration.test_tmux import Window, window
from tests.testbed import Ctr

__all__ = ["window"]

ROOT = Path(__file__).parents[2]
SHELLS = {
    "bash": ["bash", "--norc", "--noprofile", "-c"],
    "fish": ["fish", "--no-config", "-c"],
}
ASKS = {
    "bash": """source <(containerd-bridge completion bash)
COMP_LINE={line}; COMP_POINT=${{#COMP_LINE}}; read -ra COMP_WORDS <<<"$COMP_LINE"
_containerd_bridge; printf '%s\\n' "${{COMPREPLY[@]}}" """,
    "fish": "containerd-bridge completion fish | source; complete -C {line}",
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of somebody who has the program installed."""
    home = tmp_path_factory.mktemp("home")
    program = home / "bin" / "containerd-bridge"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m bridge "$@"\n')
    program.chmod(0o755)
    return {
        **os.environ,
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PS1": "ready> ",
    }


def asked(shell: str, line: str, environ: dict[str, str]) -> list[str]:
    """What the shell's own machinery offers for a line."""
    if shutil.which(shell) is None:
        lacking(f"{shell} is not installed: `scripts/machine` does that as root")
    script = ASKS[shell].format(line=shlex.quote(line))
    done = subprocess.run([*SHELLS[shell], script], env=environ, capture_output=True, text=True, check=False)
    assert not done.stderr
    return [each.partition("\t")[0] for each in done.stdout.splitlines() if each]


@pytest.mark.parametrize("shell", SHELLS)
def test_commands_options_and_values(shell: str, installed: dict[str, str]) -> None:
    assert asked(shell, "containerd-bridge ev", installed) == ["events"]
    assert sorted(asked(shell, "containerd-bridge checkpoint i", installed)) == ["import", "inspect"]
    assert asked(shell, "containerd-bridge events --form", installed) == ["--format"]
    assert sorted(asked(shell, "containerd-bridge events --format ", installed)) == ["docker", "json", "table"]
    assert asked(shell, "containerd-bridge kill -s SIGK", installed) == ["SIGKILL"]


@pytest.mark.containerd
@pytest.mark.nats
@pytest.mark.parametrize("shell", SHELLS)
def test_containers_of_the_bus(shell: str, installed: dict[str, str], bridge: Bridge, nats_url: str, ctr: Ctr) -> None:
    bridge.live()
    ctr.run("web.1", "sleep", "1000")
    line = f"containerd-bridge stop --nats {nats_url} --namespace {ctr.namespace} we"
    deadline = time.monotonic() + WITHIN_S
    while (found := asked(shell, line, installed)) != ["web.1"]:
        assert time.monotonic() < deadline, found
    # What was found is kept for some seconds; it is no other than what is asked for.
    assert asked(shell, line.replace(" we", " xy"), installed) == []


@pytest.mark.parametrize(
    ("shell", "arguments", "source"),
    [
        ("bash", ["--norc", "--noprofile"], "source <(containerd-bridge completion bash)"),
        ("zsh", ["-f"], "source <(containerd-bridge completion zsh)"),
    ],
)
def test_in_a_terminal(
    shell: str, arguments: list[str], source: str, installed: dict[str, str], window: Window
) -> None:
    if shutil.which(shell) is None:
        lacking(f"{shell} is not installed: `scripts/machine` does that as root")
    environ = {name: installed[name] for name in ("HOME", "XDG_CACHE_HOME", "PATH", "PS1")}
    window.type(
        shlex.join(["env", *(f"{name}={value}" for name, value in environ.items()), shell, *arguments]), "Enter"
    )
    window.type("clear", "Enter")
    window.until("^ready>$", line=0)
    window.type(f"{source}; clear; echo loaded", "Enter")
    window.until("^loaded$", line=0)
    window.type("containerd-bridge eve", "Tab")
    window.until("containerd-bridge events")
    window.type("--", "--form", "Tab")
    window.until("events --format")
    window.type("doc", "Tab")
    window.until("--format docker")
    window.type("C-c")
