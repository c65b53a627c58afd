"""The commands that change how containers run, or wait for that: what each does at one place, and the doing of it at several.

As with docker, each takes several containers and prints the name of each one that is done, or what is asked of it; with
`--label` those that have it, on every node.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Annotated, Any, Concatenate, ParamSpec, TypeAlias

import typer
from msgspec import Struct
from msgspec.structs import replace

from bridge.cli.advice import advise
from bridge.cli.connection import client_command
from bridge.cli.exits import complain, complaint
from bridge.cli.options import ChosenContainers, ExecName, Json, Namespace, NodeName, Signal, checked
from bridge.cli.sending import CHOOSING, SENDING, remarks, sending
from bridge.cli.signatures import own_parameters, parameter, taken, with_parameters
from bridge.cli.terminal import Terminal
from bridge.client import Accepted, Bus, CommandFailed, ConfigError, Judgement, Place
from bridge.errors import BadEnvelope
from bridge.model import outcomes
from bridge.model.codec import decode_as, encode_any
from bridge.model.commands import Update, size_of
from bridge.model.events import Failure

__all__ = ["delete", "for_each_container", "kill", "pause", "restart", "resume", "stop", "update", "wait"]

P = ParamSpec("P")

LONGEST_GRACE_S = 86_400
"""As long as the contract allows (`bridge.model.commands.Stop`)."""


class _Deed(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one container, as `--json` prints it. `job` is the id of a job that is stored and was not waited for."""

    container: str
    node: str | None = None
    namespace: str | None = None
    result: Struct | None = None
    job: str | None = None
    error: Failure | None = None


_TARGETS = [
    parameter("namespace", Namespace, None),
    parameter("node", NodeName, None),
    parameter("as_json", Json, False),  # noqa: FBT003 - a default
]


def _check_grace(seconds: float) -> None:
    if not 0 <= seconds <= LONGEST_GRACE_S:
        raise ValueError(f"{seconds:g} is no time to wait: give 0 to {LONGEST_GRACE_S} seconds")


def for_each_container(body: Callable[Concatenate[Place, P], Coroutine[Any, Any, Struct]]) -> Callable[..., None]:
    """Make a command of `body`, which changes something at one place."""
    return _command(body, SENDING)


def _of_each_container(body: Callable[Concatenate[Place, P], Coroutine[Any, Any, Struct]]) -> Callable[..., None]:
    """Make a command of `body`, which only asks for something at one place: there is nothing to say of how it is sent."""
    return _command(body, CHOOSING)


def _command(
    body: Callable[Concatenate[Place, P], Coroutine[Any, Any, Struct]], options: Sequence[inspect.Parameter]
) -> Callable[..., None]:
    """Make a command of `body`, which does its work at one place.

    It is done at all places at the same time and told of in the order given, those that a label chose as they come; what
    fails keeps nobody else from it.
    """

    async def command(bus: Bus, /, *, containers: list[str] | None, **values: Any) -> None:
        targets, how = taken(values, _TARGETS), taken(values, options)
        terminal = Terminal()
        chosen = await _chosen(bus, containers or [], how["label"], targets)
        several = len(chosen) > 1 or bool(how["label"])
        if several and (values.get("attach") or values.get("interactive")):
            raise ConfigError("only one container can be attached to at a time: name one, or leave -a and -i out")
        sends = options is SENDING
        if sends:
            sending(how)

        async def do(target: str | Place) -> tuple[_Deed, str | None]:
            name = target if isinstance(target, str) else target.container
            at: Place | None = None
            try:
                at = (
                    await bus.locate(target, node=targets["node"], namespace=targets["namespace"])
                    if isinstance(target, str)
                    else target
                )
                if sends:
                    place = (at.node.name, at.namespace, at.container)
                    how_here = sending(how, *place, several=several)
                    at = replace(at, node=at.node.sending(how_here).remarking(remarks(how)))
                result = await body(at, **values)  # type: ignore[call-arg]
            except Judgement as judgement:
                assert at is not None
                result = judgement.judged
            except Accepted as accepted:
                assert at is not None
                job = accepted.command_id
                return _Deed(container=at.container, node=at.node.name, namespace=at.namespace, job=job), None
            except CommandFailed as error:
                await advise(bus, error)
                failure = Failure(code=error.code, message=error.message, containerd=error.containerd)
                return _Deed(container=name, error=failure), complaint(error)
            except ValueError as error:
                return _Deed(container=name, error=Failure(code="invalid_argument", message=str(error))), str(error)
            return _Deed(container=at.container, node=at.node.name, namespace=at.namespace, result=result), None

        deeds = [asyncio.create_task(do(target)) for target in chosen]
        if not await _tell(terminal, deeds, chosen, by_label=bool(how["label"]), as_json=targets["as_json"]):
            raise typer.Exit(1)

    parameters = [
        parameter("bus", Bus),
        parameter("containers", ChosenContainers, None),
        *own_parameters(body),
        *_TARGETS,
        *options,
    ]
    return client_command(with_parameters(command, body, parameters))


async def _tell(
    terminal: Terminal,
    deeds: Sequence[asyncio.Task[tuple[_Deed, str | None]]],
    chosen: Sequence[str | Place],
    *,
    by_label: bool,
    as_json: bool,
) -> bool:
    """Print what becomes of each, in the order given, or as they come; return whether all went well."""
    failed = False
    try:
        for number, next_ in enumerate(asyncio.as_completed(deeds) if by_label else deeds):
            deed, sentence = await next_
            if as_json:
                terminal.json(deed)
            if sentence is not None:
                failed = True
                complain(sentence)
            elif not as_json:
                terminal.line(_said(deed, chosen[number], by_label=by_label))
    finally:
        for task in deeds:
            task.cancel()
    return not failed


async def _chosen(
    bus: Bus, containers: Sequence[str], label: Sequence[str] | None, targets: Mapping[str, Any]
) -> list[str | Place]:
    """Return the containers that are named, and those of every node that have the label, as the states tell."""
    if not containers and not label:
        raise ConfigError("missing CONTAINER: name some, or choose them with --label")
    if not label:
        return list(containers)
    if containers:
        raise ConfigError("containers are named or chosen with --label: give one of them")
    found = await bus.states(label=label, node=targets["node"] or (), namespace=targets["namespace"] or ())
    places: list[str | Place] = [
        Place(node=await bus.node(state.node), namespace=state.namespace, container=state.container)
        for state in found
        if state.status != "gone"
    ]
    if not places:
        raise CommandFailed("not_found", f"no container has the label {', '.join(label)}")
    return places


def _said(deed: _Deed, target: str | Place, *, by_label: bool) -> str:
    """Return what is printed of one that is done; what was left behind is complained of."""
    name = f"{deed.node}/{deed.namespace}/{deed.container}" if by_label or not isinstance(target, str) else target
    match deed.result:
        case outcomes.WaitResult(exit_status=status):
            said = "?" if status is None else str(status)
            return f"{name} {said}" if by_label else said
        case outcomes.Judged(reason=reason):
            return f"{name}: {reason}"
        case outcomes.Deleted(left=left):
            for sentence in left:
                complain(sentence)
    return name if deed.job is None else f"{name} {deed.job}"


Grace: TypeAlias = Annotated[
    float,
    typer.Option(
        "--time", "-t", metavar="SECONDS", help="How long to wait before killing.", callback=checked(_check_grace)
    ),
]


@for_each_container
async def stop(at: Place, *, grace: Grace = 10.0, signal: Signal = None) -> Struct:
    """End containers: ask, wait, then kill."""
    return await at.node.stop(at.container, namespace=at.namespace, grace=grace, signal=signal)


@for_each_container
async def restart(at: Place, *, grace: Grace = 10.0, signal: Signal = None) -> Struct:
    """End containers and run them again; what does not run is started."""
    return await at.node.restart(at.container, namespace=at.namespace, grace=grace, signal=signal)


def _limit(option: str, metavar: str, help: str, check: Callable[[Any], object] | None = None) -> Any:  # noqa: A002
    field = option.removeprefix("--").replace("-", "_")
    short = ["-m"] if field == "memory" else []  # as with docker
    return typer.Option(
        option,
        *short,
        metavar=metavar,
        help=help,
        callback=checked(check or (lambda value: _check_limit(field, value))),
    )


def _check_limit(field: str, value: Any) -> None:
    """See that the contract takes this value."""
    try:
        decode_as(encode_any({field: value}), Update)
    except BadEnvelope as error:
        raise ValueError(f"{value!r} is not valid: {str(error).partition(' - ')[0]}") from error


def _rates(given: Sequence[str] | None, *, bytes_too: bool) -> dict[str, int] | None:
    """Read `MAJOR:MINOR:RATE` each; None for none.

    Raises:
        ValueError: one of them is none; the sentence gives the form.
    """
    if not given:
        return None
    rates = {}
    for text in given:
        device, _, amount = text.rpartition(":")
        if not device or not amount:
            raise ValueError(f"{text!r} is no limit of a device: give MAJOR:MINOR:RATE, such as 8:0:1m")
        rates[device] = size_of(amount) if bytes_too and amount != "0" else _count(amount)
    return rates


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text!r} is no number of operations a second")
    return int(text)


def _throttle(option: str, what: str) -> Any:
    bytes_too = option.endswith("bps")
    field = option.removeprefix("--").replace("-", "_")
    return typer.Option(
        option,
        metavar="MAJ:MIN:RATE",
        help=f"Most {what} a second of a block device, 0 for no limit (repeatable).",
        callback=checked(lambda each: _check_limit(field, _rates([each], bytes_too=bytes_too))),
    )


@for_each_container
async def update(
    at: Place,
    *,
    memory: Annotated[
        str | None, _limit("--memory", "SIZE", "Most memory, such as 512m; -1 for no limit.", size_of)
    ] = None,
    memory_swap: Annotated[
        str | None, _limit("--memory-swap", "SIZE", "Most memory and swap together.", size_of)
    ] = None,
    memory_reservation: Annotated[
        str | None, _limit("--memory-reservation", "SIZE", "What it is held to while memory is short.", size_of)
    ] = None,
    cpus: Annotated[float | None, _limit("--cpus", "N", "Processors' worth of time, such as 1.5.")] = None,
    cpu_shares: Annotated[int | None, _limit("--cpu-shares", "N", "Share where processors are short.")] = None,
    cpu_quota: Annotated[int | None, _limit("--cpu-quota", "US", "Time in each period; -1 for no limit.")] = None,
    cpu_period: Annotated[int | None, _limit("--cpu-period", "US", "That period.")] = None,
    cpuset_cpus: Annotated[str | None, _limit("--cpuset-cpus", "LIST", "Processors to run on, such as 0-2,4.")] = None,
    cpuset_mems: Annotated[str | None, _limit("--cpuset-mems", "LIST", "Memory nodes to use.")] = None,
    pids_limit: Annotated[int | None, _limit("--pids-limit", "N", "Most processes; -1 for no limit.")] = None,
    blkio_weight: Annotated[int | None, _limit("--blkio-weight", "N", "Share of disk time, 10 to 1000.")] = None,
    device_read_bps: Annotated[list[str] | None, _throttle("--device-read-bps", "bytes read")] = None,
    device_write_bps: Annotated[list[str] | None, _throttle("--device-write-bps", "bytes written")] = None,
    device_read_iops: Annotated[list[str] | None, _throttle("--device-read-iops", "reads")] = None,
    device_write_iops: Annotated[list[str] | None, _throttle("--device-write-iops", "writes")] = None,
    annotation: Annotated[
        list[str] | None,
        typer.Option(
            "--annotation", metavar="KEY=VALUE", help="Add to the spec's, or take away with KEY= (repeatable)."
        ),
    ] = None,
    task_only: Annotated[
        bool, typer.Option("--task-only", help="Not in the record: the next task is as before.")
    ] = False,
) -> Struct:
    """Change limits of containers, at once and for their next tasks."""
    return await at.node.update(
        at.container,
        namespace=at.namespace,
        memory=memory,
        memory_swap=memory_swap,
        memory_reservation=memory_reservation,
        cpus=cpus,
        cpu_shares=cpu_shares,
        cpu_quota=cpu_quota,
        cpu_period=cpu_period,
        cpuset_cpus=cpuset_cpus,
        cpuset_mems=cpuset_mems,
        pids_limit=pids_limit,
        blkio_weight=blkio_weight,
        device_read_bps=_rates(device_read_bps, bytes_too=True),
        device_write_bps=_rates(device_write_bps, bytes_too=True),
        device_read_iops=_rates(device_read_iops, bytes_too=False),
        device_write_iops=_rates(device_write_iops, bytes_too=False),
        annotations=dict(each.partition("=")[::2] for each in annotation or ()),
        task_only=task_only,
    )


@_of_each_container
async def wait(
    at: Place,
    *,
    exec_id: ExecName = None,
    timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Give up after this long.", callback=checked(_check_grace)),
    ] = None,
) -> Struct:
    """Wait until containers have ended and print how.

    An exit status a line, in the order given; `?` for one that nobody knows. It goes on through restarts of the bridge.
    """
    result = await at.node.wait(at.container, namespace=at.namespace, exec_id=exec_id, timeout=timeout)
    if not result.ended:
        raise CommandFailed("deadline_exceeded", f"{at.container} has not ended within {timeout:g} s")
    return result


@for_each_container
async def kill(
    at: Place,
    *,
    signal: Signal = None,
    all_of_them: Annotated[bool, typer.Option("--all", "-a", help="Signal every process of the container.")] = False,
    exec_id: ExecName = None,
) -> Struct:
    """Send containers a signal, SIGTERM unless another is given."""
    return await at.node.kill(
        at.container, namespace=at.namespace, signal=signal or "SIGTERM", all=all_of_them, exec_id=exec_id
    )


@for_each_container
async def pause(at: Place) -> Struct:
    """Freeze the processes of containers."""
    return await at.node.pause(at.container, namespace=at.namespace)


@for_each_container
async def resume(at: Place) -> Struct:
    """Let the processes of paused containers run on."""
    return await at.node.resume(at.container, namespace=at.namespace)


@for_each_container
async def delete(
    at: Place,
    *,
    force: Annotated[bool, typer.Option("--force", "-f", help="Also running ones, which are killed first.")] = False,
    keep_snapshot: Annotated[bool, typer.Option("--keep-snapshot", help="Leave the file system's snapshot.")] = False,
) -> Struct:
    """Remove containers."""
    return await at.node.delete(at.container, namespace=at.namespace, force=force, keep_snapshot=keep_snapshot)
