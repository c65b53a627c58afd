"""Package google.protobuf.

Generated from google/protobuf/any.proto by protos/generate.py: do not edit.
"""

import typing as _t
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from google.protobuf.internal import well_known_types as _wkt

DESCRIPTOR: _descriptor.FileDescriptor

class Any(_message.Message, _wkt.Any):
    DESCRIPTOR: _descriptor.Descriptor

    type_url: str
    value: bytes
    def __init__(
        self,
        *,
        type_url: str | None = None,
        value: bytes | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["type_url", "value"]) -> None: ...
