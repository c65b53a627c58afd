"""What a failed call means: gRPC's status codes and containerd's words, as the errors of ours.

containerd's classes of errors map to status codes one to one (containerd/errdefs, pkg/errgrpc), except that "conflict" and
"not modified" arrive as FAILED_PRECONDITION, and that whatever it has no class for arrives as UNKNOWN with a text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import grpc

from bridge import trace
from bridge.errors import Code, CommandFailed, SourceLost

__all__ = [
    "Failed",
    "command_errors",
    "command_failed",
    "failed",
    "look_errors",
    "source_errors",
    "source_lost",
    "storing_errors",
]

_CODES: Final[dict[grpc.StatusCode, Code]] = {
    grpc.StatusCode.CANCELLED: "unknown",  # by containerd, as it shuts down: our own cancelling raises CancelledError
    grpc.StatusCode.UNKNOWN: "unknown",
    grpc.StatusCode.INVALID_ARGUMENT: "invalid_argument",
    grpc.StatusCode.DEADLINE_EXCEEDED: "deadline_exceeded",
    grpc.StatusCode.NOT_FOUND: "not_found",
    grpc.StatusCode.ALREADY_EXISTS: "already_exists",
    grpc.StatusCode.PERMISSION_DENIED: "refused",
    grpc.StatusCode.UNAUTHENTICATED: "refused",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "exhausted",
    grpc.StatusCode.FAILED_PRECONDITION: "failed_precondition",  # "conflict" and "not modified" are such to us, too
    grpc.StatusCode.ABORTED: "unavailable",  # given up in favour of somebody else: may pass
    grpc.StatusCode.OUT_OF_RANGE: "failed_precondition",  # gRPC: may be right in another state
    grpc.StatusCode.UNIMPLEMENTED: "unimplemented",
    grpc.StatusCode.INTERNAL: "unknown",  # containerd's bug, not ours: how far it came is open
    grpc.StatusCode.UNAVAILABLE: "unavailable",
    grpc.StatusCode.DATA_LOSS: "unknown",
}

# The states of a task in the runc shim (containerd, cmd/containerd-shim-runc-v2/process/init_state.go and exec_state.go)
# refuse what does not fit them in these words, before anything is done, with an error that has no class.
_WRONG_STATE: Final = re.compile(
    r"\b(?:cannot|can't) \w+ (?:in )?(?:an? )?(?:task in )?(?:created|running|paused|stopped|deleted|non[- ]running)\b"
)

# What grpc itself says when the request never left, and when the connection broke while it was under way.
_NEVER_SENT: Final = ("failed to connect to all addresses", "empty address list", "DNS resolution failed")
_BROKEN_OFF: Final = re.compile(
    r"socket closed|stream removed|connection reset|broken pipe|recvmsg|sendmsg|endpoint clos|transport closed|goaway",
    re.IGNORECASE,
)


_NO_ROOM: Final = "no space left on device"


class Failed(NamedTuple):
    """A failed call: our code, what to tell people, and containerd's own words where they are containerd's."""

    code: Code
    reason: str
    containerd: str | None


def failed(error: grpc.RpcError) -> Failed:
    """Return what a failed call means."""
    status: grpc.StatusCode = error.code()
    words: str = (error.details() or "").strip()
    if status is grpc.StatusCode.UNAVAILABLE:
        if words.startswith(_NEVER_SENT):
            return Failed("unavailable", f"containerd cannot be reached: {_last_error(words)}", None)
        if _BROKEN_OFF.search(words):
            return Failed("unknown", "the connection to containerd broke off", None)
    if status is grpc.StatusCode.DEADLINE_EXCEEDED and words.lower() == "deadline exceeded":
        return Failed("deadline_exceeded", "containerd did not answer in time", None)
    code = _CODES.get(status, "unknown")
    if code == "unknown" and _WRONG_STATE.search(words):
        code = "failed_precondition"
    return Failed(code, words or f"containerd answered {status.name} without a word", words or None)


def command_failed(error: grpc.RpcError, doing: str) -> CommandFailed:
    """Return the error of a command.

    Args:
        error: what the call raised.
        doing: what was tried, after "cannot": "start web in k8s.io".
    """
    code, reason, containerd = failed(error)
    return CommandFailed(code, f"cannot {doing}: {reason}", containerd=containerd)


@contextmanager
def command_errors(doing: str) -> Iterator[None]:
    """Turn the failed calls of a block into `CommandFailed`; around `await` as well.

    Args:
        doing: what is tried, after "cannot": "start web in k8s.io".
    """
    try:
        with trace.step(f"containerd {doing.partition(' ')[0]}", doing=doing):
            yield
    except grpc.RpcError as error:
        raise command_failed(error, doing) from error


@contextmanager
def storing_errors(doing: str) -> Iterator[None]:
    """As `command_errors`, for what only adds to containerd's content and snapshots: that there is no room is `exhausted`."""
    try:
        with command_errors(doing):
            yield
    except CommandFailed as error:
        if error.code != "unknown" or _NO_ROOM not in (error.containerd or ""):
            raise
        sentence = f"{error.message}: make room on the disk of containerd's root directory"
        raise CommandFailed("exhausted", sentence, containerd=error.containerd) from error.__cause__


@contextmanager
def look_errors(doing: str) -> Iterator[None]:
    """As `command_errors`, for what only looks: a broken connection leaves nothing open, the call may be made again."""
    try:
        with command_errors(doing):
            yield
    except CommandFailed as error:
        status = error.__cause__.code() if isinstance(error.__cause__, grpc.RpcError) else None
        if status not in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}:
            raise
        raise CommandFailed("unavailable", error.message, containerd=error.containerd) from error.__cause__


def source_lost(error: grpc.RpcError, address: Path) -> SourceLost:
    """Return why the events of the containerd at `address` ended or cannot be had."""
    status: grpc.StatusCode = error.code()
    return SourceLost(f"{failed(error).reason} ({address}, {status.name})")


@contextmanager
def source_errors(address: Path) -> Iterator[None]:
    """Turn the failed calls of a block into `SourceLost`; around `await` as well."""
    try:
        yield
    except grpc.RpcError as error:
        raise source_lost(error, address) from error


def _last_error(words: str) -> str:
    """Return the operating system's part of grpc's sentence about a connection that could not be made."""
    return words.rpartition("error: ")[2]
