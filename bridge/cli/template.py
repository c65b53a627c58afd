"""`--format '{time} {container} {data.exit_status}'`: a line for each event, with fields of it in the places of their names.

The names are those of the event as it stands in the log, one within another behind a dot, and a few short ones: `word`, `node`,
`namespace`, `container`, `sequence` of the stream. What an event does not have is empty.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from string import Formatter
from typing import Any, Final

from bridge.cli.details import details, word
from bridge.cli.near import near
from bridge.cli.printable import printable
from bridge.model.envelope import Recorded
from bridge.ports import StoredEvent

__all__ = ["Template"]

SHORT: Final = ("word", "node", "namespace", "container", "stream_sequence", "details")
NAMES: Final = (*SHORT, *(name for name in Recorded.__struct_fields__))


class Template:
    """A template, read and found to be in order.

    Raises:
        ValueError: it is none, or names what no event has; the sentence says what there is.
    """

    def __init__(self, text: str) -> None:
        """Take it as it was typed."""
        self._parts = list(_parts(text))
        if not any(path for _, path in self._parts):
            raise ValueError(
                f"{text!r} names no field: give table, json, docker, or a template such as '{{time}} {{word}}'"
            )

    def filled(self, event: StoredEvent) -> str:
        """Return the line for an event."""
        body = json.loads(event.body)
        return "".join(text + ("" if path is None else _shown(_found(path, body, event))) for text, path in self._parts)


def _parts(text: str) -> Iterator[tuple[str, list[str] | None]]:
    try:
        parsed = list(Formatter().parse(text.replace("\\t", "\t")))
    except ValueError as error:
        raise ValueError(f"{text!r} is no template: {error}") from error
    for literal, name, spec, conversion in parsed:
        if name is None:
            yield literal, None
            continue
        path = name.strip().split(".")
        if spec or conversion or path[0] not in NAMES:
            meant = near(path[0], NAMES)
            hint = f"did you mean {{{meant[0]}}}?" if meant else f"there are {', '.join(NAMES)}"
            raise ValueError(f"{text!r}: no event has a field {name!r}; {hint}")
        yield literal, path


def _found(path: list[str], body: Any, event: StoredEvent) -> Any:
    first, *rest = path
    if first in SHORT and not rest:
        short = {"word": word, "details": details}
        return short[first](event.recorded) if first in short else getattr(event, first)
    found = body
    while path and isinstance(found, dict):
        # Keys of labels have dots in them.
        if ".".join(path) in found:
            return found[".".join(path)]
        found, path = found.get(path[0]), path[1:]
    return None if path else found


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return printable(value) if isinstance(value, str) else printable(json.dumps(value, ensure_ascii=False))
