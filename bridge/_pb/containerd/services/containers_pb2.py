"""Package containerd.services.containers.v1.

Generated from containerd/services/containers.proto by protos/generate.py: do not edit.
"""

from bridge._pb import pool as _pool
from bridge._pb import rpc as _rpc
from bridge._pb.google.protobuf import any_pb2 as _any_pb2
from bridge._pb.google.protobuf import empty_pb2 as _empty_pb2
from bridge._pb.google.protobuf import field_mask_pb2 as _field_mask_pb2
from bridge._pb.google.protobuf import timestamp_pb2 as _timestamp_pb2

DESCRIPTOR = _pool.define(
    globals(),
    # file containerd/services/containers.proto
    b'\n$containerd/services/containers.proto\x12!'
    b'containerd.services.containers.v1\x1a\x19googl'
    b'e/protobuf/any.proto\x1a\x1bgoogle/protobuf/em'
    b'pty.proto\x1a google/protobuf/field_mask.pr'
    b'oto\x1a\x1fgoogle/protobuf/timestamp.protob\x06pr'
    b'oto3'
    # message Container
    b'"\x81\x05\n\tContainer\x12\n\n\x02id\x18\x01 \x01(\t\x12H\n\x06labels\x18\x02 \x03'
    b'(\x0b28.containerd.services.containers.v1.C'
    b'ontainer.LabelsEntry\x12\r\n\x05image\x18\x03 \x01(\t\x12E\n\x07r'
    b'untime\x18\x04 \x01(\x0b24.containerd.services.conta'
    b'iners.v1.Container.Runtime\x12"\n\x04spec\x18\x05 \x01(\x0b'
    b'2\x14.google.protobuf.Any\x12\x13\n\x0bsnapshotter\x18\x06 '
    b'\x01(\t\x12\x14\n\x0csnapshot_key\x18\x07 \x01(\t\x12.\n\ncreated_at\x18'
    b'\x08 \x01(\x0b2\x1a.google.protobuf.Timestamp\x12.\n\nupd'
    b'ated_at\x18\t \x01(\x0b2\x1a.google.protobuf.Timestam'
    b'p\x12P\n\nextensions\x18\n \x03(\x0b2<.containerd.servi'
    b'ces.containers.v1.Container.ExtensionsEn'
    b'try\x12\x0f\n\x07sandbox\x18\x0b \x01(\t\x1a>\n\x07Runtime\x12\x0c\n\x04name\x18'
    b'\x01 \x01(\t\x12%\n\x07options\x18\x02 \x01(\x0b2\x14.google.protobuf'
    b'.Any\x1a-\n\x0bLabelsEntry\x12\x0b\n\x03key\x18\x01 \x01(\t\x12\r\n\x05valu'
    b'e\x18\x02 \x01(\t:\x028\x01\x1aG\n\x0fExtensionsEntry\x12\x0b\n\x03key\x18\x01 '
    b'\x01(\t\x12#\n\x05value\x18\x02 \x01(\x0b2\x14.google.protobuf.Any'
    b':\x028\x01'
    # message GetContainerRequest
    b'"!\n\x13GetContainerRequest\x12\n\n\x02id\x18\x01 \x01(\t'
    # message GetContainerResponse
    b'"W\n\x14GetContainerResponse\x12?\n\tcontainer\x18\x01 '
    b'\x01(\x0b2,.containerd.services.containers.v1.'
    b'Container'
    # message ListContainersRequest
    b'"(\n\x15ListContainersRequest\x12\x0f\n\x07filters\x18\x01 \x03'
    b'(\t'
    # message ListContainersResponse
    b'"Z\n\x16ListContainersResponse\x12@\n\ncontainers'
    b'\x18\x01 \x03(\x0b2,.containerd.services.containers.'
    b'v1.Container'
    # message CreateContainerRequest
    b'"Y\n\x16CreateContainerRequest\x12?\n\tcontainer\x18'
    b'\x01 \x01(\x0b2,.containerd.services.containers.v'
    b'1.Container'
    # message CreateContainerResponse
    b'"Z\n\x17CreateContainerResponse\x12?\n\tcontainer'
    b'\x18\x01 \x01(\x0b2,.containerd.services.containers.'
    b'v1.Container'
    # message UpdateContainerRequest
    b'"\x8a\x01\n\x16UpdateContainerRequest\x12?\n\tcontainer'
    b'\x18\x01 \x01(\x0b2,.containerd.services.containers.'
    b'v1.Container\x12/\n\x0bupdate_mask\x18\x02 \x01(\x0b2\x1a.goog'
    b'le.protobuf.FieldMask'
    # message UpdateContainerResponse
    b'"Z\n\x17UpdateContainerResponse\x12?\n\tcontainer'
    b'\x18\x01 \x01(\x0b2,.containerd.services.containers.'
    b'v1.Container'
    # message DeleteContainerRequest
    b'"$\n\x16DeleteContainerRequest\x12\n\n\x02id\x18\x01 \x01(\t'
    # message ListContainerMessage
    b'"W\n\x14ListContainerMessage\x12?\n\tcontainer\x18\x01 '
    b'\x01(\x0b2,.containerd.services.containers.v1.'
    b'Container'
    # service Containers
    b'2\xe4\x05\n\nContainers\x12v\n\x03Get\x126.containerd.serv'
    b'ices.containers.v1.GetContainerRequest\x1a7'
    b'.containerd.services.containers.v1.GetCo'
    b'ntainerResponse\x12{\n\x04List\x128.containerd.ser'
    b'vices.containers.v1.ListContainersReques'
    b't\x1a9.containerd.services.containers.v1.Li'
    b'stContainersResponse\x12\x81\x01\n\nListStream\x128.co'
    b'ntainerd.services.containers.v1.ListCont'
    b'ainersRequest\x1a7.containerd.services.cont'
    b'ainers.v1.ListContainerMessage0\x01\x12\x7f\n\x06Crea'
    b'te\x129.containerd.services.containers.v1.C'
    b'reateContainerRequest\x1a:.containerd.servi'
    b'ces.containers.v1.CreateContainerRespons'
    b'e\x12\x7f\n\x06Update\x129.containerd.services.contai'
    b'ners.v1.UpdateContainerRequest\x1a:.contain'
    b'erd.services.containers.v1.UpdateContain'
    b'erResponse\x12[\n\x06Delete\x129.containerd.servic'
    b'es.containers.v1.DeleteContainerRequest\x1a'
    b'\x16.google.protobuf.Empty',
)

Containers = _rpc.Service(DESCRIPTOR.services_by_name["Containers"])


class ContainersStub(_rpc.Stub):
    service = Containers


class ContainersBlockingStub(_rpc.Stub):
    service = Containers
