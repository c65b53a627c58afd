"""Node and the packages of examples/javascript: installed once per lock file into the cache, and programs run beside them.

Only what the lock file says is installed, by its digest, and no package's own install script is run.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.testbed.errors import UnavailableError
from tests.testbed.roots import cache

__all__ = ["EXAMPLES", "Javascript", "Running"]

EXAMPLES = Path(__file__).parents[2] / "examples" / "javascript"
PACKAGES = ("package.json", "package-lock.json", ".npmrc")
NODE_SINCE = 18
WITHIN_S = 120.0


class Running:
    """A program that goes on; what it prints is kept, line by line."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout:
            for line in self.process.stdout:
                with self._news:
                    self.lines.append(line.rstrip())
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def until(self, wanted: Callable[[list[str]], bool]) -> list[str]:
        """Wait until what it has printed is as wanted; return that."""
        with self._news:
            assert self._news.wait_for(lambda: self._ended or wanted(self.lines), WITHIN_S), self.lines
            assert wanted(self.lines), f"it has ended, and said: {self.lines}"
            return list(self.lines)

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(WITHIN_S)
        self._reader.join()
        return status

    def kill(self) -> None:
        """`kill -9`, also where it has ended."""
        self.process.kill()
        self.process.wait()
        self._reader.join()


class Javascript:
    """A directory with our programs in JavaScript, and the packages that they need.

    Raises:
        UnavailableError: there is no Node here, or the packages cannot be had; the message says what to do.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        shutil.copytree(EXAMPLES, directory, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules"))
        (directory / "node_modules").symlink_to(_installed() / "node_modules")

    def run(self, *arguments: str, text: str | None = None) -> "subprocess.CompletedProcess[str]":
        """Run Node in the directory to its end."""
        return subprocess.run(
            ["node", *arguments],
            cwd=self.directory,
            input=text,
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )

    @contextlib.contextmanager
    def running(self, *arguments: str) -> Iterator[Running]:
        """Run Node in the directory; it is killed in the end, where it has not ended."""
        process = subprocess.Popen(
            ["node", *arguments],
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        running = Running(process)
        try:
            yield running
        finally:
            running.kill()


def _installed() -> Path:
    """Return the directory that has the packages in it; the first who asks installs them, and others wait for him."""
    version = _said(["node", "--version"])
    if int(version.removeprefix("v").partition(".")[0]) < NODE_SINCE:
        raise UnavailableError(f"node {version} is too old: {NODE_SINCE} or newer is needed")
    wanted = b"".join((EXAMPLES / name).read_bytes() for name in PACKAGES)
    place = cache() / "npm"
    place.mkdir(parents=True, exist_ok=True)
    found = place / hashlib.sha256(wanted).hexdigest()[:16]
    with (place / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (found / "node_modules").exists():
            with tempfile.TemporaryDirectory(dir=place) as new:
                for name in PACKAGES:
                    shutil.copy(EXAMPLES / name, new)
                _said(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], at=new)
                found.mkdir(exist_ok=True)  # of this name, or Node does not look for one package beside another
                os.rename(Path(new) / "node_modules", found / "node_modules")
    return found


def _said(command: Sequence[str], *, at: str | None = None) -> str:
    try:
        ran = subprocess.run(command, cwd=at, capture_output=True, text=True, timeout=600, check=False)
    except FileNotFoundError as error:
        raise UnavailableError(f"there is no {command[0]} here: run scripts/machine as root") from error
    if ran.returncode:
        last = "; ".join((ran.stderr or ran.stdout).splitlines()[-3:])
        raise UnavailableError(f"{' '.join(command[:2])} failed (is there a network?): {last}")
    return ran.stdout.strip()
