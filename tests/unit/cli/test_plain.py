"""A plain call of `serve` gives the settings that typer gives, and what is not plain is typer's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from typer.main import get_command

import bridge.cli.serve as serve_module
from bridge.cli.app import app, main
from bridge.cli.plain import plain_serve
from bridge.config import Config, load

VALUES: Final[Mapping[str, str]] = {
    "--containerd": "/run/x.sock",
    "--namespace": "k8s.io",
    "--nats": "nats://a:1,nats://b:2",
    "--node": "web1",
    "--state-dir": "some/dir/",
    "--fifo-dir": "./fifo",
    "--checkpoint-dir": "dumps",
    "--bundle-root": "/run/docker/containerd",
    "--commands": "observe,lifecycle",
    "--policy": "/etc/policy.toml",
    "--record": "full",
    "--show": "full",
    "--http": "127.0.0.1:9464",
    "--docker": "unix:///var/run/docker.sock",
    "--page-token": "0123456789abcdef",
    "--page-token-file": "/etc/page-token",
    "--page-host": "bridge.example",
    "--root": "containerd2",
    "--lease": "07",
    "--nats-user": "ü",
    "--nats-password": "p=w --x",
    "--nats-token": "t",
    "--nats-nkey": "seed",
    "--nats-creds": "/c",
    "--nats-tls-ca": "ca.pem",
    "--nats-tls-cert": "cert.pem",
    "--nats-tls-key": "key.pem",
    "--nats-domain": "hub",
    "--nats-inbox": "_INBOX.n1",
    "--nats-replicas": "3",
    "--events-max-age-s": "3153600000",
    "--events-max-bytes": "64 MiB",
    "--stdio-max-age-s": "3601",
    "--stdio-max-bytes": "2GiB",
    "--checkpoints-max-bytes": "64GiB",
    "--checkpoints-quota": "8GiB",
    "--checkpoints-max-age-s": "86400",
    "--checkpoints-keep": "5",
    "--checkpoint-key": "/etc/checkpoint.key",
    "--outbox-max-bytes": "2GiB",
    "--outbox-reserve-bytes": "0",
    "--outbox-retention-s": "60",
    "--audit-s": "30",
    "--log-level": "WARNING",
    "--log-format": "journal",
}
FLAGS: Final = (
    "--page",
    "--take-over",
    "--foreign",
    "--nats-tls-first",
    "--record-observing",
    "--request-info",
    "--traces",
)
TOGETHER: Final = {
    "--page": ["--http=127.0.0.1:9465"],
    "--nats-user": ["--nats-password=x"],
    "--nats-password": ["--nats-user=x"],
    "--nats-tls-cert": ["--nats-tls-key=x"],
    "--nats-tls-key": ["--nats-tls-cert=x"],
}


@pytest.fixture
def by_typer(monkeypatch: pytest.MonkeyPatch) -> Any:
    def settings(*arguments: str) -> Config:
        given: list[Config] = []

        def run(options: Mapping[str, Any], file: Path | None) -> None:
            given.append(load(options, file=file))

        monkeypatch.setattr(serve_module, "run", run)
        assert main(["serve", *arguments]) == 0
        (config,) = given
        return config

    return settings


def by_us(*arguments: str) -> Config:
    plain = plain_serve(["serve", *arguments])
    assert plain is not None
    return load(plain.options, file=plain.file)


def test_every_option_of_serve_is_here() -> None:
    command: Any = get_command(app)
    options = {name for each in command.commands["serve"].params for name in each.opts}
    assert options - {"--help", "--config"} == {*VALUES, *FLAGS}


@pytest.mark.parametrize("option", VALUES)
def test_an_option_means_what_typer_makes_of_it(option: str, by_typer: Any) -> None:
    for words in ([option, VALUES[option]], [f"{option}={VALUES[option]}"], [option, "7", option, VALUES[option]]):
        arguments = [*words, *TOGETHER.get(option, [])]
        assert by_us(*arguments) == by_typer(*arguments)
        assert by_us(*arguments) != by_us()


@pytest.mark.parametrize("flag", FLAGS)
def test_so_does_a_switch(flag: str, by_typer: Any) -> None:
    others = ["--node=n", *TOGETHER.get(flag, [])]
    assert by_us(flag, *others) == by_typer(flag, *others)
    assert by_us(flag, *others) != by_us(*others)


def test_so_do_all_of_them_with_a_file(by_typer: Any, tmp_path: Path) -> None:
    file = tmp_path / "bridge.toml"
    file.write_text('lease = 33\nnamespace = ["of-file"]\n[nats]\nreplicas = 5\n')
    every = [
        word
        for option in VALUES
        if option not in {"--nats-token", "--nats-nkey", "--nats-creds", "--lease"}
        for word in (option, VALUES[option])
    ]
    for arguments in ([], ["--config", str(file)], [*every, *FLAGS, f"--config={file}"]):
        assert by_us(*arguments) == by_typer(*arguments)
    assert by_us(*every, f"--config={file}").lease == 33


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["ps"],
        ["--version", "serve"],
        ["serve", "--help"],
        ["serve", "-h"],
        ["serve", "--bogus", "x"],
        ["serve", "x"],
        ["serve", "--"],
        ["serve", "--node"],
        ["serve", "--node="],
        ["serve", "--node", ""],
        ["serve", "--node", "--foreign"],
        ["serve", "--node", " x"],
        ["serve", "--node", "x\n"],
        ["serve", "--state-dir", "\udcff"],
        ["serve", "--foreign=yes"],
        ["serve", "--lease", "x"],
        ["serve", "--lease", "1_0"],
        ["serve", "--lease", "+5"],
        ["serve", "--lease", "٣"],
        ["serve", "--lease", "9" * 15],
        ["serve", "--config"],
        ["serve", "--nats-url", "x"],
    ],
)
def test_what_is_not_plain_is_left_alone(arguments: list[str]) -> None:
    assert plain_serve(arguments) is None


def test_the_daemon_has_nothing_of_the_command_line_in_memory() -> None:
    program = (
        "import sys; from bridge.cli import main; status = main(sys.argv[1:]);"
        "print(status, 'bridge.daemon' in sys.modules, *{name.partition('.')[0] for name in sys.modules}"
        " & {'typer', 'click', 'rich', 'pydantic', 'pydantic_core'})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "serve", "--containerd", "/nowhere/containerd.sock", "--node", "n1"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "2 True\n"
    assert done.stderr.startswith("containerd-bridge: ")
