"""Nonsense through the real bus to a real bridge on a real containerd: an error each time, nothing done, and the bridge goes on.

A short and seeded set; thousands go to the twins in memory (`tests/unit/control/test_fuzz.py`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import nats
import pytest
from hypothesis import HealthCheck, given, seed, settings

from bridge.errors import CODES, BadEnvelope
from bridge.model.codec import decode_as
from bridge.model.commands import COMMANDS
from bridge.model.identity import is_identifier
from bridge.model.outcomes import Outcome
from bridge.model.subjects import Subjects, quote
from tests.fix_bridge import Bridge, BridgeFactory
from tests.fuzz import BODIES, IDS, SPECS
from tests.testbed import BUSYBOX, Containerd, Ctr

pytestmark = pytest.mark.containerd

ROUND = 1
"""The seed."""

SUBJECTS = Subjects()

LARGEST = 500_000
"""Bytes of a body; what nats-server does not take never comes to the bridge."""


def drawn(strategy: Any, count: int) -> list[Any]:
    """So many values, the same each time."""
    found: list[Any] = []

    @seed(ROUND)
    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(value=strategy)
    def draw(value: Any) -> None:
        found.append(value)

    draw()
    return found


def content(ctr: Ctr) -> dict[str, str]:
    """Everything that is in containerd and is no garbage, in its own client's words."""
    ctr.collect_garbage()
    return {
        "namespaces": ctr.host.run("ctr", "namespaces", "ls", "-q").stdout,
        "containers": ctr("containers", "ls"),
        "tasks": ctr("tasks", "ls"),
        "images": ctr("images", "ls", "-q"),
        "snapshots": ctr("snapshots", "ls"),
        "leases": ctr("leases", "ls", "-q"),
        "content": ctr("content", "ls", "-q"),
    }


class Here:
    """A bridge, and the bare client of whoever does not know our rules."""

    def __init__(self, bridge: Bridge, ctr: Ctr, client: Any) -> None:
        self.bridge = bridge
        self.ctr = ctr
        self.client = client

    async def send(self, subject: str, body: bytes) -> Outcome | None:
        """Send; None where the bus itself does not take it to any bridge."""
        try:
            answer = await self.client.request(subject, body, timeout=90)
        except (nats.errors.BadSubjectError, nats.errors.NoRespondersError):
            return None
        assert "\n" not in (answer.headers or {}).get("Nats-Service-Error", "")
        return decode_as(answer.data, Outcome)

    def is_well(self) -> None:
        assert self.bridge.process.poll() is None
        for line in self.bridge.lines:
            assert "Traceback" not in json.dumps(line), line
            assert "nobody thought of" not in line["message"], line


def has_a_code(outcome: Outcome, sent: Any) -> None:
    assert outcome.error is not None, (outcome, sent)
    assert outcome.error.code in CODES
    assert outcome.error.code != "internal", (outcome, sent)
    assert "Traceback" not in str(outcome)
    assert 'File "' not in str(outcome)


@pytest.fixture
def started(bridge_factory: BridgeFactory, containerd: Containerd, nats_url: str, tmp_path: Path) -> Bridge:
    daemon = bridge_factory(
        *("--containerd", containerd.address, "--nats", nats_url, "--node", "n1", "--commands", "all"),
        *("--state-dir", tmp_path / "state", "--fifo-dir", containerd.fifo_dir),
    )
    daemon.live()
    return daemon


async def bodies(here: Here) -> None:
    verbs, answered = sorted(COMMANDS), 0
    for number, body in enumerate(drawn(BODIES, 120)):
        verb = verbs[number % len(verbs)]
        kind = COMMANDS[verb]
        if len(body) > LARGEST or is_a_command(kind, body):
            continue
        place = "-" if kind.targets != "container" else "web=2E1"
        space = "-" if verb in {"version", "cancel"} else quote(here.ctr.namespace)
        outcome = await here.send(f"containerd.commands.n1.{space}.{place}.{verb}", body)
        assert outcome is not None, (verb, body)
        has_a_code(outcome, (verb, body))
        answered += 1
    assert answered > 60


def is_a_command(kind: Any, body: bytes) -> bool:
    try:
        decode_as(body or b"{}", kind)
    except BadEnvelope:
        return False
    return True


async def names(here: Here) -> None:
    verbs = [verb for verb in sorted(COMMANDS) if COMMANDS[verb].targets == "container"]
    for number, name in enumerate(drawn(IDS, 120)):
        verb = verbs[number % len(verbs)]
        if name and len(name) < 2_000:
            outcome = await here.send(SUBJECTS.command("n1", here.ctr.namespace, name, verb), b"{}")
            assert outcome is not None
            has_a_code(outcome, (verb, name))
        if not (set(name) & set(" \t\r\n\0*>") or ".." in name or not name.isascii() or len(name) > 1_000):
            # As somebody would who does not quote: what comes to a bridge is answered.
            outcome = await here.send(f"containerd.commands.n1.{name}.web=2E1.stop", b"{}")
            if outcome is not None:
                has_a_code(outcome, name)
        body = msgspec.json.encode({"args": ["true"], "exec_id": name})
        outcome = await here.send(SUBJECTS.command("n1", here.ctr.namespace, "web.1", "exec"), body)
        assert outcome is not None
        if not is_identifier(name):
            has_a_code(outcome, name)


async def specs(here: Here) -> None:
    for number, spec in enumerate(drawn(SPECS, 60)):
        body = msgspec.json.encode({"image": BUSYBOX, "spec": spec})
        if len(body) > LARGEST:
            continue
        outcome = await here.send(SUBJECTS.command("n1", here.ctr.namespace, f"fuzz-{number}", "create"), body)
        assert outcome is not None
        if outcome.outcome != "ok":
            has_a_code(outcome, spec)
            continue
        # What was changed asks for nothing.
        gone = await here.send(SUBJECTS.command("n1", here.ctr.namespace, f"fuzz-{number}", "delete"), b"{}")
        assert gone is not None
        assert gone.outcome == "ok", gone


async def test_nothing_comes_of_nonsense(started: Bridge, ctr: Ctr, nats_url: str) -> None:
    client = await nats.connect(nats_url)
    try:
        here = Here(started, ctr, client)
        ctr.run("web.1", "sh", "-c", "trap 'exit 0' TERM; while true; do sleep 1; done", detach=True)
        before = content(ctr)
        await bodies(here)
        await names(here)
        await specs(here)
        here.is_well()
        assert content(ctr) == before
        outcome = await here.send(SUBJECTS.command("n1", ctr.namespace, "web.1", "pause"), b"{}")
        assert outcome is not None
        assert outcome.outcome == "ok"
    finally:
        await client.close()
