"""One thing that a spec asks of its host beyond what containerd gives every container, and reading it out of hostile input.

Whoever reads a spec here takes nothing for granted: every value may be of any type and of any size. What cannot be read is
not passed over but an ask of its own, of a field that nobody knows, and so is refused unless a rule names that field.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct

__all__ = ["MOST_ASKS", "Ask", "AskKind", "Asks", "shown"]

AskKind: TypeAlias = Literal[
    "annotations",
    "capabilities",
    "cgroup_paths",
    "checkpoint_paths",
    "checkpoints",
    "devices",
    "fields",
    "file_systems",
    "hooks",
    "host_mounts",
    "host_namespaces",
    "hosts_dirs",
    "labels",
    "log_files",
    "log_programs",
    "masked_paths",
    "moved",
    "namespace_paths",
    "new_privileges",
    "oom_score",
    "propagation",
    "root_user",
    "runtime_options",
    "runtimes",
    "sysctls",
    "trust",
    "unconfined",
    "writable_cgroups",
]
"""What is asked, in the word of the permission that allows it (`bridge.policy.permissions.Permissions`); `moved` none does."""

MOST_ASKS: Final = 256
"""A spec that asks for more is not read to its end: it is refused whatever the rules say."""

LONGEST_SHOWN: Final = 100


class Ask(Struct, frozen=True, kw_only=True):
    """What is asked: `value` in the form that the permission is compared with, `text` for people."""

    kind: AskKind
    value: str = ""
    write: bool = False
    grantable: bool = True
    """False for what no rule can allow: it is not clear what it means."""
    inherited: bool = False
    """Whether the container that is there has it itself, whoever gave it: a rule with `existing` allows that too."""
    text: str = ""

    def __str__(self) -> str:
        return self.text


class Asks:
    """Gathers what one spec asks, each thing once. Never raises."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, bool, bool], Ask] = {}
        self._more = False

    def add(self, kind: AskKind, text: str, value: object = "", *, write: bool = False, grantable: bool = True) -> None:
        """Note one thing."""
        told = value if isinstance(value, str) else shown(value)
        key = (kind, told, write, grantable)
        if key in self._found:
            return
        if len(self._found) >= MOST_ASKS:
            self._more = True
            return
        self._found[key] = Ask(kind=kind, value=told, write=write, grantable=grantable, text=text)

    def unknown(self, field: str) -> None:
        """Note a field that is not known here, or whose value is none. The value is not told: it may be a secret."""
        name = field if field.isprintable() and len(field) <= LONGEST_SHOWN else shown(field)
        self.add("fields", f"sets {name}, which is not judged here", field)

    def every(self) -> tuple[Ask, ...]:
        """Return what was noted, in the order in which it was found."""
        found = tuple(self._found.values())
        if not self._more:
            return found
        return (*found, Ask(kind="fields", grantable=False, text=f"asks for more than {MOST_ASKS} things"))

    # -- reading: `None` is absent, as it is for the runtime, and what is of another type is an unknown field

    def table(self, value: object, field: str) -> Mapping[Any, Any]:
        """Return an object."""
        if value is None:
            return {}
        if isinstance(value, Mapping):
            return value
        self.unknown(field)
        return {}

    def entries(self, value: object, field: str) -> Iterator[Any]:
        """Iterate over a list; not much further than anybody would read the answer."""
        if value is None:
            return
        if not isinstance(value, list | tuple):
            self.unknown(field)
            return
        for each in value:
            if self._more:
                return
            yield each

    def texts(self, value: object, field: str) -> list[str]:
        """Return a list of texts."""
        found: list[str] = []
        for each in self.entries(value, field):
            if isinstance(each, str):
                found.append(each)
            else:
                self.unknown(field)
        return found

    def text(self, value: object, field: str) -> str:
        """Return a text."""
        if value is None or isinstance(value, str):
            return value or ""
        self.unknown(field)
        return ""

    def leave(self, table: Mapping[Any, Any], known: frozenset[str], field: str) -> None:
        """Note every key of `table` that is not `known`.

        Letter for letter: the runtime takes `Hooks` for `hooks`, so a known key in another spelling is none.
        """
        for key, value in table.items():
            if self._more:
                return
            if not (isinstance(key, str) and key in known) and value is not None:
                name = key if isinstance(key, str) else shown(key)
                self.unknown(f"{field}.{name}" if field else name)


def shown(value: object) -> str:
    """Return any value as a short text of one line."""
    match value:
        case str():
            text = value if len(value) <= LONGEST_SHOWN else f"{value[:LONGEST_SHOWN]}…"
            return ascii(text) if not text.isprintable() else repr(text)
        case bool() | None | float():
            return str(value).lower() if value is not None else "null"
        case int():
            return str(value) if -(1 << 64) < value < 1 << 64 else "a number beyond 64 bits"
        case Mapping():
            return f"an object of {len(value)}"
        case list() | tuple():
            return f"a list of {len(value)}"
        case _:
            return f"a {type(value).__name__}"
