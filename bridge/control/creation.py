"""The verbs that make containers: create and run.

What a container would ask of its host is judged before anything is made, unpacked or leased, when all of its spec is known but
who its process is; and once more with that, right before its record. It is made under a lease, in steps of which each is undone
when a later one fails: snapshot, record, and for `run` the task. The lease, the snapshot and the record carry the command's id as
a label, so what a crash leaves is found by it; and a command that comes a second time finds what it made the first time.

Nobody else's is ever touched: a container, a snapshot or a name that is there already is `already_exists`.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any, Final

from msgspec import structs, to_builtins

from bridge.control import lifecycle
from bridge.control.execution import sessions_at
from bridge.control.leases import held, undo
from bridge.control.spec.default import default_spec
from bridge.control.spec.image import apply_image, image_config, image_labels
from bridge.control.spec.options import NO_PRIVILEGES, apply_options, asks_privileges
from bridge.control.spec.whole import check_whole
from bridge.control.verb import Place, Verb
from bridge.errors import CommandFailed
from bridge.failpoint import failpoint
from bridge.model import labels
from bridge.model.commands import Create, Delete, Run, RuncOptions, Start
from bridge.model.identity import new_ulid
from bridge.model.naming import NAME_LABELS
from bridge.model.outcomes import ContainerInfo, Created, Ran, TaskStarted
from bridge.model.users import GROUP, LARGEST_LIST, PASSWD, process_user
from bridge.ports import ImageContent, NewContainer, Privileges

__all__ = ["RUNC", "VERBS", "created_by"]

log = logging.getLogger(__name__)

RUNC: Final = "io.containerd.runc."
"""Beginning of the runtimes whose options are runc's."""

LONGEST_LABEL: Final = 4096


# -- create


async def create(place: Place, command: Create) -> Created:
    """Make a container; nothing is left of it where that fails."""
    return (await _create(place, command))[0]


async def created_by(place: Place, command_id: str) -> Created | None:
    """Return what a `create` or `run` of this id has made at this place, None where it has made nothing there."""
    try:
        record = await place.runtime.containers.get(*place.target)
    except CommandFailed as error:
        if error.code != "not_found":
            raise
        return None
    return _created(record, already=True) if record.labels.get(labels.COMMAND) == command_id else None


async def _create(place: Place, command: Create) -> tuple[Created, bool]:
    """Return the container, and whether it is this very call that made it."""
    command_id = place.command_id or command.id or new_ulid()
    _check(command)
    if (found := await created_by(place, command_id)) is not None:
        await place.permit()  # its spec was allowed when it was made
        return found, False
    await _demand_free(place)
    wanted, image = await _wanted(place, command, command_id)
    await _permit(place, command, wanted, begins=False)
    async with held(place, command_id) as lease:
        return await _make(place, command, wanted, image, lease), True


async def _wanted(place: Place, command: Create, command_id: str) -> tuple[NewContainer, ImageContent | None]:
    """Return the container that the command means; who its process is, its snapshot has to say yet."""
    namespace, container = place.target
    runtime, snapshotter = await place.runtime.containers.defaults(namespace)
    image = await place.runtime.images.resolve(namespace, command.image) if command.image else None
    privileges = await place.runtime.privileges() if asks_privileges(command) else NO_PRIVILEGES
    name = command.runtime or runtime
    return NewContainer(
        id=container,
        spec=place.anchor(_spec(place, command, image, privileges)),
        runtime=name,
        image=command.image or "",
        labels=_labels(command, image, command_id),
        runc=command.runc or (RuncOptions() if name.startswith(RUNC) else None),
        snapshotter=command.snapshotter or snapshotter if image else "",
        snapshot_key=container if image else "",
    ), image


async def _permit(place: Place, command: Create, wanted: NewContainer, *, begins: bool = True) -> None:
    await place.permit(
        spec=wanted.spec,
        labels=wanted.labels,
        image=wanted.image,
        runtime=command.runtime or "",
        runtime_options=None if command.runc is None else to_builtins(command.runc),
        ours=True,
        begins=begins,
    )


async def _make(place: Place, command: Create, wanted: NewContainer, image: ImageContent | None, lease: str) -> Created:
    namespace, container = place.target
    command_id = wanted.labels[labels.COMMAND]
    async with _snapshot(place, wanted.snapshotter, image, command_id, lease):
        if command.spec is None:
            assert image is not None
            of_image = image_config(image.name, image.config).user
            user = await _user(place, command.user, of_image, wanted.snapshotter)
            wanted = structs.replace(wanted, spec={**wanted.spec, "process": {**wanted.spec["process"], "user": user}})
        await _permit(place, command, wanted)
        try:
            await place.runtime.containers.create(namespace, wanted, lease=lease)
        except CommandFailed as error:
            if error.code == "already_exists":
                raise _taken(place, error.containerd) from error
            # It may have been made before the answer was lost.
            if not await _is_there(place, command_id):
                raise
        failpoint("record-made")
    return Created(
        container=container,
        image=wanted.image,
        image_digest=image.digest if image else "",
        runtime=wanted.runtime,
        snapshotter=wanted.snapshotter,
        snapshot_key=wanted.snapshot_key,
    )


def _check(command: Create) -> None:
    """See what can be seen before anything is asked of containerd."""
    if command.spec is not None:
        check_whole(command)
    elif command.image is None:
        raise CommandFailed(
            "invalid_argument", "there is nothing to make a container of: give an image, or a whole spec"
        )
    if command.stdio.startswith("file:") and _has_terminal(command):
        raise CommandFailed(
            "invalid_argument",
            f"the shim cannot write a terminal's output into a file: leave tty out, or {command.stdio}",
        )
    if command.stdin and command.stdio != labels.ON_THE_BUS:
        raise CommandFailed("invalid_argument", 'stdin comes from the bus: give stdio "bus" too, or leave stdin out')
    if command.runc is not None and command.runtime and not command.runtime.startswith(RUNC):
        raise CommandFailed(
            "invalid_argument", f"runtime {command.runtime} is not runc's: leave the runc options out, or the runtime"
        )
    for key, value in command.labels.items():
        if key.startswith(labels.OURS):
            raise CommandFailed("invalid_argument", f"label {key} is the bridge's own: take another key")
        if not key or len(key.encode()) + len(value.encode()) > LONGEST_LABEL:
            raise CommandFailed(
                "invalid_argument",
                f"label {key[:64]!r} is too long: key and value have {LONGEST_LABEL} bytes together, and a key at least one",
            )


def _has_terminal(command: Create) -> bool:
    process = (command.spec or {}).get("process")
    return command.tty or (isinstance(process, dict) and process.get("terminal") is True)


async def _demand_free(place: Place) -> None:
    try:
        await place.runtime.containers.get(*place.target)
    except CommandFailed as error:
        if error.code == "not_found":
            return
        raise
    raise _taken(place, None)


def _taken(place: Place, words: str | None) -> CommandFailed:
    return CommandFailed(
        "already_exists",
        f"{place} exists already in namespace {place.namespace}: take another id, or delete it first",
        containerd=words,
    )


def _spec(place: Place, command: Create, image: ImageContent | None, privileges: Privileges) -> dict[str, Any]:
    """Return the spec, in which nobody has looked up yet who the process is."""
    if command.spec is not None:
        return check_whole(command)
    assert image is not None
    namespace, container = place.target
    spec = default_spec(namespace, container)
    apply_image(spec, image_config(image.name, image.config), command)
    apply_options(spec, command, privileges)
    return spec


async def _user(place: Place, wanted: str | None, of_image: str | None, snapshotter: str) -> dict[str, Any]:
    """Return who the process is. Numbers will do where the image's lists cannot be seen, as from inside of a container."""
    namespace, container = place.target
    unseen: list[CommandFailed] = []

    async def read(path: str) -> bytes | None:
        try:
            return await place.runtime.snapshots.read(namespace, snapshotter, container, path, most=LARGEST_LIST)
        except CommandFailed as error:
            if error.code != "failed_precondition":
                raise
            unseen.append(error)
            return None

    passwd, group = await read(PASSWD), await read(GROUP)
    # Who names a group wants that one alone; what an image names is only its first, and containerd's client adds the others.
    alone = wanted is not None and ":" in wanted
    try:
        user = process_user(wanted or of_image or "", passwd, group, alone=alone)
    except CommandFailed:
        if unseen:
            raise unseen[0] from None
        raise
    if unseen:
        log.warning("%s is in no groups but its first: %s", place, unseen[0])
    return user


def _labels(command: Create, image: ImageContent | None, command_id: str) -> dict[str, str]:
    given = image_labels(image_config(image.name, image.config)) if image else {}
    if command.name is not None:
        given[NAME_LABELS[0]] = command.name
    given |= command.labels
    if command.stdio != "null":
        given[labels.STDIO] = command.stdio
    if command.stdin:
        given[labels.STDIN] = "true"
    if isinstance(command, Run) and command.rm:
        given[labels.REMOVE] = "true"
    return given | {labels.COMMAND: command_id}


def _created(record: ContainerInfo, *, already: bool = False) -> Created:
    return Created(
        container=record.id,
        image=record.image,
        runtime=record.runtime,
        snapshotter=record.snapshotter,
        snapshot_key=record.snapshot_key,
        already=already,
    )


# -- what is undone


@asynccontextmanager
async def _snapshot(
    place: Place, snapshotter: str, image: ImageContent | None, command_id: str, lease: str
) -> AsyncIterator[None]:
    """Make the container's root file system, and remove it again where the block fails."""
    if image is None:
        yield
        return
    namespace, container = place.target
    snapshots = place.runtime.snapshots

    async def remove() -> None:
        present = await snapshots.labels(namespace, snapshotter, container)
        if present is not None and present.get(labels.COMMAND) == command_id:
            await snapshots.remove(namespace, snapshotter, container)

    await remove()  # what an earlier try of the same command was stopped from removing
    try:
        # It may have to unpack the image, which takes as long as that takes.
        await place.interruption.through(
            _prepare(place, snapshotter, image, command_id, lease),
            otherwise=f"{place} was to be made, and that was cancelled: nothing is left of it",
        )
        failpoint("snapshot-made")
        yield
    except BaseException:
        if await _is_there(place, command_id) is False:
            await undo(f"snapshot {container} of {namespace}", remove())
        raise


async def _prepare(place: Place, snapshotter: str, image: ImageContent, command_id: str, lease: str) -> None:
    namespace, container = place.target
    try:
        await place.runtime.snapshots.prepare(
            namespace, snapshotter, container, image, labels={labels.COMMAND: command_id}, lease=lease
        )
    except CommandFailed as error:
        if error.code != "already_exists":
            raise
        raise CommandFailed(
            "already_exists",
            f"there is a snapshot {container} of {snapshotter} in namespace {namespace} already, kept of a container that "
            "was deleted: remove it, or take another id",
            containerd=error.containerd,
        ) from error


async def _is_there(place: Place, command_id: str) -> bool | None:
    """Tell whether there is a record of this command's, None where nobody says: then its snapshot has to stay."""
    try:
        return await created_by(place, command_id) is not None
    except CommandFailed as error:
        log.warning("%s: whether it was made is not known: %s", place, error)
        return None


# -- run


async def run(place: Place, command: Run) -> Ran:
    """Make a container and start it; nothing is left of it where either fails."""
    if command.rm and place.removing is None:
        raise CommandFailed("unimplemented", "nobody here deletes containers after their end: leave rm out")
    if command.stdio == labels.ON_THE_BUS:
        sessions_at(place)
    how = Start(window=command.window, width=command.width, height=command.height)
    created, ours = await _create(place, command)
    if not ours:
        return await _again(place, created, how)
    try:
        started = await lifecycle.start(place, how)
    except BaseException:
        await undo(f"{place} of {place.namespace}", lifecycle.delete(place, Delete(force=True)))
        raise
    if command.rm and place.removing is not None:
        place.removing.watch(*place.target)
    return Ran(container=created.container, pid=started.pid, image=created.image, process=started.process)


async def _again(place: Place, created: Created, how: Start) -> Ran:
    """Return what an earlier command of the same id came to, and start what it had no time to start."""
    task = await place.runtime.tasks.get(*place.target)
    if task is not None and task.status != "created":
        session = place.sessions.find(*place.target, None) if place.sessions is not None else None
        started = TaskStarted(pid=task.pid, process=None if session is None else session.result())
    else:
        started = await lifecycle.start(place, how)
    return Ran(container=created.container, pid=started.pid, image=created.image, already=True, process=started.process)


VERBS: Mapping[str, Verb] = MappingProxyType({Create.verb: create, Run.verb: run})
"""Verb -> coroutine."""
