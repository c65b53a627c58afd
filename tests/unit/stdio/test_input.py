"""A process's input while its shim comes late: the pipe has no reader for a moment, and nothing may be lost for that."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bridge.model.stdio import InputPiece, InputReply
from bridge.stdio import input as input_module
from bridge.stdio.fifos import Fifos
from bridge.stdio.input import Input
from bridge.stdio.traffic import Traffic


class Hush:
    """A witness that nobody asks."""

    def wrote(self, *_: object) -> None:
        """Hear of bytes."""

    def ended(self, *_: object) -> None:
        """Hear of the end."""


async def nothing() -> None:
    """Be a shim that closes its end."""


@pytest.fixture
def fifos(tmp_path: Path) -> Fifos:
    fifos = Fifos(tmp_path, "session")
    fifos.make(["stdin"])
    return fifos


@pytest.fixture
async def stdin(fifos: Fifos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Input]:
    for patience in ("ANSWER_S", "READER_S"):
        monkeypatch.setattr(input_module, patience, 90.0)
    witness: Any = Hush()
    stdin = Input(fifos, tmp_path, container="web.1", close_stdin=nothing, traffic=Traffic(), witness=witness)
    stdin.open()
    yield stdin
    stdin.close()


def piece(data: bytes, offset: int = 0) -> InputPiece:
    return InputPiece(session="s", offset=offset, data=data, end=False, writer="us", key="k")


async def turns() -> None:
    """Let everything happen that can without the shim."""
    for _ in range(50):
        await asyncio.sleep(0)


async def arrived(fifos: Fifos, size: int) -> bytes:
    """Be the shim from now on, until so much has come."""
    pipe, found = fifos.open("stdin", os.O_RDONLY), b""
    try:
        while len(found) < size:
            try:
                found += os.read(pipe, 1 << 16)
            except BlockingIOError:
                await asyncio.sleep(0.001)
    finally:
        os.close(pipe)
    return found


async def test_what_is_written_before_the_shim_has_opened_the_pipe_waits_for_it(stdin: Input, fifos: Fifos) -> None:
    stdin.started()
    await turns()  # our own reader is gone now
    writing = asyncio.create_task(stdin.write(piece(b"early"), None))
    await turns()
    assert await arrived(fifos, 5) == b"early"
    assert await writing == InputReply(accepted=5)


async def test_what_is_on_its_way_into_a_full_pipe_goes_on_with_the_shim(stdin: Input, fifos: Fifos) -> None:
    data = os.urandom(1 << 20)
    writing = asyncio.create_task(stdin.write(piece(data), None))
    await turns()  # the pipe is full
    stdin.started()
    await turns()
    assert await arrived(fifos, len(data)) == data
    assert await writing == InputReply(accepted=len(data))


async def test_where_nobody_ever_reads_it_is_said(stdin: Input, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_module, "READER_S", 0.01)
    stdin.started()
    await turns()
    reply = await stdin.write(piece(b"early"), None)
    assert reply.error is not None
    assert "it does not read any more" in reply.error.message
