"""Settings come from options, environment, file and defaults, in that order, and every mistake is named with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bridge.config import Config, NatsConfig, load
from bridge.errors import ConfigError


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "bridge.toml"
    file.write_text(text)
    return file


def test_an_option_wins_over_the_environment_and_that_over_the_file_and_that_over_the_default(tmp_path: Path) -> None:
    file = write(tmp_path, 'node = "file"\nroot = "file"\ncommands = "observe"\n')
    environ = {"CONTAINERD_BRIDGE_NODE": "environment", "CONTAINERD_BRIDGE_ROOT": "environment"}
    config = load({"node": "option", "root": None}, file=file, environ=environ)
    assert (config.node, config.root, config.commands) == ("option", "environment", "observe")
    assert config.state_dir == Config().state_dir


def test_the_environment_can_name_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, 'node = "from-file"')
    assert load({}, environ={"CONTAINERD_BRIDGE_CONFIG": str(file)}).node == "from-file"


def test_without_a_name_the_node_is_called_as_the_host() -> None:
    assert load({}, environ={}).node


@pytest.mark.parametrize("text", ['nats = "tls://n:4222"', '[nats]\nurl = "tls://n:4222"'])
def test_nats_is_a_url_or_a_table(tmp_path: Path, text: str) -> None:
    assert load({}, file=write(tmp_path, text), environ={}).nats == NatsConfig(url="tls://n:4222")


def test_options_of_nats_are_merged_with_those_of_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, 'nats = "nats://n:4222"')
    environ = {"CONTAINERD_BRIDGE_NATS_CREDS": "/c", "CONTAINERD_BRIDGE_NATS_REPLICAS": "3"}
    nats = load({"nats.tls_ca": Path("/ca")}, file=file, environ=environ).nats
    assert nats == NatsConfig(url="nats://n:4222", creds=Path("/c"), replicas=3, tls_ca=Path("/ca"))


def test_the_variable_without_a_suffix_is_the_url() -> None:
    assert load({}, environ={"CONTAINERD_BRIDGE_NATS": "embedded"}).nats.embedded


def test_namespaces_in_the_environment_are_separated_by_commas() -> None:
    assert load({}, environ={"CONTAINERD_BRIDGE_NAMESPACE": "default, k8s.io"}).namespace == ["default", "k8s.io"]


@pytest.mark.parametrize(("text", "expected"), [("true", True), ("1", True), ("false", False), ("0", False)])
def test_a_switch_in_the_environment(text: str, expected: bool) -> None:
    assert load({}, environ={"CONTAINERD_BRIDGE_FOREIGN": text}).foreign is expected


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('nodee = "x"', ["nodee", "bridge.toml", "node"]),
        ("[nats]\nurll = 'x'", ["nats.urll", "bridge.toml", "nats.url"]),
        ("namespace = 'default'", ["namespace", "bridge.toml"]),
        ("[nats]\nreplicas = 'many'", ["nats.replicas", "bridge.toml"]),
        ("[nats]\nreplicas = 9", ["nats.replicas is 9"]),
        ("[nats]\nuser = 'u'", ["nats.user and nats.password"]),
        ("[nats]\ntoken = 't'\ncreds = '/c'", ["token and creds"]),
        ("[nats]\ntls_cert = '/c'", ["nats.tls_cert and nats.tls_key"]),
        ("node = 'no/de'", ["node", "'no/de'"]),
        ("namespace = ['ok', '..']", ["namespace", "'..'"]),
        ("commands = 'everything'", ["'everything'", "lifecycle"]),
        ("http = '9464'", ["'9464'", "HOST:PORT"]),
        ("root = 'a.b'", ["'a.b'"]),
        ("log_level = 'loud'", ["'loud'", "debug"]),
        ("node = ", ["not valid TOML"]),
        ("state_dir = ''", ["state_dir", "bridge.toml"]),
        ("nats = 4222", ["nats"]),
    ],
)
def test_a_mistake_in_the_file_is_one_sentence_that_names_it(tmp_path: Path, text: str, names: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load({}, file=write(tmp_path, text), environ={})
    sentence = str(caught.value)
    assert "\n" not in sentence
    for name in names:
        assert name in sentence


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=str(tmp_path / "no.toml")):
        load({}, file=tmp_path / "no.toml", environ={})


def test_a_variable_that_is_no_setting_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="CONTAINERD_BRIDGE_STAT_DIR"):
        load({}, environ={"CONTAINERD_BRIDGE_STAT_DIR": "/x"})


def test_a_mistake_in_an_option_names_the_option() -> None:
    options: dict[str, Any] = {"nats.replicas": "x"}
    with pytest.raises(ConfigError, match="--nats-replicas"):
        load(options, environ={})


@pytest.mark.parametrize(
    ("text", "expected"),
    [("127.0.0.1:9464", ("127.0.0.1", 9464)), (":9464", ("127.0.0.1", 9464)), ("[::1]:80", ("::1", 80))],
)
def test_http_addresses(text: str, expected: tuple[str, int]) -> None:
    assert load({"http": text}, environ={}).http_address == expected
