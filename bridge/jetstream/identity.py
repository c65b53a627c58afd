"""Who sent a request, as nats-server itself says it.

A server shows whoever takes a request the account and the user of whoever sent it, in a header, where the request comes through a
service import with `share: true`. There it puts its own header in the place of one that the sender made up. A request that
comes straight from our own account is not touched, and may claim anything: so the header is worth something only where nobody
in the bridge's account may publish commands, which the operator vouches for with `request_info`.

Older servers could be made to pass a made-up header on (CVE-2026-33223, CVE-2026-33246): with those no header is believed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from bridge.errors import ConfigError
from bridge.model.events import Who
from bridge.model.kinds import decoder

__all__ = ["HEADER", "check_server", "who_asks"]

HEADER: Final = "Nats-Request-Info"

IMPORTED: Final = "_R_."
"""What the reply subject of a request begins with that came through a service import."""

LONGEST: Final = 256


class _Info(Struct):
    """The header, as far as it is used."""

    acc: str = ""
    user: str = ""
    host: str | None = None


def check_server(version: tuple[int, ...]) -> None:
    """See whether this server can be believed.

    Raises:
        ConfigError: it cannot.
    """
    if version >= (2, 12, 6) or (2, 11, 15) <= version < (2, 12, 0):
        return
    told = ".".join(map(str, version))
    raise ConfigError(
        f"request_info: nats-server {told} can be made to lie about who asks (CVE-2026-33223): update it to 2.12.6 or 2.11.15, "
        "or leave request_info off"
    )


def who_asks(headers: Mapping[str, str], reply: str) -> Who | None:
    """Return who sent a request; None where the server does not say it, or does not say which user it was."""
    said = [value for name, value in headers.items() if name.strip().lower() == HEADER.lower()]
    if len(said) != 1 or HEADER not in headers or not reply.startswith(IMPORTED):
        return None  # more than one of them is somebody's trick
    try:
        info = decoder(_Info).decode(said[0])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    texts = (info.acc, info.user, info.host or "-")
    if not all(text and text.isprintable() and len(text) <= LONGEST for text in texts):
        return None
    return Who(account=info.acc, user=info.user, host=info.host)
