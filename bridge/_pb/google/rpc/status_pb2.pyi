"""Package google.rpc.

Generated from google/rpc/status.proto by protos/generate.py: do not edit.
"""

import typing as _t
from collections.abc import Iterable as _Iterable
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from google.protobuf.internal import containers as _containers
from bridge._pb.google.protobuf import any_pb2 as _any_pb2

DESCRIPTOR: _descriptor.FileDescriptor

class Status(_message.Message):
    """An error as a value: why a plugin of containerd did not start."""
    DESCRIPTOR: _descriptor.Descriptor

    code: int  # a gRPC status code
    message: str
    @property
    def details(self) -> _containers.RepeatedCompositeFieldContainer[_any_pb2.Any]: ...
    def __init__(
        self,
        *,
        code: int | None = None,
        message: str | None = None,
        details: _Iterable[_any_pb2.Any] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["code", "message", "details"]) -> None: ...
