"""Make the files of this directory again: `python -m tests.data.envelopes.capture [VERSION...]`. Needs root.

A containerd of the test host lives through everything that can happen to a container, while two subscribers watch: one of
ours, which keeps the bytes, and `ctr events`. The stream is the same for both, so the n-th message is the n-th line. Paths
in the events are those inside the test host. Read the difference through before it is committed: it is what tests go by.
"""

import contextlib
import sys
import threading
from collections.abc import Callable
from typing import Any

import grpc

from bridge._pb.containerd.services.events_pb2 import Events as EventsService
from bridge._pb.containerd.services.events_pb2 import SubscribeRequest
from bridge.containerd.channel import blocking_channel
from bridge.containerd.envelope import read_envelope
from bridge.containerd.filters import event_filters
from bridge.containerd.normalize import normalize
from bridge.model.nanos import Nanos
from tests.data.envelopes import VERSIONS, Captured, captured, meaning, write
from tests.testbed import BUSYBOX, Containerd, Ctr
from tests.testbed.ctr import Events, SeenEvent

NAMESPACES = ("k8s.io", "a.b")
CAN_DUMP = ("1.7", "2.1")  # the CRIU that comes with 1.6 cannot read today's kernels
OUT_OF_MEMORY_TWICE = "eat() { x=x; while true; do x=$x$x$x; done; }; (eat); sleep 0.2; eat"
WATCHED = ("/tasks/", "/containers/", "/images/")


def main(versions: list[str]) -> None:
    """Capture from these versions."""
    for version in versions:
        with Containerd(version) as host:
            write(version, capture(host))
        sys.stdout.write(f"containerd {version}: {len(captured(version))} messages\n")


def capture(host: Containerd) -> list[Captured]:
    """Live through everything and return what was seen."""
    channel = blocking_channel(host.address)
    stream = EventsService.Subscribe.bind(channel, raw=True)(SubscribeRequest(filters=event_filters(NAMESPACES)))
    frames: list[bytes] = []
    reader = threading.Thread(target=_collect, args=(stream, frames.append))
    reader.start()
    with Ctr(host, "default").events(every_namespace=True) as seen:  # by then our own subscription stands as well
        for name in NAMESPACES:
            _live(host, host.namespace(name), seen)
            seen.until_topic("/images/delete")
    channel.close()
    reader.join()
    lines = [event for event in seen.seen if event.topic.startswith(WATCHED)]
    return [Captured(frame, _ours(frame), _theirs(line)) for frame, line in zip(frames, lines, strict=True)]


def _live(host: Containerd, ctr: Ctr, seen: Events) -> None:
    fifos = ("--fifo-dir", "/run/containerd/fifo")
    # A loop, because being dumped wakes a `sleep` up for good.
    run_on = ("sh", "-c", "while true; do sleep 1; done")
    ctr.run("web.1", *run_on, options=(*fifos, "--label", "nerdctl/name=web", "--env", "A=1"))
    ctr("containers", "label", "web.1", "tier=front", "nerdctl/name=web-1")
    ctr("tasks", "exec", "--exec-id", "probe.1_a", *fifos, "web.1", "sh", "-c", "exit 3", check=False)
    ctr("tasks", "pause", "web.1")
    ctr("tasks", "resume", "web.1")
    if host.version in CAN_DUMP:
        ctr("containers", "checkpoint", "--task", "--image", "--rw", "web.1", "example.org/checkpoint:1")
    ctr.kill("web.1")
    ctr.delete("web.1")
    if host.version in CAN_DUMP:
        # Only now: the copy gets the control group that its original was in, and runc wants that empty.
        ctr("containers", "restore", "--live", "web.2", "example.org/checkpoint:1")
        ctr("tasks", "kill", "--signal", "SIGKILL", "web.2", check=False)  # it may have ended by itself
        ctr.delete("web.2")
    ctr.run("hog", "sh", "-c", OUT_OF_MEMORY_TWICE, options=("--memory-limit", str(16 << 20)))
    seen.until_topic("/tasks/exit", "hog")
    ctr.delete("hog")
    ctr("images", "label", BUSYBOX, "a/b=c d")
    ctr("images", "rm", "--sync", BUSYBOX)


def _collect(stream: Any, keep: Callable[[bytes], None]) -> None:
    with contextlib.suppress(grpc.RpcError):
        for wire in stream:
            keep(wire)


def _ours(wire: bytes) -> dict[str, Any]:
    envelope = read_envelope(wire)
    assert envelope is not None
    return meaning(normalize(envelope, Nanos(0)))


def _theirs(line: SeenEvent) -> dict[str, Any]:
    return {"namespace": line.namespace, "topic": line.topic, "data": line.data}


if __name__ == "__main__":
    main(sys.argv[1:] or list(VERSIONS))
