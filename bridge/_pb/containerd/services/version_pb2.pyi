"""Package containerd.services.version.v1.

Generated from containerd/services/version.proto by protos/generate.py: do not edit.
"""

import typing as _t
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from bridge._pb import calls as _calls
from bridge._pb import rpc as _rpc
from bridge._pb.google.protobuf import empty_pb2 as _empty_pb2

DESCRIPTOR: _descriptor.FileDescriptor

class VersionResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    version: str
    revision: str  # commit it was built from
    def __init__(
        self,
        *,
        version: str | None = None,
        revision: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["version", "revision"]) -> None: ...

class _Version(_rpc.Service):
    """Which containerd this is. Needs no namespace."""
    Version: _rpc.Method[_empty_pb2.Empty, VersionResponse]

Version: _Version

class VersionStub(_rpc.Stub):
    """Calls containerd.services.version.v1.Version on a `grpc.aio` channel."""

    Version: _calls.UnaryUnary[_empty_pb2.Empty, VersionResponse]

class VersionBlockingStub(_rpc.Stub):
    """Calls containerd.services.version.v1.Version on a `grpc` channel."""

    Version: _calls.BlockingUnaryUnary[_empty_pb2.Empty, VersionResponse]
