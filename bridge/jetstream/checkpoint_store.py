"""Putting archives into the object store: within the node's quota, and in the place of what stood there before only when whole.

What is said of an object is written where it stands as it stood when the upload began. Of two uploads of one name the first
that is whole is there in the end; the other one is told so, and its pieces go.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Final

from bridge.errors import CommandFailed
from bridge.jetstream.chain import Chain
from bridge.jetstream.checkpoint_cipher import CheckpointSecret
from bridge.jetstream.checkpoint_objects import COMPRESSION, KEY, Chunking, ObjectInfo, Objects, StandingObject
from bridge.jetstream.checkpoint_records import Records
from bridge.jetstream.checkpoint_upload import Upload, Uploaded
from bridge.jetstream.keys import WrongRevision
from bridge.ports import Archive

__all__ = ["ArchiveStore", "Overtaken"]

ZSTD: Final = b"\x28\xb5\x2f\xfd"


class Overtaken(Exception):
    """Another upload of that name was whole before this one. Of this one nothing is stored."""


class ArchiveStore:
    """The object store, written to."""

    def __init__(
        self,
        objects: Objects,
        records: Records,
        *,
        node: str | None,
        secret: CheckpointSecret | None,
        max_bytes: int,
    ) -> None:
        """Take where it is.

        Args:
            objects: what is in it.
            records: whose they are.
            node: whose quota it is; none for no quota.
            secret: what archives are encrypted with.
            max_bytes: the quota, 0 for none.
        """
        self._objects = objects
        self._records = records
        self._chain = Chain(objects.connection, objects.stream)
        self._node = node
        self._secret = secret
        self._max_bytes = max_bytes
        self.under_way: Final[dict[str, int]] = {}
        """Bytes of the uploads that are under way here, by nuid."""
        self.unnamed: Final[dict[str, int]] = {}
        """Bytes of the objects that were stored here and have no record yet, by name."""

    async def store(
        self,
        name: str,
        nuid: str,
        archive: Callable[[], Archive],
        *,
        tell: Callable[[int], None],
        before: StandingObject | None,
    ) -> ObjectInfo:
        """Store an archive, and return what is said of it.

        Args:
            name: of the object.
            nuid: of the upload; the same one goes on.
            archive: gives the bytes.
            tell: takes how many bytes are stored.
            before: what stands there, None for nothing; its pieces are the caller's to take away.

        Raises:
            Overtaken: something else stands there by now.
            CommandFailed, LogError: it is not stored.
        """
        room = await self._room(nuid)
        try:
            sent = await Upload(
                self._objects, self._chain, nuid, name=name, secret=self._secret, room=room, tell=tell
            ).run(archive)
            info = await self._say(name, nuid, sent, before)
            self.unnamed[name] = info.size
            return info
        finally:
            del self.under_way[nuid]

    async def _room(self, nuid: str) -> Callable[[int], None]:
        """Return what says whether so many bytes of an upload may be stored."""
        if nuid in self.under_way:
            raise CommandFailed("unavailable", "the same archive is being stored already: wait for that")
        self.under_way[nuid] = 0
        if self._node is None or not self._max_bytes:
            return lambda size: self.under_way.update({nuid: size})
        node, most = self._node, self._max_bytes
        try:
            # By records, which nobody else may write: anybody may say of an object that it is large.
            stored = sum(
                one.record.archive.size for one in await self._records.all(node, None, None) if not one.record.imported
            )
        except BaseException:
            del self.under_way[nuid]
            raise

        def room(size: int) -> None:
            self.under_way[nuid] = size
            if stored + sum(self.under_way.values()) + sum(self.unnamed.values()) > most:
                raise CommandFailed(
                    "exhausted",
                    f"the archive does not fit: of the {most} bytes that node {node} may have in the catalogue "
                    f"(checkpoints_quota) {stored} are taken: remove checkpoints (containerd-bridge checkpoint rm)",
                )

        return room

    async def _say(self, name: str, nuid: str, sent: Uploaded, before: StandingObject | None) -> ObjectInfo:
        there = await self._objects.count(nuid)
        if there != sent.chunks:
            raise CommandFailed("unavailable", f"of {sent.chunks} pieces of {name} there are {there}: try again")
        headers = {COMPRESSION: ["zstd" if sent.head.startswith(ZSTD) else "none"]}
        if self._secret is not None:
            headers[KEY] = [self._secret.fingerprint]
        info = ObjectInfo(
            name=name,
            nuid=nuid,
            size=sent.size,
            chunks=sent.chunks,
            digest=f"SHA-256={base64.urlsafe_b64encode(bytes.fromhex(sent.sha256)).decode()}",
            headers=headers,
            options=Chunking(max_chunk_size=sent.length),
        )
        try:
            await self._objects.write(info, expected=0 if before is None else before.revision)
        except WrongRevision:
            standing = await self._objects.find(name)
            if standing is None or standing.info.nuid != nuid:
                await self._objects.purge(nuid)
                raise Overtaken from None
        return info
