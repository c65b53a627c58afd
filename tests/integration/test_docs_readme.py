"""README.md: its commands that need nobody at a terminal are carried out on a real bridge, and end well.

Those that go on for ever, or want a terminal or an image that is not there, are only read (`test_docs_commands.py`).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from bridge.cli import main
from tests.contract.checkpointing import WAITS
from tests.fix_bridge import Bridge, until_stored
from tests.testbed import BUSYBOX, Ctr

PAGE: Final = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
ENDS: Final = ("sh", "-c", f"trap 'exit 0' TERM; {WAITS}\nwhile true; do waits; done")
ONLY_READ: Final = re.compile(r" (serve|events|top|migrate)\b| -it | --at 2h| nginx")
"""Those; two hours ago there was no log here, and there is no second node."""
LAST: Final = ("wait", "pause")
"""What waits for an end, or makes others wait, comes when all the others are done."""


def commands() -> list[str]:
    """The README's calls as lines of shell, in an order in which each can succeed."""
    block = re.search(r"^```\n(containerd-bridge ps .*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert block is not None
    lines = [line.partition("  #")[0].strip() for line in block[1].splitlines()]
    wanted = [line for line in lines if not ONLY_READ.search(f" {line.removeprefix('containerd-bridge ')} ")]
    return sorted(wanted, key=lambda line: (" stop " in line) + 2 * any(f" {verb} " in line for verb in LAST))


def test_the_readme_s_commands_do_what_they_say(bridge: Bridge, nats_url: str, ctr: Ctr, tmp_path: Path) -> None:
    ctr("run", "--detach", "--label", "app=web", BUSYBOX, "web.1", *ENDS)
    ctr("containers", "create", BUSYBOX, "job", "sh", "-c", "exit 0")
    until_stored(nats_url, lambda message: message.event.get("subject") == "job")
    program = tmp_path / "containerd-bridge"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m bridge "$@"\n')
    program.chmod(0o755)
    environ = os.environ | {"CONTAINERD_BRIDGE_NATS": nats_url, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    told = commands()
    assert len(told) > 9, told
    for line in told:
        if " pause " in line:
            main(["stop", "web.1", "--durable", "--id", "deploy-7", "--wait", "--nats", nats_url])
            ctr("tasks", "rm", "--force", "web.1", check=False)
            ctr("tasks", "start", "--detach", "web.1")
        ran = subprocess.run(["sh", "-c", line], env=environ, capture_output=True, text=True, timeout=90, check=False)
        assert ran.returncode == 0, (line, ran.stdout, ran.stderr)
    assert ctr.status("web.1") == "PAUSED"
