"""Where container events come from: a containerd, by the path of its socket."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

import grpc

from bridge._pb.containerd.services.introspection_pb2 import Introspection
from bridge._pb.containerd.services.version_pb2 import Version
from bridge._pb.google.protobuf.empty_pb2 import Empty
from bridge.containerd.channel import answer, blocking_channel
from bridge.containerd.errors import source_errors
from bridge.containerd.filters import event_filters
from bridge.containerd.subscription import FIRST_ANSWER_S, ContainerdSubscription, Probed
from bridge.errors import SourceLost
from bridge.ports import Deliver, RuntimeVersion, Subscription

__all__ = ["ContainerdSource"]

PROBE_TIMEOUT_S: Final = 5.0
"""A thousand times what a probe takes; a containerd that needs longer has lost the stream or is about to."""


class ContainerdSource:
    """Implements `bridge.ports.EventSource`. Holds no connection of its own: every subscription has one for itself."""

    def __init__(
        self,
        address: Path,
        namespaces: Sequence[str] = (),
        *,
        probe_timeout_s: float = PROBE_TIMEOUT_S,
        probed: Probed | None = None,
    ) -> None:
        """Take where containerd is and what to follow.

        Args:
            address: its gRPC socket.
            namespaces: whose events; empty for all.
            probe_timeout_s: seconds after which a probe that has not come back ends its subscription.
            probed: told of every probe in its place among the events, from the thread that delivers them.

        Raises:
            ValueError: one of `namespaces` is no identifier.
        """
        self._address = address
        self._filters = event_filters(namespaces)
        self._probe_timeout_s = probe_timeout_s
        self._probed = probed

    def subscribe(self, deliver: Deliver) -> AbstractAsyncContextManager[Subscription]:
        """Open a subscription. See `bridge.ports.EventSource`."""
        return ContainerdSubscription(
            self._address, self._filters, deliver, probe_timeout_s=self._probe_timeout_s, probed=self._probed
        )

    async def version(self) -> RuntimeVersion:
        """Return containerd's version.

        Raises:
            SourceLost: containerd cannot be reached.
        """
        said = await self._ask(Version.Version)
        return RuntimeVersion(said.version, said.revision)

    async def instance(self) -> str | None:
        """Return what tells this run of containerd from every other one; None before late 1.6, or without that service.

        Raises:
            SourceLost: containerd cannot be reached.
        """
        try:
            said = await self._ask(Introspection.Server)
        except SourceLost as error:
            if isinstance(error.__cause__, grpc.RpcError) and error.__cause__.code() is grpc.StatusCode.UNIMPLEMENTED:
                return None
            raise
        # A daemon in a container may have the same number at every start, and then another namespace of its own.
        return f"{said.pid} in {said.pidns}" if said.pid else None

    async def _ask(self, method: Any) -> Any:
        channel = blocking_channel(self._address)
        try:
            with source_errors(self._address):
                return await answer(method.bind(channel).future(Empty(), timeout=FIRST_ANSWER_S))
        finally:
            channel.close()
