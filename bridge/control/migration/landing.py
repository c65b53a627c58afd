"""What the target of a migration does with a container that comes: takes it in, restores it, or takes all of it away again.

What is made here carries an id as if that were a command of this node: directory, lease, snapshot, record and image. So whoever
comes after a crash finds all of it. It is made of the migration's key and not the migration's own, which whoever sends `migrate`
chooses: that may be the id of a command of this node, and what that one has made is somebody else's.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from msgspec import structs

from bridge.checkpoints import LAYER, LIMITS, check_layer, rebuild
from bridge.control import lifecycle
from bridge.control.checkpoint import refuse
from bridge.control.checkpoint_dump import checkpointing_at
from bridge.control.checkpoint_verdict import verdict_of_restore
from bridge.control.creation import created_by
from bridge.control.leases import lease_labels, lease_of
from bridge.control.migration.arrival import Arrived, Still
from bridge.control.migration.loading import digest_of
from bridge.control.migration.target import Copy
from bridge.control.restore import permit_plan
from bridge.control.restore_container import Plan, carried_out, plan_of
from bridge.control.restore_image import bring_image
from bridge.control.restore_source import Taken
from bridge.control.restore_spec import without_config
from bridge.control.verb import Place, image_at
from bridge.control.workshop import Bench, disk, opened, removed
from bridge.errors import BadEnvelope, CommandFailed
from bridge.model import labels
from bridge.model.checkpoints import Finding, Verdict
from bridge.model.codec import decode_as
from bridge.model.commands import Delete, Restore
from bridge.model.migrations import Migration, MigrationKey, part_key
from bridge.model.subjects import quote

__all__ = ["Landing", "id_of"]

SPARE: Final = 2.0
"""How often what is needed has to fit onto the disk: a dump as it came, and the one that is made of it and the next."""


_MEMORY: Final = re.compile(r"pagemap-\d+\.img")
"""The file that CRIU writes for each process."""

LARGEST_SPEC: Final = 8 << 20


class Landing:
    """Implements `TargetHands` for one container.

    Attributes:
        plan: what a restore comes to; None before it was promised, and after a crash.
    """

    def __init__(self, place: Place, key: MigrationKey) -> None:
        """Take where it comes to, and what it is."""
        self.plan: Plan | None = None
        self._own = id_of(key)
        self._place = structs.replace(place, command_id=self._own)
        self._key = key
        self._kit = checkpointing_at(place)
        self._bench = self._kit.workshop.bench(self._own)
        self._lease = lease_of(self._own)
        self._earlier: Path | None = None
        self._ran = False

    # -- before it is taken

    async def promise(self, place: Place, migration: Migration) -> Verdict:
        """See whether it can be had here, and hold room for it.

        Args:
            place: where the command works that asks for it; it begins with the policy's answer.
            migration: the entry.

        Raises:
            CommandFailed: it cannot; nothing of it is left.
        """
        await self._demand_free(migration)
        spec = await self._spec()
        if digest_of(spec) != migration.spec:
            raise CommandFailed("failed_precondition", "what came first is not what the register speaks of")
        taken = Taken(
            name=part_key(self._key, 0).token,
            images=self._bench.images,
            directory=self._bench.path,
            spec=spec,
            record=migration.record,
            vouched=True,
            has_layer=migration.record.rw,
            image=migration.record.image,
            runtime=migration.record.runtime,
            snapshotter=migration.record.snapshotter,
            options=migration.record.options,
        )
        plan = await plan_of(self._place, Restore(), taken, None)
        # What is restored tells of the migration, by whose id both ends' events are found.
        given = {**plan.wanted.labels, labels.RESTORE: self._key.migration}
        if migration.record.labels.get(labels.REMOVE) == "true":  # it is still the one that was run with `rm`
            given[labels.REMOVE] = "true"
        plan = structs.replace(plan, wanted=structs.replace(plan.wanted, labels=given))
        found = await verdict_of_restore(self._place, plan)
        verdict = Verdict(findings=[*found.findings, await self._room(migration)])
        await permit_plan(place, plan)  # before a word of what is on this host
        refuse(self._place, verdict, force=migration.force)
        await self._kit.workshop.open(self._own)
        namespace, _ = self._place.target
        await self._place.runtime.leases.create(namespace, self._lease, lease_labels(self._own, place.node))
        self.plan = plan
        return verdict

    async def _spec(self) -> dict[str, Any]:
        data = bytearray()
        async for piece in self._kit.catalogue.load(part_key(self._key, 0)):
            data += piece
            if len(data) > LARGEST_SPEC:
                raise CommandFailed("invalid_argument", f"a spec of more than {LARGEST_SPEC} bytes is not taken")
        try:
            return decode_as(bytes(data), dict[str, Any])
        except BadEnvelope as error:
            raise CommandFailed("invalid_argument", f"what came first is no spec: {error}") from error

    async def _demand_free(self, migration: Migration) -> None:
        namespace, container = self._place.target
        try:
            await self._place.runtime.containers.get(namespace, container)
        except CommandFailed as error:
            if error.code == "not_found":
                return
            raise
        raise CommandFailed(
            "already_exists",
            f"{self._place} exists already in namespace {namespace}: delete it first, or move {migration.container} elsewhere",
        )

    async def _room(self, migration: Migration) -> Finding:
        free = await self._kit.workshop.room()
        if free >= migration.needs * SPARE:
            return Finding(check="room", level="ok", says=f"{free} bytes are free")
        return Finding(
            check="room",
            level="blocks",
            says=f"about {migration.needs} bytes come, and {self._kit.workshop.directory} has room for {free}",
            way_out="make room there, or set checkpoint_dir to another disk",
        )

    async def prepare(self, number: int, *, image: bool) -> None:
        """Take in a part; with 0 see to the image.

        Raises:
            CommandFailed: it cannot be had, or is refused.
        """
        assert self.plan is not None
        if number == 0:
            await self._have_image(brought=image)
        else:
            await self._take_in(number)

    async def _have_image(self, *, brought: bool) -> None:
        """Have the image, unpacked, so that a snapshot of it is made in no time."""
        assert self.plan is not None
        plan, namespace = self.plan, self._place.target[0]
        if not plan.fresh:
            return
        if plan.image is None:
            if not brought:
                raise CommandFailed("failed_precondition", f"image {plan.content} is missing, and was not sent")
            await bring_image(self._place, plan.taken, plan.content, self._lease)
            self.plan = structs.replace(plan, image=await image_at(self._place, plan.content))
        resolved = await self._place.runtime.images.resolve(namespace, plan.content)
        where = (namespace, plan.wanted.snapshotter, plan.wanted.snapshot_key)
        given = {labels.COMMAND: self._own}
        await self._place.runtime.snapshots.prepare(*where, resolved, labels=given, lease=self._lease)
        await self._place.runtime.snapshots.remove(*where)

    async def _take_in(self, number: int, expected: str = "") -> bool:
        """Rebuild a dump from what came and the one before it, which goes then; tell whether there is a layer beside it.

        The register says which the last one is, and that one says what each file has to be: so nobody else's is restored.
        """
        path, limits = self._part(number), LIMITS
        await disk(lambda: path.parent.mkdir(mode=0o700, exist_ok=True))
        await disk(lambda: path.mkdir(mode=0o700))
        with ExitStack() as stack:
            target = stack.enter_context(opened(path))
            earlier = stack.enter_context(opened(self._earlier)) if self._earlier is not None else None
            delta = self._kit.catalogue.load(part_key(self._key, number), expected=expected)
            files = await rebuild(delta, target, earlier=earlier, limits=limits)
            if LAYER in files:
                await asyncio.to_thread(check_layer, target, LAYER, limits)
        if (before := self._earlier) is not None:
            await disk(lambda: removed(before))
        self._earlier = path
        return LAYER in files

    async def have_all(self, migration: Migration) -> None:
        """Take in the last part."""
        assert self.plan is not None
        number = len(migration.parts) - 1
        has_layer = await self._take_in(number, migration.parts[-1].digest)
        directory = self._part(number)
        taken = structs.replace(self.plan.taken, directory=directory, images=directory, has_layer=has_layer)
        self.plan = structs.replace(self.plan, taken=taken)

    def _part(self, number: int) -> Path:
        """Return where a dump lies, in a directory that is called as the restored container's label says."""
        return self._bench.path / quote(self._key.migration) / str(number)

    # -- what is here

    async def look(self) -> Copy:
        """Tell what is here of it. While containerd is at it there is no answer, so what it began is not missed."""
        if self._ran:
            return "running"
        namespace, container = self._place.target
        if await created_by(self._place, self._own) is not None:
            task = await self._place.runtime.tasks.get(namespace, container)
            return "running" if task is not None and task.status == "running" and task.pid else "half"
        leases = await self._place.runtime.leases.list([namespace], labels.COMMAND)
        if any(one.id == self._lease for one in leases) or self._bench.there or await self._images():
            return "half"
        return "none"

    async def pid(self) -> int:
        """Return the pid of its task."""
        task = await self._place.runtime.tasks.get(*self._place.target)
        return 0 if task is None else task.pid

    # -- once it is taken

    async def restore(self, migration: Migration, still: Still) -> Arrived:
        """Compare it with the source where that is wanted, and restore it: it runs then, or has run to its end."""
        assert self.plan is not None
        verified = await asyncio.to_thread(self._compared, migration) if migration.verify else []
        bench = Bench(path=self._bench.path)
        restored = await carried_out(self._place, self.plan, bench, self._lease, still=still)
        self._ran = True  # it may have ended by now: that is its own end, and not to be done once more at the source
        return Arrived(restored.pid, verified)

    def _compared(self, migration: Migration) -> list[str]:
        """Compare what can be, before anything begins; the archives and the spec were, when they came.

        What runs can not be compared with what stood still: the next moment one of its processes may have ended.

        Raises:
            CommandFailed: something differs.
        """
        compared = ["archives", "spec"]
        if migration.processes is not None:
            assert self.plan is not None
            there = sum(_MEMORY.fullmatch(path.name) is not None for path in self.plan.taken.images.iterdir())
            if there != migration.processes:
                raise CommandFailed(
                    "failed_precondition",
                    f"{self._place} had {migration.processes} processes when it stood still, and {there} are in what came",
                )
            compared.append("processes")
        return compared

    # -- what is taken away

    async def clean(self) -> None:
        """Take away all that is here of it: what containerd is still at comes to its end first, and then goes too."""
        namespace, _ = self._place.target
        self._ran = False
        record = await created_by(self._place, self._own)
        if record is not None:
            await lifecycle.delete(self._place, Delete(force=True))
        await self._remove_snapshot()
        for image in await self._images():
            await self._place.runtime.images.delete(namespace, image)
        await self._place.runtime.leases.delete(namespace, self._lease, sync=True)
        await self._kit.workshop.close(self._own)
        self.plan = self._earlier = None

    async def _remove_snapshot(self) -> None:
        namespace, container = self._place.target
        snapshotter = (await self._place.runtime.containers.defaults(namespace)).snapshotter
        if self.plan is not None:
            snapshotter = self.plan.wanted.snapshotter or snapshotter
        given = await self._place.runtime.snapshots.labels(namespace, snapshotter, container)
        if (given or {}).get(labels.COMMAND) == self._own:
            await self._place.runtime.snapshots.remove(namespace, snapshotter, container)

    async def _images(self) -> list[str]:
        """Return the images that were brought for it."""
        found = await self._place.runtime.images.list(self._place.target[0])
        return [one.name for one in found if one.labels.get(labels.COMMAND) == self._own]

    async def settle(self) -> None:
        """Take away what it needs no more once it runs: lease, directory, and the word to CRIU in its record."""
        namespace, container = self._place.target
        if await created_by(self._place, self._own) is not None:
            record = await self._place.runtime.containers.get(namespace, container)
            if record.spec is not None and record.spec != without_config(record.spec):
                await self._place.runtime.containers.respec(namespace, container, without_config(record.spec))
            if record.labels.get(labels.REMOVE) == "true" and self._place.removing is not None:
                self._place.removing.watch(namespace, container)
        await self._place.runtime.leases.delete(namespace, self._lease, sync=True)
        await self._kit.workshop.close(self._own)
        self.plan = self._earlier = None


def id_of(key: MigrationKey) -> str:
    """Return the id under which the target of a migration makes what it makes."""
    return f"migration-{sha256(key.token.encode()).hexdigest()[:32]}"
