"""Bridges that are broken on purpose: the checker finds each, by the right invariant, and has nothing against the real one.

A suite that never failed proves little. Each case is one mistake of `tests.faults.broken` and a fault that brings it out; the
unbroken bridge goes through the same with the same seed. Whether a fault meets the moment in which the mistake does harm is up to
the machine; so the broken bridge goes through it again where it was lucky, a few times.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import pytest

from tests.faults import orders as orders_module
from tests.faults import trial as trial_module
from tests.faults.broken import QUIET_S
from tests.faults.checker import check
from tests.faults.conftest import TrialFactory
from tests.faults.history import History
from tests.faults.impostor import Impostor
from tests.faults.test_special import LONG_LEASE
from tests.faults.trial import UNBROKEN, Trial
from tests.faults.trouble import BY_NAME
from tests.guards import needs_the_machine

pytestmark = pytest.mark.slow


def cuts(trial: Trial) -> None:
    """What has gathered is on its way, and the connection breaks in the midst of it."""
    with trial.under_load(rate=1000) as load:
        for _ in range(2):
            trial.network.refuse()
            load.until_done(1000)
            trial.network.cut_after(300_000, "to_server")
            trial.network.accept()
            load.until_done(500)


def late_subscriptions(trial: Trial) -> None:
    """What the bridge asks of containerd takes its time on the way; what is published meanwhile does not."""
    assert trial.containerd_network is not None
    with trial.under_load():
        trial.kill_bridge()
        trial.containerd_network.slow(latency_s=0.1)
        trial.start_bridge()
        trial.until_live()
        trial.containerd_network.slow()


def quiet_hosts(trial: Trial) -> None:
    """Nothing happens for a while, and then something does: at any time after the last."""
    [container] = trial.publisher.make_containers(1)
    for number in range(20):
        trial.publisher.exec_exit(container)
        time.sleep(QUIET_S + 0.003 * number)


def stops_without_nats(trial: Trial) -> None:
    with trial.under_load():
        trial.network.refuse()
        trial.bridge.until_logged("events wait in the outbox")
        assert trial.stop_bridge() == 0
        trial.network.accept()
        trial.start_bridge()
        trial.until_live()


def kills_without_nats(trial: Trial) -> None:
    """Until the outbox has had the time to write down what it has heard of the log."""
    with trial.under_load() as load:
        trial.network.hold("to_server")
        load.until_done(800)
        trial.kill_bridge()
        trial.network.cut()
        trial.network.release()
        trial.start_bridge()
        trial.until_live()


class Case(NamedTuple):
    """A mistake, what brings it out, and what it must be found by."""

    mistake: str
    happen: Callable[[Trial], None]
    invariant: str
    options: tuple[str, ...] = ()


FIRST_SEED, TIMES = 5, 5


def is_found(case: Case, begin: Callable[[int], Trial]) -> bool:
    """Tell whether the mistake is found by its invariant in one of a few trials."""
    for seed in range(FIRST_SEED, FIRST_SEED + TIMES):
        trial = begin(seed)
        case.happen(trial)
        found = trial.verdict()
        trial.close()
        if set(case.invariant.split()) & {violation.invariant for violation in found}:
            return True
    return False


CASES = (
    Case("pipelined", cuts, "I2"),
    Case("unproven", late_subscriptions, "I4"),
    Case("cancelling", quiet_hosts, "I4"),
    Case("deleting", stops_without_nats, "I1"),
    # What the outbox keeps would heal it at the next start.
    Case("marking", kills_without_nats, "I1", ("--outbox-retention-s", "0")),
)


@pytest.mark.parametrize("mistake", ["syncing-seldom", "syncing-never"])
def test_an_outbox_that_returns_before_the_disk_has_it_is_found_by_a_power_cut(
    trial_factory: TrialFactory, mistake: str
) -> None:
    """The unbroken one goes through the same in test_special.py."""
    trial = trial_factory(patches=f"{UNBROKEN}+{mistake}", disk=True)
    with trial.under_load():
        trial.cut_power(1.0, share=0.0)
    assert {violation.invariant for violation in check(History(cuts=trial.history.cuts))} == {"I1"}


def test_a_lease_that_goes_by_the_wall_clock_is_found_by_a_step_of_it(trial_factory: TrialFactory) -> None:
    """The unbroken one goes through the same in test_special.py. With such a lease a clock that goes back makes two writers."""
    with needs_the_machine():
        trial = trial_factory(patches=f"{UNBROKEN}+wall-clock", clock=True, options=LONG_LEASE)
    assert trial.clock is not None
    trial.clock_is_wrong()
    with trial.under_load() as load:
        load.until_done(50)
        trial.clock.set(3600)
        trial.bridge.until_logged("the lease of node n1 has run out")
    assert trial.lease_ran_out


def commands_only(trial: Trial) -> None:
    """Nothing breaks but the bridge itself."""
    with trial.under_load(rate=50):
        assert trial.orders is not None
        before = trial.orders.done
        trial.until(lambda: trial.orders is not None and trial.orders.done >= before + 60)


def deaths(trial: Trial) -> None:
    """It dies when a command is on disk as started, and when its process has begun."""
    with trial.under_load(rate=50):
        for place in ("journaled", "journaled", "before-effect", "before-effect"):
            trial.kill_bridge()
            with trial.failpoint(place):
                trial.start_bridge()
                trial.until_dead(60.0)
            trial.kill_bridge()
            trial.start_bridge()
        trial.until_live()


def held_up(trial: Trial) -> None:
    with trial.under_load(rate=50):
        trial.suffer(BY_NAME["output_is_held_up"])


def inputs(trial: Trial) -> None:
    assert trial.orders is not None
    trial.orders.input(2)


COMMANDING = (
    Case("forgetful", commands_only, "I5"),
    Case("hasty", held_up, "I9"),
    Case("endless", inputs, "I9"),
    Case("resolute", deaths, "I5 I9"),
)
"""Mistakes about commands. The unbroken bridge goes through the same and worse in test_faults.py."""


@pytest.mark.parametrize("case", COMMANDING, ids=lambda case: case.mistake)
def test_a_mistake_about_commands_is_found(
    trial_factory: TrialFactory, monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    monkeypatch.setattr(orders_module, "INPUT_S", 15.0)  # an input that has no end is to be found, not to be waited for
    assert is_found(case, lambda seed: trial_factory(seed=seed, patches=f"{UNBROKEN}+{case.mistake}", commands=True))


def test_a_bridge_that_a_bad_peer_makes_resign_is_found(
    trial_factory: TrialFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_module, "RESIGNED_S", 12.0)
    trial = trial_factory(seed=5, patches=f"{UNBROKEN}+resigned")
    with trial.under_load(rate=50):
        with Impostor(trial.random) as impostor, trial.network.impersonated(impostor.address):
            trial.until(lambda: impostor.fooled >= 2)
        trial.until_live_again()
    assert {violation.invariant for violation in check(trial.history)} >= {"I7"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.mistake)
def test_the_mistake_is_found_and_the_bridge_without_it_is_not_blamed(trial_factory: TrialFactory, case: Case) -> None:
    def trial_of(patches: str, seed: int) -> Trial:
        proxied = case.happen is late_subscriptions
        return trial_factory(seed=seed, patches=patches, proxied_containerd=proxied, options=case.options)

    unbroken = trial_of(UNBROKEN, FIRST_SEED)
    case.happen(unbroken)
    assert unbroken.verdict() == []
    unbroken.close()
    assert is_found(case, lambda seed: trial_of(f"{UNBROKEN}+{case.mistake}", seed))
