"""A trial: one bridge among real servers, everything around it breakable, and afterwards the history of it all.

What the trial does to the world it notes: when the bridge or containerd did not exist, what the outbox held when nobody had it
open, what was published. Faults are in `tests.faults.trouble`; they use what is here and nothing else.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

import nats
import nats.errors
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError, ServiceUnavailableError

from bridge.model.subjects import unquote
from tests.faults.checker import Violation, agrees, check
from tests.faults.cluster import Cluster
from tests.faults.history import Dark, History, Kept, Listed, Lists, Made, Measure, Message, Outbox
from tests.faults.load import Background, Publisher, Runner
from tests.faults.network import Network
from tests.faults.witness import Witness
from tests.fix_bridge import WITHIN_S, Bridge, Stored, stored
from tests.testbed import Containerd, Ctr, NatsServer

T = TypeVar("T")

NODE = "n1"
STREAM, STATES = "CONTAINERD_EVENTS", "KV_containerd-state"

RSS_MIB = 250
FILES = 48
THREADS = 24
STOP_S = 10.0

UNBROKEN = "impatient+auditing"

KILL_SHIM = """
for process in /proc/[0-9]*; do
  case "$(tr '\\0' ' ' <"$process/cmdline")" in
    *containerd-shim*" -namespace $1 "*" -id $2 "*) kill -9 "${process#/proc/}" ;;
  esac
done 2>/dev/null
kill -9 $(cat "/run/containerd/io.containerd.runtime.v2.task/$1/$2/init.pid")
"""

EXECS = """
export CONTAINERD_NAMESPACE=$1
seq "$3" | xargs -P 4 -I{} ctr tasks exec --exec-id "x{}" "$2" true
"""

CTR_LEASE = re.compile(r"\d+-[\w-]{4}")
"""ctr's own leases: one stays behind when containerd is killed under it."""

STATE_FILES = {"lock", "outbox.db", "boot_id"}


class Fault(NamedTuple):
    """One kind of trouble, by its number in the project's table of faults."""

    number: int
    happen: Callable[[Trial], None]

    @property
    def name(self) -> str:
        """Its name, for people."""
        return self.happen.__name__.replace("_", " ")


class Subject(Bridge):
    """The daemon under trial, with patches where it is to be broken or impatient."""

    def __init__(self, patches: str, *options: str | Path) -> None:
        super().__init__(*options)
        if patches:
            self.program = ("-m", "tests.faults.broken", patches)


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
        """
        self.random = random.Random(seed)
        self.directory = directory
        self.history = History(in_one_order=version not in {"2.9", "2.10"}, repaired=True)
        self.injected: list[str] = []
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
        self._ends: dict[str, tuple[int, int]] = {}
        self._ended: list[Made] = []
        self.host: Containerd
        self.server: NatsServer
        self.network: Network
        self.containerd_network: Network | None = None
        self.ctr: Ctr
        self.publisher: Publisher
        self.runner: Runner
        self.witness: Witness
        self.bridge: Subject
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
            self.server = closing.enter_context(NatsServer(version=self._version))
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
        self._where = ("--containerd", str(socket), "--nats", url, "--node", NODE, *options)
        self.bridge = Subject(
            self._patches,
            *self._where,
            *("--state-dir", self.directory / "state", "--fifo-dir", self.directory / "fifo"),
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
        with self.publisher.load(self._containers, rate=rate) as load, self.runner.load():
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

    def kill_bridge(self) -> None:
        """`kill -9`, and look what the outbox holds."""
        self.bridge.kill()
        self._killed = True
        self._bridge_is_gone()

    def stop_bridge(self) -> int:
        """SIGTERM; return the exit status."""
        began = time.monotonic()
        status = self.bridge.stop(within=3 * STOP_S)
        self._measure("seconds to stop", time.monotonic() - began, STOP_S)
        self._bridge_is_gone()
        return status

    def _bridge_is_gone(self) -> None:
        self._since = time.time_ns()
        self._line = len(self.bridge.lines)
        path = self.directory / "state" / "outbox.db"
        if path.exists():
            self.history.outboxes.append(Outbox.read(path))

    def start_bridge(self) -> None:
        """Start it again; it is not live yet when this returns."""
        assert self._since is not None, "it runs"
        self.history.darks.append(Dark(since=self._since, until=time.time_ns(), why="the bridge did not run"))
        self._since = None
        self.bridge.start()

    def second_bridge(self) -> Subject:
        """Return another bridge of the same node, which has a state directory of its own; not started yet."""
        return Subject("", *self._where, "--state-dir", self.directory / "second")

    @contextmanager
    def frozen_bridge(self) -> Iterator[None]:
        """SIGSTOP for the length of the block."""
        process = self.bridge.process
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    @property
    def _was_cut_off(self) -> bool:
        """Whether a bridge lost its connection to NATS without a chance to clean up."""
        return self._killed or self._cluster is not None or self.network.accepted > 1

    # -- NATS

    def api(self, question: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask JetStream something, or tell it, as the stream's owner can."""
        return insist(lambda: asyncio.run(_api(self.server.url, question, json.dumps(body or {}).encode())))

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

    def went_back(self) -> None:
        """Note that the stream lacks what it had: what is appended again stands behind what came meanwhile."""
        self.history.in_one_order = False

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

    # -- real containers

    def running(self, count: int, *, lives_s: tuple[float, float]) -> list[str]:
        """Start containers that end by themselves after a random time, each with a status of its own; return their names."""
        names = []
        for _ in range(count):
            status = self.random.randint(1, 250)
            name = f"d{len(self._ends)}"
            life = f"sleep {self.random.uniform(*lives_s):.2f}; exit {status}"
            began = time.time_ns()
            self.ctr.run(name, "sh", "-c", life)
            self._ends[name] = (status, began)
            names.append(name)
        return names

    def until_ended(self, names: Sequence[str]) -> None:
        """Wait until they do not run any more. Of those whose tasks are still there it can be known how they ended.

        containerd 2.1 removes the task of a shim that has nothing left to run when it starts.
        """
        deadline = time.monotonic() + WITHIN_S
        while (left := self._statuses()) and any(left.get(name, "gone") not in {"STOPPED", "gone"} for name in names):
            assert time.monotonic() < deadline, f"they do not end: {left}"
            time.sleep(0.05)
        for name in names:
            if left.get(name) != "STOPPED":
                continue
            status, began = self._ends[name]
            self._ended.append(
                Made(
                    namespace=self.ctr.namespace,
                    container=name,
                    word="exit",
                    status=status,
                    began=began,
                    ended=time.time_ns(),
                    kept=True,
                )
            )

    def _statuses(self) -> dict[str, str]:
        lines = (line.split() for line in self.ctr("tasks", "ls").splitlines()[1:])
        return {name: status for name, _, status in lines}

    def kill_shims(self, names: Sequence[str]) -> None:
        """`kill -9` of their shims and of what they run."""
        for name in names:
            self.host.run("sh", "-c", KILL_SHIM, "kill", self.ctr.namespace, name)

    def starve(self, count: int) -> None:
        """Run containers that the kernel kills for want of memory."""
        for _ in range(count):
            name = f"d{len(self._ends)}"
            self._ends[name] = (137, time.time_ns())
            self.ctr.run(name, "tail", "/dev/zero", options=("--memory-limit", "8388608"))
            self.until_ended([name])

    def exec_storm(self, count: int) -> None:
        """Run short execs side by side in one container, as fast as ctr can."""
        name = f"d{len(self._ends)}"
        self._ends[name] = (0, time.time_ns())
        self.ctr.run(name, "sh", "-c", "trap 'exit 0' TERM; while true; do sleep 0.1; done")
        self.host.run("sh", "-c", EXECS, "execs", self.ctr.namespace, name, str(count))
        self.ctr.kill(name)
        self.ctr("tasks", "delete", "--force", name, check=False)

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
            arrived = {int(one.data["exit_status"]) for one in self._stored(subject)} & sent
            if arrived:
                break
            assert self.bridge.process.poll() is None, f"it ended: {self.bridge.log[-10:]}"
            assert time.monotonic() < deadline, f"nothing arrives any more: {self.bridge.log[-10:]}"
            time.sleep(0.05)
        self.witness.until("marker", max(sent))

    def _stored(self, subject: str = ">") -> list[Stored]:
        return insist(lambda: stored(self.server.url, subject))

    def finish(self) -> History:
        """Settle, stop the bridge in order, and gather what is left; return the history."""
        self.settle()
        self.witness.end(complete=True)
        self._await_agreement()
        self._measure_process()
        self.stop_for_good(self._await_agreement)
        self.history.litter += self._litter()
        self.history.made = [*self.publisher.made, *self.runner.made, *self._ended]
        self.history.odd = self.publisher.odd_ones
        self.history.watches = self.witness.watches
        self.history.stream = self._messages()
        return self.history

    def verdict(self) -> list[Violation]:
        """`finish`, and what the checker says."""
        return check(self.finish())

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

    def _await_agreement(self) -> None:
        """Read log, lists and states until they agree: for a moment they need not, when a gap is to be repaired for example."""
        deadline = time.monotonic() + WITHIN_S
        while True:
            self.history.lists = [self._lists()]
            self.history.stream = self._messages()
            self.history.states = insist(lambda: asyncio.run(_states(self.server.url)))
            if agrees(self.history) or time.monotonic() > deadline:
                break
            time.sleep(0.2)

    def _messages(self) -> list[Message]:
        return [Message(one.stream_sequence, one.subject, one.body) for one in self._stored()]

    def _measure(self, what: str, value: float, limit: float) -> None:
        self.history.measures.append(Measure(what=what, value=value, limit=limit))

    def _measure_process(self) -> None:
        process = Path(f"/proc/{self.bridge.process.pid}")
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        self._measure("MiB of memory", int(status["VmRSS"].split()[0]) / 1024, RSS_MIB)
        self._measure("threads", int(status["Threads"]), THREADS)
        self._measure("open files", len(os.listdir(process / "fd")), FILES)

    def _lists(self) -> Lists:
        containers = {name: Listed(status="none") for name in self.ctr("containers", "ls", "-q").split()}
        for line in self.ctr("tasks", "ls").splitlines()[1:]:
            name, pid, status = line.split()
            containers[name] = Listed(status=status.lower(), pid=int(pid) or None)
        return Lists(namespace=self.ctr.namespace, containers=containers)

    def _litter(self) -> Iterator[str]:
        lingers_s = LINGERS_S if self._was_cut_off else 0.0
        yield from insist(lambda: asyncio.run(_consumers(self.server.url, lingers_s=lingers_s)))
        for left in sorted(os.listdir(self.directory / "state")):
            if left not in STATE_FILES:
                yield f"{left} is left in the state directory"
        fifos = self.directory / "fifo"
        for left in sorted(os.listdir(fifos)) if fifos.exists() else ():
            yield f"{left} is left in the directory of FIFOs"
        for lease in self.ctr("leases", "ls", "-q").split():
            if not CTR_LEASE.fullmatch(lease):
                yield f"lease {lease} is left in containerd"
        for left in self.host.run("sh", "-c", "ls -d /tmp/c*d-checkpoint*", check=False).stdout.split():
            yield f"{left} is left on the host"
        if "containerd-bridge" in self.host.ctr("namespaces", "ls", "-q").split():
            yield "a namespace containerd-bridge is left in containerd"


def insist(work: Callable[[], T]) -> T:
    """Do what a server may refuse that has just come back, until it does not."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        try:
            return work()
        except (ServiceUnavailableError, nats.errors.Error, TimeoutError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


LINGERS_S = 60.0
"""The consumer of a process that was killed, or cut off, goes by itself after this long."""


async def _api(url: str, question: str, body: bytes) -> dict[str, Any]:
    client = await nats.connect(url)
    try:
        answer: dict[str, Any] = json.loads((await client.request(f"$JS.API.{question}", body, timeout=5)).data)
    finally:
        await client.close()
    assert "error" not in answer, answer
    return answer


async def _states(url: str) -> list[Kept]:
    """Read what stands under every key of the bucket of states; a word of this node and nothing else is there."""
    client = await nats.connect(url)
    try:
        js = client.jetstream()
        config = ConsumerConfig(deliver_policy=DeliverPolicy.LAST_PER_SUBJECT, ack_policy=AckPolicy.NONE)
        consumer = await js.pull_subscribe("$KV.containerd-state.>", stream=STATES, config=config)
        info = await consumer.consumer_info()
        found, pending = [], info.num_pending or 0
        while pending:
            for message in await consumer.fetch(min(500, pending), timeout=10):
                pending = message.metadata.num_pending
                if "KV-Operation" not in (message.headers or {}):  # else it says that there is nothing any more
                    namespace, container = (unquote(token) for token in message.subject.split(".")[3:])
                    found.append(Kept(namespace, container, message.data))
        await consumer.unsubscribe()
        await js.delete_consumer(STATES, info.name)
        return found
    finally:
        await client.close()


async def _consumers(url: str, *, lingers_s: float) -> list[str]:
    """Say which consumers are left that do not go by themselves within so many seconds."""
    client = await nats.connect(url)
    try:
        js = client.jetstream()
        found: list[str] = []
        for stream in await js.streams_info():
            name = stream.config.name
            assert name is not None
            with suppress(NotFoundError):
                for consumer in await js.consumers_info(name):
                    threshold = consumer.config.inactive_threshold
                    if consumer.config.durable_name or not threshold or threshold > lingers_s:
                        found.append(f"consumer {consumer.name} is left on stream {name}")
        return found
    finally:
        await client.close()
