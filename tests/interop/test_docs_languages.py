"""docs/languages.md: its programs in JavaScript say what they are to say on a live bridge, its commands print what is shown."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

import pytest

from bridge.cli import main
from tests import nats_client
from tests.fix_bridge import Bridge, until_stored
from tests.guards import needs_the_machine
from tests.interop.conftest import ENDLESS
from tests.pages import Block, blocks, differs, shown
from tests.testbed import Containerd, Javascript, NatsServer

PAGE: Final = "docs/languages.md"
README: Final = "examples/javascript/README.md"
CLAIMED: Final = blocks(PAGE, "javascript", "console") + blocks(README, "sh")
SAYS: Final = (
    "job has ended with 3",
    "running docker.io/library/busybox",
    "ok",
    "n1 false must have required property",
)
"""What each program of the page says first, in order."""

pytestmark = [pytest.mark.xdist_group("interop docs"), pytest.mark.nats, pytest.mark.containerd]


def of(language: str) -> list[Block]:
    return [block for block in CLAIMED if block.language == language]


@pytest.fixture(scope="module")
def url(containerd_of_its_own: Containerd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A bus with a bridge as `n1`, of whose namespace `default` the page tells."""
    host = containerd_of_its_own
    with ExitStack() as stack:
        with needs_the_machine():
            nats = stack.enter_context(NatsServer())
        ctr = host.namespace("default")
        state = tmp_path_factory.mktemp("docs") / "state"
        bridge = Bridge(
            *("--containerd", host.address, "--nats", nats.url, "--node", "n1", "--state-dir", state),
            *("--commands", "all", "--fifo-dir", host.fifo_dir),
        )
        stack.enter_context(bridge).live()
        ctr.run("job", "sh", "-c", "exit 3")
        ctr.run("web.1", *ENDLESS, detach=True)
        until_stored(nats.url, lambda one: one.word == "start" and one.event["subject"] == "web.1")
        yield nats.url


@pytest.fixture(scope="module")
def containerd_of_its_own() -> Iterator[Containerd]:
    with ExitStack() as stack:
        with needs_the_machine():
            host = stack.enter_context(Containerd("2.1"))
        yield host


def test_every_program_of_the_page_is_run() -> None:
    assert len(of("javascript")) == len(SAYS)


@pytest.mark.parametrize(("block", "says"), list(zip(of("javascript"), SAYS, strict=True)), ids=str)
def test_a_program_says_what_it_is_to_say(
    url: str, javascript: Javascript, monkeypatch: pytest.MonkeyPatch, block: Block, says: str
) -> None:
    monkeypatch.setenv("NATS_URL", url)
    until_known(url)
    (javascript.directory / "block.mjs").write_text(block.text)
    ran = javascript.run("block.mjs")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith(says)


def until_known(url: str) -> None:
    """Wait until the bucket of states has the container that runs: it is written soon after the log."""

    async def known() -> None:
        client = await nats_client.connect(url)
        try:
            bucket = await client.jetstream().key_value("containerd-state")
            watcher = await bucket.watch("n1.default.web=2E1")
            while True:
                entry = await watcher.updates(timeout=90)  # type: ignore[no-untyped-call]
                if entry is not None and entry.value and b'"running"' in entry.value:
                    return
        finally:
            await client.close()

    asyncio.run(known())


@pytest.mark.parametrize("block", of("sh"), ids=str)
def test_the_lines_of_the_examples_end_well(
    url: str, javascript: Javascript, monkeypatch: pytest.MonkeyPatch, block: Block
) -> None:
    monkeypatch.setenv("NATS_URL", url)
    for line in block.text.splitlines():
        _, *words = (word.replace("$NATS_URL", url) for word in line.split())
        ran = javascript.run(*words)
        assert ran.returncode == 0, (line, ran.stdout, ran.stderr)


@pytest.mark.parametrize("block", of("console"), ids=str)
def test_the_commands_print_what_the_page_shows(capsys: pytest.CaptureFixture[str], block: Block) -> None:
    for one in shown(block):
        _, *words = one.command.split()
        assert main(words) == 0
        assert differs(one.lines, capsys.readouterr().out.splitlines()) == ""
