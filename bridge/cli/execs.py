"""`containerd-bridge exec` and `attach`: a process of a container, from any machine, as if it were here."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from bridge.cli.attached import Manner, attached
from bridge.cli.connection import client_command
from bridge.cli.console import DetachKeys, terminal_size
from bridge.cli.exits import PROGRAM, complain, complaint
from bridge.cli.options import Container, DetachWith, Namespace, NodeName, SigProxy, checked
from bridge.cli.terminal import Terminal
from bridge.client import Bus, CommandFailed, Process
from bridge.model.identity import check_identifier, new_ulid

__all__ = ["attach", "exec_"]

KEYS: Final = "ctrl-p,ctrl-q"
NOT_EXECUTABLE, NOT_FOUND = 126, 127
"""As shells and docker end for a program that cannot be run, or is not there."""

_MISSING: Final = re.compile("executable file not found|no such file or directory", re.IGNORECASE)


def _check_variable(text: str) -> None:
    if not text.partition("=")[0]:
        raise ValueError(f"{text!r} is no variable: give NAME=VALUE, or NAME for the value it has here")


@client_command
async def exec_(
    bus: Bus,
    *,
    container: Container,
    command: Annotated[list[str], typer.Argument(metavar="COMMAND", help="The program and its arguments.")],
    interactive: Annotated[bool, typer.Option("--interactive", "-i", help="Our input is its input.")] = False,
    tty: Annotated[
        bool, typer.Option("--tty", "-t", help="Give it a terminal; with -i ours, ctrl-p ctrl-q leaves.")
    ] = False,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Print its name and leave it running.")] = False,
    env: Annotated[
        list[str] | None,
        typer.Option("--env", "-e", metavar="K=V", help="Variable (repeatable).", callback=checked(_check_variable)),
    ] = None,
    workdir: Annotated[str | None, typer.Option("--workdir", "-w", metavar="DIR", help="Where it works.")] = None,
    user: Annotated[
        str | None, typer.Option("--user", "-u", metavar="USER", help="Name or uid, with :group too.")
    ] = None,
    timeout: Annotated[float | None, typer.Option(metavar="SECONDS", help="After which it is killed.")] = None,
    detach_keys: DetachWith = KEYS,
    namespace: Namespace = None,
    node: NodeName = None,
) -> None:
    """Run another program in a container; its exit status is ours.

    Everything of the container's own process holds for it too, but for what is given here. Ctrl-C interrupts it, a second time
    kills it.
    """
    if interactive and tty and not detach and not sys.stdin.isatty():
        raise typer.BadParameter("the input is no terminal: leave -t out, or -i")
    at = await bus.locate(container, node=node, namespace=namespace)
    options: dict[str, Any] = {
        "args": command,
        "env": _variables(env or []),
        "tty": tty,
        "stdin": interactive and not detach,
    }
    options |= {
        name: value for name, value in (("cwd", workdir), ("user", user), ("timeout", timeout)) if value is not None
    }
    if tty and (size := terminal_size()) is not None:
        options |= {"width": size[0], "height": size[1]}
    name = new_ulid()
    manner = Manner(
        name=f"exec {name} of {at.container}",
        stdin=interactive,
        rule="interrupt",
        owner=True,
        keys=DetachKeys.read(detach_keys),
        back=f"{PROGRAM} attach {container} --exec {name}",
    )
    try:
        if not detach:
            running = at.node.exec(at.container, namespace=at.namespace, id=name, **options)
            raise typer.Exit(await attached(running, manner))
        process = await at.node.exec(at.container, namespace=at.namespace, window=None, **options)
    except CommandFailed as error:
        complain(complaint(error))
        raise typer.Exit(_refused(error)) from error
    Terminal().line(process.exec_id or "")


@client_command
async def attach(
    bus: Bus,
    *,
    container: Container,
    exec_id: Annotated[
        str | None,
        typer.Option(
            "--exec",
            metavar="EXEC",
            help="This additional process, not the container's own.",
            callback=checked(lambda text: check_identifier(text, "exec id")),
        ),
    ] = None,
    no_stdin: Annotated[bool, typer.Option("--no-stdin", help="Only look.")] = False,
    from_start: Annotated[bool, typer.Option("--from-start", help="Show what it wrote before, too.")] = False,
    from_byte: Annotated[
        int | None,
        typer.Option("--from", metavar="BYTE", min=0, help="Show it from this byte of each output on; 0 for all."),
    ] = None,
    sig_proxy: SigProxy = True,
    detach_keys: DetachWith = KEYS,
    namespace: Namespace = None,
    node: NodeName = None,
) -> None:
    """Be with a process: see its output, send it input; end as it does.

    Its stdio has to be on the bus: it is an exec of ours, or a container that was run or started so. It has one input, for all
    who are with it. What has ended is shown as a whole.
    """
    at = await bus.locate(container, node=node, namespace=namespace)
    process = await at.node.attach(at.container, exec_id, namespace=at.namespace)
    now = process.started
    since: Mapping[Any, int] = {"stdout": now.stdout.size, "stderr": now.stderr.size if now.stderr else 0}
    stdin = now.stdin and now.running and not no_stdin
    if from_byte is not None:
        since = {"stdout": from_byte, "stderr": from_byte}
    elif from_start or not now.running:
        since = {}
    manner = Manner(
        name=at.container if exec_id is None else f"exec {exec_id} of {at.container}",
        stdin=stdin,
        rule="leave" if not sig_proxy or now.terminal else "forward",
        since=since,
        keys=DetachKeys.read(detach_keys),
        back=f"{PROGRAM} attach {container}" + ("" if exec_id is None else f" --exec {exec_id}"),
        redraw=True,
    )

    async def there() -> Process:
        return process

    raise typer.Exit(await attached(there(), manner))


def _variables(given: list[str]) -> dict[str, str]:
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if equals:
            found[name] = value
        elif name in os.environ:  # as docker has it
            found[name] = os.environ[name]
    return found


def _refused(error: CommandFailed) -> int:
    if error.code != "invalid_argument" or not error.containerd:
        return 1
    return NOT_FOUND if _MISSING.search(error.containerd) else NOT_EXECUTABLE
