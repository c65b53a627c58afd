"""What NATS and JetStream say when something is wrong, in terms of `bridge.errors`.

nats-py raises a class per cause, JetStream sends numbers (`err_code`, nats-server's server/errors.json), and a denied
subject comes as a line of text beside everything else. Here each becomes one sentence and one of our classes, and nothing
of nats-py leaves the room.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import nats.errors
import nats.js.errors
from nats.aio.errors import ErrStaleConnection

from bridge.errors import CommandFailed, LogConflict, LogError, LogRefused, LogUnavailable, Trouble

__all__ = [
    "ApiError",
    "CONFLICT",
    "CertificateWanted",
    "Denied",
    "LASTING",
    "LinkLost",
    "NATS_ERRORS",
    "PASSING",
    "command_failed",
    "explain_connect",
    "explain",
    "log_error",
    "log_errors",
]

NATS_ERRORS: Final = (nats.errors.Error, TimeoutError, OSError)
"""Everything that a call into nats-py raises when the network or the server is at fault."""

CONFLICT: Final = frozenset({10070, 10071, 10164})
"""JetStream error codes that mean "another writer was here": wrong last message id, wrong last sequence (two of them)."""

PASSING: Final = frozenset(
    {
        10004,  # incomplete results
        10005,  # no suitable peers for placement at present
        10006,  # not in clustered mode: a server that is starting
        10007,  # no server is assigned
        10008,  # temporarily unavailable: no meta leader
        10009,  # not the leader
        10041,  # raft
        10063,  # expected stream sequence does not match: inside the cluster
        10075,  # peer remap
        10118,  # stream offline
        10158,  # the same message id is being stored right now
        10163,  # temporarily unavailable
        10167,  # too many requests
        10194,  # stream offline, with a reason
        10202,  # cluster member change under way
        10208,  # the batch is not known any more: a restart, or ten seconds of silence
        10211,  # too many batches at once
        10226,  # reconfiguration under way
    }
)
"""JetStream error codes that pass by themselves. Every other one stays until somebody mends the stream or its limits."""

LASTING: Final[Mapping[int, Trouble]] = {
    10002: "full",  # resource limits of the account
    10023: "full",  # resources of the server
    10028: "full",  # memory of the server or the account
    10047: "full",  # storage of the server or the account
    10077: "full",  # the stream's max_msgs or max_bytes, with discard new
    10054: "too_large",  # max_msg_size
    10097: "too_large",  # headers
    10059: "no_stream",
    10060: "wrong_stream",
    10035: "no_stream",  # no JetStream at this server
    10039: "no_stream",  # nor for this account
    10076: "no_stream",  # JetStream is switched off
}
"""What the other ones mean, for the counters; all the rest is `refused`."""


class Denied(nats.errors.Error):
    """The server does not permit this login to publish to, or to subscribe to, a subject."""

    def __init__(self, subject: str, action: str) -> None:
        super().__init__(subject, action)
        self.subject = subject
        self.action = action

    def __str__(self) -> str:
        return f"NATS does not permit this login to {self.action} {self.subject}"


class CertificateWanted(nats.errors.Error):
    """The server says in its INFO that it wants a client certificate, and we have none."""


class LinkLost(nats.errors.Error):
    """The TCP connection ended while an answer was awaited, so it is open whether there was an effect."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the connection to NATS was lost: {self.reason}"


class ApiError(nats.errors.Error):
    """JetStream answered with an error."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(dict(error))
        self.code = int(error.get("code") or 0)
        self.err_code = int(error.get("err_code") or 0)
        self.description = str(error.get("description") or "no description")

    def __str__(self) -> str:
        return f"{self.description} (JetStream error {self.err_code or self.code})"


def log_error(error: Mapping[str, Any] | ApiError, stream: str) -> LogError:
    """Return the error of ours for an error of JetStream's about `stream`."""
    api = error if isinstance(error, ApiError) else ApiError(error)
    if api.err_code in CONFLICT:
        return LogConflict(f"stream {stream}: somebody else writes as this node: {api}")
    if api.err_code in PASSING or (not api.err_code and api.code in {408, 429, 503}):
        return LogUnavailable(f"stream {stream} cannot take messages at present: {api}")
    return LogRefused(f"stream {stream} refuses: {api}", LASTING.get(api.err_code))


@contextmanager
def log_errors(stream: str) -> Iterator[None]:
    """Raise what goes wrong with `stream` inside as a `LogError`."""
    try:
        yield
    except ApiError as error:
        raise log_error(error, stream) from error
    except nats.js.errors.NoStreamResponseError as error:
        raise LogUnavailable(_nobody(stream), "no_leader") from error
    except nats.js.errors.APIError as error:
        unavailable = isinstance(error, nats.js.errors.ServiceUnavailableError)
        code = error.code or (503 if unavailable else 0)
        fields = {"code": code, "err_code": error.err_code, "description": error.description}
        raise log_error(fields, stream) from error
    except nats.errors.NoRespondersError as error:
        raise LogUnavailable(_nobody(stream), "no_leader") from error
    except NATS_ERRORS as error:
        if isinstance(error, Denied | nats.errors.MaxPayloadError | nats.errors.BadSubjectError):
            raise LogRefused(f"stream {stream}: {explain(error)}", _trouble(error)) from error
        raise LogUnavailable(f"stream {stream}: {explain(error)}") from error


def _trouble(error: BaseException) -> Trouble:
    if isinstance(error, Denied):
        return "denied"
    return "too_large" if isinstance(error, nats.errors.MaxPayloadError) else "refused"


def command_failed(error: BaseException, subject: str) -> CommandFailed:
    """Return why no outcome came for the command sent to `subject`, from what nats-py raised."""
    if isinstance(error, nats.errors.NoRespondersError):
        return CommandFailed(
            "unavailable", f"nobody takes commands on {subject}: the node is down, or that group is off"
        )
    if isinstance(error, Denied):
        return CommandFailed("refused", str(error))
    if isinstance(error, nats.errors.OutboundBufferLimitError | nats.errors.ConnectionClosedError):
        return CommandFailed("unavailable", f"the command was not sent: {explain(error)}")
    if isinstance(error, nats.errors.MaxPayloadError):
        return CommandFailed("invalid_argument", f"the command was not sent: {explain(error)}")
    return CommandFailed(
        "deadline_exceeded", f"no outcome came, it is open whether there was an effect: {explain(error)}"
    )


def explain(error: BaseException) -> str:
    """Return a clause for people that says what nats-py means."""
    for kind, clause in _CLAUSES:
        if isinstance(error, kind):
            return clause
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error).removeprefix("nats: ").strip("'\"") or type(error).__name__


_CLAUSES: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (nats.errors.OutboundBufferLimitError, "not connected to NATS at present"),
    (nats.errors.ConnectionReconnectingError, "not connected to NATS at present"),
    (nats.errors.ConnectionClosedError, "the connection to NATS is closed"),
    (nats.errors.ConnectionDrainingError, "the connection to NATS is closed"),
    (nats.errors.MaxPayloadError, "the message is larger than the server's max_payload"),
    (nats.errors.UnexpectedEOF, "the server closed the connection"),
    (nats.errors.StaleConnectionError, "the server did not answer pings"),
    (ErrStaleConnection, "the server did not answer pings"),
    (TimeoutError, "no answer in time"),
)


def explain_connect(
    error: BaseException, *, timeout: float, tls_first: bool = False, has_certificate: bool = False
) -> str:
    """Return a clause that says why a server could not be used, and what to do about it.

    Args:
        error: what connecting raised.
        timeout: seconds that each step was given.
        tls_first: whether we began with TLS.
        has_certificate: whether we showed a client certificate.
    """
    text = str(error).lower()
    match error:
        case CertificateWanted():
            clause = "it asks for a client certificate: set nats.tls_cert and nats.tls_key"
        case nats.errors.SecureConnWantedError():
            clause = "TLS is demanded, and it offers none: enable TLS there, or use nats:// without tls settings"
        case TimeoutError() if tls_first:
            clause = (
                f"it does not answer within {timeout:g} s: set nats.tls_first only for servers with handshake_first"
            )
        case TimeoutError():
            clause = f"it does not answer within {timeout:g} s: check the address and the network between"
        case nats.errors.UnexpectedEOF():
            clause = _hung_up(has_certificate=has_certificate)
        case OSError():
            clause = _explain_network(error, has_certificate=has_certificate)
        case nats.errors.Error() if "authorization" in text or "authentication" in text:
            clause = (
                "it refuses our login (Authorization Violation): "
                "correct nats.user and nats.password, nats.token, nats.nkey or nats.creds"
            )
        case nats.errors.Error() if "expecting info" in text or "json parse" in text:
            clause = "what answers there is not a NATS server: correct nats.url"
        case _:
            clause = explain(error)
    return clause


def _explain_network(error: OSError, *, has_certificate: bool) -> str:
    match error:
        case socket.gaierror():
            return f"its host name cannot be resolved ({error.strerror}): correct nats.url"
        case ssl.SSLCertVerificationError():
            return (
                f"its TLS certificate is not trusted ({error.verify_message}): set nats.tls_ca to its authority's file"
            )
        case ssl.SSLError():
            return _explain_tls(error)
        case ConnectionError() if not isinstance(error, ConnectionRefusedError):
            return _hung_up(has_certificate=has_certificate)
    # A host name with several addresses, each of which refuses, comes as an OSError without a number.
    if isinstance(error, ConnectionRefusedError) or "errno 111" in str(error).lower():
        return "nobody listens there: start nats-server, or correct nats.url"
    return f"{explain(error)}: correct nats.url, or the network between"


def _hung_up(*, has_certificate: bool) -> str:
    if has_certificate:
        return "it hung up during the handshake: set nats.tls_cert to one that its authority signed, or see the server's log"
    return "it hung up during the handshake: correct nats.url, or see the server's log"


def _explain_tls(error: ssl.SSLError) -> str:
    reason = (error.reason or str(error)).replace("_", " ").lower()
    if "certificate required" in reason or "bad certificate" in reason or "handshake failure" in reason:
        return f"it does not accept our client certificate ({reason}): set nats.tls_cert and nats.tls_key"
    if "unknown ca" in reason or "certificate unknown" in reason:
        return f"it does not trust our client certificate ({reason}): set nats.tls_cert to one its authority signed"
    if "wrong version" in reason or "record layer" in reason or "packet length" in reason:
        return f"it does not begin with TLS ({reason}): set nats.tls_first only for servers with handshake_first"
    return f"the TLS handshake failed ({reason})"


def _nobody(stream: str) -> str:
    return f"stream {stream} does not answer: it is missing, without a leader, or JetStream is not up"
