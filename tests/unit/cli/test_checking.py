"""`state` and `doctor`: whether all is in order."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bridge.cli import main
from bridge.client import Bus
from bridge.client.folding import Folded, key_of
from bridge.errors import ConfigError
from bridge.model.codec import encode_any
from bridge.model.state import ContainerState
from bridge.ports import StoredEvent
from tests.unit.cli.conftest import Cli
from tests.unit.cli.recorded import LIFE_OF_WEB, beat, state
from tests.unit.client.small_bus import SmallInspector, kept
from tests.unit.client.test_checkup import GOOD


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    # Differences are looked at again at once.
    monkeypatch.setattr("bridge.client.verification.PATIENCE_S", 0)


# -- state


def in_the_log(*events: StoredEvent) -> list[ContainerState]:
    found = Folded()
    for event in events:
        found.take(event)
    return list(found.ends.values())


def test_states_that_are_what_the_log_says_are_in_order(cli: Cli) -> None:
    said = cli("state", "verify", events=LIFE_OF_WEB, states=kept(*in_the_log(*LIFE_OF_WEB)))

    assert said == (0, "1 containers compared, 0 differ\n", "")


def test_differences_are_shown_and_are_a_failure(cli: Cli) -> None:
    [right] = in_the_log(*LIFE_OF_WEB)
    wrong = msgspec.structs.replace(right, status="paused", labels={})

    said = cli("state", "verify", events=LIFE_OF_WEB, states=kept(wrong))
    told = cli("state", "verify", "--json", events=LIFE_OF_WEB, states=kept(wrong)).objects

    assert said.status == 1
    assert said.lines == [
        "n1/default/web: another state is kept",
        "  status: kept paused, the log says running",
        '  labels: kept {}, the log says {"app": "web"}',
        "1 containers compared, 1 differ",
    ]
    assert [(one["kind"], one["fields"]["status"]) for one in told] == [("different", ["paused", "running"])]


def test_rebuilding_mends_them(cli: Cli) -> None:
    [right] = in_the_log(*LIFE_OF_WEB)
    store = kept(msgspec.structs.replace(right, status="paused"), state("nobody"))

    said = cli("state", "rebuild", events=LIFE_OF_WEB, states=store)

    assert said == (0, "1 states written, 1 taken away\n1 containers compared, 0 differ\n", "")
    assert store.entries[key_of(right)].value == encode_any(right)
    assert cli("state", "rebuild", "--json", events=LIFE_OF_WEB, states=store).objects == [
        {"written": 0, "removed": 0, "left": 0}
    ]


def test_without_a_store_there_is_nothing_to_verify(cli: Cli) -> None:
    assert cli("state", "verify") == (1, "", "containerd-bridge: no states are kept beside this log\n")


# -- doctor


def test_the_doctor_has_a_line_for_each_thing(cli: Cli) -> None:
    said = cli("doctor", inspector=SmallInspector(GOOD))

    assert said.status == 0
    assert said.lines[0] == "ok  nats         connected to 127.0.0.1:4222 (nats-server 2.15.1)"
    assert {line.split()[1] for line in said.lines} >= {"jetstream", "stream", "retention", "buckets", "permissions"}


def test_what_is_wrong_comes_with_what_to_do(cli: Cli) -> None:
    bad = msgspec.structs.replace(GOOD, faults=["storage is memory, needed is file"])

    said = cli("doctor", inspector=SmallInspector(bad), events=[beat("n1"), beat("n2", 3600)])
    told = cli("doctor", "--json", inspector=SmallInspector(bad)).objects

    assert said.status == 1
    [line] = [line for line in said.lines if line.startswith("fail")]
    assert "CONTAINERD_EVENTS: storage is memory, needed is file; no bridge starts with such a stream" in line
    assert {one["level"] for one in told} == {"ok", "fail"}


def test_a_server_that_cannot_be_reached_is_the_doctor_s_business(capsys: pytest.CaptureFixture[str]) -> None:
    class Nowhere:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        async def __aenter__(self) -> Bus:
            raise ConfigError("cannot connect to NATS")

        async def __aexit__(self, *_: object) -> None: ...

    assert main(["doctor"], connect=Nowhere) == 1
    assert capsys.readouterr().out.splitlines()[0] == "fail  nats  cannot connect to NATS"
