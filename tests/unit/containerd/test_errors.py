"""Every status that containerd answers with has one code of ours, and its words are kept."""

from pathlib import Path

import grpc
import pytest

from bridge.containerd.errors import command_errors, failed, source_errors
from bridge.errors import CODES, CommandFailed, SourceLost

STATUSES = [status for status in grpc.StatusCode if status is not grpc.StatusCode.OK]


class Refusal(grpc.RpcError):  # type: ignore[misc]
    """A call that ended with this status."""

    def __init__(self, status: grpc.StatusCode, details: str | None = "") -> None:
        super().__init__()
        self._status = status
        self._details = details

    def code(self) -> grpc.StatusCode:
        return self._status

    def details(self) -> str | None:
        return self._details


def code_of(status: grpc.StatusCode, details: str | None = "words") -> str:
    return failed(Refusal(status, details)).code


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_has_a_code(status: grpc.StatusCode) -> None:
    assert code_of(status) in CODES


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (grpc.StatusCode.NOT_FOUND, "not_found"),
        (grpc.StatusCode.ALREADY_EXISTS, "already_exists"),
        (grpc.StatusCode.FAILED_PRECONDITION, "failed_precondition"),
        (grpc.StatusCode.INVALID_ARGUMENT, "invalid_argument"),
        (grpc.StatusCode.UNIMPLEMENTED, "unimplemented"),
        (grpc.StatusCode.UNAVAILABLE, "unavailable"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "exhausted"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "deadline_exceeded"),
        (grpc.StatusCode.PERMISSION_DENIED, "refused"),
    ],
)
def test_classes_of_containerd_keep_their_meaning(status: grpc.StatusCode, code: str) -> None:
    assert code_of(status) == code


@pytest.mark.parametrize("status", [grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED])
def test_what_leaves_open_how_far_it_came_is_unknown(status: grpc.StatusCode) -> None:
    assert code_of(status, "OCI runtime kill failed: something") == "unknown"


@pytest.mark.parametrize(
    "words",
    [
        # as containerd 1.6, 1.7 and 2.1 say them
        "cannot pause a stopped container",
        "cannot pause a paused container: unknown",
        "cannot pause task in created state",
        "cannot resume a stopped container",
        "cannot resume task in created state: unknown",
        "cannot start a running process",
        "cannot start a paused process: unknown",
        "cannot start a stopped process",
        "failed to delete task: cannot delete a running process: unknown",
        "failed to delete task: cannot delete a paused process",
        "cannot exec in a paused state",
        "cannot checkpoint a task in created state: unknown",
        "cannot checkpoint a stopped container",
        "cannot update a stopped container",
    ],
)
def test_a_task_in_the_wrong_state_is_told_by_its_words(words: str) -> None:
    assert code_of(grpc.StatusCode.UNKNOWN, words) == "failed_precondition"


def test_a_call_that_never_left_is_unavailable_and_says_why() -> None:
    words = (
        "failed to connect to all addresses; last error: FAILED_PRECONDITION: unix:/run/c.sock: connect failed: "
        "addr: unix:/run/c.sock error: No such file or directory"
    )
    meant = failed(Refusal(grpc.StatusCode.UNAVAILABLE, words))
    assert meant == ("unavailable", "containerd cannot be reached: No such file or directory", None)


@pytest.mark.parametrize(
    "words", ["Stream removed (Socket closed)", "Socket closed", "recvmsg:Connection reset by peer"]
)
def test_a_connection_that_broke_under_a_call_leaves_open_what_happened(words: str) -> None:
    assert code_of(grpc.StatusCode.UNAVAILABLE, words) == "unknown"


def test_our_own_deadline_is_not_taken_for_words_of_containerd() -> None:
    assert failed(Refusal(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")).containerd is None


@pytest.mark.parametrize("words", ["", None])
def test_a_refusal_without_words_names_its_status(words: str | None) -> None:
    assert failed(Refusal(grpc.StatusCode.ABORTED, words)) == (
        "unavailable",
        "containerd answered ABORTED without a word",
        None,
    )


def test_a_failed_command_says_what_was_tried_and_what_containerd_said() -> None:
    words = 'container "web" in namespace "a.b": not found'
    with pytest.raises(CommandFailed) as caught, command_errors("start web in a.b"):
        raise Refusal(grpc.StatusCode.NOT_FOUND, words)
    assert (caught.value.code, caught.value.message, caught.value.containerd) == (
        "not_found",
        f"cannot start web in a.b: {words}",
        words,
    )


def test_a_lost_source_says_why_and_where() -> None:
    with pytest.raises(SourceLost) as caught, source_errors(Path("/run/c.sock")):
        raise Refusal(grpc.StatusCode.UNAVAILABLE, "Stream removed (Socket closed)")
    assert str(caught.value) == "the connection to containerd broke off (/run/c.sock, UNAVAILABLE)"


def test_what_no_call_raised_passes_through() -> None:
    with pytest.raises(KeyError), command_errors("start web"), source_errors(Path("/x")):
        raise KeyError
