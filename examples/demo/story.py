"""The story: four containers, what happens to them, and what has to be seen of it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from examples.demo.bus import Bridge, NotSeenError, Witness
from examples.demo.host import IMAGE, NAMESPACE, Host, another
from examples.demo.stage import Stage

__all__ = ["tell"]

SERVER = 'trap "exit 0" TERM; while true; do sleep 0.1; done'
COUNTED = "/dev/shm/n"  # noqa: S108 - in its memory, which goes along
# It starts no program while it counts: CRIU cannot dump a process that is just doing so (docs/checkpoints.md).
WAITS = "busybox mkfifo /waits; exec 4<>/waits"
COUNTER = f"{WAITS}; n=0; while true; do n=$((n+1)); echo $n > {COUNTED}; read -t 0.1 nothing <&4; done"
ELSEWHERE = "elsewhere"
GREEDY = "x=xxxxxxxx; while true; do x=$x$x$x; done"

EXPECTED = {
    "demo-job": [
        "container.create", "task.create", "task.start", "task.exit", "task.delete", "container.delete",
    ],
    "demo-greedy": [
        "container.create", "task.create", "task.start", "task.oom", "task.exit", "task.delete", "container.delete",
    ],
    "demo-web": [
        "container.create", "task.create", "task.start",
        "task.exec-added", "task.exec-started", "task.exec-exit",
        "task.paused", "task.resumed",
        "task.exit", "task.delete", "container.delete",
    ],
}  # fmt: skip
"""Container -> its events, in order; the records of commands stand between them and are looked at apart."""

COMMANDS = {"demo-web": ["pause", "resume", "stop", "delete"]}


def tell(stage: Stage, host: Host, bridge: Bridge, witness: Witness) -> None:
    """Play it from the first container to the last check.

    Raises:
        NotSeenError: something that has to be seen was not.
    """
    _Story(stage, host, bridge, witness).tell()


class _Story:
    def __init__(self, stage: Stage, host: Host, bridge: Bridge, witness: Witness) -> None:
        self._stage = stage
        self._host = host
        self._bridge = bridge
        self._witness = witness

    def tell(self) -> None:
        self._job()
        self._greedy()
        self._server()
        self._commands()
        self._afterwards()
        self._elsewhere()
        check(self._witness)

    def _job(self) -> None:
        self._stage.heading("A job that ends with status 3.")
        self._run("demo-job", "echo working; sleep 1; exit 3")
        self._witness.until("demo-job", "task.exit", exit_status=3)
        self._stage.rest()
        self._remove("demo-job")

    def _greedy(self) -> None:
        self._stage.heading("A job that wants more memory than the 16 MiB it may have.")
        self._run("demo-greedy", GREEDY, "--memory-limit", str(16 * 2**20))
        self._witness.until("demo-greedy", "task.oom")
        self._witness.until("demo-greedy", "task.exit", exit_status=137)
        self._stage.rest()
        self._remove("demo-greedy")

    def _server(self) -> None:
        self._stage.heading("A server that goes on, and a second process in it, as a health check would start one.")
        self._run("demo-web", SERVER)
        self._witness.until("demo-web", "task.start")
        self._stage.rest()
        self._ctr("tasks", "exec", "--exec-id", "health", "demo-web", "sh", "-c", "sleep 0.3; exit 0")
        self._witness.until("demo-web", "task.exec-exit", id="health", exit_status=0)

    def _commands(self) -> None:
        self._stage.heading(
            "Now through the bus: these commands work from any machine that reaches NATS.",
            "Each leaves a record in the log, beside what containerd says of its effect.",
        )
        self._client("pause", "demo-web")
        self._witness.until("demo-web", "task.paused")
        self._stage.rest()
        self._client("ps")
        self._stage.rest()
        self._client("resume", "demo-web")
        self._witness.until("demo-web", "task.resumed")
        self._stage.rest()
        self._client("stop", "demo-web")
        self._witness.until("demo-web", "task.exit", exit_status=0)
        self._stage.rest()
        self._client("ps", "--all")
        self._stage.rest()
        self._client("delete", "demo-web")
        self._witness.until("demo-web", "container.delete")
        for verb in COMMANDS["demo-web"]:
            self._witness.until("demo-web", "bridge.command", verb=verb, outcome="ok")

    def _afterwards(self) -> None:
        self._stage.heading("The container is gone; the log still knows everything about it.")
        self._client("history", "demo-web")
        self._stage.rest(2)

    def _elsewhere(self) -> None:
        if not self._host.options:
            return  # whether the machine's own containerd has a CRIU that works is not ours to find out
        self._stage.heading(
            "A second node: a containerd and a bridge of its own, on the same bus.",
            "A container that counts moves there while it runs, and goes on counting where it was.",
        )
        self._run("demo-counter", COUNTER)
        self._witness.until("demo-counter", "task.start")
        with another() as there, tempfile.TemporaryDirectory(prefix="cb-demo-") as state_dir:
            options = ("--commands", "all", "--namespace", NAMESPACE)
            self._stage.typed(["containerd-bridge", "serve", "--node", ELSEWHERE, *options], behind=" &")
            bridge = self._bridge.beside(Path(state_dir), ELSEWHERE)
            with bridge.serving("--containerd", str(there.address), *there.options, *options):
                before = int(self._client("exec", "demo-counter", "cat", COUNTED))
                self._stage.rest()
                self._client("migrate", "demo-counter", "--to", ELSEWHERE, "--pre-copy", "1")
                self._witness.until("demo-counter", "task.restored")
                self._stage.rest()
                after = int(self._client("exec", "demo-counter", "cat", COUNTED))
                if after <= before:
                    raise NotSeenError(f"the counter was at {before}, and is at {after} after it has moved")
                self._stage.rest()
                self._client("ps")
                self._stage.rest()
                self._client("delete", "--force", "demo-counter")

    # -- what is typed

    def _run(self, container: str, script: str, *options: str) -> None:
        self._ctr("run", "--detach", "--null-io", *options, IMAGE, container, "sh", "-c", script)

    def _remove(self, container: str) -> None:
        self._ctr("tasks", "delete", container)
        self._ctr("containers", "delete", container)
        self._witness.until(container, "container.delete")
        self._stage.rest(0.5)

    def _ctr(self, *args: str) -> None:
        self._stage.typed(["ctr", "--namespace", NAMESPACE, *args])
        self._host.ctr(*args)

    def _client(self, *args: str) -> str:
        self._stage.typed(["containerd-bridge", *args])
        ran = self._bridge.run(*args)
        self._stage.printed(ran.stdout + ran.stderr)
        if ran.returncode != 0:
            raise NotSeenError(f"`containerd-bridge {' '.join(args)}` ended with status {ran.returncode}")
        return ran.stdout


def check(witness: Witness) -> None:
    """Compare what was seen of each container with what has to be seen.

    Raises:
        NotSeenError: they differ; the sentence says where.
    """
    for container, expected in EXPECTED.items():
        seen = [word for word in witness.words(container) if word != "bridge.command"]
        if _certain(seen) != _certain(expected):
            raise NotSeenError(f"the events of {container} should be {', '.join(expected)}, and were {', '.join(seen)}")


def _certain(words: list[str]) -> list[str]:
    """Leave out what containerd may tell twice (an OOM), or never (a shim that ends before it has told that its task is gone)."""
    told_once = [word for number, word in enumerate(words) if word != "task.oom" or word not in words[:number]]
    return [word for word in told_once if word != "task.delete"]
