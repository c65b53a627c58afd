"""Each event says in one cell what its word does not."""

from typing import Any

import pytest

from bridge.cli.details import colour, details, exit_status, word
from bridge.model import events, node_events
from bridge.model.envelope import Event, Recorded, Unrecognized
from bridge.model.events import Failure
from bridge.model.nanos import Nanos
from tests.unit.cli.recorded import NOON, SECOND, stored


def said(event: Event, **more: Any) -> str:
    return details(stored(event, **more).recorded)


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (events.TaskCreate(container_id="x", pid=7, image="busybox", name="web"), "pid 7, image busybox, name web"),
        (events.TaskStart(container_id="x", pid=7), "pid 7"),
        (events.TaskRestored(container_id="x", checkpoint="/c"), "checkpoint /c"),
        (events.TaskExit(container_id="x", id="x", exit_status=3), "status 3"),
        (events.TaskExit(container_id="x", id="x"), "status ?"),
        (events.TaskExecAdded(container_id="x", exec_id="e.1"), "exec e.1"),
        (events.TaskExecStarted(container_id="x", exec_id="e.1", pid=8), "exec e.1, pid 8"),
        (events.TaskExecExit(container_id="x", id="e.1", exit_status=137), "exec e.1, status 137 (SIGKILL)"),
        (events.TaskOOM(container_id="x"), ""),
        (events.TaskPaused(container_id="x"), ""),
        (events.TaskDelete(container_id="x", exit_status=0), "status 0"),
        (events.ContainerCreate(id="x", image="busybox", runtime="runc"), "image busybox, runtime runc"),
        (events.CommandRecorded(container_id="x", command_id="1", verb="stop", outcome="ok"), "stop: ok"),
        (
            events.CommandRecorded(
                container_id="x",
                command_id="1",
                verb="stop",
                outcome="refused",
                error=Failure(code="refused", message="it is not yours"),
            ),
            "stop: refused, it is not yours",
        ),
        (events.Anomaly(container_id="x", reason="a second exit", event_type="t"), "a second exit, t"),
        (
            events.RawEvent(topic="/x", type_url="t", value=b"", reason="oversize", size=9, sha256="", part=1, parts=2),
            "oversize, topic /x, 9 bytes, part 1 of 2",
        ),
        (node_events.NodeStarted(version="1.2", pid=3), "containerd-bridge 1.2, pid 3"),
        (node_events.NodeStopped(reason="asked to stop"), "asked to stop"),
        (node_events.NodeConnected(containerd_version="2.1", containerd_revision="r"), "containerd 2.1"),
        (node_events.NodeHeartbeat(probe_ns=1_250_000), "probe 1.2 ms"),
        (node_events.ImageCreate(name="busybox"), "busybox"),
    ],
)
def test_what_an_event_says(event: Event, text: str) -> None:
    assert said(event) == text


def test_a_gap_says_its_bounds_and_how_long_it_was() -> None:
    gap = node_events.NodeGap(since=Nanos(NOON), until=Nanos(NOON + 5 * SECOND), reason="containerd restarted")

    assert said(gap).endswith("(5.0 s), containerd restarted")


def test_an_end_that_nobody_saw_says_why() -> None:
    lost = events.TaskExit(container_id="web.1", id="web.1", pid=20, reason=events.SHIM_LOST)
    assert said(lost) == "status ?, shim-lost"


def test_a_repair_says_what_it_found() -> None:
    repair = node_events.NodeReconciled(listed_at=Nanos(NOON), containers=12, told=3, lost=1)
    assert said(repair) == "12 containers listed, 3 events told, 1 ends unknown"
    audit = node_events.NodeReconciled(listed_at=Nanos(NOON), containers=12, told=1, audit=True)
    assert said(audit) == "audit, 12 containers listed, 1 events told"


def test_a_gap_without_beginning_says_only_its_end() -> None:
    gap = node_events.NodeGap(since=None, until=Nanos(NOON), reason="first start")

    assert said(gap).startswith("up to ")


def test_what_was_deduced_is_said_to_be() -> None:
    assert said(events.TaskPaused(container_id="x"), origin="reconciled") == "reconciled"


def test_what_stands_in_the_heading_is_not_repeated() -> None:
    event = stored(events.TaskCreate(container_id="x", pid=7, image="busybox"))

    assert details(event.recorded, known=["image busybox"]) == "pid 7"


def test_nothing_steers_the_terminal() -> None:
    assert said(node_events.NodeStopped(reason="\x1b[31m\n\u202e")) == r"\x1b[31m\n\u202e"


def test_the_word_is_that_of_the_subject() -> None:
    assert word(stored(events.TaskExecExit(container_id="x", id="e")).recorded) == "exec-exit"


def test_a_type_of_a_newer_bridge_is_shown_as_it_is() -> None:
    recorded = stored(events.TaskPaused(container_id="x")).recorded
    newer: Recorded[Unrecognized] = Recorded(
        **{
            **{name: getattr(recorded, name) for name in recorded.__struct_fields__},
            "type": "io.containerd.new.v1",
            "data": Unrecognized(json=b'{"a":1}'),
        }
    )

    assert word(newer) == "io.containerd.new.v1"
    assert details(newer) == '{"a":1}'


@pytest.mark.parametrize(
    ("status", "text"), [(0, "0"), (128, "128"), (143, "143 (SIGTERM)"), (255, "255"), (None, "?")]
)
def test_an_exit_status_names_its_signal(status: int | None, text: str) -> None:
    assert exit_status(status) == text


def test_bad_ends_are_red_and_good_ones_are_not() -> None:
    assert "red" in colour(events.TaskExit(container_id="x", id="x", exit_status=1))
    assert "red" in colour(events.TaskExit(container_id="x", id="x"))
    assert colour(events.TaskExit(container_id="x", id="x", exit_status=0)) == ""
    assert "red" in colour(events.CommandRecorded(container_id="x", command_id="1", verb="stop", outcome="error"))
