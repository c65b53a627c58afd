"""The pages with commands that go to one ordinary bridge: each command is given as it stands there, and says what is shown.

A page has a nats-server, a bridge and containers of its own; the containerd is the same for all of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.contract.checkpointing import WAITS
from tests.fix_bridge import Bridge, until_stored
from tests.guards import needs_the_machine
from tests.pages import blocks, shown
from tests.shell import Shell
from tests.testbed import BUSYBOX, Containerd, Ctr, NatsServer

pytestmark = [pytest.mark.containerd, pytest.mark.nats]

SERVES: Final = ("sh", "-c", f"trap 'exit 0' TERM; {WAITS}\nwhile true; do waits; done")
"""Runs until it is asked to end, and can be dumped."""

IMAGES: Final = ("busybox:latest", "nginx:latest", "nginx:1.27")


class Place(NamedTuple):
    """What a page is about."""

    ctr: Ctr
    shell: Shell
    url: str

    def container(self, name: str, *command: str, label: str = "app=web") -> None:
        """Let a container run, and wait until the log has it."""
        labels = ("--label", label) if label else ()
        self.ctr("run", "--detach", *labels, BUSYBOX, name, *command)
        until_stored(self.url, lambda message: message.word == "start" and message.event["subject"] == name)


@pytest.fixture(scope="module")
def host() -> Iterator[Containerd]:
    """A containerd with control groups of its own, so that its containers may be called as the pages call them."""
    with needs_the_machine(), Containerd("2.1", own_cgroups=True) as host:
        yield host


@pytest.fixture
def place(host: Containerd, tmp_path: Path) -> Iterator[Place]:
    ctr = host.namespace("default")
    with ExitStack() as closing:
        server = closing.enter_context(NatsServer())
        bridge = Bridge(
            *("--containerd", host.address, "--nats", server.url, "--node", "n1", "--commands", "all"),
            *("--state-dir", tmp_path / "state", "--fifo-dir", host.fifo_dir, "--policy", policy(tmp_path)),
            *("--checkpoint-dir", host.shared / "checkpoints"),
        )
        closing.enter_context(bridge)
        closing.callback(ctr.remove)
        ctr.import_busybox()
        host.run("mkdir", "-p", "/srv/shop")
        for image in IMAGES:
            ctr("images", "tag", BUSYBOX, f"docker.io/library/{image}")
        bridge.live()
        (tmp_path / "desk").mkdir()
        yield Place(ctr, Shell(tmp_path / "desk", server.url), server.url)


def policy(directory: Path) -> Path:
    """Allows what the pages ask of the host beyond the ordinary."""
    file = directory / "policy.toml"
    file.write_text(
        'default = "allow"\n[spec]\nhost_mounts = [{ source = "/srv/shop", write = true }]\ncapabilities = ["CAP_NET_ADMIN"]\n'
    )
    return file


def for_checkpoints(place: Place) -> None:
    place.container("web.1", *SERVES, label="")  # as an annotation `ctr` gives a label to the runtime, too


def for_commands(place: Place) -> None:
    place.container("web", *SERVES)
    place.ctr("containers", "create", BUSYBOX, "idle")
    # Whether a task may have such a limit is its kernel's affair: this one has none. Nor is every processor ours on each machine.
    place.shell.instead["web --device-write-bps"] = "idle --device-write-bps"
    place.shell.instead["--cpuset-cpus 0"] = f"--cpuset-cpus {min(os.sched_getaffinity(0))}"


def one_container(place: Place) -> None:
    place.container("web.1", *SERVES)


def nothing(place: Place) -> None:
    """A page that makes what it needs."""


PREPARED: Final[dict[str, Callable[[Place], None]]] = {
    "docs/checkpoints.md": for_checkpoints,
    "docs/client.md": nothing,
    "docs/commands.md": for_commands,
    "docs/concepts.md": nothing,
    "docs/creating.md": nothing,
    "docs/events.md": one_container,
    "docs/settings.md": nothing,
    "docs/troubleshooting.md": one_container,
}
"""Page -> what there is before its first command."""

CLAIMED: Final = [block for page in PREPARED for block in blocks(page, "console")]


@pytest.mark.parametrize("page", PREPARED)
def test_what_the_page_shows_is_what_happens(page: str, place: Place) -> None:
    PREPARED[page](place)
    for block in (block for block in CLAIMED if block.page == page):
        for one in shown(block):
            place.shell.shows(one)
