"""What is said of a host whose containerd is out of sight."""

from __future__ import annotations

import platform
from pathlib import Path

from bridge.containerd.checkpoint_host import CheckpointHost
from bridge.containerd.visits import Visits


async def test_what_cannot_be_seen_stays_empty_and_what_is_everybodys_does_not(tmp_path: Path) -> None:
    address = tmp_path / "containerd.sock"
    host = CheckpointHost(address, Visits(address))
    facts = await host.facts("v2.1.9", "io.containerd.runc.v2")
    assert (facts.containerd, facts.runtime, facts.kernel) == ("2.1.9", "io.containerd.runc.v2", platform.release())
    assert (facts.criu, facts.runtime_version, facts.hostname, facts.os) == ("", "", "", "")
    assert facts.cpu_flags == sorted(facts.cpu_flags)
    said = await host.check()
    assert (said.version, said.works) == ("", None)
    assert "cannot be asked" in said.says
