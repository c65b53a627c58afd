"""A real systemd, as the first process of namespaces of its own: a service is started, watched and stopped by what will do so.

It knows the units that a test gives it and none of this machine's, and what it changes outside the paths that it is given is
gone with it. It ends with the process that started it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.testbed.errors import DiedError, UnavailableError

__all__ = ["Systemd"]

SCRIPT: Final = Path(__file__).with_suffix(".sh")
READY_WITHIN_S: Final = 90.0
POLL_S: Final = 0.05

BARE: Final = "[Unit]\nDescription=nothing\nDefaultDependencies=no\n"
TARGETS: Final = (
    *("default", "sysinit", "basic", "shutdown", "umount", "final", "network-online", "multi-user", "exit", "poweroff"),
)
"""What units name without further thought; here there is nothing behind them."""


class Systemd:
    """`with Systemd(units, tmp_path) as systemd: systemd.ctl("start", "x.service")`."""

    def __init__(self, units: dict[str, str], *paths: Path) -> None:
        """Take the units, by their file names, and the paths that are the same inside and outside."""
        self.units = units
        self.paths = paths
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        if os.geteuid() != 0:
            raise UnavailableError("a systemd of our own needs root: run this as root")
        if not Path("/usr/lib/systemd/systemd").exists():
            raise UnavailableError("there is no systemd here: install the package systemd")
        self._directory = Path(tempfile.mkdtemp(prefix="cb-", dir="/tmp"))
        (self._directory / "units").mkdir()
        for target in TARGETS:
            (self._directory / "units" / f"{target}.target").write_text(BARE)
        self.write(self.units)
        self._group = self._make_group()
        # It has to be in its group before the namespace of groups is made, which begins there.
        into = [
            "setpriv",
            "--pdeathsig",
            "KILL",
            "sh",
            "-c",
            'echo $$ >"$0/cgroup.procs" && exec "$@"',
            str(self._group),
        ]
        enter = ["unshare", "--fork", "--pid", "--mount", "--uts", "--ipc", "--cgroup", "--kill-child"]
        self._log = (self._directory / "log").open("wb")
        self._process = subprocess.Popen(
            [*into, *enter, "bash", SCRIPT, self._directory, *self.paths],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            self._until_up()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def write(self, units: dict[str, str]) -> None:
        """Put units there; after the start `ctl("daemon-reload")` reads them."""
        for name, text in units.items():
            path = self._directory / "units" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)

    def remove(self, name: str) -> None:
        """Take a directory of drop-ins away."""
        shutil.rmtree(self._directory / "units" / name, ignore_errors=True)

    def close(self) -> None:
        """End it, and everything that it runs."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(READY_WITHIN_S)
        self._log.close()
        shutil.rmtree(self._directory, ignore_errors=True)
        deadline = time.monotonic() + READY_WITHIN_S  # what was in there ends a moment after it
        while self._group.exists() and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                for path in sorted(self._group.rglob("*/"), reverse=True):
                    path.rmdir()
                self._group.rmdir()
                break
            time.sleep(POLL_S)

    @property
    def output(self) -> Path:
        """Where services may write what they have to say; `log` reads it."""
        return self._directory / "output"

    @property
    def log(self) -> str:
        """What was said on the way to systemd, and by services to `output`."""
        files = (self._directory / "log", self.output)
        return "".join(file.read_text(errors="replace") for file in files if file.exists())

    def ctl(self, *words: str, check: bool = True) -> str:
        """Run systemctl in there."""
        done = self.run("systemctl", *words)
        assert not check or done.returncode == 0, f"systemctl {words}: {done.stderr}\n{self.log[-4000:]}"
        return done.stdout.strip()

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run a program in there."""
        assert self._process is not None
        return subprocess.run(
            ["nsenter", f"--target={self._first()}", "--mount", "--pid", "--ipc", "--uts", "--cgroup", *argv],
            capture_output=True, text=True, check=False, timeout=READY_WITHIN_S,
        )  # fmt: skip

    def show(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.ctl("show", "--property", name, "--value", unit)

    def until(self, unit: str, name: str, value: str, *, other: bool = False) -> None:
        """Wait until a property of a unit has this value, or another one."""
        deadline = time.monotonic() + READY_WITHIN_S
        while ((found := self.show(unit, name)) == value) is other:
            assert time.monotonic() < deadline, f"{name} of {unit} is {found!r}\n{self.log[-4000:]}"
            time.sleep(POLL_S)

    # -- inside

    def _make_group(self) -> Path:
        root = Path("/sys/fs/cgroup/systemd")
        group = (root if root.is_dir() else root.parent) / self._directory.name
        try:
            group.mkdir()
        except OSError as error:
            raise UnavailableError(f"no control group can be made in {group.parent}: {error.strerror}") from error
        return group

    def _first(self) -> int:
        assert self._process is not None
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if not children:
            raise DiedError(f"systemd has ended: {self.log[-4000:]}")
        return int(children[0])

    def _until_up(self) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while True:
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise UnavailableError(f"no systemd comes up in namespaces of its own here: {self.log[-2000:]}")
            with contextlib.suppress(DiedError, FileNotFoundError, ProcessLookupError):
                if self.run("systemctl", "is-system-running").stdout.strip() == "running":
                    return
            time.sleep(POLL_S)
