"""One subscription to containerd's events: a thread that reads, and probes that prove it live.

The thread does nothing but read, parse and deliver: what it does not take piles up in containerd's memory, without limit.
It reads the stream itself, as raw bytes (see `channel.blocking_channel`), and without a time-out, because in gRPC a read
that times out cancels the call. Whether a silent stream still lives is what probes are for.

A subscription says nothing when it begins: containerd answers with the first event and not before. So the first probe is
published over and over until one comes back; from then on the subscription is live, and one probe is enough.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

import grpc
from msgspec import structs

from bridge._pb.containerd.services.events_pb2 import Events, SubscribeRequest
from bridge._pb.containerd.services.version_pb2 import Version
from bridge._pb.google.protobuf.empty_pb2 import Empty
from bridge.containerd.channel import answer, blocking_channel, in_namespace
from bridge.containerd.envelope import read_envelope
from bridge.containerd.errors import source_errors, source_lost
from bridge.containerd.foreign_checkpoints import container_of
from bridge.containerd.normalize import normalize, unreadable
from bridge.containerd.probe import PROBE_NAMESPACE, PROBE_TOPIC, Nonces, name_of, probe_request
from bridge.errors import SourceLost
from bridge.model.events import TaskCheckpointed
from bridge.model.foreign_checkpoints import foreign_checkpoint, may_be_checkpoint
from bridge.model.nanos import now
from bridge.model.node_events import ImageCreate
from bridge.ports import Deliver, Observed

__all__ = ["ContainerdSubscription"]

log = logging.getLogger(__name__)

FIRST_ANSWER_S: Final = 5.0
"""How long containerd may take to answer at all."""

UNPROVEN_PAUSE_S: Final = 0.02
"""Between two probes of a subscription that is not live yet; on a running containerd that takes 5 to 10 ms."""

PATIENCE: Final = 12
"""How often a probe's time may begin anew. A stream that delivers events for a minute and no probe is not the one that was
asked for."""

LOOKING: Final = 64
"""Images that wait to be looked into. They come one by one, but for archives with many, which are no checkpoints."""

CLOSING_S: Final = 2.0
"""How long the thread may take to end once its channel is closed; it needs as long as the delivery of one event."""


class Probed(Protocol):
    """Takes a probe by its name."""

    def __call__(self, name: str, *, mine: bool) -> None:
        """`mine`: whether this subscription sent it."""
        ...


class ContainerdSubscription:
    """Implements `bridge.ports.Subscription`; inert until `async with`, which raises SourceLost if nobody answers."""

    def __init__(
        self,
        address: Path,
        filters: Sequence[str],
        deliver: Deliver,
        *,
        probe_timeout_s: float,
        probed: Probed | None = None,
    ) -> None:
        """Take what to subscribe to.

        Args:
            address: containerd's socket.
            filters: in containerd's grammar; one of them has to let probes pass.
            deliver: takes the events, from this subscription's thread.
            probe_timeout_s: seconds after which a probe that has not come back ends the subscription.
            probed: told of every probe, other bridges' too, in its place among the events and from the same thread.
        """
        self._probed = probed
        self._address = address
        self._filters = filters
        self._deliver = deliver
        self._probe_timeout_s = probe_timeout_s
        self._nonces = Nonces()
        # Nonce -> who waits for it, and when it was published (monotonic). The thread only looks at the keys.
        self._published: dict[bytes, tuple[asyncio.Future[int | None], int]] = {}
        self._waiting: set[asyncio.Future[int | None]] = set()
        self._live = False
        self._delivered = 0
        self._looking: set[asyncio.Task[None]] = set()
        self._one_by_one = asyncio.Lock()
        self._thread = threading.Thread(target=self._read, name="containerd-events", daemon=True)
        self._loop: asyncio.AbstractEventLoop
        self._over: asyncio.Future[SourceLost]
        self._channel: Any
        self._publish: Any
        self._stream: Any

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._over = self._loop.create_future()
        self._channel = blocking_channel(self._address)
        try:
            with source_errors(self._address):
                await answer(Version.Version.bind(self._channel).future(Empty(), timeout=FIRST_ANSWER_S))
            self._publish = Events.Publish.bind(self._channel)
            self._stream = Events.Subscribe.bind(self._channel, raw=True)(SubscribeRequest(filters=self._filters))
            self._thread.start()
        except BaseException:
            self._channel.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._end(SourceLost(f"the subscription was closed ({self._address})"))
        for looking in self._looking:
            looking.cancel()
        # Nothing is awaited here: whoever leaves the context may be under cancellation.
        self._thread.join(CLOSING_S)
        if self._thread.is_alive():
            log.error("the thread that reads containerd's events does not end: a delivery hangs")

    async def ended(self) -> SourceLost:
        """Wait until the subscription has ended and return why."""
        return await asyncio.shield(self._over)

    async def probe(self) -> int:
        """Prove the subscription live; return a probe's round trip in nanoseconds. See `bridge.ports.Subscription`.

        Raises:
            SourceLost: the subscription has ended, or does so now because the probe did not come back in time.
        """
        if self._over.done():
            raise SourceLost(str(self._over.result()))
        echo: asyncio.Future[int | None] = self._loop.create_future()
        self._waiting.add(echo)
        publishing = asyncio.create_task(self._publish_probes(echo))
        try:
            if not await self._comes_back(echo):
                after = f"a probe did not come back within {self._probe_timeout_s:g} s"
                self._end(SourceLost(f"containerd sends no events any more: {after} ({self._address})"))
            round_trip = echo.result() if echo.done() else None
        finally:
            publishing.cancel()
            self._waiting.discard(echo)
            for nonce in [nonce for nonce, (waiting, _) in self._published.items() if waiting is echo]:
                del self._published[nonce]
        if round_trip is None:
            raise SourceLost(str(self._over.result()))
        return round_trip

    async def _comes_back(self, echo: asyncio.Future[int | None]) -> bool:
        """Wait for a probe; tell whether it came back, or the subscription ended, in time.

        A probe queues behind events, and a stream that delivers them is alive: while it does, the time begins anew.
        """
        for _ in range(PATIENCE):
            delivered = self._delivered
            await asyncio.wait((echo,), timeout=self._probe_timeout_s)
            if echo.done():
                return True
            if self._delivered == delivered:
                break
        return False

    async def _publish_probes(self, echo: asyncio.Future[int | None]) -> None:
        try:
            while not echo.done():
                # Asked before: a probe that was published before the subscription became live never comes back.
                enough = self._live
                nonce = self._nonces.next()
                self._published[nonce] = (echo, time.monotonic_ns())
                await answer(
                    self._publish.future(
                        probe_request(nonce), metadata=in_namespace(PROBE_NAMESPACE), timeout=self._probe_timeout_s
                    )
                )
                if enough:
                    return
                await asyncio.sleep(UNPROVEN_PAUSE_S)
        except grpc.RpcError as error:
            self._end(source_lost(error, self._address))
        except Exception as error:
            log.exception("a probe could not be published")
            self._end(SourceLost(f"a probe could not be published: {error!r} ({self._address})"))

    def _came_back(self, nonce: bytes, at: int) -> None:
        self._live = True
        echo, published = self._published.pop(nonce, (None, 0))
        if echo is not None and not echo.done():
            echo.set_result(at - published)

    def _end(self, lost: SourceLost) -> None:
        """End the subscription for this reason, unless it has ended for another one before."""
        if not self._over.done():
            self._over.set_result(lost)
        for echo in self._waiting:
            if not echo.done():
                echo.set_result(None)
        # Cancelling the call would end it as well, but a call that is read by one thread alone never lets go of its
        # connection then: grpc drops what is left to be taken from its completion queue, and the queue with it.
        self._channel.close()

    # -- the thread

    def _read(self) -> None:
        try:
            for wire in self._stream:
                self._take(wire)
            lost = SourceLost(f"containerd ended the stream of events ({self._address})")
        except grpc.RpcError as error:
            lost = source_lost(error, self._address)
        except BaseException as error:  # whatever it is: a reader that died must not look like a quiet host
            log.exception("reading containerd's events failed unexpectedly")
            lost = SourceLost(f"reading containerd's events failed: {error!r} ({self._address})")
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(self._end, lost)

    def _take(self, wire: bytes) -> None:
        recorded = now()
        self._delivered += 1
        envelope = read_envelope(wire)
        if envelope is None:
            self._deliver(unreadable(wire, recorded))
        elif envelope.topic == PROBE_TOPIC and envelope.namespace == PROBE_NAMESPACE:
            if self._probed is not None:
                name = name_of(envelope.value)
                self._probed(name, mine=name.startswith(f"{self._nonces.mine}/"))
            if envelope.value in self._published:
                self._loop.call_soon_threadsafe(self._came_back, envelope.value, time.monotonic_ns())
        else:
            observed = normalize(envelope, recorded)
            self._deliver(observed)
            if may_be_checkpoint(observed.event):
                self._checkpointed(observed, foreign_checkpoint(observed.event))

    # -- checkpoints by others

    def _checkpointed(self, image: Observed, event: TaskCheckpointed | None) -> None:
        if event is not None:
            self._deliver(structs.replace(image, event=event, container=event.container_id))
        elif image.namespace is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._look_into, image)

    def _look_into(self, image: Observed) -> None:
        """Find out beside the stream whether an image is a checkpoint; what comes of it is delivered when it is known."""
        if self._over.done():
            return
        if len(self._looking) >= LOOKING:
            log.debug("image %s is not looked into: too many were made at once", image.event)
            return
        looking = asyncio.create_task(self._find_container(image))
        self._looking.add(looking)
        looking.add_done_callback(self._looking.discard)

    async def _find_container(self, image: Observed) -> None:
        assert isinstance(image.event, ImageCreate)
        assert image.namespace is not None
        async with self._one_by_one:
            container = await asyncio.to_thread(container_of, self._address, image.namespace, image.event.name)
        if container is not None and not self._over.done():
            event = TaskCheckpointed(container_id=container, checkpoint=image.event.name)
            self._deliver(structs.replace(image, event=event, container=container))
