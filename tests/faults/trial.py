"""A trial: one bridge among real servers, everything around it breakable, and afterwards the history of it all.

What the trial does to the world it notes: when the bridge or containerd did not exist, what the outbox held when nobody had it
open, what was published. Faults are in `tests.faults.trouble`; they use what is here and nothing else.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.request import urlopen

from bridge.failpoint import VARIABLE
from tests.faults.checker import Violation, agrees, check
from tests.faults.cluster import Cluster
from tests.faults.disk import Disk
from tests.faults.history import Cut, Dark, History, Measure, Outbox
from tests.faults.lives import Lives
from tests.faults.load import Background, Publisher, Runner
from tests.faults.network import Network
from tests.faults.orders import Orders
from tests.faults.remains import STREAM, Remains
from tests.faults.subject import Boot, Clock, Subject
from tests.faults.witness import Witness
from tests.fix_bridge import WITHIN_S
from tests.testbed import Containerd, Ctr, NatsServer
from tests.testbed.ports import port_of, reserved

__all__ = ["NODE", "STREAM", "UNBROKEN", "Fault", "Trial"]

NODE = "n1"

RSS_MIB = 250
FILES = 48
THREADS = 24
STOP_S = 10.0
RECOVERED_S = 60.0
"""Within this the bridge has come back, or has ended so that its supervisor starts it again."""

LIVE_S = 10.0
"""From a start to a proven subscription; the benchmarks tell what it is on a machine that does nothing else."""

RESIGNED_S = 180.0
"""Who has not come back within this does not want to; that is no matter of a machine's speed."""

AGREED_S = 30.0
"""How long log, lists and states may differ at the end of a `timed` trial, and of one whose bridge is broken on purpose."""

HARMLESS = frozenset({"impatient", "auditing", "recorded", "stepped", "unhurried"})
"""Patches that are no mistakes."""

UNBROKEN = "impatient+auditing"

PASSWORD = "of-the-bridge"

LOGINS = """
authorization {{
  users: [ {{ user: all, password: all }}, {{ user: bridge, password: of-the-bridge{denied} }} ]
}}
no_auth_user: all
"""
"""A server on which the bridge has a login, and everybody else may do everything."""


class Fault(NamedTuple):
    """One kind of trouble, by its number in the project's table of faults."""

    number: int
    happen: Callable[[Trial], None]

    @property
    def name(self) -> str:
        """Its name, for people."""
        return self.happen.__name__.replace("_", " ")


class Trial:
    """A context manager: inside, everything is up and the bridge follows containerd."""

    def __init__(
        self,
        directory: Path,
        *,
        seed: int = 0,
        patches: str = UNBROKEN,
        options: Sequence[str] = (),
        version: str = "2.15",
        cluster: Cluster | None = None,
        containerd: str = "2.1",
        proxied_containerd: bool = False,
        disk: bool = False,
        clock: bool = False,
        commands: bool = False,
        login: bool = False,
        stretch: float = 1.0,
        timed: bool = False,
    ) -> None:
        """Take what it is to be.

        Args:
            directory: for the state directory and what else is written.
            seed: of everything that is drawn by lot.
            patches: names of `tests.faults.broken`, joined by "+".
            options: more of `serve`'s.
            version: of the nats-server that it starts.
            cluster: three servers that are up, instead of one of its own. There is no `network` then.
            containerd: the generation.
            proxied_containerd: whether the bridge goes to containerd through `containerd_network`.
            disk: whether what the bridge does not sync is lost when the power is cut: there is a `disk` then.
            clock: whether the bridge's wall clock can be set, with `clock`.
            commands: whether the bridge takes commands: there are `orders` then, a part of the load.
            login: whether the bridge has a login of its own, which can be `restricted`.
            stretch: how much longer than usual faults last, and of how much they are.
            timed: whether limits of seconds are judged too. They hold on a machine that has little else to do: what is asked
                on one that runs other tests is whether, and not how soon.
        """
        self.random = random.Random(seed)
        self.directory = directory
        self.history = History(in_one_order=version not in {"2.9", "2.10"}, repaired=True)
        self.injected: list[str] = []
        self.found: list[Violation] = []
        """What the verdict was."""
        self.stretch = stretch
        self.starts_s: list[float] = []
        """How long the bridge took from a start to a proven subscription, where both ends could be reached."""
        self.disk: Disk | None = None
        self.clock: Clock | None = None
        self._patches = patches
        self._options = options
        self._version = version
        self._cluster = cluster
        self._containerd = containerd
        self._proxied_containerd = proxied_containerd
        self._closing = ExitStack()
        self._since: int | None = None
        self._line = 0
        self._killed = False
        self._containers: list[str] = []
        self._with_disk = disk
        self._with_clock = clock
        self._with_commands = commands
        self._with_login = login
        self._timed = timed
        broken = not HARMLESS.issuperset(patches.split("+")) if patches else False
        self._agreed_s = AGREED_S if timed or broken else WITHIN_S
        self._metrics = ""
        self._base_n = 0
        self.host: Containerd
        self.server: NatsServer
        self.network: Network
        self.containerd_network: Network | None = None
        self.ctr: Ctr
        self.publisher: Publisher
        self.runner: Runner
        self.lives: Lives
        self.remains: Remains
        self.boot: Boot
        self.witness: Witness
        self.bridge: Subject
        self.orders: Orders | None = None
        self._where: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        with ExitStack() as closing:
            self._open(closing)
            self._closing = closing.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closing.close()

    def close(self) -> None:
        """End all of it; a second time does nothing."""
        self._closing.close()

    def _open(self, closing: ExitStack) -> None:
        self.host = closing.enter_context(Containerd(self._containerd))
        self.ctr = self.host.namespace(f"f-{uuid.uuid4().hex[:12]}")
        closing.callback(self._empty)
        options: list[str] = list(self._options)
        if self._cluster is None:
            logins = LOGINS.format(denied="") if self._with_login else ""
            self.server = closing.enter_context(NatsServer(version=self._version, config=logins))
            if self._with_login:
                options += ["--nats-user", "bridge", "--nats-password", PASSWORD]
            self.network = closing.enter_context(Network(self.server.address))
            url = f"nats://{self.network.address}"
        else:
            self.server = self._cluster.servers[0]
            url = ",".join(server.url for server in self._cluster.servers)
            options += ["--nats-replicas", "3"]
        socket = self.host.address
        if self._proxied_containerd:
            self.containerd_network = closing.enter_context(Network(socket))
            socket = Path(self.containerd_network.address)
        self.witness = Witness(self.ctr)
        self.witness.begin()
        closing.callback(lambda: self.witness.end(complete=False))
        self.publisher = closing.enter_context(Publisher(self.host.address, self.ctr.namespace))
        self.runner = Runner(self.ctr)
        self.lives = Lives(self.ctr, self.random)
        fifos = self.host.fifo_dir if self._with_commands else self.directory / "fifo"
        self.remains = Remains(lambda: self.server.url, self.ctr, self.directory, fifos)
        if self._with_commands:
            self.orders = Orders(self.ctr, lambda: self.server.url, self.random, NODE)
            options += ["--commands", "all"]
        self.boot = Boot(self.directory / "boot_id_of_the_host")
        patches, environ = self._patches, dict[str, str]()
        if not self._timed:
            patches = f"{patches}+unhurried".lstrip("+")
        metrics: tuple[str, ...] = ()
        if self._with_disk:
            self.disk = Disk(self.directory / "state", self.directory / "disk")
            patches, environ = f"{patches}+recorded".lstrip("+"), {**environ, **self.disk.environ}
            self._metrics = f"127.0.0.1:{port_of(closing.enter_context(reserved()))}"
            metrics = ("--http", self._metrics)
        if self._with_clock:
            self.clock = Clock(self.directory / "clock")
            patches, environ = f"stepped+{patches}".rstrip("+"), {**environ, **self.clock.environ}
        self._where = ("--containerd", str(socket), "--nats", url, "--node", NODE, *options)
        self.bridge = Subject(
            patches,
            self.boot,
            *self._where,
            *("--state-dir", self.directory / "state", "--fifo-dir", fifos),
            *metrics,
            environ=environ,
        )
        closing.enter_context(self.bridge)
        self.until_live()

    def _empty(self) -> None:
        with suppress(OSError):
            if not self.host.alive:
                self.host.start()

    @contextmanager
    def under_load(self, *, rate: float = 300, containers: int = 20) -> Iterator[Background]:
        """So many numbered events a second, and one short container after the other, for the length of the block."""
        if not self._containers:
            self._containers = self.publisher.make_containers(containers)
        with ExitStack() as loads:
            load = loads.enter_context(self.publisher.load(self._containers, rate=rate))
            loads.enter_context(self.runner.load())
            if self.orders is not None:
                loads.enter_context(self.orders.load())
            load.until_done(50)
            yield load
            load.until_done(50)

    def suffer(self, fault: Fault, times: int = 1) -> None:
        """Let it happen, and note it."""
        for _ in range(times):
            self.injected.append(fault.name)
            fault.happen(self)

    @property
    def cluster(self) -> Cluster:
        """The cluster that it was given."""
        assert self._cluster is not None, "it was given none"
        return self._cluster

    # -- the bridge

    def until_live(self) -> None:
        """Wait until the bridge follows containerd, after it was started or containerd was.

        One that cannot start ends with a sentence, and is started again, as every supervisor does.
        """
        deadline = time.monotonic() + WITHIN_S
        while True:
            try:
                self._line = self.bridge.live(after=self._line)
                break
            except AssertionError:
                if self.bridge.process.poll() in {None, 0} or time.monotonic() > deadline:
                    raise
            self.bridge.until_ended()
            self._bridge_is_gone()
            time.sleep(0.2)  # a supervisor's pause
            self.start_bridge()

    def until_live_again(self) -> None:
        """Wait until the bridge works again, or has ended by itself and works when it is started once more."""
        began = time.monotonic()
        while time.monotonic() < began + RESIGNED_S:
            if self.bridge.process.poll() is not None:
                self._measure_seconds("seconds to end after a bad peer", time.monotonic() - began, RECOVERED_S)
                self.bridge.until_ended()
                self._bridge_is_gone()
                self.start_bridge()
                self.until_live()
                return
            if self.network.connections and self._answers():
                self._measure_seconds("seconds to be back after a bad peer", time.monotonic() - began, RECOVERED_S)
                return
            time.sleep(0.1)
        self._measure("seconds without coming back after a bad peer", time.monotonic() - began, RESIGNED_S)

    def _answers(self) -> bool:
        """Whether what is published now comes into the stream."""
        number = self.publisher.exec_exit("marker")
        until = time.monotonic() + 2.0
        subject = f"containerd.events.{NODE}.{self.ctr.namespace}.marker.exec-exit"
        while number is not None and time.monotonic() < until:
            if any(int(one.data["exit_status"]) == number for one in self.remains.stored(subject)):
                return True
            time.sleep(0.05)
        return False

    def kill_bridge(self) -> None:
        """`kill -9`, and look what the outbox holds."""
        self.bridge.kill()
        self._killed = True
        self._bridge_is_gone()

    def stop_bridge(self) -> int:
        """SIGTERM; return the exit status."""
        began = time.monotonic()
        status = self.bridge.stop()
        self._measure_seconds("seconds to stop", time.monotonic() - began, STOP_S)
        self._bridge_is_gone()
        return status

    def _bridge_is_gone(self) -> None:
        self._since = time.time_ns()
        self._line = len(self.bridge.lines)
        if self.disk is not None:
            self.disk.catch_up()
        self._read_outbox()

    def _read_outbox(self) -> None:
        path = self.directory / "state" / "outbox.db"
        if path.exists():
            self.history.outboxes.append(Outbox.read(path))

    def start_bridge(self) -> None:
        """Start it again; it is not live yet when this returns."""
        assert self._since is not None, "it runs"
        self._base_n, _ = Outbox.judged(self.directory / "state" / "outbox.db")
        self.history.darks.append(Dark(since=self._since, until=time.time_ns(), why="the bridge did not run"))
        self._since = None
        self.bridge.start()

    def restart_bridge(self) -> None:
        """Start it, wait until it is live, and note how long that took; both ends can be reached."""
        began = time.monotonic()
        self.start_bridge()
        self.until_live()
        self.starts_s.append(time.monotonic() - began)
        self._measure_seconds("seconds from a start to a live subscription", self.starts_s[-1], LIVE_S)

    def until(self, true: Callable[[], object], *, within: float = WITHIN_S) -> None:
        """Wait for a condition."""
        deadline = time.monotonic() + within
        while not true():
            assert time.monotonic() < deadline, f"it did not come true: {self.bridge.log[-5:]}"
            time.sleep(0.05)

    @contextmanager
    def failpoint(self, place: str) -> Iterator[None]:
        """Bridges that are started inside the block die at this place."""
        assert self.bridge.environ is not None
        self.bridge.environ = {**self.bridge.environ, VARIABLE: place}
        yield
        self.bridge.environ = {name: value for name, value in self.bridge.environ.items() if name != VARIABLE}

    def until_dead(self, within: float) -> None:
        """Wait until the bridge has killed itself; at a place to which nothing comes for so long it goes on."""
        with suppress(subprocess.TimeoutExpired):
            self.bridge.process.wait(within)

    def second_bridge(self) -> Subject:
        """Return another bridge of the same node, which has a state directory of its own; not started yet."""
        return Subject("", self.boot, *self._where, "--state-dir", self.directory / "second")

    @contextmanager
    def frozen_bridge(self) -> Iterator[None]:
        """SIGSTOP for the length of the block."""
        process = self.bridge.process
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def cut_power(self, after_s: float, share: float | None = None) -> None:
        """Kill the bridge after this time, and let its disk forget what was not synced; it is not started again.

        Of what was not synced there is `share`, or as much as the lot decides. Until the end the bridge's metrics are asked how
        much it has written down, and what they said last is held against what is there.
        """
        assert self.disk is not None, "there is no such disk"
        said = self._base_n
        end = time.monotonic() + after_s
        while time.monotonic() < end:
            with suppress(OSError):
                said = self._base_n + _recorded(self._metrics)
        self.bridge.kill()
        self._killed = True
        self._since = time.time_ns()
        self._line = len(self.bridge.lines)
        self.disk.cut(self.random, share)
        kept, damage = Outbox.judged(self.directory / "state" / "outbox.db")
        self.history.cuts.append(Cut(said=said, kept=kept, damage=damage))
        if damage is None:
            self._read_outbox()

    @property
    def _was_cut_off(self) -> bool:
        """Whether a bridge lost its connection to NATS without a chance to clean up."""
        return self._killed or self._cluster is not None or self.network.accepted > 1

    # -- NATS

    def api(self, question: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask JetStream something, or tell it, as the stream's owner can."""
        return self.remains.api(question, body)

    def until_stream(self) -> None:
        """Wait until there is a stream."""
        deadline = time.monotonic() + WITHIN_S
        while True:
            try:
                self.api(f"STREAM.INFO.{STREAM}")
                break
            except AssertionError:
                assert time.monotonic() < deadline, f"nobody makes a stream: {self.bridge.log[-5:]}"
            time.sleep(0.05)

    @contextmanager
    def restricted(self, denied: str) -> Iterator[None]:
        """The bridge's login may not publish on these subjects for the length of the block, or not log in with "login"."""
        assert self._with_login, "the bridge has no login of its own"
        before = self.server.config
        if denied == "login":
            self.server.config = before.replace(PASSWORD, "another")
        else:
            self.server.config = LOGINS.format(denied=f', permissions: {{ publish: {{ deny: ["{denied}"] }} }}')
        self.server.reload()
        try:
            yield
        finally:
            self.server.config = before
            self.server.reload()

    def went_back(self) -> None:
        """Note that the stream lacks what it had: what is appended again stands behind what came meanwhile."""
        self.history.in_one_order = False
        self.history.went_back = True

    def clock_is_wrong(self) -> None:
        """Note that what the bridge says of times cannot be held against what others say."""
        self.history.true_clock = False

    @property
    def lease_ran_out(self) -> bool:
        """Whether the bridge ever had to wait for its own lease."""
        return any("the lease of node" in line and "has run out" in line for line in self.bridge.log)

    # -- containerd

    @contextmanager
    def containerd_down(self) -> Iterator[None]:
        """containerd is killed for the length of the block; its containers go on. The bridge is not live yet behind it."""
        self.witness.end(complete=False)
        self._line = len(self.bridge.lines)
        self.host.kill()
        since = time.time_ns()
        yield
        self.history.darks.append(Dark(since=since, until=time.time_ns(), why="containerd did not run"))
        self.host.start()
        self.witness.begin()

    @contextmanager
    def host_down(self) -> Iterator[None]:
        """The host is rebooted: bridge, containerd and all tasks end at once, and behind the block there is another boot.

        The bridge is not started again behind it. NATS is on another host.
        """
        self.witness.end(complete=False)
        if self.disk is None:
            self.kill_bridge()
        else:
            self.cut_power(0.0)
        since = time.time_ns()
        self.host.power_off()
        self.boot.again()
        yield
        self.history.darks.append(Dark(since=since, until=time.time_ns(), why="the host did not run"))
        self.host.start()
        self.witness.begin()

    # -- the end

    def settle(self) -> None:
        """Wait until what is published now is in the stream, and so is everything before it."""
        deadline = time.monotonic() + 2 * WITHIN_S
        subject = f"containerd.events.{NODE}.{self.ctr.namespace}.marker.exec-exit"
        sent: set[int] = set()
        again = 0.0
        while True:
            if time.monotonic() > again:
                number = self.publisher.exec_exit("marker")
                if number is not None:
                    sent.add(number)
                again = time.monotonic() + 1.0  # the first may have fallen into a gap
            arrived = {int(one.data["exit_status"]) for one in self.remains.stored(subject)} & sent
            if arrived:
                break
            assert self.bridge.process.poll() is None, f"it ended: {self.bridge.log[-10:]}"
            assert time.monotonic() < deadline, f"nothing arrives any more: {self.bridge.log[-10:]}"
            time.sleep(0.05)
        self.witness.until("marker", max(sent))

    def finish(self) -> History:
        """Settle, stop the bridge in order, and gather what is left; return the history."""
        if self.orders is not None:
            self.history.orders = self.orders.told()
        self.settle()
        self.witness.end(complete=True)
        self.await_agreement()
        self._measure_process()
        self.stop_for_good(self.await_agreement)
        self.history.litter += self.remains.litter(cut_off=self._was_cut_off)
        self.history.made = [*self.publisher.made, *self.runner.made, *self.lives.made]
        self.history.odd = self.publisher.odd_ones
        self.history.watches = self.witness.watches
        self.history.stream = self.remains.messages()
        return self.history

    def verdict(self) -> list[Violation]:
        """`finish`, and what the checker says."""
        self.found = check(self.finish())
        return self.found

    def stop_for_good(self, again: Callable[[], None] = lambda: None) -> None:
        """Stop the bridge until nothing waits in its outbox.

        One that is told to stop while an append is in doubt says that events wait for the next start, and that has to come then;
        `again` is called when it has.
        """
        for _ in range(5):
            since = len(self.bridge.lines)
            status = self.stop_bridge()
            assert status == 0, f"SIGTERM ended it with {status}: {self.bridge.log[since:]}"
            if not any("wait in the outbox for the next start" in sentence for sentence in self.bridge.log[since:]):
                break
            self.start_bridge()
            self.until_live()
            again()

    def await_agreement(self) -> None:
        """Read log, lists and states until they agree: for a moment they need not, when a gap is to be repaired for example."""
        deadline = time.monotonic() + self._agreed_s
        while True:
            self.history.lists = [self.remains.lists()]
            self.history.stream = self.remains.messages()
            self.history.states = self.remains.states()
            if agrees(self.history) or time.monotonic() > deadline:
                break
            time.sleep(0.2)

    def _measure_seconds(self, what: str, value: float, limit: float) -> None:
        if self._timed:
            self._measure(what, value, limit)

    def _measure(self, what: str, value: float, limit: float) -> None:
        self.history.measures.append(Measure(what=what, value=value, limit=limit))

    def _measure_process(self) -> None:
        process = Path(f"/proc/{self.bridge.process.pid}")
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        self._measure("MiB of memory", int(status["VmRSS"].split()[0]) / 1024, RSS_MIB)
        self._measure("threads", int(status["Threads"]), THREADS)
        self._measure("open files", len(os.listdir(process / "fd")), FILES)


def _recorded(address: str) -> int:
    """Return how many events the bridge says that it has committed since its start."""
    with urlopen(f"http://{address}/metrics", timeout=WITHIN_S) as answer:
        text = answer.read().decode()
    [line] = [line for line in text.splitlines() if line.startswith("containerd_bridge_events_recorded_total ")]
    return int(float(line.split()[1]))
