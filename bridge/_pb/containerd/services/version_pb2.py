"""Package containerd.services.version.v1.

Generated from containerd/services/version.proto by protos/generate.py: do not edit.
"""

from bridge._pb import pool as _pool
from bridge._pb import rpc as _rpc
from bridge._pb.google.protobuf import empty_pb2 as _empty_pb2

DESCRIPTOR = _pool.define(
    globals(),
    # file containerd/services/version.proto
    b'\n!containerd/services/version.proto\x12\x1econ'
    b'tainerd.services.version.v1\x1a\x1bgoogle/prot'
    b'obuf/empty.protob\x06proto3'
    # message VersionResponse
    b'"4\n\x0fVersionResponse\x12\x0f\n\x07version\x18\x01 \x01(\t\x12\x10\n\x08'
    b'revision\x18\x02 \x01(\t'
    # service Version
    b'2]\n\x07Version\x12R\n\x07Version\x12\x16.google.protobuf'
    b'.Empty\x1a/.containerd.services.version.v1.'
    b'VersionResponse',
)

Version = _rpc.Service(DESCRIPTOR.services_by_name["Version"])


class VersionStub(_rpc.Stub):
    service = Version


class VersionBlockingStub(_rpc.Stub):
    service = Version
