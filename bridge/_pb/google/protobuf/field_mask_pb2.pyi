"""Package google.protobuf.

Generated from google/protobuf/field_mask.proto by protos/generate.py: do not edit.
"""

import typing as _t
from collections.abc import Iterable as _Iterable
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import well_known_types as _wkt

DESCRIPTOR: _descriptor.FileDescriptor

class FieldMask(_message.Message, _wkt.FieldMask):
    DESCRIPTOR: _descriptor.Descriptor

    @property
    def paths(self) -> _containers.RepeatedScalarFieldContainer[str]: ...
    def __init__(
        self,
        *,
        paths: _Iterable[str] | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["paths"]) -> None: ...
