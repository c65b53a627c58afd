"""Docker Engine on a test host: its daemon beside the host's containerd, which it uses, and its client.

Docker keeps its things under the host's `shared`, so that they are at the same path inside and outside. It has no network of its
own: containers that need one join that of another container, because Docker Engine 28 does not restore into one that it makes.
"""

import contextlib
import os
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from tests.testbed import image, roots
from tests.testbed.containerd import Containerd
from tests.testbed.errors import DiedError

READY_WITHIN_S = 90.0
POLL_S = 0.05
BUSYBOX = "busybox:local"


class Docker:
    """A running Docker Engine: `docker("run", ...)` returns what the client printed."""

    def __init__(self, host: Containerd) -> None:
        self.host = host
        self.root = host.shared / "docker"
        self._socket = host.shared / "docker.sock"

    def __call__(self, *args: str | Path, check: bool = True) -> str:
        """Run Docker's client.

        Raises:
            subprocess.CalledProcessError: it failed and `check` is true.
        """
        return self.host.run("docker", "--host", f"unix://{self._socket}", *args, check=check).stdout.strip()

    def checkpoint(self, container: str, name: str) -> Path:
        """Where Docker keeps, and looks for, a checkpoint of a container by its whole id."""
        return self.root / "containers" / container / "checkpoints" / name

    def import_busybox(self) -> None:
        """Have the image `busybox:local`."""
        layer = self.host.shared / "busybox-layer.tar"
        layer.write_bytes(image.content((roots.with_containerd(self.host.version) / "bin" / "busybox").read_bytes())[0])
        self("import", layer, BUSYBOX)

    @property
    def answers(self) -> bool:
        """Whether the daemon does."""
        return self.host.run("docker", "--host", f"unix://{self._socket}", "version", check=False).returncode == 0


@contextlib.contextmanager
def docker_on(host: Containerd) -> Iterator[Docker]:
    """A Docker Engine on a host, until the end of the block; its containers go with the host.

    Raises:
        DiedError: it did not come up; the message carries the end of its log.
    """
    docker = Docker(host)
    log = host.shared / "dockerd.log"
    groups = f"docker-{uuid.uuid4().hex[:12]}"
    with (host.shared / "cgroups").open("a") as names:  # removed with the host: control groups are the whole machine's
        print(groups, file=names)
    with log.open("w") as output:
        daemon = host.popen(
            *("dockerd", "--experimental", "--iptables=false", "--ip6tables=false", "--bridge=none"),
            *("--containerd", host.address, "--host", f"unix://{host.shared}/docker.sock"),
            *("--data-root", docker.root, "--exec-root", "/run/docker", "--pidfile", "/run/docker.pid"),
            *("--cgroup-parent", f"/{groups}"),
            stdout=output,
            stderr=output,
        )
    try:
        deadline = time.monotonic() + READY_WITHIN_S
        while not docker.answers:
            if daemon.poll() is not None or time.monotonic() > deadline:
                raise DiedError(f"Docker Engine did not become ready:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(POLL_S)
        docker.import_busybox()
        yield docker
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(daemon.pid, signal.SIGKILL)
        daemon.wait()
