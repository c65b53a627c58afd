"""The standard health check of gRPC. containerd answers it for the empty service name.

Generated from containerd/services/health.proto by protos/generate.py: do not edit.
"""

from bridge._pb import pool as _pool
from bridge._pb import rpc as _rpc

DESCRIPTOR = _pool.define(
    globals(),
    # file containerd/services/health.proto
    b'\n containerd/services/health.proto\x12\x0egrpc'
    b'.health.v1b\x06proto3'
    # message HealthCheckRequest
    b'"%\n\x12HealthCheckRequest\x12\x0f\n\x07service\x18\x01 \x01(\t'
    # message HealthCheckResponse
    b'"\xa9\x01\n\x13HealthCheckResponse\x12A\n\x06status\x18\x01 \x01(\x0e'
    b'21.grpc.health.v1.HealthCheckResponse.Se'
    b'rvingStatus"O\n\rServingStatus\x12\x0b\n\x07UNKNOWN\x10'
    b'\x00\x12\x0b\n\x07SERVING\x10\x01\x12\x0f\n\x0bNOT_SERVING\x10\x02\x12\x13\n\x0fSERVI'
    b'CE_UNKNOWN\x10\x03'
    # service Health
    b'2\xae\x01\n\x06Health\x12P\n\x05Check\x12".grpc.health.v1.He'
    b'althCheckRequest\x1a#.grpc.health.v1.Health'
    b'CheckResponse\x12R\n\x05Watch\x12".grpc.health.v1.'
    b'HealthCheckRequest\x1a#.grpc.health.v1.Heal'
    b'thCheckResponse0\x01',
)

Health = _rpc.Service(DESCRIPTOR.services_by_name["Health"])


class HealthStub(_rpc.Stub):
    service = Health


class HealthBlockingStub(_rpc.Stub):
    service = Health
