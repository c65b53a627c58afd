"""A job that was put aside, as a message: its body as it was sent, and in the headers why, by whom, when and from where."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from bridge.model.nanos import Nanos, format_rfc3339, parse_rfc3339
from bridge.ports import Quarantined

__all__ = ["headers_of", "read_quarantined"]

_LONGEST: Final = 2_000


def headers_of(found: Quarantined) -> dict[str, str]:
    """Return the headers that tell everything but the body."""
    return {
        "Bridge-Id": found.id,
        "Bridge-Node": found.node,
        "Bridge-Subject": _safe(found.subject),
        "Bridge-Code": found.code,
        "Bridge-Why": _safe(found.why),
        "Bridge-When": format_rfc3339(found.at),
        "Bridge-Attempts": str(found.attempts),
        "Bridge-Job": str(found.job),
    }


def read_quarantined(headers: Mapping[str, str], body: bytes, sequence: int) -> Quarantined | None:
    """Return the job that a message holds, None where it is none of ours."""
    try:
        return Quarantined(
            id=headers["Bridge-Id"],
            node=headers["Bridge-Node"],
            subject=headers["Bridge-Subject"],
            body=body,
            code=headers["Bridge-Code"],
            why=headers["Bridge-Why"],
            at=Nanos(parse_rfc3339(headers["Bridge-When"])),
            attempts=int(headers["Bridge-Attempts"]),
            job=int(headers["Bridge-Job"]),
            sequence=sequence,
        )
    except (KeyError, ValueError):
        return None


def _safe(text: str) -> str:
    """Return `text` as one line of printable ASCII, of bounded length (ADR-4; RFC 9110, section 5.5)."""
    line = re.sub(r"[\x00-\x20\x7f]+", " ", text[:_LONGEST]).strip()
    return line.encode("ascii", "backslashreplace").decode()[:_LONGEST]
