"""How the tests of the runtime's contract tell failures."""

from collections.abc import Awaitable
from typing import Any

from bridge.errors import CommandFailed


async def code_of(call: Awaitable[Any]) -> str | None:
    """The code with which a call fails, None where it does not. Each failure has a sentence."""
    try:
        await call
    except CommandFailed as error:
        failure = error
    else:
        return None
    assert len(failure.message) > 20
    return failure.code
