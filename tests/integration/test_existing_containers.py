"""Starting what is there already, on real containerds: judged by its record, and mounted as it was judged.

The directory `shared` of a test's host has the same path inside and outside. A link below the host's own root has not, so it
tells whether links are followed where containerd follows them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from bridge.client import Bus, CommandFailed, Judgement, Node, connect
from bridge.client.remarks import Remarks
from bridge.containerd.paths import HostPaths
from bridge.model.commands import Create, MountOption, Run
from tests.fix_bridge import Bridge, BridgeFactory
from tests.integration.test_fuzz import content
from tests.integration.test_verbs_on_the_bus import GENERATIONS
from tests.testbed import BUSYBOX, Containerd, Ctr

pytestmark = pytest.mark.containerd

ENDLESS = ["sh", "-c", "while :; do sleep 1; done"]


class Here:
    """A bridge with a policy that can be replaced, and a directory of the host that somebody may write to."""

    def __init__(self, ctr: Ctr, bridge: Bridge, policy: Path, bus: Bus) -> None:
        self.ctr = ctr
        self.bridge = bridge
        self.policy = policy
        self.node = Node("n1", bus._sender, bus.subjects)
        self.where: Any = {"namespace": ctr.namespace}
        self.open = ctr.host.shared / ctr.namespace
        self.open.mkdir()

    async def rules(self, text: str) -> None:
        lines = len(self.bridge.lines)
        self.policy.write_text(text)
        await asyncio.to_thread(self.bridge.until_logged, "is in force", after=lines)

    async def refused(self, verb: str, **options: Any) -> str:
        with pytest.raises(CommandFailed) as raised:
            await getattr(self.node, verb)("web.1", **options, **self.where)
        assert raised.value.code == "refused", raised.value
        return str(raised.value)

    async def ctr_does(self, *arguments: str) -> None:
        await asyncio.to_thread(self.ctr, *arguments)

    def binding(self, source: object) -> Run:
        mounts = [MountOption(source=str(source), target="/data", options=["rbind", "rw"])]
        return Run(image=BUSYBOX, command=ENDLESS, mounts=mounts)

    def mounts(self) -> list[dict[str, Any]]:
        spec = json.loads(self.ctr("containers", "info", "web.1"))["Spec"]
        return [mount for mount in spec["mounts"] if mount["destination"] == "/data"]


@pytest.fixture(params=GENERATIONS)
async def here(
    request: pytest.FixtureRequest,
    _containerds: Callable[[str], Containerd],
    bridge_factory: BridgeFactory,
    nats_url: str,
    tmp_path: Path,
) -> AsyncIterator[Here]:
    host = _containerds(request.param)
    policy = tmp_path / "policy.toml"
    policy.write_text("default = 'allow'\n")
    daemon = await asyncio.to_thread(
        bridge_factory,
        *("--containerd", host.address, "--nats", nats_url, "--node", "n1", "--policy", policy),
        *("--state-dir", tmp_path / "state", "--commands", "all", "--fifo-dir", host.fifo_dir),
    )
    await asyncio.to_thread(daemon.live)
    with host.fresh_namespace() as ctr:
        async with connect(nats_url) as bus:
            yield Here(ctr, daemon, policy, bus)


async def test_what_another_client_made_privileged_is_started_by_a_rule_alone(here: Here) -> None:
    await here.ctr_does("containers", "create", "--privileged", "--", BUSYBOX, "web.1", "sleep", "1000")
    said = await here.refused("start")
    assert "has the capability" in said
    assert "`existing`" in said
    assert here.ctr.status("web.1") is None
    await here.rules("default = 'allow'\n[spec]\nexisting = true\n")
    await here.node.start("web.1", **here.where)
    await here.rules("default = 'allow'\n")
    assert "has the capability" in await here.refused("restart", grace=0)
    assert here.ctr.status("web.1") == "RUNNING"
    # Nor is it a way in to run something else there, with what its own process has.
    with pytest.raises(CommandFailed, match="capability") as raised:
        await here.node.capture("web.1", ["true"], **here.where)
    assert raised.value.code == "refused"
    for rule in ("privileged", "existing"):
        await here.rules(f"default = 'allow'\n[spec]\n{rule} = true\n")
        assert (await here.node.capture("web.1", ["true"], **here.where)).exit_status == 0


async def test_what_every_client_makes_is_started_without_a_rule(here: Here) -> None:
    await here.ctr_does("containers", "create", "--", BUSYBOX, "web.1", *ENDLESS)
    await here.node.start("web.1", **here.where)
    await here.node.restart("web.1", grace=0, **here.where)


async def test_a_link_in_the_place_of_what_was_judged_is_not_mounted(here: Here) -> None:
    source, other = here.open / "pages", here.open / "secret"
    source.mkdir()
    other.mkdir()
    (source / "mine").touch()
    (other / "theirs").touch()
    allow = f"default = 'allow'\n[spec]\nhost_mounts = [{{ source = '{source}', write = true }}]\n"
    await here.rules(allow)
    await here.node.run("web.1", here.binding(source), **here.where)
    assert (await here.node.capture("web.1", ["ls", "/data/mine"], **here.where)).exit_status == 0
    await here.node.stop("web.1", grace=0, **here.where)
    source.rename(here.open / "aside")
    source.symlink_to(other)
    for rules in (allow, "default = 'allow'\n[spec]\nexisting = true\n"):
        await here.rules(rules + "\n")
        assert f"leads to '{other}' now" in await here.refused("start")
        assert f"leads to '{other}' now" in await here.refused("restart")
    source.unlink()
    (here.open / "aside").rename(source)
    await here.node.start("web.1", **here.where)


async def test_a_bind_by_a_link_is_of_what_the_link_leads_to(here: Here) -> None:
    real = here.open / "real"
    real.mkdir()
    # Only containerd's host has this link.
    link = f"/link-of-{here.ctr.namespace}"
    await asyncio.to_thread(here.ctr.host.run, "ln", "-s", str(real), link)
    assert HostPaths(here.ctr.host.address)(f"{link}/x") == f"{real}/x"
    await here.rules(f"default = 'allow'\n[spec]\nhost_mounts = [{{ source = '{real}', write = true }}]\n")
    await here.node.create(
        "web.1", Create(image=BUSYBOX, command=ENDLESS, mounts=here.binding(link).mounts), **here.where
    )
    assert [mount["source"] for mount in here.mounts()] == [str(real)]
    await here.node.start("web.1", **here.where)


async def test_what_makes_root_is_not_bound_for_the_asking(here: Here) -> None:
    await here.rules("default = 'allow'\n[spec]\nhost_mounts = [{ source = '/', write = true }]\n")
    before = content(here.ctr)
    for source in ("/proc/1/root/etc", "/proc/self/root", "/srv/../etc", "/dev", "/sys/fs/cgroup", "/run/containerd"):
        assert "binds" in await here.refused("run", command=here.binding(source))
    assert content(here.ctr) == before


async def test_a_dry_run_leaves_nothing_of_what_it_prepared(here: Here) -> None:
    before = content(here.ctr)
    trying = here.node.remarking(Remarks(dry_run=True))
    with pytest.raises(Judgement, match=r"default of .* allows run"):
        await trying.run("web.1", Run(image=BUSYBOX, command=ENDLESS), **here.where)
    with pytest.raises(CommandFailed, match=r"default of .* does not let create") as raised:
        await trying.create("web.1", Create(image=BUSYBOX, privileged=True), **here.where)
    assert raised.value.code == "refused"
    assert content(here.ctr) == before
