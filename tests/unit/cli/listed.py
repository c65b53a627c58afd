"""Containers as two nodes list them, in every state that a command shows."""

from __future__ import annotations

from typing import Any

import msgspec

from bridge.model.events import Failure
from bridge.model.nanos import Nanos, now
from bridge.model.outcomes import ContainerInfo, Outcome, TaskInfo
from bridge.model.subjects import CommandSubject
from tests.unit.client.small_bus import containers_at, info

HOUR = 3600 * 10**9


def with_task(container: str, status: Any, **more: Any) -> ContainerInfo:
    task = TaskInfo(status=status, pid=7, **more)
    return msgspec.structs.replace(
        info(container), task=task, image="busybox", created_at=Nanos(now() - 3 * HOUR - 60 * 10**9)
    )


CONTAINERS = [
    with_task("a", "running"),
    with_task("b", "stopped", exit_status=3),
    with_task("c", "paused"),
    with_task("d", "created"),
    msgspec.structs.replace(info("e", name="web\x1b"), created_at=None),
    with_task("f", "stopped"),
]
KNOWN = containers_at({"n1": CONTAINERS, "n2": [with_task("z", "running")]})


def one_refuses(at: CommandSubject, options: dict[str, Any]) -> Any:
    if at.node == "n2":
        error = Failure(code="refused", message="list is off")
        return Outcome(id="1", verb="list", node="n2", outcome="refused", error=error)
    return KNOWN(at, options)
