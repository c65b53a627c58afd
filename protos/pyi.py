"""The type stub of a generated module: what a type checker and an editor see of its classes.

It says what protobuf does at run time: fields that hold messages, lists and maps cannot be assigned, so they are
properties; `HasField` and `ClearField` take only names that are not refused; an enum's numbers are plain `int`. The
comments of a .proto file become docstrings.
"""

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from textwrap import indent

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    ServiceDescriptorProto,
)
from google.protobuf.internal.well_known_types import WKTBASES

__all__ = ["comments", "imports", "type_stub"]

Place = tuple[int, ...]
"""Where a definition stands in its file, as in SourceCodeInfo: field numbers and indexes from the top."""

SCALARS = {
    FieldDescriptorProto.TYPE_BOOL: "bool",
    FieldDescriptorProto.TYPE_BYTES: "bytes",
    FieldDescriptorProto.TYPE_DOUBLE: "float",
    FieldDescriptorProto.TYPE_ENUM: "int",  # an open set: a newer server may send numbers that have no name here
    FieldDescriptorProto.TYPE_INT32: "int",
    FieldDescriptorProto.TYPE_INT64: "int",
    FieldDescriptorProto.TYPE_STRING: "str",
    FieldDescriptorProto.TYPE_UINT32: "int",
    FieldDescriptorProto.TYPE_UINT64: "int",
}
"""The scalar types in use; one that is missing stops the generator with a KeyError."""

VOCABULARY = {
    "_t.": "import typing as _t",
    "_Iterable[": "from collections.abc import Iterable as _Iterable",
    "_Mapping[": "from collections.abc import Mapping as _Mapping",
    "_descriptor.": "from google.protobuf import descriptor as _descriptor",
    "_message.": "from google.protobuf import message as _message",
    "_containers.": "from google.protobuf.internal import containers as _containers",
    "_enums.": "from google.protobuf.internal import enum_type_wrapper as _enums",
    "_wkt.": "from google.protobuf.internal import well_known_types as _wkt",
    "_calls.": "from bridge._pb import calls as _calls",
    "_rpc.": "from bridge._pb import rpc as _rpc",
}
"""Imports of a stub, each by the mark that it is used."""


def type_stub(file: FileDescriptorProto, files: list[FileDescriptorProto], *, docstring: str) -> str:
    """The text of a module's `.pyi`; `files` are all that its types may come from."""
    body = "".join(_Body(file, files).lines())
    used = [statement for mark, statement in VOCABULARY.items() if mark in body]
    return "\n".join([docstring, *used, *imports(file), "", body])


def imports(file: FileDescriptorProto) -> list[str]:
    """One statement for each file that this one imports."""
    modules = [f"bridge._pb.{name.removesuffix('.proto').replace('/', '.')}_pb2" for name in file.dependency]
    return [f"from {package} import {name} as _{name}" for package, _, name in (m.rpartition(".") for m in modules)]


def comments(file: FileDescriptorProto) -> dict[Place, str]:
    """The comment of each definition that has one; none for protobuf's own files, whose comments are not ours."""
    if file.package == "google.protobuf":
        return {}
    return {
        tuple(location.path): "\n".join(line.strip() for line in text.strip().splitlines())
        for location in file.source_code_info.location
        if (text := location.leading_comments or location.trailing_comments)
    }


class _Body:
    """Writes the definitions of one file, with all names of its types at hand."""

    def __init__(self, file: FileDescriptorProto, files: list[FileDescriptorProto]) -> None:
        self._file = file
        self._comments = comments(file)
        self._names: dict[str, str] = {}  # how this stub refers to a message, by its full name in protobuf
        self._map_entries: dict[str, DescriptorProto] = {}
        for other in files:
            prefix = "" if other.name == file.name else f"_{PurePosixPath(other.name).stem}_pb2."
            for message in other.message_type:
                self._learn(message, scope=f".{other.package}.", prefix=prefix)

    def _learn(self, message: DescriptorProto, *, scope: str, prefix: str) -> None:
        self._names[scope + message.name] = prefix + message.name
        if message.options.map_entry:
            self._map_entries[scope + message.name] = message
        for nested in message.nested_type:
            self._learn(nested, scope=f"{scope}{message.name}.", prefix=f"{prefix}{message.name}.")

    def lines(self) -> Iterator[str]:
        file = self._file
        yield "DESCRIPTOR: _descriptor.FileDescriptor\n"
        for index, enum in enumerate(file.enum_type):
            yield from self._enum(enum, (FileDescriptorProto.ENUM_TYPE_FIELD_NUMBER, index))
        for index, message in enumerate(file.message_type):
            yield from self._message(message, (FileDescriptorProto.MESSAGE_TYPE_FIELD_NUMBER, index))
        for index, service in enumerate(file.service):
            yield from self._service(service, (FileDescriptorProto.SERVICE_FIELD_NUMBER, index))

    def _enum(self, enum: EnumDescriptorProto, place: Place) -> Iterator[str]:
        numbers = [f"{value.name}: _t.Final = {value.number}\n" for value in enum.value]
        yield f"\nclass _{enum.name}(_enums.EnumTypeWrapper):\n{self._docstring(place)}"
        yield from (f"    {number}" for number in numbers)
        yield f"\n{enum.name}: _{enum.name}\n"
        yield from numbers

    def _message(self, message: DescriptorProto, place: Place) -> Iterator[str]:
        well_known = f"{self._file.package}.{message.name}" in WKTBASES
        bases = f"_message.Message, _wkt.{message.name}" if well_known else "_message.Message"
        yield f"\nclass {message.name}({bases}):\n{self._docstring(place)}"
        yield "    DESCRIPTOR: _descriptor.Descriptor\n"
        for index, enum in enumerate(message.enum_type):
            text = "".join(self._enum(enum, (*place, DescriptorProto.ENUM_TYPE_FIELD_NUMBER, index)))
            yield indent(text, "    ")
        for index, nested in enumerate(message.nested_type):
            if not nested.options.map_entry:
                text = "".join(self._message(nested, (*place, DescriptorProto.NESTED_TYPE_FIELD_NUMBER, index)))
                yield indent(text, "    ")
        yield "\n"
        for index, field in enumerate(message.field):
            yield self._field(field, self._comments.get((*place, DescriptorProto.FIELD_FIELD_NUMBER, index), ""))
        yield from self._methods(message.field)

    def _field(self, field: FieldDescriptorProto, comment: str) -> str:
        comment = " ".join(comment.split())
        if field.type == FieldDescriptorProto.TYPE_ENUM:
            enum = field.type_name.rpartition(".")[2]
            comment = f"{enum}; {comment}" if comment else enum
        if _repeated(field) or field.type == FieldDescriptorProto.TYPE_MESSAGE:
            body = f'\n        """{comment}"""' if comment else " ..."
            return f"    @property\n    def {field.name}(self) -> {self._read(field)}:{body}\n"
        return f"    {field.name}: {self._read(field)}{f'  # {comment}' if comment else ''}\n"

    def _methods(self, fields: Iterable[FieldDescriptorProto]) -> Iterator[str]:
        parameters = [f"        {field.name}: {self._accepted(field)} | None = None,\n" for field in fields]
        yield "    def __init__(\n        self,\n" if parameters else "    def __init__(self"
        if parameters:
            yield "".join(["        *,\n", *parameters, "    "])
        yield ") -> None: ...\n"
        for method, returned, names in (
            ("HasField", "bool", [field.name for field in fields if _has_presence(field)]),
            ("ClearField", "None", [field.name for field in fields]),
        ):
            if names:
                literal = ", ".join(f'"{name}"' for name in names)
                yield f"    def {method}(self, field_name: _t.Literal[{literal}]) -> {returned}: ...\n"

    def _service(self, service: ServiceDescriptorProto, place: Place) -> Iterator[str]:
        types = [f"[{self._names[method.input_type]}, {self._names[method.output_type]}]" for method in service.method]
        yield f"\nclass _{service.name}(_rpc.Service):\n{self._docstring(place)}"
        for method, messages in zip(service.method, types, strict=True):
            yield f"    {method.name}: _rpc.Method{messages}\n"
        yield f"\n{service.name}: _{service.name}\n"
        for stub, channel, flavour in (("Stub", "grpc.aio", ""), ("BlockingStub", "grpc", "Blocking")):
            yield f"\nclass {service.name}{stub}(_rpc.Stub):\n"
            yield f'    """Calls {self._file.package}.{service.name} on a `{channel}` channel."""\n\n'
            for index, (method, messages) in enumerate(zip(service.method, types, strict=True)):
                sent = "Stream" if method.client_streaming else "Unary"
                received = "Stream" if method.server_streaming else "Unary"
                yield f"    {method.name}: _calls.{flavour}{sent}{received}{messages}\n"
                yield self._docstring((*place, ServiceDescriptorProto.METHOD_FIELD_NUMBER, index))

    def _docstring(self, place: Place) -> str:
        comment = self._comments.get(place)
        if comment is None:
            return ""
        last = "\n" if "\n" in comment else ""
        return indent(f'"""{comment}{last}"""\n', "    ")

    def _element(self, field: FieldDescriptorProto) -> str:
        """Type of one value of the field."""
        return self._names[field.type_name] if field.type == FieldDescriptorProto.TYPE_MESSAGE else SCALARS[field.type]

    def _entry(self, field: FieldDescriptorProto) -> tuple[FieldDescriptorProto, FieldDescriptorProto] | None:
        """Key and value if the field is a map."""
        entry = self._map_entries.get(field.type_name)
        return None if entry is None else (entry.field[0], entry.field[1])

    def _read(self, field: FieldDescriptorProto) -> str:
        """Type of the attribute."""
        if entry := self._entry(field):
            key, value = entry
            kind = "MessageMap" if value.type == FieldDescriptorProto.TYPE_MESSAGE else "ScalarMap"
            return f"_containers.{kind}[{self._element(key)}, {self._element(value)}]"
        if _repeated(field):
            kind = "Composite" if field.type == FieldDescriptorProto.TYPE_MESSAGE else "Scalar"
            return f"_containers.Repeated{kind}FieldContainer[{self._element(field)}]"
        return self._element(field)

    def _accepted(self, field: FieldDescriptorProto) -> str:
        """Type of the constructor's parameter, but for None."""
        if entry := self._entry(field):
            key, value = entry
            return f"_Mapping[{self._element(key)}, {self._element(value)}]"
        return f"_Iterable[{self._element(field)}]" if _repeated(field) else self._element(field)


def _repeated(field: FieldDescriptorProto) -> bool:
    return field.label == FieldDescriptorProto.LABEL_REPEATED


def _has_presence(field: FieldDescriptorProto) -> bool:
    """Whether "not set" and "the default value" are two things: messages, and scalars declared `optional`."""
    return field.proto3_optional or (field.type == FieldDescriptorProto.TYPE_MESSAGE and not _repeated(field))
