"""The commands, in the order in which the help shows them, and how a call begins and ends."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final

import typer
from typer.main import get_command

import bridge
from bridge.cli import (
    checkpoint_files,
    checkpoint_keys,
    checkpoint_making,
    checkpoints,
    completion,
    creating,
    doctor,
    events,
    execs,
    history,
    images,
    inspect,
    jobs,
    migrate,
    nodes,
    page,
    policy,
    ps,
    schema,
    settings,
    starting,
    state,
    stats,
    stdio,
    top,
    verbs,
)
from bridge.cli.connection import Connect
from bridge.cli.exits import PROGRAM, USAGE, Exit, as_json, complain
from bridge.cli.help import Command, Group
from bridge.cli.near import did_you_mean
from bridge.cli.serve import serve
from bridge.client import connect as connect_to_nats

__all__ = ["app", "main"]

_UsageError: Final[Any] = typer.BadParameter.__base__
"""click's UsageError, or that of the copy of click which newer versions of typer bring along."""

_COMMANDS: Final[Mapping[str, Mapping[str, Callable[..., Any]]]] = {
    "Daemon": {"serve": serve},
    "Look": {
        "events": events.events,
        "history": history.history,
        "ps": ps.ps,
        "list": ps.list_containers,
        "inspect": inspect.inspect,
        "pids": inspect.pids,
        "images": images.images,
        "stats": stats.stats,
        "top": top.top,
        "wait": verbs.wait,
    },
    "Act": {
        "run": creating.run,
        "create": creating.create,
        "start": starting.start,
        "stop": verbs.stop,
        "restart": verbs.restart,
        "kill": verbs.kill,
        "pause": verbs.pause,
        "resume": verbs.resume,
        "update": verbs.update,
        "delete": verbs.delete,
        "exec": execs.exec_,
        "attach": execs.attach,
        "migrate": migrate.migrate,
        "resize": stdio.resize,
        "close-stdin": stdio.close_stdin,
    },
    "Images": {
        "pull": images.pull,
        "import": images.import_archive,
        "rmi": images.rmi,
    },
    "More": {
        "doctor": doctor.doctor,
        "nodes": nodes.nodes,
        "page": page.page,
        "version": nodes.version,
        "config": settings.config,
        "schema": schema.schema,
        "completion": completion.completion,
    },
}

_OF_JOBS: Final[Mapping[str, Callable[..., Any]]] = {
    "list": jobs.jobs,
    "show": jobs.show,
    "cancel": jobs.cancel,
    "retry": jobs.retry,
    "drop": jobs.drop,
}

_OF_CHECKPOINT: Final[Mapping[str, Callable[..., Any]]] = {
    "create": checkpoint_making.create,
    "restore": checkpoint_making.restore,
    "ls": checkpoints.ls,
    "inspect": checkpoints.inspect,
    "rm": checkpoints.rm,
    "export": checkpoint_files.export,
    "import": checkpoint_files.import_file,
    "keygen": checkpoint_keys.keygen,
}

_OF_STATE: Final[Mapping[str, Callable[..., Any]]] = {"verify": state.verify, "rebuild": state.rebuild}

_OF_POLICY: Final[Mapping[str, Callable[..., Any]]] = {"check": policy.check, "explain": policy.explain}

_SHORT: Final = {
    "serve": "Keep a containerd's events in JetStream, take commands for it.",
    "run": "Make a container, start it, and wait for its end.",
    "close-stdin": "End the input of a process.",
    "completion": "Complete commands, containers and nodes in a shell.",
    "doctor": "Find what is not in order, and say what to do.",
}
"""What the list of commands says, where that is not the first sentence of the command's own help."""

_AS_THEY_STAND: Final = {"run", "create", "exec"}
"""Commands whose arguments are another program's: what stands behind the image, or the container, is no option of ours."""

app = typer.Typer(
    name=PROGRAM,
    cls=Group,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_state = typer.Typer(cls=Group, rich_markup_mode=None)
for _name, _function in _OF_STATE.items():
    _state.command(_name, cls=Command, rich_help_panel="Commands")(_function)
_policy = typer.Typer(cls=Group, rich_markup_mode=None)
for _name, _function in _OF_POLICY.items():
    _policy.command(_name, cls=Command, rich_help_panel="Commands")(_function)
_jobs = typer.Typer(cls=Group, rich_markup_mode=None)
for _name, _function in _OF_JOBS.items():
    _jobs.command(_name, cls=Command, rich_help_panel="Commands")(_function)
_checkpoint = typer.Typer(cls=Group, rich_markup_mode=None)
for _name, _function in _OF_CHECKPOINT.items():
    _checkpoint.command(_name, cls=Command, rich_help_panel="Commands")(_function)
for _section, _commands in _COMMANDS.items():
    for _name, _function in _commands.items():
        app.command(
            _name,
            cls=Command,
            rich_help_panel=_section,
            short_help=_SHORT.get(_name),
            context_settings={"allow_interspersed_args": _name not in _AS_THEY_STAND},
        )(_function)
app.add_typer(_jobs, name="jobs", rich_help_panel="Act", help="Durable jobs, and how every command stands.")
app.add_typer(
    _checkpoint, name="checkpoint", rich_help_panel="Act", help="Checkpoints of containers, and their catalogue."
)
app.add_typer(
    _state, name="state", rich_help_panel="More", help="Compare the states that are kept with the log, or mend them."
)
app.add_typer(
    _policy, name="policy", rich_help_panel="More", help="Check the rules for commands, or see which of them decides."
)


def _print_version(asked: bool) -> None:  # noqa: FBT001 - typer's signature of a callback
    if asked:
        typer.echo(f"{PROGRAM} {bridge.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _program(
    context: typer.Context,
    *,
    version: Annotated[  # noqa: ARG001 - its callback does it all
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Every container event of a containerd as one ordered log on NATS JetStream, and its tasks under command of the bus."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(USAGE)


def main(arguments: Sequence[str], *, connect: Connect | None = None) -> int:
    """Run one command and return its exit status; see `bridge.cli.main`."""
    try:
        status = get_command(app).main(
            args=list(arguments), prog_name=PROGRAM, standalone_mode=False, obj=connect or connect_to_nats
        )
    except Exit as end:
        return end.status
    except _UsageError as error:
        # Without click's list of similar options, which are hardly ever what was meant: ours knows the names of others.
        message: str = getattr(error, "message", "") if hasattr(error, "possibilities") else error.format_message()
        command = error.ctx.command_path if error.ctx is not None else PROGRAM
        message = message.partition(". Did you mean")[0]
        as_json.set(as_json.get() or "--json" in list(arguments)[: _ours(arguments)])
        meant = _meant(error, message)
        hint = f"{meant[:1].upper()}{meant[1:]} See '{command} --help'." if meant else f"See '{command} --help'."
        complain(f"{message[:1].lower()}{message[1:].rstrip('.')}", hint=hint, code="usage")
        return USAGE
    finally:
        as_json.set(False)
    return status if isinstance(status, int) else 0


def _ours(arguments: Sequence[str]) -> int:
    """Return how many of the arguments are ours: what stands behind `--` is another program's."""
    given = list(arguments)
    return given.index("--") if "--" in given else len(given)


_ELSEWHERE: Final = {
    "c": "list",
    "checkpoints": "checkpoint ls",
    "commit": "checkpoint create",
    "container": "ps",
    "image": "images",
    "info": "nodes",
    "load": "import",
    "log": "history",
    "logs": "attach --from-start",
    "port": "inspect",
    "restore": "checkpoint restore",
    "rm": "delete",
    "save": "checkpoint export",
    "snapshot": "checkpoint create",
    "system": "doctor",
    "t": "ps",
    "task": "ps",
    "unpause": "resume",
    "watch": "events",
}
"""What docker, ctr and others call it."""


def _meant(error: Any, message: str) -> str:
    """Return what may have been meant by a command or an option that there is not."""
    command = error.ctx.command if error.ctx is not None else None
    quoted = re.search(r"'([^']+)'", message)
    if message.startswith("No such command") and quoted is not None and command is not None:
        if error.ctx.parent is None and quoted[1] in _ELSEWHERE:
            return f"here that is `{PROGRAM} {_ELSEWHERE[quoted[1]]}`."
        return did_you_mean(quoted[1], command.commands)
    if hasattr(error, "possibilities") and command is not None:
        names = [
            name for each in command.params for name in [*each.opts, *each.secondary_opts] if name.startswith("--")
        ]
        return did_you_mean(str(error.option_name), names)
    return ""
