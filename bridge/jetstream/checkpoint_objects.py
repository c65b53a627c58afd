"""The object store of archives, object by object (ADR-20): what is said of one, and taking it away.

What stands there may have been written by anybody who may write there. What is said of an object is decoded strictly; its nuid is
followed only where it is made of plain tokens, and taken away only where it is one of the object's own, so that nobody has
somebody else's archive removed by naming it.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import aclosing
from typing import Annotated, Any, Final, NamedTuple

import msgspec
import nats.errors
from msgspec import Meta, Struct

from bridge.errors import BadEnvelope, CommandFailed
from bridge.jetstream.api import api
from bridge.jetstream.checkpoint_buckets import chunk_subject, meta_subject, object_stream
from bridge.jetstream.connection import Connection
from bridge.jetstream.errors import CONFLICT, ApiError
from bridge.jetstream.keys import EXPECTED, WrongRevision
from bridge.jetstream.parser import Delivered
from bridge.jetstream.publisher import Reply
from bridge.jetstream.stored import ECHO, Last, each_of, last_of
from bridge.jetstream.streams import NO_STREAM
from bridge.model.checkpoints import CheckpointKey
from bridge.model.codec import decode_as, encode_any
from bridge.model.kinds import decoder
from bridge.model.nanos import Nanos, format_rfc3339, now, parse_rfc3339
from bridge.model.subjects import NONE, quote

__all__ = [
    "COMPRESSION",
    "KEY",
    "SHA256",
    "Chunking",
    "ObjectInfo",
    "Objects",
    "StandingObject",
    "is_image",
    "is_own",
    "image_object",
    "nuid_of",
    "nuid_of_image",
    "size_of",
]

COMPRESSION: Final = "Containerd-Bridge-Compression"
KEY: Final = "Containerd-Bridge-Key"

_IMAGE: Final = r"^image\.[0-9a-f]{64}(?!\n)$"
SHA256: Final = r"^sha256:[0-9a-f]{64}(?!\n)$"
_NUID: Final = r"^[A-Za-z0-9_=-]+(\.[A-Za-z0-9_=-]+)*(?!\n)$"
_DIGEST: Final = r"^(?i:SHA-256)=[A-Za-z0-9_-]{43}=?(?!\n)$"
_replies: Final = decoder(Reply)


class Chunking(Struct, frozen=True, kw_only=True):
    """How an object is cut."""

    max_chunk_size: Annotated[int, Meta(ge=0)] = 0


class ObjectInfo(Struct, frozen=True, kw_only=True):
    """What is said of an object, in ADR-20's names."""

    name: str
    bucket: str = ""
    nuid: Annotated[str, Meta(pattern=_NUID)] = "none"
    size: Annotated[int, Meta(ge=0)] = 0
    chunks: Annotated[int, Meta(ge=0)] = 0
    digest: Annotated[str, Meta(pattern=_DIGEST)] | None = None
    mtime: str = ""
    deleted: bool = False
    headers: dict[str, list[str]] | None = None
    options: Chunking | None = None

    @property
    def sha256(self) -> str:
        """Its digest as we write it: `sha256:` and hex digits; empty where nothing is said of it."""
        if self.digest is None:
            return ""
        raw = msgspec.convert(self.digest.partition("=")[2].rstrip("=").translate(_PLAIN_64) + "=", bytes)
        return f"sha256:{raw.hex()}"

    @property
    def key(self) -> str:
        """Fingerprint of the key that it is encrypted with, empty where it is not."""
        return self.header(KEY)

    def header(self, name: str) -> str:
        """Return the first value of a header, empty where there is none."""
        return next(iter((self.headers or {}).get(name, ())), "")


_PLAIN_64: Final = str.maketrans("-_", "+/")


class StandingObject(NamedTuple):
    """What is said of an object, and where and since when that stands."""

    info: ObjectInfo
    revision: int
    stored_at: Nanos


def nuid_of(key: CheckpointKey, upload: str) -> str:
    """Return under which nuid an upload of an archive stands: always the same one, so that it is found again."""
    place = ".".join(quote(part) for part in key[:3])
    return f"{place}.{hashlib.sha256(f'{key.token}/{upload}'.encode()).hexdigest()[:32]}"


def image_object(digest: str) -> str:
    """Return the name of the object with an image's archive.

    Raises:
        CommandFailed: it is no digest.
    """
    if not re.match(SHA256, digest):
        raise CommandFailed(
            "invalid_argument", f"{digest!r} is no digest of an image: sha256: and 64 hex digits are one"
        )
    return f"image.{digest.partition(':')[2]}"


def is_image(name: str) -> bool:
    """Tell whether an object is an image's archive; no checkpoint's is called so, that has four parts."""
    return re.match(_IMAGE, name) is not None


def nuid_of_image(node: str, digest: str, upload: str) -> str:
    """Return under which nuid an upload of an image's archive stands: that of its node, and of no container."""
    return f"{quote(node)}.{NONE}.{NONE}.{hashlib.sha256(f'{digest}/{upload}'.encode()).hexdigest()[:32]}"


class Objects:
    """The objects of one store."""

    def __init__(self, connection: Connection, bucket: str, *, filtered: bool = False) -> None:
        """Take where they are; `filtered` for who may not read all of the store."""
        self.connection: Final = connection
        self.bucket: Final = bucket
        self.stream: Final = object_stream(bucket)
        self._filtered = filtered

    async def find(self, name: str) -> StandingObject | None:
        """Return what is said of an object, None where there is none.

        Raises:
            CommandFailed: what stands there says nothing of an object.
            ApiError: JetStream refuses.
            nats.errors.Error: no answer.
        """
        try:
            last = await self.last(meta_subject(self.bucket, name))
        except ApiError as error:
            if error.err_code == NO_STREAM:
                return None
            raise
        if last is None:
            return None
        try:
            found = _standing(last)
        except BadEnvelope as error:
            raise CommandFailed(
                "failed_precondition", f"what stands for object {name} in {self.bucket} describes none: {error}"
            ) from error
        return None if found.info.deleted or found.info.name != name else found

    async def last(self, subject: str) -> Last | None:
        """Return the last message under one of the store's subjects; raises as `last_of` does."""
        return await last_of(self.connection, self.stream, subject, filtered=self._filtered)

    async def all(self) -> list[StandingObject]:
        """Return what is said of every object; what describes none is left out."""
        found = []
        async with aclosing(each_of(self.connection, self.stream, f"$O.{self.bucket}.M.>")) as messages:
            async for message, place in messages:
                last = Last(message.data, message.headers, place.stream_sequence, Nanos(place.stored_at))
                try:
                    standing = _standing(last)
                except BadEnvelope:
                    continue
                if not standing.info.deleted and message.subject == meta_subject(self.bucket, standing.info.name):
                    found.append(standing)
        return found

    async def write(self, info: ObjectInfo, *, expected: int) -> None:
        """Say something of an object, where what was said of it stands at `expected`, 0 for nothing.

        Raises:
            WrongRevision: it does not.
            ApiError: JetStream refuses.
            nats.errors.Error: no answer; it is open whether it was written.
        """
        body = encode_any(msgspec.structs.replace(info, bucket=self.bucket, mtime=format_rfc3339(now())))
        headers = {"Nats-Rollup": "sub", EXPECTED: str(expected)}
        answer = await self.connection.request(meta_subject(self.bucket, info.name), body, headers=headers)
        reply = _replies.decode(answer.data)
        if reply.error is not None:
            if reply.error.get("err_code") in CONFLICT:
                raise WrongRevision
            raise ApiError(reply.error)

    async def remove(self, standing: StandingObject) -> int:
        """Take away what is said of an object, and its pieces; what was said of it since stays. Return how large it was.

        Pieces that are not of the object's container stay too: whoever named them may have meant somebody else's.
        """
        subject = meta_subject(self.bucket, standing.info.name)
        if not await self._purge({"filter": subject, "seq": standing.revision + 1}):
            return 0  # something else has been said of it since, and perhaps of the same pieces
        await self.purge_own(standing.info)
        return standing.info.size

    async def purge_own(self, info: ObjectInfo) -> None:
        """Take away the pieces of an object, as far as they are its own."""
        if is_own(info):
            await self.purge(info.nuid)

    async def purge(self, nuid: str) -> int:
        """Take pieces away; return how many there were."""
        assert re.match(_NUID, nuid)
        return await self._purge({"filter": chunk_subject(self.bucket, nuid)})

    async def count(self, nuid: str) -> int:
        """Return how many pieces there are."""
        subject = chunk_subject(self.bucket, nuid)
        info = await api(self.connection, f"STREAM.INFO.{self.stream}", {"subjects_filter": subject})
        return int((info["state"].get("subjects") or {}).get(subject, 0))

    async def size(self, nuid: str) -> int:
        """Return how many bytes the pieces have together."""
        subject = chunk_subject(self.bucket, nuid)
        total = 0
        async with aclosing(each_of(self.connection, self.stream, subject, headers_only=True)) as messages:
            async for message, _ in messages:
                total += size_of(message)
        return total

    async def uploads(self) -> dict[str, Nanos]:
        """Return the nuids that pieces stand under, and since when the last one of each does."""
        found = {}
        subject = chunk_subject(self.bucket, "")
        async with aclosing(
            each_of(self.connection, self.stream, f"{subject}>", headers_only=True, last_per_subject=True)
        ) as messages:
            async for message, place in messages:
                found[message.subject.removeprefix(subject)] = Nanos(place.stored_at)
        return {nuid: at for nuid, at in found.items() if re.match(_NUID, nuid)}

    async def time(self) -> Nanos:
        """Return the time by the clock that the pieces are stamped with, or by ours where the server does not tell it."""
        info = await api(self.connection, f"STREAM.INFO.{self.stream}")
        return parse_rfc3339(info["ts"]) if info.get("ts") else now()

    async def _purge(self, request: dict[str, Any]) -> int:
        return int((await api(self.connection, f"STREAM.PURGE.{self.stream}", request)).get("purged") or 0)


def size_of(message: Delivered) -> int:
    """Return the size of a message of which the headers alone came.

    Raises:
        nats.errors.Error: they do not tell it.
    """
    try:
        return int(message.headers["Nats-Msg-Size"])
    except (KeyError, ValueError) as error:
        raise nats.errors.Error("nats: a message without its size") from error


def is_own(info: ObjectInfo) -> bool:
    """Tell whether the pieces that an object names are its own: of its container, or of an image for an image."""
    place = info.nuid.split(".")[:-1]
    if is_image(info.name):
        return place[1:] == [NONE, NONE]
    return place == info.name.split(".")[:-1]


def _standing(last: Last) -> StandingObject:
    if ECHO in last.headers:
        raise BadEnvelope("nats-server wrote it, as the answer to somebody's question", data=last.data)
    return StandingObject(decode_as(last.data, ObjectInfo), last.sequence, last.stored_at)
