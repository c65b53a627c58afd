"""Settings come from options, environment, file and defaults, in that order, and every mistake is named with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, True) for text in ("true", "1", "yes", "on", "True", "YES", " on ")),
        *((text, False) for text in ("false", "0", "no", "off", "FALSE", "Off")),
    ],
)
def test_a_switch_in_the_environment(text: str, expected: bool) -> None:
    assert load({}, environ={"CONTAINERD_BRIDGE_FOREIGN": text}).foreign is expected


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('nodee = "x"', ["nodee", "bridge.toml", "node"]),
        ("[nats]\nurll = 'x'", ["nats.urll", "bridge.toml", "nats.url"]),
        ("namespace = 'default'", ["namespace", "bridge.toml"]),
        ("[nats]\nreplicas = 'many'", ["nats.replicas", "bridge.toml"]),
        ("[nats]\nreplicas = 9", ["nats.replicas", "bridge.toml", "1 to 5"]),
        ("[nats]\nreplicas = true", ["nats.replicas is a switch", "a whole number"]),
        ("[nats]\nuser = 'u'\npassword = 5", ["nats.password is a number", "text in quotes"]),
        ("[nats]\nurl = ''", ["nats.url", "bridge.toml", "embedded"]),
        ("nats = ['nats://h']", ["nats is a list", "a URL", "[nats]"]),
        ("foreign = 'maybe'", ["foreign is 'maybe'", "true or false"]),
        ("namespace = [5]", ["namespace is [5]", "list of names"]),
        ("commands = ['observe']", ["commands is ['observe']", "text in quotes"]),
        (f"http = 0x{'f' * 5000}", ["http is a number", "text in quotes"]),
        ("node = 2020-01-01", ["node is 2020-01-01", "text in quotes"]),
        ("[http]\nhost = 'h'", ["http is a table", "text in quotes"]),
        ("[nats.tls]\nca = '/ca'", ["nats.tls", "nats.tls_ca"]),
        ("one = 1\n[nats]\ntwo = 2\n[three]\nx = 1", ["'one'", "'nats.two'", "'three'"]),
        ('state_dir = "a\\u0000b"', ["state_dir", "NUL"]),
        ('[nats]\ncreds = "a\\u0000b"', ["nats.creds", "NUL"]),
        ('nats = "nats://a\\u0000b"', ["nats.url", "NUL"]),
        ("[nats]\nuser = 'u'", ["nats.user and nats.password"]),
        ("[nats]\ntoken = 't'\ncreds = '/c'", ["token and creds"]),
        ("[nats]\ntls_cert = '/c'", ["nats.tls_cert and nats.tls_key"]),
        ("node = 'no/de'", ["node", "'no/de'"]),
        ("namespace = ['ok', '..']", ["namespace", "'..'"]),
        ("commands = 'everything'", ["'everything'", "lifecycle"]),
        ("http = '9464'", ["'9464'", "HOST:PORT"]),
        ("root = 'a.b'", ["'a.b'"]),
        ("log_level = 'loud'", ["'loud'", "debug"]),
        ("lease = 1", ["lease is 1", "2 to 600"]),
        ("events_max_age_s = 60", ["events_max_age_s is 60", "3600 or more"]),
        ("events_max_bytes = '1MiB'", ["events_max_bytes is 1048576", "64MiB or more"]),
        ("lease = 601", ["lease is 601", "2 to 600"]),
        ("lease = 2.5", ["lease is 2.5", "whole number"]),
        ("node = ", ["not valid TOML"]),
        (f"node = {'1' * 5000}", ["not valid TOML"]),
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


def test_a_path_of_the_file_that_is_none_is_one_sentence() -> None:
    with pytest.raises(ConfigError, match=r"cannot read the configuration 'a\\x00b'"):
        load({}, file=Path("a\0b"), environ={})


# -- the environment


def complaint(options: dict[str, Any] | None = None, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(options or {}, environ={f"CONTAINERD_BRIDGE_{name}": value for name, value in environ.items()})
    sentence = str(caught.value)
    assert sentence.isprintable()
    assert len(sentence) < 400
    assert "expected" not in sentence  # msgspec's words
    return sentence


def test_variables_that_are_no_settings_are_refused_by_name_all_of_them() -> None:
    sentence = complaint(STAT_DIR="/x", NATS_URI="y")
    assert "CONTAINERD_BRIDGE_STAT_DIR" in sentence
    assert "CONTAINERD_BRIDGE_NATS_URI" in sentence


SERVICE_LINKS = {
    "SERVICE_HOST": "10.0.0.1",
    "SERVICE_PORT": "9464",
    "SERVICE_PORT_METRICS": "9464",
    "PORT": "tcp://10.0.0.1:9464",
    "PORT_9464_TCP": "tcp://10.0.0.1:9464",
    "PORT_9464_TCP_PROTO": "tcp",
    "PORT_9464_TCP_PORT": "9464",
    "PORT_9464_TCP_ADDR": "10.0.0.1",
}


@pytest.mark.parametrize("name", SERVICE_LINKS)
def test_what_kubernetes_says_of_a_service_of_our_name_is_passed_over(name: str) -> None:
    environ = {f"CONTAINERD_BRIDGE_{name}": SERVICE_LINKS[name], "CONTAINERD_BRIDGE_NODE": "n1"}
    assert load({}, environ=environ) == Config(node="n1")


@pytest.mark.parametrize("name", ["SERVICE", "PORTS", "PORT_9464", "PORT_TCP", "PORT_9464_TCP_HOST", "SERVICE_HOSTS"])
def test_what_only_looks_like_it_is_refused(name: str) -> None:
    assert f"CONTAINERD_BRIDGE_{name}" in complaint({}, **{name: "tcp://10.0.0.1:9464"})


def test_a_port_that_somebody_wrote_is_refused() -> None:
    assert "CONTAINERD_BRIDGE_PORT" in complaint(PORT="9464")


NAMES = [field.name for field in structs.fields(Config)]
NATS_NAMES = [f"nats_{field.name}" for field in structs.fields(NatsConfig)]


@pytest.mark.parametrize("name", ["config", *NAMES, *NATS_NAMES])
@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_variable_is_as_good_as_none(name: str, empty: str) -> None:
    environ = {f"CONTAINERD_BRIDGE_{name.upper()}": empty}
    assert load({}, environ=environ) == load({}, environ={})


def test_an_empty_variable_leaves_what_the_file_says(tmp_path: Path) -> None:
    file = write(tmp_path, 'http = "127.0.0.1:1"')
    assert load({}, file=file, environ={"CONTAINERD_BRIDGE_HTTP": ""}).http == "127.0.0.1:1"


def test_two_variables_for_the_url_have_to_agree() -> None:
    sentence = complaint(NATS="nats://u:secret@a", NATS_URL="nats://b")
    assert "CONTAINERD_BRIDGE_NATS and CONTAINERD_BRIDGE_NATS_URL" in sentence
    assert "secret" not in sentence


def test_two_variables_for_the_url_that_agree_are_fine() -> None:
    environ = {"CONTAINERD_BRIDGE_NATS": "nats://a", "CONTAINERD_BRIDGE_NATS_URL": "nats://a"}
    assert load({}, environ=environ).nats.url == "nats://a"


def test_variables_that_do_not_go_together_are_both_named() -> None:
    sentence = complaint(NATS_TOKEN="t-secret", NATS_CREDS="/c")
    assert "CONTAINERD_BRIDGE_NATS_TOKEN and CONTAINERD_BRIDGE_NATS_CREDS" in sentence


def test_a_switch_that_is_none_is_shown_with_what_it_may_be() -> None:
    sentence = complaint(FOREIGN="maybe")
    assert "CONTAINERD_BRIDGE_FOREIGN" in sentence
    assert "'maybe'" in sentence
    assert "yes" in sentence


@pytest.mark.parametrize("text", ["x", "3.0", "1" * 5000, "٣"])
def test_a_number_that_is_none_is_asked_for(text: str) -> None:
    assert "nats.replicas is a text: give a whole number" in complaint(NATS_REPLICAS=text)


@pytest.mark.parametrize("text", ["_INBOX.>", "a.*", "a..b", ".a", "a b", "é"])
def test_an_inbox_that_is_no_prefix_is_refused(text: str) -> None:
    assert "nats.inbox is no prefix of subjects" in complaint(NATS_INBOX=text)
    assert load({"nats.inbox": "_INBOX.ops"}, environ={}).nats.inbox == "_INBOX.ops"


def test_an_embedded_server_has_no_domain() -> None:
    assert "leave nats.domain out" in complaint(NATS_URL="embedded", NATS_DOMAIN="hub")
    assert load({"nats.url": "nats://h", "nats.domain": "hub"}, environ={}).nats.domain == "hub"


def test_the_record_of_commands_is_redacted_unless_all_of_it_is_wanted() -> None:
    assert load({}, environ={}).record_detail == "redacted"
    assert load({"record": "Full"}, environ={}).record_detail == "full"
    assert "record 'some' does not exist: choose from redacted, full" in complaint(RECORD="some")


# -- secrets


@pytest.mark.parametrize(
    "text",
    [
        "nats = ['nats://u:secret@x']",
        "[[nats]]\nurl = 'nats://u:secret@x'",
        "[nats]\nurl = ['nats://u:secret@x']",
        '[nats]\nurl = "nats://u:secret@x\\u0000"',
        "[nats]\npassword = 'secret'",
        "[nats]\npassword = ['secret']",
        "[nats]\ntoken = {secret = 1}",
        "[nats]\ntoken = 'secret'\ncreds = '/secret'",
        "[nats]\nreplicas = 'secret'",
        "[nats]\ntls_first = 'secret'",
    ],
)
@pytest.mark.parametrize("environ", [{}, {"CONTAINERD_BRIDGE_NATS_USER": "x"}], ids=["", "with a variable"])
def test_no_complaint_about_nats_shows_a_value(tmp_path: Path, text: str, environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load({"nats.tls_cert": Path("/c")}, file=write(tmp_path, text), environ=environ)
    assert "secret" not in str(caught.value)


# -- the node's name


@pytest.mark.parametrize("name", ["my_host-.local", "", "h" * 77])
def test_a_host_whose_name_is_no_node_name_needs_one(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: name)
    sentence = complaint()
    assert "the host's name" in sentence
    assert "--node" in sentence
    assert "CONTAINERD_BRIDGE_NODE" in sentence


def test_a_node_that_has_a_name_needs_none_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "my_host-.local")
    assert load({"node": "n1"}, environ={}).node == "n1"


# -- options


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


NO_ADDRESSES = {
    "port alone": "9464",
    "no port": "h:",
    "a word": "h:x",
    "other digits": "h:٣",
    "port too big": "h:65536",
    "port far too big": "h:" + "9" * 100_000,
    "label too long": "a" * 70 + ":80",
    "empty label": "a..b:80",
    "no ASCII": "é" * 300 + ":80",
    "a line end": "a\nb:80",
    "empty": "",
}


@pytest.mark.parametrize("text", NO_ADDRESSES.values(), ids=NO_ADDRESSES)
def test_what_is_no_http_address_is_one_short_sentence(text: str) -> None:
    sentence = complaint({"http": text})
    assert "--http" in sentence
    assert "HOST:PORT" in sentence


def test_a_nul_in_an_address_is_shown_escaped() -> None:
    assert "--http: http is 'a\\x00b:80': it cannot hold a NUL" in complaint({"http": "a\0b:80"})
