"""What cannot work is told at the start: one clear sentence, exit status 2, no traceback, and nothing left behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.fix_bridge import Bridge, BridgeFactory
from tests.fix_nats import NatsServerFactory
from tests.testbed import Containerd


def refused(*options: str | Path, environ: dict[str, str] | None = None, prefix: Sequence[str] = ()) -> str:
    """Start it, expect exit status 2, and return the one sentence, below which a line of advice may stand."""
    ran = subprocess.run(
        [*prefix, sys.executable, "-m", "bridge", "serve", *map(str, options)],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env={**os.environ, **(environ or {})},
    )
    assert ran.returncode == 2, ran.stderr
    assert "Traceback" not in ran.stderr
    sentences = [line for line in ran.stderr.splitlines() if not line.startswith("{")]
    assert len(sentences) in {1, 2}, ran.stderr
    assert sentences[0].startswith("containerd-bridge: "), ran.stderr
    assert not [line for line in ran.stderr.splitlines() if '"level": "error"' in line], ran.stderr
    return sentences[0].removeprefix("containerd-bridge: ")


@pytest.fixture
def state(tmp_path: Path) -> tuple[str | Path, ...]:
    return ("--state-dir", tmp_path / "state", "--node", "n1")


def test_a_socket_that_is_not_there(state: tuple[str | Path, ...], tmp_path: Path) -> None:
    said = refused("--containerd", tmp_path / "no.sock", *state)
    assert str(tmp_path / "no.sock") in said
    assert not (tmp_path / "state").exists()


def test_a_path_that_is_no_socket(state: tuple[str | Path, ...], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "socket" in refused("--containerd", tmp_path / "file", *state)


def test_a_socket_behind_which_nobody_listens(state: tuple[str | Path, ...], tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(tmp_path / "dead.sock"))
    assert str(tmp_path / "dead.sock") in refused("--containerd", tmp_path / "dead.sock", *state)


def test_a_socket_that_may_not_be_opened(state: tuple[str | Path, ...], tmp_path: Path) -> None:
    # Root opens everything, unless it gives up the capability to.
    without = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
    with socket.socket(socket.AF_UNIX) as closed:
        closed.bind(str(tmp_path / "c.sock"))
        closed.listen()
        (tmp_path / "c.sock").chmod(0)
        said = refused("--containerd", tmp_path / "c.sock", *state, prefix=without)
    assert "may not be opened" in said
    assert str(tmp_path / "c.sock") in said


def test_nobody_listens_where_nats_should_be(containerd: Containerd, state: tuple[str | Path, ...]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"nats://127.0.0.1:{taken.getsockname()[1]}"
        assert url in refused("--containerd", containerd.address, "--nats", url, *state)


def test_a_nats_server_without_jetstream(
    containerd: Containerd, nats_server_factory: NatsServerFactory, state: tuple[str | Path, ...]
) -> None:
    server = nats_server_factory(jetstream=None)
    assert "JetStream" in refused("--containerd", containerd.address, "--nats", server.url, *state)


def test_wrong_credentials_and_the_password_stays_unsaid(
    containerd: Containerd, nats_server_factory: NatsServerFactory, state: tuple[str | Path, ...]
) -> None:
    server = nats_server_factory(config='authorization { user: "u", password: "right" }')
    url = server.url.replace("nats://", "nats://u:s3cret@")
    said = refused("--containerd", containerd.address, "--nats", url, *state)
    assert "credentials" in said or "uthoriz" in said
    assert "s3cret" not in said


def test_a_taken_http_port(containerd: Containerd, nats_url: str, state: tuple[str | Path, ...]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        said = refused("--containerd", containerd.address, "--nats", nats_url, "--http", address, *state)
    assert address in said
    assert "in use" in said


def test_a_typo_in_the_toml(tmp_path: Path) -> None:
    file = tmp_path / "bridge.toml"
    file.write_text('containerd = "/run/x.sock"\n\n[nats]\nurll = "nats://x:4222"\n')
    said = refused("--config", file)
    assert str(file) in said
    assert "nats.urll" in said


def test_toml_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "bridge.toml"
    file.write_text("containerd = \n")
    assert "not valid TOML" in refused("--config", file)


def test_a_typo_in_the_environment() -> None:
    assert "CONTAINERD_BRIDGE_STAT_DIR" in refused(environ={"CONTAINERD_BRIDGE_STAT_DIR": "/x"})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--namespace", "-bad-"),
        ("--commands", "everything"),
        ("--node", "no/de"),
        ("--http", "port"),
        ("--root", "a.b"),
    ],
)
def test_a_bad_value_is_named_with_its_option(option: str, value: str) -> None:
    said = refused(option, value)
    assert option in said
    assert value in said


def test_a_state_directory_that_another_bridge_works_in(bridge: Bridge, nats_url: str) -> None:
    said = refused(*bridge.options)
    assert f"pid {bridge.process.pid}" in said


def test_a_state_directory_that_cannot_be_made(containerd: Containerd, nats_url: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    directory = tmp_path / "file" / "state"
    assert str(directory) in refused("--containerd", containerd.address, "--nats", nats_url, "--state-dir", directory)


def test_a_damaged_outbox(
    bridge_factory: BridgeFactory, containerd: Containerd, nats_url: str, state: tuple[str | Path, ...], tmp_path: Path
) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "outbox.db").write_bytes(b"not a database at all, but long enough to look at" * 50)
    said = refused("--containerd", containerd.address, "--nats", nats_url, *state)
    assert str(tmp_path / "state" / "outbox.db") in said
