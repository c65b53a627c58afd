"""What is wrong with an option is said in words."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bridge.errors import BadEnvelope
from bridge.model.codec import decode_as
from bridge.model.commands import COMMANDS, Command, explained
from bridge.model.commands.explaining import forms_of


@pytest.mark.parametrize("kind", COMMANDS.values(), ids=COMMANDS)
def test_every_form_has_its_words(kind: type[Command]) -> None:
    assert [form.pattern for form in forms_of(kind) if not form.description] == []


@pytest.mark.parametrize(
    ("verb", "options", "sentence"),
    [
        ("create", {"network": "foo"}, "network has to be none, host, or ns:/PATH of a network namespace"),
        ("run", {"network": "host\n"}, "network has to be none, host, or ns:/PATH of a network namespace"),
        ("run", {"mounts": [{"target": "x"}]}, "mounts[0].target has to be an absolute path"),
        ("create", {"env": ["A=b", "=secret"]}, "env[1] has to be NAME=VALUE, or a NAME alone"),
        ("create", {"id": "'\""}, "id has to be letters and digits, with single '.', '_' or '-' between them"),
        ("update", {"cpuset_cpus": "x"}, "cpuset_cpus has to be numbers such as 0-3,7"),
        ("pull", {"platform": "linux"}, "platform has to be a platform such as linux/arm64"),
        ("pull", {"labels": {"a": 1}}, "Expected `str`, got `int` - at `$.labels[...]`"),
        ("stop", {"grace": -1}, "Expected `float` >= 0.0 - at `$.grace`"),
        ("stop", {"sginal": 1}, "Object contains unknown field `sginal`"),
    ],
)
def test_an_option_that_does_not_fit_is_told_in_words(verb: str, options: dict[str, Any], sentence: str) -> None:
    kind = COMMANDS[verb]
    with pytest.raises(BadEnvelope) as failed:
        decode_as(msgspec.json.encode(options), kind)
    assert explained(kind, str(failed.value)) == sentence
    with pytest.raises(msgspec.ValidationError) as unfit:
        msgspec.convert(options, kind)
    assert explained(kind, str(unfit.value)) == sentence
