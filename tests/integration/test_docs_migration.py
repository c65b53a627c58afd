"""docs/migration.md: a container moves between two real nodes as the page shows, and a move that hangs is taken back."""

from __future__ import annotations

import ast
import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bridge.cli import main
from bridge.client import connect
from bridge.failpoint import VARIABLE
from tests.contract.checkpointing import WAITS
from tests.fix_bridge import WITHIN_S, Bridge, until_stored
from tests.guards import needs_the_machine
from tests.pages import Block, blocks, shown
from tests.shell import Shell
from tests.testbed import BUSYBOX, Containerd, Ctr, NatsServer

pytestmark = [pytest.mark.containerd, pytest.mark.nats]

CLAIMED = blocks("docs/migration.md", "console", "python")

COUNTS = ("sh", "-c", f"{WAITS}\nwhile true; do waits; done")


class Pair(NamedTuple):
    ctr: Ctr
    bridges: dict[str, Bridge]
    shell: Shell
    url: str


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with ExitStack() as closing:
        url = closing.enter_context(NatsServer()).url
        hosts: dict[str, Containerd] = {}
        bridges: dict[str, Bridge] = {}
        for node in ("n1", "n2"):
            with needs_the_machine():
                host = hosts[node] = closing.enter_context(Containerd("2.1", own_cgroups=True))
            bridges[node] = Bridge(
                *("--containerd", host.address, "--fifo-dir", host.fifo_dir, "--node", node, "--nats", url),
                *("--state-dir", tmp_path / node, "--commands", "all", "--checkpoint-dir", host.shared / "checkpoints"),
            )
            closing.enter_context(bridges[node])
            closing.callback(host.namespace("default").remove)
        ctr = hosts["n1"].namespace("default")
        ctr.import_busybox()
        for bridge in bridges.values():
            bridge.live()
        (tmp_path / "desk").mkdir()
        yield Pair(ctr, bridges, Shell(tmp_path / "desk", url), url)


def test_the_page_moves_a_container(pair: Pair) -> None:
    moves, abandons, program = CLAIMED
    pair.ctr("run", "--detach", BUSYBOX, "web.1", *COUNTS)
    until_stored(pair.url, lambda message: message.word == "start")

    [move] = shown(moves)
    pair.shell.shows(move)

    with hanging(pair):
        [abandon] = shown(abandons)
        pair.shell.shows(abandon)
    pair.bridges["n1"].environ = None
    before = len(pair.bridges["n1"].lines)
    pair.bridges["n1"].start()
    pair.bridges["n1"].live(after=before)

    main(["delete", "--force", "web.1", "--nats", pair.url])
    pair.ctr("run", "--detach", BUSYBOX, "web.1", *COUNTS)
    asyncio.run(moved(pair.url, program))


async def moved(url: str, program: Block) -> None:
    """Run the program of the page."""
    async with connect(url) as bus:
        names: dict[str, Any] = {"bus": bus}
        await eval(compile(program.text, str(program), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
        assert names["moved"].frozen_ns > 0
        assert [one.node for one in (await bus.containers()).containers] == ["n2"]


class hanging:  # noqa: N801 - reads as a sentence
    """A move from n2 back to n1, whose bridge has died once it had promised room: what follows is up to the source."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair

    def __enter__(self) -> None:
        target = self._pair.bridges["n1"]
        target.stop()
        before = len(target.lines)
        target.environ = {**os.environ, VARIABLE: "receive-promise"}
        target.start()
        target.live(after=before)
        self._moving = subprocess.Popen(
            ["sh", "-c", "exec containerd-bridge migrate web.1 --to n1"],
            env={**os.environ, **self._pair.shell.ours},
            cwd=self._pair.shell.directory,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        target.process.wait(WITHIN_S)

    def __exit__(self, *_: object) -> None:
        assert self._moving.wait(WITHIN_S) == 1
