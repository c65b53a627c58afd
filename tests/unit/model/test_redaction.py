"""No option that may be secret gets into the record of a command, also none of a command that is yet to be written."""

from __future__ import annotations

import typing
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Struct

from bridge.model.commands import COMMANDS, HIDDEN, OF_EVERY, SECRET, redacted, scrubbed, secrets_of
from bridge.model.commands.redaction import HARMLESS

CANARY = "canary-of-8a1f"


class Wake(Struct, frozen=True, kw_only=True):
    """The options of a command that nobody has thought of."""

    id: str | None = None
    args: list[str] = []
    env: dict[str, str] = {}
    variables: list[str] = []
    annotations: dict[str, str] = {}
    spec: dict[str, Any] | None = None
    labels: dict[str, str] = {}
    registry_password: str = ""
    pin: Annotated[str, SECRET] | None = None
    grace: float = 1.0
    cwd: str | None = None


def test_names_and_lengths_are_told_and_values_are_not() -> None:
    wake = Wake(
        args=["sh", "-c", CANARY],
        env={"TOKEN": CANARY},
        variables=[f"TOKEN={CANARY}", CANARY],
        annotations={"a": CANARY},
        spec={"process": {"env": [CANARY]}},
        labels={"tier": "web"},
        registry_password=CANARY,
        pin=CANARY,
        cwd="/srv",
    )
    assert redacted(Wake, msgspec.to_builtins(wake)) == {
        "args": [HIDDEN] * 3,
        "env": {"TOKEN": HIDDEN},
        "variables": [f"TOKEN={HIDDEN}", HIDDEN],
        "annotations": {"a": HIDDEN},
        "spec": {"process": HIDDEN},
        "labels": {"tier": "web"},
        "registry_password": HIDDEN,
        "pin": HIDDEN,
        "grace": 1.0,
        "cwd": "/srv",
    }


def test_what_is_not_given_is_seen_not_to_be_given() -> None:
    told = redacted(Wake, msgspec.to_builtins(Wake()))
    assert told == {name: value for name, value in msgspec.to_builtins(Wake()).items() if name not in OF_EVERY}


def test_a_sentence_that_repeats_a_secret_is_cleaned() -> None:
    options = msgspec.to_builtins(Wake(args=["run", f"--key={CANARY}"], env={"A": CANARY}))
    secrets = secrets_of(Wake, options)
    assert (
        scrubbed(f'exec "--key={CANARY}": {CANARY} not found: run it', secrets)
        == f'exec "{HIDDEN}": {HIDDEN} not found: run it'
    )


def _filled(hint: Any) -> Any:
    """A value of the type that has the canary wherever one fits, or None where there is none."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _filled(inner[0])
    if origin is list:
        return [_filled(inner[0])]
    if origin is dict:
        return {"K": _filled(inner[1])}
    if hint in (str, Any):
        return CANARY
    if isinstance(hint, type) and issubclass(hint, Struct):
        return {field.name: _filled(field.type) for field in msgspec.structs.fields(hint)}
    return next((found for found in map(_filled, inner) if found is not None), None) if inner else None


@pytest.mark.parametrize("verb", sorted(COMMANDS))
def test_every_command_tells_only_plain_options_and_lists_that_are_known_to_be_harmless(verb: str) -> None:
    kind = COMMANDS[verb]
    hints = typing.get_type_hints(kind, include_extras=True)
    options = {name: _filled(hints[name]) for name in kind.__struct_fields__}
    for name, value in redacted(kind, options).items():
        if CANARY in str(value):
            assert isinstance(value, str) or name in HARMLESS, f"{verb} tells its option {name}"
            assert not any(
                word in name for word in ("env", "args", "annotation", "password", "token", "secret", "spec")
            )
