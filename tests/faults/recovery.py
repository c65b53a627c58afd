"""How long it takes until the log says what containerd lists, once both ends can be reached again: the R of the guarantees.

Both are taken away from a bridge that goes on running. Meanwhile half of the containers' records are replaced by others, and
tasks are killed. The time is taken from the stream: from the moment when both ends are back to that at which the server
stored the node's word that the log is repaired, and a reader who folds it up to there must come to what is listed.
"""

from __future__ import annotations

import time

from tests.faults.checker import Log, agrees
from tests.faults.history import History
from tests.faults.trial import Trial
from tests.fix_bridge import WITHIN_S

__all__ = ["CONTAINERS", "R_S", "TASKS", "Recovery"]

CONTAINERS, TASKS = 500, 20

R_S = 5.0
"""What the README promises for so many containers, on a machine that has little else to do."""


class Recovery:
    """Takes both ends away from a trial's bridge, and gives them back, as often as it is asked to."""

    def __init__(self, trial: Trial, *, containers: int = CONTAINERS, tasks: int = TASKS) -> None:
        """Make so many containers, of which some have a task.

        Args:
            trial: with a `containerd_network`, and nothing that happens by itself.
            containers: how many there are whenever both ends come back.
            tasks: how many of them run, at first.
        """
        assert trial.containerd_network is not None, "the way to containerd has to be breakable"
        self._trial = trial
        self._way = trial.containerd_network
        self._records = trial.publisher.make_containers(containers - tasks, "rec")
        self._running = trial.lives.running(tasks, lives_s=(600, 600))
        self._turn = 0
        trial.settle()

    def seconds(self) -> float:
        """Do it once; return how long it took until the log said again what containerd lists."""
        trial = self._trial
        line = len(trial.bridge.lines)
        self._way.refuse()
        trial.network.refuse()
        self._replace()
        trial.network.accept()
        self._way.accept()
        reachable = time.time_ns()
        trial.bridge.until_logged("the log says what containerd lists", after=line, within=WITHIN_S)
        trial.settle()
        at = self._repaired_at(reachable)
        return (at - reachable) / 1e9

    def _replace(self) -> None:
        self._turn += 1
        half = len(self._records) // 2
        gone, self._records = self._records[:half], self._records[half:]
        self._trial.publisher.remove_containers(gone)
        self._records += self._trial.publisher.make_containers(half, f"rec{self._turn}x")
        killed, self._running = self._running[: len(self._running) // 2], self._running[len(self._running) // 2 :]
        self._trial.lives.kill(killed)

    def _repaired_at(self, reachable: int) -> int:
        stream = self._trial.remains.messages()
        for number, message in enumerate(stream, 1):
            if message.word == "reconciled" and message.stored_at > reachable:
                log = History(stream=stream[:number], lists=[self._trial.remains.lists()], repaired=True)
                assert agrees(log), "the log is said to be repaired, and its fold is not what containerd lists"
                return message.stored_at
        raise AssertionError(f"nobody said that the log is repaired: {Log(stream).stored[-5:]}")
