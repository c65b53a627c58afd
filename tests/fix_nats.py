"""nats-servers for tests: a fresh one per test (20 ms), one for the whole session, and the older generations."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.guards import needs_the_machine
from tests.testbed import Certificates, NatsServer

OLDER = ("2.9", "2.10")

NatsServerFactory = Callable[..., NatsServer]


def _started(server: NatsServer, closing: ExitStack) -> NatsServer:
    with needs_the_machine():
        return closing.enter_context(server)


@pytest.fixture(scope="session")
def nats_server() -> Iterator[NatsServer]:
    """A nats-server 2.15 with JetStream for the whole session: what a test puts there the next one finds."""
    with ExitStack() as closing:
        yield _started(NatsServer(), closing)


@pytest.fixture
def nats_server_factory() -> Iterator[NatsServerFactory]:
    """`nats_server_factory(version="2.15", config="", jetstream=...)`: a started server of this test's own."""
    with ExitStack() as closing:
        yield lambda **options: _started(NatsServer(**options), closing)


@pytest.fixture
def nats_url(nats_server_factory: NatsServerFactory) -> str:
    """The address of an empty nats-server 2.15 with JetStream that only this test has."""
    return nats_server_factory().url


@pytest.fixture(params=OLDER)
def older_nats_server(request: pytest.FixtureRequest, nats_server_factory: NatsServerFactory) -> NatsServer:
    """A server of this test's own of each generation from before fast ingest: 2.9 and 2.10."""
    return nats_server_factory(version=request.param)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority, a server and a client for TLS: `nats_server_factory(config=certificates.nats_config())`."""
    with needs_the_machine():
        return Certificates(tmp_path_factory.mktemp("certificates"))
