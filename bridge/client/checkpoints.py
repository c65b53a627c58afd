"""The catalogue of checkpoints, for who looks at it: listed, found by what people type, written to a file, and brought from one.

What is in an archive is the memory of processes: whoever can read one knows their secrets. So a file is made for its owner alone.
An archive that is brought from a file says itself what it is, so its record says `imported`; only a node's own `checkpoint` makes
a record that the catalogue vouches for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from bridge.checkpoints import Packing
from bridge.client.checkpoint_export import export
from bridge.client.checkpoint_import import Into, bring
from bridge.errors import CommandFailed
from bridge.jetstream.checkpoint_keys import read_keys
from bridge.model.checkpoints import CheckpointKey, CheckpointRecord
from bridge.ports.checkpoints import CheckpointCatalogue

__all__ = ["Checkpoints"]

Opened = Callable[[Path | None], CheckpointCatalogue]
"""Gives the catalogue; with the file of the key where archives are to be read or written."""


class Checkpoints:
    """The checkpoints of a bus. Made by `bridge.client.connect`. Everything raises `CommandFailed`."""

    def __init__(self, opened: Opened | None = None, *, key: Path | None = None) -> None:
        """Take where they are, and the file of the keys that archives are encrypted with."""
        self._opened = opened
        self._key = key

    def with_key(self, key: Path) -> Checkpoints:
        """Return the same checkpoints, read with the keys in this file."""
        return Checkpoints(self._opened, key=key)

    def fingerprints(self) -> Sequence[str]:
        """Return what the keys in that file are called in records (`archive.key`); nothing where there is no file.

        Raises:
            ConfigError: the file holds no keys.
        """
        return [] if self._key is None else [key.fingerprint for key in read_keys(self._key)]

    async def list(
        self, *, node: str | None = None, namespace: str | None = None, container: str | None = None
    ) -> Sequence[CheckpointRecord]:
        """Return the records, the oldest first."""
        return await self._catalogue().list(node=node, namespace=namespace, container=container)

    async def get(self, key: CheckpointKey) -> CheckpointRecord:
        """Return a record; `not_found` where there is none."""
        return await self._catalogue().get(key)

    async def find(
        self, name: str, *, node: str | None = None, namespace: str | None = None, container: str | None = None
    ) -> CheckpointRecord:
        """Return the checkpoint that is meant: by its key, by `CONTAINER/NAME`, or by a name that only one has.

        Raises:
            CommandFailed: there is none (`not_found`), or there are several (`invalid_argument`); the sentence names them.
        """
        of, _, last = name.rpartition("/")
        found = [
            record
            for record in await self.list(node=node, namespace=namespace, container=container)
            if record.key.token == name or (record.name == last and of in {"", record.container})
        ]
        whole = [record for record in found if record.key.token == name]
        match whole or found:
            case []:
                where = "".join(
                    f" of {what} {given}"
                    for what, given in (("container", container), ("namespace", namespace), ("node", node))
                    if given is not None
                )
                raise CommandFailed(
                    "not_found", f"there is no checkpoint {name}{where}: `containerd-bridge checkpoint ls` shows them"
                )
            case [record]:
                return record
            case several:
                choices = ", ".join(sorted(record.key.token for record in several))
                raise CommandFailed(
                    "invalid_argument", f"there are {len(several)} checkpoints {name}: say which, {choices}"
                )

    async def export(
        self,
        record: CheckpointRecord,
        file: Path | None,
        *,
        packing: Packing | None = None,
        tell: Callable[[int], None] = lambda _: None,
    ) -> int:
        """Write an archive to a file, or to standard output where there is none; return how many bytes.

        The file is there when it is whole, and only then; one that was there is replaced. Nobody but its owner can read it.

        Args:
            record: of which checkpoint.
            file: which file.
            packing: how it is to be compressed; as it is stored unless given.
            tell: takes how many bytes have been read from the catalogue.
        """
        return await export(self._catalogue(archives=True).load(record.key), file, packing, tell)

    async def bring(
        self, file: Path, into: Into | None = None, *, tell: Callable[[int], None] = lambda _: None
    ) -> CheckpointRecord:
        """Put an archive from a file into the catalogue; return its record, which is `imported`.

        All of it is looked at first, and refused where it is no checkpoint. What was broken off goes on when it is done again.

        Args:
            file: which file: what `export` wrote, or another program that makes such archives.
            into: what it is to be called; what it calls itself unless said.
            tell: takes how many bytes are stored.
        """
        return await bring(self._catalogue(archives=True), file, into or Into(), tell)

    def _catalogue(self, *, archives: bool = False) -> CheckpointCatalogue:
        if self._opened is None:
            raise CommandFailed("unimplemented", "this bus has no catalogue of checkpoints")
        return self._opened(self._key if archives else None)
