"""Package containerd.services.images.v1.

Generated from containerd/services/images.proto by protos/generate.py: do not edit.
"""

from bridge._pb import pool as _pool
from bridge._pb import rpc as _rpc
from bridge._pb.containerd import types_pb2 as _types_pb2
from bridge._pb.google.protobuf import empty_pb2 as _empty_pb2
from bridge._pb.google.protobuf import field_mask_pb2 as _field_mask_pb2
from bridge._pb.google.protobuf import timestamp_pb2 as _timestamp_pb2

DESCRIPTOR = _pool.define(
    globals(),
    # file containerd/services/images.proto
    b'\n containerd/services/images.proto\x12\x1dcont'
    b'ainerd.services.images.v1\x1a\x16containerd/ty'
    b'pes.proto\x1a\x1bgoogle/protobuf/empty.proto\x1a '
    b'google/protobuf/field_mask.proto\x1a\x1fgoogle'
    b'/protobuf/timestamp.protob\x06proto3'
    # message Image
    b'"\x94\x02\n\x05Image\x12\x0c\n\x04name\x18\x01 \x01(\t\x12@\n\x06labels\x18\x02 \x03(\x0b'
    b'20.containerd.services.images.v1.Image.L'
    b'abelsEntry\x12,\n\x06target\x18\x03 \x01(\x0b2\x1c.containerd.'
    b'types.Descriptor\x12.\n\ncreated_at\x18\x07 \x01(\x0b2\x1a.g'
    b'oogle.protobuf.Timestamp\x12.\n\nupdated_at\x18\x08'
    b' \x01(\x0b2\x1a.google.protobuf.Timestamp\x1a-\n\x0bLabe'
    b'lsEntry\x12\x0b\n\x03key\x18\x01 \x01(\t\x12\r\n\x05value\x18\x02 \x01(\t:\x028\x01'
    # message GetImageRequest
    b'"\x1f\n\x0fGetImageRequest\x12\x0c\n\x04name\x18\x01 \x01(\t'
    # message GetImageResponse
    b'"G\n\x10GetImageResponse\x123\n\x05image\x18\x01 \x01(\x0b2$.co'
    b'ntainerd.services.images.v1.Image'
    # message CreateImageRequest
    b'"\x80\x01\n\x12CreateImageRequest\x123\n\x05image\x18\x01 \x01(\x0b2$'
    b'.containerd.services.images.v1.Image\x125\n\x11'
    b'source_date_epoch\x18\x02 \x01(\x0b2\x1a.google.protobu'
    b'f.Timestamp'
    # message CreateImageResponse
    b'"J\n\x13CreateImageResponse\x123\n\x05image\x18\x01 \x01(\x0b2$'
    b'.containerd.services.images.v1.Image'
    # message UpdateImageRequest
    b'"\xb1\x01\n\x12UpdateImageRequest\x123\n\x05image\x18\x01 \x01(\x0b2$'
    b'.containerd.services.images.v1.Image\x12/\n\x0b'
    b'update_mask\x18\x02 \x01(\x0b2\x1a.google.protobuf.Fiel'
    b'dMask\x125\n\x11source_date_epoch\x18\x03 \x01(\x0b2\x1a.googl'
    b'e.protobuf.Timestamp'
    # message UpdateImageResponse
    b'"J\n\x13UpdateImageResponse\x123\n\x05image\x18\x01 \x01(\x0b2$'
    b'.containerd.services.images.v1.Image'
    # message ListImagesRequest
    b'"$\n\x11ListImagesRequest\x12\x0f\n\x07filters\x18\x01 \x03(\t'
    # message ListImagesResponse
    b'"J\n\x12ListImagesResponse\x124\n\x06images\x18\x01 \x03(\x0b2$'
    b'.containerd.services.images.v1.Image'
    # message DeleteImageRequest
    b'"n\n\x12DeleteImageRequest\x12\x0c\n\x04name\x18\x01 \x01(\t\x12\x0c\n\x04'
    b'sync\x18\x02 \x01(\x08\x121\n\x06target\x18\x03 \x01(\x0b2\x1c.containerd.'
    b'types.DescriptorH\x00\x88\x01\x01B\t\n\x07_target'
    # message ImageCreate
    b'"\x92\x01\n\x0bImageCreate\x12\x0c\n\x04name\x18\x01 \x01(\t\x12F\n\x06labels'
    b'\x18\x02 \x03(\x0b26.containerd.services.images.v1.I'
    b'mageCreate.LabelsEntry\x1a-\n\x0bLabelsEntry\x12\x0b\n'
    b'\x03key\x18\x01 \x01(\t\x12\r\n\x05value\x18\x02 \x01(\t:\x028\x01'
    # message ImageUpdate
    b'"\x92\x01\n\x0bImageUpdate\x12\x0c\n\x04name\x18\x01 \x01(\t\x12F\n\x06labels'
    b'\x18\x02 \x03(\x0b26.containerd.services.images.v1.I'
    b'mageUpdate.LabelsEntry\x1a-\n\x0bLabelsEntry\x12\x0b\n'
    b'\x03key\x18\x01 \x01(\t\x12\r\n\x05value\x18\x02 \x01(\t:\x028\x01'
    # message ImageDelete
    b'"\x1b\n\x0bImageDelete\x12\x0c\n\x04name\x18\x01 \x01(\t'
    # service Images
    b'2\x94\x04\n\x06Images\x12f\n\x03Get\x12..containerd.services'
    b'.images.v1.GetImageRequest\x1a/.containerd.'
    b'services.images.v1.GetImageResponse\x12k\n\x04L'
    b'ist\x120.containerd.services.images.v1.List'
    b'ImagesRequest\x1a1.containerd.services.imag'
    b'es.v1.ListImagesResponse\x12o\n\x06Create\x121.con'
    b'tainerd.services.images.v1.CreateImageRe'
    b'quest\x1a2.containerd.services.images.v1.Cr'
    b'eateImageResponse\x12o\n\x06Update\x121.containerd'
    b'.services.images.v1.UpdateImageRequest\x1a2'
    b'.containerd.services.images.v1.UpdateIma'
    b'geResponse\x12S\n\x06Delete\x121.containerd.servic'
    b'es.images.v1.DeleteImageRequest\x1a\x16.google'
    b'.protobuf.Empty',
)

Images = _rpc.Service(DESCRIPTOR.services_by_name["Images"])


class ImagesStub(_rpc.Stub):
    service = Images


class ImagesBlockingStub(_rpc.Stub):
    service = Images
