"""What an archive says of itself, in JSON: the record for us, and a few files more for `checkpointctl` and its like.

`bridge.json` is the record without what depends on the archive itself or on the catalogue that it stands in. `spec.dump` is the
container's OCI spec; `checkpointctl` looks for the container's name in an annotation, so that one is added, and taken out again
by who reads.
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from bridge.checkpoints import layout
from bridge.checkpoints.layout import ARCHIVE, refusal, shown
from bridge.errors import BadEnvelope
from bridge.model.checkpoints import ArchiveFacts, CheckpointRecord, is_checkpoint_name
from bridge.model.codec import decode_as, encode_any, to_builtins
from bridge.model.commands.command import is_command_id
from bridge.model.identity import is_identifier
from bridge.model.nanos import Nanos, format_rfc3339

__all__ = ["Told", "described", "told"]

T = TypeVar("T")

FORMAT: Final = 1
"""Of `bridge.json`; a later one may be something that cannot be restored from here."""

NAMED: Final = "io.kubernetes.cri.container-name"
_DIGEST: Final = re.compile(r"sha(256|512):[0-9a-f]{64,128}", re.ASCII)
_LONGEST: Final = 4096
_WITHOUT: Final = ("archive", "imported", "expires_at")


class _Facts(Struct, frozen=True, kw_only=True):
    """`bridge.json`. `named` says that the annotation of the name is ours."""

    format: int
    named: bool
    record: dict[str, Any]


class Told(Struct, frozen=True, kw_only=True):
    """What an archive says of itself.

    Attributes:
        record: null where it is somebody else's archive.
        spec: the container's OCI spec.
        config: `config.dump`: id, name and image as other programs write them.
    """

    record: CheckpointRecord | None
    spec: dict[str, Any]
    config: dict[str, Any]


def described(record: CheckpointRecord, spec: bytes, container_created_at: Nanos | None) -> dict[str, bytes]:
    """Return the files that say what the checkpoint is, in their order.

    Raises:
        CommandFailed: `invalid_argument`: the spec is none.
    """
    tree = _json(spec, dict[str, Any], "the container's spec")
    annotations = tree.get("annotations") or {}
    named = isinstance(annotations, dict) and NAMED not in annotations
    if named:
        tree = tree | {"annotations": annotations | {NAMED: record.container}}
    facts = _Facts(
        format=FORMAT,
        named=named,
        record={key: value for key, value in to_builtins(record).items() if key not in _WITHOUT},
    )
    created = record.created_at if container_created_at is None else container_created_at
    config = {
        "id": record.container,
        "name": record.container,
        "rootfsImageRef": record.image_digest,
        "rootfsImageName": record.image,
        "runtime": record.runtime,
        "createdTime": format_rfc3339(created),
        "checkpointedTime": format_rfc3339(record.created_at),
        "restoredTime": "0001-01-01T00:00:00Z",
        "restored": False,
    }
    status = {"id": record.container, "status": record.status, "created": format_rfc3339(created)}
    containerd = {"CreatedAt": int(created), "StartedAt": int(created), "FinishedAt": 0, "ExitCode": 0, "Pid": 0}
    tables: dict[str, Any] = {
        layout.FACTS: facts,
        layout.CONFIG: config,
        layout.SPEC: tree,
        layout.STATUS: status,
        layout.CONTAINERD: containerd | {"Reason": "", "Message": ""},
    }
    return {name: msgspec.json.format(encode_any(table), indent=2) + b"\n" for name, table in tables.items()}


def told(tables: dict[str, bytes], archive: ArchiveFacts, *, what: str = ARCHIVE) -> Told:
    """Read the files that say what a checkpoint is; what the record says of its archive is `archive`.

    Raises:
        CommandFailed: `invalid_argument`: one is missing, or is not what it should be.
    """
    for needed in (layout.CONFIG, layout.SPEC):
        if needed not in tables:
            raise refusal(f"{what} has no {needed}, so it is no checkpoint of a container")
    if any(_json(tables.get(layout.DELETED, b"[]"), list[str], f"{layout.DELETED} in {what}")):
        # Others keep apart what the container has deleted of its image. In a layer of containerd's it is in the layer.
        raise refusal(f"{what} has files to delete in {layout.DELETED}, which is done by nobody here")
    for name in (layout.STATUS, layout.CONTAINERD, layout.NETWORK):
        if name in tables:
            _json(tables[name], dict[str, Any], f"{name} in {what}")
    config = _json(tables[layout.CONFIG], dict[str, Any], f"{layout.CONFIG} in {what}")
    spec = _json(tables[layout.SPEC], dict[str, Any], f"{layout.SPEC} in {what}")
    if layout.FACTS not in tables:
        return Told(record=None, spec=spec, config=config)
    facts = _json(tables[layout.FACTS], _Facts, f"{layout.FACTS} in {what}")
    if facts.format != FORMAT:
        raise refusal(f"{what} was written by another version: its format is {facts.format}, known is {FORMAT}")
    annotations = spec.get("annotations")
    if facts.named and isinstance(annotations, dict):
        annotations.pop(NAMED, None)
        if not annotations:
            del spec["annotations"]
    record = {key: value for key, value in facts.record.items() if key not in _WITHOUT}
    body = encode_any(record | {"archive": to_builtins(archive)})
    return Told(
        record=_checked(_json(body, CheckpointRecord, f"{layout.FACTS} in {what}"), what), spec=spec, config=config
    )


def _checked(record: CheckpointRecord, what: str) -> CheckpointRecord:
    """Refuse a record whose names cannot be names: they go into subjects, keys, paths and sentences."""
    for field, text, proper in (
        ("name", record.name, is_checkpoint_name(record.name)),
        ("node", record.node, is_identifier(record.node)),
        ("namespace", record.namespace, is_identifier(record.namespace)),
        ("container", record.container, is_identifier(record.container)),
        ("id", record.id, is_command_id(record.id)),
        ("image", record.image, record.image.isprintable()),
        ("image_digest", record.image_digest, not record.image_digest or _DIGEST.fullmatch(record.image_digest)),
        ("snapshotter", record.snapshotter, not record.snapshotter or is_identifier(record.snapshotter)),
        ("runtime", record.runtime, record.runtime.isprintable()),
        ("parent", record.parent, record.parent.isprintable()),
    ):
        if not proper or len(text) > _LONGEST:
            raise refusal(f"{what} has a record that cannot be a checkpoint's: {field!r} is {shown(text)}")
    return record


def _json(data: bytes, kind: type[T], name: str) -> T:
    try:
        return decode_as(data, kind)
    except BadEnvelope as error:
        raise refusal(f"{name} cannot be read: {shown(str(error))[1:-1]}") from error
