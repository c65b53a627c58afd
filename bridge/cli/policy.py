"""`containerd-bridge policy`: look at the rules of a node without the node."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from msgspec import Struct

from bridge.cli.options import Json, Namespace, checked
from bridge.cli.terminal import Terminal
from bridge.client import ConfigError
from bridge.config import Config, load
from bridge.model.commands import COMMANDS
from bridge.model.events import Who
from bridge.model.identity import check_identifier
from bridge.policy import (
    NO_RULES,
    Facts,
    Question,
    RuleBook,
    asks_of,
    asks_of_hosts,
    asks_of_labels,
    asks_of_output,
    asks_of_process,
    read_policy,
)
from bridge.policy.switches import SWITCH, Switches

__all__ = ["check", "explain", "summary"]

LARGEST_SPEC = 4 << 20


class _Said(Struct, frozen=True, kw_only=True):
    """What `--json` prints."""

    allowed: bool
    rule: str
    reason: str
    asks: list[str] = []


def _check_label(text: str) -> None:
    if "=" not in text:
        raise ValueError(f"{text!r} is no label: give key=value")


PolicyOption = Annotated[
    Path | None,
    typer.Option(
        "--policy", readable=False, metavar="FILE", help="The rules; those of the configuration unless given."
    ),
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", readable=False, metavar="FILE", help="TOML file with settings.")
]


def check(
    *,
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="The rules.")] = None,
    config: ConfigOption = None,
    as_json: Json = False,
) -> None:
    """See whether the rules are understood; ends with status 2 if not."""
    settings = load({"policy": file}, file=config)
    if settings.policy is None:
        raise ConfigError("there is no policy to check: give its file, or set policy in the configuration")
    book = read_policy(settings.policy)
    if as_json:
        Terminal().json({"file": str(settings.policy), "rules": len(book.rules), "default": book.default})
    else:
        Terminal().line(summary(settings.policy, book))


def summary(path: Path, book: RuleBook) -> str:
    """Return a line about rules that are in order."""
    count = len(book.rules)
    return f"{path} is in order: {count} rule{'' if count == 1 else 's'}, default {book.default}"


def explain(
    *,
    verb: Annotated[str, typer.Argument(metavar="VERB", help="What would be asked, such as stop.")],
    container: Annotated[str | None, typer.Argument(metavar="CONTAINER", help="The container's full id.")] = None,
    policy: PolicyOption = None,
    config: ConfigOption = None,
    namespace: Namespace = None,
    image: Annotated[str, typer.Option(metavar="IMAGE", help="The container's image.")] = "",
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label",
            "-l",
            metavar="KEY=VALUE",
            help="A label of the container (repeatable).",
            callback=checked(_check_label),
        ),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option(
            "--user", "-u", metavar="ACCOUNT/USER", help="Who asks, as NATS names them; nobody knows unless given."
        ),
    ] = None,
    spec: Annotated[
        Path | None, typer.Option(readable=False, metavar="FILE", help="OCI spec of the container, as JSON.")
    ] = None,
    process: Annotated[
        Path | None, typer.Option(readable=False, metavar="FILE", help="OCI process of an exec, as JSON.")
    ] = None,
    log_uri: Annotated[
        str,
        typer.Option(metavar="URI", help="Where the container's output goes: file:///PATH or binary:///PROGRAM."),
    ] = "",
    hosts_dir: Annotated[str, typer.Option(metavar="DIR", help="The node's directory with hosts.toml files.")] = "",
    as_json: Json = False,
) -> None:
    """Say which rule would decide about a command, and how.

    Nothing is asked of any node. Paths in a spec are taken as they stand; the node follows their symbolic links too. Ends with
    status 1 if the command would be refused.
    """
    kind = COMMANDS.get(verb)
    if kind is None:
        raise typer.BadParameter(
            f"there is no verb {verb!r}: choose from {', '.join(sorted(COMMANDS))}", param_hint="VERB"
        )
    if kind.targets != "container" and container is not None:
        raise typer.BadParameter(f"{verb} is for no single container: leave it out", param_hint="CONTAINER")
    if kind.targets == "container":
        container, namespace = _named(container), namespace or "default"
    settings = load({"policy": policy}, file=config)
    book = NO_RULES if settings.policy is None else read_policy(settings.policy)
    asks = asks_of(_json(spec), cgroups_path=f"/{namespace}/{container}") if spec is not None else ()
    if process is not None:
        own = _json(spec).get("process") if spec is not None else None
        asks += asks_of_process(_json(process), own=own)
    labels = dict(_pair(each) for each in label or ())
    if verb in {"create", "run", "pull"}:
        asks += asks_of_labels(labels)
    asks += asks_of_output(log_uri) + asks_of_hosts(hosts_dir)
    question = Question(
        verb=verb,
        group=kind.group,
        namespace=namespace,
        container=container,
        facts=Facts(labels, image),
        who=None if user is None else _who(user),
        asks=asks,
        existing=verb in {"start", "restart"},
    )
    decision = book.decide(question)
    assert decision is not None
    said = _Said(allowed=decision.allowed, rule=decision.rule, reason=decision.reason, asks=[str(ask) for ask in asks])
    if (refusal := _switched_off(settings, question)) is not None:
        said = _Said(allowed=False, rule=SWITCH, reason=refusal, asks=said.asks)
    terminal = Terminal()
    if as_json:
        terminal.json(said)
    else:
        terminal.line(f"{'allowed' if said.allowed else 'refused'} by {said.rule}: {said.reason}")
    if not said.allowed:
        raise typer.Exit(1)


def _switched_off(settings: Config, question: Question) -> str | None:
    """Return what the switches say, where the settings switch anything on."""
    if not settings.groups:
        return None
    switches = Switches(groups=settings.groups, foreign=settings.foreign, namespaces=frozenset(settings.namespace))
    return switches.refusal(COMMANDS[question.verb], question.namespace)


def _named(container: str | None) -> str:
    try:
        if container is None:
            raise ValueError("the command is for one container: name it")
        return check_identifier(container, "container id")
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="CONTAINER") from error


def _pair(label: str) -> tuple[str, str]:
    key, _, value = label.partition("=")
    return key, value


def _who(text: str) -> Who:
    account, slash, name = text.rpartition("/")
    return Who(account=account if slash else "", user=name)


def _json(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST_SPEC + 1)
        if len(text) > LARGEST_SPEC:
            raise ValueError(f"it has more than {LARGEST_SPEC} bytes")
        found = json.loads(text)
        if not isinstance(found, dict):
            raise ValueError("it is no JSON object")
    except OSError as error:
        raise ConfigError(f"cannot read {str(path)!r}: {os.strerror(error.errno or 0)}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{str(path)!r} is not what it should be: {error}") from error
    return found
