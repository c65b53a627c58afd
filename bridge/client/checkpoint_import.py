"""An archive of a file brought into the catalogue: looked at as a whole first, then stored, and its record made of what it says.

Nobody vouches for what a file says of itself, so its record is `imported`. The upload is called after the file's digest, so the
same file goes on where it was broken off.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from bridge.checkpoints import Told, survey
from bridge.errors import CommandFailed
from bridge.model.checkpoints import ArchiveFacts, CheckpointRecord, is_checkpoint_name
from bridge.model.identity import is_identifier
from bridge.model.nanos import Nanos, now, parse_rfc3339
from bridge.ports.checkpoints import CheckpointCatalogue

__all__ = ["Into", "bring"]

PIECE: Final = 1 << 20
ELSEWHERE: Final = "imported"
"""The node that an archive is filed under which does not name any."""

_SUFFIXES: Final = re.compile(r"(\.tar)?(\.(zst|zstd|gz))?$|\.tgz$")


class Into(Struct, frozen=True, kw_only=True):
    """What an archive is to be called in the catalogue; empty for what it calls itself."""

    node: str = ""
    namespace: str = ""
    container: str = ""
    name: str = ""


async def bring(
    catalogue: CheckpointCatalogue, file: Path, into: Into, tell: Callable[[int], None]
) -> CheckpointRecord:
    """Put an archive into the catalogue; see `Checkpoints.bring`."""
    if str(file) == "-":
        raise CommandFailed("invalid_argument", "an archive is read twice, which standard input cannot be: give a file")
    said, facts = await survey(_read(file), what=str(file))
    record = _record(said, facts, file, into)
    digests = [facts.digest]

    async def archive() -> AsyncGenerator[bytes, None]:
        digest = hashlib.sha256()
        async with aclosing(_read(file)) as pieces:
            async for piece in pieces:
                digest.update(piece)
                yield piece
        digests.append(f"sha256:{digest.hexdigest()}")

    stored = await catalogue.store(record.key, archive, upload=record.id, tell=tell)
    if digests[-1] != facts.digest:
        await catalogue.abandon(record.key, upload=record.id)
        raise CommandFailed("failed_precondition", f"{file} was changed while it was read: import it again")
    return await catalogue.put(replace(record, archive=replace(stored, unpacked=facts.unpacked)))


def _record(said: Told, facts: ArchiveFacts, file: Path, into: Into) -> CheckpointRecord:
    """Return the record of an archive, as far as it tells it itself."""
    own = said.record or _of_elsewhere(said.config, file)
    record = replace(
        own,
        id=f"import-{facts.digest.partition(':')[2][:32]}",
        node=into.node or own.node,
        namespace=into.namespace or own.namespace,
        container=into.container or own.container,
        name=into.name or own.name,
        archive=facts,
        imported=True,
        expires_at=None,
    )
    for option, text, proper in (
        ("--node", record.node, is_identifier(record.node)),
        ("--namespace", record.namespace, is_identifier(record.namespace)),
        ("--container", record.container, is_identifier(record.container)),
        ("--name", record.name, is_checkpoint_name(record.name)),
    ):
        if not proper:
            raise CommandFailed(
                "invalid_argument", f"{text!r} is no {option[2:]} of a checkpoint: give one with {option}"
            )
    return record


def _of_elsewhere(config: dict[str, Any], file: Path) -> CheckpointRecord:
    """Return what another program's archive says of the container, in `config.dump`."""

    def text(field: str) -> str:
        value = config.get(field)
        return value if isinstance(value, str) and len(value) <= 4096 and value.isprintable() else ""

    return CheckpointRecord(
        id="",
        node=ELSEWHERE,
        namespace="default",
        container=text("id"),
        name=_SUFFIXES.sub("", file.name)[:64],
        created_at=_time(text("checkpointedTime")),
        archive=ArchiveFacts(size=0, digest="", unpacked=0),
        image=text("rootfsImageName"),
        image_digest=text("rootfsImageRef") if re.fullmatch(r"sha256:[0-9a-f]{64}", text("rootfsImageRef")) else "",
        runtime="",
        status="",
    )


def _time(text: str) -> Nanos:
    try:
        return parse_rfc3339(text)
    except ValueError:
        return now()


async def _read(file: Path) -> AsyncGenerator[bytes, None]:
    try:
        opened = await asyncio.to_thread(file.open, "rb")
        with opened:
            while piece := await asyncio.to_thread(opened.read, PIECE):
                yield piece
    except OSError as error:
        raise CommandFailed("invalid_argument", f"{file} cannot be read: {error.strerror}") from error
