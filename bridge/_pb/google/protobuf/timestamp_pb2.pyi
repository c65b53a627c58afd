"""Package google.protobuf.

Generated from google/protobuf/timestamp.proto by protos/generate.py: do not edit.
"""

import typing as _t
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from google.protobuf.internal import well_known_types as _wkt

DESCRIPTOR: _descriptor.FileDescriptor

class Timestamp(_message.Message, _wkt.Timestamp):
    DESCRIPTOR: _descriptor.Descriptor

    seconds: int
    nanos: int
    def __init__(
        self,
        *,
        seconds: int | None = None,
        nanos: int | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["seconds", "nanos"]) -> None: ...
