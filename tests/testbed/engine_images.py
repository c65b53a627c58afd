"""Images for a Docker Engine that can pull nothing, under the names that compose.yaml and the Dockerfile use.

They are made from the roots and from what the tests have anyway: busybox, the nats-server of the `embedded` extra, Debian's
Python. What takes long, Python with everything that the bridge is built on, is made once for each content of what it is made
from, and kept beside the roots.
"""

import fcntl
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from tests.testbed import image, nats, roots
from tests.testbed.errors import UnavailableError

RECIPE: Final = 1  # raise it when what is done here changes
PYTHON: Final = "python:3.13-slim"
NATS: Final = "nats:2.14-alpine"
BUSYBOX: Final = "busybox:1.37"
DEPENDENCIES: Final = "containerd-bridge-dependencies:cached"
BUILD: Final = ("hatchling", "setuptools", "wheel")
"""What pip builds wheels with, in an isolation of its own; nkeys comes as source only."""
SOURCES: Final = "nkeys"
PLATFORMS: Final = ("manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_28_x86_64", "manylinux_2_34_x86_64")


class Client(Protocol):
    """Docker's client in the host, and a directory that is at the same path inside and outside."""

    shared: Path

    def __call__(self, *args: str | Path) -> str:
        """Run it."""
        ...


def plain(docker: Client) -> None:
    """Have busybox, and a nats-server that can be asked with wget, as the real image has both."""
    busybox = image.content((roots.with_containerd("2.1") / "bin" / "busybox").read_bytes())[0]
    _import(docker, busybox, BUSYBOX, "PATH=/bin")
    layer = io.BytesIO(busybox)
    with tarfile.open(fileobj=layer, mode="a") as tar:
        tar.add(nats.executable(), "bin/nats-server")
        link = tarfile.TarInfo("bin/wget")
        link.type, link.linkname = tarfile.SYMTYPE, "busybox"
        tar.addfile(link)
    _import(docker, layer.getvalue(), NATS, "PATH=/bin")


def built_on(docker: Client, checkout: Path) -> Path:
    """Have Python and the stage `dependencies` of the Dockerfile; return a directory of wheels for the rest of it.

    Raises:
        UnavailableError: the first time on this machine, without a package index.
    """
    kept = roots.cache() / "docker" / _fingerprint(checkout)
    with _lock(kept):
        if not (kept / "images.tar").exists():
            _make(docker, checkout, kept)
    wheels = docker.shared / "wheels"
    wheels.mkdir(exist_ok=True)
    for one in (kept / "wheels").iterdir():
        (wheels / one.name).write_bytes(one.read_bytes())
    with (kept / "images.tar").open("rb") as archive, (docker.shared / "images.tar").open("wb") as copy:
        while piece := archive.read(1 << 20):
            copy.write(piece)
    docker("load", "--quiet", "--input", docker.shared / "images.tar")
    (docker.shared / "images.tar").unlink()
    return wheels


def _fingerprint(checkout: Path) -> str:
    recipe = [str(RECIPE), roots.PYTHON.path.name, (checkout / "requirements" / "image.txt").read_text()]
    dockerfile = (checkout / "Dockerfile").read_text()
    recipe.append(dockerfile.partition("FROM dependencies")[0])  # the stages after it are built each time
    return hashlib.sha256("\n".join(recipe).encode()).hexdigest()[:12]


@contextmanager
def _lock(kept: Path) -> Iterator[None]:
    kept.parent.mkdir(parents=True, exist_ok=True)
    with (kept.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(docker: Client, checkout: Path, kept: Path) -> None:
    with tempfile.TemporaryDirectory(dir=kept.parent) as directory:
        making = Path(directory) / "making"
        (making / "wheels").mkdir(parents=True)
        _download(checkout / "requirements" / "image.txt", making)
        wheels = docker.shared / "all-wheels"
        wheels.mkdir()
        for one in (making / "wheels").iterdir():
            (wheels / one.name).write_bytes(one.read_bytes())
        _import(docker, _python(), PYTHON, "PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin")
        offline = ("--network", "none", "--build-context", f"wheels={wheels}", "--build-arg", "PIP_NO_INDEX=1")
        docker("build", "--quiet", "--target", "dependencies", "--tag", DEPENDENCIES, *offline, checkout)
        docker("save", "--output", docker.shared / "images.tar", PYTHON, DEPENDENCIES)
        (making / "images.tar").write_bytes((docker.shared / "images.tar").read_bytes())
        kept.mkdir(exist_ok=True)
        (making / "wheels").rename(kept / "wheels")
        (making / "images.tar").rename(kept / "images.tar")


def _python() -> bytes:
    """The root with Python as a layer, with pip where the real image has it."""
    root = roots.with_python()
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.add(
            root, ".", filter=lambda entry: None if entry.name.startswith(("./proc/", "./sys/", "./dev/")) else entry
        )
        [pip] = root.glob("usr/share/python-wheels/pip-*.whl")
        with zipfile.ZipFile(pip) as wheel:
            for name in wheel.namelist():
                _add(tar, f"usr/local/lib/python3.13/dist-packages/{name}", wheel.read(name), 0o644)
        _add(tar, "usr/local/bin/pip", b'#!/bin/sh\nexec python3 -m pip "$@"\n', 0o755)
    return layer.getvalue()


def _download(locked: Path, making: Path) -> None:
    """Get the wheels, as this machine's pip is set up to."""
    lines = locked.read_text().replace("\\\n", " ").splitlines()
    of_source = [line for line in lines if line.startswith(f"{SOURCES}==")]
    (making / "wheels.txt").write_text("\n".join(line for line in lines if line not in of_source))
    (making / "sources.txt").write_text("\n".join(of_source))
    platforms = [option for platform in PLATFORMS for option in ("--platform", platform)]
    into = ("--dest", making / "wheels")
    for wanted in (
        (
            "--no-deps",
            "--only-binary",
            ":all:",
            "--python-version",
            "3.13",
            *platforms,
            "-r",
            making / "wheels.txt",
            *into,
        ),
        ("--no-deps", "--no-binary", ":all:", "-r", making / "sources.txt", *into),
        ("--only-binary", ":all:", *BUILD, *into),
    ):
        ran = subprocess.run(
            [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", *map(str, wanted)],
            check=False,
            capture_output=True,
            text=True,
        )
        if ran.returncode != 0:
            raise UnavailableError("pip could not download what the image is built on (is there a network?)")


def _import(docker: Client, layer: bytes, tag: str, environment: str) -> None:
    path = docker.shared / "layer.tar"
    path.write_bytes(layer)
    docker("import", "--change", f"ENV {environment}", path, tag)
    path.unlink()


def _add(tar: tarfile.TarFile, path: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))
