"""Real containers whose ends are known beforehand, for faults that are about them: what ended how is in `made`."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

from tests.faults.history import Made
from tests.faults.remains import tasks
from tests.fix_bridge import WITHIN_S
from tests.testbed import Ctr

__all__ = ["Lives"]

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


class Lives:
    """Runs containers and ends them in every way."""

    def __init__(self, ctr: Ctr, lot: random.Random) -> None:
        self.made: list[Made] = []
        self._ctr = ctr
        self._lot = lot
        self._ends: dict[str, tuple[int, int]] = {}

    def running(self, count: int, *, lives_s: tuple[float, float]) -> list[str]:
        """Start containers that end by themselves after a random time, each with a status of its own; return their names."""
        names = []
        for _ in range(count):
            status = self._lot.randint(1, 250)
            name = f"d{len(self._ends)}"
            life = f"sleep {self._lot.uniform(*lives_s):.2f}; exit {status}"
            began = time.time_ns()
            self._ctr.run(name, "sh", "-c", life)
            self._ends[name] = (status, began)
            names.append(name)
        return names

    def until_ended(self, names: Sequence[str]) -> None:
        """Wait until they do not run any more. Of those whose tasks are still there it can be known how they ended.

        containerd 2.1 removes the task of a shim that has nothing left to run when it starts.
        """
        left = self._until_stopped(names)
        for name in names:
            if left.get(name) != "STOPPED":
                continue
            status, began = self._ends[name]
            self.made.append(
                Made(
                    namespace=self._ctr.namespace,
                    container=name,
                    word="exit",
                    status=status,
                    began=began,
                    ended=time.time_ns(),
                    kept=True,
                )
            )

    def kill(self, names: Sequence[str]) -> None:
        """`kill -9` of what they run, and wait for their ends."""
        for name in names:
            self._ctr.kill(name)
        self._until_stopped(names)

    def kill_shims(self, names: Sequence[str]) -> None:
        """`kill -9` of their shims and of what they run."""
        for name in names:
            self._ctr.host.run("sh", "-c", KILL_SHIM, "kill", self._ctr.namespace, name)

    def starve(self, count: int) -> None:
        """Run containers that the kernel kills for want of memory."""
        for _ in range(count):
            name = f"d{len(self._ends)}"
            self._ends[name] = (137, time.time_ns())
            self._ctr.run(name, "tail", "/dev/zero", options=("--memory-limit", "8388608"))
            self.until_ended([name])

    def exec_storm(self, count: int) -> None:
        """Run short execs side by side in one container, as fast as ctr can."""
        name = f"d{len(self._ends)}"
        self._ends[name] = (0, time.time_ns())
        self._ctr.run(name, "sh", "-c", "trap 'exit 0' TERM; while true; do sleep 0.1; done")
        self._ctr.host.run("sh", "-c", EXECS, "execs", self._ctr.namespace, name, str(count))
        self._ctr.kill(name)
        self._ctr("tasks", "delete", "--force", name, check=False)

    def _statuses(self) -> dict[str, str]:
        return {name: status for name, (_, status) in tasks(self._ctr).items()}

    def _until_stopped(self, names: Sequence[str]) -> dict[str, str]:
        deadline = time.monotonic() + WITHIN_S
        while (left := self._statuses()) and any(left.get(name, "gone") not in {"STOPPED", "gone"} for name in names):
            assert time.monotonic() < deadline, f"they do not end: {left}"
            time.sleep(0.05)
        return left
