"""The descriptor pool of this package, and how a generated module fills itself from it.

Protobuf keeps one pool per process by default and refuses to import a second definition of a name. Programs that embed
us may well hold another set of containerd stubs, grpcio-health-checking or googleapis-common-protos, so everything here
lives in a pool of its own. The price: `google.protobuf.Any`, `Timestamp`, `Empty` and `FieldMask` are our own classes
too, in `bridge._pb.google.protobuf`, and those of `google.protobuf` are refused where a message of ours is expected;
and protobuf cannot unpickle a nested message by itself, as it looks for the class in the default pool only.

Hand-written. It works with every protobuf from 6.31 on, in C and in pure Python, so generated modules check no versions.
"""

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

__all__ = ["POOL", "define"]

POOL = DescriptorPool()
"""Every generated file that has been imported; give it to `json_format` as `descriptor_pool`."""


def define(module: dict[str, object], serialized: bytes) -> FileDescriptor:
    """Put the messages and enums of a serialized FileDescriptorProto into a module's globals.

    The modules of the files it imports must have been imported before: they fill the pool.
    """
    file = POOL.AddSerializedFile(serialized)
    for name, enum in file.enum_types_by_name.items():
        module[name] = EnumTypeWrapper(enum)
        module.update(_numbers(enum))
    for name, message in file.message_types_by_name.items():
        module[name] = _message_class(message, module=str(module["__name__"]), qualname=name)
    return file


def _message_class(descriptor: Descriptor, *, module: str, qualname: str) -> type[Message]:
    cls = GetMessageClass(descriptor)
    cls.__module__, cls.__qualname__ = module, qualname  # as error messages and pickle want it
    # The C implementation finds nested names by itself, the pure Python one does not.
    for name, enum in descriptor.enum_types_by_name.items():
        setattr(cls, name, EnumTypeWrapper(enum))
        for value, number in _numbers(enum).items():
            setattr(cls, value, number)
    for name, nested in descriptor.nested_types_by_name.items():
        if not nested.GetOptions().map_entry:
            setattr(cls, name, _message_class(nested, module=module, qualname=f"{qualname}.{name}"))
    return cls


def _numbers(enum: EnumDescriptor) -> dict[str, int]:
    return {value.name: value.number for value in enum.values}
