"""Package google.protobuf.

Generated from google/protobuf/empty.proto by protos/generate.py: do not edit.
"""

from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message

DESCRIPTOR: _descriptor.FileDescriptor

class Empty(_message.Message):
    DESCRIPTOR: _descriptor.Descriptor

    def __init__(self) -> None: ...
