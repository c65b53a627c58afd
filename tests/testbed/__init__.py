"""The test host: real containerds of three generations, real nats-servers of four, and a network that can break.

Nothing in here is a mock and nothing imports `bridge`: what the bridge says about a containerd is checked against that
containerd's own `ctr`. Everything is started privately (own sockets, own `/run`, own store, own ports) and goes away with
the process that started it, also when that process is killed.

    with Containerd("2.1") as host:
        ctr = host.namespace("demo")
        ctr.run("web.1", "sh", "-c", "exit 3")

Only the standard library is used, so `make` can build the roots while the virtual environment is still being filled.
"""

from tests.testbed.certificates import Certificates
from tests.testbed.containerd import Containerd
from tests.testbed.ctr import Ctr, CtrFailedError
from tests.testbed.docker import Docker, docker_on
from tests.testbed.engine import Engine, engine_on
from tests.testbed.errors import DiedError, UnavailableError
from tests.testbed.image import BUSYBOX
from tests.testbed.javascript import Javascript
from tests.testbed.nats import NatsServer
from tests.testbed.proxy import Proxy
from tests.testbed.registry import Registry
from tests.testbed.roots import VERSIONS
from tests.testbed.systemd import Systemd

__all__ = [
    "BUSYBOX",
    "VERSIONS",
    "Certificates",
    "Containerd",
    "Ctr",
    "CtrFailedError",
    "DiedError",
    "Docker",
    "Engine",
    "Javascript",
    "NatsServer",
    "Proxy",
    "Registry",
    "Systemd",
    "UnavailableError",
    "docker_on",
    "engine_on",
]
