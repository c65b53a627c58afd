"""containerd's filters, as `Containers.List` understands them.

A filter is a comma-separated list of selectors that must all hold; several filters are alternatives, and none, or an empty
one, matches everything. A selector is a path, alone ("is there") or with `==`, `!=` or `~=` (a regular expression found
anywhere) and a value. Paths and values with other signs than letters, digits and `_` stand between double quotes; a
regular expression may also stand between `/` or `|`. (containerd, pkg/filters)
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from bridge.model.outcomes import ContainerInfo

__all__ = ["BadFilter", "container_filter"]

Matches: TypeAlias = Callable[[ContainerInfo], bool]

_TOKEN = re.compile(
    r"""\s*(?: (?P<quoted>"(?:[^"\\\n]|\\.)*") | (?P<operator>==|!=|~=) | (?P<sign>[.,]) | (?P<word>[A-Za-z0-9_]+) )""",
    re.VERBOSE | re.ASCII,
)
_VALUE = re.compile(r"""\s*(?: (?P<quoted>"(?:[^"\\\n]|\\.)*") | (?P<bare>(?![/|"=!~.])[^\s,]+) )""", re.VERBOSE)
_PATTERN = re.compile(r"\s*(?: /(?P<slash>(?:[^/\\\n]|\\.)*)/ | \|(?P<bar>(?:[^|\\\n]|\\.)*)\| )", re.VERBOSE)


class BadFilter(ValueError):
    """A filter is not in containerd's grammar."""


class _Selector(NamedTuple):
    path: tuple[str, ...]
    operator: str
    value: str

    def holds(self, container: ContainerInfo) -> bool:
        found = _field(container, self.path)
        match self.operator:
            case "":
                return found is not None
            case "==":
                return found == self.value
            case "!=":
                return (found or "") != self.value
            case _:
                return found is not None and _search(self.value, found)


def container_filter(filters: Sequence[str]) -> Matches:
    """Return what tells whether a container matches one of `filters`.

    Raises:
        BadFilter: one of them is wrong; the sentence says where.
    """
    alternatives = [_parse(text) for text in filters]
    if not alternatives or any(not selectors for selectors in alternatives):
        return lambda _container: True
    return lambda container: any(all(selector.holds(container) for selector in selectors) for selectors in alternatives)


def _parse(text: str) -> list[_Selector]:
    selectors: list[_Selector] = []
    position = 0
    while text[position:].strip():
        selector, position = _selector(text, position)
        selectors.append(selector)
        rest = text[position:].lstrip()
        if rest and not rest.startswith(","):
            raise BadFilter(f"filter {text!r}: a comma is expected before {rest!r}")
        position = len(text) - len(rest) + 1 if rest else len(text)
        if rest and not text[position:].strip():
            raise BadFilter(f"filter {text!r}: a selector is expected after the last comma")
    return selectors


def _selector(text: str, position: int) -> tuple[_Selector, int]:
    path: list[str] = []
    while True:
        token = _TOKEN.match(text, position)
        if token is None or token.lastgroup not in {"quoted", "word"}:
            raise BadFilter(f"filter {text!r}: a field is expected at {text[position:]!r}")
        path.append(_unquoted(token[0].strip()))
        position = token.end()
        token = _TOKEN.match(text, position)
        if token is None or token[0].strip() != ".":
            break
        position = token.end()
    if token is None or token.lastgroup != "operator":
        return _Selector(tuple(path), "", ""), position
    operator = token["operator"]
    value, position = _value(text, token.end(), operator)
    return _Selector(tuple(path), operator, value), position


def _value(text: str, position: int, operator: str) -> tuple[str, int]:
    if operator == "~=" and (pattern := _PATTERN.match(text, position)):
        return pattern["slash"] if pattern["slash"] is not None else pattern["bar"], pattern.end()
    value = _VALUE.match(text, position)
    if value is None:
        raise BadFilter(f"filter {text!r}: a value is expected after {operator}")
    return _unquoted(value[0].strip()), value.end()


def _unquoted(text: str) -> str:
    if not text.startswith('"'):
        return text
    try:
        # Go's escapes are JSON's and a few more; those few are not for names of labels.
        return str(json.loads(text))
    except ValueError as error:
        raise BadFilter(f"{text} is no quoted string") from error


def _field(container: ContainerInfo, path: tuple[str, ...]) -> str | None:
    fields: Mapping[tuple[str, ...], str] = {
        ("id",): container.id,
        ("image",): container.image,
        ("runtime", "name"): container.runtime,
    }
    if path[0] == "labels" and len(path) > 1:
        return container.labels.get(".".join(path[1:]))
    return fields.get(path) or None


def _search(pattern: str, text: str) -> bool:
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return False  # containerd takes a wrong expression for one that nothing matches
