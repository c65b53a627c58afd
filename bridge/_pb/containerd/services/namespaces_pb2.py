"""Package containerd.services.namespaces.v1.

Generated from containerd/services/namespaces.proto by protos/generate.py: do not edit.
"""

from bridge._pb import pool as _pool
from bridge._pb import rpc as _rpc
from bridge._pb.google.protobuf import empty_pb2 as _empty_pb2
from bridge._pb.google.protobuf import field_mask_pb2 as _field_mask_pb2

DESCRIPTOR = _pool.define(
    globals(),
    # file containerd/services/namespaces.proto
    b'\n$containerd/services/namespaces.proto\x12!'
    b'containerd.services.namespaces.v1\x1a\x1bgoogl'
    b'e/protobuf/empty.proto\x1a google/protobuf/'
    b'field_mask.protob\x06proto3'
    # message Namespace
    b'"\x92\x01\n\tNamespace\x12\x0c\n\x04name\x18\x01 \x01(\t\x12H\n\x06labels\x18\x02'
    b' \x03(\x0b28.containerd.services.namespaces.v1'
    b'.Namespace.LabelsEntry\x1a-\n\x0bLabelsEntry\x12\x0b\n'
    b'\x03key\x18\x01 \x01(\t\x12\r\n\x05value\x18\x02 \x01(\t:\x028\x01'
    # message GetNamespaceRequest
    b'"#\n\x13GetNamespaceRequest\x12\x0c\n\x04name\x18\x01 \x01(\t'
    # message GetNamespaceResponse
    b'"W\n\x14GetNamespaceResponse\x12?\n\tnamespace\x18\x01 '
    b'\x01(\x0b2,.containerd.services.namespaces.v1.'
    b'Namespace'
    # message ListNamespacesRequest
    b'"\'\n\x15ListNamespacesRequest\x12\x0e\n\x06filter\x18\x01 \x01('
    b'\t'
    # message ListNamespacesResponse
    b'"Z\n\x16ListNamespacesResponse\x12@\n\nnamespaces'
    b'\x18\x01 \x03(\x0b2,.containerd.services.namespaces.'
    b'v1.Namespace'
    # message CreateNamespaceRequest
    b'"Y\n\x16CreateNamespaceRequest\x12?\n\tnamespace\x18'
    b'\x01 \x01(\x0b2,.containerd.services.namespaces.v'
    b'1.Namespace'
    # message CreateNamespaceResponse
    b'"Z\n\x17CreateNamespaceResponse\x12?\n\tnamespace'
    b'\x18\x01 \x01(\x0b2,.containerd.services.namespaces.'
    b'v1.Namespace'
    # message UpdateNamespaceRequest
    b'"\x8a\x01\n\x16UpdateNamespaceRequest\x12?\n\tnamespace'
    b'\x18\x01 \x01(\x0b2,.containerd.services.namespaces.'
    b'v1.Namespace\x12/\n\x0bupdate_mask\x18\x02 \x01(\x0b2\x1a.goog'
    b'le.protobuf.FieldMask'
    # message UpdateNamespaceResponse
    b'"Z\n\x17UpdateNamespaceResponse\x12?\n\tnamespace'
    b'\x18\x01 \x01(\x0b2,.containerd.services.namespaces.'
    b'v1.Namespace'
    # message DeleteNamespaceRequest
    b'"&\n\x16DeleteNamespaceRequest\x12\x0c\n\x04name\x18\x01 \x01(\t'
    # service Namespaces
    b'2\xe0\x04\n\nNamespaces\x12v\n\x03Get\x126.containerd.serv'
    b'ices.namespaces.v1.GetNamespaceRequest\x1a7'
    b'.containerd.services.namespaces.v1.GetNa'
    b'mespaceResponse\x12{\n\x04List\x128.containerd.ser'
    b'vices.namespaces.v1.ListNamespacesReques'
    b't\x1a9.containerd.services.namespaces.v1.Li'
    b'stNamespacesResponse\x12\x7f\n\x06Create\x129.contain'
    b'erd.services.namespaces.v1.CreateNamespa'
    b'ceRequest\x1a:.containerd.services.namespac'
    b'es.v1.CreateNamespaceResponse\x12\x7f\n\x06Update\x12'
    b'9.containerd.services.namespaces.v1.Upda'
    b'teNamespaceRequest\x1a:.containerd.services'
    b'.namespaces.v1.UpdateNamespaceResponse\x12['
    b'\n\x06Delete\x129.containerd.services.namespace'
    b's.v1.DeleteNamespaceRequest\x1a\x16.google.pro'
    b'tobuf.Empty',
)

Namespaces = _rpc.Service(DESCRIPTOR.services_by_name["Namespaces"])


class NamespacesStub(_rpc.Stub):
    service = Namespaces


class NamespacesBlockingStub(_rpc.Stub):
    service = Namespaces
