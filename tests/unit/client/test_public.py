"""The public names of the client: each is there, says what it is, and none of those that were there is gone.

`tests/data/client-api.txt` has every public name with its keywords as it was when `python -m tests.unit.client.test_public` was
last called, which adds what is new: with each release. What is in there and gone is a promise of docs/client.md broken.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from bridge import client
from bridge.client import sync

FILE = Path(__file__).parents[2] / "data" / "client-api.txt"
MODULES = (client, sync)


def public(module: ModuleType) -> Iterator[str]:
    """Every public name, method and field, with the keywords that it takes."""
    for name in module.__all__:
        thing = getattr(module, name)
        where = f"{module.__name__}.{name}"
        yield where + keywords(thing) if inspect.isfunction(thing) else where
        if not inspect.isclass(thing):
            continue
        if issubclass(thing, msgspec.Struct):
            yield from (f"{where}.{field}" for field in thing.__struct_fields__)
        for member, value in inspect.getmembers(thing):
            if member.startswith("_") or not thing.__module__.startswith("bridge.client"):
                continue
            if inspect.isfunction(value):
                yield f"{where}.{member}{keywords(value)}"
            elif isinstance(value, property):
                yield f"{where}.{member}"


def keywords(function: object) -> str:
    names = [name for name in inspect.signature(function).parameters if name != "self"]  # type: ignore[arg-type]
    return f"({', '.join(names)})"


def now() -> list[str]:
    return sorted(dict.fromkeys(line for module in MODULES for line in public(module)))


def kept(line: str, there: dict[str, set[str]]) -> bool:
    """Whether a name is there, with all its keywords."""
    name, _, words = line.rstrip(")").partition("(")
    return name in there and set(filter(None, words.split(", "))) <= there[name]


def test_no_public_name_and_no_keyword_is_gone() -> None:
    there = {}
    for line in now():
        name, _, words = line.rstrip(")").partition("(")
        there[name] = set(filter(None, words.split(", ")))
    told = FILE.read_text("utf-8").splitlines()
    assert len(told) > 500
    assert [line for line in told if not kept(line, there)] == []


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.__name__))
def test_each_says_what_it_is(module: ModuleType) -> None:
    for name in module.__all__:
        thing = getattr(module, name)
        if not (inspect.isclass(thing) or inspect.isroutine(thing)):
            continue  # the name of a type
        assert (thing.__doc__ or "").strip(), name
        for member, value in vars(thing).items() if inspect.isclass(thing) else ():
            if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                assert (value.__doc__ or "").strip(), f"{name}.{member}"


if __name__ == "__main__":
    FILE.write_text("\n".join(now()) + "\n", "utf-8")
