"""What the source of a migration does with its container: dumps it, sends that, and in the end lets it run on or removes it.

What is sent goes as archives into the object store of checkpoints, never into the catalogue: first what the container is, its
image where the target lacks that, then its memory as often as wanted while it runs, and at last, while it stands still, what has
changed since, with what it wrote to its files. Nothing goes any other way.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from bridge.checkpoints import Delta, keep_layer
from bridge.control import lifecycle
from bridge.control.checkpoint_dump import MOMENT_S, at_a_good_moment, checkpointing_at, freeze, resume
from bridge.control.checkpoint_origin import exported
from bridge.control.leases import lease_labels, lease_of
from bridge.control.migration.asking import Asking
from bridge.control.migration.departure import Offer
from bridge.control.migration.opening import open_network, see_network_open
from bridge.control.migration.source import Here
from bridge.control.verb import Place
from bridge.control.workshop import Bench, disk, removed
from bridge.errors import CommandFailed
from bridge.failpoint import failpoint
from bridge.model.checkpoints import CheckpointRecord, Verdict
from bridge.model.codec import encode_any
from bridge.model.commands import Delete
from bridge.model.migrations import Migration, Part, part_key
from bridge.model.outcomes import ContainerInfo, Progress
from bridge.ports import Archive, Descriptor

__all__ = ["Loading", "digest_of"]

log = logging.getLogger(__name__)

T = TypeVar("T")

MOST_ROUNDS: Final = 8
"""Of sending memory while it runs, where nobody says how often: each costs the container a moment, and the bus what changes."""

WORTH_IT: Final = 0.7
"""A round is followed by another one where it was smaller than this part of the one before."""

SMALL: Final = 4 << 20
"""Bytes of a round after which the last dump takes no longer than standing still does anyway."""

MOST_PARTS: Final = 19
"""What it is, as many rounds as a command may ask for, the last dump, and one for luck."""

TOLD_EVERY: Final = 1 << 20
SETTLED_S: Final = 0.05


class Loading:
    """Implements `SourceHands`. One that is made after a crash looks and clears away, and sends nothing.

    Attributes:
        verdict: what the target has found.
        rounds: how often its memory was sent while it ran.
        sent: bytes on the bus, of which `sent_frozen` while it stood still.
        frozen_at: when it was frozen, by a clock that nobody sets; 0 before. Where it has run on for a moment in between, later
            by that: it is since then that it has stood still, all in all.
        checked: what it is given up with where nothing more was wanted than to look.
    """

    checked: Final = CommandFailed("cancelled", "it was only looked at what a migration would meet")

    def __init__(
        self,
        place: Place,
        migration: Migration,
        ask: Asking,
        *,
        spec: dict[str, Any] | None = None,
        pre_copy: int = 0,
        checks_only: bool = False,
    ) -> None:
        """Take the container and where it goes.

        Args:
            place: where it is.
            migration: the entry as it is made.
            ask: asks the target.
            spec: the container's OCI spec.
            pre_copy: rounds, -1 for as long as they get smaller.
            checks_only: go no further than to the target's promise.
        """
        self.verdict = Verdict(findings=[])
        self.rounds = 0
        self.sent = 0
        self.sent_frozen = 0
        self.frozen_at = 0
        self._place = place
        self._migration = migration
        self._ask = ask
        self._spec = spec or {}
        self._pre_copy = pre_copy
        self._checks_only = checks_only
        self._kit = checkpointing_at(place)
        self._lease = lease_of(migration.id)
        self._wants_image = False
        self._next = 0
        self._parts: list[Part] = []
        self._earlier: Path | None = None

    # -- what is there

    async def look(self) -> Here:
        """Tell how it stands; a later container of the same id is another one."""
        while True:
            record = await _record(self._place)
            if record is None or (record.created_at or 0) != self._migration.born:
                return "gone"
            task = await self._place.runtime.tasks.get(*self._place.target)
            if task is None or task.status != "pausing":
                return "paused" if task is not None and task.status == "paused" else "running"
            await asyncio.sleep(SETTLED_S)

    # -- while it runs

    async def ask(self) -> None:
        """Tell the target what it is, and let it promise."""
        namespace, _ = self._place.target
        await self._kit.workshop.open(self._migration.id)
        labels = lease_labels(self._migration.id, self._place.node)
        await self._place.runtime.leases.create(namespace, self._lease, labels)
        self._tell("reserving")
        await self._through(self._send_spec())
        received = await self._through(self._ask("reserve"))
        self.verdict, self._wants_image = received.verdict, received.wants_image

    async def send(self) -> None:
        """Send the image, and its memory as often as it is worth it."""
        if self._checks_only:
            raise self.checked
        if self._wants_image:
            await self._through(self._send_image())
        await self._through(self._ask("prepare", image=self._wants_image))
        before = 0
        while self._goes_on(before):
            size = await self._through(self._send_round())
            self.rounds += 1
            if self._pre_copy < 0 and (size < SMALL or (before and size > before * WORTH_IT)):
                return
            before = size

    def _goes_on(self, before: int) -> bool:
        if self._pre_copy >= 0:
            return self.rounds < self._pre_copy
        return self.rounds < MOST_ROUNDS or not before

    async def _send_spec(self) -> None:
        async def spec() -> Archive:
            yield encode_any(self._spec)

        await self._store(spec, "reserving", 0)

    async def _send_image(self) -> None:
        record = self._record
        archive = partial(exported, self._place, record.image_digest, record.image)
        self.sent += await self._kit.catalogue.store_image(
            record.image_digest, archive, upload=self._migration.id, tell=self._telling("sending image", 0)
        )

    async def _send_round(self) -> int:
        self._tell(f"pre-copy {self.rounds + 1}: dumping")
        images = await self._dump(f"round {self.rounds + 1}", running=True)
        part = await self._send(images, f"pre-copy {self.rounds + 1}: sending")
        await self._ask("prepare", part=self._next - 1)
        return part.size

    # -- while it stands still

    async def freeze(self) -> None:
        """Let it stand still."""
        self._tell("freezing")
        self.frozen_at = time.monotonic_ns()
        await freeze(self._place)

    async def dump(self) -> Offer:
        """Dump it and what it wrote, and send what has changed since the last round."""
        processes, images = await at_a_good_moment(self._place, self._still, again=self._again)
        part = await self._through(self._send(images, "sending"))
        self.sent_frozen = part.size
        return Offer(self._parts, processes)

    async def _still(self) -> tuple[int | None, Path]:
        processes = await _processes(self._place)
        return processes, await self._dump("last", running=False)

    async def _again(self) -> None:
        """Let it run on for a moment, which it may, since nothing is offered yet."""
        await self.resume()
        stood = time.monotonic_ns() - self.frozen_at
        await asyncio.sleep(MOMENT_S)
        await self.freeze()
        self.frozen_at -= stood

    async def hand_over(self) -> None:
        """Ask the target to take it."""
        self._tell("restoring")
        await self._ask("restore")

    async def resume(self) -> None:
        """Let it run on. It does so too where its network is not to be opened just then; `tidy` sees to that."""
        if self._connected:
            try:
                await open_network(self._place)
            except CommandFailed as error:
                log.info("%s runs on all the same: %s", self._place, error)
        await resume(self._place)

    # -- when it is decided

    async def remove(self) -> None:
        """Remove it: every process of it has its SIGKILL before one of them could run on."""
        self._tell("removing")
        record = await _record(self._place)
        if record is None or (record.created_at or 0) != self._migration.born:
            return
        self._kit.ending(*self._place.target, self._migration.id)
        await self._end_still()
        await lifecycle.delete(self._place, Delete(force=True))

    async def _end_still(self) -> None:
        """End it as it stands. Where its processes are out of sight CRIU does it, which ends them when it has dumped them.

        It does so with connections that go on elsewhere, too: nothing of them stays here then that would be in their way back.
        """
        task = await self._place.runtime.tasks.get(*self._place.target)
        if task is None or task.status != "paused":
            return
        if not self._connected and await self._place.runtime.tasks.kill_frozen(*self._place.target):
            return
        namespace, container = self._place.target
        bench, checkpoints = await self._bench("end"), self._place.runtime.checkpoints
        try:
            options = self._record.options
            await checkpoints.dump(namespace, container, bench.images, options, ends=True, lease=self._lease)
        except CommandFailed as error:
            if not self._connected or not await self._place.runtime.tasks.kill_frozen(namespace, container):
                log.warning("%s runs at its target, and may do something here before it ends: %s", self._place, error)
        finally:
            await disk(lambda: removed(bench.path))

    async def tell(self) -> None:
        """Tell the target that nothing comes."""
        await self._ask("abandon")

    async def tidy(self, *, moved: bool) -> None:
        """Take away what lies on the bus, and here; and open its network again, unless it has moved with its connections.

        It may never have been let run on by us: somebody else has, or has ended it, and others may be in that network.
        """
        if self._connected and not moved:
            await see_network_open(self._place)
        for number in range(self._next or MOST_PARTS):
            await self._kit.catalogue.remove(part_key(self._migration.key, number))
        assert self._place.namespace is not None
        await self._place.runtime.leases.delete(self._place.namespace, self._lease, sync=True)
        await self._kit.workshop.close(self._migration.id)

    # -- inside

    @property
    def _record(self) -> CheckpointRecord:
        return self._migration.record

    @property
    def _connected(self) -> bool:
        """Whether its connections go on there, and so its network is held."""
        return self._record.options.tcp_established

    async def _bench(self, name: str) -> Bench:
        """Make a directory for one dump, in the migration's own."""
        bench = Bench(path=self._kit.workshop.bench(self._migration.id).path / name)

        def make() -> None:
            bench.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            removed(bench.path)
            for path in (bench.path, bench.images, bench.work):
                path.mkdir(mode=0o700)

        await disk(make)
        return bench

    async def _dump(self, name: str, *, running: bool) -> Path:
        """Dump it into a directory of its own, with what it wrote beside CRIU's files."""
        bench = await self._bench(name)
        namespace, container = self._place.target
        checkpoints = self._place.runtime.checkpoints
        if self._connected and not running:
            # From here on nobody answers for its connections at this end, nor closes them when it is killed.
            await checkpoints.hold_network(namespace, container)
        await checkpoints.dump(namespace, container, bench.images, self._record.options, ends=False, lease=self._lease)
        if self._record.rw:
            try:
                layer = await checkpoints.changes(namespace, container, lease=self._lease)
                if layer is not None:
                    await self._keep(layer, bench.images)
            except CommandFailed:
                # Files come and go while it is looked at: what is sent when it stands still counts.
                if not running:
                    raise
        return bench.images

    async def _keep(self, layer: Descriptor, directory: Path) -> None:
        target = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            await keep_layer(self._place.runtime.checkpoints.read(self._place.target[0], layer), target)
        finally:
            os.close(target)

    async def _send(self, images: Path, event: str) -> Part:
        """Send what a dump has and the one before it had not; only this one is kept for the next."""
        earlier, self._earlier = self._earlier, images
        part = await self._store(Delta(images, earlier), event, 0)
        if earlier is not None:
            await disk(lambda: removed(earlier.parent))
        return part

    async def _store(self, archive: Callable[[], Archive], event: str, total: int) -> Part:
        key = part_key(self._migration.key, self._next)
        self._next += 1
        tell = self._telling(event, total)
        facts = await self._kit.catalogue.store(key, archive, upload=self._migration.id, tell=tell)
        failpoint("migrate-part")
        part = Part(name=key.name, size=facts.size, digest=facts.digest)
        self._parts.append(part)
        self.sent += facts.size
        return part

    async def _through(self, work: Coroutine[Any, Any, T]) -> T:
        return await self._place.interruption.through(
            work, otherwise=f"migrate was cancelled: {self._place} runs on on node {self._place.node}"
        )

    def _tell(self, event: str) -> None:
        self._place.tell(Progress(id=self._migration.id, name=str(self._place), event=event))

    def _telling(self, event: str, total: int) -> Callable[[int], None]:
        told = 0

        def tell(done: int) -> None:
            nonlocal told
            if done - told >= TOLD_EVERY or done == total:
                told = done
                progress = Progress(id=self._migration.id, name=str(self._place), event=event, done=done, total=total)
                self._place.tell(progress)

        return tell


async def _record(place: Place) -> ContainerInfo | None:
    try:
        return await place.runtime.containers.get(*place.target)
    except CommandFailed as error:
        if error.code == "not_found":
            return None
        raise


async def _processes(place: Place) -> int | None:
    """Return how many processes it has; None where they are not seen from here, or some are execs, which no dump has."""
    try:
        found = await place.runtime.tasks.pids(*place.target)
    except CommandFailed:
        return None
    if any(one.exec_id for one in found) or not any(one.name for one in found):
        return None
    return sum(one.memory is not None for one in found)  # one that has ended and was not waited for has none


def digest_of(spec: Mapping[str, Any]) -> str:
    """Return what tells a spec from another one."""
    return sha256(msgspec.json.encode(spec, order="deterministic")).hexdigest()
