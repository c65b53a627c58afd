"""What is wrong with an option, in words: nobody who mistypes one has to read a regular expression.

The words stand beside each pattern, as its `description`, and so in the schemas too. The value is not repeated: nobody knows yet
whether it is a secret, and the sentence goes into the record.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

from msgspec import Meta, Struct

__all__ = ["explained", "forms_of"]

_UNFIT: Final = re.compile(r"Expected `str` matching regex (?P<pattern>['\"].*['\"]) - at `\$\.?(?P<at>.*)`", re.DOTALL)


def explained(kind: type[Struct], said: str) -> str:
    """Return what msgspec says of options, with words in place of a pattern."""
    found = _UNFIT.fullmatch(said)
    words = _words(kind).get(found["pattern"]) if found else None
    return said if found is None or words is None else f"{found['at']} has to be {words}"


def forms_of(kind: type[Struct]) -> Iterator[Meta]:
    """Iterate over the patterns that a struct's options have to fit, those of its parts too."""
    for hint in get_type_hints(kind, include_extras=True).values():
        yield from _forms(hint)


@cache
def _words(kind: type[Struct]) -> dict[str, str]:
    return {repr(form.pattern): form.description for form in forms_of(kind) if form.description is not None}


def _forms(hint: Any) -> Iterator[Meta]:
    if isinstance(hint, type) and issubclass(hint, Struct):
        yield from forms_of(hint)
    if get_origin(hint) is Annotated:
        yield from (mark for mark in get_args(hint)[1:] if isinstance(mark, Meta) and mark.pattern is not None)
    for part in get_args(hint):
        yield from _forms(part)
