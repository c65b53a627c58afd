"""Package containerd.services.streaming.v1.

Generated from containerd/services/streaming.proto by protos/generate.py: do not edit.
"""

from bridge._pb import pool as _pool
from bridge._pb import rpc as _rpc
from bridge._pb.google.protobuf import any_pb2 as _any_pb2

DESCRIPTOR = _pool.define(
    globals(),
    # file containerd/services/streaming.proto
    b'\n#containerd/services/streaming.proto\x12 c'
    b'ontainerd.services.streaming.v1\x1a\x19google/'
    b'protobuf/any.protob\x06proto3'
    # message StreamInit
    b'"\x18\n\nStreamInit\x12\n\n\x02id\x18\x01 \x01(\t'
    # service Streaming
    b'2E\n\tStreaming\x128\n\x06Stream\x12\x14.google.protobu'
    b'f.Any\x1a\x14.google.protobuf.Any(\x010\x01',
)

Streaming = _rpc.Service(DESCRIPTOR.services_by_name["Streaming"])


class StreamingStub(_rpc.Stub):
    service = Streaming


class StreamingBlockingStub(_rpc.Stub):
    service = Streaming
