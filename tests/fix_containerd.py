"""containerds for tests: started once per session and generation, and a namespace of its own for each test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.guards import needs_the_machine
from tests.testbed import VERSIONS, Containerd, Ctr

ContainerdFactory = Callable[..., Containerd]


def _started(host: Containerd, closing: ExitStack) -> Containerd:
    with needs_the_machine():
        return closing.enter_context(host)


@pytest.fixture(scope="session")
def _containerds() -> Iterator[Callable[[str], Containerd]]:
    """The session's containerd of a generation, started when it is first asked for."""
    started: dict[str, Containerd] = {}
    with ExitStack() as closing:

        def of(version: str) -> Containerd:
            if version not in started:
                started[version] = _started(Containerd(version), closing)
            return started[version]

        yield of


@pytest.fixture(scope="session")
def containerd(_containerds: Callable[[str], Containerd]) -> Containerd:
    """The session's containerd 2.1. A test that stops it starts it again."""
    return _containerds("2.1")


@pytest.fixture(scope="session", params=VERSIONS)
def every_containerd(request: pytest.FixtureRequest, _containerds: Callable[[str], Containerd]) -> Containerd:
    """The session's containerds, one after the other: 1.6, 1.7 and 2.1."""
    return _containerds(request.param)


@pytest.fixture
def containerd_factory() -> Iterator[ContainerdFactory]:
    """`containerd_factory("1.7")`: a containerd of this test's own, to be treated as badly as the test likes."""
    with ExitStack() as closing:
        yield lambda version="2.1", **options: _started(Containerd(version, **options), closing)


@pytest.fixture
def ctr(containerd: Containerd) -> Iterator[Ctr]:
    """`ctr` in a namespace of containerd 2.1 that only this test has, with the busybox image in it; emptied after it."""
    yield from _fresh_namespace(containerd)


@pytest.fixture
def containerd_namespace(ctr: Ctr) -> str:
    """The name of the namespace of the fixture `ctr`."""
    return ctr.namespace


@pytest.fixture
def every_ctr(every_containerd: Containerd) -> Iterator[Ctr]:
    """`ctr` in a fresh namespace of each of `every_containerd`."""
    yield from _fresh_namespace(every_containerd)


def _fresh_namespace(host: Containerd) -> Iterator[Ctr]:
    if not host.alive:  # a test that killed it ended before it could start it again
        host.start()
    with host.fresh_namespace() as bound:
        yield bound
