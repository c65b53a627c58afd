"""Load: thousands of numbered events through containerd's own exchange, and containers that really run.

A published event is the exit of an exec whose status is its number among its container's events: it is what it would be if a
shim sent it, and whoever has it knows whether one before it is missing. Only what containerd has taken for certain counts as
made; a call that fails leaves its number out for good.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc

from bridge._pb.containerd.events_pb2 import TaskExit
from bridge._pb.containerd.services.containers_pb2 import (
    Container,
    Containers,
    CreateContainerRequest,
    DeleteContainerRequest,
)
from bridge._pb.containerd.services.events_pb2 import Events, PublishRequest
from bridge._pb.google.protobuf.any_pb2 import Any as AnyMessage
from tests.faults.history import Made, Odd
from tests.testbed import Ctr, CtrFailedError

_OPTIONS = [
    ("grpc.default_authority", "localhost"),
    ("grpc.max_send_message_length", 16 << 20),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
    ("grpc.use_local_subchannel_pool", 1),
]


RUNTIME = Container.Runtime(name="io.containerd.runc.v2")
SPEC = AnyMessage(type_url="types.containerd.io/opencontainers/runtime-spec/1/Spec", value=b"{}")


class Publisher:
    """Publishes events in one namespace; a context manager. Everything that it has made is in `made`."""

    def __init__(self, address: Path, namespace: str) -> None:
        self.namespace = namespace
        self.made: list[Made] = []
        self.odd_ones: list[Odd] = []
        self._metadata = [("containerd-namespace", namespace)]
        self._channel = grpc.insecure_channel(f"unix://{address}", options=_OPTIONS)
        self._publish: Any = Events.Publish.bind(self._channel)
        self._create: Any = Containers.Create.bind(self._channel)
        self._delete: Any = Containers.Delete.bind(self._channel)
        self._numbers: dict[str, Iterator[int]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._channel.close()

    def make_containers(self, count: int, prefix: str = "c") -> list[str]:
        """Make records of containers in containerd, without tasks; return their names."""
        names = [f"{prefix}{number}" for number in range(count)]
        for name in names:
            record = Container(id=name, image="none", runtime=RUNTIME, spec=SPEC)
            self._create(CreateContainerRequest(container=record), metadata=self._metadata, timeout=60)
        return names

    def remove_containers(self, names: Sequence[str]) -> None:
        """Remove such records."""
        for name in names:
            self._delete(DeleteContainerRequest(id=name), metadata=self._metadata, timeout=60)

    def exec_exit(self, container: str, *, timeout: float = 20) -> int | None:
        """Publish the container's next event and return its number; None where it is unknown whether containerd has it."""
        number = next(self._numbers.setdefault(container, itertools.count(1)))
        event = TaskExit(container_id=container, id=f"e{number}", pid=number, exit_status=number)
        began = time.time_ns()
        try:
            self.publish("/tasks/exit", "containerd.events.TaskExit", event.SerializeToString(), timeout=timeout)
        except grpc.RpcError:
            return None
        self.made.append(
            Made(
                namespace=self.namespace,
                container=container,
                word="exec-exit",
                status=number,
                began=began,
                ended=time.time_ns(),
            )
        )
        return number

    def odd(self, topic: str, type_url: str, value: bytes) -> None:
        """Publish something that no client should; containerd may refuse it."""
        began = time.time_ns()
        with suppress(grpc.RpcError):
            self.publish(topic, type_url, value)
            sha256 = hashlib.sha256(value).hexdigest()
            self.odd_ones.append(Odd(topic=topic, sha256=sha256, began=began, ended=time.time_ns()))

    def publish(self, topic: str, type_url: str, value: bytes, *, timeout: float = 20) -> None:
        """Publish any event, as every client of containerd's socket may."""
        request = PublishRequest(topic=topic, event=AnyMessage(type_url=type_url, value=value))
        self._publish(request, metadata=self._metadata, timeout=timeout)

    @contextmanager
    def load(self, containers: Sequence[str], *, rate: float) -> Iterator[Background]:
        """Publish so many events a second, of each container in turn, while the block lasts."""
        turn = itertools.cycle(containers)

        def once() -> None:
            if self.exec_exit(next(turn)) is None:
                time.sleep(0.01)  # containerd is away

        with Background(once, rate=rate) as background:
            yield background


class Runner:
    """Runs real containers, one after the other; what containerd said of their ends is in `made`."""

    def __init__(self, ctr: Ctr, prefix: str = "r") -> None:
        self.made: list[Made] = []
        self._ctr = ctr
        self._names = (f"{prefix}{number}" for number in itertools.count())

    @contextmanager
    def load(self, *, rate: float = 4) -> Iterator[Background]:
        """Run one short container after the other while the block lasts, so many a second at the most."""
        with Background(self.once, rate=rate) as background:
            yield background

    def once(self) -> None:
        """Run one container to its end and remove it."""
        name = next(self._names)
        status = 1 + len(self.made) % 100
        began = time.time_ns()
        with suppress(CtrFailedError):
            if self._ctr.run(name, "sh", "-c", f"exit {status}", detach=False, options=("--null-io",)) == status:
                self.made.append(
                    Made(
                        namespace=self._ctr.namespace,
                        container=name,
                        word="exit",
                        status=status,
                        began=began,
                        ended=time.time_ns(),
                    )
                )


class Background:
    """Does something again and again in a thread, so many times a second at the most, until the context is left."""

    def __init__(self, work: Any, *, rate: float) -> None:
        self.done = 0
        self._work = work
        self._interval = 1.0 / rate
        self._end = threading.Event()
        self._news = threading.Condition()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end.set()
        self._thread.join()
        if self._failure is not None and error is None:
            raise self._failure

    def until_done(self, count: int, *, within: float = 180) -> None:
        """Wait until it has been done so many times more."""
        wanted = self.done + count
        with self._news:
            assert self._news.wait_for(lambda: self.done >= wanted or self._failure is not None, within), (
                f"{self.done} of {wanted} within {within:g} s"
            )

    def _run(self) -> None:
        due = time.monotonic()
        try:
            while not self._end.is_set():
                self._work()
                with self._news:
                    self.done += 1
                    self._news.notify_all()
                due = max(due + self._interval, time.monotonic() - 0.1)  # what was missed is not made up for
                self._end.wait(max(0.0, due - time.monotonic()))
        except BaseException as error:  # noqa: BLE001 - whatever it is, who waits has to hear of it
            with self._news:
                self._failure = error
                self._news.notify_all()
