"""The commands that change how containers run: what each does at one place, and the doing of it at several.

As with docker, each takes several containers and prints the name of each one that is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Concatenate, ParamSpec

import typer
from msgspec import Struct, structs

from bridge.cli.connection import client_command
from bridge.cli.exits import complain, complaint
from bridge.cli.options import Containers, DryRun, Json, Namespace, NodeName, Purpose, Sender, Signal, checked
from bridge.cli.signatures import own_parameters, parameter, taken, with_parameters
from bridge.cli.terminal import Terminal
from bridge.client import Bus, CommandFailed, Judgement, Place, Remarks
from bridge.model.events import Failure
from bridge.model.outcomes import Judged

__all__ = ["delete", "kill", "pause", "resume", "start", "stop"]

P = ParamSpec("P")

LONGEST_GRACE_S = 86_400
"""As long as the contract allows (`bridge.model.commands.Stop`)."""


class _Deed(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one container, as `--json` prints it."""

    container: str
    node: str | None = None
    namespace: str | None = None
    result: Struct | None = None
    error: Failure | None = None


_TARGETS = [
    parameter("namespace", Namespace, None),
    parameter("node", NodeName, None),
    parameter("dry_run", DryRun, False),  # noqa: FBT003 - a default
    parameter("purpose", Purpose, None),
    parameter("sender", Sender, None),
    parameter("as_json", Json, False),  # noqa: FBT003
]


def _check_grace(seconds: float) -> None:
    if not 0 <= seconds <= LONGEST_GRACE_S:
        raise ValueError(f"{seconds:g} is no time to wait: give 0 to {LONGEST_GRACE_S} seconds")


def _for_each_container(body: Callable[Concatenate[Place, P], Coroutine[Any, Any, Struct]]) -> Callable[..., None]:
    """Make a command of `body`, which does its work at one place.

    It is done at all places at the same time and told of in the order given; what fails keeps nobody else from it.
    """

    async def command(bus: Bus, /, *, containers: list[str], **values: Any) -> None:
        targets = taken(values, _TARGETS)
        terminal = Terminal()

        async def do(name: str) -> tuple[_Deed, str | None]:
            try:
                at = await bus.locate(name, node=targets["node"], namespace=targets["namespace"])
                remarks = Remarks(dry_run=targets["dry_run"], purpose=targets["purpose"], sender=targets["sender"])
                at = structs.replace(at, node=at.node.remarking(remarks))
                result = await body(at, **values)  # type: ignore[call-arg]
            except Judgement as judgement:
                result = judgement.judged
            except CommandFailed as error:
                failure = Failure(code=error.code, message=error.message, containerd=error.containerd)
                return _Deed(container=name, error=failure), complaint(error)
            except ValueError as error:
                return _Deed(container=name, error=Failure(code="invalid_argument", message=str(error))), str(error)
            return _Deed(container=at.container, node=at.node.name, namespace=at.namespace, result=result), None

        deeds = [asyncio.create_task(do(name)) for name in containers]
        failed = False
        try:
            for name, task in zip(containers, deeds, strict=True):
                deed, sentence = await task
                if as_json := targets["as_json"]:
                    terminal.json(deed)
                if sentence is not None:
                    failed = True
                    complain(sentence)
                elif not as_json:
                    judged = deed.result.reason if isinstance(deed.result, Judged) else None
                    terminal.line(name if judged is None else f"{name}: {judged}")
        finally:
            for task in deeds:
                task.cancel()
        if failed:
            raise typer.Exit(1)

    parameters = [parameter("bus", Bus), parameter("containers", Containers), *own_parameters(body), *_TARGETS]
    return client_command(with_parameters(command, body, parameters))


@_for_each_container
async def start(at: Place) -> Struct:
    """Run containers."""
    return await at.node.start(at.container, namespace=at.namespace)


@_for_each_container
async def stop(
    at: Place,
    *,
    grace: Annotated[
        float,
        typer.Option(
            "--time", "-t", metavar="SECONDS", help="How long to wait before killing.", callback=checked(_check_grace)
        ),
    ] = 10.0,
    signal: Signal = None,
) -> Struct:
    """End containers: ask, wait, then kill."""
    return await at.node.stop(at.container, namespace=at.namespace, grace=grace, signal=signal)


@_for_each_container
async def kill(
    at: Place,
    *,
    signal: Signal = None,
    all_of_them: Annotated[bool, typer.Option("--all", "-a", help="Signal every process of the container.")] = False,
    exec_id: Annotated[
        str | None, typer.Option("--exec", metavar="EXEC", help="Signal only this additional process.")
    ] = None,
) -> Struct:
    """Send containers a signal, SIGTERM unless another is given."""
    return await at.node.kill(
        at.container, namespace=at.namespace, signal=signal or "SIGTERM", all=all_of_them, exec_id=exec_id
    )


@_for_each_container
async def pause(at: Place) -> Struct:
    """Freeze the processes of containers."""
    return await at.node.pause(at.container, namespace=at.namespace)


@_for_each_container
async def resume(at: Place) -> Struct:
    """Let the processes of paused containers run on."""
    return await at.node.resume(at.container, namespace=at.namespace)


@_for_each_container
async def delete(
    at: Place,
    *,
    force: Annotated[bool, typer.Option("--force", "-f", help="Also running ones, which are killed first.")] = False,
    keep_snapshot: Annotated[bool, typer.Option("--keep-snapshot", help="Leave the file system's snapshot.")] = False,
) -> Struct:
    """Remove containers."""
    return await at.node.delete(at.container, namespace=at.namespace, force=force, keep_snapshot=keep_snapshot)
