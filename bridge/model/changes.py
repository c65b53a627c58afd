"""What has changed between two sets of schemas that somebody who relies on the older one would notice.

The rule (docs/languages.md): what bridges send may gain fields, event types and words; it loses nothing, and no field changes
its type. Commands may gain options that need not be given; what was taken is taken. Everything else is a new event type (`.v2`),
a new verb or a new major version. `broken` names every breach by schema and place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, TypeAlias

__all__ = ["broken"]

Direction: TypeAlias = Literal["sent", "taken"]
"""Who makes the message: a bridge, so that readers must not be surprised, or a user, so that the bridge must go on taking it."""

_BOUNDS: Final[Mapping[str, int]] = {
    "minimum": 1,
    "exclusiveMinimum": 1,
    "minLength": 1,
    "minItems": 1,
    "minProperties": 1,
    "maximum": -1,
    "exclusiveMaximum": -1,
    "maxLength": -1,
    "maxItems": -1,
    "maxProperties": -1,
}
"""Bound -> whether a larger number leaves less (1) or more (-1)."""

_FORMS: Final = ("pattern", "format", "contentEncoding")
_TAKEN: Final = ("command.", "stdio.credit")


def broken(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what is broken, a sentence for each; nothing where whoever relies on `before` can rely on `now`.

    Args:
        before: schemas by the names of their files, as they were released.
        now: the present ones.
    """
    found: list[str] = []
    for file, schema in sorted(before.items()):
        name = file.removesuffix(".json")
        if file not in now:
            found.append(f"{name}: it is gone")
            continue
        direction: Direction = "taken" if name.startswith(_TAKEN) else "sent"
        found += (f"{name}: {said}" for said in _Comparison(schema, now[file], direction).of(schema, now[file], ""))
    return found


class _Comparison:
    """Of two schemas, each of which resolves its own references."""

    def __init__(self, before: Any, now: Any, direction: Direction) -> None:
        self._roots = (before, now)
        self._direction = direction

    def of(self, before: Any, now: Any, at: str) -> Iterator[str]:
        """Iterate over what is broken in a part, `at` which place it is."""
        before, now = _resolved(before, self._roots[0]), _resolved(now, self._roots[1])
        here = at or "the message"
        old, new = _alternatives(before), _alternatives(now)
        if len(old) > 1 or len(new) > 1:
            yield from self._alternatives(old, new, at)
            return
        if before.get("type") != now.get("type"):
            wider = self._direction == "taken" and "type" not in now
            if not wider and not ("enum" in before and "enum" in now):
                yield f"{here}: was {before.get('type', 'anything')}, is {now.get('type', 'anything')}"
                return
        yield from self._values(before, now, here)
        yield from self._bounds(before, now, here)
        yield from self._properties(before, now, at)
        for keyword in ("items", "additionalProperties"):
            if isinstance(before.get(keyword), dict) and isinstance(now.get(keyword), dict):
                yield from self.of(before[keyword], now[keyword], f"{at}[]")

    def _alternatives(self, old: list[Any], new: list[Any], at: str) -> Iterator[str]:
        here = at or "the message"
        kinds_before = {_kind(_resolved(each, self._roots[0])): each for each in old}
        kinds_now = {_kind(_resolved(each, self._roots[1])): each for each in new}
        for kind, each in kinds_before.items():
            if kind in kinds_now:
                yield from self.of(each, kinds_now[kind], at)
            elif self._direction == "taken" or kind != "null":
                yield f"{here}: {kind} is gone"
        if self._direction == "sent":
            for kind in kinds_now.keys() - kinds_before.keys():
                yield f"{here}: {kind} has come, for which nobody is prepared"

    def _values(self, before: Any, now: Any, here: str) -> Iterator[str]:
        old, new = _words(before), _words(now)
        if new is not None and old is None:
            yield f"{here}: only {sorted(map(str, new))} is left"
        elif old is not None and new is not None:
            for value in sorted(map(str, old - new)):
                yield f"{here}: the value {value!r} is gone"
        elif old is not None and self._direction == "sent":
            yield f"{here}: was one of {sorted(map(str, old))}, is anything"

    def _bounds(self, before: Any, now: Any, here: str) -> Iterator[str]:
        for bound, sign in _BOUNDS.items():
            if bound in now and (bound not in before or sign * (now[bound] - before[bound]) > 0):
                yield f"{here}: {bound} was {before.get(bound, 'not set')}, is {now[bound]}"
        for form in _FORMS:
            if before.get(form) == now.get(form):
                continue
            if self._direction == "sent" or form in now:
                yield f"{here}: {form} was {before.get(form, 'not set')}, is {now.get(form, 'not set')}"

    def _properties(self, before: Any, now: Any, at: str) -> Iterator[str]:
        old, new = before.get("properties", {}), now.get("properties", {})
        for name in old:
            place = f"{at}.{name}".lstrip(".")
            if name not in new:
                yield f"{place}: it is gone"
            else:
                if "default" in old[name] and old[name]["default"] != new[name].get("default"):
                    yield f"{place}: left out it meant {old[name]['default']!r}, and means {new[name].get('default')!r}"
                yield from self.of(old[name], new[name], place)
        needed_before, needed_now = set(before.get("required", ())), set(now.get("required", ()))
        if self._direction == "taken":
            for name in sorted(needed_now - needed_before):
                yield f"{f'{at}.{name}'.lstrip('.')}: it has to be given now"
            if now.get("additionalProperties") is False and before.get("additionalProperties") is not False:
                yield f"{at or 'the message'}: what is not known is refused now"
        else:
            for name in sorted((needed_before - needed_now) & new.keys()):
                yield f"{f'{at}.{name}'.lstrip('.')}: it was always there, and is not any more"


def _resolved(schema: Any, root: Any) -> Any:
    while isinstance(schema, dict) and str(schema.get("$ref", "")).startswith("#/$defs/"):
        schema = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    return schema if isinstance(schema, dict) else {}


def _alternatives(schema: Any) -> list[Any]:
    found: list[Any] = schema.get("anyOf", [schema])
    return found


def _kind(schema: Any) -> str:
    """Return what tells alternatives apart: a struct by its name, the rest by the type."""
    return str(schema.get("title") or schema.get("type") or ("a word" if "enum" in schema else "anything"))


def _words(schema: Any) -> frozenset[Any] | None:
    if "const" in schema:
        return frozenset([schema["const"]])
    return frozenset(schema["enum"]) if "enum" in schema else None
