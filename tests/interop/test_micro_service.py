"""A node as the NATS micro service that it is, asked by plain requests of a client that knows nothing of services (ADR-32)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from bridge.model.commands import COMMANDS
from tests import nats_client
from tests.interop.conftest import Stage

pytestmark = [pytest.mark.xdist_group("interop"), pytest.mark.nats, pytest.mark.containerd]


def asked(url: str, subject: str) -> dict[str, Any]:
    async def ask() -> bytes:
        client = await nats_client.connect(url)
        try:
            return (await client.request(subject, b"", timeout=90)).data
        finally:
            await client.close()

    found: dict[str, Any] = json.loads(asyncio.run(ask()))
    return found


def test_a_node_is_found_described_and_counted(stage: Stage) -> None:
    ping = asked(stage.url, "$SRV.PING.containerd-bridge")
    assert (ping["type"], ping["metadata"]["node"]) == ("io.nats.micro.v1.ping_response", "n1")
    info = asked(stage.url, f"$SRV.INFO.containerd-bridge.{ping['id']}")
    subjects = {endpoint["name"]: endpoint["subject"] for endpoint in info["endpoints"]}
    assert subjects == {verb: f"containerd.commands.n1.*.*.{verb}" for verb in COMMANDS}

    def counted() -> int:
        stats = asked(stage.url, f"$SRV.STATS.containerd-bridge.{ping['id']}")
        return int(next(one["num_requests"] for one in stats["endpoints"] if one["name"] == "version"))

    before = counted()
    assert asked(stage.url, "containerd.commands.n1.-.-.version")["outcome"] == "ok"
    assert counted() == before + 1


def test_its_schemas_are_a_service_too(stage: Stage) -> None:
    info = asked(stage.url, "$SRV.INFO.containerd-bridge-schemas")
    subjects = [endpoint["subject"] for endpoint in info["endpoints"]]
    assert subjects == ["containerd.schemas.*", "containerd.schemas.*.n1"]
    assert asked(stage.url, "containerd.schemas.command=2Estop")["title"] == "Stop"
