"""What containers are, for events that do not say it themselves: containerd is asked, and not waited for.

It runs on the way of every event to the log, so it has a quarter of a second for all that it is asked at once, and what it
does not learn in that time is left out. An event without its container's labels is worth more than one that came late.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import grpc

from bridge._pb.containerd.services.containers_pb2 import Containers, GetContainerRequest
from bridge.containerd.channel import blocking_channel, in_namespace
from bridge.containerd.records import container_info
from bridge.model.outcomes import ContainerInfo

__all__ = ["ContainerdLookup"]

log = logging.getLogger(__name__)

WITHIN_S: Final = 0.25


class ContainerdLookup:
    """Implements `bridge.ports.ContainerLookup`. Its connection is made when it is first needed, and closed with it."""

    def __init__(self, address: Path) -> None:
        """Take containerd's gRPC socket."""
        self._address = address
        self._channel: Any = None
        self._get: Any = None

    def __enter__(self) -> Self:
        self._channel = blocking_channel(self._address)
        self._get = Containers.Get.bind(self._channel)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._channel.close()

    def describe(self, containers: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], ContainerInfo]:
        """Return the records of these (namespace, container), as far as they come in time. Never raises."""
        try:
            return self._describe(containers)
        except Exception:
            log.exception("containerd could not be asked about %d containers", len(containers))
            return {}

    def _describe(self, containers: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], ContainerInfo]:
        deadline = time.monotonic() + WITHIN_S
        calls: dict[tuple[str, str], Any] = {}
        for namespace, container in containers:
            left = _left(deadline)
            if left < WITHIN_S / 2:
                break  # so many that asking alone takes too long; the rest of the time is for the answers
            calls[namespace, container] = self._get.future(
                GetContainerRequest(id=container), metadata=in_namespace(namespace), timeout=left
            )
        known: dict[tuple[str, str], ContainerInfo] = {}
        for key, call in calls.items():
            left = _left(deadline)
            if not left and not call.done():
                continue  # and not cancelled, which would take its time too: each call has the same deadline
            try:
                known[key] = container_info(key[0], call.result(left).container)
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.NOT_FOUND:
                    log.debug("nothing is known about %s/%s: %s", *key, error.details())
            except grpc.FutureTimeoutError:
                continue
        return known


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())
