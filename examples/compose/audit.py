"""The audit trail of `examples/client/audit_sqlite.py` as a service of compose: `python -m examples.compose.audit FILE`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from bridge.client import connect
from examples.client.audit_sqlite import NAME, audit
from examples.compose.login import login


async def main(file: Path) -> None:
    """Follow the log for ever."""
    async with connect(login(), name=NAME) as bus:
        await audit(bus, file)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
