"""Docker Engine on a test host: its daemon beside the host's containerd, which it uses, and its client.

Docker keeps its things under the host's `shared`, so that they are at the same path inside and outside. It has no network of its
own: containers that need one join that of another container, because Docker Engine 28 does not restore into one that it makes.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.testbed import image, roots
from tests.testbed.containerd import Containerd
from tests.testbed.dockerd import dockerd

BUSYBOX = "busybox:local"


class Docker:
    """A running Docker Engine: `docker("run", ...)` returns what the client printed."""

    def __init__(self, host: Containerd) -> None:
        self.host = host
        self.root = host.shared / "docker"
        self.socket = host.shared / "docker.sock"

    def __call__(self, *args: str | Path, check: bool = True) -> str:
        """Run Docker's client.

        Raises:
            subprocess.CalledProcessError: it failed and `check` is true.
        """
        return self.host.run("docker", "--host", f"unix://{self.socket}", *args, check=check).stdout.strip()

    def checkpoint(self, container: str, name: str) -> Path:
        """Where Docker keeps, and looks for, a checkpoint of a container by its whole id."""
        return self.root / "containers" / container / "checkpoints" / name

    def import_busybox(self) -> None:
        """Have the image `busybox:local`."""
        layer = self.host.shared / "busybox-layer.tar"
        layer.write_bytes(image.content((roots.with_containerd(self.host.version) / "bin" / "busybox").read_bytes())[0])
        self("import", layer, BUSYBOX)


@contextlib.contextmanager
def docker_on(host: Containerd) -> Iterator[Docker]:
    """A Docker Engine on a host, until the end of the block; its containers go with the host.

    Raises:
        DiedError: it did not come up; the message carries the end of its log.
    """
    docker = Docker(host)

    def line(groups: str) -> Sequence[str | Path]:
        return (
            *("dockerd", "--experimental", "--iptables=false", "--ip6tables=false", "--bridge=none"),
            *("--containerd", host.address, "--host", f"unix://{docker.socket}"),
            *("--data-root", docker.root, "--exec-root", "/run/docker", "--pidfile", "/run/docker.pid"),
            *("--cgroup-parent", f"/{groups}"),
        )

    with dockerd(host, docker.socket, line):
        docker.import_busybox()
        yield docker
