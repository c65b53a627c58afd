"""How containerd is reached: a gRPC channel over its unix socket, with the options that it needs.

Channels connect when they are first used and again by themselves after a loss; opening one never fails. Whether there
is any point in trying is what `check_socket` says, in a sentence for whoever typed the path.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import stat
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import quote

import grpc
import grpc.aio
import grpc.experimental

from bridge.errors import ConfigError

__all__ = ["NAMESPACE_KEY", "aio_channel", "answer", "blocking_channel", "check_socket", "in_namespace"]

NAMESPACE_KEY: Final = "containerd-namespace"
"""The metadata key by which a call says in which namespace it works (containerd, pkg/namespaces/grpc.go)."""

LEASE_KEY: Final = "containerd-lease"
"""The one by which it says which lease holds what it makes (containerd, pkg/leases/grpc.go)."""

MAX_MESSAGE: Final = (16 << 20) + (64 << 10)
"""Bytes. containerd takes and sends 16 MiB unless configured otherwise (containerd, defaults/defaults.go), while grpc's own
4 MiB would let one big event end the stream. The slack is for what an envelope adds to its event."""

Options: TypeAlias = list[tuple[str, int | str]]

_OPTIONS: Final[Options] = [
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    # grpc would send the escaped path of the socket, which strict HTTP/2 servers refuse (grpc#38142).
    ("grpc.default_authority", "localhost"),
    # What containerd publishes while we are not connected is lost, so the default of up to two minutes will not do.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Its name misleads: it is how long one attempt may take. With less than a busy host needs to shake hands, none succeeds.
    ("grpc.min_reconnect_backoff_ms", 5000),
    # Else channels with equal options share one connection, and closing one would not close it.
    ("grpc.use_local_subchannel_pool", 1),
]


def blocking_channel(address: Path) -> Any:
    """Return a `grpc.Channel` whose streams are read entirely by the thread that iterates over them.

    Without that option every message of a stream passes through a thread of grpc's as well, at several times the cost.
    """
    single_threaded = (grpc.experimental.ChannelOptions.SingleThreadedUnaryStream, 1)
    return grpc.insecure_channel(_target(address), options=[*_OPTIONS, single_threaded])


def aio_channel(address: Path) -> Any:
    """Return a `grpc.aio.Channel`. To be called with the event loop running that will use it."""
    return grpc.aio.insecure_channel(_target(address), options=_OPTIONS)


def in_namespace(namespace: str, lease: str | None = None) -> tuple[tuple[str, str], ...]:
    """Return the metadata of a call that works in `namespace`; what it makes is held by `lease`, if one is given."""
    if lease is None:
        return ((NAMESPACE_KEY, namespace),)
    return ((NAMESPACE_KEY, namespace), (LEASE_KEY, lease))


async def answer(call: Any) -> Any:
    """Wait for a call that was begun with `.future(...)` on a blocking channel, and return its response.

    For the few calls that go through the channel of a subscription. Giving up the wait gives up the call.

    Raises:
        grpc.RpcError: the call failed.
    """
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def settle() -> None:
        if not done.done():
            done.set_result(None)

    def ended(_: Any) -> None:  # in a thread of grpc's
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle)

    call.add_done_callback(ended)
    try:
        await done
    except asyncio.CancelledError:
        call.cancel()
        raise
    return call.result()


def check_socket(path: Path) -> None:
    """Tell in one sentence what is wrong with a socket's path, if anything is.

    A socket on which nobody listens passes: containerd may be about to start, and whoever connects finds out.

    Raises:
        ConfigError: there is nothing at `path`, or no socket, or this user may not connect to it.
    """
    try:
        mode = path.stat().st_mode
        if not stat.S_ISSOCK(mode):
            raise ConfigError(
                f"containerd socket {path} is no socket but {_kind(mode)}: give the path of its gRPC socket"
            )
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(0)
            client.connect(str(path))
    except PermissionError as error:
        raise ConfigError(
            f"containerd socket {path} may not be opened by user {os.geteuid()}: run as root, or give this user access to it"
        ) from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError(
            f"containerd socket {path} does not exist: start containerd, or give the path of its gRPC socket"
        ) from error
    except OSError as error:
        if error.errno not in _LISTENING_OR_WILL:
            raise ConfigError(f"containerd socket {path} cannot be opened: {error.strerror or error}") from error


# Nobody listens yet, or so many want in that connecting would have to wait.
_LISTENING_OR_WILL: Final = (errno.ECONNREFUSED, errno.EAGAIN, errno.EINPROGRESS)


def _kind(mode: int) -> str:
    return "a directory" if stat.S_ISDIR(mode) else "a file" if stat.S_ISREG(mode) else "something else"


def _target(address: Path) -> str:
    # A target is a URI: a path with `%`, `?` or `#` in it has to be escaped.
    return f"unix://{quote(str(address.absolute()))}"
