"""A private containerd with its runc (and CRIU): started in a tenth of a second, killed, restarted, gone without trace.

Its sockets and FIFOs are under `shared`, a short path that is the same inside and outside. Everything it starts lives in
a PID namespace whose first process reads a pipe from us: when this process ends, however it ends, the kernel ends all
of theirs. `host.sh` beside this file is that first process.
"""

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.testbed import image, roots
from tests.testbed.ctr import Ctr
from tests.testbed.errors import DiedError, UnavailableError

HOST = Path(__file__).with_name("host.sh")
READY_WITHIN_S = 60.0
POLL_S = 0.005

# The plugins of Kubernetes and of other file systems would only slow the start and fill the log.
CONFIG = """\
version = 2
root = "/run/containerd-root"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.erofs",
  "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp", "io.containerd.nri.v1.nri",
]
[grpc]
address = "{shared}/containerd.sock"
[ttrpc]
address = "{shared}/containerd.ttrpc"
[debug]
level = "{log_level}"
"""


POWER_OFF = """
kill -9 -1
for namespace in /run/containerd/runc/*/; do
  [ -d "$namespace" ] && basename "$namespace" >>"{shared}/cgroups"
done
until [ "$(ls -d /proc/[0-9]* | wc -l)" -le 5 ]; do sleep 0.01; done
awk '$2 ~ "^/run/containerd/" {{ print $2 }}' /proc/mounts | sort -r | xargs -r umount -l
rm -rf /run/containerd
"""
"""Process 1 and who sends it stay. Whoever has ended is gone from /proc when his parent, process 1 by then, has noticed."""


class Containerd:
    """One containerd host of generation "1.6", "1.7" or "2.1": a context manager that starts and closes it.

    Raises:
        UnavailableError: on entering, when this machine cannot run it; the message says what to do.
        DiedError: when containerd or its host ends while it should not.
    """

    def __init__(
        self,
        version: str = "2.1",
        *,
        log_level: str = "info",
        own_cgroups: bool = False,
        unified_cgroups: bool = False,
        small: int = 0,
    ) -> None:
        self.version = version
        self.log_level = log_level
        self.own_cgroups = own_cgroups
        """Whether it has control groups of its own, as another machine has."""
        self.unified_cgroups = unified_cgroups
        """Whether they are of the second version: without controllers where the machine has the first one, but for freezing."""
        self._small = small
        self._host: subprocess.Popen[str] | None = None
        self._shared: Path | None = None
        self._init = 0
        self._asking = threading.Lock()  # asynchronous tests call from threads

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # -- where things are -------------------------------------------------------------------------------------------

    @property
    def shared(self) -> Path:
        """The directory that is at this same path inside the host and outside."""
        if self._shared is None:
            raise RuntimeError("the host is not open: use `with Containerd(...) as host`")
        return self._shared

    @property
    def address(self) -> Path:
        """The gRPC socket, with or without a containerd behind it."""
        return self.shared / "containerd.sock"

    @property
    def fifo_dir(self) -> Path:
        """Where FIFOs are seen by the shims inside and by us outside."""
        return self.shared / "fifo"

    @property
    def small(self) -> Path:
        """A disk of so many bytes as `small` says, at the same path inside and outside."""
        return self.shared / "small"

    @property
    def log(self) -> str:
        """What containerd has written so far, over all its restarts."""
        return (self.shared / "containerd.log").read_text(errors="replace")

    # -- the host ---------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Start the host and the containerd in it; return when containerd answers."""
        if self._host is not None:
            raise RuntimeError("the host is open already")
        if os.geteuid() != 0:
            raise UnavailableError(f"a containerd of our own needs root: run this as root (containerd {self.version})")
        root = roots.with_containerd(self.version)
        # A socket's path has room for 107 bytes, and a shim adds to it.
        shared = Path(tempfile.mkdtemp(prefix="cb-", dir="/tmp"))
        self._shared = shared
        (shared / "fs").mkdir()
        self.fifo_dir.mkdir()
        if self._small:
            self.small.mkdir()
        (shared / "containerd.toml").write_text(CONFIG.format(shared=shared, log_level=self.log_level))
        with (shared / "host.log").open("w") as log:
            self._host = subprocess.Popen(
                ["bash", HOST, root, shared],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # Ctrl-C is for us; the host ends with its input
                env={
                    **os.environ,
                    "OWN_CGROUPS": "1" if self.own_cgroups else "",
                    "UNIFIED_CGROUPS": "1" if self.unified_cgroups else "",
                    "SMALL": str(self._small or ""),
                },
            )
        try:
            if self._read() != "ready":
                raise DiedError(f"the host of containerd {self.version} did not come up: {self._host_log()}")
            self._init = _descendant(self._host.pid, depth=2)
            self.start()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End everything in the host and remove its directory; a second time does nothing."""
        host, self._host = self._host, None
        if host is None:
            return
        assert host.stdin is not None
        assert host.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            host.stdin.close()
        try:
            host.wait(timeout=READY_WITHIN_S)
        except subprocess.TimeoutExpired:
            for pid in _children(host.pid):  # unshare: its --kill-child takes the namespace along
                os.kill(pid, signal.SIGKILL)
            host.wait(timeout=READY_WITHIN_S)
        finally:
            host.stdout.close()

    # -- the containerd in it ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start containerd again after `stop` or `kill`; return when it accepts connections.

        Raises:
            DiedError: it ended instead; the message carries the end of its log.
        """
        self._ask("start")
        deadline = time.monotonic() + READY_WITHIN_S
        while not _accepts(self.address):
            if not self.alive or time.monotonic() > deadline:
                raise DiedError(f"containerd {self.version} did not become ready:\n{self.log[-2000:]}")
            time.sleep(POLL_S)

    def stop(self) -> None:
        """End containerd in good order (SIGTERM) and wait for it; containers and their shims go on."""
        self._end("TERM")

    def kill(self) -> None:
        """`kill -9` containerd alone and wait for its end; containers and their shims go on."""
        self._end("KILL")

    def restart(self) -> None:
        """`kill` and `start`."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Stop containerd's process (SIGSTOP): its sockets accept and stay silent. Returns when every thread has stopped."""
        pid = self.pid
        self._ask("signal STOP")
        while any(_state(thread) not in "TZX" for thread in Path(f"/proc/{pid}/task").iterdir()):
            time.sleep(POLL_S)

    def thaw(self) -> None:
        """Let a frozen containerd go on (SIGCONT)."""
        self._ask("signal CONT")

    def power_off(self) -> None:
        """End whatever runs in the host, and forget what a reboot forgets: mounts, and what containerd and runc know of tasks.

        `start` is the reboot's other half. Containers, images and content are still there then, and no task.
        """
        self.run("sh", "-c", POWER_OFF.format(shared=self.shared))
        deadline = time.monotonic() + READY_WITHIN_S
        while self.alive:
            if time.monotonic() > deadline:
                raise DiedError(f"containerd {self.version} does not end with its host")
            time.sleep(POLL_S)

    def kill_shims(self, namespace: str) -> int:
        """`kill -9` the shims of a namespace, wait for their end and return how many there were; their containers go on."""
        shims = [pid for pid in _children(self._init) if _is_shim_of(pid, namespace)]
        for pid in shims:
            os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + READY_WITHIN_S
        while any(_is_shim_of(pid, namespace) for pid in shims):
            if time.monotonic() > deadline:
                raise DiedError(f"the shims {shims} do not end on SIGKILL")
            time.sleep(POLL_S)
        return len(shims)

    @property
    def alive(self) -> bool:
        """Whether containerd's process is there."""
        return self._ask("alive") == "yes"

    @property
    def pid(self) -> int:
        """containerd's process id as seen from outside the host.

        Raises:
            DiedError: containerd is not running.
        """
        for pid in _children(self._init):
            if Path(f"/proc/{pid}/comm").read_text().strip() == "containerd":
                return pid
        raise DiedError(f"containerd {self.version} is not running")

    def _end(self, name: str) -> None:
        self._ask(f"signal {name}")
        deadline = time.monotonic() + READY_WITHIN_S
        while self.alive:
            if time.monotonic() > deadline:
                raise DiedError(f"containerd {self.version} does not end on SIG{name}:\n{self.log[-2000:]}")
            time.sleep(POLL_S)

    # -- programs inside --------------------------------------------------------------------------------------------

    def popen(self, *argv: str | Path, **options: Any) -> subprocess.Popen[str]:
        """Start a program inside the host, as the leader of a process group of its own; options are Popen's.

        End it with `os.killpg(process.pid, ...)`: the process returned is only the door to the one inside.
        """
        enter = ["nsenter", f"--target={self._init}", "--mount", "--pid", "--ipc", "--wdns=/"]
        options = {"text": True, "start_new_session": True, "env": self._environment(), **options}
        return subprocess.Popen([*enter, *map(str, argv)], **options)

    def run(
        self, *argv: str | Path, check: bool = True, timeout: float = 120, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a program inside the host to its end, `stdin` given to it and its output captured; `timeout` in seconds.

        Raises:
            subprocess.CalledProcessError: it failed and `check` is true.
            subprocess.TimeoutExpired: it was killed because it took longer.
        """
        process = self.popen(*argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            stdout, stderr = process.communicate(stdin, timeout=timeout)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
        if check and process.returncode != 0:
            raise subprocess.CalledProcessError(process.returncode, argv, stdout, stderr)
        return subprocess.CompletedProcess(argv, process.returncode, stdout, stderr)

    def outside(self, path: str) -> str:
        """The path by which a file of the host's is seen from outside."""
        return f"/proc/{self._init}/root{path}"

    def ctr(self, *args: str, namespace: str = "default", check: bool = True) -> str:
        """Run containerd's own command line client and return what it printed.

        Raises:
            CtrFailedError: its exit status is not 0 and `check` is true.
        """
        return Ctr(self, namespace)(*args, check=check)

    def namespace(self, name: str, *, busybox: bool = True) -> Ctr:
        """A `ctr` bound to a namespace of this containerd, with the busybox image imported into it."""
        ctr = Ctr(self, name)
        if busybox:
            ctr.import_busybox()
        return ctr

    @contextlib.contextmanager
    def fresh_namespace(self, *, busybox: bool = True) -> Iterator[Ctr]:
        """`namespace` under a name that nobody else has, emptied and removed at the end."""
        ctr = self.namespace(f"t-{uuid.uuid4().hex[:12]}", busybox=busybox)
        try:
            yield ctr
        finally:
            ctr.remove()

    def busybox_archive(self) -> Path:
        """The busybox image as an OCI archive under `shared`, made the first time."""
        path = self.shared / "busybox.tar"
        if not path.exists():
            partial = path.with_suffix(".partial")
            image.write(roots.with_containerd(self.version) / "bin" / "busybox", partial)
            partial.rename(path)
        return path

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "CONTAINERD_ADDRESS": str(self.address),
            "HOME": "/root",
            "LC_ALL": "C",
        }

    # -- talking with host.sh ---------------------------------------------------------------------------------------

    def _ask(self, line: str) -> str:
        if self._host is None or self._host.stdin is None:
            raise RuntimeError("the host is not open: use `with Containerd(...) as host`")
        with self._asking:
            try:
                print(line, file=self._host.stdin, flush=True)
            except BrokenPipeError as error:
                raise DiedError(f"the host of containerd {self.version} is gone") from error
            return self._read()

    def _read(self) -> str:
        assert self._host is not None
        assert self._host.stdout is not None
        line = self._host.stdout.readline()
        if not line:
            raise DiedError(f"the host of containerd {self.version} ended: {self._host_log()}")
        return line.strip()

    def _host_log(self) -> str:
        try:
            return (self.shared / "host.log").read_text(errors="replace")[-2000:].strip()
        except FileNotFoundError:
            return "it had nothing to say"


def _accepts(address: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(address))
        except OSError:
            return False
    return True


def _children(pid: int) -> list[int]:
    """Process ids of the direct children, from the kernel's own list."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _is_shim_of(pid: int, namespace: str) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return False
    named = words[words.index(b"-namespace") + 1] if b"-namespace" in words[:-1] else b""
    return b"containerd-shim" in words[0] and named == namespace.encode()


def _state(thread: Path) -> str:
    """One letter: T for stopped, see proc_pid_stat(5); X for a thread that has just ended."""
    try:
        return (thread / "stat").read_text().rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


def _descendant(pid: int, *, depth: int) -> int:
    for _ in range(depth):
        (pid,) = _children(pid)
    return pid
