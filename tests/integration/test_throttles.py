"""Limits for block devices on real containerd: set where its runc sets them, and where that says nothing of it, said."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.integration.test_images import SLEEP, Node, host, node  # noqa: F401 - fixtures
from tests.testbed import BUSYBOX

pytestmark = pytest.mark.containerd


def device() -> str:
    """The numbers of a block device of this machine."""
    for line in Path("/proc/partitions").read_text().splitlines()[2:]:
        major, minor, *_ = line.split()
        return f"{major}:{minor}"
    pytest.skip("this machine has no block device")


async def test_a_task_has_them_or_it_is_said_that_it_has_not(node: Node) -> None:  # noqa: F811
    group = Path("/sys/fs/cgroup/blkio") / node.ctr.namespace / "web.1"
    one = device()
    major, minor = map(int, one.split(":"))
    await node.ok("run", "web.1", image=BUSYBOX, command=SLEEP)
    if not (group / "blkio.throttle.read_bps_device").exists():
        pytest.skip("this kernel has no blkio of version 1: what version 2 has the unit tests say")
    limits = {"device_read_bps": {one: 1 << 20}, "device_write_iops": {one: 100}}
    if node.ctr.host.version != "2.1":  # runc 1.1
        code, sentence = await node.failure("update", "web.1", **limits)
        assert code == "failed_precondition"
        assert f"gives a task that runs no limits for devices ({one})" in sentence
        await node.ok("stop", "web.1", grace=0)
        assert not (await node.ok("update", "web.1", **limits)).task
        await node.ok("start", "web.1")
    else:
        assert (await node.ok("update", "web.1", **limits)).task
    assert (group / "blkio.throttle.read_bps_device").read_text() == f"{one} {1 << 20}\n"
    assert (group / "blkio.throttle.write_iops_device").read_text() == f"{one} 100\n"
    record = await node.runtime.containers.get(node.ctr.namespace, "web.1")
    assert record.spec is not None
    block = record.spec["linux"]["resources"]["blockIO"]
    assert block["throttleReadBpsDevice"] == [{"major": major, "minor": minor, "rate": 1 << 20}]
    if node.ctr.host.version == "2.1":
        await node.ok("update", "web.1", device_read_bps={one: 0})
        assert await asyncio.to_thread((group / "blkio.throttle.read_bps_device").read_text) == ""
        assert await asyncio.to_thread((group / "blkio.throttle.write_iops_device").read_text) == f"{one} 100\n"
