"""Package containerd.services.streaming.v1.

Generated from containerd/services/streaming.proto by protos/generate.py: do not edit.
"""

import typing as _t
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from bridge._pb import calls as _calls
from bridge._pb import rpc as _rpc
from bridge._pb.google.protobuf import any_pb2 as _any_pb2

DESCRIPTOR: _descriptor.FileDescriptor

class StreamInit(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    id: str  # unique in the namespace
    def __init__(
        self,
        *,
        id: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["id"]) -> None: ...

class _Streaming(_rpc.Service):
    """Since 1.7.0. Byte and message streams beside a Transfer call."""
    Stream: _rpc.Method[_any_pb2.Any, _any_pb2.Any]

Streaming: _Streaming

class StreamingStub(_rpc.Stub):
    """Calls containerd.services.streaming.v1.Streaming on a `grpc.aio` channel."""

    Stream: _calls.StreamStream[_any_pb2.Any, _any_pb2.Any]
    """StreamInit first; once the server has answered it with an Empty, the id may be used."""

class StreamingBlockingStub(_rpc.Stub):
    """Calls containerd.services.streaming.v1.Streaming on a `grpc` channel."""

    Stream: _calls.BlockingStreamStream[_any_pb2.Any, _any_pb2.Any]
    """StreamInit first; once the server has answered it with an Empty, the id may be used."""
