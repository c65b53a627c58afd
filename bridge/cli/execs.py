"""`containerd-bridge exec` and `attach`: a process of a container, from any machine, as if it were here."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import Annotated, Any, Final

import typer

from bridge.cli.attached import Manner, attached
from bridge.cli.captured import show_captured, status_of
from bridge.cli.connection import client_command
from bridge.cli.console import DetachKeys, terminal_size
from bridge.cli.exits import PROGRAM, complain, complaint
from bridge.cli.options import Container, DetachWith, ExecName, Namespace, NodeName, SigProxy, checked
from bridge.cli.sending import EXECUTING, remarks, sending, told
from bridge.cli.signatures import own_parameters, parameter, taken, with_parameters
from bridge.cli.terminal import Terminal
from bridge.client import Bus, CommandFailed, ConfigError, Process
from bridge.model.identity import check_identifier, new_ulid

__all__ = ["attach", "exec_"]

KEYS: Final = "ctrl-p,ctrl-q"
NOT_EXECUTABLE, NOT_FOUND = 126, 127
"""As shells and docker end for a program that cannot be run, or is not there."""

_CAPABILITY: Final = re.compile(r"CAP_[A-Z_]+")
_MISSING: Final = re.compile("executable file not found|no such file or directory", re.IGNORECASE)


def _check_variable(text: str) -> None:
    if not text.partition("=")[0]:
        raise ValueError(f"{text!r} is no variable: give NAME=VALUE, or NAME for the value it has here")


def _capability(text: str) -> str:
    """Return a capability as the kernel calls it; `net_admin` and `NET_ADMIN` are what docker's users write."""
    name = text.upper() if text.upper().startswith("CAP_") else f"CAP_{text.upper()}"
    if not _CAPABILITY.fullmatch(name):
        raise ValueError(f"{text!r} is no capability: give a name such as NET_ADMIN")
    return name


def _running(body: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make a command of `body`, which is given how its exec is sent as a mapping."""

    async def command(bus: Bus, /, **values: Any) -> None:
        await body(bus, taken(values, EXECUTING), **values)

    parameters = [parameter("bus", Bus), *own_parameters(body)[1:], *EXECUTING]
    return client_command(with_parameters(command, body, parameters))


@_running
async def exec_(
    bus: Bus,
    how: Mapping[str, Any],
    *,
    container: Container,
    command: Annotated[list[str], typer.Argument(metavar="COMMAND", help="The program and its arguments.")],
    interactive: Annotated[
        bool, typer.Option("--interactive", "-i", help="It takes input, ours where we are attached.")
    ] = False,
    tty: Annotated[bool, typer.Option("--tty", "-t", help="Give it a terminal.")] = False,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Print what it is called, and leave it running.")
    ] = False,
    capture: Annotated[
        bool, typer.Option("--capture", help="Be not with it: show its output, 256 KiB of each, when it has ended.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="The outcome, with what was captured in base 64; with -d how it began.")
    ] = False,
    exec_id: Annotated[
        str | None,
        typer.Option(
            "--exec-id",
            metavar="EXEC",
            help="Its name; the command's id unless given.",
            callback=checked(lambda text: check_identifier(text, "exec id")),
        ),
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option(
            "--env",
            "-e",
            metavar="NAME=VALUE",
            help="Set a variable; NAME alone takes ours (repeatable).",
            callback=checked(_check_variable),
        ),
    ] = None,
    workdir: Annotated[
        str | None, typer.Option("--workdir", "-w", metavar="PATH", help="Directory in which it begins.")
    ] = None,
    user: Annotated[str | None, typer.Option("--user", "-u", metavar="USER[:GROUP]", help="Names or numbers.")] = None,
    cap: Annotated[
        list[str] | None,
        typer.Option(
            "--cap",
            metavar="CAP",
            help="Its capabilities are exactly these, not the container's (repeatable).",
            callback=checked(_capability),
        ),
    ] = None,
    timeout: Annotated[float | None, typer.Option(metavar="SECONDS", help="After which it is killed.")] = None,
    detach_keys: DetachWith = KEYS,
    namespace: Namespace = None,
    node: NodeName = None,
) -> None:
    """Run another program in a container; its exit status is ours.

    Everything of the container's own process holds for it too, but for what is given here. Ctrl-C interrupts it, a second time
    kills it. A job (--durable) is captured, unless it is detached.
    """
    captured = not detach and (capture or as_json or how["durable"])
    if captured and interactive:
        raise ConfigError("nobody is with it to give it input: leave -i out, or --capture, --json and --durable")
    if capture and detach:
        raise ConfigError("-d does not wait for what --capture shows: give one of them")
    if interactive and tty and not detach and not sys.stdin.isatty():
        raise typer.BadParameter("the input is no terminal: leave -t out, or -i")
    sent = sending(how)
    name = sent.id or new_ulid()
    at = await bus.locate(container, node=node, namespace=namespace)
    to = at.node.sending(sent).remarking(remarks(how))
    options: dict[str, Any] = {
        "id": name,
        "exec_id": exec_id,
        "env": _variables(env or []),
        "tty": tty,
        "stdin": interactive,
        "capabilities": [_capability(each) for each in cap] if cap else None,
    }
    options |= {
        key: value for key, value in (("cwd", workdir), ("user", user), ("timeout", timeout)) if value is not None
    }
    if tty and (size := terminal_size()) is not None:
        options |= {"width": size[0], "height": size[1]}
    known = exec_id or name
    manner = Manner(
        name=f"exec {known} of {at.container}",
        stdin=interactive,
        rule="interrupt",
        owner=True,
        keys=DetachKeys.read(detach_keys),
        back=f"{PROGRAM} attach {container} --exec {known}",
    )
    try:
        with told(at.container, as_json=as_json):
            if captured:
                result = await to.capture(at.container, command, namespace=at.namespace, **options)
                if as_json:
                    Terminal().json(result)
                else:
                    show_captured(result, container)
                raise typer.Exit(status_of(result))
            if not detach:
                running = to.exec(at.container, command, namespace=at.namespace, **options)
                raise typer.Exit(await attached(running, manner))
            process = await to.exec(at.container, command, namespace=at.namespace, window=None, **options)
            if as_json:
                Terminal().json(process.started)
            else:
                Terminal().line(process.exec_id or "")
    except CommandFailed as error:
        complain(complaint(error))
        raise typer.Exit(_refused(error)) from error


@client_command
async def attach(
    bus: Bus,
    *,
    container: Container,
    exec_id: ExecName = None,
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
