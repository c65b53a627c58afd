"""`python -m bridge.alive`: asks the `/livez` that this container serves, for the HEALTHCHECK of its image.

It needs no curl, and loads nothing of the bridge. Where CONTAINERD_BRIDGE_HTTP is not set nothing is served, and there is nothing
to find fault with.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from typing import Final

__all__ = ["fault"]

WITHIN_S: Final = 4.0

_ANY: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - to be asked, not bound
"""What is bound everywhere is asked on loopback."""


def fault(environ: Mapping[str, str]) -> str | None:
    """Return what is wrong, None where all is well."""
    served = environ.get("CONTAINERD_BRIDGE_HTTP", "").strip()
    if not served:
        return None
    host, _, port = served.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        connection = HTTPConnection(_ANY.get(host, host), int(port), timeout=WITHIN_S)
        connection.request("GET", "/livez")
        answer = connection.getresponse()
        said = answer.read(1000).decode("utf-8", "replace").strip()
    except (OSError, ValueError, HTTPException) as error:
        return f"nothing answers at {served}: {error}"
    return None if answer.status == 200 else f"/livez says {answer.status}: {said}"


if __name__ == "__main__":
    sys.exit(fault(os.environ))
