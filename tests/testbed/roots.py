"""Debian file systems, one per generation of containerd, made by debootstrap and kept for every later run.

A root is made once, in a directory beside its final name, and renamed into place: what stands under the final name is
whole. Concurrent builders wait for each other on a lock. The name carries a fingerprint of the recipe, so a changed
recipe is a new root and an unchanged one costs nothing. Roots are never written to after that (hosts lay a tmpfs over
them), so any number of hosts and checkouts share them.

The mirror is the machine's own, taken from apt; it stands in no file of the finished root.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.testbed.errors import UnavailableError

Say = Callable[[str], None]

RECIPE = 1  # raise it when what is done to a root after debootstrap changes
KEYRING = "usr/share/keyrings/debian-archive-keyring.gpg"
BUILD_COMMAND = "`make roots` as root"


@dataclass(frozen=True, kw_only=True)
class Root:
    """The recipe of one root: a Debian suite and what is put into it.

    `signed_by` is the suite whose keyring verifies this one: an older Debian (or an Ubuntu) does not know the newer
    keys, but each release carries those of the next.
    """

    suite: str
    containerd: str
    packages: tuple[str, ...]
    signed_by: str | None
    nats: str | None

    @property
    def path(self) -> Path:
        """Where the finished root is, or will be."""
        recipe = repr((RECIPE, self.suite, self.packages)).encode()
        return cache() / "roots" / f"{self.suite}-{hashlib.sha256(recipe).hexdigest()[:8]}"

    @property
    def built(self) -> bool:
        """Whether the root is there; a half-made one never is."""
        return self.path.is_dir()


# CRIU locks the network of what it dumps with iptables. CRIU 3.17 of bookworm cannot dump on current kernels.
ROOTS = (
    Root(
        suite="bookworm",
        containerd="1.6",
        packages=("containerd", "runc", "busybox-static", "nats-server"),
        signed_by=None,
        nats="2.9",
    ),
    Root(
        suite="trixie",
        containerd="1.7",
        packages=("containerd", "runc", "criu", "iptables", "busybox-static", "nats-server"),
        signed_by="bookworm",
        nats="2.10",
    ),
    Root(
        suite="forky",
        containerd="2.1",
        # Docker Engine and checkpointctl: checkpoints go to them and come from them. compose.yaml is tried there too.
        packages=(
            "containerd",
            "runc",
            "criu",
            "iptables",
            "busybox-static",
            "docker.io",
            "docker-cli",
            "docker-buildx",
            "docker-compose",
            "checkpointctl",
        ),
        signed_by="trixie",
        nats=None,
    ),
)
VERSIONS = tuple(root.containerd for root in ROOTS)

PYTHON = Root(
    suite="trixie",
    containerd="",
    packages=("ca-certificates", "python3-venv"),
    signed_by="bookworm",
    nats=None,
)
"""What images with Python in them are made from."""


def cache() -> Path:
    """The directory for what is made once per machine, shared by every checkout."""
    if named := os.environ.get("TESTBED_CACHE"):
        return Path(named).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "containerd-bridge"


def with_containerd(version: str) -> Path:
    """The finished root whose containerd is of this generation ("1.6", "1.7", "2.1").

    Raises:
        UnavailableError: it has not been built, or this process may not use it.
    """
    for root in ROOTS:
        if root.containerd == version:
            return _finished(root, what=f"containerd {version}")
    raise ValueError(f"there is no test host with containerd {version!r}: use one of {', '.join(VERSIONS)}")


def with_python() -> Path:
    """The finished root that has Python and pip's wheel.

    Raises:
        UnavailableError: it has not been built, or this process may not read it.
    """
    return _finished(PYTHON, what="a file system with Python")


def with_nats(version: str) -> Path:
    """The finished root that has a nats-server of this generation ("2.9", "2.10").

    Raises:
        UnavailableError: it has not been built, or this process may not read it.
    """
    for root in ROOTS:
        if root.nats == version:
            return _finished(root, what=f"nats-server {version}")
    known = ", ".join(root.nats for root in ROOTS if root.nats)
    raise ValueError(f"no root has a nats-server {version!r}: use one of {known}")


def _finished(root: Root, *, what: str) -> Path:
    try:
        built = root.built
    except PermissionError as error:
        raise UnavailableError(f"{what}: {error.filename} belongs to another user: run as root") from error
    if not built:
        raise UnavailableError(f"{what} is not here: {BUILD_COMMAND} makes it (Debian {root.suite}, about a minute)")
    return root.path


def build(say: Say) -> None:
    """Build every root that is missing; returns at once if none is.

    Raises:
        UnavailableError: not root, no debootstrap, no network, or debootstrap failed.
    """
    if all(root.built for root in ROOTS):
        return
    _check_machine()
    store = cache() / "roots"
    store.mkdir(parents=True, exist_ok=True)
    store.chmod(0o700)  # the roots hold set-uid programs
    with _lock(store, say) as lock:
        for abandoned in store.glob(".building-*"):
            shutil.rmtree(abandoned)
        for root in (*ROOTS, PYTHON):
            if not root.built:
                what = f"test host with containerd {root.containerd}" if root.containerd else "file system with Python"
                say(f"making the {what} (Debian {root.suite}), half a minute")
                _make(root, store, lock)


def _check_machine() -> None:
    if os.geteuid() != 0:
        raise UnavailableError(f"a test host needs root: {BUILD_COMMAND} makes it")
    if shutil.which("debootstrap") is None:
        raise UnavailableError("debootstrap is not installed: `apt-get install debootstrap`")
    probe = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "true"], check=False, capture_output=True, text=True
    )
    if probe.returncode != 0:
        raise UnavailableError(f"this machine gives no mount and PID namespaces: {probe.stderr.strip()}")


@contextmanager
def _lock(store: Path, say: Say) -> Iterator[int]:
    """Hold the lock for the block; yields its descriptor, for a child that should hold it even longer than we live."""
    with (store / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another run is making the test hosts: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()


def _make(root: Root, store: Path, lock: int) -> None:
    target = Path(tempfile.mkdtemp(prefix=f".building-{root.suite}-", dir=store))
    mirror = machine_mirror()
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(root.packages)}"]
    if root.signed_by is not None:
        signer = next(known for known in ROOTS if known.suite == root.signed_by)
        command.append(f"--keyring={signer.path / KEYRING}")
    # Older debootstraps have no script named after newer suites; all of Debian's are the one called sid.
    # Without a mirror in apt's own sources debootstrap takes its default one.
    command += [root.suite, str(target), mirror or "", "sid"]
    # debootstrap mounts proc and sys in the target: in namespaces of its own nothing stays mounted if it is killed.
    ran = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc", *command],
        check=False,
        capture_output=True,
        text=True,
        env=_environment(),
        pass_fds=[lock],
    )
    if ran.returncode != 0:
        shutil.rmtree(target)
        errors = [line for line in (ran.stdout + ran.stderr).splitlines() if line.startswith("E: ")]
        told = "\n".join(errors or ["it said nothing"]).replace(mirror or "\0", "the mirror")
        raise UnavailableError(f"debootstrap of Debian {root.suite} failed (is there a network?):\n{told}")
    _slim(target)
    target.chmod(0o755)
    target.rename(root.path)


def _slim(target: Path) -> None:
    """Take out what no test reads, and the name of the mirror."""
    for unread in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
        shutil.rmtree(target / unread, ignore_errors=True)
    for naming in ("etc/apt/sources.list", "etc/resolv.conf", "var/log/bootstrap.log"):
        (target / naming).unlink(missing_ok=True)


def machine_mirror() -> str | None:
    """The Debian mirror that this machine's apt uses, or None where its apt knows no Debian."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)"],
        check=False,
        capture_output=True,
        text=True,
    )
    for line in listed.stdout.splitlines():
        origin, label, uri = line.split("|", 2)
        if (origin, label) == ("Debian", "Debian") and uri.startswith(("http://", "https://", "file:")):
            return uri.rstrip("/")
    return None


def _environment() -> dict[str, str]:
    """This process's environment with apt's own proxy in it: debootstrap downloads with wget, which asks only there."""
    asked = subprocess.run(
        ["apt-config", "shell", "proxy", "Acquire::http::Proxy"], check=False, capture_output=True, text=True
    )
    proxy = asked.stdout.strip().removeprefix("proxy=").strip("'")
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return os.environ | {"PATH": path, "LC_ALL": "C"} | ({"http_proxy": proxy} if proxy else {})
