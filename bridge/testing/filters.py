"""containerd's filters, as `Containers.List` and `Images.List` understand them.

A filter is a comma-separated list of selectors that must all hold; several filters are alternatives, and none, or an empty
one, matches everything. A selector is a path, alone ("is there") or with `==`, `!=` or `~=` (a regular expression, found
anywhere) and a value. Paths with other signs than letters, digits and `_` stand between double quotes, and so do values
with a comma or a space; a regular expression may also stand between `/` or `|`. White space may stand before a field, an
operator and a value, and nowhere else. (containerd, pkg/filters)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from bridge.model.outcomes import ContainerInfo, ImageInfo

__all__ = ["BadFilter", "container_filter", "image_filter"]

Fields: TypeAlias = Callable[[tuple[str, ...]], str | None]
"""What a thing has under a path."""

_FIELD = re.compile(r"\s*([A-Za-z0-9_]+)", re.ASCII)
_QUOTED = re.compile(r'\s*"((?:[^"\\\n]|\\.)*)"')
_OPERATOR = re.compile(r"\s*([=!~]+)")
_BARE = re.compile(r'\s*(?![/|".])([^\s,]+)')
_PATTERNS = {mark: re.compile(rf"\s*{re.escape(mark)}((?:[^{mark}\\\n]|\\.)*){re.escape(mark)}") for mark in "/|"}
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([0-7]{3})|(.))")
_NAMED = {**dict(zip("abfnrtv", "\a\b\f\n\r\t\v", strict=True)), "\\": "\\", '"': '"'}


class BadFilter(ValueError):
    """A filter is not in containerd's grammar."""


class _Selector(NamedTuple):
    path: tuple[str, ...]
    operator: str
    value: str

    def holds(self, fields: Fields) -> bool:
        found = fields(self.path)
        match self.operator:
            case "":
                return found is not None
            case "==":
                return found == self.value
            case "!=":
                return (found or "") != self.value
            case _:
                return found is not None and _search(self.value, found)


def container_filter(filters: Sequence[str]) -> Callable[[ContainerInfo], bool]:
    """Return what tells whether a container matches one of `filters`.

    Raises:
        BadFilter: one of them is wrong; the sentence says where.
    """
    matches = _filter(filters)
    return lambda container: matches(lambda path: _field(container, path))


def image_filter(filters: Sequence[str]) -> Callable[[ImageInfo], bool]:
    """Return what tells whether an image matches one of `filters`.

    Raises:
        BadFilter: one of them is wrong; the sentence says where.
    """
    matches = _filter(filters)
    return lambda image: matches(lambda path: _image_field(image, path))


def _filter(filters: Sequence[str]) -> Callable[[Fields], bool]:
    alternatives = [_Scanner(text).selectors() for text in filters]
    if not alternatives or not all(alternatives):
        return lambda _fields: True
    return lambda fields: any(all(selector.holds(fields) for selector in each) for each in alternatives)


class _Scanner:
    """Reads one filter from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def selectors(self) -> list[_Selector]:
        if not self._text:
            return []
        found = [self._selector()]
        while self._at < len(self._text):
            self._comma()
            found.append(self._selector())
        return found

    def _selector(self) -> _Selector:
        path = [self._name()]
        while self._text.startswith(".", self._at):
            self._at += 1
            path.append(self._name())
        operator = self._take(_OPERATOR)
        if operator is None:
            return _Selector(tuple(path), "", "")
        if operator not in {"==", "!=", "~="}:
            raise self._bad(f"there is no operator {operator}")
        return _Selector(tuple(path), operator, self._value(operator))

    def _name(self) -> str:
        name = self._take(_FIELD)
        if name is None and (quoted := self._take(_QUOTED)) is not None:
            name = self._unescaped(quoted)
        if name is None:
            raise self._bad("a field is expected")
        return name

    def _value(self, operator: str) -> str:
        if (quoted := self._take(_QUOTED)) is not None:
            return self._unescaped(quoted)
        if operator == "~=":
            for mark, pattern in _PATTERNS.items():
                if (found := self._take(pattern)) is not None:
                    return found.replace(f"\\{mark}", mark)
        if (bare := self._take(_BARE)) is not None:
            return bare
        raise self._bad(f"a value is expected after {operator}")

    def _comma(self) -> None:
        if not self._text.startswith(",", self._at):
            raise self._bad("a comma is expected")
        self._at += 1

    def _take(self, pattern: re.Pattern[str]) -> str | None:
        found = pattern.match(self._text, self._at)
        if found is None:
            return None
        self._at = found.end()
        return found[1]

    def _unescaped(self, quoted: str) -> str:
        # Go's escapes in a string.
        def character(escape: re.Match[str]) -> str:
            hexadecimal = escape[1] or escape[2] or escape[3]
            if hexadecimal or escape[4]:
                return chr(int(hexadecimal, 16) if hexadecimal else int(escape[4], 8))
            if escape[5] not in _NAMED:
                raise self._bad(f"there is no escape {escape[0]}")
            return _NAMED[escape[5]]

        return _ESCAPE.sub(character, quoted)

    def _bad(self, what: str) -> BadFilter:
        return BadFilter(f"filter {self._text!r}: {what} at {self._text[self._at :]!r}")


def _field(container: ContainerInfo, path: tuple[str, ...]) -> str | None:
    if path[0] == "labels" and len(path) > 1:
        return container.labels.get(".".join(path[1:]))
    fields: Mapping[tuple[str, ...], str] = {
        ("id",): container.id,
        ("image",): container.image,
        ("runtime", "name"): container.runtime,
    }
    return fields.get(path) or None


def _image_field(image: ImageInfo, path: tuple[str, ...]) -> str | None:
    if path[0] == "labels" and len(path) > 1:
        return image.labels.get(".".join(path[1:]))
    fields: Mapping[tuple[str, ...], str] = {
        ("name",): image.name,
        ("target", "digest"): image.digest,
        ("target", "mediatype"): image.media_type,
    }
    return fields.get(path) or None


def _search(pattern: str, text: str) -> bool:
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return False  # containerd takes a wrong expression for one that nothing matches
