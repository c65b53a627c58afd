"""Chromium for tests: one for the tests of a file, in the loop that they share (`asyncio(loop_scope="module")`)."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.browser import Browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """A Chromium without a window, for all tests of the file."""
    async with Browser() as started:
        yield started
