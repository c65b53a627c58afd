"""Package containerd.services.images.v1.

Generated from containerd/services/images.proto by protos/generate.py: do not edit.
"""

import typing as _t
from collections.abc import Iterable as _Iterable
from collections.abc import Mapping as _Mapping
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from google.protobuf.internal import containers as _containers
from bridge._pb import calls as _calls
from bridge._pb import rpc as _rpc
from bridge._pb.containerd import types_pb2 as _types_pb2
from bridge._pb.google.protobuf import empty_pb2 as _empty_pb2
from bridge._pb.google.protobuf import field_mask_pb2 as _field_mask_pb2
from bridge._pb.google.protobuf import timestamp_pb2 as _timestamp_pb2

DESCRIPTOR: _descriptor.FileDescriptor

class Image(_message.Message):
    """Numbers 4 to 6 were never used."""
    DESCRIPTOR: _descriptor.Descriptor

    name: str
    @property
    def labels(self) -> _containers.ScalarMap[str, str]: ...
    @property
    def target(self) -> _types_pb2.Descriptor: ...
    @property
    def created_at(self) -> _timestamp_pb2.Timestamp: ...
    @property
    def updated_at(self) -> _timestamp_pb2.Timestamp: ...
    def __init__(
        self,
        *,
        name: str | None = None,
        labels: _Mapping[str, str] | None = None,
        target: _types_pb2.Descriptor | None = None,
        created_at: _timestamp_pb2.Timestamp | None = None,
        updated_at: _timestamp_pb2.Timestamp | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["target", "created_at", "updated_at"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["name", "labels", "target", "created_at", "updated_at"]) -> None: ...

class GetImageRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    name: str
    def __init__(
        self,
        *,
        name: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["name"]) -> None: ...

class GetImageResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def image(self) -> Image: ...
    def __init__(
        self,
        *,
        image: Image | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["image"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["image"]) -> None: ...

class CreateImageRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def image(self) -> Image: ...
    @property
    def source_date_epoch(self) -> _timestamp_pb2.Timestamp:
        """since 1.7.0; taken for created_at, for reproducible images"""
    def __init__(
        self,
        *,
        image: Image | None = None,
        source_date_epoch: _timestamp_pb2.Timestamp | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["image", "source_date_epoch"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["image", "source_date_epoch"]) -> None: ...

class CreateImageResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def image(self) -> Image: ...
    def __init__(
        self,
        *,
        image: Image | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["image"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["image"]) -> None: ...

class UpdateImageRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def image(self) -> Image: ...
    @property
    def update_mask(self) -> _field_mask_pb2.FieldMask: ...
    @property
    def source_date_epoch(self) -> _timestamp_pb2.Timestamp:
        """since 1.7.0"""
    def __init__(
        self,
        *,
        image: Image | None = None,
        update_mask: _field_mask_pb2.FieldMask | None = None,
        source_date_epoch: _timestamp_pb2.Timestamp | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["image", "update_mask", "source_date_epoch"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["image", "update_mask", "source_date_epoch"]) -> None: ...

class UpdateImageResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def image(self) -> Image: ...
    def __init__(
        self,
        *,
        image: Image | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["image"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["image"]) -> None: ...

class ListImagesRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def filters(self) -> _containers.RepeatedScalarFieldContainer[str]: ...
    def __init__(
        self,
        *,
        filters: _Iterable[str] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["filters"]) -> None: ...

class ListImagesResponse(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def images(self) -> _containers.RepeatedCompositeFieldContainer[Image]: ...
    def __init__(
        self,
        *,
        images: _Iterable[Image] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["images"]) -> None: ...

class DeleteImageRequest(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    name: str
    sync: bool  # wait until the garbage is collected
    @property
    def target(self) -> _types_pb2.Descriptor:
        """since 2.0; delete only while it points here; ignored by 1.7"""
    def __init__(
        self,
        *,
        name: str | None = None,
        sync: bool | None = None,
        target: _types_pb2.Descriptor | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["target"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["name", "sync", "target"]) -> None: ...

class ImageCreate(_message.Message):
    """Event /images/create."""
    DESCRIPTOR: _descriptor.Descriptor

    name: str
    @property
    def labels(self) -> _containers.ScalarMap[str, str]: ...
    def __init__(
        self,
        *,
        name: str | None = None,
        labels: _Mapping[str, str] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["name", "labels"]) -> None: ...

class ImageUpdate(_message.Message):
    """Event /images/update."""
    DESCRIPTOR: _descriptor.Descriptor

    name: str
    @property
    def labels(self) -> _containers.ScalarMap[str, str]: ...
    def __init__(
        self,
        *,
        name: str | None = None,
        labels: _Mapping[str, str] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["name", "labels"]) -> None: ...

class ImageDelete(_message.Message):
    """Event /images/delete; from 2.0 on also when garbage is collected."""
    DESCRIPTOR: _descriptor.Descriptor

    name: str
    def __init__(
        self,
        *,
        name: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["name"]) -> None: ...

class _Images(_rpc.Service):
    """Names of images and what they point at; the blobs are in the content store."""
    Get: _rpc.Method[GetImageRequest, GetImageResponse]
    List: _rpc.Method[ListImagesRequest, ListImagesResponse]
    Create: _rpc.Method[CreateImageRequest, CreateImageResponse]
    Update: _rpc.Method[UpdateImageRequest, UpdateImageResponse]
    Delete: _rpc.Method[DeleteImageRequest, _empty_pb2.Empty]

Images: _Images

class ImagesStub(_rpc.Stub):
    """Calls containerd.services.images.v1.Images on a `grpc.aio` channel."""

    Get: _calls.UnaryUnary[GetImageRequest, GetImageResponse]
    List: _calls.UnaryUnary[ListImagesRequest, ListImagesResponse]
    Create: _calls.UnaryUnary[CreateImageRequest, CreateImageResponse]
    Update: _calls.UnaryUnary[UpdateImageRequest, UpdateImageResponse]
    Delete: _calls.UnaryUnary[DeleteImageRequest, _empty_pb2.Empty]

class ImagesBlockingStub(_rpc.Stub):
    """Calls containerd.services.images.v1.Images on a `grpc` channel."""

    Get: _calls.BlockingUnaryUnary[GetImageRequest, GetImageResponse]
    List: _calls.BlockingUnaryUnary[ListImagesRequest, ListImagesResponse]
    Create: _calls.BlockingUnaryUnary[CreateImageRequest, CreateImageResponse]
    Update: _calls.BlockingUnaryUnary[UpdateImageRequest, UpdateImageResponse]
    Delete: _calls.BlockingUnaryUnary[DeleteImageRequest, _empty_pb2.Empty]
