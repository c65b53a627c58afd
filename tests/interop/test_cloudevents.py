"""The official CloudEvents SDKs read what bridges write: every type of event, and the log of a live bridge."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from cloudevents.v1.http import from_http

from bridge.model.envelope import CONTENT_TYPE, EVENT_TYPES
from bridge.model.schema import schemas
from tests.fix_bridge import stored
from tests.interop.conftest import Stage
from tests.interop.examples import events
from tests.interop.programs import READ_CLOUDEVENTS, VALIDATE
from tests.testbed import Javascript
from tests.valid import event as valid_event

HEADERS = {"content-type": CONTENT_TYPE}


def read_by_python(body: bytes) -> None:
    told = json.loads(body)
    read = from_http_event(HTTPMessage(HEADERS, body))
    attributes = dict(read.get_attributes())
    assert attributes.pop("time").isoformat()[:19] == told["time"][:19]
    assert attributes == {name: value for name, value in told.items() if name not in {"time", "data"}}
    assert read.get_data() == told["data"]
    older = from_http(HEADERS, body)
    assert (older["id"], older["dataschema"], older.data) == (told["id"], told["dataschema"], told["data"])


def test_there_is_an_example_of_every_type() -> None:
    found = [json.loads(body) for body in events()]
    assert [one["type"] for one in found] == list(EVENT_TYPES)
    for one in found:
        valid_event(one)


@pytest.mark.parametrize("body", list(events()), ids=list(EVENT_TYPES))
def test_pythons_sdk_reads_every_type_of_event(body: bytes) -> None:
    read_by_python(body)


def test_javascripts_sdk_reads_and_validates_every_type_of_event(javascript: Javascript) -> None:
    bodies = list(events())
    (javascript.directory / "read.mjs").write_text(READ_CLOUDEVENTS)
    ran = javascript.run("read.mjs", text="\n".join(body.decode() for body in bodies))
    assert ran.returncode == 0, ran.stderr
    for line, body in zip(ran.stdout.splitlines(), bodies, strict=True):
        told = json.loads(body)
        assert json.loads(line) == {name: told[name] for name in json.loads(line)}


def test_a_validator_of_another_language_judges_alike(javascript: Javascript) -> None:
    """Ajv takes each schema by itself; each event is valid under that of the envelope, and spoilt ones are not."""
    told: dict[str, dict[str, Any]] = {name.removesuffix(".json"): schema for name, schema in schemas().items()}
    good = [json.loads(body) for body in events()]
    spoilt = [one | {"time": "yesterday"} for one in good] + [one | {"data": {"labels": 1}} for one in good[:3]]
    messages = [("envelope", one) for one in [*good, *spoilt]]
    messages += [("command.kill", {"signal": "KILL"}), ("command.kill", {"signl": "KILL"})]
    (javascript.directory / "validate-all.mjs").write_text(VALIDATE)
    ran = javascript.run("validate-all.mjs", text=json.dumps({"schemas": told, "messages": messages}))
    assert ran.returncode == 0, ran.stderr
    found = [not wrong for wrong in json.loads(ran.stdout)]
    assert found == [*[True] * len(good), *[False] * len(spoilt), True, False]


@pytest.mark.xdist_group("interop")
@pytest.mark.nats
@pytest.mark.containerd
def test_pythons_sdk_reads_the_log_of_a_live_bridge(stage: Stage) -> None:
    found = stored(stage.url)
    assert found
    for message in found:
        assert message.headers["Content-Type"] == CONTENT_TYPE
        read_by_python(message.body)
