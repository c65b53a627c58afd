"""Where an answer may go.

NATS lets whoever sends a message name any subject for the answer, and checks the permissions of the one who answers: a bridge
that answered wherever it was told would write keys and events for people who may not. So answers go to inboxes only, which
mean nothing to anybody but who made them up: `_INBOX.>`, a prefix of one's own that begins with it (`_INBOX_alice.>`), or the
way back through an account's import. A request that wants its answer elsewhere is not carried out.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["is_inbox"]

_INBOX: Final = re.compile(r"(_GR_\.[^.]+\.[^.]+\.)?(_INBOX[A-Za-z0-9_-]*|_R_)(\.[^.\s*>]+)+", re.ASCII)
"""What a server puts in front where a request came through a gateway is no choice of the sender's."""


def is_inbox(subject: str) -> bool:
    """Tell whether an answer may go to this subject."""
    return _INBOX.fullmatch(subject) is not None
