"""A container made from a checkpoint and its task restored: what it is to be, and the steps, each undone where a later one fails.

The snapshot is the image's (`restore_image`), with the layer that the container had written; the record carries the command's
id, the checkpoint and the incarnation that it was made of. CRIU is told by a file in the command's directory how to restore, and
the record names it no longer than that takes.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

from msgspec import Struct, structs

from bridge.checkpoints import LAYER_TYPES, layer_stream
from bridge.control import lifecycle
from bridge.control.creation import RUNC, created_by
from bridge.control.execution import session_for_task
from bridge.control.leases import taken_back, undo
from bridge.control.restore_image import CANCELLED, content_of, with_image
from bridge.control.restore_options import options_of_restore
from bridge.control.restore_source import Taken
from bridge.control.restore_spec import adapted_labels, adapted_spec, same_spec, with_config
from bridge.control.verb import Place
from bridge.control.workshop import Bench, Note
from bridge.errors import CommandFailed
from bridge.failpoint import failpoint
from bridge.model import labels
from bridge.model.checkpoints import CheckpointOptions, Verdict
from bridge.model.commands import Delete, Restore, RuncOptions, Start
from bridge.model.outcomes import ContainerInfo, ImageInfo, Restored
from bridge.ports import ImageContent, NewContainer, Stdio, StdioSession

__all__ = ["Plan", "carried_out", "plan_of", "put_back", "snapshot_key_of"]

log = logging.getLogger(__name__)

MARKS: Final = (labels.CHECKPOINT, labels.PARENT, labels.RESTORE)
"""The labels that say what a container was restored from, and by which command."""


class Plan(Struct, frozen=True, kw_only=True):
    """What a restore comes to.

    Attributes:
        taken: the checkpoint, in the command's directory.
        wanted: the container as it is to be.
        there: the one that is there without a task, and is used.
        fresh: whether it has a new snapshot; its own is used where the checkpoint has nothing of its files.
        same: whether its spec is the one that the checkpoint was made with, where it is there.
        content: the name of the image that its files come from: another than the container's where that one's name means
            another image by now; empty where they come from none.
        image: the record of `content` here; None where it has to be brought.
        named: what is here under the image's own name.
        stdio: `null`, `bus`, or the URI that the output goes to.
        stdin: whether it takes input from the bus.
        options: how CRIU is to restore.
    """

    taken: Taken
    wanted: NewContainer
    there: ContainerInfo | None
    fresh: bool
    same: bool
    content: str
    image: ImageInfo | None
    named: ImageInfo | None
    stdio: str
    stdin: bool
    options: CheckpointOptions


async def plan_of(place: Place, command: Restore, taken: Taken, there: ContainerInfo | None) -> Plan:
    """Return what is to be done; nothing is.

    Raises:
        CommandFailed: it cannot be done with this checkpoint, or with what is there.
    """
    namespace, container = place.target
    runtime, snapshotter = await place.runtime.containers.defaults(namespace)
    if there is not None and taken.image and there.image != taken.image:
        raise CommandFailed(
            "already_exists",
            f"there is another {place} in namespace {namespace}, made from {there.image or 'no image'} and not from "
            f"{taken.image}: delete it first, or restore under another id",
        )
    given = taken.record.labels if taken.record is not None else {}
    marks = _marks(place, taken)
    stdio, stdin = _stdio(command, taken, there)
    options = structs.replace(taken.options, tcp_close=taken.options.tcp_close or command.tcp_close)
    fresh = bool(taken.image) and (there is None or taken.with_layer)
    content, image, named = await content_of(place, taken) if fresh else ("", None, None)
    if there is not None:
        wanted = NewContainer(
            id=container,
            spec=dict(there.spec or {}),
            runtime=there.runtime,
            image=there.image,
            labels={**there.labels, **marks},
            snapshotter=there.snapshotter,
            snapshot_key=snapshot_key_of(place) if fresh else there.snapshot_key,
        )
    else:
        if taken.spec is None:
            raise CommandFailed(
                "failed_precondition",
                f"{taken.name} is a dump alone, without a spec: make the container {container} first, and do not start it",
            )
        old = (taken.record.namespace, taken.record.container) if taken.record is not None else _old(taken.spec)
        name = taken.runtime or runtime
        own = {labels.STDIO: stdio} if stdio != "null" else {}
        wanted = NewContainer(
            id=container,
            spec=place.anchor(adapted_spec(taken.spec, old=old, new=(namespace, container))),
            runtime=name,
            image=content or taken.image,
            labels=adapted_labels(given, same=old[1] == container)
            | own
            | ({labels.STDIN: "true"} if stdin else {})
            | marks
            | {labels.COMMAND: place.command_id},
            runc=RuncOptions() if name.startswith(RUNC) else None,
            snapshotter=(taken.snapshotter or snapshotter) if taken.image else "",
            snapshot_key=container if taken.image else "",
        )
    return Plan(
        taken=taken,
        wanted=wanted,
        there=there,
        fresh=fresh,
        same=there is not None and same_spec(taken.spec or {}, there.spec or {}),
        content=content,
        image=image,
        named=named,
        stdio=stdio,
        stdin=stdin,
        options=options,
    )


def snapshot_key_of(place: Place) -> str:
    """Return what the new root file system of a container that is there is called, beside its own."""
    return f"{place.container}-{place.command_id}"


def _marks(place: Place, taken: Taken) -> dict[str, str]:
    parent = taken.record.incarnation if taken.record is not None else None
    return {labels.CHECKPOINT: taken.name, labels.PARENT: parent or "", labels.RESTORE: place.command_id}


def _old(spec: Any) -> tuple[str, str]:
    """Return namespace and id of the container that a spec is of, as its control group says them."""
    linux = spec.get("linux")
    path = linux.get("cgroupsPath") if isinstance(linux, dict) else None
    parts = str(path or "").replace(":", "/").split("/")
    return (parts[-2], parts[-1]) if len(parts) > 1 else ("", "")


def _stdio(command: Restore, taken: Taken, there: ContainerInfo | None) -> tuple[str, bool]:
    """Return where its stdio goes: as it was, unless that is said; what somebody else's FIFOs were goes nowhere."""
    record = taken.record
    if command.stdio:
        wanted = command.stdio
    elif there is not None:
        wanted = there.labels.get(labels.STDIO) or (record.stdio if record is not None else "")
    else:
        wanted = (record.labels.get(labels.STDIO) or record.stdio) if record is not None else ""
    known = wanted == labels.ON_THE_BUS or "://" in wanted
    stdin = wanted == labels.ON_THE_BUS and record is not None and record.stdin
    return (wanted if known else "null"), stdin


# -- the container


async def carried_out(
    place: Place, plan: Plan, bench: Bench, lease: str, *, still: Callable[[], Awaitable[None]] | None = None
) -> Restored:
    """Make the container and restore its task; `still` is asked right before a process of it can run.

    Raises:
        CommandFailed: nothing of it is left, and what was there is as it was.
    """
    options = await options_of_restore(place, plan.options, plan.taken.spec, plan.wanted)
    await bench.write(bench.config, place.runtime.checkpoints.criu_config(options))
    async with (
        with_image(place, plan.taken, plan.content, here=plan.image is not None, lease=lease) as image,
        _snapshot(place, plan, image, lease),
        _container(place, plan, bench, lease),
    ):
        pid, session = await _task(place, plan, still)
    await _forget_config(place, plan)
    return Restored(
        verdict=Verdict(findings=[]),
        container=plan.wanted.id,
        pid=pid,
        checkpoint=plan.taken.name,
        parent=plan.taken.record.incarnation if plan.taken.record is not None else None,
        image_brought=plan.fresh and plan.image is None,
        process=None if session is None else session.result(),
    )


@asynccontextmanager
async def _container(place: Place, plan: Plan, bench: Bench, lease: str) -> AsyncIterator[None]:
    """Have the container, with what CRIU is to read; where the block fails it is as before, or gone."""
    if plan.there is None:
        async with _made(place, plan, with_config(plan.wanted.spec, str(bench.config)), lease):
            yield
    else:
        async with _changed(place, plan, plan.there, bench=bench, lease=lease):
            yield


@asynccontextmanager
async def _snapshot(place: Place, plan: Plan, image: ImageContent | None, lease: str) -> AsyncIterator[None]:
    """Have a root file system as it was at the dump, unless the container's own is that; it goes where the block fails."""
    if image is None or not plan.fresh:
        yield
        return
    (namespace, _), snapshots = place.target, place.runtime.snapshots
    where = (namespace, plan.wanted.snapshotter, plan.wanted.snapshot_key)
    given = {labels.COMMAND: place.command_id}

    async def remove() -> None:
        if ((await snapshots.labels(*where)) or {}).get(labels.COMMAND) == place.command_id:
            await snapshots.remove(*where)

    try:
        # It may have to unpack the image, which takes as long as that takes.
        await place.interruption.through(
            snapshots.prepare(*where, image, labels=given, lease=lease), otherwise=CANCELLED
        )
        failpoint("snapshot-made")
        await place.interruption.through(_apply(place, plan, lease), otherwise=CANCELLED)
        yield
    except BaseException as error:
        await taken_back(error, f"snapshot {plan.wanted.snapshot_key} of {namespace}", remove)
        raise


@asynccontextmanager
async def _made(place: Place, plan: Plan, spec: dict[str, Any], lease: str) -> AsyncIterator[None]:
    """Have a new record; it goes where the block fails."""
    namespace, _ = place.target

    async def remove() -> None:
        if await created_by(place, place.command_id) is not None:
            await lifecycle.delete(place, Delete(force=True))

    try:
        await place.runtime.containers.create(namespace, structs.replace(plan.wanted, spec=spec), lease=lease)
        failpoint("record-made")
        yield
    except BaseException as error:
        await taken_back(error, f"{place} of {namespace}", remove)
        raise


@asynccontextmanager
async def _changed(place: Place, plan: Plan, there: ContainerInfo, *, bench: Bench, lease: str) -> AsyncIterator[None]:
    """Have the record of a container that is there say what is restored; it says what it said where the block fails."""
    namespace, container = place.target
    containers = place.runtime.containers
    if (task := await place.runtime.tasks.get(namespace, container)) is not None:
        await lifecycle.remove_task(place, task)
    key = plan.wanted.snapshot_key
    given = {mark: plan.wanted.labels[mark] for mark in MARKS}
    spec = with_config(plan.wanted.spec, str(bench.config))
    await bench.note(Note(before=there))
    if key != there.snapshot_key:
        # Nothing would keep it once the record names another one; under the lease it is there to be put back, after a crash too.
        await place.runtime.leases.hold(namespace, lease, there.snapshotter, there.snapshot_key)
    try:
        await containers.respec(namespace, container, spec, labels=given, snapshot_key=key)
        failpoint("record-made")
        yield
    except BaseException as error:
        await taken_back(error, f"the record of {place}", partial(put_back, place, there))
        raise
    if key != there.snapshot_key:
        await undo(
            f"snapshot {there.snapshot_key}",
            place.runtime.snapshots.remove(namespace, there.snapshotter, there.snapshot_key),
        )


async def put_back(place: Place, before: ContainerInfo) -> None:
    """Let the record of a container say again what it said before a restore."""
    marks = {mark: before.labels.get(mark, "") for mark in MARKS}
    await place.runtime.containers.respec(
        *place.target, before.spec or {}, labels=marks, snapshot_key=before.snapshot_key
    )


async def _apply(place: Place, plan: Plan, lease: str) -> None:
    """Write onto the snapshot what the container had written."""
    (namespace, _), taken, checkpoints = place.target, plan.taken, place.runtime.checkpoints
    layer = taken.descriptor
    if layer is None and taken.has_layer:
        directory = os.open(taken.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            layer = await checkpoints.write(
                namespace,
                LAYER_TYPES["gzip"],
                layer_stream(directory),
                ref=f"containerd-bridge-{place.command_id}-layer",
                lease=lease,
            )
        finally:
            os.close(directory)
    if layer is not None:
        await checkpoints.apply(namespace, plan.wanted.snapshotter, plan.wanted.snapshot_key, layer, lease=lease)


async def _task(
    place: Place, plan: Plan, still: Callable[[], Awaitable[None]] | None
) -> tuple[int, StdioSession | None]:
    namespace, container = place.target
    restore = partial(place.runtime.checkpoints.restore, before=still)
    if plan.stdio != labels.ON_THE_BUS:
        stdio = Stdio(stdout=plan.stdio, stderr=plan.stdio) if "://" in plan.stdio else None
        return await restore(namespace, container, plan.taken.images, stdio=stdio), None
    record = ContainerInfo(namespace=namespace, id=container, labels=plan.wanted.labels, spec=plan.wanted.spec)
    session = await session_for_task(place, record, Start(stdio="bus", stdin=plan.stdin))
    begun = False

    async def start() -> int:
        nonlocal begun
        begun = True
        return await session.start()

    try:
        return await restore(namespace, container, plan.taken.images, stdio=session.stdio, start=start), session
    except BaseException:
        if not begun:
            await session.abandon()
        raise


async def _forget_config(place: Place, plan: Plan) -> None:
    """Take CRIU's configuration out of the record: the file goes, and nobody else is to be judged by it."""
    try:
        await place.runtime.containers.respec(*place.target, plan.wanted.spec)
    except CommandFailed as error:
        log.warning("%s still names a configuration of CRIU's that is gone: %s", place, error)
