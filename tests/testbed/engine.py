"""A Docker Engine with everything of its own, as on an ordinary host: its containerd, and a network that nobody else is in.

What compose.yaml needs of the checkout is copied to a place that is the same inside and outside, and is built there.
"""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.testbed import engine_images
from tests.testbed.containerd import Containerd
from tests.testbed.dockerd import dockerd

LONGEST_S = 250.0
CHECKOUT = Path(__file__).parents[2]
COPIED = ("Dockerfile", ".dockerignore", "compose.yaml", "pyproject.toml", "README.md", "LICENSE", "requirements", "bridge",
          "deploy", "examples")  # fmt: skip
IMAGE = "containerd-bridge"


class Engine:
    """A running Docker Engine: `engine("ps")` and `engine.compose("ps")` return what Docker's client printed."""

    def __init__(self, host: Containerd) -> None:
        self.host = host
        self.shared = host.shared
        self.socket = host.shared / "docker.sock"
        self.checkout = host.shared / "checkout"

    @property
    def containerd(self) -> Path:
        """The socket of its containerd, as it is seen from outside."""
        return Path(self.host.outside("/run/docker/containerd/containerd.sock"))

    def __call__(self, *args: str | Path) -> str:
        """Run Docker's client.

        Raises:
            subprocess.CalledProcessError: it failed.
        """
        return self.run(*args).stdout.strip()

    def run(
        self, *args: str | Path, check: bool = True, project: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run Docker's client, in the directory of a compose project where one is given."""
        variables = {
            "DOCKER_HOST": f"unix://{self.socket}",
            "CONTAINERD_RUN": "/run/docker/containerd",
            "DOCKER_SOCKET": str(self.socket),
            "NATS_PORT": "0",
            "PAGE_PORT": "0",
            "COLUMNS": "250",
        }
        where = ("--chdir", project or self.checkout)
        pairs = [f"{name}={value}" for name, value in variables.items()]
        ran = self.host.run("env", *where, *pairs, "docker", *args, check=False, timeout=LONGEST_S)
        if check and ran.returncode != 0:
            # As an exception says it, nobody would see why.
            raise AssertionError(f"docker {' '.join(map(str, args))}: {ran.stdout[-2000:]}{ran.stderr[-3000:]}")
        return ran

    def compose(self, *args: str | Path, project: Path | None = None) -> str:
        """Run `docker compose` on the project of the checkout, or another one."""
        return self.run("compose", *args, project=project).stdout.strip()

    def build(self) -> None:
        """Have the image of this checkout, and those that compose.yaml names besides."""
        for name in COPIED:
            source = CHECKOUT / name
            if source.is_dir():
                shutil.copytree(source, self.checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                self.checkout.mkdir(exist_ok=True)
                shutil.copy(source, self.checkout / name)
        engine_images.plain(self)
        wheels = engine_images.built_on(self, self.checkout)
        self(
            *("build", "--quiet", "--network", "none", "--build-arg", "PIP_NO_INDEX=1", "--tag", IMAGE),
            *("--build-context", f"wheels={wheels}"),
            *("--build-context", f"dependencies=docker-image://{engine_images.DEPENDENCIES}", self.checkout),
        )


@contextlib.contextmanager
def engine_on(host: Containerd) -> Iterator[Engine]:
    """A Docker Engine on a host, until the end of the block; its containers go with the host.

    Raises:
        DiedError: it did not come up; the message carries the end of its log.
    """
    engine = Engine(host)

    def line(groups: str) -> Sequence[str]:
        daemon = (
            "busybox ip link set lo up && exec dockerd --iptables=false --ip6tables=false --bridge=none"
            f" --host unix://{engine.socket} --data-root /run/docker-data --exec-root /run/docker"
            f" --pidfile /run/docker.pid --cgroup-parent /{groups}"
        )
        return ("unshare", "--net", "sh", "-c", daemon)

    with dockerd(host, engine.socket, line):
        yield engine
