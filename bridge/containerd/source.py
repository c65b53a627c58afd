"""Where container events come from: a containerd, by the path of its socket."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

from bridge._pb.containerd.services.version_pb2 import Version
from bridge._pb.google.protobuf.empty_pb2 import Empty
from bridge.containerd.channel import answer, blocking_channel
from bridge.containerd.errors import source_errors
from bridge.containerd.filters import event_filters
from bridge.containerd.subscription import FIRST_ANSWER_S, ContainerdSubscription
from bridge.ports import Deliver, RuntimeVersion, Subscription

__all__ = ["ContainerdSource"]

PROBE_TIMEOUT_S: Final = 5.0
"""A thousand times what a probe takes; a containerd that needs longer has lost the stream or is about to."""


class ContainerdSource:
    """Implements `bridge.ports.EventSource`. Holds no connection of its own: every subscription has one for itself."""

    def __init__(
        self, address: Path, namespaces: Sequence[str] = (), *, probe_timeout_s: float = PROBE_TIMEOUT_S
    ) -> None:
        """Take where containerd is and what to follow.

        Args:
            address: its gRPC socket.
            namespaces: whose events; empty for all.
            probe_timeout_s: seconds after which a probe that has not come back ends its subscription.

        Raises:
            ValueError: one of `namespaces` is no identifier.
        """
        self._address = address
        self._filters = event_filters(namespaces)
        self._probe_timeout_s = probe_timeout_s

    def subscribe(self, deliver: Deliver) -> AbstractAsyncContextManager[Subscription]:
        """Open a subscription. See `bridge.ports.EventSource`."""
        return ContainerdSubscription(self._address, self._filters, deliver, probe_timeout_s=self._probe_timeout_s)

    async def version(self) -> RuntimeVersion:
        """Return containerd's version.

        Raises:
            SourceLost: containerd cannot be reached.
        """
        channel = blocking_channel(self._address)
        try:
            with source_errors(self._address):
                said = await answer(Version.Version.bind(channel).future(Empty(), timeout=FIRST_ANSWER_S))
        finally:
            channel.close()
        return RuntimeVersion(said.version, said.revision)
