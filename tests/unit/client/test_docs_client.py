"""docs/client.md, and the Python of the README and docs/creating.md: every block of it is run, on a whole bridge in memory.

A block that follows for ever is done when it has said something. What it follows happens meanwhile: containers run out of memory,
end, and start again.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge import client
from bridge.client import Bus, sync
from bridge.rehearsal import Stage, rehearse
from bridge.testing import Program
from bridge.testing.images import memory_image
from tests.pages import Block, blocks

PAGES = ("docs/client.md", "README.md", "docs/creating.md")
CLAIMED = [block for page in PAGES for block in blocks(page, "python")]


class Said:
    """What a block prints."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, *words: object) -> None:
        self.lines.append(" ".join(map(str, words)))


@asynccontextmanager
async def world() -> AsyncIterator[Stage]:
    """A node with a web server that has run out of memory and runs again, and a job that has failed."""
    async with rehearse("n1") as stage:
        host = stage.containerd("n1")
        host.programs |= {
            "hello": Program(says=b"hi", exits=0),
            "cat": Program(echoes=True),
            "date": Program(says=b"today", exits=0),
        }
        for image in ("busybox:1", "busybox:latest", "nginx:1.27"):
            host.put_image("default", memory_image(f"docker.io/library/{image}", {"Cmd": ["hello"]}))
        await host.run("default", "job", Program(exits=3), labels={"app": "web"})
        await host.run("default", "web.1", labels={"app": "web", "nerdctl/name": "web"})
        host.oom("default", "web.1")
        await (await stage.bus.container("web.1")).restart()
        await stage.settled()
        yield stage


async def happen(stage: Stage, until: Callable[[], bool]) -> None:
    """Let things happen again and again, so that whoever follows sees them."""
    host = stage.containerd("n1")
    for number in range(1_000):
        await host.run("default", f"more-{number}", Program(exits=number), labels={"app": "web"})
        await stage.settled()
        if until():
            return
    raise AssertionError("nothing was said")


def names_for(stage: Stage, said: Said) -> dict[str, Any]:
    """What a block may use: the public names, and what the blocks before it have made."""
    return {name: getattr(client, name) for name in client.__all__} | {"bus": stage.bus, "print": said}


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> Callable[[Stage], None]:
    """Lets `connect` give the bus of a stage."""

    def connect(stage: Stage) -> None:
        @asynccontextmanager
        async def connect(nats: object, **options: object) -> AsyncIterator[Bus]:
            yield stage.bus

        monkeypatch.setattr(client, "connect", connect)

    return connect


@pytest.mark.parametrize("block", [one for one in CLAIMED if "sync import" not in one.text], ids=str)
async def test_a_block_does_what_it_says(
    block: Block, connected: Callable[[Stage], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = Said()
    async with world() as stage:
        connected(stage)
        lines = b"\n".join(message.body for message in stage.log.messages)
        (tmp_path / "incident.jsonl").write_bytes(lines)
        monkeypatch.chdir(tmp_path)
        names = names_for(stage, said) | {"web": await stage.bus.container("web.1")}
        text = block.text.replace("asyncio.run(main())", "await main()")
        code = compile(text, str(block), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        running = eval(code, names)
        assert inspect.iscoroutine(running)
        task = asyncio.ensure_future(running)
        await happen(stage, lambda: task.done() or bool(said.lines))
        if follows_for_ever(block):
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled() or task.result() is None
        else:
            async with asyncio.timeout(60):
                await task
    assert said.lines, "it says nothing"


def follows_for_ever(block: Block) -> bool:
    endless = re.search(r"async for \w+ in bus\.(events|subscribe|watch)\((?![^\n]*follow=False)", block.text)
    return endless is not None and "break" not in block.text


@pytest.mark.parametrize("block", [one for one in CLAIMED if "sync import" in one.text], ids=str)
def test_a_block_for_scripts_does_what_it_says(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    said = Said()

    @asynccontextmanager
    async def of_the_world() -> AsyncIterator[Bus]:
        async with world() as stage:
            yield stage.bus

    @contextmanager
    def connect(nats: object) -> Iterator[sync.Bus]:
        with sync.opened(of_the_world()) as bus:
            yield bus

    monkeypatch.setattr(sync, "connect", connect)
    exec(compile(block.text, str(block), "exec"), {"print": said})
    assert said.lines[0].startswith("job stopped")
    assert "job 3" in said.lines


def test_the_page_is_read() -> None:
    assert len([block for block in CLAIMED if block.page == PAGES[0]]) >= 14
