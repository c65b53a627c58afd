"""The standard health check of gRPC. containerd answers it for the empty service name.

Generated from containerd/services/health.proto by protos/generate.py: do not edit.
"""

import typing as _t
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from google.protobuf.internal import enum_type_wrapper as _enums
from bridge._pb import calls as _calls
from bridge._pb import rpc as _rpc

DESCRIPTOR: _descriptor.FileDescriptor

class HealthCheckRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    service: str  # empty: the whole server
    def __init__(
        self,
        *,
        service: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["service"]) -> None: ...

class HealthCheckResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    class _ServingStatus(_enums.EnumTypeWrapper):
        UNKNOWN: _t.Final = 0
        SERVING: _t.Final = 1
        NOT_SERVING: _t.Final = 2
        SERVICE_UNKNOWN: _t.Final = 3

    ServingStatus: _ServingStatus
    UNKNOWN: _t.Final = 0
    SERVING: _t.Final = 1
    NOT_SERVING: _t.Final = 2
    SERVICE_UNKNOWN: _t.Final = 3

    status: int  # ServingStatus
    def __init__(
        self,
        *,
        status: int | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["status"]) -> None: ...

class _Health(_rpc.Service):
    Check: _rpc.Method[HealthCheckRequest, HealthCheckResponse]
    Watch: _rpc.Method[HealthCheckRequest, HealthCheckResponse]

Health: _Health

class HealthStub(_rpc.Stub):
    """Calls grpc.health.v1.Health on a `grpc.aio` channel."""

    Check: _calls.UnaryUnary[HealthCheckRequest, HealthCheckResponse]
    Watch: _calls.UnaryStream[HealthCheckRequest, HealthCheckResponse]

class HealthBlockingStub(_rpc.Stub):
    """Calls grpc.health.v1.Health on a `grpc` channel."""

    Check: _calls.BlockingUnaryUnary[HealthCheckRequest, HealthCheckResponse]
    Watch: _calls.BlockingUnaryStream[HealthCheckRequest, HealthCheckResponse]
