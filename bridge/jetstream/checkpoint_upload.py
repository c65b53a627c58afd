"""Storing an archive in pieces: several under way, none stored twice or out of order, and taken up again where it was broken off.

Each piece names the one before it (`bridge.jetstream.chain`), so what a lost connection or a dead bridge had under way is stored
right behind, or not at all. What is said of the object comes last, so an object is whole when there is one. Of the archive there
are a few megabytes in memory at a time, whatever its size.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import Final, NamedTuple

from bridge.errors import CommandFailed, LogConflict, LogError, LogRefused, LogUnavailable
from bridge.jetstream.chain import Chain, Message
from bridge.jetstream.checkpoint_buckets import CHUNK, HEADERS, chunk_subject
from bridge.jetstream.checkpoint_cipher import CheckpointSecret, Sealing
from bridge.jetstream.checkpoint_objects import Objects
from bridge.jetstream.checkpoint_pieces import AnotherArchive, Piece, Reached, pieces, reached_by
from bridge.jetstream.errors import log_errors
from bridge.jetstream.pace import Pace
from bridge.ports import Archive

__all__ = ["Upload", "Uploaded"]

log = logging.getLogger(__name__)

PORTION: Final = 4 << 20
"""Bytes under way at once: enough that the server has work while its answers are on their way."""

PATIENCE_S: Final = 60.0
"""How long it may get nowhere. What is stored stays, so the same upload can be taken up later."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0


class Uploaded(NamedTuple):
    """What came of it, as stored; `sha256` in hex digits."""

    size: int
    chunks: int
    length: int
    sha256: str
    head: bytes
    """The first bytes of the archive itself."""


class Upload:
    """One upload."""

    def __init__(
        self,
        objects: Objects,
        chain: Chain,
        nuid: str,
        *,
        name: str,
        secret: CheckpointSecret | None,
        room: Callable[[int], None],
        tell: Callable[[int], None],
    ) -> None:
        """Take what is to be stored where.

        Args:
            objects: the store.
            chain: into its stream.
            nuid: under which the pieces stand.
            name: the object's.
            secret: what it is encrypted with.
            room: asked whether so many bytes of it may be stored; raises a `CommandFailed` if not.
            tell: takes how many bytes are stored.
        """
        self._objects = objects
        self._chain = chain
        self._nuid = nuid
        self._subject = chunk_subject(objects.bucket, nuid)
        self._name = name
        self._secret = secret
        self._room = room
        self._tell = tell
        self._pace = Pace(CHUNK)
        self._head = b""
        self._stuck: float | None = None

    async def run(self, archive: Callable[[], Archive]) -> Uploaded:
        """Store all of it; return what is to be said of the object.

        Raises:
            CommandFailed: of the archive, or of `room`; nothing of it is stored then.
            LogRefused: the store refuses; nothing of it is stored then.
            LogUnavailable: the store does not answer; what is stored stays.
        """
        most = min(CHUNK, self._objects.connection.client.max_payload - HEADERS)
        sequence, reached = await self._patiently()
        if reached is not None:
            why = await self._unfit(reached, most)
            if why:
                sequence, reached = await self._begin_anew(why), None
        try:
            try:
                return await self._from(archive, most, sequence, reached)
            except AnotherArchive:
                sequence = await self._begin_anew("the archive is another one than before")
                return await self._from(archive, most, sequence, None)
        except (CommandFailed, LogRefused):
            with suppress(LogError, CommandFailed), log_errors(self._objects.stream):  # else the sweep does it
                standing = await self._objects.find(self._name)
                if standing is None or standing.info.nuid != self._nuid:  # nobody else has stored the same meanwhile
                    await self._objects.purge(self._nuid)
            raise

    # -- inside

    async def _from(
        self, archive: Callable[[], Archive], most: int, sequence: int, reached: Reached | None
    ) -> Uploaded:
        length = most if reached is None else reached.length
        sealing = None if self._secret is None else Sealing(self._secret, self._name, length)
        self._tell(0 if reached is None else reached.offset)
        queue: asyncio.Queue[Piece | None] = asyncio.Queue(max(1, PORTION // length))

        async def read() -> None:
            source = archive()
            try:
                async with (
                    aclosing(self._headed(source)) as headed,
                    aclosing(pieces(headed, length, sealing, reached)) as made,
                ):
                    async for piece in made:
                        await queue.put(piece)
            finally:
                close = getattr(source, "aclose", None)
                if close is not None:
                    await close()
            await queue.put(None)

        reading = asyncio.create_task(read())
        try:
            return await self._send(queue, reading, sequence, reached)
        finally:
            reading.cancel()
            await asyncio.wait({reading})
            if not reading.cancelled():
                reading.exception()  # told already, or not what it failed with

    async def _headed(self, source: Archive) -> AsyncGenerator[bytes, None]:
        self._head = b""
        async for data in source:
            if len(self._head) < 8:
                self._head += bytes(data[:8])
            yield data

    async def _send(
        self, queue: asyncio.Queue[Piece | None], reading: asyncio.Task[None], sequence: int, reached: Reached | None
    ) -> Uploaded:
        waiting: deque[Piece] = deque()
        ended = False
        while True:
            size = sum(len(piece.data) for piece in waiting)
            while not ended and (not waiting or (size < PORTION and not queue.empty())):
                piece = await self._next(queue, reading)
                if piece is None:
                    ended = True
                else:
                    waiting.append(piece)
                    size += len(piece.data)
            if not waiting:
                break
            self._room(waiting[-1].reached.offset)
            before = reached
            sequence, reached = await self._store(waiting, sequence, reached)
            if reached is not None and reached is not before:
                self._tell(reached.offset)
        if reached is None:
            raise CommandFailed("invalid_argument", f"the archive of {self._name} is empty")
        return Uploaded(reached.offset, reached.number, reached.length, reached.sha256, self._head)

    async def _next(self, queue: asyncio.Queue[Piece | None], reading: asyncio.Task[None]) -> Piece | None:
        taking = asyncio.ensure_future(queue.get())
        try:
            await asyncio.wait({taking, reading}, return_when=asyncio.FIRST_COMPLETED)
            if not taking.done():
                await reading  # raises what reading failed with
            return await taking
        finally:
            taking.cancel()

    async def _store(self, waiting: deque[Piece], sequence: int, reached: Reached | None) -> tuple[int, Reached | None]:
        """Store the first of the pieces that wait, as many as go; return where the last one stands, and how far that is."""
        portion: list[Piece] = []
        size = 0
        for piece in waiting:
            if portion and size + len(piece.data) > min(self._pace.bytes, PORTION):
                break
            portion.append(piece)
            size += len(piece.data)
        attempt, began = secrets.token_hex(8), time.monotonic()
        messages = [Message(f"{attempt}.{one.reached.number}", one.reached.headers, one.data) for one in portion]
        try:
            places = await self._chain.publish(self._subject, messages, after=sequence)
        except (LogConflict, LogUnavailable) as error:
            self._pace = Pace(CHUNK)
            return await self._found(waiting, reached, error)
        if len(places) == len(portion):
            self._pace.took(time.monotonic() - began, full=2 * size > self._pace.bytes)
        else:  # others store archives too: what is under way behind a piece of theirs is sent in vain
            self._pace = Pace(CHUNK)
        self._stuck = None
        for _ in places:
            reached = waiting.popleft().reached
        return places[-1], reached

    async def _found(
        self, waiting: deque[Piece], reached: Reached | None, doubt: LogConflict | LogUnavailable
    ) -> tuple[int, Reached | None]:
        """Look how far it is after a doubt; what is stored does not wait any more."""
        sequence, found = await self._patiently()
        if found == reached:  # none of them
            if self._stuck is None:
                self._stuck = time.monotonic()
            if time.monotonic() - self._stuck > PATIENCE_S:
                raise LogUnavailable(f"the archive of {self._name} gets nowhere: {doubt}") from doubt
            await asyncio.sleep(FIRST_PAUSE_S)
            return sequence, reached
        if found not in [piece.reached for piece in waiting]:
            raise LogUnavailable(
                f"pieces of the archive of {self._name} that were stored are gone, or somebody else stores the same now"
            ) from doubt
        while waiting and waiting[0].reached.number <= found.number:
            waiting.popleft()
        self._stuck = None
        return sequence, found

    async def _patiently(self) -> tuple[int, Reached | None]:
        """Return where the last piece stands and how far that is, 0 and None where there is none; wait for the store."""
        until, pause = time.monotonic() + PATIENCE_S, FIRST_PAUSE_S
        while True:
            try:
                return await self._last()
            except LogUnavailable:
                if time.monotonic() > until:
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    async def _last(self) -> tuple[int, Reached | None]:
        with log_errors(self._objects.stream):
            last = await self._objects.last(self._subject)
            if last is None:
                return 0, None
        reached = reached_by(last.headers)
        if reached is None:
            return await self._begin_anew("what stands there is no piece of ours"), None
        return last.sequence, reached

    async def _unfit(self, reached: Reached, most: int) -> str:
        """Tell why what stands there cannot be gone on with, nothing where it can.

        The last piece knows how many there have to be. What was under way while somebody took the others away stands alone.
        """
        if reached.length > most:
            return "pieces are smaller now"
        with log_errors(self._objects.stream):
            there = await self._objects.count(self._nuid)
        return "" if there == reached.number else f"of {reached.number} pieces of it there are {there}"

    async def _begin_anew(self, why: str) -> int:
        log.warning("the archive of %s is stored anew: %s", self._name, why)
        with log_errors(self._objects.stream):
            await self._objects.purge(self._nuid)
        return 0
