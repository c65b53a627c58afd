"""Each kind of fault a few times under load, on a real containerd and a real nats-server: afterwards the log is whole.

The load is hundreds of numbered events a second through containerd's own exchange, and containers that run to their ends. What
has to hold stands in the checker; a test here only chooses the trouble.
"""

from __future__ import annotations

import pytest

from tests.faults.checker import check
from tests.faults.conftest import TrialFactory
from tests.faults.trouble import BY_NAME, NEEDS
from tests.guards import needs_the_machine

pytestmark = pytest.mark.slow

TIMES = {
    "bridge_killed": 8,
    "bridge_dies_over_a_command": 4,
    "output_is_held_up": 2,
    "bridge_killed_while_a_process_writes": 4,
    "input_ends_at_any_moment": 1,
    "impostor_answers": 4,
    "login_refused": 2,
    "subject_denied": 3,
    "bridge_stopped": 4,
    "another_bridge": 2,
    "bridge_frozen": 1,
    "connection_cut": 30,
    "black_hole": 2,
    "half_open": 2,
    "server_killed": 3,
    "server_frozen": 1,
    "acknowledgements_lost": 5,
    "killed_between_acknowledgement_and_mark": 2,
    "disk_fails": 2,
    "disk_is_slow": 1,
    "state_directory_lost": 2,
    "store_restored": 1,
    "stream_deleted": 1,
    "stream_full": 1,
    "containerd_killed": 2,
    "containers_end_in_the_dark": 1,
    "shims_killed_in_the_dark": 1,
    "containerd_frozen": 1,
    "garbage": 2,
    "out_of_memory": 1,
    "network_slow": 1,
    "network_crawls": 1,
    "power_cut": 2,
    "host_rebooted": 1,
    "clock_steps": 3,
}


@pytest.mark.parametrize("name", TIMES)
def test_the_log_is_whole_and_in_order_after(trial_factory: TrialFactory, name: str) -> None:
    fault = BY_NAME[name]
    with needs_the_machine():
        trial = trial_factory(seed=1, **{NEEDS[fault.happen]: True} if fault.happen in NEEDS else {})
    with trial.under_load():
        trial.suffer(fault, TIMES[name])
    assert trial.verdict() == []


@pytest.mark.parametrize(
    ("name", "version"),
    [("connection_cut", "2.9"), ("bridge_killed", "2.9"), ("acknowledgements_lost", "2.10"), ("server_killed", "2.10")],
)
def test_on_an_older_server_too_after(trial_factory: TrialFactory, name: str, version: str) -> None:
    """There every container's events take their own way."""
    trial = trial_factory(seed=2, version=version)
    with trial.under_load():
        trial.suffer(BY_NAME[name], 2)
    assert trial.verdict() == []


def test_nothing_is_left_and_nothing_grows_when_nothing_breaks(trial_factory: TrialFactory) -> None:
    """The empty trial: what the checker would blame on a fault is not there without one."""
    trial = trial_factory()
    with trial.under_load() as load:
        load.until_done(500)
    history = trial.finish()
    assert check(history) == []
    assert len(history.made) > 500
    assert len(history.watches[0].seen) > 500
