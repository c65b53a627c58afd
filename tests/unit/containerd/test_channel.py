"""Channels reach any path, and a wrong path is explained in one sentence."""

import asyncio
import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import pytest

from bridge._pb.containerd.services.version_pb2 import Version, VersionBlockingStub, VersionResponse, VersionStub
from bridge._pb.google.protobuf.empty_pb2 import Empty
from bridge.containerd.channel import aio_channel, answer, blocking_channel, check_socket, in_namespace
from bridge.errors import ConfigError


@contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(1)
        yield server


@contextmanager
def somebody_else() -> Iterator[None]:
    """Be a user without rights, if we are root."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def sentence(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        check_socket(path)
    return str(caught.value)


def test_a_socket_on_which_somebody_listens_is_right(tmp_path: Path) -> None:
    with listening(tmp_path / "s"):
        check_socket(tmp_path / "s")


def test_a_socket_with_a_full_backlog_is_right(tmp_path: Path) -> None:
    with listening(tmp_path / "s"), socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
        first.connect(str(tmp_path / "s"))
        second.connect(str(tmp_path / "s"))
        check_socket(tmp_path / "s")


def test_a_socket_on_which_nobody_listens_yet_is_right(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
    check_socket(tmp_path / "s")


def test_a_path_where_nothing_is_is_named(tmp_path: Path) -> None:
    assert sentence(tmp_path / "nope.sock") == (
        f"containerd socket {tmp_path}/nope.sock does not exist: start containerd, or give the path of its gRPC socket"
    )


def test_a_path_through_a_file_does_not_exist(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "does not exist" in sentence(tmp_path / "file" / "s")


def test_a_directory_is_no_socket(tmp_path: Path) -> None:
    assert "is no socket but a directory" in sentence(tmp_path)


def test_a_file_is_no_socket(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "is no socket but a file" in sentence(tmp_path / "file")


def test_a_socket_that_may_not_be_opened_is_told_with_the_user(tmp_path: Path) -> None:
    with listening(tmp_path / "s"):
        (tmp_path / "s").chmod(0)
        with somebody_else():
            assert f"may not be opened by user {os.geteuid()}" in sentence(tmp_path / "s")


def test_a_path_that_is_too_long_for_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.chdir(deep)
    with listening(Path("s")):  # reached by a short path only
        assert "cannot be opened" in sentence(deep / "s")


class Answers:
    """Serves containerd's Version: what it is called in, and as many bytes as are asked for."""

    def Version(self, _request: Empty, context: Any) -> VersionResponse:  # noqa: N802 - as the API calls it
        said = dict(context.invocation_metadata())
        return VersionResponse(version=said.get("containerd-namespace", ""), revision="x" * int(said.get("size", "0")))


@pytest.fixture(params=["containerd.sock", "with a blank", "100%20", "a#b?c"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / request.param
    server = grpc.server(ThreadPoolExecutor(1), options=[("grpc.max_send_message_length", -1)])
    server.add_generic_rpc_handlers((Version.handler(Answers()),))
    server.add_insecure_port(f"unix://{quote(str(path))}")
    server.start()
    yield path
    server.stop(None).wait()


def test_a_blocking_channel_reaches_any_path(address: Path) -> None:
    with blocking_channel(address) as channel:
        said = VersionBlockingStub(channel).Version(Empty(), metadata=in_namespace("k8s.io"), timeout=90)
    assert said.version == "k8s.io"


async def test_an_aio_channel_reaches_any_path(address: Path) -> None:
    async with aio_channel(address) as channel:
        said = await VersionStub(channel).Version(Empty(), metadata=in_namespace("k8s.io"), timeout=90)
    assert said.version == "k8s.io"


@pytest.mark.parametrize("address", ["s"], indirect=True)
async def test_messages_may_be_as_big_as_containerd_makes_them(address: Path) -> None:
    async with aio_channel(address) as channel:
        said = await VersionStub(channel).Version(Empty(), metadata=[("size", str(16 << 20))], timeout=90)
    assert len(said.revision) == 16 << 20


async def test_giving_up_the_wait_for_an_answer_gives_up_the_call(tmp_path: Path) -> None:
    with listening(tmp_path / "s"), blocking_channel(tmp_path / "s") as channel:  # and nobody accepts
        call = Version.Version.bind(channel).future(Empty())
        waiting = asyncio.create_task(answer(call))
        await asyncio.sleep(0)  # it waits now
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert call.cancelled()
