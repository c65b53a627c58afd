"""Taking checkpoints away: on demand, because their time is over, or because nobody will come for what is left of them.

Left over are pieces that belong to no object, of an upload that was broken off and not taken up for a day, and objects that no
record names, which a crash between the two leaves. Each bridge looks after its own node's records, and after what is left over of
any, since the node that left it may be gone. What is younger is somebody's who is at work. It goes by nats-server's clock, and by
the order in which records were written: a host that boots with a wrong clock removes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress

from bridge.errors import CommandFailed
from bridge.jetstream.checkpoint_objects import Objects, image_object, is_image
from bridge.jetstream.checkpoint_records import Records, StandingRecord
from bridge.model.checkpoints import CheckpointKey, CheckpointRecord
from bridge.model.nanos import Nanos
from bridge.ports.checkpoints import Keeping

__all__ = ["Sweep"]

log = logging.getLogger(__name__)


class Sweep:
    """Takes away what is to go."""

    def __init__(
        self, records: Records, objects: Objects, node: str | None, keeping: Keeping, under_way: Mapping[str, int]
    ) -> None:
        self._records = records
        self._objects = objects
        self._node = node
        self._keeping = keeping
        self._under_way = under_way

    async def run(self) -> int:
        """Take away what has expired, what is too many, and what is left over; return how many bytes are free again."""
        freed = 0
        records = await self._records.all(None, None, None)
        moment = await self._objects.time()
        gone = set()
        for one in self._expired(records, moment) + self._too_many(records):
            log.info("removing the checkpoint %s: its time is over, or there are too many of its container", one.key)
            freed += await self.remove(one.record.key)
            gone.add(one.record.key)
        named = {name for one in records if one.record.key not in gone for name in _named(one.record)}
        return freed + await self._left_over(named, moment)

    async def beyond(self, record: CheckpointRecord) -> None:
        """Take away what is too many of a record's container."""
        if not self._keeping.most or record.node != self._node:
            return
        for one in self._too_many(await self._records.all(record.node, record.namespace, record.container)):
            await self.remove(one.record.key)

    async def remove(self, key: CheckpointKey) -> int:
        """Take away a record, then its object; return how many bytes are free again."""
        record = await self._records.find(key)
        if record is not None:
            await self._records.remove(record)
        standing = await self._objects.find(key.token)
        return 0 if standing is None else await self._objects.remove(standing)

    async def purge(self, nuid: str) -> int:
        """Take away pieces; return how many bytes are free again."""
        size = await self._objects.size(nuid)
        await self._objects.purge(nuid)
        return size

    # -- inside

    def _expired(self, records: list[StandingRecord], moment: Nanos) -> list[StandingRecord]:
        return [
            one
            for one in records
            if one.record.expires_at is not None
            and one.record.expires_at <= moment
            and (one.record.node == self._node or one.record.imported)
        ]

    def _too_many(self, records: list[StandingRecord]) -> list[StandingRecord]:
        if not self._keeping.most:
            return []
        of: dict[tuple[str, str], list[StandingRecord]] = {}
        for one in sorted(records, key=lambda one: one.revision):  # clocks are set back
            if one.record.node == self._node and not one.record.imported:
                of.setdefault((one.record.namespace, one.record.container), []).append(one)
        return [one for each in of.values() for one in each[: -self._keeping.most]]

    async def _left_over(self, named: set[str], moment: Nanos) -> int:
        """Take away what no record names and nobody is at work on; return how many bytes are free again."""
        named |= {key.token for key in await self._records.keys()}
        before = moment - int(self._keeping.abandoned_s * 1e9)
        freed, used = 0, set(self._under_way)
        for one in await self._objects.all():
            used.add(one.info.nuid)
            if one.info.name in named or one.stored_at > before:
                continue
            if not (is_image(one.info.name) or _is_archive(one.info.name)):
                continue  # whatever it is, it was not put there by us
            log.info("removing the archive %s, which no record names", one.info.name)
            freed += await self._objects.remove(one)
        for nuid, stored_at in (await self._objects.uploads()).items():
            if nuid not in used and stored_at <= before:
                log.info("removing pieces of an upload that nobody goes on with: %s", nuid)
                freed += await self.purge(nuid)
        return freed


def _named(record: CheckpointRecord) -> Iterator[str]:
    """Iterate over the names of the objects that a record needs."""
    yield record.key.token
    with suppress(CommandFailed):
        yield image_object(record.image_digest)


def _is_archive(name: str) -> bool:
    try:
        CheckpointKey.parse(name)
    except ValueError:
        return False
    return True
