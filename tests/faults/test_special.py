"""Faults that need more than trouble under load: ids that are forgotten, a long outage, a slow network, a wrong clock."""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from bridge.model.events import HOST_REBOOTED
from bridge.model.nanos import parse_rfc3339
from tests.faults.checker import Log, folded
from tests.faults.conftest import TrialFactory
from tests.faults.log import is_gap
from tests.faults.recovery import Recovery
from tests.faults.trial import STREAM, Trial
from tests.faults.trouble import BY_NAME
from tests.fix_bridge import BridgeFactory
from tests.fix_nats import NatsServerFactory
from tests.guards import needs_the_machine
from tests.testbed import Certificates, Containerd, Ctr

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


@pytest.mark.parametrize("outage_s", [0.2, 2.0, 10.0])
def test_every_process_ends_once_however_long_containerd_is_away(trial_factory: TrialFactory, outage_s: float) -> None:
    trial = trial_factory(seed=3)
    names = trial.lives.running(10, lives_s=(0.0, outage_s + 1.0))
    with trial.under_load():
        with trial.containerd_down():
            time.sleep(outage_s)  # the outage itself
        trial.until_live()
        trial.lives.until_ended(names)
    assert trial.verdict() == []
    ends = Counter(one.container for one in Log(trial.history.stream).firsts if one.word == "exit")
    assert {name: ends[name] for name in names} == dict.fromkeys(names, 1)


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


def churn(trial: Trial, names: list[str]) -> None:
    """Replace so many containers by others, one after the other."""
    for name in names:
        trial.publisher.remove_containers([name])
        trial.publisher.make_containers(1, f"{name}-again")


@pytest.mark.parametrize("version", ["2.15", "2.10"])
def test_hundreds_of_containers_over_a_crawling_line_stay_in_order_and_none_starves(
    trial_factory: TrialFactory, version: str
) -> None:
    """Half a second each way and 32 KiB a second, of which the load takes half; events may not wait for thirty seconds."""
    trial = trial_factory(patches="auditing", version=version)  # impatience is not for a network like this
    trial.history.most_wait_s = 30.0
    names = trial.publisher.make_containers(300)
    trial.settle()
    trial.network.slow(latency_s=0.5, bytes_per_s=32 * 1024)
    with trial.publisher.load(names, rate=4) as load:
        churn(trial, names[:8])
        load.until_done(60)
    trial.settle()
    trial.network.slow()
    assert trial.verdict() == []


def test_after_both_ends_are_back_the_log_says_what_containerd_lists_of_500_containers(
    trial_factory: TrialFactory,
) -> None:
    trial = trial_factory(patches="", proxied_containerd=True)  # with the bridge's own patience
    recovery = Recovery(trial)
    took = [recovery.seconds() for _ in range(3)]  # each looks whether the log says the same as the lists
    sys.stdout.write(f"R: {', '.join(f'{seconds:.2f}' for seconds in took)} s\n")  # `make faults` judges it
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


AN_HOUR_NS = 3_600_000_000_000

LONG_LEASE = ("--lease", "60")
"""Longer than any stall of a busy machine."""


def wrong_by_ns(trial: Trial) -> list[int]:
    """How far what the bridge says of the time when it read something is from when the server stored it."""
    log = Log(trial.history.stream)
    return [parse_rfc3339(one.event["recordedtime"]) - one.message.stored_at for one in log.firsts]


@pytest.mark.parametrize("wrong", [[-3600], [3600], [3600, -3600, 0]], ids=["behind", "ahead", "stepping"])
def test_the_clock_decides_no_order(trial_factory: TrialFactory, wrong: list[int]) -> None:
    """The bridge's own wall clock is an hour wrong, or steps under load; containerd's is right.

    Nor does it decide how long the lease holds: no line breaks here for as long as that.
    """
    with needs_the_machine():
        trial = trial_factory(clock=True, options=LONG_LEASE)
    assert trial.clock is not None
    trial.clock_is_wrong()
    with trial.under_load() as load:
        for seconds in wrong:
            trial.clock.set(seconds)
            load.until_done(150)
            trial.suffer(BY_NAME["connection_cut"])
            if len(wrong) == 1:  # while it steps there is no gap, so nothing excuses a loss
                trial.suffer(BY_NAME["bridge_killed"])
            load.until_done(150)
    assert trial.verdict() == []
    assert not trial.lease_ran_out
    for seconds in wrong:  # else it was tried with a clock that was right
        assert any(abs(wrong - seconds * 1_000_000_000) < AN_HOUR_NS / 10 for wrong in wrong_by_ns(trial))


@pytest.mark.parametrize("containerd", ["2.1", "1.6"])
def test_a_reboot_of_the_host_ends_tasks_once_and_repeats_nothing(trial_factory: TrialFactory, containerd: str) -> None:
    trial = trial_factory(containerd=containerd, options=("--lease", "2"))
    ran = trial.lives.running(3, lives_s=(600, 600))
    [ended] = trial.lives.running(1, lives_s=(0, 0))
    trial.lives.until_ended([ended])
    with trial.under_load() as load:
        load.until_done(50)
        with trial.host_down():
            pass
        trial.ctr("tasks", "start", "--detach", "--null-io", ran[0])  # what runs again has nothing to do with what ran
        trial.start_bridge()
        trial.until_live()
    assert trial.verdict() == []
    events = [one for one in Log(trial.history.stream).firsts if not one.event["type"].endswith("anomaly.v1")]
    gaps = [one.event["data"]["cause"] for one in events if is_gap(one)]
    assert gaps == ["first-start", "rebooted"]
    exits = {name: [one for one in events if (one.container, one.word) == (name, "exit")] for name in (*ran, ended)}
    for name in ran:
        [lost] = exits[name]
        assert (lost.event["origin"], lost.event["data"]["exit_status"]) == ("reconciled", None), lost.event
        assert lost.event["data"]["reason"] == HOST_REBOOTED
    [known] = exits[ended]
    assert known.event["data"]["exit_status"] is not None
    states = folded(Log(trial.history.stream))
    assert [states[trial.ctr.namespace, name].status for name in ran] == ["running", "none", "none"]


@pytest.mark.parametrize("times", [5])
def test_what_the_metrics_call_committed_survives_a_disk_that_loses_its_power(
    trial_factory: TrialFactory, times: int
) -> None:
    """Also where NATS has none of it: then the outbox alone does."""
    trial = trial_factory(disk=True)
    with trial.under_load():
        trial.suffer(BY_NAME["power_cut"], times)
        trial.network.refuse()
        trial.cut_power(1.0)
        trial.network.accept()
        trial.restart_bridge()
    assert trial.verdict() == []
    assert len(trial.history.cuts) > times
    assert all(cut.said > 0 for cut in trial.history.cuts)


def test_a_certificate_of_somebody_else_is_not_believed_and_the_right_one_again(
    nats_server_factory: NatsServerFactory,
    bridge_factory: BridgeFactory,
    ctr: Ctr,
    certificates: Certificates,
    tmp_path: Path,
) -> None:
    """Shows fault 27: the server comes back with another authority's certificate, and then with its own."""
    (tmp_path / "other").mkdir()
    other = Certificates(tmp_path / "other")
    server = nats_server_factory(config=certificates.nats_config())
    where = ("--nats", f"tls://{server.address}", "--nats-tls-ca", certificates.ca)
    bridge = bridge_factory("--containerd", ctr.host.address, "--node", "n1", "--state-dir", tmp_path / "state", *where)
    bridge.live()
    for mine in (other, certificates):
        server.kill()
        server.config = mine.nats_config()
        said = len(bridge.lines)
        server.start()
        if mine is other:
            bridge.until_logged("certificate", after=said)
        else:
            bridge.until_logged("connected to NATS again", after=said, within=60)
    assert bridge.stop() == 0
