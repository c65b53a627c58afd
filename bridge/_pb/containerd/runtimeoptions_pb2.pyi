"""Options of any other shim.

Generated from containerd/runtimeoptions.proto by protos/generate.py: do not edit.
"""

import typing as _t
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message

DESCRIPTOR: _descriptor.FileDescriptor

class Options(_message.Message):
    """Configuration that containerd hands on without reading it."""
    DESCRIPTOR: _descriptor.Descriptor

    type_url: str  # what the shim will take the configuration for
    config_path: str  # a file on the host
    config_body: bytes  # since 1.7.0
    def __init__(
        self,
        *,
        type_url: str | None = None,
        config_path: str | None = None,
        config_body: bytes | None = None,
    ) -> None: ...
    def ClearField(self, field_name: _t.Literal["type_url", "config_path", "config_body"]) -> None: ...
