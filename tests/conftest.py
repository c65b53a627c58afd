"""What every test can ask for. The fixtures are in the modules `fix_*`, one per server; see tests/README.md."""

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

from tests import valid

# How long an example takes says more about what else the machine does; pytest's own time-out finds what hangs.
# The build machine tries the same examples each time, so that what it says is about the change; everybody else tries new ones.
STEADY = bool(os.environ.get("CI"))
settings.register_profile(
    "without deadline", deadline=None, derandomize=STEADY, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("without deadline")

# A shell without job control has what it puts into the background ignore SIGINT, and so would every program that we interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

valid.install()

pytest_plugins = [
    "tests.fix_nats",
    "tests.fix_containerd",
    "tests.fix_bridge",
    "tests.fix_browser",
    "tests.fix_engine",
    "tests.fix_javascript",
]

# A test that asks for one of these needs that server: the marker need not be written.
NEEDS = {
    "nats": {"nats_server", "nats_server_factory", "nats_url", "older_nats_server", "trial_factory"},
    "containerd": {
        *("containerd", "containerd_factory", "every_containerd", "containerd_namespace", "ctr", "every_ctr"),
        "trial_factory",
    },
}


TRIALS = {
    "test_faults.py",
    "test_special.py",
    "test_cluster.py",
    "test_broken.py",
    "test_crashes.py",
    "test_topology.py",
}
"""Files of tests/faults in which real bridges are put in trouble: `make test-faults`."""

TRIAL_S = 600
"""A trial starts bridges by the dozen, one after the other; on a machine that does much else each takes ten seconds."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name == "faults" and item.path.name in TRIALS:
            item.add_marker("faults")
            item.add_marker(pytest.mark.timeout(TRIAL_S))
        asked = set(getattr(item, "fixturenames", ()))
        for marker, fixtures in NEEDS.items():
            if asked & fixtures:
                item.add_marker(marker)
