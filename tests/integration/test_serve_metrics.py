"""The daemon's metrics are those that docs/operations.md lists, and say what has happened."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.fix_bridge import BridgeFactory, until_stored
from tests.testbed import Ctr
from tests.testbed.ports import port_of, reserved

PREFIX = "containerd_bridge_"


def documented() -> set[str]:
    section = (
        (Path(__file__).parents[2] / "docs" / "operations.md").read_text().split("\n## Metrics\n")[1].split("\n## ")[0]
    )
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`(\w+)(?:\{[\w,]+\})?`", row)}


def test_they_are_those_that_are_documented(
    bridge_factory: BridgeFactory, ctr: Ctr, nats_url: str, tmp_path: Path
) -> None:
    with reserved() as place:
        address = f"127.0.0.1:{port_of(place)}"
        bridge = bridge_factory(
            *("--containerd", ctr.host.address, "--nats", nats_url, "--node", "n1"),
            *("--state-dir", tmp_path / "state", "--http", address, "--commands", "all"),
        )
        bridge.live()
    ctr.run("web.1", "true")
    until_stored(nats_url, lambda message: message.word == "exit")
    families = {
        family.name.removeprefix(PREFIX): family
        for family in text_string_to_metric_families(httpx.get(f"http://{address}/metrics").text)
    }
    assert set(families) == documented()
    assert [(sample.labels, sample.value) for sample in families["gaps"].samples] == [({"cause": "first-start"}, 1.0)]
    assert families["info"].samples[0].labels["node"] == "n1"
    assert families["process_resident_memory_bytes"].samples[0].value > 1 << 20
    assert families["live"].samples[0].value == 1.0
    count = next(sample for sample in families["append_seconds"].samples if sample.name.endswith("_count"))
    assert count.value >= 1
    buckets = [sample.value for sample in families["append_seconds"].samples if sample.name.endswith("_bucket")]
    assert buckets == sorted(buckets)
    assert buckets[-1] == count.value
    assert families["silent_divergences"].samples[0].value == 0
