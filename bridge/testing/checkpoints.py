"""The catalogue of checkpoints in memory.

    catalogue = MemoryCheckpoints(node="web1")
    facts = await catalogue.store(key, lambda: archive(), upload="a-1", tell=print)
    await catalogue.put(record)

`break_off` lets the next upload end after so many bytes, as a lost connection does; `damage` changes an archive behind the
catalogue's back.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator, Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from bridge.errors import CommandFailed
from bridge.model.checkpoints import ArchiveFacts, CheckpointKey, CheckpointRecord
from bridge.model.codec import decode_as, encode_any
from bridge.model.nanos import Nanos, now
from bridge.ports import Archive
from bridge.ports.checkpoints import Keeping

__all__ = ["MemoryCheckpoints"]

PIECE = 4096
ZSTD = b"\x28\xb5\x2f\xfd"


class _AnotherArchive(Exception):
    """What is read is not what is stored of it already."""


class _Object(Struct):
    upload: str
    data: bytes
    digest: str
    stored_at: Nanos


class MemoryCheckpoints:
    """Implements `bridge.ports.checkpoints.CheckpointCatalogue`."""

    def __init__(self, *, node: str | None = None, keeping: Keeping | None = None) -> None:
        """Take whose quota and retention are kept."""
        self.node = node
        self.keeping = keeping or Keeping()
        self.taken: list[int] = []
        """At which byte each upload began."""
        self._records: dict[CheckpointKey, bytes] = {}
        self._objects: dict[CheckpointKey, _Object] = {}
        self.images: dict[str, _Object] = {}
        """Archives of images, by digest."""
        self._pieces: dict[tuple[CheckpointKey, str], tuple[bytearray, Nanos]] = {}
        self._breaks: int | None = None

    @classmethod
    def beside(
        cls, other: MemoryCheckpoints, *, node: str | None = None, keeping: Keeping | None = None
    ) -> MemoryCheckpoints:
        """Return the same catalogue as another bridge has it."""
        made = cls(node=node, keeping=keeping)
        made._records, made._objects, made._pieces = other._records, other._objects, other._pieces
        made.images = other.images
        return made

    # -- what can happen to it

    def break_off(self, after: int) -> None:
        """Let the next upload end with `unavailable` when so many bytes are stored."""
        self._breaks = after

    def damage(self, key: CheckpointKey) -> None:
        """Change a byte of an archive."""
        found = self._objects[key]
        found.data = found.data[:-1] + bytes([found.data[-1] ^ 1])

    def age(self, seconds: float) -> None:
        """Let what was stored without a record be older by so much."""
        by = int(seconds * 1e9)
        for one in [*self._objects.values(), *self.images.values()]:
            one.stored_at = Nanos(one.stored_at - by)
        for name, (data, at) in self._pieces.items():
            self._pieces[name] = (data, Nanos(at - by))

    # -- records

    async def get(self, key: CheckpointKey) -> CheckpointRecord:
        """Return a record; see the port."""
        await asyncio.sleep(0)
        if key not in self._records:
            raise CommandFailed("not_found", f"there is no checkpoint {key.token}")
        return decode_as(self._records[key], CheckpointRecord)

    async def list(
        self, *, node: str | None = None, namespace: str | None = None, container: str | None = None
    ) -> Sequence[CheckpointRecord]:
        """Return the records; see the port."""
        wanted = (node, namespace, container)
        found = [
            await self.get(key)
            for key in list(self._records)
            if all(want in {None, part} for want, part in zip(wanted, key[:3], strict=True))
        ]
        return sorted(found, key=lambda record: (record.created_at, record.key))

    async def put(self, record: CheckpointRecord) -> CheckpointRecord:
        """Write a new record; see the port."""
        if record.expires_at is None and self.keeping.max_age_s and not record.imported:
            record = replace(record, expires_at=Nanos(record.created_at + self.keeping.max_age_s * 1_000_000_000))
        if record.key in self._records and (await self.get(record.key)).id != record.id:
            raise _taken(record.key)
        self._records[record.key] = encode_any(record)
        if record.node == self.node:
            await self._drop_beyond(record)
        return record

    async def remove(self, key: CheckpointKey) -> int:
        """Remove a record, then its archive; see the port."""
        await asyncio.sleep(0)
        self._records.pop(key, None)
        return self._drop(key)

    # -- archives

    async def store(
        self, key: CheckpointKey, archive: Callable[[], Archive], *, upload: str, tell: Callable[[int], None]
    ) -> ArchiveFacts:
        """Store an archive in pieces; see the port."""
        if key in self._records and (await self.get(key)).id != upload:
            raise _taken(key)
        before = self._objects.get(key)
        if before is not None and before.upload == upload:
            tell(len(before.data))
            return _facts(before)
        stored, _ = self._pieces.setdefault((key, upload), (bytearray(), now()))
        self.taken.append(len(stored))
        tell(len(stored))
        try:
            try:
                await self._take(key, upload, archive(), stored, tell)
            except _AnotherArchive:
                stored.clear()
                await self._take(key, upload, archive(), stored, tell)
        except CommandFailed as failure:
            if failure.code != "unavailable":
                self._pieces.pop((key, upload), None)
            raise
        self._pieces.pop((key, upload), None)
        if self._objects.get(key) is not before:
            raise _taken(key)
        made = _Object(upload, bytes(stored), f"sha256:{hashlib.sha256(stored).hexdigest()}", now())
        self._objects[key] = made
        return _facts(made)

    async def abandon(self, key: CheckpointKey, *, upload: str) -> int:
        """Remove the pieces of an upload that nobody goes on with; see the port."""
        await asyncio.sleep(0)
        found = self._objects.get(key)
        if found is not None and found.upload == upload:
            return self._drop(key)
        stored, _ = self._pieces.pop((key, upload), (b"", None))
        return len(stored)

    async def load(self, key: CheckpointKey, *, offset: int = 0, expected: str = "") -> AsyncGenerator[bytes, None]:
        """Return the bytes of an archive; see the port."""
        await asyncio.sleep(0)
        found = self._objects.get(key)
        if found is None:
            raise CommandFailed("not_found", f"there is no archive {key.token} in the catalogue")
        if not expected and key in self._records:
            expected = (await self.get(key)).archive.digest
        if expected and expected != found.digest:
            raise CommandFailed("failed_precondition", f"the archive {key.token} is not the one of its record")
        for start in range(offset, len(found.data), PIECE):
            if self._objects.get(key) is not found:
                raise CommandFailed("unavailable", f"the archive {key.token} was removed or replaced while it was read")
            end = start + PIECE >= len(found.data)
            if end and not offset and f"sha256:{hashlib.sha256(found.data).hexdigest()}" != found.digest:
                raise CommandFailed("failed_precondition", f"the archive {key.token} is damaged")
            yield found.data[start : start + PIECE]
            await asyncio.sleep(0)

    # -- images

    async def store_image(
        self, digest: str, archive: Callable[[], Archive], *, upload: str, tell: Callable[[int], None]
    ) -> int:
        """Store the archive of an image; see the port."""
        found = self.images.get(_checked(digest))
        if found is None:
            data = b"".join([piece async for piece in archive()])
            found = _Object(upload, data, f"sha256:{hashlib.sha256(data).hexdigest()}", now())
            tell(len(data))
        found.stored_at = now()
        self.images[digest] = found
        return len(found.data)

    async def load_image(self, digest: str) -> AsyncGenerator[bytes, None]:
        """Return the bytes of an image's archive; see the port."""
        await asyncio.sleep(0)
        found = self.images.get(_checked(digest))
        if found is None:
            raise CommandFailed("not_found", f"there is no archive of image {digest} in the catalogue")
        for start in range(0, len(found.data), PIECE):
            yield found.data[start : start + PIECE]

    async def sweep(self) -> int:
        """Remove what has expired, and pieces of uploads that nobody goes on with; see the port."""
        freed, moment = 0, now()
        for record in await self.list():
            over = record.expires_at is not None and record.expires_at <= moment
            if over and (record.node == self.node or record.imported):
                freed += await self.remove(record.key)
            elif record.node == self.node:
                freed += await self._drop_beyond(record)
        before = moment - int(self.keeping.abandoned_s * 1e9)
        for key, found in list(self._objects.items()):
            if key not in self._records and found.stored_at <= before:
                freed += self._drop(key)
        named = {record.image_digest for record in await self.list()}
        for digest, found in list(self.images.items()):
            if digest not in named and found.stored_at <= before:
                freed += len(self.images.pop(digest).data)
        for name, (stored, at) in list(self._pieces.items()):
            if at <= before:
                freed += len(stored)
                del self._pieces[name]
        return freed

    # -- inside

    async def _take(
        self, key: CheckpointKey, upload: str, archive: Archive, stored: bytearray, tell: Callable[[int], None]
    ) -> None:
        at, size = 0, len(stored)
        async for data in archive:
            known = min(len(data), max(0, size - at))
            if known and stored[at : at + known] != data[:known]:
                raise _AnotherArchive
            at += len(data)
            stored += data[known:]
            if self._breaks is not None and len(stored) >= self._breaks:
                del stored[self._breaks :]
                self._breaks = None
                raise CommandFailed("unavailable", "the catalogue does not answer")
            self._check_room(key)
            self._pieces[key, upload] = (stored, now())
            if len(data) > known:
                tell(len(stored))
        if at < size:
            raise _AnotherArchive
        if not stored:
            raise CommandFailed("invalid_argument", f"the archive of {key.token} is empty")

    def _check_room(self, key: CheckpointKey) -> None:
        if self.node is None or not self.keeping.max_bytes:
            return
        mine = sum(len(one.data) for where, one in self._objects.items() if where.node == self.node)
        mine += sum(len(stored) for (where, _), (stored, _) in self._pieces.items() if where.node == self.node)
        if mine > self.keeping.max_bytes:
            raise CommandFailed("exhausted", f"the archive of {key.token} does not fit: remove checkpoints")

    async def _drop_beyond(self, record: CheckpointRecord) -> int:
        if not self.keeping.most:
            return 0
        of = await self.list(node=record.node, namespace=record.namespace, container=record.container)
        own = [one for one in of if not one.imported]
        return sum([await self.remove(one.key) for one in own[: -self.keeping.most]])

    def _drop(self, key: CheckpointKey) -> int:
        found = self._objects.pop(key, None)
        return 0 if found is None else len(found.data)


def _taken(key: CheckpointKey) -> CommandFailed:
    return CommandFailed("already_exists", f"there is a checkpoint {key.token} already")


def _facts(found: _Object) -> ArchiveFacts:
    return ArchiveFacts(
        size=len(found.data),
        digest=found.digest,
        unpacked=0,
        compression="zstd" if found.data.startswith(ZSTD) else "none",
    )


def _checked(digest: str) -> str:
    if not re.match(r"^sha256:[0-9a-f]{64}(?!\n)$", digest):
        raise CommandFailed("invalid_argument", f"{digest!r} is no digest of an image")
    return digest
