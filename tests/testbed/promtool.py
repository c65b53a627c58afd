"""promtool, Prometheus' own checker of rules: taken out of Debian's package once per machine, and nothing else of it.

The package would start a Prometheus of its own. So it is downloaded and not installed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.testbed.errors import UnavailableError
from tests.testbed.roots import cache

__all__ = ["promtool"]


def promtool() -> Path:
    """Return the program; the first time it is fetched, which takes seconds."""
    found = shutil.which("promtool")
    if found is not None:
        return Path(found)
    folder = cache() / "promtool"
    program = folder / "promtool"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            _fetch(program)
    return program


def _fetch(program: Path) -> None:
    if shutil.which("apt-get") is None:
        raise UnavailableError("there is no promtool here, and no apt-get to fetch it: install Prometheus")
    with tempfile.TemporaryDirectory(dir=program.parent) as place:
        download = ["apt-get", "download", "--quiet", "prometheus"]
        done = subprocess.run(download, cwd=place, capture_output=True, text=True, check=False)
        if done.returncode and os.geteuid() == 0:  # a new machine may not know yet what there is
            subprocess.run(["apt-get", "update", "--quiet"], capture_output=True, check=False)
            done = subprocess.run(download, cwd=place, capture_output=True, text=True, check=False)
        packages = list(Path(place).glob("prometheus_*.deb"))
        if not packages:
            raise UnavailableError(f"promtool cannot be fetched: {done.stderr.strip()[-300:]}")
        subprocess.run(["dpkg-deb", "--extract", packages[0], place], check=True)
        (Path(place) / "usr" / "bin" / "promtool").rename(program)
