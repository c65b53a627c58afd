"""Programs in JavaScript for tests: examples/javascript with the packages that it names."""

import pytest

from tests.guards import needs_the_machine
from tests.testbed import Javascript


@pytest.fixture(scope="session")
def javascript(tmp_path_factory: pytest.TempPathFactory) -> Javascript:
    """`javascript.run("command.mjs", url, ...)`: a copy of examples/javascript for the session, its packages beside it."""
    with needs_the_machine():
        return Javascript(tmp_path_factory.mktemp("javascript") / "examples")
