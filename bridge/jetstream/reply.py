"""An outcome as a NATS message: JSON in the body, and for failures code and sentence in the headers of ADR-32.

Whoever knows only NATS micro services sees an error as an error; whoever knows us reads the body. A message larger than
the server takes would cost the connection, so what does not fit becomes an outcome that says so.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from bridge.model.codec import encode_any
from bridge.model.events import Failure
from bridge.model.outcomes import ExecResult, Outcome

__all__ = ["CODE_HEADER", "ERROR_HEADER", "cut", "encode_reply"]

ERROR_HEADER: Final = "Nats-Service-Error"
CODE_HEADER: Final = "Nats-Service-Error-Code"

_LONGEST_HEADER: Final = 500
_LONGEST_SENTENCE: Final = 2_000
_FRAME: Final = 200  # the header block's own line, names and line ends; nats-server counts them as payload


def encode_reply(outcome: Outcome, max_payload: int) -> tuple[bytes, dict[str, str] | None]:
    """Return body and headers, which together are no larger than `max_payload` bytes."""
    body, headers = encode_any(outcome), _headers(outcome)
    if _size(body, headers) <= max_payload:
        return body, headers
    if isinstance(outcome.result, ExecResult):
        outcome = msgspec.structs.replace(outcome, result=outcome.result.bare)
        bare = encode_any(outcome)
        if _size(bare, headers) <= max_payload:
            return bare, headers
    outcome = _shortened(outcome, len(body), max_payload)
    return encode_any(outcome), _headers(outcome)


def cut(error: Failure) -> Failure:
    """Return an error with sentences that fit into any message."""
    return Failure(
        code=error.code,
        message=error.message[:_LONGEST_SENTENCE],
        containerd=None if error.containerd is None else error.containerd[:_LONGEST_SENTENCE],
    )


def _headers(outcome: Outcome) -> dict[str, str] | None:
    if outcome.error is None:
        return None
    return {CODE_HEADER: _header_safe(outcome.error.code), ERROR_HEADER: _header_safe(outcome.error.message)}


def _header_safe(text: str) -> str:
    """Return `text` as one line of printable ASCII, of bounded length (ADR-4; RFC 9110, section 5.5)."""
    line = re.sub(r"[\x00-\x20\x7f]+", " ", text[:_LONGEST_HEADER]).strip()
    return line.encode("ascii", "backslashreplace").decode()[:_LONGEST_HEADER]


def _size(body: bytes, headers: dict[str, str] | None) -> int:
    if headers is None:
        return len(body)
    return len(body) + _FRAME + sum(len(value) for value in headers.values())


def _shortened(outcome: Outcome, size: int, max_payload: int) -> Outcome:
    if outcome.error is not None:
        return msgspec.structs.replace(outcome, result=None, error=cut(outcome.error))
    advice = "ask for one namespace, or give filters" if outcome.verb == "list" else "raise nats-server's max_payload"
    sentence = f"the result of {outcome.verb} is {size} bytes, and NATS takes {max_payload} in a message: {advice}"
    # The command itself has done what it says; only its answer does not fit. It is an error to whoever waits for the answer.
    return msgspec.structs.replace(
        outcome, outcome="error", result=None, error=Failure(code="exhausted", message=sentence)
    )
