"""The lease of a node in the bucket of nodes: taken, renewed and given back by compare-and-set on the key's revision.

Whether the holder still renews is judged by the revision, which we watch stand still for the length of the lease by our own
clock; two hosts' clocks are never compared. Only where the server itself says that nobody renewed for three times as long is
the lease taken without watching. What else `NodeLease` promises is done here:

- a renewal whose answer was lost is recognised by the holder's id that stands in the record;
- a bucket that went back after a power failure has an older revision than ours: then what stands there is the past, and is
  written over; two who both believe so meet in the compare-and-set, and one of them wins;
- whatever else is written to the key while one holds it is no lease, and is written over: a server answers requests wherever
  the sender wants the answer, so anybody in the account can have it write there;
- the clock counts suspended time too (CLOCK_BOOTTIME), so a laptop that was closed does not hold what lapsed meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final, NoReturn

import msgspec

from bridge.errors import BadEnvelope, ConfigError, LogConflict, LogRefused, LogUnavailable
from bridge.jetstream.connection import REQUEST_S, Connection
from bridge.jetstream.errors import NATS_ERRORS
from bridge.jetstream.keys import Key, Standing, WrongRevision
from bridge.model.codec import decode_as, encode_any
from bridge.model.nanos import now
from bridge.model.nodes import NodeRecord
from bridge.model.subjects import Subjects, quote

__all__ = ["JetStreamLease"]

log = logging.getLogger(__name__)

_RENEWALS: Final = 4
"""Renewals in the time that one holds."""

_MARGIN: Final = 0.1
"""Part of its time by which the holder stops earlier."""

_OLD: Final = 3.0
"""Times its length after which a lease has lapsed by the server's clock alone: servers of a cluster may differ by seconds."""

_LOOK_S: Final = 0.25
"""Between two looks at somebody else's lease, at the most."""

_RELEASE_S: Final = 0.5
"""Giving it back is among the last things at a stop, so little time is left (`bridge.watch.GRACE_S`). It lapses by itself too."""


class JetStreamLease:
    """Implements `bridge.ports.NodeLease`."""

    def __init__(
        self,
        connection: Connection,
        subjects: Subjects,
        record: NodeRecord,
        *,
        ended: Callable[[NodeRecord], bool] = lambda _record: False,
    ) -> None:
        """Take who we are.

        Args:
            connection: where the bucket is, see `ensure_buckets`.
            subjects: whose bucket.
            record: ours; its times are set here.
            ended: tells whether the holder of another record has provably ended.
        """
        self._connection = connection
        self._key = Key(connection, subjects.node_bucket, quote(record.node))
        self._ended = ended
        self._revision = 0
        self._until = 0.0
        self._renewing = asyncio.Lock()
        self._patience = min(REQUEST_S, max(0.5, record.lease_s / 2))  # a slow line's answer comes late, and counts
        self.record = record
        """What we write."""
        self.before: NodeRecord | None = None
        """Whose lease we took over; None where nobody had it."""
        self.lost: LogConflict | None = None
        """See `NodeLease.lost`."""

    @property
    def held(self) -> bool:
        """Whether we may write now; see `NodeLease.held`."""
        return self.lost is None and _seconds() < self._until

    def check(self) -> None:
        """Return if we may write now.

        Raises:
            LogConflict: never again.
            LogUnavailable: not until it is renewed.
        """
        if not self.held:
            raise self.lost or LogUnavailable(
                f"the lease of node {self.record.node} has run out and could not be renewed yet"
            )

    async def acquire(self) -> None:
        """Take the lease; see `NodeLease.acquire`.

        Raises:
            ConfigError: another bridge holds it.
            LogUnavailable: the bucket does not answer.
            LogRefused: there is no such bucket, or it may not be used.
        """
        self.record = msgspec.structs.replace(self.record, since=now())
        watched: Standing | None = None
        since = 0.0
        while True:
            looked = _seconds()
            standing = await self._key.get()
            if standing is None or standing.value is None:
                if await self._take(standing, None):
                    return
                continue
            holder = self._read(standing)
            lease_s = self.record.lease_s if holder is None else holder.lease_s
            if watched is None:
                watched, since = standing, _seconds()
                free = self._has_ended(holder) or await self._is_old(standing, lease_s)
                if not free:
                    log.info("node %s has %s: waiting for its sign of life", self.record.node, _named(holder))
            elif standing.revision != watched.revision:
                raise ConfigError(
                    f"node {self.record.node} has another bridge, {_named(holder)}: stop that one, or give this one another "
                    "--node"
                )
            else:
                free = looked - since > lease_s or self._has_ended(holder)
            if free and await self._take(standing, holder):
                return
            await asyncio.sleep(min(_LOOK_S, lease_s / 20))

    async def keep(self) -> NoReturn:
        """Renew it for ever; see `NodeLease.keep`.

        Raises:
            LogConflict: somebody else has it.
            LogRefused: the bucket is gone.
        """
        pause = usual = self.record.lease_s / _RENEWALS
        said = False
        while True:
            await asyncio.sleep(pause)
            try:
                await self._connection.linked()
                await self.renew()
            except (LogUnavailable, LogRefused, *NATS_ERRORS) as error:
                if isinstance(error, LogRefused) and not self.held:
                    raise  # not only for the moment in which a server starts
                pause = min(1.0, usual / 5)
                if not said and not self.held:
                    log.warning("the lease of node %s has run out: %s", self.record.node, error)
                    said = True
            else:
                pause = usual
                if said:
                    log.warning("the lease of node %s is renewed, nobody else had taken it", self.record.node)
                    said = False

    async def renew(self) -> None:
        """Renew it now; see `NodeLease.renew`.

        Raises:
            LogConflict: somebody else has it.
            LogUnavailable: the bucket does not answer.
            LogRefused: the bucket is gone, or may not be written.
        """
        async with self._renewing:
            if self.lost is not None:
                raise self.lost
            for _ in range(3):
                try:
                    await self._put(self._revision)
                except WrongRevision:
                    await self._look_again()
                except LogUnavailable:
                    await self._key.get()  # says so when the bucket itself is gone
                    raise
                else:
                    return
            raise LogUnavailable(f"the lease of node {self.record.node} is being written by somebody else")

    async def release(self) -> None:
        """Give it back; see `NodeLease.release`."""
        if not self._revision or self.lost is not None:
            return
        self._until = 0.0
        try:
            async with asyncio.timeout(_RELEASE_S), self._renewing:
                await self._key.remove(expected=self._revision, timeout=_RELEASE_S)
        except (LogUnavailable, LogRefused, WrongRevision, TimeoutError) as error:
            why = str(error) or f"no answer within {_RELEASE_S:g} s"
            log.warning("the lease of node %s could not be given back: %s", self.record.node, why)

    # -- inside

    async def _take(self, standing: Standing | None, holder: NodeRecord | None) -> bool:
        try:
            await self._put(0 if standing is None else standing.revision)
        except WrongRevision:
            return False  # somebody else did, or its holder renewed it
        self.before = holder
        if holder is not None:
            log.warning("took over node %s from %s", self.record.node, holder)
        return True

    async def _put(self, expected: int) -> None:
        asked = _seconds()
        self.record = msgspec.structs.replace(self.record, renewed=now())
        self._revision = await self._key.put(encode_any(self.record), expected=expected, timeout=self._patience)
        self._until = asked + self.record.lease_s * (1 - _MARGIN)

    async def _look_again(self) -> None:
        # Our revision is not what stands there: an answer of ours was lost, the bucket went back, or we are not the holder.
        standing = await self._key.get()
        if standing is None:
            log.warning("the record of node %s is gone from its bucket: writing it again", self.record.node)
            self._revision = 0
            return
        holder = None if standing.value is None else self._read(standing)
        if holder is not None and holder.holder == self.record.holder:
            self._revision = standing.revision
        elif standing.revision < self._revision:
            log.warning("the record of node %s went back to an older one: writing it again", self.record.node)
            self._revision = standing.revision
        elif standing.revision > self._revision and holder is None and standing.value is not None and self.held:
            # A bridge takes it only when it has lapsed, which this one has not: what stands there is no lease.
            log.warning(
                "something that is no record was written over that of node %s: writing it again", self.record.node
            )
            self._revision = standing.revision
        elif standing.revision > self._revision:
            self.lost = LogConflict(
                f"node {self.record.node} now has another bridge, {_named(holder)}: this one was cut off or suspended for "
                f"longer than its lease of {self.record.lease_s:g} s"
                if standing.value is not None
                else f"node {self.record.node} was taken from this bridge by another one, which has ended since"
            )
            raise self.lost

    def _has_ended(self, holder: NodeRecord | None) -> bool:
        return holder is not None and (holder.holder == self.record.holder or self._ended(holder))

    async def _is_old(self, standing: Standing, lease_s: float) -> bool:
        age = await self._key.age(standing)
        return age is not None and age > _OLD * lease_s

    def _read(self, standing: Standing) -> NodeRecord | None:
        assert standing.value is not None
        try:
            return decode_as(standing.value, NodeRecord)
        except BadEnvelope as error:
            log.warning("the record of node %s cannot be read: %s", self.record.node, error)
            return None


def _named(holder: NodeRecord | None) -> str:
    return "one of which nothing can be read" if holder is None else str(holder)


def _seconds() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
