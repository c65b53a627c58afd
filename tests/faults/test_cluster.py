"""A stream of three replicas: its leader steps down, is killed, is cut off from the others. The log does not notice."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.faults.cluster import Cluster
from tests.faults.conftest import TrialFactory
from tests.guards import needs_the_machine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with needs_the_machine(), Cluster() as three:
        yield three


def test_the_log_is_whole_and_in_order_through_changes_kills_and_a_partition_of_the_leader(
    trial_factory: TrialFactory, cluster: Cluster
) -> None:
    trial = trial_factory(servers=cluster.servers, options=("--nats-replicas", "3"))
    with trial.under_load() as load:
        for _ in range(3):
            cluster.step_down()
            load.until_done(100)
        for number in range(3):
            cluster.restart(number)
            cluster.leader()
            load.until_done(50)
        with cluster.partition(cluster.leader()):
            time.sleep(4)  # the partition itself
        load.until_done(50)
    assert trial.verdict() == []
