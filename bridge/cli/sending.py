"""How commands that change something are sent: the options that every one of them has, and what they come to.

Each command has those that make sense for it: conditions are of a container that is there, labels choose such containers, and an
archive does not lie about until a job comes to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, TypeAlias

import typer
from msgspec import Struct

from bridge.cli.options import DryRun, Labels, Purpose, Sender, checked
from bridge.cli.signatures import parameter
from bridge.cli.terminal import Terminal
from bridge.client import Accepted, ConfigError, Judgement, Remarks, Sending, derived_id, read_point
from bridge.client.points import read_duration
from bridge.model.commands import is_command_id
from bridge.model.lifecycle import STATUSES
from bridge.model.nanos import Nanos, now

__all__ = [
    "AT_ONCE",
    "CHOOSING",
    "EXECUTING",
    "MAKING",
    "REMARKS",
    "SENDING",
    "TO_A_NODE",
    "moment",
    "remarks",
    "sending",
    "told",
]


def moment(text: str) -> Nanos:
    """Return the time that `text` names; a duration such as `10m` is so long from now.

    Raises:
        ValueError: it names none.
    """
    try:
        return Nanos(now() + read_duration(text))
    except ValueError:
        point = read_point(text)
    if not isinstance(point, Nanos):
        raise ValueError(f"{text!r} is no time: give one such as 2026-11-23T21:43:48Z, or 10m for so long from now")
    return point


def _check_id(text: str) -> None:
    if not is_command_id(text):
        raise ValueError(
            f"{text!r} is no id: letters and digits, with single '.', '_' or '-' between them, 64 at the most"
        )


def _check_status(text: str) -> None:
    if text not in STATUSES:
        raise ValueError(f"{text!r} is no status: choose from {', '.join(STATUSES)}")


def _check_seconds(seconds: float) -> None:
    if not 0 < seconds <= 86_400 * 7:
        raise ValueError(f"{seconds:g} is no time to wait: give more than 0 and no more than a week in seconds")


def _option(*names: str, metavar: str | None = None, help: str, check: Any = None) -> Any:  # noqa: A002 - typer's word
    callback = None if check is None else checked(check)
    return typer.Option(*names, metavar=metavar, help=help, rich_help_panel="Sending", callback=callback)


Durable: TypeAlias = Annotated[
    bool, _option("--durable", help="As a job that waits for its node; returns once it is stored.")
]
Wait: TypeAlias = Annotated[bool, _option("--wait", help="With --durable: wait for the outcome.")]
_ITS_ID = "The command's id, which takes effect at most once."
CommandName: TypeAlias = Annotated[
    str | None, _option("--id", "--command-id", metavar="ID", help=_ITS_ID, check=_check_id)
]
CommandNameAtLength: TypeAlias = Annotated[
    str | None, _option("--command-id", metavar="ID", help=_ITS_ID, check=_check_id)
]
"""Where `--id` is the container's."""
IfIncarnation: TypeAlias = Annotated[
    str | None, _option("--if-incarnation", metavar="ID", help="Only for this life of its task.")
]
IfStatus: TypeAlias = Annotated[
    str | None, _option("--if-status", metavar="STATUS", help="Only while it stands so.", check=_check_status)
]
IfSequence: TypeAlias = Annotated[
    int | None, _option("--if-sequence", metavar="N", help="Only if this is its newest event.")
]
NotAfter: TypeAlias = Annotated[
    str | None,
    _option("--not-after", metavar="TIME", help="Not to be carried out later: a time, or in 10m.", check=moment),
]
Timeout: TypeAlias = Annotated[
    float | None,
    _option("--timeout", metavar="SECONDS", help="How long to wait for the outcome.", check=_check_seconds),
]

CHOOSING = [parameter("label", Labels, None)]
"""Parameters of every command for several containers."""

REMARKS = [
    parameter("dry_run", DryRun, False),  # noqa: FBT003 - a default
    parameter("purpose", Purpose, None),
    parameter("sender", Sender, None),
]
"""Parameters of every command that is not only to look."""

_STORED = [
    parameter("durable", Durable, False),  # noqa: FBT003
    parameter("wait", Wait, False),  # noqa: FBT003
]
_NAME = [parameter("command_id", CommandName, None)]
_CONDITIONS = [
    parameter("if_incarnation", IfIncarnation, None),
    parameter("if_status", IfStatus, None),
    parameter("if_sequence", IfSequence, None),
]
_NOT_AFTER = parameter("not_after", NotAfter, None)
_IN_TIME = [_NOT_AFTER, parameter("timeout", Timeout, None)]

SENDING = [*CHOOSING, *REMARKS, *_STORED, *_NAME, *_CONDITIONS, *_IN_TIME]
"""Parameters of every command that changes containers."""

MAKING = [*REMARKS, *_STORED, parameter("command_id", CommandNameAtLength, None), *_IN_TIME]
"""Parameters of what makes a container: there is none yet that anything could be expected of."""

TO_A_NODE = [*REMARKS, *_STORED, *_NAME, *_IN_TIME]
"""Parameters of what changes something of a node that is no container."""

EXECUTING = [*REMARKS, *_STORED, *_NAME, *_CONDITIONS, _NOT_AFTER]
"""Parameters of what runs a process: its `--timeout` is the process's."""

AT_ONCE = [*REMARKS, *_NAME, *_IN_TIME]
"""Parameters of what cannot wait as a job."""


def sending(values: Mapping[str, Any], *place: str, several: bool = False) -> Sending:
    """Return how a command is sent to one place; of several places that share one id, each under an id derived from it.

    Raises:
        ConfigError: the options do not go together.
    """
    durable, wait = values.get("durable", False), values.get("wait", False)
    if wait and not durable:
        raise ConfigError("--wait is for jobs: give --durable too, or leave it out, a request is waited for")
    if values["dry_run"] and durable:
        raise ConfigError("--dry-run is judged at once, and a job later: leave --durable out to hear what holds now")
    name = values["command_id"]
    return Sending(
        id=derived_id(name, *place) if name is not None and several else name,
        if_incarnation=values.get("if_incarnation"),
        if_status=values.get("if_status"),
        if_sequence=values.get("if_sequence"),
        not_after=None if values["not_after"] is None else moment(values["not_after"]),
        timeout=values.get("timeout"),
        durable=durable,
        wait=wait,
    )


def remarks(values: Mapping[str, Any]) -> Remarks:
    """Return what is said beside a command."""
    return Remarks(dry_run=values["dry_run"], purpose=values["purpose"], sender=values["sender"])


class _Stored(Struct, frozen=True, kw_only=True):
    """A job that was not waited for, as `--json` prints it."""

    job: str
    node: str


@contextmanager
def told(what: str, *, as_json: bool) -> Iterator[None]:
    """Say what there is to say where a command has no result: which rule would allow it, or under which id it waits as a job."""
    terminal = Terminal()
    try:
        yield
    except Judgement as judgement:
        if as_json:
            terminal.json(judgement.judged)
        else:
            terminal.line(f"{what}: {judgement.judged.reason}")
    except Accepted as accepted:
        if as_json:
            terminal.json(_Stored(job=accepted.command_id, node=accepted.node))
        else:
            terminal.line(f"{what} {accepted.command_id}")
