"""A bridge that may open few files only."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.client import CommandFailed, connect
from bridge.model.commands import Run
from tests.fix_bridge import Bridge
from tests.testbed import BUSYBOX, Containerd, Ctr


class Limited(Bridge):
    """May have 60 files open, and may raise that to 120."""

    prefix = ("prlimit", "--nofile=60:120")


async def test_processes_are_refused_before_the_files_run_out_and_everything_else_goes_on(
    containerd: Containerd, ctr: Ctr, nats_url: str, tmp_path: Path
) -> None:
    daemon = Limited(
        *("--containerd", containerd.address, "--nats", nats_url, "--node", "n1", "--state-dir", tmp_path / "state"),
        *("--commands", "all", "--fifo-dir", containerd.fifo_dir),
    )
    with daemon:
        daemon.live()
        daemon.until_logged("no more than 6 processes can have their stdio on the bus")
        daemon.until_logged("is up")
        async with connect(nats_url) as bus:
            node = await bus.node("n1")
            await node.run("web", Run(image=BUSYBOX, command=["sleep", "1000"]), namespace=ctr.namespace)
            for _ in range(6):
                await node.exec("web", ["sleep", "1000"], namespace=ctr.namespace, stdin=True, window=None)
            with pytest.raises(CommandFailed, match=r"6 processes have their .*LimitNOFILE") as failed:
                await node.exec("web", ["sleep", "1000"], namespace=ctr.namespace, stdin=True, window=None)
            assert failed.value.code == "exhausted"
            other = Run(image=BUSYBOX, command=["sleep", "1000"], user="0")
            assert (await node.run("other", other, namespace=ctr.namespace)).pid
            assert await node.stats("web", namespace=ctr.namespace)
            assert (await node.delete("web", namespace=ctr.namespace, force=True)).killed
            found = await node.capture("other", ["echo", "room again"], namespace=ctr.namespace)
            assert found.stdout.captured == b"room again\n"
