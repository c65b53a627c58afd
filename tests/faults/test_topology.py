"""Edge hosts behind leaf nodes, a hub of three: a host is cut off without a word and comes back. Nothing is lost, order is kept.

Servers are configured by the files of `deploy/nats/`, and everybody has the login that these give him. The cut lasts until
both ends have noticed and events have gathered; `CUT_S=60 make test-faults ARGS="-k cut_off"` makes it a minute.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

import pytest

from bridge.cli import main
from tests.faults.checker import Violation, agrees, check
from tests.faults.history import History, Message, Outbox
from tests.faults.load import Background, Publisher, Runner
from tests.faults.remains import Remains
from tests.faults.topology import HUBS, PASSWORD, Topology
from tests.faults.witness import Witness
from tests.fix_bridge import Bridge
from tests.guards import needs_the_machine
from tests.testbed import Containerd

pytestmark = [pytest.mark.slow, pytest.mark.nats, pytest.mark.containerd]

CUT_S = float(os.environ.get("CUT_S", "0"))
"""A cut lasts so long at the least."""

STREAM = "CONTAINERD_EVENTS"


class Edge:
    """An edge host: a containerd, a bridge that logs in at the leaf node beside it, load, and a witness."""

    def __init__(self, topology: Topology, name: str, namespace: str, directory: Path) -> None:
        self.name = name
        self._topology = topology
        self._namespace = namespace
        self._directory = directory

    def __enter__(self) -> Self:
        with ExitStack() as closing:
            self.host = closing.enter_context(Containerd("2.1"))
            self.ctr = self.host.namespace(self._namespace)
            with self._topology.lan.at(self.name):
                self.bridge = Bridge(
                    *("--nats", self._topology.servers[self.name].url, "--nats-user", "node"),
                    *("--nats-password", PASSWORD, "--nats-inbox", f"_INBOX.{self.name}", "--nats-domain", "hub"),
                    *("--nats-replicas", "3", "--containerd", self.host.address, "--node", self.name),
                    *("--state-dir", self._directory / "state", "--fifo-dir", self.host.fifo_dir, "--commands", "all"),
                    program=("-m", "tests.faults.broken", "auditing+unhurried"),
                )
                closing.enter_context(self.bridge)
            self.bridge.live()
            self._witness = Witness(self.ctr)
            self._witness.begin()
            closing.callback(lambda: self._witness.end(complete=False))
            self.publisher = closing.enter_context(Publisher(self.host.address, self._namespace))
            self._containers = self.publisher.make_containers(5)
            self._runner = Runner(self.ctr)
            self._closing = closing.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    @contextmanager
    def under_load(self) -> Iterator[Background]:
        """Numbered events, and one short container after the other."""
        with self.publisher.load(self._containers, rate=100) as load, self._runner.load(rate=2):
            load.until_done(50)
            yield load

    def settle(self, hub: str) -> None:
        """Wait until what is published now is in the stream, as that server of the hub tells."""
        number = self.publisher.exec_exit("marker")
        subject = f"containerd.events.{self.name}.{self._namespace}.marker.exec-exit"

        def arrived() -> bool:
            return any(one.data["exit_status"] == number for one in self._remains(hub).stored(subject))

        with self._topology.lan.at(hub):
            self._topology.until(arrived, f"nothing of {self.name} arrives at {hub}")
        assert number is not None
        self._witness.until("marker", number)

    def verdict(self) -> list[Violation]:
        """Stop the bridge, and say what the checker has to say of what an independent reader finds at the hub."""
        self.settle("hub1")
        self._witness.end(complete=True)
        history = History(repaired=True, watches=self._witness.watches)
        self._topology.until(lambda: self._agree(history), f"lists and log of {self.name} differ")
        assert self.bridge.stop() == 0, self.bridge.log[-10:]
        assert not any("wait in the outbox for the next start" in line for line in self.bridge.log)
        outbox = Outbox.read(self._directory / "state" / "outbox.db")
        history.outboxes = [outbox]
        history.made = [*self.publisher.made, *self._runner.made]
        # The reader's consumer may be on a server that is a moment behind the stream's leader.
        last = f"{outbox.log}:{outbox.last_n}"
        self._topology.until(lambda: self._reaches(history, last), f"{last} of {self.name} is not stored")
        return check(history)

    def _reaches(self, history: History, position: str) -> bool:
        self._gather(history)
        return history.stream[-1].event.get("position") == position

    def _agree(self, history: History) -> bool:
        self._gather(history)
        return agrees(history)

    def _gather(self, history: History) -> None:
        with self._topology.lan.at("hub1"):
            stored = self._remains("hub1").stored(f"containerd.*.{self.name}.>")
        history.stream = [Message(one.stream_sequence, one.subject, one.body, one.stored_at) for one in stored]
        history.lists = [self._remains("hub1").lists()]

    def _remains(self, hub: str) -> Remains:
        return Remains(lambda: self._topology.url(hub), self.ctr, self._directory, self.host.fifo_dir)


def test_a_node_that_is_cut_off_loses_nothing_and_no_other_one_notices(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    namespace = f"edges-{uuid.uuid4().hex[:8]}"
    with ExitStack() as stack:
        with needs_the_machine():
            # One leaf node has no JetStream, and one has a JetStream of its own beside the hub's.
            topology = Topology(["edge1", "edge2"], own_jetstream=["edge2"], namespace=namespace)
            stack.enter_context(topology)
            edges = []
            for name in topology.edges:
                (tmp_path / name).mkdir()
                edges.append(stack.enter_context(Edge(topology, name, namespace, tmp_path / name)))

        def operator(*words: str) -> tuple[int, str]:
            """What the operator of the namespace has of a command that he types at the hub."""
            login = ("--nats-user", "shop", "--nats-password", PASSWORD, "--nats-inbox", "_INBOX.shop")
            with topology.lan.at("hub3"):
                status = main([*words, "--namespace", namespace, "--nats", topology.servers["hub3"].url, *login])
            said = capsys.readouterr()
            return status, said.out + said.err

        edge1, edge2 = edges
        doubtful, waits = (edge1.publisher.make_containers(1, prefix)[0] for prefix in ("doubtful", "waits"))
        with edge1.under_load() as load, edge2.under_load() as other:
            for edge in edges:
                edge.settle("hub1")
                assert operator("inspect", "c0", "--node", edge.name)[0] == 0
            before = edge2.bridge.log[:]

            topology.lan.unplug("edge1")
            # Perhaps nobody has noticed yet: then it is open whether the command arrives.
            status, said = operator("delete", doubtful, "--node", "edge1", "--timeout", "2")
            assert (status, "no answer in time" in said or "does not answer" in said) == (1, True), said
            topology.cut_off("edge1")
            until = time.monotonic() + CUT_S
            status, said = operator("delete", "c1", "--node", "edge1")
            sentence = "containerd-bridge: node edge1 does not answer; these do: edge2"
            assert (status, sentence in said.splitlines()) == (1, True), said
            assert operator("delete", waits, "--node", "edge1", "--durable", "--id", "meanwhile")[0] == 0
            load.until_done(300)
            other.until_done(max(1, int(100 * (until - time.monotonic()))))
            edge2.settle("hub1")
            assert operator("inspect", "c0", "--node", "edge2")[0] == 0
            assert [line for line in edge2.bridge.log if line not in before] == []
            assert waits in edge1.ctr("containers", "ls", "-q")

            topology.plug("edge1")
            edge1.settle("hub1")
            assert operator("inspect", "c0", "--node", "edge1")[0] == 0
            topology.until(lambda: waits not in edge1.ctr("containers", "ls", "-q"), "the job is forgotten")
            topology.until(lambda: "finished: ok" in operator("jobs", "show", "meanwhile")[1], "the job has no outcome")

            # Once more, and meanwhile the hub's server dies that leads the stream.
            topology.cut_off("edge1")
            dead = topology.leader(STREAM)
            there = next(hub for hub in HUBS if hub != dead)
            topology.servers[dead].kill()
            topology.leader(STREAM)
            load.until_done(300)
            edge2.settle(there)
            topology.plug("edge1")
            edge1.settle(there)
            with topology.lan.at(dead):
                topology.servers[dead].start()
        assert [violation for edge in edges for violation in edge.verdict()] == []
        for edge in edges:
            assert "JetStream domain hub through a leaf node" in edge.bridge.log[1]
        assert topology.denied == []
