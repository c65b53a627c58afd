"""Files and messages on the pages: our own loader reads settings and policies, nats-server takes its own, messages are valid.

The blocks of these languages on every page are run here, whoever wrote the page; and the lines of deploy/nats/README.md.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator
from msgspec.structs import fields
from referencing import Registry, Resource

from bridge.client.finding import Finding
from bridge.client.troubles import TROUBLES
from bridge.config import load
from bridge.errors import ConfigError
from bridge.model.envelope import EVENT_TYPES
from bridge.model.events import ContainerEvent
from bridge.model.schema import schemas
from bridge.policy.file import read_policy
from tests.pages import PAGES, ROOT, Block, blocks
from tests.testbed.nats import executable

PERMISSIONS: Final = blocks("deploy/nats/README.md", "sh")
CLAIMED: Final = [*(block for page in PAGES for block in blocks(page, "toml", "json", "jsonl", "nats")), *PERMISSIONS]

SCHEMAS: Final = schemas()
REGISTRY: Final[Registry[Any]] = Registry().with_resources(
    [(name, Resource.from_contents(contents)) for name, contents in SCHEMAS.items()]
)


def of(*languages: str) -> list[Block]:
    return [block for block in CLAIMED if block.language in languages]


@pytest.mark.parametrize("block", of("toml"), ids=str)
def test_a_file_of_ours_is_read_by_our_loader(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "file.toml"
    file.write_text(block.text, "utf-8")
    file.chmod(0o644)
    if {"rules", "default"} & set(tomllib.loads(block.text)):
        read_policy(file)
    else:
        load({}, file=file, environ={})


def test_a_setting_that_does_not_exist_would_be_found(tmp_path: Path) -> None:
    file = tmp_path / "file.toml"
    file.write_text("events_max_age = 7\n", "utf-8")
    with pytest.raises(ConfigError):
        load({}, file=file, environ={})


def faults(message: dict[str, Any]) -> list[str]:
    """What is wrong with a message, by the schema that it has all its fields from."""
    if "specversion" in message:
        return [*against("envelope.json", message), *against(f"{message['type']}.json", message["data"])]
    if "trouble" in message:  # not on the bus: what `doctor --json` prints
        known = message["trouble"] in TROUBLES and set(message) <= set(Finding.__struct_fields__)
        return [] if known else [f"doctor prints nothing like {message}"]
    names = [name for name in SCHEMAS if set(message) <= properties(name)]
    found = {name: against(name, message) for name in names}
    if not names:
        return [f"no schema has all of {sorted(message)}"]
    return [] if any(not wrong for wrong in found.values()) else [str(found)]


def against(name: str, message: Any) -> list[str]:
    validator = Draft202012Validator(
        SCHEMAS[name], registry=REGISTRY, format_checker=Draft202012Validator.FORMAT_CHECKER
    )
    unknown = sorted(set(message) - properties(name))
    return [error.message for error in validator.iter_errors(message)] + [f"{name} has no {field}" for field in unknown]


def properties(name: str) -> set[str]:
    schema: dict[str, Any] = SCHEMAS[name]
    if "$ref" in schema:
        schema = schema["$defs"][schema["$ref"].rpartition("/")[2]]
    return set(schema.get("properties", {}))


@pytest.mark.parametrize("block", of("json", "jsonl"), ids=str)
def test_a_message_is_valid(block: Block) -> None:
    texts = block.text.splitlines() if block.language == "jsonl" else [block.text]
    assert [faults(json.loads(text)) for text in texts] == [[] for _ in texts]


def test_a_message_with_a_mistake_is_found() -> None:
    [event, *_] = [json.loads(block.text) for block in blocks("docs/concepts.md", "json")]
    assert faults(event) == []
    assert faults(event | {"data": event["data"] | {"exitstatus": 1}}) != []
    assert faults(event | {"time": "yesterday"}) != []
    assert faults({"session": "s", "no": 1}) != []


@pytest.mark.parametrize("block", of("nats"), ids=str)
def test_nats_server_takes_its_configuration(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "nats.conf"
    file.write_text(block.text, "utf-8")
    ran = subprocess.run([executable(), "-t", "-c", file], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_permissions_are_made_as_their_page_says(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "deploy" / "nats", tmp_path, dirs_exist_ok=True)
    environ = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    for block in PERMISSIONS:
        ran = subprocess.run(
            ["sh", "-ec", block.text], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, (block, ran.stderr)
    made = (tmp_path / "shop.conf").read_text("utf-8")
    assert "containerd.commands.*.shop." in made
    assert "NAMESPACE" not in made


# -- docs/events.md


def rows(page: str, heading: str) -> dict[str, tuple[str, list[str]]]:
    """The table below a heading: event -> type, fields."""
    text = (ROOT / page).read_text("utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `"):
            found[cells[0].strip("`")] = (cells[1].strip("`"), cells[2].strip("`").split("` `"))
    return found


def test_every_event_is_listed_with_its_fields() -> None:
    beside = {one.name for one in fields(ContainerEvent)}
    of_containers = {kind for kind in EVENT_TYPES.values() if issubclass(kind, ContainerEvent)}
    for heading, kinds in (
        ("Events of containers", of_containers),
        ("Events of nodes", set(EVENT_TYPES.values()) - of_containers),
    ):
        there = {
            kind.word: (
                kind.type,
                [one.name for one in fields(kind) if not (kind in of_containers and one.name in beside)],
            )
            for kind in kinds
        }
        assert rows("docs/events.md", heading) == there


# -- docs/troubleshooting.md

SOURCE: Final = re.sub(
    r'"\s*f?"',
    "",
    "".join(file.read_text("utf-8") for file in sorted(ROOT.glob("bridge/**/*.py")) if "_pb" not in file.parts),
)
"""All of the program, with the pieces of a sentence put together that stand on lines of their own."""


def sentences() -> list[str]:
    """What the page says that one sees, in the first column of its tables; a name in it may be another."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
    return re.findall(r"^\| `([^`]+ [^`]+)` \|", page, re.MULTILINE)


@pytest.mark.parametrize("sentence", sentences())
def test_what_one_sees_is_something_that_is_said(sentence: str) -> None:
    names = r"\.\.\.|\bn1\b|web\.1|deploy-7|CONTAINERD_EVENTS"
    pieces = [piece.strip() for piece in re.split(names, sentence) if len(piece.strip()) > 4]
    assert pieces
    assert [piece for piece in pieces if piece not in SOURCE] == []


def test_there_are_sentences_to_look_for() -> None:
    assert len(sentences()) > 6
