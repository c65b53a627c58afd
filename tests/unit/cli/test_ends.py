"""How commands end: a sentence, a status, and never a traceback."""

from __future__ import annotations

import logging
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

import bridge
from bridge.cli import main
from bridge.client import Bus
from bridge.errors import CommandFailed, ConfigError, LogRefused, LogUnavailable
from tests.unit.cli.conftest import Cli


class Failing(AbstractAsyncContextManager[Bus]):
    def __init__(self, error: BaseException) -> None:
        self._error = error

    async def __aenter__(self) -> Bus:
        raise self._error

    async def __aexit__(self, *_: object) -> None:
        pass


def ending(error: BaseException, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    return main(["nodes", *arguments], connect=lambda *_, **__: Failing(error)), capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConfigError("the setting is wrong"), 2),
        (CommandFailed("unavailable", "nobody is there"), 1),
        (LogUnavailable("no answer"), 1),
        (LogRefused("not for you"), 1),
    ],
)
def test_an_error_of_ours_is_its_sentence(error: Exception, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert ending(error, capsys) == (status, f"containerd-bridge: {error}\n")


def test_a_sentence_stays_one_line_whatever_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending(CommandFailed("internal", "first\nsecond\x1b[31m"), capsys) == (
        1,
        "containerd-bridge: first\\nsecond\\x1b[31m\n",
    )


def test_a_mistake_of_ours_is_a_sentence_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending(KeyError("oops"), capsys) == (
        70,
        "containerd-bridge: unexpected KeyError: 'oops'; run with --log-level debug for details\n",
    )


def test_the_details_are_there_for_who_asks(capsys: pytest.CaptureFixture[str]) -> None:
    before = logging.root.handlers[:], logging.root.level
    try:
        status, told = ending(KeyError("oops"), capsys, "--log-level", "debug")
    finally:
        logging.root.handlers[:], logging.root.level = before

    assert status == 70
    assert "Traceback" in told


def test_an_interrupt_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending(KeyboardInterrupt(), capsys) == (130, "")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["bogus"], "no such command 'bogus'"),
        (["ps", "--bogus"], "no such option: --bogus"),
        (["--bogus"], "no such option: --bogus"),
        (["ps", "--log-level", "loud"], "--log-level: log level 'loud' does not exist"),
        (["ps", "--root", "a b"], "--root: subject root 'a b' is not valid"),
        (["ps", "--config", "/nope"], "cannot read the configuration /nope: No such file or directory"),
        (["ps", "--nats-user", "x"], "--nats-user: nats.user and nats.password go together"),
    ],
)
def test_wrong_usage_is_a_sentence_and_status_2(cli: Cli, arguments: list[str], sentence: str) -> None:
    said = cli(*arguments)

    assert said.status == 2
    assert said.err.startswith(f"containerd-bridge: {sentence}")


def test_nothing_to_do_shows_the_help(cli: Cli) -> None:
    said = cli()

    assert said.status == 2
    assert said.err.startswith("Usage: containerd-bridge")


def test_the_version_is_shown(cli: Cli) -> None:
    assert cli("--version") == (0, f"containerd-bridge {bridge.__version__}\n", "")


COMMANDS = (
    "serve events history ps list inspect pids images stats top wait run create start stop restart kill pause resume"
    " update delete exec attach resize close-stdin jobs pull import rmi doctor nodes version config schema state policy"
)
OFFLINE = [["policy", "check"], ["policy", "explain"]]
OF_JOBS = [["jobs", name] for name in ("list", "show", "cancel", "retry", "drop")]
PATHS = [["state", "verify"], ["state", "rebuild"], *OF_JOBS, *OFFLINE, *[[name] for name in COMMANDS.split()]]


def test_the_help_names_every_command_in_full(cli: Cli) -> None:
    said = cli("--help")

    assert [
        line.split()[0] for line in said.lines if line.startswith("  ") and line.split()[0] in COMMANDS.split()
    ] == (COMMANDS.split())
    assert "..." not in said.out.partition("Daemon:")[2]


@pytest.mark.parametrize("command", [[], *PATHS])
def test_help_fits_80_columns(cli: Cli, command: list[str]) -> None:
    for flag in ("--help", "-h"):
        said = cli(*command, flag)

        assert said.status == 0
        assert max(map(len, said.lines)) <= 80
        assert "\x1b" not in said.out


@pytest.mark.parametrize("command", PATHS)
def test_every_client_command_can_be_told_where_nats_is(cli: Cli, command: list[str]) -> None:
    told = cli(*command, "--help").out

    assert ("--nats URL|embedded" in told) == (command not in (["schema"], ["state"], ["policy"], ["jobs"], *OFFLINE))


def test_config_shows_what_applies_without_secrets(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "bridge.toml"
    file.write_text('node = "n1"\n[nats]\nurl = "nats://me:secret@a,tls://b"\n')

    said = cli("config", "--config", str(file), "--root", "prod", "--nats-token", "secret")

    assert said.status == 0
    assert "secret" not in said.out
    for line in ('node = "n1"', 'root = "prod"', 'url = "nats://me:********@a,tls://b"', 'token = "********"'):
        assert line in said.lines
    assert "# user is not set" in said.lines
    told = cli("config", "--config", str(file), "--json").objects[0]
    assert (told["node"], told["nats"]["url"]) == ("n1", "nats://me:********@a,tls://b")


def test_an_unknown_option_is_named_and_nothing_is_guessed(cli: Cli) -> None:
    assert cli("ps", "--foo").err.splitlines()[0] == "containerd-bridge: no such option: --foo"


def test_arguments_are_written_as_docker_writes_them(cli: Cli) -> None:
    stop, schema = cli("stop", "--help").out, cli("schema", "--help").out

    assert "stop [OPTIONS] [CONTAINER...]\n" in stop
    assert "  CONTAINER...  Ids" in stop
    assert "schema [OPTIONS] [NAME]\n" in schema
    assert "<" not in stop + schema
