"""containerd's own records of containers, as they are: for the parts of this room that make something else of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import grpc

from bridge._pb.containerd.services import containers_pb2, namespaces_pb2
from bridge.containerd.channel import in_namespace
from bridge.containerd.deadlines import LOOK_S
from bridge.containerd.errors import look_errors

__all__ = ["ContainerRecords"]


class ContainerRecords:
    """Reads records through one channel."""

    def __init__(self, channel: Any) -> None:
        self._containers = containers_pb2.ContainersStub(channel)
        self._namespaces = namespaces_pb2.NamespacesStub(channel)

    async def one(self, namespace: str, container: str) -> containers_pb2.Container:
        """Return one. `not_found` where there is none."""
        with look_errors(f"look at {container} in {namespace}"):
            request = containers_pb2.GetContainerRequest(id=container)
            answer = await self._containers.Get(request, timeout=LOOK_S, metadata=in_namespace(namespace))
        return answer.container

    async def all(self, namespace: str, filters: Sequence[str]) -> Sequence[containers_pb2.Container]:
        """Return those of a namespace that `filters`, containerd's own, let pass."""
        request = containers_pb2.ListContainersRequest(filters=filters)
        options: dict[str, Any] = {"timeout": LOOK_S, "metadata": in_namespace(namespace)}
        with look_errors(f"list the containers in {namespace}"):
            try:
                # One by one, because all together may be more than one message holds.
                stream = self._containers.ListStream(request, **options)
                return [message.container async for message in stream]
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                    raise
            return (await self._containers.List(request, **options)).containers

    async def labels(self, namespace: str) -> Mapping[str, str]:
        """Return a namespace's labels; one that is not there yet has none."""
        with look_errors(f"look at namespace {namespace}"):
            request = namespaces_pb2.GetNamespaceRequest(name=namespace)
            try:
                answer = await self._namespaces.Get(request, timeout=LOOK_S)
            except grpc.RpcError as error:
                if error.code() is grpc.StatusCode.NOT_FOUND:
                    return {}
                raise
        return dict(answer.namespace.labels)

    async def namespaces(self) -> Sequence[str]:
        """Return the names of the namespaces there are."""
        with look_errors("list the namespaces"):
            answer = await self._namespaces.List(namespaces_pb2.ListNamespacesRequest(), timeout=LOOK_S)
        return sorted(namespace.name for namespace in answer.namespaces)
