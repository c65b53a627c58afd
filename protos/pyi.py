"""The type stub of a generated module: what a type checker and an editor see of its classes.

Message fields are read-only properties, as protobuf refuses to assign them; the comments of a .proto file become
docstrings; `HasField` and `ClearField` take only names that protobuf would not refuse. An enum's numbers are plain `int`,
in classes and in fields, as they are at run time.
"""

from collections.abc import Iterator
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

# Where a definition stands in its file, as in SourceCodeInfo: field numbers and indexes from the top.
Place = tuple[int, ...]

IMPORTS = """\
import typing as _t
from collections.abc import Iterable as _Iterable, Mapping as _Mapping

from google.protobuf import descriptor as _descriptor, message as _message
from google.protobuf.internal import containers as _containers, enum_type_wrapper as _enums, well_known_types as _wkt
"""

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


def module_name(file_name: str) -> str:
    """Dotted name of the module generated from a .proto file."""
    return f"bridge._pb.{file_name.removesuffix('.proto').replace('/', '.')}_pb2"


def imports(file: FileDescriptorProto) -> list[str]:
    """One import statement for each file that this one imports."""
    statements = []
    for dependency in file.dependency:
        package, _, name = module_name(dependency).rpartition(".")
        statements.append(f"from {package} import {name} as _{name}")
    return statements


def comments(file: FileDescriptorProto) -> dict[Place, str]:
    """The comment of each definition that has one; none for protobuf's own files, whose comments are not ours."""
    if file.package == "google.protobuf":
        return {}
    found = {}
    for location in file.source_code_info.location:
        text = location.leading_comments or location.trailing_comments
        if text:
            found[tuple(location.path)] = "\n".join(line.strip() for line in text.strip().splitlines())
    return found


class TypeStub:
    """Writes the `.pyi` of one file; `files` are all that its types may come from."""

    def __init__(self, file: FileDescriptorProto, files: list[FileDescriptorProto], *, header: str) -> None:
        self._file = file
        self._header = header
        self._comments = comments(file)
        self._classes: dict[str, str] = {}
        self._map_entries: dict[str, DescriptorProto] = {}
        for other in files:
            alias = "" if other.name == file.name else f"_{PurePosixPath(other.name).stem}_pb2."
            for message in other.message_type:
                self._learn(message, f".{other.package}.", alias)

    def _learn(self, message: DescriptorProto, scope: str, prefix: str) -> None:
        self._classes[scope + message.name] = prefix + message.name
        if message.options.map_entry:
            self._map_entries[scope + message.name] = message
        for nested in message.nested_type:
            self._learn(nested, f"{scope}{message.name}.", f"{prefix}{message.name}.")

    def text(self) -> str:
        """The whole stub."""
        file = self._file
        parts = [self._header + "\n" + IMPORTS + "\n"]
        if file.service:
            parts.append("from bridge._pb import calls as _calls, rpc as _rpc\n")
        parts += [f"{statement}\n" for statement in imports(file)]
        parts.append("\nDESCRIPTOR: _descriptor.FileDescriptor\n")
        for index, enum in enumerate(file.enum_type):
            parts += ["\n", *self._enum(enum, (FileDescriptorProto.ENUM_TYPE_FIELD_NUMBER, index))]
        for index, message in enumerate(file.message_type):
            parts += ["\n", *self._message(message, (FileDescriptorProto.MESSAGE_TYPE_FIELD_NUMBER, index))]
        for index, service in enumerate(file.service):
            parts += ["\n", *self._service(service, (FileDescriptorProto.SERVICE_FIELD_NUMBER, index))]
        return "".join(parts)

    def _enum(self, enum: EnumDescriptorProto, place: Place) -> Iterator[str]:
        yield f"class _{enum.name}(_enums.EnumTypeWrapper):\n"
        yield self._docstring(place)
        for value in enum.value:
            yield f"    {value.name}: _t.Final = {value.number}\n"
        yield f"\n{enum.name}: _{enum.name}\n"
        for value in enum.value:
            yield f"{value.name}: _t.Final = {value.number}\n"

    def _message(self, message: DescriptorProto, place: Place) -> Iterator[str]:
        well_known = f"google.protobuf.{message.name}" in WKTBASES and self._file.package == "google.protobuf"
        yield f"class {message.name}(_message.Message{f', _wkt.{message.name}' if well_known else ''}):\n"
        yield self._docstring(place)
        yield "    DESCRIPTOR: _descriptor.Descriptor\n\n"
        for index, enum in enumerate(message.enum_type):
            yield indent("".join(self._enum(enum, (*place, DescriptorProto.ENUM_TYPE_FIELD_NUMBER, index))), "    ")
            yield "\n"
        for index, nested in enumerate(message.nested_type):
            if not nested.options.map_entry:
                body = "".join(self._message(nested, (*place, DescriptorProto.NESTED_TYPE_FIELD_NUMBER, index)))
                yield indent(body, "    ") + "\n"
        for index, field in enumerate(message.field):
            comment = self._comments.get((*place, DescriptorProto.FIELD_FIELD_NUMBER, index), "")
            yield from self._field(field, comment)
        parameters = "".join(
            f"        {field.name}: {self._accepted(field)} | None = None,\n" for field in message.field
        )
        yield (
            f"    def __init__(self, *,\n{parameters}    ) -> None: ...\n"
            if parameters
            else "    def __init__(self) -> None: ...\n"
        )
        present = [field.name for field in message.field if self._is_single_message(field) or field.proto3_optional]
        if present:
            yield f"    def HasField(self, field_name: {_literal(present)}) -> bool: ...\n"
        if message.field:
            yield f"    def ClearField(self, field_name: {_literal(field.name for field in message.field)}) -> None: ...\n"

    def _field(self, field: FieldDescriptorProto, comment: str) -> Iterator[str]:
        if field.type == FieldDescriptorProto.TYPE_ENUM:
            comment = f"{field.type_name.rpartition('.')[2]}{'; ' if comment else ''}{comment}"
        comment = " ".join(comment.split())
        if _repeated(field) or self._is_single_message(field):
            yield f"    @property\n    def {field.name}(self) -> {self._read(field)}:"
            yield f'\n        """{comment}"""\n' if comment else " ...\n"
        else:
            yield f"    {field.name}: {self._read(field)}{f'  # {comment}' if comment else ''}\n"

    def _service(self, service: ServiceDescriptorProto, place: Place) -> Iterator[str]:
        def attributes(flavour: str) -> Iterator[str]:
            for index, method in enumerate(service.method):
                request, response = self._classes[method.input_type], self._classes[method.output_type]
                kind = flavour or "_rpc.Method"
                if flavour:
                    kind += "Stream" if method.client_streaming else "Unary"
                    kind += "Stream" if method.server_streaming else "Unary"
                yield f"    {method.name}: {kind}[{request}, {response}]\n"
                comment = self._comments.get((*place, ServiceDescriptorProto.METHOD_FIELD_NUMBER, index))
                if comment:
                    yield indent(f'"""{comment}"""\n', "    ")

        yield f"class _{service.name}(_rpc.Service):\n{self._docstring(place)}"
        yield from attributes("")
        yield f"\n{service.name}: _{service.name}\n"
        for name, channel, flavour in (
            ("Stub", "grpc.aio", "_calls."),
            ("BlockingStub", "grpc", "_calls.Blocking"),
        ):
            yield f"\nclass {service.name}{name}(_rpc.Stub):\n"
            yield f'    """{self._file.package}.{service.name} on a `{channel}` channel."""\n'
            yield from attributes(flavour)

    def _docstring(self, place: Place) -> str:
        comment = self._comments.get(place)
        if comment is None:
            return ""
        ending = '\n"""' if "\n" in comment else '"""'
        return indent(f'"""{comment}{ending}\n', "    ")

    def _is_single_message(self, field: FieldDescriptorProto) -> bool:
        return field.type == FieldDescriptorProto.TYPE_MESSAGE and not _repeated(field)

    def _element(self, field: FieldDescriptorProto) -> str:
        return SCALARS[field.type] if field.type in SCALARS else self._classes[field.type_name]

    def _read(self, field: FieldDescriptorProto) -> str:
        """Type of the attribute."""
        entry = self._map_entries.get(field.type_name)
        if entry is not None:
            key, value = entry.field
            kind = "MessageMap" if self._is_single_message(value) else "ScalarMap"
            return f"_containers.{kind}[{self._element(key)}, {self._element(value)}]"
        if _repeated(field):
            kind = "Composite" if field.type == FieldDescriptorProto.TYPE_MESSAGE else "Scalar"
            return f"_containers.Repeated{kind}FieldContainer[{self._element(field)}]"
        return self._element(field)

    def _accepted(self, field: FieldDescriptorProto) -> str:
        """Type of the constructor's parameter, without None."""
        entry = self._map_entries.get(field.type_name)
        if entry is not None:
            key, value = entry.field
            return f"_Mapping[{self._element(key)}, {self._element(value)}]"
        return f"_Iterable[{self._element(field)}]" if _repeated(field) else self._element(field)


def _repeated(field: FieldDescriptorProto) -> bool:
    return field.label == FieldDescriptorProto.LABEL_REPEATED


def _literal(names: Iterator[str] | list[str]) -> str:
    return f"_t.Literal[{', '.join(repr(name) for name in names)}]"
