"""What containers are, for events that do not say it themselves: containerd is asked, and not waited for.

It runs on the way of every event to the log, so it has a quarter of a second for all that it is asked at once, and what it
does not learn in that time is left out. An event without its container's labels is worth more than one that came late.

About a few containers containerd is asked one by one. When many turn up at once that costs more than everything else that
happens to their events, so they are asked about in one question; containerd then looks through all its containers, and
where there are so many of them that this takes long, they are asked about one by one again for a while.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import grpc

from bridge._pb.containerd.services.containers_pb2 import (
    Container,
    Containers,
    GetContainerRequest,
    ListContainersRequest,
)
from bridge.containerd.channel import blocking_channel, in_namespace
from bridge.containerd.records import container_info
from bridge.model.identity import is_identifier
from bridge.model.outcomes import ContainerInfo

__all__ = ["ContainerdLookup"]

log = logging.getLogger(__name__)

WITHIN_S: Final = 0.25

MANY: Final = 16
"""Containers of a namespace from which on they are asked about in one question."""

AT_ONCE: Final = 256
"""Containers in one question at the most: containerd compares each of its own with all of them."""

TOO_LONG_S: Final = 0.1
"""An answer that takes longer says that containerd has too many containers to be asked so."""

ONE_BY_ONE_S: Final = 60.0
"""How long they are asked about one by one after that."""


class ContainerdLookup:
    """Implements `bridge.ports.ContainerLookup`. Its connection is made when it is first needed, and closed with it."""

    def __init__(self, address: Path) -> None:
        """Take containerd's gRPC socket."""
        self._address = address
        self._channel: Any = None
        self._get: Any = None
        self._list: Any = None
        self._one_by_one_until = 0.0

    def __enter__(self) -> Self:
        self._channel = blocking_channel(self._address)
        self._get = Containers.Get.bind(self._channel)
        self._list = Containers.List.bind(self._channel)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._channel.close()

    def describe(self, containers: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], ContainerInfo]:
        """Return the records of these (namespace, container), as far as they come in time. Never raises."""
        known: dict[tuple[str, str], ContainerInfo] = {}
        try:
            self._describe(containers, known)
        except Exception:
            log.exception("containerd could not be asked about %d containers", len(containers))
        return known

    def _describe(self, containers: Collection[tuple[str, str]], known: dict[tuple[str, str], ContainerInfo]) -> None:
        deadline = time.monotonic() + WITHIN_S
        namespaces: dict[str, list[str]] = {}
        for namespace, container in containers:
            if is_identifier(namespace) and is_identifier(container):
                namespaces.setdefault(namespace, []).append(container)
        for namespace, names in namespaces.items():
            many = len(names) >= MANY and time.monotonic() >= self._one_by_one_until
            records = self._together(namespace, names, deadline) if many else self._singly(namespace, names, deadline)
            for record in records:
                known[namespace, record.id] = container_info(namespace, record)

    def _together(self, namespace: str, names: Sequence[str], deadline: float) -> Iterator[Container]:
        for start in range(0, len(names), AT_ONCE):
            # Identifiers hold nothing that means something between quotes.
            request = ListContainersRequest(filters=[f'id=="{name}"' for name in names[start : start + AT_ONCE]])
            began = time.monotonic()
            try:
                answer = self._list(request, metadata=in_namespace(namespace), timeout=_left(deadline))
            except grpc.RpcError as error:
                # Too many, or, should that ever be, more than a message holds.
                self._one_by_one_until = time.monotonic() + ONE_BY_ONE_S
                log.debug("nothing is known about %d containers in %s: %s", len(names) - start, namespace, error)
                return
            if time.monotonic() - began > TOO_LONG_S:
                self._one_by_one_until = time.monotonic() + ONE_BY_ONE_S
            yield from answer.containers

    def _singly(self, namespace: str, names: Sequence[str], deadline: float) -> Iterator[Container]:
        calls: dict[str, Any] = {}
        for name in names:
            left = _left(deadline)
            if left < WITHIN_S / 2:
                break  # so many that asking alone takes too long; the rest of the time is for the answers
            request = GetContainerRequest(id=name)
            calls[name] = self._get.future(request, metadata=in_namespace(namespace), timeout=left)
        for name, call in calls.items():
            left = _left(deadline)
            if not left and not call.done():
                continue  # and not cancelled, which would take its time too: each call has the same deadline
            try:
                yield call.result(left).container
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.NOT_FOUND:
                    log.debug("nothing is known about %s/%s: %s", namespace, name, error.details())
            except grpc.FutureTimeoutError:
                continue


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())
