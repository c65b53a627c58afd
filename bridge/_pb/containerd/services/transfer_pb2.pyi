"""Package containerd.services.transfer.v1.

Generated from containerd/services/transfer.proto by protos/generate.py: do not edit.
"""

import typing as _t
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from bridge._pb import calls as _calls
from bridge._pb import rpc as _rpc
from bridge._pb.google.protobuf import any_pb2 as _any_pb2
from bridge._pb.google.protobuf import empty_pb2 as _empty_pb2

DESCRIPTOR: _descriptor.FileDescriptor

class TransferRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def source(self) -> _any_pb2.Any:
        """an OCIRegistry, ImageStore, ... of transfer.proto, also below"""
    @property
    def destination(self) -> _any_pb2.Any: ...
    @property
    def options(self) -> TransferOptions: ...
    def __init__(
        self,
        *,
        source: _any_pb2.Any | None = None,
        destination: _any_pb2.Any | None = None,
        options: TransferOptions | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["source", "destination", "options"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["source", "destination", "options"]) -> None: ...

class TransferOptions(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    progress_stream: str  # id of a stream opened before; empty for no progress
    def __init__(
        self,
        *,
        progress_stream: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["progress_stream"]) -> None: ...

class _Transfer(_rpc.Service):
    """Since 1.7.0. Pulls, pushes, imports and exports that the server does by itself."""
    Transfer: _rpc.Method[TransferRequest, _empty_pb2.Empty]

Transfer: _Transfer

class TransferStub(_rpc.Stub):
    """Calls containerd.services.transfer.v1.Transfer on a `grpc.aio` channel."""

    Transfer: _calls.UnaryUnary[TransferRequest, _empty_pb2.Empty]
    """Answers when all is done; 1.6 says UNIMPLEMENTED."""

class TransferBlockingStub(_rpc.Stub):
    """Calls containerd.services.transfer.v1.Transfer on a `grpc` channel."""

    Transfer: _calls.BlockingUnaryUnary[TransferRequest, _empty_pb2.Empty]
    """Answers when all is done; 1.6 says UNIMPLEMENTED."""
