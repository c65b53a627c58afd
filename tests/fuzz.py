"""What is thrown at commands: bodies, names and specs that are nearly right, and some that are not at all."""

from __future__ import annotations

import copy
import json
from typing import Any, Final

from hypothesis import strategies as st

from bridge.model.commands import COMMANDS
from tests.unit.policy.specs import DEFAULT

__all__ = ["BODIES", "IDS", "SPECS", "VALUES"]

OPTIONS: Final = sorted({name for kind in COMMANDS.values() for name in kind.__struct_fields__})

TEXTS: Final = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["", "\0", "a\0b", "..", "../../etc", "/proc/self/root", "\ud7ff", "\u202e", "é" * 40, "A" * 70_000]
    ),
    st.sampled_from(["*", ">", "a.b", "a b", "-", "$JS.API.>", "\r\nX: y", "%s%n", "{}", "${HOME}", "null"]),
)
NUMBERS: Final = st.one_of(
    st.integers(),
    st.sampled_from([0, -1, 1 << 31, 1 << 32, 1 << 53, 1 << 63, 1 << 64, 10**400, -(1 << 63)]),
    st.floats(allow_nan=False, allow_infinity=False),
)
VALUES: Final = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(OPTIONS) | TEXTS, inner, max_size=3),
    max_leaves=6,
)


def _encoded(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


def _deep(depth: int) -> bytes:
    return b'{"spec": ' + b"[" * depth + b"]" * depth + b"}"


BODIES: Final = st.one_of(
    st.binary(max_size=200),
    st.dictionaries(st.sampled_from(OPTIONS), VALUES, max_size=5).map(_encoded),
    VALUES.map(_encoded),
    st.sampled_from([10, 1_000, 100_000]).map(_deep),
    st.sampled_from(
        [b"{", b"[]", b"7", b'"x"', b"null", b"{} {}", b'{"id": ', b"\xff\xfe", b'{"id": "' + b"x" * 100 + b'"}']
    ),
    st.sampled_from(
        [b'{"grace": 1e999}', b'{"signal": 1e400}', b'{"id": "a", "id": "b"}', b'{"not_after": "9999-99-99"}']
    ),
)
"""Bodies of commands."""

IDS: Final = st.one_of(
    st.text(max_size=100),
    st.sampled_from(
        ["", ".", "..", "a/b", "../../x", "/etc", "a..b", ".a", "a.", "-", "*", ">", "a.*", "a.>", "a b", "a\tb"]
    ),
    st.sampled_from(
        ["a\0", "a\n", "a\r\nb", "=2E", "=", "%2e%2e", "é", "\U0001f40b", "a" * 77, "a" * 5_000, "$SYS", "_INBOX.x"]
    ),
    st.from_regex(r"\A[a-z0-9]{1,5}[./*> _-][a-z0-9.]{0,5}\Z"),
)
"""Names of containers, namespaces, execs."""


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, each in inner for place in _places(each, (*path, key)))]


_PLACES: Final = _places(DEFAULT)[1:]


@st.composite
def _specs(draw: st.DrawFn) -> Any:
    """A valid spec with a few of its places replaced, taken away, or added to."""
    spec = copy.deepcopy(DEFAULT)
    for place in draw(st.lists(st.sampled_from(_PLACES), min_size=1, max_size=3)):
        *outer, last = place
        at: Any = spec
        try:
            for step in outer:
                at = at[step]
            match draw(st.sampled_from(["replace", "remove", "add"])):
                case "replace":
                    at[last] = draw(VALUES)
                case "remove":
                    del at[last]
                case "add" if isinstance(at, dict):
                    at[draw(TEXTS)] = draw(VALUES)
                case "add":
                    at.append(draw(VALUES))
        except (LookupError, TypeError):
            continue  # another change took that place away
    return spec


SPECS: Final = _specs()
"""OCI specs."""
