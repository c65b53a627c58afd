"""The faults, each a function that does something bad to a trial under load and puts it right again.

A fault draws what it needs from `trial.random`. It returns when the bridge can work again, not when it has caught up:
the next one may come on top. Numbers are those of the project's table of faults; README.md maps them to tests.
"""

from __future__ import annotations

import resource
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from bridge.failpoint import FAILPOINTS
from tests.faults.impostor import Impostor
from tests.faults.trial import STREAM, Fault, Trial
from tests.fix_bridge import WITHIN_S
from tests.testbed import CtrFailedError


def wait(trial: Trial, shortest: float, longest: float) -> float:
    """Let a random time pass: the length of a fault, or where in the load it begins. Never a wait for a condition."""
    seconds = trial.random.uniform(shortest, longest * trial.stretch)
    time.sleep(seconds)
    return seconds


# -- the bridge


def bridge_killed(trial: Trial) -> None:
    """`kill -9` 5 to 500 ms after it was live, or before it was."""
    wait(trial, 0.005, 0.5)
    trial.kill_bridge()
    if trial.random.random() < 0.3:
        trial.start_bridge()
        wait(trial, 0.0, 0.8)
        trial.kill_bridge()
    trial.restart_bridge()


def bridge_dies_over_a_command(trial: Trial) -> None:
    """It kills itself at a failpoint, at which a command has come so far and no further; the next one may do so at another."""
    for _ in range(trial.random.randint(1, 2)):
        trial.kill_bridge()
        with trial.failpoint(trial.random.choice(sorted(FAILPOINTS))):
            trial.start_bridge()
            trial.until_dead(8.0)
        trial.kill_bridge()
        trial.start_bridge()
    trial.until_live()


def bridge_stopped(trial: Trial) -> None:
    """SIGTERM at random, every other time with NATS down."""
    wait(trial, 0.0, 0.3)
    down = trial.random.random() < 0.5
    if down:
        trial.network.refuse()
        wait(trial, 0.0, 0.3)
    status = trial.stop_bridge()
    assert status == 0, f"SIGTERM ended it with {status}: {trial.bridge.log[-5:]}"
    if down:
        trial.network.accept()
    trial.start_bridge()
    trial.until_live()


def power_cut(trial: Trial) -> None:
    """The bridge ends, and its disk has what was synced and some of the rest; now and then it happens again at the start."""
    trial.cut_power(trial.random.uniform(0.1, 1.0))
    trial.start_bridge()
    if trial.random.random() < 0.3:
        trial.cut_power(trial.random.uniform(0.2, 1.0))
        trial.start_bridge()
    trial.until_live()


def another_bridge(trial: Trial) -> None:
    """A second one of the same node starts somewhere else. It is refused, and the first one does not notice."""
    with trial.second_bridge() as second:
        assert second.process.wait(WITHIN_S) == 2, second.log
        second.until_ended()
        assert f"pid {trial.bridge.process.pid}" in second.log[-1], second.log


def bridge_frozen(trial: Trial) -> None:
    """SIGSTOP for a while under load."""
    with trial.frozen_bridge():
        wait(trial, 0.5, 3.0)


# -- the network to NATS, and NATS


def connection_cut(trial: Trial) -> None:
    """A reset, in the midst of a message or of an acknowledgement where it happens to be so."""
    wait(trial, 0.0, 0.1)
    match trial.random.randrange(3):
        case 0:
            trial.network.cut()
        case 1:
            trial.network.cut_after(trial.random.randint(1, 50_000), "to_server")
        case _:
            trial.network.cut_after(trial.random.randint(1, 200), "to_client")


def black_hole(trial: Trial) -> None:
    """Nothing passes for a while; then it does, or all that was under way is lost."""
    trial.network.hold()
    wait(trial, 0.1, 2.5)
    if trial.random.random() < 0.5:
        trial.network.cut()
    trial.network.release()


def half_open(trial: Trial) -> None:
    """The server dies without a word reaching the client, and comes back as another process."""
    trial.network.hold()
    trial.server.kill()
    wait(trial, 0.1, 2.5)
    trial.server.start()
    trial.network.cut()
    trial.network.release()


def acknowledgements_lost(trial: Trial) -> None:
    """What the bridge sends arrives, what the server answers does not."""
    trial.network.hold("to_client")
    wait(trial, 0.05, 2.0)
    trial.network.cut()
    trial.network.release()


def killed_between_acknowledgement_and_mark(trial: Trial) -> None:
    """The server has stored it and said so, and the outbox does not know."""
    trial.network.hold("to_client")
    wait(trial, 0.05, 0.5)
    trial.kill_bridge()
    trial.network.cut()
    trial.network.release()
    trial.start_bridge()
    trial.until_live()


def server_killed(trial: Trial) -> None:
    """`kill -9` of nats-server, away for a while."""
    trial.server.kill()
    wait(trial, 0.0, 2.0)
    trial.server.start()


def server_frozen(trial: Trial) -> None:
    """SIGSTOP of nats-server: it accepts connections and says nothing."""
    trial.server.freeze()
    try:
        wait(trial, 0.2, 2.5)
    finally:
        trial.server.thaw()


def network_slow(trial: Trial) -> None:
    """High latency and little bandwidth for a while."""
    trial.network.slow(latency_s=trial.random.uniform(0.02, 0.3), bytes_per_s=trial.random.randint(64, 512) * 1024)
    wait(trial, 1.0, 3.0)
    trial.network.slow()


def network_crawls(trial: Trial) -> None:
    """Half a second each way and 32 KiB a second, as over a bad line."""
    trial.network.slow(latency_s=0.5, bytes_per_s=32 * 1024)
    wait(trial, 2.0, 4.0)
    trial.network.slow()


def impostor_answers(trial: Trial) -> None:
    """Somebody else stands at the server's address for a while, and does not speak as a server does."""
    wanted = trial.random.randint(1, 6)
    with Impostor(trial.random) as impostor, trial.network.impersonated(impostor.address):
        trial.until(lambda: impostor.fooled >= wanted or trial.bridge.process.poll() is not None)
        wait(trial, 0.0, 1.0)
    trial.until_live_again()


def login_refused(trial: Trial) -> None:
    """The bridge's password is another one for a while, as with a login that has expired."""
    with trial.restricted("login"):
        trial.network.cut()
        wait(trial, 0.3, 2.0)
    trial.until_live_again()


def subject_denied(trial: Trial) -> None:
    """The bridge may not write how commands stand, or not the states, for a while; the log goes on meanwhile."""
    with trial.restricted(trial.random.choice(["$KV.containerd-state.>", "$KV.containerd-commands.>", "$SRV.>"])):
        before = len(trial.remains.stored())
        trial.until(lambda: len(trial.remains.stored()) > before + 20)
    trial.until_live_again()


# -- processes


def output_is_held_up(trial: Trial) -> None:
    """A process writes more than the bridge takes without the bus, and ends, while the bus says nothing."""
    assert trial.orders is not None
    with trial.orders.writing(4 * 1024 * 1024 + trial.random.randint(8, 48) * 1024) as write:
        trial.network.hold()
        name = write()
        trial.witness.until_ended(name)
        wait(trial, 0.0, 0.5)
        trial.network.release()


def bridge_killed_while_a_process_writes(trial: Trial) -> None:
    """`kill -9` before and in the midst of output that is as long as a power of two, or one byte off."""
    assert trial.orders is not None
    size = 2 ** trial.random.randint(10, 23) + trial.random.choice([-1, 0, 1])
    with trial.orders.writing(size) as write:
        trial.kill_bridge()
        writing = threading.Thread(target=write, daemon=True)
        writing.start()
        trial.restart_bridge()
        wait(trial, 0.0, 0.3)
        trial.kill_bridge()
        trial.restart_bridge()
        writing.join(180)
        assert not writing.is_alive(), "the process cannot write"


def input_ends_at_any_moment(trial: Trial) -> None:
    """The input of `cat` is opened, written and ended, again and again."""
    assert trial.orders is not None
    trial.orders.input(round(25 * trial.stretch))


# -- the disk


def disk_fails(trial: Trial) -> None:
    """The kernel refuses every write to a file of the bridge's."""
    pid = trial.bridge.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    wait(trial, 0.2, 3.5)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
    wait(trial, 0.5, 1.0)


def disk_is_slow(trial: Trial) -> None:
    """A commit takes seconds: somebody else has locked the file."""
    other = sqlite3.connect(trial.directory / "state" / "outbox.db", isolation_level=None, timeout=20)
    other.execute("BEGIN IMMEDIATE")
    wait(trial, 0.5, 4.0)
    other.execute("ROLLBACK")
    other.close()


def state_directory_lost(trial: Trial) -> None:
    """The bridge is stopped, and starts on an empty directory: another log, which goes on where the one before ended."""
    trial.stop_for_good()
    state = trial.directory / "state"
    state.rename(trial.directory / f"lost{len(list(trial.directory.iterdir()))}")
    if trial.disk is not None:
        trial.disk.forget()
    trial.start_bridge()
    trial.until_live()


# -- the stream


def store_restored(trial: Trial) -> None:
    """The server comes back with a copy of its store from before."""
    store, copy = trial.server.directory / "jetstream", trial.directory / "copy"
    trial.server.kill()
    shutil.copytree(store, copy)
    trial.server.start()
    wait(trial, 0.5, 1.5)
    trial.server.kill()
    shutil.rmtree(store)
    copy.rename(store)
    trial.server.start()
    trial.went_back()


def stream_deleted(trial: Trial) -> None:
    """Somebody deletes the stream, and the bridge makes another."""
    trial.api(f"STREAM.DELETE.{STREAM}")
    trial.went_back()
    trial.until_stream()


def stream_full(trial: Trial) -> None:
    """The stream takes no more, until its owner gives it room."""
    config = trial.api(f"STREAM.INFO.{STREAM}")["config"]
    full = {**config, "discard": "new", "max_bytes": 1 + trial.api(f"STREAM.INFO.{STREAM}")["state"]["bytes"]}
    trial.api(f"STREAM.UPDATE.{STREAM}", full)
    wait(trial, 0.2, 2.0)
    trial.api(f"STREAM.UPDATE.{STREAM}", config)


# -- containerd


def containerd_killed(trial: Trial) -> None:
    """`kill -9` of containerd while containers end."""
    with trial.containerd_down():
        wait(trial, 0.0, 1.5)
    trial.until_live()


def containers_end_in_the_dark(trial: Trial) -> None:
    """Containers that run when containerd is killed, some of which end before it is back."""
    names = trial.lives.running(round(6 * min(trial.stretch, 3)), lives_s=(0.1, 2.0 * trial.stretch))
    with trial.containerd_down():
        wait(trial, 0.5, 1.5)
    trial.until_live()
    trial.lives.until_ended(names)


def shims_killed_in_the_dark(trial: Trial) -> None:
    """Shims that are killed while containerd is away: nobody will ever say how their tasks ended."""
    names = trial.lives.running(3, lives_s=(600, 600))
    with trial.containerd_down():
        trial.lives.kill_shims(names)
        wait(trial, 0.0, 0.5)
    trial.until_live()


def host_rebooted(trial: Trial) -> None:
    """The host loses everything but its disks; of tasks that ran nobody will ever say how they ended."""
    trial.lives.running(2, lives_s=(600, 600))
    with trial.host_down():
        wait(trial, 0.0, 0.5)
    trial.start_bridge()
    trial.until_live()


def clock_steps(trial: Trial) -> None:
    """The bridge's wall clock is an hour ahead or behind for a while, and steps there and back."""
    assert trial.clock is not None, "the bridge has no clock of its own"
    trial.clock_is_wrong()
    trial.clock.set(trial.random.choice([-3600, 3600]))
    wait(trial, 0.5, 2.0)
    trial.clock.set(0)


def containerd_frozen(trial: Trial) -> None:
    """SIGSTOP of containerd."""
    trial.host.freeze()
    wait(trial, 0.2, 2.5)
    trial.host.thaw()


# -- what containerd sends


def garbage(trial: Trial) -> None:
    """Events that no client should publish, and some that none can."""
    lot = trial.random
    nothing_known = ("nobody.knows.This", lot.randbytes(lot.randint(0, 2000)))
    exit_type = "containerd.events.TaskExit"
    sent: list[tuple[str, str, bytes]] = [
        ("/tasks/exit", exit_type, lot.randbytes(lot.randint(1, 300))),
        ("/tasks/big", "nobody.knows.This", lot.randbytes(1024) * lot.choice([600, 2048, 5120])),
        ("/tasks/unheard-of", *nothing_known),
        ("/tasks/exit", *nothing_known),
        ("/tasks/exit", exit_type, b""),
        ("/tasks/exit", "", b""),
        ("/tasks/start", exit_type, b"\x0a\x03a/b"),
        ("/tasks/exit", exit_type, b"\x0a\x06a\r\nb *"),
        ("/tasks//exit", exit_type, b""),
        ("", exit_type, b""),
        ("/", exit_type, b""),
        ("tasks", exit_type, b""),
    ]
    lot.shuffle(sent)
    for topic, type_url, value in sent:
        trial.publisher.odd(topic, type_url, value)


def out_of_memory(trial: Trial) -> None:
    """A container that is killed for want of memory, and one with a storm of short execs."""
    with suppress(CtrFailedError):
        trial.lives.starve(round(2 * min(trial.stretch, 3)))
        trial.lives.exec_storm(round(20 * min(trial.stretch, 3)))


# -- a cluster


def leader_steps_down(trial: Trial) -> None:
    """The stream gets another leader."""
    trial.cluster.step_down()
    wait(trial, 0.0, 1.0)


def servers_killed_in_turn(trial: Trial) -> None:
    """`kill -9` of one server after the other, each when the stream has a leader again."""
    for number in trial.random.sample(range(3), 3):
        trial.cluster.restart(number)
        trial.cluster.leader()


def leader_cut_off(trial: Trial) -> None:
    """The leader is alone and does not know it, until the others have another one; clients reach all of them."""
    leader = trial.cluster.leader()
    with trial.cluster.partition(leader):
        trial.cluster.leader(among=[number for number in range(3) if number != leader])
        wait(trial, 0.0, 2.0)
    trial.cluster.leader()


FAULTS: Final = (
    Fault(1, bridge_killed),
    Fault(12, bridge_dies_over_a_command),
    Fault(2, connection_cut),
    Fault(2, black_hole),
    Fault(2, half_open),
    Fault(3, containerd_killed),
    Fault(3, containers_end_in_the_dark),
    Fault(4, shims_killed_in_the_dark),
    Fault(5, server_killed),
    Fault(5, server_frozen),
    Fault(6, acknowledgements_lost),
    Fault(7, killed_between_acknowledgement_and_mark),
    Fault(8, disk_fails),
    Fault(8, disk_is_slow),
    Fault(8, state_directory_lost),
    Fault(10, garbage),
    Fault(11, another_bridge),
    Fault(15, output_is_held_up),
    Fault(15, bridge_killed_while_a_process_writes),
    Fault(16, input_ends_at_any_moment),
    Fault(18, store_restored),
    Fault(19, power_cut),
    Fault(20, stream_deleted),
    Fault(20, stream_full),
    Fault(21, bridge_frozen),
    Fault(21, containerd_frozen),
    Fault(25, out_of_memory),
    Fault(26, network_slow),
    Fault(26, network_crawls),
    Fault(27, impostor_answers),
    Fault(27, login_refused),
    Fault(27, subject_denied),
    Fault(28, bridge_stopped),
    Fault(29, host_rebooted),
    Fault(29, clock_steps),
)
"""What the long form draws from for a single server."""

CLUSTER_FAULTS: Final = (Fault(17, leader_steps_down), Fault(17, servers_killed_in_turn), Fault(17, leader_cut_off))
"""And what for three, together with those of `FAULTS` that leave the network to NATS alone."""

ANYWHERE: Final = tuple(
    fault for fault in FAULTS if fault.number in {3, 4, 10, 21, 25} or fault.happen is bridge_killed
)

TAKES_THE_STREAM: Final = frozenset({store_restored, stream_deleted})
"""Faults after which the outbox alone has what was lost."""

COMMANDS_OUTLIVE: Final = frozenset(
    {
        *(bridge_killed, bridge_dies_over_a_command, bridge_stopped, bridge_frozen, another_bridge),
        *(connection_cut, black_hole, half_open, acknowledgements_lost, killed_between_acknowledgement_and_mark),
        *(output_is_held_up, bridge_killed_while_a_process_writes, input_ends_at_any_moment),
        *(impostor_answers, login_refused, subject_denied),
        *(server_killed, server_frozen, network_slow, disk_is_slow, containerd_killed, containerd_frozen, garbage),
    }
)
"""Faults in whose rounds commands are a part of the load. The others take away what remembers them (the stream, the state
directory, what was not synced), or the tasks that they are for."""

TAKES_THE_OUTBOX: Final = frozenset({state_directory_lost})
"""And those after which the stream alone has it: who loses both has lost it."""

NEEDS: Final[dict[Callable[[Trial], None], str]] = {
    power_cut: "disk",
    clock_steps: "clock",
    bridge_dies_over_a_command: "commands",
    output_is_held_up: "commands",
    bridge_killed_while_a_process_writes: "commands",
    input_ends_at_any_moment: "commands",
    login_refused: "login",
    subject_denied: "login",
}
"""What a trial has to have for it."""

BY_NAME: Final = {fault.happen.__name__: fault for fault in (*FAULTS, *CLUSTER_FAULTS)}
