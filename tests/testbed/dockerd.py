"""Docker's daemon on a test host, for as long as it is needed; how it is started, and with which containerd, differs."""

import contextlib
import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.testbed.containerd import Containerd
from tests.testbed.errors import DiedError

__all__ = ["answers", "dockerd"]

READY_WITHIN_S = 90.0
POLL_S = 0.05


def answers(host: Containerd, socket: Path) -> bool:
    """Tell whether a daemon answers there."""
    return host.run("docker", "--host", f"unix://{socket}", "version", check=False).returncode == 0


@contextlib.contextmanager
def dockerd(host: Containerd, socket: Path, line: Callable[[str], Sequence[str | Path]]) -> Iterator[None]:
    """Run a daemon until the end of the block; its containers go with the host.

    Args:
        host: where.
        socket: where it answers.
        line: makes the command line that starts it, from the name of the control group that is its own.

    Raises:
        DiedError: it did not come up; the message carries the end of its log.
    """
    log = host.shared / "dockerd.log"
    groups = f"docker-{uuid.uuid4().hex[:12]}"
    with (host.shared / "cgroups").open("a") as names:  # removed with the host: control groups are the whole machine's
        print(groups, file=names)
    with log.open("w") as output:
        daemon = host.popen(*line(groups), stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + READY_WITHIN_S
        while not answers(host, socket):
            if daemon.poll() is not None or time.monotonic() > deadline:
                raise DiedError(f"Docker Engine did not become ready:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(POLL_S)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(daemon.pid, signal.SIGKILL)
        daemon.wait()
