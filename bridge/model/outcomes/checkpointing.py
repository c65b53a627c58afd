"""What comes of checkpoints, restores and migrations."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from bridge.model.checkpoints import CheckpointRecord, Verdict
from bridge.model.outcomes.execution import ExecResult

__all__ = ["Checkpointed", "CheckpointRemoved", "Migrated", "Received", "Restored"]


class Checkpointed(Struct, frozen=True, kw_only=True):
    """Result of `checkpoint`.

    Attributes:
        verdict: what was found before; alone where only that was asked for (`check`).
        record: as it stands in the catalogue, or would.
        image: the image in containerd's store that it was put into, by name.
        path: the directory or file on the node's host that it was put into.
        already: whether an earlier command of the same id had made it.
    """

    verdict: Verdict
    record: CheckpointRecord | None = None
    image: str = ""
    path: str = ""
    already: bool = False


class CheckpointRemoved(Struct, frozen=True, kw_only=True):
    """Result of `checkpoint-remove`: the key, and how many bytes are free again."""

    checkpoint: str
    freed: int = 0


class Restored(Struct, frozen=True, kw_only=True):
    """Result of `restore`.

    Attributes:
        verdict: what was found before; alone where only that was asked for (`check`).
        container: its id; `pid` that of its task, never 0 for one that runs.
        checkpoint: what it was restored from.
        parent: the incarnation that the checkpoint was made of.
        image_brought: whether its image came out of the checkpoint's companion, because it was not there.
        process: its process, as `attach` tells of it, where its stdio is on the bus.
        already: whether an earlier command of the same id had restored it.
    """

    verdict: Verdict
    container: str = ""
    pid: int = 0
    checkpoint: str = ""
    parent: str | None = None
    image_brought: bool = False
    process: ExecResult | None = None
    already: bool = False


class Migrated(Struct, frozen=True, kw_only=True):
    """Result of `migrate`.

    Attributes:
        verdict: what was found on both nodes before.
        node: where it runs now, with `pid`.
        rounds: how often its memory was sent while it ran.
        sent: bytes that went over the bus, of which `sent_frozen` while it stood still.
        frozen_ns: for how long it stood still: from the pause at the source to the target's word that it runs.
        verified: what `verify` compared; empty where that was not asked for.
    """

    verdict: Verdict
    node: str = ""
    pid: int = 0
    rounds: int = 0
    sent: int = 0
    sent_frozen: int = 0
    frozen_ns: int = 0
    verified: list[str] = []


class Received(Struct, frozen=True, kw_only=True):
    """Result of `receive`, the target's part of a migration: how far it is."""

    stage: Literal["reserved", "prepared", "running", "abandoned"]
    verdict: Verdict
    pid: int = 0
    wants_image: bool = False
