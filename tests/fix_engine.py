"""A Docker Engine of the session's own, with the image of this checkout; and the project of compose.yaml up on it."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.guards import needs_the_machine
from tests.testbed import Containerd, Engine, engine_on

ENGINE = pytest.mark.xdist_group("engine")
"""Of every test that uses one: it costs half a minute, and one process has it."""


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """A Docker Engine, with everything built that compose.yaml wants."""
    with ExitStack() as closing:
        with needs_the_machine():
            engine = closing.enter_context(engine_on(closing.enter_context(Containerd())))
            engine.build()
        yield engine


@pytest.fixture(scope="session")
def project(engine: Engine) -> Iterator[Engine]:
    """The same, after `docker compose up`."""
    engine.compose("up", "--detach")
    yield engine
    engine.compose("down", "--volumes", "--timeout", "1")
