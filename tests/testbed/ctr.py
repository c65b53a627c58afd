"""containerd's own command line client, bound to one namespace: the independent witness of what the bridge reports."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any

from tests.testbed.image import BUSYBOX

if TYPE_CHECKING:
    from tests.testbed.containerd import Containerd

# Everything a namespace can hold, in the order in which it lets go; ctr refuses to remove a namespace that is not empty.
EMPTY = """
export CONTAINERD_NAMESPACE=$1
for id in $(ctr tasks ls -q); do ctr tasks kill --signal SIGKILL --all "$id"; ctr tasks resume "$id"; done
for id in $(ctr tasks ls -q); do ctr tasks delete --force "$id"; done
for id in $(ctr containers ls -q); do ctr containers delete "$id"; done
for name in $(ctr images ls -q); do ctr images rm --sync "$name"; done
for id in $(ctr leases ls -q); do ctr leases rm --sync "$id"; done
until [ -z "$(ctr snapshots ls | tail -n +2)" ]; do
  for key in $(ctr snapshots ls | awk 'NR > 1 { print $1 }'); do ctr snapshots rm "$key"; done
done
for digest in $(ctr content ls -q); do ctr content rm "$digest"; done
ctr namespaces rm "$1"
rmdir "/sys/fs/cgroup/$1" /sys/fs/cgroup/*/"$1"
"""


class CtrFailedError(Exception):
    """ctr ended with another status than 0; `status` and `stderr` say more."""

    def __init__(self, args: tuple[str, ...], status: int, stderr: str) -> None:
        super().__init__(f"ctr {' '.join(args)}: status {status}: {stderr.strip()}")
        self.status = status
        self.stderr = stderr


@dataclass(frozen=True, kw_only=True)
class SeenEvent:
    """One line of `ctr events`: topic such as "/tasks/exit" and the event's fields by their names on the wire.

    `time_ns` is the time that containerd or the shim gave it, `seen_ns` when the line was read.
    """

    namespace: str
    topic: str
    data: dict[str, Any]
    time_ns: int = 0
    seen_ns: int = 0


class Events:
    """A running `ctr events`: what it has seen so far in `seen`, and waiting for what it will see."""

    def __init__(self, output: IO[str], namespace: str | None) -> None:
        self.seen: list[SeenEvent] = []
        self._namespace = namespace
        self._arrived: queue.SimpleQueue[SeenEvent | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, args=(output,), daemon=True)
        self._reader.start()

    def _read(self, output: IO[str]) -> None:
        with output:
            for line in output:
                # "<date> <time> +0000 UTC <namespace> <topic> <json>"
                day, clock, _, _, namespace, topic, data = line.split(" ", 6)
                if self._namespace in {None, namespace}:
                    self._arrived.put(
                        SeenEvent(
                            namespace=namespace,
                            topic=topic,
                            data=json.loads(data),
                            time_ns=_nanoseconds(day, clock),
                            seen_ns=time.time_ns(),
                        )
                    )
        self._arrived.put(None)

    def join(self) -> None:
        """Wait until `ctr events`, which has been killed, has been read to its end."""
        self._reader.join()

    def until(self, wanted: Callable[[SeenEvent], bool], *, timeout: float = 90) -> SeenEvent:
        """Read on, from where the last call stopped, to the first event that is `wanted`, and return it.

        Raises:
            TimeoutError: it did not come within `timeout` seconds, or `ctr events` ended; what did come is named.
        """
        deadline = time.monotonic() + timeout
        while True:
            try:
                event = self._arrived.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                event = None
            if event is None:
                raise TimeoutError(f"ctr events saw only {[seen.topic for seen in self.seen]}")
            self.seen.append(event)
            if wanted(event):
                return event

    def until_topic(self, topic: str, container: str | None = None, *, timeout: float = 90) -> SeenEvent:
        """`until` the first event of this topic, of this container if one is named."""

        def wanted(event: SeenEvent) -> bool:
            named = event.data.get("container_id", event.data.get("id"))
            return event.topic == topic and container in {None, named}

        return self.until(wanted, timeout=timeout)

    def until_probe(self, probe: str, *, timeout: float) -> None:
        """`until` the namespace has been labelled `testbed.probe=PROBE`."""
        self.until(lambda event: event.data.get("labels", {}).get("testbed.probe") == probe, timeout=timeout)


def _nanoseconds(day: str, clock: str) -> int:
    """The moment that Go writes as "2026-11-23 21:43:48.5": it leaves out zeros at the end."""
    seconds, _, fraction = clock.partition(".")
    moment = datetime.fromisoformat(f"{day}T{seconds}+00:00")
    return int(moment.timestamp()) * 1_000_000_000 + int(fraction.ljust(9, "0"))


class Ctr:
    """`ctr --namespace NAME`, called with ctr's own words; and the few things that every test does with it."""

    def __init__(self, host: "Containerd", namespace: str) -> None:
        self.host = host
        self.namespace = namespace

    def __call__(self, *args: str, check: bool = True, timeout: float = 120) -> str:
        """Run ctr and return its output.

        Raises:
            CtrFailedError: its exit status is not 0 and `check` is true.
        """
        ran = self.host.run("ctr", "--namespace", self.namespace, *args, check=False, timeout=timeout)
        if check and ran.returncode != 0:
            raise CtrFailedError(args, ran.returncode, ran.stderr)
        return ran.stdout

    def collect_garbage(self) -> None:
        """Let containerd take away now what nothing refers to; by itself it does so at some later time."""
        self("leases", "create", "--id", "collect")
        self("leases", "delete", "--sync", "collect")

    def run(
        self, container: str, *command: str, detach: bool = True, options: tuple[str, ...] = (), image: str = BUSYBOX
    ) -> int:
        """`ctr run`: make and start a container. Detached it returns 0 at once, otherwise the container's exit status.

        Raises:
            CtrFailedError: a detached container could not be started.
        """
        if detach:
            self("run", "--detach", "--null-io", *options, image, container, *command)
            return 0
        argv = ("ctr", "--namespace", self.namespace, "run", "--rm", *options, image, container, *command)
        return self.host.run(*argv, check=False).returncode

    def status(self, container: str) -> str | None:
        """The task's status as ctr writes it ("RUNNING", "STOPPED", "PAUSED"), or None without a task."""
        for line in self("tasks", "ls").splitlines()[1:]:
            task, _, status = line.split()
            if task == container:
                return status
        return None

    def kill(self, container: str, signal_name: str = "SIGKILL") -> None:
        """Send a signal to the container's first process."""
        self("tasks", "kill", "--signal", signal_name, container)

    def delete(self, container: str) -> None:
        """Remove the task, running or not, and the container with its snapshot."""
        self("tasks", "delete", "--force", container, check=False)
        self("containers", "delete", container)

    @contextlib.contextmanager
    def events(self, *, every_namespace: bool = False) -> Iterator[Events]:
        """`ctr events` on the side, live from the first statement of the block on."""
        process = self.host.popen("ctr", "events", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout is not None
        events = Events(process.stdout, None if every_namespace else self.namespace)
        try:
            self._wait_until_live(events)
            yield events
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            events.join()

    def _wait_until_live(self, events: Events) -> None:
        """Label the namespace until the label's event comes back: nothing else tells that the subscription stands."""
        for attempt in range(100):
            probe = uuid.uuid4().hex
            self("namespaces", "label", self.namespace, f"testbed.probe={probe}")
            with contextlib.suppress(TimeoutError):
                events.until_probe(probe, timeout=0.01 * (attempt + 1))
                events.seen.clear()
                return
        raise TimeoutError("ctr events sees nothing")

    def import_busybox(self) -> None:
        """Import the busybox image; the namespace comes into being with it."""
        self("images", "import", str(self.host.busybox_archive()))

    def remove(self) -> None:
        """Kill and delete everything in the namespace, and the namespace."""
        self.host.run("sh", "-c", EMPTY, "empty", self.namespace, check=False)
