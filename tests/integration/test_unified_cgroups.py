"""Checkpoints and migration where control groups are of the second version, which freeze and contain in other ways."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from bridge.client import connect
from bridge.model.commands import Checkpoint, Restore, Run
from tests.contract.checkpointing import WAITS
from tests.fix_bridge import Bridge
from tests.guards import needs_the_machine
from tests.testbed import BUSYBOX, Containerd, Ctr

pytestmark = [pytest.mark.containerd, pytest.mark.nats, pytest.mark.xdist_group("migrate")]

COUNTS = f"{WAITS}\nn=0; while :; do n=$((n+1)); echo $n > /dev/shm/n; waits; done"


class End(NamedTuple):
    """A node, in a namespace that only this test has there."""

    ctr: Ctr
    bridge: Bridge

    def pid(self, container: str) -> str:
        lines = [line.split() for line in self.ctr("tasks", "ls").splitlines()[1:]]
        return next((pid for name, pid, _ in lines if name == container), "0")

    async def counted(self, container: str, beyond: int = 0) -> int:
        """Wait until it has counted beyond that; return how far it is."""
        path = f"/proc/{self.pid(container)}/root/dev/shm/n"
        while True:
            text = (await asyncio.to_thread(self.ctr.host.run, "cat", path, check=False)).stdout.strip()
            if text and int(text) > beyond:
                return int(text)
            await asyncio.sleep(0.02)

    def group(self, container: str) -> str:
        """The last part of its control group."""
        said = self.ctr.host.run("cat", f"/proc/{self.pid(container)}/cgroup").stdout
        return next(line for line in said.splitlines() if line.startswith("0::")).rpartition("/")[2]


@pytest.fixture(params=["2.1", pytest.param("1.7", marks=pytest.mark.older)])
def ends(request: pytest.FixtureRequest, nats_url: str, tmp_path: Path) -> Iterator[list[End]]:
    with ExitStack() as closing:
        found: list[End] = []
        for name in ("n1", "n2"):
            with needs_the_machine():
                host = Containerd(request.param, own_cgroups=True, unified_cgroups=True)
                closing.enter_context(host)
            bridge = Bridge(
                *("--containerd", host.address, "--fifo-dir", host.fifo_dir, "--nats", nats_url, "--node", name),
                *("--state-dir", tmp_path / name, "--commands", "all", "--checkpoint-dir", host.shared / "checkpoints"),
            )
            ctr = closing.enter_context(host.fresh_namespace()) if not found else host.namespace(found[0].ctr.namespace)
            found.append(End(ctr, closing.enter_context(bridge)))
        for end in found:
            end.bridge.live()
        yield found


async def test_a_counter_is_frozen_dumped_restored_beside_itself_and_moved(ends: list[End], nats_url: str) -> None:
    source, target = ends
    namespace = source.ctr.namespace
    async with connect(nats_url) as bus:
        nodes = [await bus.node(name) for name in ("n1", "n2")]
        # By the bridge: `ctr run` asks for a share of the processors, whose controller may not be there.
        run = Run(image=BUSYBOX, command=["sh", "-c", COUNTS])
        assert (await nodes[0].send(run, container="web.1", namespace=namespace, timeout=90)).outcome == "ok"
        before = await source.counted("web.1")
        made = await nodes[0].checkpoint("web.1", Checkpoint(name="first"), namespace=namespace)
        assert made.record is not None
        assert made.record.host.cgroup == "v2"
        before = await source.counted("web.1", beyond=before)

        await nodes[0].restore("web.2", Restore(checkpoint=made.record.key.token), namespace=namespace)
        assert (source.group("web.1"), source.group("web.2")) == ("web.1", "web.2")
        await nodes[0].pause("web.1", namespace=namespace)
        beside = await source.counted("web.2")
        await source.counted("web.2", beyond=beside)  # not frozen with the other one
        await nodes[0].resume("web.1", namespace=namespace)

        moved = await nodes[0].migrate("web.1", to="n2", pre_copy=1, verify=True, namespace=namespace)
        assert moved.verified == ["archives", "spec", "processes"]
        await target.counted("web.1", beyond=before)
        assert (source.pid("web.1"), source.pid("web.2") != "0") == ("0", True)
