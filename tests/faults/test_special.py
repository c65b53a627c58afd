"""Faults that need more than trouble under load: ids that are forgotten, a long outage, a slow network, a wrong clock."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.faults.conftest import TrialFactory
from tests.faults.trial import STREAM, UNBROKEN, Trial
from tests.faults.trouble import BY_NAME
from tests.testbed import Containerd

pytestmark = pytest.mark.slow


def forget_ids(trial: Trial) -> None:
    """Let the server forget the message ids that it has seen: what a pause beyond the duplicate window does."""
    config = trial.api(f"STREAM.INFO.{STREAM}")["config"]
    trial.api(f"STREAM.UPDATE.{STREAM}", {**config, "duplicate_window": 100_000_000})
    time.sleep(0.2)  # the window itself
    trial.server.restart()
    trial.api(f"STREAM.UPDATE.{STREAM}", config)


@pytest.mark.parametrize("version", ["2.15", "2.10"])
def test_what_is_stored_and_not_marked_is_not_stored_again_when_the_server_has_forgotten_the_ids(
    trial_factory: TrialFactory, version: str
) -> None:
    trial = trial_factory(version=version)
    for _ in range(2):
        with trial.under_load() as load:
            trial.network.hold("to_client")
            load.until_done(100)
            trial.kill_bridge()
        forget_ids(trial)
        trial.network.cut()
        trial.network.release()
        trial.start_bridge()
        trial.until_live()
    assert trial.verdict() == []


def memory_of(host: Containerd) -> int:
    """containerd's memory in bytes."""
    fields = Path(f"/proc/{host.pid}/statm").read_text().split()
    return int(fields[1]) * 4096


def test_a_long_outage_costs_containerd_nothing_and_is_made_up_for(trial_factory: TrialFactory) -> None:
    trial = trial_factory()
    with trial.under_load(rate=1000) as load:
        load.until_done(200)
        before = memory_of(trial.host)
        with trial.server.down():
            load.until_done(2000)
        assert memory_of(trial.host) < before + (32 << 20)
    trial.settle()
    assert trial.verdict() == []


def test_hundreds_of_containers_through_a_slow_network_stay_in_order_and_none_waits_for_ever(
    trial_factory: TrialFactory,
) -> None:
    trial = trial_factory(patches="auditing")  # impatience is not for a network like this
    trial.network.slow(latency_s=0.1, bytes_per_s=256 * 1024)
    with trial.under_load(rate=500, containers=300) as load:
        load.until_done(900)
    trial.settle()
    trial.network.slow()
    assert trial.verdict() == []


def test_a_gap_reaches_to_where_the_subscription_is_proven(trial_factory: TrialFactory) -> None:
    """What the bridge asks of containerd takes its time on the way; what is published meanwhile is lost."""
    trial = trial_factory(proxied_containerd=True)
    assert trial.containerd_network is not None
    with trial.under_load():
        trial.kill_bridge()
        trial.containerd_network.slow(latency_s=0.1)
        trial.start_bridge()
        trial.until_live()
        trial.containerd_network.slow()
    assert trial.verdict() == []


@pytest.mark.parametrize("clock", ["clock-stepping"])
def test_the_clock_decides_no_order(trial_factory: TrialFactory, clock: str) -> None:
    """The bridge's own clock is wrong, or steps back and forth by an hour; the containers' clocks are right."""
    trial = trial_factory(patches=f"{UNBROKEN}+{clock}")
    with trial.under_load():
        trial.suffer(BY_NAME["connection_cut"])
        trial.suffer(BY_NAME["bridge_killed"])
    found = [violation for violation in trial.verdict() if violation.invariant != "I4"]
    assert found == []  # a gap's bounds are told by that clock
    assert len(trial.history.stream) > 100
