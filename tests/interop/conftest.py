"""One live bridge for all tests with software that is not ours: they read one log, and each commands containers of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.fix_bridge import Bridge, until_stored
from tests.guards import needs_the_machine
from tests.testbed import Containerd, Ctr, NatsServer

ENDLESS = ("sh", "-c", "trap 'exit 0' TERM; while true; do sleep 1; done")


class Stage(NamedTuple):
    """A bridge as node `n1`, and the namespace that it is looked at in."""

    url: str
    ctr: Ctr

    def ran(self, container: str, status: int) -> None:
        """Run a container to its end with this status, and wait until the log has that."""
        self.ctr.run(container, "sh", "-c", f"exit {status}")
        until_stored(self.url, lambda one: one.word == "exit" and one.event["subject"] == container)

    def running(self, container: str) -> None:
        """Run a container for ever, and wait until the log has that."""
        self.ctr.run(container, *ENDLESS, detach=True)
        until_stored(self.url, lambda one: one.word == "start" and one.event["subject"] == container)


@pytest.fixture(scope="session")
def stage(containerd: Containerd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The stage, with a container `job` that has ended with status 3 and one, `web.1`, that runs."""
    directory: Path = tmp_path_factory.mktemp("interop")
    with ExitStack() as stack:
        with needs_the_machine():
            nats = stack.enter_context(NatsServer())
        ctr = stack.enter_context(containerd.fresh_namespace())
        bridge = Bridge(
            *("--containerd", containerd.address, "--nats", nats.url, "--node", "n1", "--namespace", ctr.namespace),
            *("--state-dir", directory / "state", "--commands", "all", "--fifo-dir", containerd.fifo_dir),
        )
        stack.enter_context(bridge).live()
        made = Stage(nats.url, ctr)
        made.ran("job", 3)
        made.running("web.1")
        yield made
