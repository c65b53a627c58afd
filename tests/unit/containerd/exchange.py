"""A gRPC server that does with its subscribers what a test says, bytes and all; everything else about it is real."""

import queue
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from bridge._pb.containerd import events_pb2 as pb
from bridge._pb.containerd.services.events_pb2 import Events, PublishRequest, SubscribeRequest
from bridge._pb.containerd.services.version_pb2 import Version, VersionResponse
from bridge._pb.containerd.types_pb2 import Envelope
from bridge._pb.google.protobuf.any_pb2 import Any as AnyMessage
from bridge._pb.google.protobuf.empty_pb2 import Empty
from bridge._pb.google.protobuf.timestamp_pb2 import Timestamp


def oom(container: str) -> bytes:
    """An envelope about a container."""
    event = AnyMessage(
        type_url="containerd.events.TaskOOM", value=pb.TaskOOM(container_id=container).SerializeToString()
    )
    at = Timestamp(seconds=1)
    return Envelope(timestamp=at, namespace="k8s.io", topic="/tasks/oom", event=event).SerializeToString()


class Exchange:
    """One subscriber at a time gets what is sent; a published event comes back unless it is to be lost."""

    def __init__(self) -> None:
        self.subscribed = threading.Event()
        self.left = threading.Event()
        """Set once a subscriber has gone."""
        self.filters: list[str] = []
        self.published: list[PublishRequest] = []
        self.lose = 0
        """How many of the next published events are lost."""
        self.refuse_publish: tuple[grpc.StatusCode, str] | None = None
        self.answers = threading.Event()
        """Cleared, nothing is answered."""
        self.answers.set()
        self._outgoing: queue.SimpleQueue[bytes | tuple[grpc.StatusCode, str] | None] = queue.SimpleQueue()

    def send(self, *wires: bytes) -> None:
        """Send messages to the subscriber."""
        for wire in wires:
            self._outgoing.put(wire)

    def find(self, namespace: str) -> None:
        """Send the event that was published last, and lost."""
        request = self.published[-1]
        self.send(Envelope(namespace=namespace, topic=request.topic, event=request.event).SerializeToString())

    def end(self, status: grpc.StatusCode | None = None, words: str = "") -> None:
        """End the stream: in good order, or with a status."""
        self._outgoing.put(None if status is None else (status, words))

    # -- the services, called by the names of the API

    def Version(self, _request: Empty, _context: Any) -> VersionResponse:  # noqa: N802
        self.answers.wait()
        return VersionResponse(version="1.2.3", revision="abc")

    def Publish(self, request: PublishRequest, context: Any) -> Empty:  # noqa: N802
        self.answers.wait()
        if self.refuse_publish is not None:
            context.abort(*self.refuse_publish)
        self.published.append(request)
        if self.lose > 0:
            self.lose -= 1
            return Empty()
        namespace = dict(context.invocation_metadata())["containerd-namespace"]
        envelope = Envelope(namespace=namespace, topic=request.topic, event=request.event)
        self.send(envelope.SerializeToString())
        return Empty()

    def Subscribe(self, request: SubscribeRequest, context: Any) -> Iterator[bytes]:  # noqa: N802
        self.filters = list(request.filters)
        self.subscribed.set()
        try:
            while context.is_active():
                try:
                    item = self._outgoing.get(timeout=0.02)
                except queue.Empty:
                    continue
                if item is None:
                    return
                if isinstance(item, tuple):
                    context.abort(*item)
                else:
                    yield item
        finally:
            self.left.set()

    @contextmanager
    def served(self, address: Path) -> Iterator["Exchange"]:
        """Serve on a socket."""
        server = grpc.server(ThreadPoolExecutor(8))
        server.add_generic_rpc_handlers((Events.handler(self), Version.handler(self)))
        server.add_insecure_port(f"unix://{address}")
        server.start()
        try:
            yield self
        finally:
            self.answers.set()
            server.stop(0).wait()
