"""README.md as somebody would follow it: its own line starts the bridge with a server of its own, and its lines are typed.

What the page shows of `events` is compared without regard to the order, since the record of a command may stand on either side
of what the command caused; and `events` is asked until all of it is there.
"""

from __future__ import annotations

import os
import re
import shlex
import time
from pathlib import Path
from typing import Final

import pytest

from bridge.jetstream.embedded import embedded_config
from tests.fix_bridge import WITHIN_S, Bridge
from tests.guards import needs_the_machine
from tests.pages import Shown, blocks, differs, shown
from tests.shell import Shell
from tests.testbed import BUSYBOX, Containerd

pytestmark = [pytest.mark.containerd, pytest.mark.nats]

CLAIMED: Final = blocks("README.md", "console")

ASIDE: Final = {
    "python3 -m venv": "what is installed into it is here already, and from this checkout",
    "/opt/containerd-bridge/bin/pip": "the same",
    "export PATH": "the same",
    "containerd-bridge serve": "is started first and goes on beside all the others",
    "containerd-bridge pull": "there may be no way to a registry: the image is put there",
}
"""Lines that are not typed, and why."""

LEFT_OUT: Final = re.compile(r"^\d{4}-\d\d-\d\d$| delete +status 0$")
"""The day; and the event `delete`, which containerd 2.1 does not always tell."""

SERVE: Final = "containerd-bridge serve "


def test_the_readme_does_what_it_says(tmp_path: Path) -> None:
    lines = [one for block in CLAIMED for one in shown(block)]
    [serve] = [one.command for one in lines if one.command.startswith(SERVE)]
    with needs_the_machine(), Containerd("2.1", own_cgroups=True) as host:
        ctr = host.namespace("default")
        ctr.import_busybox()
        ctr("images", "tag", BUSYBOX, "docker.io/library/busybox:latest")
        settings = {
            "CONTAINERD_BRIDGE_CONTAINERD": str(host.address),
            "CONTAINERD_BRIDGE_STATE_DIR": str(tmp_path / "state"),
            "CONTAINERD_BRIDGE_FIFO_DIR": str(host.fifo_dir),
            "CONTAINERD_BRIDGE_CHECKPOINT_DIR": str(host.shared / "checkpoints"),
            "CONTAINERD_BRIDGE_NODE": "n1",
        }
        with Bridge(*shlex.split(serve.removeprefix(SERVE)), environ=os.environ | settings) as bridge:
            bridge.live()
            (tmp_path / "desk").mkdir()
            shell = Shell(tmp_path / "desk", "", **settings, NATS_URL=with_login(tmp_path / "state"))
            for one in lines:
                if one.command.startswith("containerd-bridge events") and one.lines:
                    until_all_is_there(shell, one)
                elif not any(one.command.startswith(begins) for begins in ASIDE):
                    shell.shows(one)
        ctr.remove()


def with_login(state_dir: Path) -> str:
    config = embedded_config(state_dir)
    return config.url.replace("://", f"://{config.user}:{config.password}@")


def until_all_is_there(shell: Shell, one: Shown) -> None:
    """What is shown is what `events` prints, be it in another order; the last events may need a moment."""
    deadline = time.monotonic() + WITHIN_S
    while wrong := differs(sorted(one.lines, key=without_time), sorted(read(shell, one), key=without_time)):
        assert time.monotonic() < deadline, wrong


def read(shell: Shell, one: Shown) -> list[str]:
    ran = shell.run(f"{one.command} --no-follow")
    assert ran.status == 0, ran.lines
    return [line for line in ran.lines if not LEFT_OUT.search(line)]


def without_time(line: str) -> str:
    return re.sub(r"pid \d+", "", line).partition(" ")[2]
