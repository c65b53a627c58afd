"""A stream of three replicas: its leader steps down, is killed, is cut off from the others. The log does not notice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.cluster import Cluster
from tests.faults.conftest import TrialFactory
from tests.faults.trouble import BY_NAME
from tests.guards import needs_the_machine

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with needs_the_machine(), Cluster() as three:
        yield three


def test_the_log_is_whole_and_in_order_through_changes_kills_and_a_partition_of_the_leader(
    trial_factory: TrialFactory, cluster: Cluster
) -> None:
    trial = trial_factory(seed=1, cluster=cluster)
    with trial.under_load(rate=1000):
        trial.suffer(BY_NAME["leader_steps_down"], 5)
        trial.suffer(BY_NAME["servers_killed_in_turn"])
        trial.suffer(BY_NAME["leader_cut_off"])
    assert trial.verdict() == []
