"""What a test does on a machine that cannot run it: it is skipped with the reason, and on a build machine it fails."""

import contextlib
import os
from collections.abc import Iterator

import pytest

from tests.testbed import UnavailableError


@contextlib.contextmanager
def needs_the_machine() -> Iterator[None]:
    """Turn `UnavailableError` into a skip that says what would help, or with CI=true into a failure that says it."""
    try:
        yield
    except UnavailableError as error:
        lacking(str(error))


def lacking(reason: str) -> None:
    """Skip the test for this reason; fail it with CI=true, where a skipped test would pass unseen."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"this must run with CI=true: {reason}", pytrace=False)
    pytest.skip(reason)
