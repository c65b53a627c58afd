"""The AsyncAPI document is valid for the official parser, which is what `asyncapi validate` asks, and has all that there is."""

from __future__ import annotations

import json
from typing import Any

from bridge.model.asyncapi import asyncapi
from bridge.model.catalogue import addresses
from bridge.model.commands import COMMANDS
from bridge.model.envelope import EVENT_TYPES
from tests.interop.programs import PARSE_ASYNCAPI
from tests.testbed import Javascript


def parsed(javascript: Javascript, document: dict[str, Any]) -> dict[str, Any]:
    (javascript.directory / "parse.mjs").write_text(PARSE_ASYNCAPI)
    ran = javascript.run("parse.mjs", text=json.dumps(document))
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def test_the_official_parser_finds_nothing_wrong_and_everything_there(javascript: Javascript) -> None:
    found = parsed(javascript, asyncapi())
    assert found["wrong"] == []
    assert {*EVENT_TYPES, *(f"{kind}.{verb}" for verb in COMMANDS for kind in ("command", "outcome"))} < set(
        found["messages"]
    )
    assert {f"command.{verb}" for verb in COMMANDS} < set(found["operations"])
    of_events = {"containerd.events.{node}.{namespace}.{container}.{event}", "containerd.nodes.{node}.{event}"}
    others = {address for name, address in addresses().items() if name not in EVENT_TYPES}
    assert of_events | others <= set(found["channels"])


def test_it_finds_what_is_wrong(javascript: Javascript) -> None:
    document = asyncapi()
    document["channels"]["nodeEvents"]["messages"]["nobody"] = {"$ref": "#/components/messages/nobody"}
    del document["channels"]["progress"]["parameters"]["command"]
    document["operations"]["tellProgress"]["action"] = "shout"
    assert len(parsed(javascript, document)["wrong"]) > 0
