"""Package containerd.services.events.v1.

Generated from containerd/services/events.proto by protos/generate.py: do not edit.
"""

from bridge._pb import pool as _pool
from bridge._pb import rpc as _rpc
from bridge._pb.containerd import types_pb2 as _types_pb2
from bridge._pb.google.protobuf import any_pb2 as _any_pb2
from bridge._pb.google.protobuf import empty_pb2 as _empty_pb2

DESCRIPTOR = _pool.define(
    globals(),
    # file containerd/services/events.proto
    b'\n containerd/services/events.proto\x12\x1dcont'
    b'ainerd.services.events.v1\x1a\x16containerd/ty'
    b'pes.proto\x1a\x19google/protobuf/any.proto\x1a\x1bgo'
    b'ogle/protobuf/empty.protob\x06proto3'
    # message PublishRequest
    b'"D\n\x0ePublishRequest\x12\r\n\x05topic\x18\x01 \x01(\t\x12#\n\x05eve'
    b'nt\x18\x02 \x01(\x0b2\x14.google.protobuf.Any'
    # message ForwardRequest
    b'">\n\x0eForwardRequest\x12,\n\x08envelope\x18\x01 \x01(\x0b2\x1a.c'
    b'ontainerd.types.Envelope'
    # message SubscribeRequest
    b'"#\n\x10SubscribeRequest\x12\x0f\n\x07filters\x18\x01 \x03(\t'
    # service Events
    b'2\x88\x02\n\x06Events\x12P\n\x07Publish\x12-.containerd.serv'
    b'ices.events.v1.PublishRequest\x1a\x16.google.p'
    b'rotobuf.Empty\x12P\n\x07Forward\x12-.containerd.se'
    b'rvices.events.v1.ForwardRequest\x1a\x16.google'
    b'.protobuf.Empty\x12Z\n\tSubscribe\x12/.container'
    b'd.services.events.v1.SubscribeRequest\x1a\x1a.'
    b'containerd.types.Envelope0\x01',
)

Events = _rpc.Service(DESCRIPTOR.services_by_name["Events"])


class EventsStub(_rpc.Stub):
    service = Events


class EventsBlockingStub(_rpc.Stub):
    service = Events
