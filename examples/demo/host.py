"""Where the demo's containers run: the containerd of this machine if it has one that answers, else a private one.

Either way they live in a containerd namespace of the demo's own, which is emptied and removed in the end.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from tests.testbed import BUSYBOX, Containerd, UnavailableError, image, roots

__all__ = ["IMAGE", "NAMESPACE", "CtrFailedError", "Host", "UnavailableError", "another", "host"]

SOCKET = Path("/run/containerd/containerd.sock")
NAMESPACE = "demo"
IMAGE = BUSYBOX


class CtrFailedError(Exception):
    """ctr, or containerd behind it, refused."""


class Host(Protocol):
    """A containerd and its own client."""

    name: str
    address: Path
    options: tuple[str, ...]
    """What its bridge has to know of it."""

    def ctr(self, *args: str) -> str:
        """Run `ctr` in the demo's namespace and return what it printed.

        Raises:
            CtrFailedError: its exit status is not 0.
        """
        ...


class _Machine:
    """The machine's own containerd, with the machine's own ctr."""

    options: tuple[str, ...] = ()

    def __init__(self, address: Path) -> None:
        self.address = address
        self.name = f"the containerd of this machine ({address})"

    def ctr(self, *args: str) -> str:
        argv = ["ctr", "--address", str(self.address), "--namespace", NAMESPACE, *args]
        return _output(subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60), args)

    def answers(self) -> bool:
        if os.geteuid() != 0 or shutil.which("ctr") is None or not self.address.is_socket():
            return False
        try:
            argv = ["ctr", "--address", str(self.address), "version"]
            return subprocess.run(argv, capture_output=True, check=False, timeout=5).returncode == 0
        except subprocess.TimeoutExpired:
            return False


class _Private:
    """A containerd of the test host."""

    def __init__(self, containerd: Containerd) -> None:
        self._containerd = containerd
        self.address = containerd.address
        self.options: tuple[str, ...] = (
            *("--fifo-dir", str(containerd.fifo_dir)),
            *("--checkpoint-dir", str(containerd.shared / "checkpoints")),
        )
        self.name = f"a containerd {containerd.version} started for this"

    def ctr(self, *args: str) -> str:
        return _output(self._containerd.run("ctr", "--namespace", NAMESPACE, *args, check=False), args)


@contextmanager
def host() -> Iterator[Host]:
    """Open the host, with the image in it; leaving removes whatever the demo has made.

    Raises:
        UnavailableError: there is no containerd, and this machine cannot run one of ours; the sentence says why.
    """
    machine = _Machine(SOCKET)
    if machine.answers():
        _empty(machine)  # of a demo that was killed
        with tempfile.TemporaryDirectory(prefix="cb-demo-") as directory:
            archive = Path(directory) / "busybox.tar"
            image.write(roots.with_containerd("2.1") / "bin" / "busybox", archive)
            machine.ctr("images", "import", str(archive))
        try:
            yield machine
        finally:
            _empty(machine)
    else:
        with Containerd("2.1") as containerd:
            containerd.namespace(NAMESPACE)
            yield _Private(containerd)  # which goes away with everything that is in it


@contextmanager
def another() -> Iterator[Host]:
    """Open a second host, with nothing in it, which shares nothing with the first one.

    Raises:
        UnavailableError: this machine cannot run one.
    """
    with Containerd("2.1", own_cgroups=True) as containerd:
        yield _Private(containerd)


def _empty(host: Host) -> None:
    for kind, remove in (
        ("tasks", ("tasks", "delete", "--force")),
        ("containers", ("containers", "delete")),
        ("images", ("images", "remove", "--sync")),
    ):
        for each in _quietly(host, kind, "list", "--quiet").split():
            _quietly(host, *remove, each)
    _quietly(host, "namespaces", "remove", NAMESPACE)


def _quietly(host: Host, *args: str) -> str:
    try:
        return host.ctr(*args)
    except CtrFailedError:
        return ""


def _output(ran: subprocess.CompletedProcess[str], args: tuple[str, ...]) -> str:
    if ran.returncode != 0:
        raise CtrFailedError(f"`ctr {shlex.join(args)}` ended with status {ran.returncode}: {ran.stderr.strip()}")
    return ran.stdout
