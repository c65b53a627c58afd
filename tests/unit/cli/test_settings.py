"""What `config` prints is a file that `--config` takes, and where a client finds its NATS."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from bridge.cli.connection import ConnectionOptions
from bridge.cli.settings import masked, to_toml
from bridge.config import Config, NatsConfig, load
from tests.unit.cli.conftest import Cli

EMBEDDED = '{"url":"nats://127.0.0.1:4333","user":"bridge","password":"p"}'


def test_the_printed_settings_are_the_same_when_read(tmp_path: Path) -> None:
    settings = Config(
        namespace=["a", 'b"\\'],
        node="n1",
        http="127.0.0.1:1",
        foreign=True,
        nats=NatsConfig(creds=Path("/\x7f"), replicas=3),
    )
    text = "\n".join(to_toml(masked(settings)))

    read = tomllib.loads(text)

    assert read["namespace"] == ["a", 'b"\\']
    assert read["foreign"] is True
    assert (read["nats"]["creds"], read["nats"]["replicas"]) == ("/\x7f", 3)
    assert "user" not in read["nats"]


def test_the_defaults_are_a_valid_file(tmp_path: Path) -> None:
    file = tmp_path / "bridge.toml"
    file.write_text("\n".join(to_toml(masked(load({"node": "n1"}, environ={})))))

    assert load({}, file=file, environ={}) == load({"node": "n1"}, environ={})


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    (tmp_path / "nats").mkdir()
    (tmp_path / "nats" / "credentials").write_text(EMBEDDED)
    return tmp_path


def nats_of(**options: object) -> NatsConfig:
    given = ConnectionOptions(**options)  # type: ignore[arg-type]
    return given.nats_config(given.load())


def test_nats_that_is_configured_nowhere_is_the_embedded_server(state_dir: Path) -> None:
    assert nats_of(state_dir=state_dir).url == "nats://127.0.0.1:4333"


def test_without_such_a_server_it_is_the_default(tmp_path: Path) -> None:
    assert nats_of(state_dir=tmp_path) == NatsConfig()


def test_nats_on_the_command_line_goes_before_the_embedded_server(state_dir: Path) -> None:
    assert nats_of(state_dir=state_dir, nats=NatsConfig().url) == NatsConfig()
    assert nats_of(state_dir=state_dir, nats_token="t").token == "t"


def test_nats_in_the_environment_does_too(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTAINERD_BRIDGE_NATS", NatsConfig().url)

    assert nats_of(state_dir=state_dir) == NatsConfig()


def test_an_empty_variable_does_not(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTAINERD_BRIDGE_NATS", "")

    assert nats_of(state_dir=state_dir).url == "nats://127.0.0.1:4333"


def test_nats_in_the_file_does_too(state_dir: Path) -> None:
    file = state_dir / "bridge.toml"
    file.write_text(f'[nats]\nurl = "{NatsConfig().url}"\n')

    assert nats_of(state_dir=state_dir, config=file) == NatsConfig()


def test_tls_before_the_first_word_is_an_option_of_commands_and_daemon(cli: Cli) -> None:
    assert nats_of(nats="tls://n", nats_tls_first=True).tls_first is True
    assert "--nats-tls-first" in cli("serve", "--help").out


def test_every_option_of_the_daemon_says_what_it_is_for(cli: Cli) -> None:
    lines = [line for line in cli("serve", "--help").lines if line.startswith("  -")]

    assert [line for line in lines if "  " not in line.strip()] == []
    assert "/var/lib/containerd-bridge" in cli("serve", "--help").out


def test_config_names_the_embedded_server_that_commands_use_but_not_its_credentials(cli: Cli, state_dir: Path) -> None:
    said = cli("config", "--state-dir", str(state_dir))

    assert said.lines[-1] == f"# commands use nats://127.0.0.1:4333, the embedded server of {state_dir}"
    assert "password = " not in said.out


def test_config_is_silent_about_a_server_that_commands_do_not_use(cli: Cli, state_dir: Path) -> None:
    said = cli("config", "--state-dir", str(state_dir), "--nats", "nats://elsewhere")

    assert "# commands use" not in said.out
