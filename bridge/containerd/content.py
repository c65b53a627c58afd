"""containerd's content store: blobs by their digest.

What is read is held against its digest, and so is what is written. Nothing is ever deleted here: a blob may belong to
several images, and only containerd's garbage collector knows.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from typing import Any, Final, NamedTuple

import grpc
import grpc.aio

from bridge._pb.containerd.services import content_pb2, leases_pb2
from bridge._pb.google.protobuf.field_mask_pb2 import FieldMask
from bridge.containerd.channel import in_namespace
from bridge.containerd.deadlines import LOOK_S, UNPACK_S
from bridge.containerd.errors import command_errors, look_errors
from bridge.errors import CommandFailed

__all__ = ["Content", "Written", "is_digest"]

CHUNK: Final = 1 << 20
"""Bytes in one message; a quarter of what a server takes that has been told to take little."""

_HEX: Final = frozenset("0123456789abcdef")


class Written(NamedTuple):
    """A blob that is in the store now."""

    digest: str
    size: int


def is_digest(text: str) -> bool:
    """Tell whether `text` is a sha256 digest, the only kind that images have."""
    algorithm, _, digits = text.partition(":")
    return algorithm == "sha256" and len(digits) == 64 and set(digits) <= _HEX


class Content:
    """The content store of one containerd."""

    def __init__(self, channel: Any) -> None:
        self._content = content_pb2.ContentStub(channel)
        self._leases = leases_pb2.LeasesStub(channel)

    async def size(self, namespace: str, digest: str) -> int | None:
        """Return how many bytes a blob has, None where it is not there."""
        with look_errors(f"look at content {digest} in {namespace}"):
            try:
                request = content_pb2.InfoRequest(digest=digest)
                answer = await self._content.Info(request, timeout=LOOK_S, metadata=in_namespace(namespace))
            except grpc.RpcError as error:
                if error.code() in {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT}:
                    return None
                raise
        return answer.info.size

    async def read(self, namespace: str, digest: str, *, most: int) -> bytes:
        """Return a small blob whole.

        Raises:
            CommandFailed: `not_found`; `failed_precondition` where it is longer than `most` or not what its digest says.
        """
        size = await self.size(namespace, digest) if is_digest(digest) else None
        if size is None:
            raise CommandFailed("not_found", f"content {digest} is not in {namespace}")
        if size > most:
            raise CommandFailed("failed_precondition", f"content {digest} has {size} bytes, {most} at most are read")
        data = bytearray()
        if size:
            with look_errors(f"read content {digest} in {namespace}"):
                request = content_pb2.ReadContentRequest(digest=digest)
                async for part in self._content.Read(request, timeout=LOOK_S, metadata=in_namespace(namespace)):
                    data += part.data
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            raise CommandFailed("failed_precondition", f"content {digest} is damaged: its bytes have another digest")
        return bytes(data)

    async def stream(self, namespace: str, digest: str, *, size: int) -> AsyncIterator[bytes]:
        """Return the bytes of a blob of any size, piece by piece; it ends with an error if they are not what its digest says.

        Raises:
            CommandFailed: `not_found`; `failed_precondition` where it is damaged, or not of this size.
        """
        if not is_digest(digest) or await self.size(namespace, digest) is None:
            raise CommandFailed("not_found", f"content {digest} is not in {namespace}")
        total, read = hashlib.sha256(), 0
        if size:
            with look_errors(f"read content {digest} in {namespace}"):
                request = content_pb2.ReadContentRequest(digest=digest)
                call = self._content.Read(request, timeout=UNPACK_S, metadata=in_namespace(namespace))
                try:
                    async for part in call:
                        total.update(part.data)
                        read += len(part.data)
                        yield part.data
                finally:
                    call.cancel()
        if read != size or f"sha256:{total.hexdigest()}" != digest:
            raise CommandFailed(
                "failed_precondition", f"content {digest} is damaged: {read} bytes of {size}, or of another digest"
            )

    async def label(self, namespace: str, digest: str, labels: Mapping[str, str]) -> None:
        """Give a blob these labels beside its others."""
        if not labels:
            return
        mask = FieldMask(paths=[f"labels.{key}" for key in labels])
        request = content_pb2.UpdateRequest(info=content_pb2.Info(digest=digest, labels=labels), update_mask=mask)
        with command_errors(f"label content {digest} in {namespace}"):
            await self._content.Update(request, timeout=LOOK_S, metadata=in_namespace(namespace))

    async def write(
        self,
        namespace: str,
        ref: str,
        data: AsyncIterable[bytes],
        *,
        lease: str,
        expected: str = "",
        labels: Mapping[str, str] | None = None,
    ) -> Written:
        """Store a blob under its digest; one that is there already is as good, and is labelled too.

        Args:
            namespace: where.
            ref: the upload's name, which nobody else uses.
            data: its bytes.
            lease: what holds it until something else refers to it.
            expected: the digest that it has to have; empty for whatever it has.
            labels: beside those that it may have already.

        Raises:
            CommandFailed: `invalid_argument` where its bytes have another digest than the expected one.
        """
        total = hashlib.sha256()
        size = 0
        there = False

        async def measured() -> AsyncIterator[bytes]:
            nonlocal size
            async for part in data:
                total.update(part)
                size += len(part)
                for start in range(0, len(part), CHUNK):
                    yield part[start : start + CHUNK]

        pieces = measured()
        with command_errors(f"store {expected or ref} in {namespace}"):
            try:
                await self._upload(namespace, ref, pieces, lease=lease, expected=expected, labels=labels or {})
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
                    raise
                async for _ in pieces:  # the digest is what it is only at the end
                    pass
                there = True
        digest = f"sha256:{total.hexdigest()}"
        _compare(digest, expected)
        if there:
            await self._hold(namespace, digest, lease)
        await self.label(namespace, digest, labels or {})
        return Written(digest, size)

    async def write_whole(
        self, namespace: str, ref: str, data: bytes, *, lease: str, labels: Mapping[str, str] | None = None
    ) -> Written:
        """Store a small blob; see `write`."""

        async def once() -> AsyncIterator[bytes]:
            yield data

        return await self.write(namespace, ref, once(), lease=lease, labels=labels)

    async def _hold(self, namespace: str, digest: str, lease: str) -> None:
        """Put a blob that was there already under the lease, and see that it was not garbage that has gone meanwhile.

        containerd collects garbage in one piece: what is still there after this stays.
        """
        resource = leases_pb2.Resource(id=digest, type="content")
        with command_errors(f"hold {digest} in {namespace}"):
            request = leases_pb2.AddResourceRequest(id=lease, resource=resource)
            await self._leases.AddResource(request, timeout=LOOK_S, metadata=in_namespace(namespace))
        if await self.size(namespace, digest) is None:
            raise CommandFailed(
                "unavailable", f"content {digest} was garbage that went in this very moment: send the command again"
            )

    async def _upload(
        self,
        namespace: str,
        ref: str,
        pieces: AsyncIterator[bytes],
        *,
        lease: str,
        expected: str,
        labels: Mapping[str, str],
    ) -> None:
        call = self._content.Write(timeout=UNPACK_S, metadata=in_namespace(namespace, lease))
        try:
            # Every message is answered before the next one is sent. The first one takes hold of the name.
            await _exchange(call, content_pb2.WriteContentRequest(action=content_pb2.STAT, ref=ref, expected=expected))
            offset = 0
            digest = hashlib.sha256()
            async for piece in pieces:
                digest.update(piece)
                # Offset 0 begins anew what an upload of this name had left.
                await _exchange(
                    call, content_pb2.WriteContentRequest(action=content_pb2.WRITE, offset=offset, data=piece)
                )
                offset += len(piece)
            _compare(f"sha256:{digest.hexdigest()}", expected)
            await _exchange(
                call,
                content_pb2.WriteContentRequest(
                    action=content_pb2.COMMIT,
                    offset=offset,
                    total=offset,
                    expected=f"sha256:{digest.hexdigest()}",
                    labels=labels,
                ),
            )
            await call.done_writing()
            while await call.read() is not grpc.aio.EOF:
                pass  # the last answer comes twice
        finally:
            call.cancel()


async def _exchange(call: Any, request: content_pb2.WriteContentRequest) -> None:
    try:
        await call.write(request)
        answered = await call.read()
    except (grpc.aio.UsageError, asyncio.InvalidStateError):  # the call has ended: its status says why
        answered = grpc.aio.EOF
    if answered is grpc.aio.EOF:
        raise grpc.aio.AioRpcError(
            await call.code(), await call.initial_metadata(), await call.trailing_metadata(), await call.details()
        )


def _compare(digest: str, expected: str) -> None:
    if expected and digest != expected:
        raise CommandFailed("invalid_argument", f"content that should be {expected} is {digest}: it is damaged")
