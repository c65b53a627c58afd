"""Sources, destinations and stream messages of the Transfer service. All since 1.7.0 unless said otherwise.
They travel inside google.protobuf.Any, whose type URL must be the bare full name.

Generated from containerd/transfer.proto by protos/generate.py: do not edit.
"""

import typing as _t
from collections.abc import Iterable as _Iterable
from collections.abc import Mapping as _Mapping
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enums
from bridge._pb.containerd import types_pb2 as _types_pb2
from bridge._pb.google.protobuf import timestamp_pb2 as _timestamp_pb2

DESCRIPTOR: _descriptor.FileDescriptor

class _HTTPDebug(_enums.EnumTypeWrapper):
    DISABLED: _t.Final = 0
    DEBUG: _t.Final = 1
    TRACE: _t.Final = 2
    BOTH: _t.Final = 3

HTTPDebug: _HTTPDebug
DISABLED: _t.Final = 0
DEBUG: _t.Final = 1
TRACE: _t.Final = 2
BOTH: _t.Final = 3

class _AuthType(_enums.EnumTypeWrapper):
    NONE: _t.Final = 0
    CREDENTIALS: _t.Final = 1
    REFRESH: _t.Final = 2
    HEADER: _t.Final = 3

AuthType: _AuthType
NONE: _t.Final = 0
CREDENTIALS: _t.Final = 1
REFRESH: _t.Final = 2
HEADER: _t.Final = 3

class OCIRegistry(_message.Message):
    """An image in a registry."""
    DESCRIPTOR: _descriptor.Descriptor

    reference: str  # fully qualified: docker.io/library/nginx:1.27
    @property
    def resolver(self) -> RegistryResolver: ...
    def __init__(
        self,
        *,
        reference: str | None = None,
        resolver: RegistryResolver | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["resolver"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["reference", "resolver"]) -> None: ...

class RegistryResolver(_message.Message):
    """How to reach a registry."""
    DESCRIPTOR: _descriptor.Descriptor

    auth_stream: str  # id of the stream on which AuthRequest comes and AuthResponse goes
    @property
    def headers(self) -> _containers.ScalarMap[str, str]: ...
    host_dir: str  # since 2.0; ignored by 1.7
    default_scheme: str  # since 2.0; http or https; ignored by 1.7
    http_debug: int  # HTTPDebug; since 2.1
    logs_stream: str  # since 2.1
    def __init__(
        self,
        *,
        auth_stream: str | None = None,
        headers: _Mapping[str, str] | None = None,
        host_dir: str | None = None,
        default_scheme: str | None = None,
        http_debug: int | None = None,
        logs_stream: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["auth_stream", "headers", "host_dir", "default_scheme", "http_debug", "logs_stream"]) -> None: ...

class AuthRequest(_message.Message):
    """The server asks for credentials."""
    DESCRIPTOR: _descriptor.Descriptor

    host: str
    reference: str
    @property
    def wwwauthenticate(self) -> _containers.RepeatedScalarFieldContainer[str]:
        """challenges of the registry"""
    def __init__(
        self,
        *,
        host: str | None = None,
        reference: str | None = None,
        wwwauthenticate: _Iterable[str] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["host", "reference", "wwwauthenticate"]) -> None: ...

class AuthResponse(_message.Message):
    """CREDENTIALS: username and secret. REFRESH: a token in secret. HEADER: a header's value in secret."""
    DESCRIPTOR: _descriptor.Descriptor

    authType: int  # AuthType
    secret: str
    username: str
    @property
    def expire_at(self) -> _timestamp_pb2.Timestamp: ...
    def __init__(
        self,
        *,
        authType: int | None = None,
        secret: str | None = None,
        username: str | None = None,
        expire_at: _timestamp_pb2.Timestamp | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["expire_at"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["authType", "secret", "username", "expire_at"]) -> None: ...

class ImageStore(_message.Message):
    """containerd's image store, as source or destination."""
    DESCRIPTOR: _descriptor.Descriptor

    name: str
    @property
    def labels(self) -> _containers.ScalarMap[str, str]: ...
    @property
    def platforms(self) -> _containers.RepeatedCompositeFieldContainer[_types_pb2.Platform]:
        """none means all"""
    all_metadata: bool
    manifest_limit: int
    @property
    def extra_references(self) -> _containers.RepeatedCompositeFieldContainer[ImageReference]: ...
    @property
    def unpacks(self) -> _containers.RepeatedCompositeFieldContainer[UnpackConfiguration]:
        """those the server is not configured for are skipped without an error"""
    def __init__(
        self,
        *,
        name: str | None = None,
        labels: _Mapping[str, str] | None = None,
        platforms: _Iterable[_types_pb2.Platform] | None = None,
        all_metadata: bool | None = None,
        manifest_limit: int | None = None,
        extra_references: _Iterable[ImageReference] | None = None,
        unpacks: _Iterable[UnpackConfiguration] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["name", "labels", "platforms", "all_metadata", "manifest_limit", "extra_references", "unpacks"]) -> None: ...

class UnpackConfiguration(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def platform(self) -> _types_pb2.Platform: ...
    snapshotter: str  # empty for the server's default
    def __init__(
        self,
        *,
        platform: _types_pb2.Platform | None = None,
        snapshotter: str | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["platform"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["platform", "snapshotter"]) -> None: ...

class ImageReference(_message.Message):
    """How further images of an archive are to be named."""
    DESCRIPTOR: _descriptor.Descriptor

    name: str
    is_prefix: bool
    allow_overwrite: bool
    add_digest: bool
    skip_named_digest: bool
    def __init__(
        self,
        *,
        name: str | None = None,
        is_prefix: bool | None = None,
        allow_overwrite: bool | None = None,
        add_digest: bool | None = None,
        skip_named_digest: bool | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["name", "is_prefix", "allow_overwrite", "add_digest", "skip_named_digest"]) -> None: ...

class ImageImportStream(_message.Message):
    """An archive that the client sends."""
    DESCRIPTOR: _descriptor.Descriptor

    stream: str
    media_type: str
    force_compress: bool
    def __init__(
        self,
        *,
        stream: str | None = None,
        media_type: str | None = None,
        force_compress: bool | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["stream", "media_type", "force_compress"]) -> None: ...

class ImageExportStream(_message.Message):
    """An archive that the server sends."""
    DESCRIPTOR: _descriptor.Descriptor

    stream: str
    media_type: str
    @property
    def platforms(self) -> _containers.RepeatedCompositeFieldContainer[_types_pb2.Platform]: ...
    all_platforms: bool
    skip_compatibility_manifest: bool
    skip_non_distributable: bool
    def __init__(
        self,
        *,
        stream: str | None = None,
        media_type: str | None = None,
        platforms: _Iterable[_types_pb2.Platform] | None = None,
        all_platforms: bool | None = None,
        skip_compatibility_manifest: bool | None = None,
        skip_non_distributable: bool | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["stream", "media_type", "platforms", "all_platforms", "skip_compatibility_manifest", "skip_non_distributable"]) -> None: ...

class Progress(_message.Message):
    """Sent on the progress stream."""
    DESCRIPTOR: _descriptor.Descriptor

    event: str  # free text: downloading, extracting, complete, ...
    name: str
    @property
    def parents(self) -> _containers.RepeatedScalarFieldContainer[str]:
        """names that this one hangs under, which gives a tree"""
    progress: int  # bytes so far
    total: int  # bytes in all; 0 when unknown
    @property
    def desc(self) -> _types_pb2.Descriptor:
        """since 2.0"""
    def __init__(
        self,
        *,
        event: str | None = None,
        name: str | None = None,
        parents: _Iterable[str] | None = None,
        progress: int | None = None,
        total: int | None = None,
        desc: _types_pb2.Descriptor | None = None,
    ) -> None: ...
    def HasField(self, field_name: _t.Literal["desc"]) -> bool: ...
    def ClearField(self, field_name: _t.Literal["event", "name", "parents", "progress", "total", "desc"]) -> None: ...

class Data(_message.Message):
    """At most 32 KiB of a byte stream, and never more than the receiver's window."""
    DESCRIPTOR: _descriptor.Descriptor

    data: bytes
    def __init__(
        self,
        *,
        data: bytes | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["data"]) -> None: ...

class WindowUpdate(_message.Message):
    """The receiver of a byte stream grants this many further bytes."""
    DESCRIPTOR: _descriptor.Descriptor

    update: int
    def __init__(
        self,
        *,
        update: int | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["update"]) -> None: ...

class ReadStream(_message.Message):
    """Since 2.3. Bytes that the server reads from the client."""
    DESCRIPTOR: _descriptor.Descriptor

    stream: str
    media_type: str
    def __init__(
        self,
        *,
        stream: str | None = None,
        media_type: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["stream", "media_type"]) -> None: ...

class WriteStream(_message.Message):
    """Since 2.3. Bytes that the server writes to the client."""
    DESCRIPTOR: _descriptor.Descriptor

    stream: str
    media_type: str
    def __init__(
        self,
        *,
        stream: str | None = None,
        media_type: str | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["stream", "media_type"]) -> None: ...

class ContainerPath(_message.Message):
    """Since 2.3. A file or directory inside a container's root filesystem."""
    DESCRIPTOR: _descriptor.Descriptor

    container_id: str
    path: str
    no_walk: bool
    preserve_ownership: bool
    def __init__(
        self,
        *,
        container_id: str | None = None,
        path: str | None = None,
        no_walk: bool | None = None,
        preserve_ownership: bool | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["container_id", "path", "no_walk", "preserve_ownership"]) -> None: ...
