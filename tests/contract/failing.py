"""How the tests of the runtime's contract tell failures."""

from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

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


@contextmanager
def failing(code: str) -> Iterator[None]:
    """A block that ends with a failure of this code, and a sentence."""
    with pytest.raises(CommandFailed) as failed:
        yield
    assert failed.value.code == code
    assert len(failed.value.message) > 20
