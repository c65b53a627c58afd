"""Package containerd.services.introspection.v1.

Generated from containerd/services/introspection.proto by protos/generate.py: do not edit.
"""

from bridge._pb import pool as _pool
from bridge._pb import rpc as _rpc
from bridge._pb.containerd import types_pb2 as _types_pb2
from bridge._pb.google.protobuf import any_pb2 as _any_pb2
from bridge._pb.google.protobuf import empty_pb2 as _empty_pb2
from bridge._pb.google.protobuf import timestamp_pb2 as _timestamp_pb2
from bridge._pb.google.rpc import status_pb2 as _status_pb2

DESCRIPTOR = _pool.define(
    globals(),
    # file containerd/services/introspection.proto
    b"\n'containerd/services/introspection.prot"
    b'o\x12$containerd.services.introspection.v1\x1a'
    b'\x16containerd/types.proto\x1a\x19google/protobuf'
    b'/any.proto\x1a\x1bgoogle/protobuf/empty.proto\x1a'
    b'\x1fgoogle/protobuf/timestamp.proto\x1a\x17google'
    b'/rpc/status.protob\x06proto3'
    # message Plugin
    b'"\x9b\x02\n\x06Plugin\x12\x0c\n\x04type\x18\x01 \x01(\t\x12\n\n\x02id\x18\x02 \x01(\t\x12\x10\n'
    b'\x08requires\x18\x03 \x03(\t\x12-\n\tplatforms\x18\x04 \x03(\x0b2\x1a.con'
    b'tainerd.types.Platform\x12J\n\x07exports\x18\x05 \x03(\x0b2'
    b'9.containerd.services.introspection.v1.P'
    b'lugin.ExportsEntry\x12\x14\n\x0ccapabilities\x18\x06 \x03(\t'
    b'\x12$\n\x08init_err\x18\x07 \x01(\x0b2\x12.google.rpc.Status\x1a.'
    b'\n\x0cExportsEntry\x12\x0b\n\x03key\x18\x01 \x01(\t\x12\r\n\x05value\x18\x02 \x01'
    b'(\t:\x028\x01'
    # message PluginsRequest
    b'"!\n\x0ePluginsRequest\x12\x0f\n\x07filters\x18\x01 \x03(\t'
    # message PluginsResponse
    b'"P\n\x0fPluginsResponse\x12=\n\x07plugins\x18\x01 \x03(\x0b2,.c'
    b'ontainerd.services.introspection.v1.Plug'
    b'in'
    # message ServerResponse
    b'"\x8a\x01\n\x0eServerResponse\x12\x0c\n\x04uuid\x18\x01 \x01(\t\x12\x0b\n\x03pid'
    b'\x18\x02 \x01(\x04\x12\r\n\x05pidns\x18\x03 \x01(\x04\x12N\n\x0cdeprecations\x18\x04 '
    b'\x03(\x0b28.containerd.services.introspection.'
    b'v1.DeprecationWarning'
    # message DeprecationWarning
    b'"f\n\x12DeprecationWarning\x12\n\n\x02id\x18\x01 \x01(\t\x12\x0f\n\x07me'
    b'ssage\x18\x02 \x01(\t\x123\n\x0flast_occurrence\x18\x03 \x01(\x0b2\x1a.g'
    b'oogle.protobuf.Timestamp'
    # message PluginInfoRequest
    b'"T\n\x11PluginInfoRequest\x12\x0c\n\x04type\x18\x01 \x01(\t\x12\n\n\x02i'
    b'd\x18\x02 \x01(\t\x12%\n\x07options\x18\x03 \x01(\x0b2\x14.google.protob'
    b'uf.Any'
    # message PluginInfoResponse
    b'"w\n\x12PluginInfoResponse\x12<\n\x06plugin\x18\x01 \x01(\x0b2,'
    b'.containerd.services.introspection.v1.Pl'
    b'ugin\x12#\n\x05extra\x18\x02 \x01(\x0b2\x14.google.protobuf.An'
    b'y'
    # service Introspection
    b'2\xe0\x02\n\rIntrospection\x12v\n\x07Plugins\x124.containe'
    b'rd.services.introspection.v1.PluginsRequ'
    b'est\x1a5.containerd.services.introspection.'
    b'v1.PluginsResponse\x12V\n\x06Server\x12\x16.google.pr'
    b'otobuf.Empty\x1a4.containerd.services.intro'
    b'spection.v1.ServerResponse\x12\x7f\n\nPluginInfo'
    b'\x127.containerd.services.introspection.v1.'
    b'PluginInfoRequest\x1a8.containerd.services.'
    b'introspection.v1.PluginInfoResponse',
)

Introspection = _rpc.Service(DESCRIPTOR.services_by_name["Introspection"])


class IntrospectionStub(_rpc.Stub):
    service = Introspection


class IntrospectionBlockingStub(_rpc.Stub):
    service = Introspection
