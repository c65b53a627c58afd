"""What NATS and JetStream say becomes the error that tells the caller what to do."""

import nats.errors
import nats.js.errors
import pytest

from bridge.errors import CommandFailed, LogConflict, LogError, LogRefused, LogUnavailable
from bridge.jetstream.errors import ApiError, Denied, LinkLost, command_failed, log_error, log_errors


@pytest.mark.parametrize(
    ("err_code", "code", "expected"),
    [
        (10071, 400, LogConflict),  # wrong last sequence
        (10164, 400, LogConflict),
        (10070, 400, LogConflict),  # wrong last message id
        (10008, 503, LogUnavailable),  # temporarily unavailable
        (10118, 500, LogUnavailable),  # stream offline
        (10158, 409, LogUnavailable),  # duplicate in process
        (10167, 429, LogUnavailable),  # too many requests
        (10208, 400, LogUnavailable),  # batch unknown
        (10211, 429, LogUnavailable),  # too many batches
        (0, 503, LogUnavailable),
        (0, 408, LogUnavailable),
        (10077, 503, LogRefused),  # full
        (10002, 400, LogRefused),  # account's limits
        (10023, 503, LogRefused),  # server's limits
        (10047, 500, LogRefused),  # storage
        (10054, 400, LogRefused),  # message too large
        (10059, 404, LogRefused),  # no such stream
        (10060, 400, LogRefused),  # another stream
        (10109, 400, LogRefused),  # sealed
        (10205, 400, LogRefused),  # no fast batches
        (10039, 503, LogRefused),  # JetStream off for the account
        (19999, 400, LogRefused),  # one of the future
    ],
)
def test_each_jetstream_error_says_whether_trying_again_helps(
    err_code: int, code: int, expected: type[LogError]
) -> None:
    error = log_error({"code": code, "err_code": err_code, "description": "that is why"}, "S")
    assert type(error) is expected
    assert "S" in str(error)
    assert "that is why" in str(error)


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (nats.errors.NoRespondersError(), LogUnavailable),
        (nats.errors.TimeoutError(), LogUnavailable),
        (TimeoutError(), LogUnavailable),
        (nats.errors.ConnectionClosedError(), LogUnavailable),
        (nats.errors.ConnectionReconnectingError(), LogUnavailable),
        (nats.errors.OutboundBufferLimitError(), LogUnavailable),
        (nats.js.errors.NoStreamResponseError(), LogUnavailable),
        (nats.js.errors.ServiceUnavailableError(), LogUnavailable),
        (ConnectionResetError(104, "Connection reset by peer"), LogUnavailable),
        (LinkLost("cut"), LogUnavailable),
        (Denied("a.b", "publish to"), LogRefused),
        (nats.errors.MaxPayloadError(), LogRefused),
        (nats.errors.BadSubjectError(), LogRefused),
        (nats.js.errors.NotFoundError(code=404, err_code=10059, description="stream not found"), LogRefused),
        (ApiError({"code": 503, "err_code": 10077, "description": "maximum messages exceeded"}), LogRefused),
    ],
)
def test_what_nats_py_raises_becomes_an_error_of_the_log(raised: Exception, expected: type[LogError]) -> None:
    with pytest.raises(LogError) as caught, log_errors("S"):
        raise raised
    assert type(caught.value) is expected
    assert caught.value.__cause__ is raised


def test_errors_of_others_pass_unchanged() -> None:
    with pytest.raises(KeyError), log_errors("S"):
        raise KeyError("ours")


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (nats.errors.NoRespondersError(), "unavailable"),
        (nats.errors.OutboundBufferLimitError(), "unavailable"),
        (Denied("a.b", "publish to"), "refused"),
        (nats.errors.MaxPayloadError(), "invalid_argument"),
        (nats.errors.TimeoutError(), "deadline_exceeded"),
        (LinkLost("cut"), "deadline_exceeded"),
    ],
)
def test_a_command_without_outcome_says_whether_there_may_have_been_an_effect(raised: Exception, code: str) -> None:
    failed = command_failed(raised, "containerd.commands.n1.a.b.kill")
    assert isinstance(failed, CommandFailed)
    assert failed.code == code
