"""Package containerd.services.leases.v1.

Generated from containerd/services/leases.proto by protos/generate.py: do not edit.
"""

from bridge._pb import pool as _pool
from bridge._pb import rpc as _rpc
from bridge._pb.google.protobuf import empty_pb2 as _empty_pb2
from bridge._pb.google.protobuf import timestamp_pb2 as _timestamp_pb2

DESCRIPTOR = _pool.define(
    globals(),
    # file containerd/services/leases.proto
    b'\n containerd/services/leases.proto\x12\x1dcont'
    b'ainerd.services.leases.v1\x1a\x1bgoogle/protob'
    b'uf/empty.proto\x1a\x1fgoogle/protobuf/timestam'
    b'p.protob\x06proto3'
    # message Lease
    b'"\xb4\x01\n\x05Lease\x12\n\n\x02id\x18\x01 \x01(\t\x12.\n\ncreated_at\x18\x02 \x01'
    b'(\x0b2\x1a.google.protobuf.Timestamp\x12@\n\x06labels'
    b'\x18\x03 \x03(\x0b20.containerd.services.leases.v1.L'
    b'ease.LabelsEntry\x1a-\n\x0bLabelsEntry\x12\x0b\n\x03key\x18\x01'
    b' \x01(\t\x12\r\n\x05value\x18\x02 \x01(\t:\x028\x01'
    # message CreateRequest
    b'"\x94\x01\n\rCreateRequest\x12\n\n\x02id\x18\x01 \x01(\t\x12H\n\x06labels'
    b'\x18\x03 \x03(\x0b28.containerd.services.leases.v1.C'
    b'reateRequest.LabelsEntry\x1a-\n\x0bLabelsEntry\x12'
    b'\x0b\n\x03key\x18\x01 \x01(\t\x12\r\n\x05value\x18\x02 \x01(\t:\x028\x01'
    # message CreateResponse
    b'"E\n\x0eCreateResponse\x123\n\x05lease\x18\x01 \x01(\x0b2$.cont'
    b'ainerd.services.leases.v1.Lease'
    # message DeleteRequest
    b'")\n\rDeleteRequest\x12\n\n\x02id\x18\x01 \x01(\t\x12\x0c\n\x04sync\x18\x02 '
    b'\x01(\x08'
    # message ListRequest
    b'"\x1e\n\x0bListRequest\x12\x0f\n\x07filters\x18\x01 \x03(\t'
    # message ListResponse
    b'"D\n\x0cListResponse\x124\n\x06leases\x18\x01 \x03(\x0b2$.conta'
    b'inerd.services.leases.v1.Lease'
    # message Resource
    b'"$\n\x08Resource\x12\n\n\x02id\x18\x01 \x01(\t\x12\x0c\n\x04type\x18\x02 \x01(\t'
    # message AddResourceRequest
    b'"[\n\x12AddResourceRequest\x12\n\n\x02id\x18\x01 \x01(\t\x129\n\x08re'
    b"source\x18\x02 \x01(\x0b2'.containerd.services.lease"
    b's.v1.Resource'
    # message DeleteResourceRequest
    b'"^\n\x15DeleteResourceRequest\x12\n\n\x02id\x18\x01 \x01(\t\x129\n'
    b"\x08resource\x18\x02 \x01(\x0b2'.containerd.services.le"
    b'ases.v1.Resource'
    # message ListResourcesRequest
    b'""\n\x14ListResourcesRequest\x12\n\n\x02id\x18\x01 \x01(\t'
    # message ListResourcesResponse
    b'"S\n\x15ListResourcesResponse\x12:\n\tresources\x18\x01'
    b" \x03(\x0b2'.containerd.services.leases.v1.Res"
    b'ource'
    # service Leases
    b'2\xd6\x04\n\x06Leases\x12e\n\x06Create\x12,.containerd.servi'
    b'ces.leases.v1.CreateRequest\x1a-.containerd'
    b'.services.leases.v1.CreateResponse\x12N\n\x06De'
    b'lete\x12,.containerd.services.leases.v1.Del'
    b'eteRequest\x1a\x16.google.protobuf.Empty\x12_\n\x04Li'
    b'st\x12*.containerd.services.leases.v1.ListR'
    b'equest\x1a+.containerd.services.leases.v1.L'
    b'istResponse\x12X\n\x0bAddResource\x121.containerd.'
    b'services.leases.v1.AddResourceRequest\x1a\x16.'
    b'google.protobuf.Empty\x12^\n\x0eDeleteResource\x12'
    b'4.containerd.services.leases.v1.DeleteRe'
    b'sourceRequest\x1a\x16.google.protobuf.Empty\x12z\n'
    b'\rListResources\x123.containerd.services.lea'
    b'ses.v1.ListResourcesRequest\x1a4.containerd'
    b'.services.leases.v1.ListResourcesRespons'
    b'e',
)

Leases = _rpc.Service(DESCRIPTOR.services_by_name["Leases"])


class LeasesStub(_rpc.Stub):
    service = Leases


class LeasesBlockingStub(_rpc.Stub):
    service = Leases
