"""Reading an archive out of the store: in portions, in order, and never the end of it before its digest has been compared.

What is asked for at once is a few megabytes, whatever the archive's size; a lost connection is one more portion. An object that
is removed or replaced while it is read ends with an error, as one that is damaged does.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from bridge.errors import CommandFailed
from bridge.jetstream.checkpoint_buckets import chunk_subject
from bridge.jetstream.checkpoint_cipher import CheckpointSecret, Sealing
from bridge.jetstream.checkpoint_objects import ObjectInfo, Objects, size_of
from bridge.jetstream.stored import each_of

__all__ = ["read_archive"]


async def read_archive(
    objects: Objects, info: ObjectInfo, secrets: Sequence[CheckpointSecret], *, offset: int = 0
) -> AsyncGenerator[bytes, None]:
    """Iterate over the bytes of an archive, opened where it is encrypted, from `offset` on.

    Raises:
        CommandFailed: while it is read: damaged, gone, or there is no key for it.
        ApiError, nats.errors.Error: the store does not give it.
    """
    sealing = _sealing(info, secrets)
    room = 0 if sealing is None else sealing.room
    number = offset // room if room else 0
    after, stored = (0, 0) if not offset else await _start(objects, info, number if room else None, offset)
    skip = offset - (number * room if room else stored)
    digest, left = hashlib.sha256(), info.size - stored
    if left <= 0:
        return
    async with aclosing(
        each_of(objects.connection, objects.stream, chunk_subject(objects.bucket, info.nuid), after=after)
    ) as some:
        async for message, _ in some:
            data = message.data
            left -= len(data)
            digest.update(data)
            if left < 0 or (left == 0 and not offset and f"sha256:{digest.hexdigest()}" != info.sha256):
                raise CommandFailed(
                    "failed_precondition", f"the archive {info.name} is damaged: its digest is another one"
                )
            if sealing is not None:
                data = sealing.open(data, number=number, last=not left)
                number += 1
            if skip:
                data, skip = data[skip:], max(0, skip - len(data))
            if data:
                yield data
            if not left:
                return
    raise CommandFailed("unavailable", f"the archive {info.name} was removed or replaced while it was read")


def _sealing(info: ObjectInfo, secrets: Sequence[CheckpointSecret]) -> Sealing | None:
    if not info.key:
        return None
    secret = next((one for one in secrets if one.fingerprint == info.key), None)
    if secret is None:
        given = ", ".join(one.fingerprint for one in secrets)
        have = f"what is given is {given}" if secrets else "none is given"
        raise CommandFailed(
            "failed_precondition",
            f"the archive {info.name} is encrypted with the key {info.key}, and {have}: put it into the file of checkpoint_key",
        )
    length = 0 if info.options is None else info.options.max_chunk_size
    if length < 1024:
        raise CommandFailed("failed_precondition", f"the archive {info.name} does not say how it is cut: it is damaged")
    return Sealing(secret, info.name, length)


async def _start(objects: Objects, info: ObjectInfo, number: int | None, offset: int) -> tuple[int, int]:
    """Return behind which place of the stream to begin, and how many bytes stand before.

    For the piece with this number, else for the one that the byte at `offset` is in.
    """
    stored = count = after = 0
    subject = chunk_subject(objects.bucket, info.nuid)
    async with aclosing(each_of(objects.connection, objects.stream, subject, headers_only=True)) as some:
        async for message, place in some:
            size = size_of(message)
            if count == number or (number is None and stored + size > offset):
                break
            stored, count, after = stored + size, count + 1, place.stream_sequence
    return after, stored
