"""Package containerd.services.events.v1.

Generated from containerd/services/events.proto by protos/generate.py: do not edit.
"""

import typing as _t
from collections.abc import Iterable as _Iterable
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from google.protobuf.internal import containers as _containers
from bridge._pb import calls as _calls
from bridge._pb import rpc as _rpc
from bridge._pb.containerd import types_pb2 as _types_pb2
from bridge._pb.google.protobuf import any_pb2 as _any_pb2
from bridge._pb.google.protobuf import empty_pb2 as _empty_pb2

DESCRIPTOR: _descriptor.FileDescriptor

class PublishRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    topic: str
    @property
    def event(self) -> _any_pb2.Any: ...
    def __init__(
        self,
        *,
        topic: str | None = None,
        event: _any_pb2.Any | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["event"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["topic", "event"]) -> None: ...

class ForwardRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def envelope(self) -> _types_pb2.Envelope: ...
    def __init__(
        self,
        *,
        envelope: _types_pb2.Envelope | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["envelope"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["envelope"]) -> None: ...

class SubscribeRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def filters(self) -> _containers.RepeatedScalarFieldContainer[str]:
        """one must match; none means all"""
    def __init__(
        self,
        *,
        filters: _Iterable[str] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["filters"]) -> None: ...

class _Events(_rpc.Service):
    """The event exchange."""
    Publish: _rpc.Method[PublishRequest, _empty_pb2.Empty]
    Forward: _rpc.Method[ForwardRequest, _empty_pb2.Empty]
    Subscribe: _rpc.Method[SubscribeRequest, _types_pb2.Envelope]

Events: _Events

class EventsStub(_rpc.Stub):
    """Calls containerd.services.events.v1.Events on a `grpc.aio` channel."""

    Publish: _calls.UnaryUnary[PublishRequest, _empty_pb2.Empty]
    """Add an event of one's own, in the namespace of the call; containerd sets the time."""
    Forward: _calls.UnaryUnary[ForwardRequest, _empty_pb2.Empty]
    """Add a ready envelope; how a shim publishes."""
    Subscribe: _calls.UnaryStream[SubscribeRequest, _types_pb2.Envelope]
    """Everything from now on, of all namespaces unless filtered. There is no replay and no sequence, and the server
    queues without limit for a reader that lags. A bad filter ends the stream with UNKNOWN.
    """

class EventsBlockingStub(_rpc.Stub):
    """Calls containerd.services.events.v1.Events on a `grpc` channel."""

    Publish: _calls.BlockingUnaryUnary[PublishRequest, _empty_pb2.Empty]
    """Add an event of one's own, in the namespace of the call; containerd sets the time."""
    Forward: _calls.BlockingUnaryUnary[ForwardRequest, _empty_pb2.Empty]
    """Add a ready envelope; how a shim publishes."""
    Subscribe: _calls.BlockingUnaryStream[SubscribeRequest, _types_pb2.Envelope]
    """Everything from now on, of all namespaces unless filtered. There is no replay and no sequence, and the server
    queues without limit for a reader that lags. A bad filter ends the stream with UNKNOWN.
    """
